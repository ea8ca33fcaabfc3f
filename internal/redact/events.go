package redact

import (
	"bytes"
	"errors"
)

var errEvents = errors.New("a line with a rule's name in it that is none of an event")

// eventsBody redacts the JSON in server-sent events. The data lines of one event are one text (HTML standard
// §9.2.6); a text that begins as JSON is redacted by the rules. Another that holds a name must be plain words to stay;
// if it is not, what follows goes with it, since nothing tells where the value ends. The names and ids of events
// stay.
func (r *Redactor) eventsBody(in []byte, _ bool) ([]byte, error) {
	if utf16ish(in) {
		return nil, errUTF16
	}
	if !r.json.search.inJSON(in) {
		return in, nil
	}
	var cuts []cut
	var data []dataLine
	i := 0
	if bytes.HasPrefix(in, bom) {
		i = len(bom)
	}
	for i < len(in) {
		end, next := lineEnd(in, i)
		line := in[i:end]
		field, _, colon := bytes.Cut(line, []byte(":"))
		switch string(field) {
		case "":
			if colon {
				break // a comment
			}
			var ok bool
			if cuts, ok = r.event(cuts, in, data); !ok {
				return apply(in, cuts), nil
			}
			data = data[:0]
		case "data":
			start := min(i+len("data:"), end)
			if start < end && in[start] == ' ' {
				start++
			}
			data = append(data, dataLine{start, end})
		case "event", "id", "retry":
		default:
			// Not a line that the standard knows: then it must not hold a name either.
			if r.json.search.inJSON(line) {
				return nil, errEvents
			}
		}
		i = next
	}
	cuts, _ = r.event(cuts, in, data)
	if cuts == nil {
		return in, nil
	}
	return apply(in, cuts), nil
}

// dataLine is where the text of a data line begins and ends.
type dataLine struct{ start, end int }

// event adds the cuts for the data lines of one event. It gives false when it has cut everything behind it, too.
func (r *Redactor) event(cuts []cut, in []byte, lines []dataLine) ([]cut, bool) {
	if len(lines) == 0 {
		return cuts, true
	}
	text := in[lines[0].start:lines[0].end]
	if len(lines) > 1 {
		text = bytes.Clone(text)
		for _, l := range lines[1:] {
			text = append(append(text, '\n'), in[l.start:l.end]...)
		}
	}
	start, end := lines[0].start, lines[len(lines)-1].end
	if !r.json.search.inJSON(text) || !looksJSON(text) && !bytes.ContainsAny(text, `{["':=`) {
		return cuts, true // words, not fields
	}
	if looksJSON(text) {
		if out, err := r.json.json(text, r.mark); err == nil {
			if !same(out, text) {
				// Line breaks of JSON stand between its tokens only: each begins a data line again.
				out = bytes.ReplaceAll(out, []byte("\n"), []byte("\ndata: "))
				cuts = append(cuts, cut{start, end, string(out)})
			}
			return cuts, true
		}
	}
	return append(cuts, cut{start, len(in), r.mark.replace(in[start:])}), false
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
