package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/record"
	"github.com/tapway/tapway/internal/terminal"
	"github.com/tapway/tapway/internal/top"
)

func newTail() *cobra.Command {
	var state stateFlags
	var expr string
	var last int
	var bodies bool
	cmd := &cobra.Command{
		Use:   "tail [FILTER]",
		Short: "Follow exchanges as they happen, one line each",
		Example: `  tapway tail
  tapway tail "status >= 500 || duration > 2s"
  tapway tail --bodies -n 1
  tapway tail --json -f "path startsWith '/api/'" | jq .status`,
		Long: "Follow exchanges as they happen, one line each.\n\n" +
			"On a terminal the lines are coloured, unless NO_COLOR is set, and as long as it is wide. --json prints\n" +
			"what the lines are made of; with --bodies, the whole records.\n\n" +
			"Without a running process a queue on SQS is looked into itself: every message is given back\n" +
			"at once, but the look counts as a receive, and what is delivered quickly is not seen. It ends when\n" +
			"half of the receives are used up after which SQS makes a dead letter of a message.",
		Args: args(0, 1, "at most one filter"),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := takeFilter(&expr, given); err != nil {
				return err
			}
			return state.with(cmd, func(client *admin.Client) error {
				if state.peeking {
					fmt.Fprintln(cmd.ErrOrStderr(), "tapway: no process of tapway's answers here, so this looks into the queue itself: every look counts as a receive, and what is delivered quickly is not seen")
				}
				return tail(cmd, client, expr, last, bodies, state.json)
			})
		},
	}
	state.register(cmd, true)
	cmd.Flags().StringVarP(&expr, "filter", "f", "", "only exchanges for which this holds")
	cmd.Flags().IntVarP(&last, "last", "n", 10, "show this many earlier exchanges first")
	cmd.Flags().BoolVar(&bodies, "bodies", false, "show both bodies below the line, each up to 64 KiB")
	return cmd
}

func tail(cmd *cobra.Command, client *admin.Client, expr string, last int, bodies, asJSON bool) error {
	out := cmd.OutOrStdout()
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	defer watchReader(out, cancel)()
	show := newTailLines(out, bodies, asJSON)
	q := url.Values{"filter": {expr}, "last": {fmt.Sprint(last)}}
	if bodies {
		q.Set("format", "record")
	}
	for line, err := range admin.Lines(client.Get(ctx, "/api/v1/tail", q)) {
		if ctx.Err() != nil {
			return nil // Ctrl-C is how one leaves, or whoever read has gone
		}
		if err != nil {
			return err
		}
		text, err := show.text(line)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(text, '\n')); err != nil {
			return err
		}
	}
	if ctx.Err() == nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "tapway: no process has this data directory open, so nothing more will come")
	}
	return nil
}

// tailLines makes what tail prints of the lines of the admin API.
type tailLines struct {
	bodies, json bool
	terminal     bool
	ascii        bool // the terminal shows nothing else
	paint        colours
	width        func() int // of the terminal, which may change
}

func newTailLines(out io.Writer, bodies, asJSON bool) *tailLines {
	t := &tailLines{bodies: bodies, json: asJSON, terminal: isTerminal(out), paint: coloursFor(out), width: func() int { return widthOf(out) }}
	t.ascii = t.terminal && !terminal.ProfileOf(os.Getenv).UTF8
	return t
}

func (t *tailLines) text(line []byte) ([]byte, error) {
	if t.json {
		if t.terminal { // JSON leaves some control characters as they are
			line = terminal.CleanJSON(line, t.ascii)
		}
		return line, nil
	}
	var s admin.Summary
	below := ""
	if t.bodies {
		ex, err := record.Parse(line)
		if err != nil {
			return nil, fmt.Errorf("read the admin API's answer: %w", err)
		}
		s = admin.Summary{Time: ex.Time, DurationMS: float64(ex.Duration.Microseconds()) / 1000, Method: ex.Method, Path: ex.Path, Query: ex.Query, Status: ex.Status,
			Origin: string(ex.Origin), ClientIP: ex.ClientIP, RequestSize: ex.RequestSize, ResponseSize: ex.ResponseSize, Error: ex.Error}
		below = t.body("→", ex.RequestHeader, &ex.Request) + t.body("←", ex.ResponseHeader, &ex.Response)
	} else if err := json.Unmarshal(line, &s); err != nil {
		return nil, fmt.Errorf("read the admin API's answer: %w", err)
	}
	text := t.paint.line(&s, t.width()) + below
	if t.ascii {
		text = terminal.ASCII(text)
	}
	return []byte(text), nil
}

// maxTailBody is how much of a body stands below its line.
const maxTailBody = 64 << 10

// body gives the lines of one body, each after a line end.
func (t *tailLines) body(arrow string, h tapway.Header, b *tapway.Body) string {
	var out strings.Builder
	add := func(text string) { out.WriteString("\n  " + t.paint.dim(arrow) + " " + text) }
	switch {
	case b.Withheld:
		add(t.paint.dim(fmt.Sprintf("withheld, %s", terminal.Bytes(b.Size))))
	case len(b.Bytes) > 0:
		for _, text := range top.Lines(h.Get("Content-Type"), b.Bytes[:min(len(b.Bytes), maxTailBody)]) {
			add(printable(text))
		}
		if over := len(b.Bytes) - maxTailBody; over > 0 {
			add(t.paint.dim(fmt.Sprintf("… and %s more", terminal.Bytes(int64(over)))))
		} else if b.Truncated {
			add(t.paint.dim(fmt.Sprintf("… of %s, the rest is not recorded", terminal.Bytes(b.Size))))
		}
	}
	return out.String()
}

// watchReader calls gone when out is a pipe that nobody reads any more: `tapway tail | head
// -1` ends without waiting for one more call. It watches until stop is called.
func watchReader(out io.Writer, gone func()) (stop func()) {
	f, ok := out.(*os.File)
	if !ok || isTerminal(out) {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if app.ReaderGone(f) {
					gone()
					return
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// takeFilter puts the filter that was given as an argument, if it was, where -f puts it, and checks it.
func takeFilter(expr *string, given []string) error {
	if len(given) == 1 && *expr != "" {
		return usagef("give the filter once: as an argument or with -f")
	}
	if len(given) == 1 {
		*expr = given[0]
	}
	return checkFilter(*expr)
}

// checkFilter tells a mistake in a filter with a mark under the place.
func checkFilter(expr string) error {
	_, err := filter.Parse(expr)
	if err == nil {
		return nil
	}
	if e, ok := err.(*filter.Error); ok && e.Column > 0 {
		return usagef("filter: %v\n  %s\n  %s^", err, expr, strings.Repeat(" ", e.Column-1))
	}
	return usagef("filter: %v", err)
}
