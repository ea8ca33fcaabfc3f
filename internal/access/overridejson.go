package access

import (
	"bytes"
	"encoding/json"
	"strings"
)

// jsonScan looks for the field among the names of a JSON object, not of those within it. What is no JSON it reads as well as it
// can: whoever takes that for nothing has no method of it.
type jsonScan struct {
	may   *judge
	depth int
	state jsonState
	over  bool // the object is closed, or there is none

	name    []byte // of the object's field that is being read, with its quotes; at most maxField
	field   bool   // it is the field
	escaped bool
}

type jsonState uint8

const (
	jsonStart  jsonState = iota // before the object
	jsonPlain                   // between texts
	jsonWanted                  // where the object's next name stands
	jsonName                    // in a name of the object
	jsonText                    // in another text
	jsonValue                   // behind the field's name
	jsonMethod                  // in the field's text
)

func (j *jsonScan) done() bool { return j.over }
func (j *jsonScan) end() error { return nil } // a text that has no end is not JSON

// clean looks at a whole body for what any spelling of the field has to have: an escape of a character, or its letters
// behind their first sign. Nearly all bodies have neither, and are done with.
func (j *jsonScan) clean(body []byte) bool {
	j.over = !bytes.Contains(body, []byte(`\u`)) && !mentions(body, overrideField[0]) && !mentions(body, '.')
	return j.over
}

// mentions reports whether the field's name behind its first sign stands behind sign somewhere.
func mentions(body []byte, sign byte) bool {
	name := overrideField[1:]
	for {
		i := bytes.IndexByte(body, sign)
		if i < 0 || len(body)-i <= len(name) {
			return false
		}
		if body = body[i+1:]; strings.EqualFold(string(body[:len(name)]), name) {
			return true
		}
	}
}

// feed is scanner.
func (j *jsonScan) feed(b []byte) (held int, err error) {
	for i := 0; i < len(b) && !j.over; i++ {
		switch j.state {
		case jsonText:
			if i = j.skip(b, i); i < len(b) {
				j.state = jsonPlain
			}
		case jsonName, jsonMethod:
			if err := j.text(b[i]); err != nil {
				return 0, err
			}
		case jsonStart:
			j.start(b[i])
		default:
			j.between(b[i])
		}
	}
	return len(j.name), nil
}

// skip gives where a text ends, or len(b).
func (j *jsonScan) skip(b []byte, i int) int {
	for ; i < len(b); i++ {
		if !j.escaped {
			next := bytes.IndexAny(b[i:], `"\`)
			if next < 0 {
				return len(b)
			}
			if i += next; b[i] == '"' {
				return i
			}
			j.escaped = true
			continue
		}
		j.escaped = false
	}
	return i
}

// start waits for the object. What begins otherwise has no fields.
func (j *jsonScan) start(c byte) {
	switch {
	case c == '{':
		j.depth, j.state = 1, jsonWanted
	case c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != 0xef && c != 0xbb && c != 0xbf: // a byte order mark
		j.over = true
	}
}

func (j *jsonScan) between(c byte) {
	switch c {
	case '"':
		switch j.state {
		case jsonWanted:
			j.state, j.name = jsonName, append(j.name[:0], c)
		case jsonValue:
			j.state, j.name = jsonMethod, append(j.name[:0], c)
		default:
			j.state = jsonText
		}
		j.escaped = false
	case '{', '[':
		j.depth++
		j.state = jsonPlain
	case '}', ']':
		j.depth--
		j.state = jsonPlain
		j.over = j.depth == 0
	case ',':
		if j.depth == 1 {
			j.state = jsonWanted
		}
	case ':':
		if j.field && j.depth == 1 {
			j.state = jsonValue
		}
		j.field = false
	}
}

// text goes on with a name, or with the field's value.
func (j *jsonScan) text(c byte) error {
	if len(j.name) < maxField {
		j.name = append(j.name, c)
	} else if j.state == jsonMethod {
		return errOverride
	}
	switch {
	case j.escaped:
		j.escaped = false
	case c == '\\':
		j.escaped = true
	case c == '"':
		was, quoted := j.state, j.name
		j.state, j.name = jsonPlain, j.name[:0]
		if was == jsonName {
			j.field = namesField(quoted)
			return nil
		}
		var method string
		if len(quoted) >= maxField || json.Unmarshal(quoted, &method) != nil || !j.may.takes(method) {
			return errOverride
		}
	}
	return nil
}

// namesField reports whether a name in its quotes is the field's.
func namesField(quoted []byte) bool {
	if len(quoted) >= maxField {
		return false
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return isField(string(quoted[1 : len(quoted)-1]))
	}
	var name string
	return json.Unmarshal(quoted, &name) == nil && isField(name)
}
