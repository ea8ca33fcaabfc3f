package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/record"
)

// logged is a record that stood in a log.
type logged struct {
	ID           string          `json:"id"`
	Destinations []string        `json:"destinations"`
	Whole        *bool           `json:"whole"`
	Record       json.RawMessage `json:"record"`

	Message string `json:"message"` // of CloudWatch Logs: the line itself
}

// fromLog enqueues the records that stand in a log. Lines about anything else are passed over.
func (r *recovery) fromLog(cmd *cobra.Command, file string) (admin.Progress, error) {
	in := cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return r.p, fmt.Errorf("read the log: %w", err)
		}
		defer f.Close()
		in = f
	}
	found, err := r.readLog(in)
	if err != nil {
		return r.p, fmt.Errorf("read the log: %w", err)
	}
	var whole []logged
	for _, l := range found {
		if !*l.Whole {
			r.p.Skipped++
			r.complain("record "+l.ID, errors.New("the log has it without its bodies; it cannot be recovered"))
			continue
		}
		whole = append(whole, l)
	}
	r.p.Matched = int64(len(found))
	r.each(cmd.Context(), len(whole), func(ctx context.Context, i int) {
		r.booked("record "+whole[i].ID, r.line(ctx, &whole[i]))
	})
	return r.p, nil
}

func (r *recovery) line(ctx context.Context, l *logged) error {
	if _, err := record.Parse(l.Record); err != nil {
		return badRecord{fmt.Errorf("the line has no readable record: %w", err)}
	}
	return r.enqueue(ctx, l.Record, l.Destinations...)
}

// readLog gives every record that a log has for the destination that is meant, or for any, once for
// each line.
func (r *recovery) readLog(in io.Reader) (found []logged, err error) {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		found = slices.AppendSeq(found, func(yield func(logged) bool) {
			for _, l := range recordsIn(line) {
				for i, name := range l.Destinations {
					l.Destinations[i] = r.known(name)
				}
				if r.destination != "" {
					if !slices.Contains(l.Destinations, r.destination) {
						continue
					}
					l.Destinations = []string{r.destination}
				}
				if !yield(l) {
					return
				}
			}
		})
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// recordsIn finds the JSON objects in a line, whatever stands before and between them, that
// hold a record, or else the JSON strings in it that do: the AWS CLI prints a log's lines as strings somewhere in its own JSON, on
// one line or on many.
func recordsIn(line []byte) (found []logged) {
	if found = objectsIn(line); len(found) > 0 || !bytes.Contains(line, []byte(`\"record\"`)) {
		return found
	}
	for rest := line; ; {
		start := bytes.IndexByte(rest, '"')
		if start < 0 {
			return found
		}
		rest = rest[start:]
		var text string
		dec := json.NewDecoder(bytes.NewReader(rest))
		if dec.Decode(&text) != nil {
			rest = rest[1:]
			continue
		}
		rest = rest[dec.InputOffset():]
		if strings.Contains(text, `"record`) {
			found = append(found, recordsIn([]byte(text))...)
		}
	}
}

// objectsIn is recordsIn for objects that are not inside of others.
func objectsIn(line []byte) (found []logged) {
	for {
		start := bytes.IndexByte(line, '{')
		if start < 0 {
			return found
		}
		line = line[start:]
		var l logged
		dec := json.NewDecoder(bytes.NewReader(line))
		err := dec.Decode(&l)
		var syntax *json.SyntaxError
		switch {
		case errors.As(err, &syntax): // go on where it stops being JSON, or a long line takes for ever
			line = line[max(1, min(int(syntax.Offset)-1, len(line))):]
			continue
		case errors.As(err, new(*json.UnmarshalTypeError)):
			l = logged{} // an object, of somebody else's
		case err != nil: // the line ends in the middle of an object
			return found
		}
		line = line[dec.InputOffset():]
		switch {
		case l.Whole != nil && len(l.Record) > 0 && len(l.Destinations) > 0:
			found = append(found, l)
		case strings.Contains(l.Message, `"record"`):
			found = append(found, objectsIn([]byte(l.Message))...)
		}
	}
}
