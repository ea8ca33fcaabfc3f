package redact

import (
	"bytes"
	"errors"
)

var errEvents = errors.New("an event with a rule's name in it is not JSON")

// eventsBody redacts the JSON in server-sent events. The data lines of one event are one text (HTML standard
// §9.2.6); a text that begins as JSON is redacted by the rules. Another that holds a name must be plain
// words to stay; the names and ids of events stay too.
func (r *Redactor) eventsBody(in []byte, truncated bool) ([]byte, error) {
	if utf16ish(in) {
		return nil, errUTF16
	}
	if !r.json.search.inJSON(in) {
		return in, nil
	}
	if truncated {
		return nil, errTruncated
	}
	var cuts []cut
	var data []dataLine
	flush := func() error {
		c, err := r.event(in, data)
		cuts, data = append(cuts, c...), data[:0]
		return err
	}
	for i := 0; i < len(in); {
		end, next := lineEnd(in, i)
		line := in[i:end]
		field, _, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(line) == 0:
			if err := flush(); err != nil {
				return nil, err
			}
		case bytes.HasPrefix(line, []byte("data:")):
			start := i + len("data:")
			if start < end && in[start] == ' ' {
				start++
			}
			data = append(data, dataLine{i, start, end})
		case string(field) == "event" || string(field) == "id" || string(field) == "retry" || len(field) == 0:
		default:
			// Not a line that the standard knows: then it must not hold a name either.
			if r.json.search.inJSON(line) {
				return nil, errEvents
			}
		}
		i = next
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if cuts == nil {
		return in, nil
	}
	return apply(in, cuts), nil
}

// dataLine is where a data line begins, and where its text begins and ends.
type dataLine struct{ line, start, end int }

// event gives the cuts for the data lines of one event.
func (r *Redactor) event(in []byte, lines []dataLine) ([]cut, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	text := in[lines[0].start:lines[0].end]
	if len(lines) > 1 {
		text = bytes.Clone(text)
		for _, l := range lines[1:] {
			text = append(append(text, '\n'), in[l.start:l.end]...)
		}
	}
	if !r.json.search.inJSON(text) {
		return nil, nil
	}
	if !looksJSON(text) {
		if bytes.ContainsAny(text, `{["':=`) {
			return nil, errEvents
		}
		return nil, nil // words, not fields
	}
	out, err := r.json.json(text, r.mark)
	if err != nil || same(out, text) {
		return nil, err
	}
	// Line breaks of JSON stand between its tokens only: each begins a data line again.
	last := lines[len(lines)-1]
	out = bytes.ReplaceAll(out, []byte("\n"), []byte("\ndata: "))
	return []cut{{lines[0].start, last.end, string(out)}}, nil
}

// lineEnd finds the end of the line that begins at i, and the beginning of the next; a line ends
// with CR, LF or both.
func lineEnd(b []byte, i int) (end, next int) {
	n := bytes.IndexAny(b[i:], "\r\n")
	if n < 0 {
		return len(b), len(b)
	}
	end = i + n
	if b[end] == '\r' && end+1 < len(b) && b[end+1] == '\n' {
		return end, end + 2
	}
	return end, end + 1
}
