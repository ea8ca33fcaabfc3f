package redact

import "bytes"

// guards stand before JSON so that no other site can run it as a script.
var guards = [][]byte{[]byte(")]}'"), []byte("while(1);"), []byte("while (1);"), []byte("for(;;);"), []byte("for (;;);"), []byte("throw 1;"), []byte("{}&&")}

// maxCall is how long what stands before the JSON of a JSONP answer may be.
const maxCall = 256

// unwrap finds the JSON in a text that guards it, or hands it to a function (JSONP): callback({…}); with
// the function's usual checks before it. ok is false for any other text. That it is JSON, the reader
// has to find out.
func unwrap(b []byte) (start, end int, ok bool) {
	i := 0
	if bytes.HasPrefix(b, bom) {
		i = len(bom)
	}
	for i < len(b) && blank(b[i]) {
		i++
	}
	for _, guard := range guards {
		if rest, found := bytes.CutPrefix(b[i:], guard); found {
			rest, _ = bytes.CutPrefix(rest, []byte(","))
			return len(b) - len(rest), len(b), true
		}
	}
	stop := min(len(b), i+maxCall)
	for ; i < stop; i++ {
		switch c := b[i]; {
		case c == '(':
			rest := bytes.TrimLeft(b[i+1:], " \t\r\n")
			if len(rest) == 0 || rest[0] != '{' && rest[0] != '[' && rest[0] != '"' {
				return 0, 0, false
			}
			end = len(bytes.TrimRight(b, "; \t\r\n"))
			if end > i+1 && b[end-1] == ')' {
				end--
			}
			return i + 1, max(end, i+1), true
		case wordByte(c) || blank(c) || bytes.IndexByte([]byte(`$.[]'"=!&|/*`), c) >= 0:
		default:
			return 0, 0, false
		}
	}
	return 0, 0, false
}

// scriptBody redacts JSONP. Any other script stays as it is: its names are code.
func (r *Redactor) scriptBody(in []byte, truncated bool) ([]byte, error) {
	if utf16ish(in) {
		return nil, errUTF16
	}
	if !r.json.search.inJSON(in) {
		return in, nil
	}
	start, end, ok := unwrap(in)
	if !ok {
		return in, nil
	}
	if truncated {
		return nil, errTruncated
	}
	return r.wrapped(in, start, end)
}

// wrapped redacts the JSON from start to end.
func (r *Redactor) wrapped(in []byte, start, end int) ([]byte, error) {
	core := in[start:end]
	out, err := r.json.json(core, r.mark)
	if err != nil || same(out, core) {
		return in, err
	}
	return apply(in, []cut{{start, end, string(out)}}), nil
}
