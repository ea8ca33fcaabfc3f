package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// node is a JSON value that knows where it stood.
type node struct {
	offset int
	kind   byte // '{', '[', '"', 'b' (true, false), '0' (number), 'n' (null)
	text   string
	items  []node  // of an array
	fields []field // of an object, in their order, no name twice
}

type field struct {
	name   string
	offset int
	value  node
}

func (n *node) what() string {
	switch n.kind {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 'b':
		return n.text
	case '0':
		return "a number"
	}
	return "null"
}

// PolicyError is what is wrong with a policy, and where.
type PolicyError struct {
	Line, Column int    // from 1; the column in characters
	Message      string // what is wrong
	Hint         string // what to do about it; may be ""
	offset       int
}

func (e *PolicyError) Error() string {
	text := fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// place fills in line and column.
func (e *PolicyError) place(text []byte) *PolicyError {
	before := text[:min(max(e.offset, 0), len(text))]
	e.Line = bytes.Count(before, []byte("\n")) + 1
	e.Column = utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return e
}

const maxPolicyDepth = 16

// readJSON reads one strict JSON value: no name twice in an object, nothing behind it.
func readJSON(text []byte) (node, *PolicyError) {
	if !utf8.Valid(text) {
		return node{}, &PolicyError{Message: "not UTF-8", Hint: "save it as UTF-8"}
	}
	d := &jsonReader{Decoder: json.NewDecoder(bytes.NewReader(text)), text: text}
	d.UseNumber()
	n, err := d.value(0)
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = &PolicyError{offset: d.at(), Message: "something stands behind the policy", Hint: "remove it"}
		}
	}
	return n, err
}

type jsonReader struct {
	*json.Decoder
	text []byte
}

// at is where the next token begins.
func (d *jsonReader) at() int {
	i := int(d.InputOffset())
	for i < len(d.text) && strings.IndexByte(" \t\r\n,:", d.text[i]) >= 0 {
		i++
	}
	return i
}

func (d *jsonReader) value(depth int) (node, *PolicyError) {
	at := d.at()
	if depth > maxPolicyDepth {
		return node{}, &PolicyError{offset: at, Message: "nested too deeply for a policy"}
	}
	token, err := d.Token()
	if err != nil {
		return node{}, d.broken(err, at)
	}
	n := node{offset: at}
	switch t := token.(type) {
	case json.Delim:
		n.kind = byte(t)
		if t == '{' {
			return n, d.object(&n, depth)
		}
		for d.More() {
			item, err := d.value(depth + 1)
			if err != nil {
				return n, err
			}
			n.items = append(n.items, item)
		}
		return n, d.end()
	case string:
		n.kind, n.text = '"', t
	case json.Number:
		n.kind, n.text = '0', t.String()
	case bool:
		n.kind, n.text = 'b', fmt.Sprint(t)
	default:
		n.kind = 'n'
	}
	return n, nil
}

func (d *jsonReader) object(n *node, depth int) *PolicyError {
	seen := map[string]bool{}
	for d.More() {
		at := d.at()
		token, err := d.Token()
		if err != nil {
			return d.broken(err, at)
		}
		name, _ := token.(string)
		if seen[name] {
			return &PolicyError{offset: at, Message: fmt.Sprintf("%q stands here twice", name), Hint: "remove one, or write its values as one list"}
		}
		seen[name] = true
		value, bad := d.value(depth + 1)
		if bad != nil {
			return bad
		}
		n.fields = append(n.fields, field{name, at, value})
	}
	return d.end()
}

func (d *jsonReader) end() *PolicyError {
	at := d.at()
	if _, err := d.Token(); err != nil {
		return d.broken(err, at)
	}
	return nil
}

// broken tells of a token that cannot be read; at is where it begins.
func (d *jsonReader) broken(err error, at int) *PolicyError {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &PolicyError{offset: len(d.text), Message: "the policy ends too early"}
	}
	return &PolicyError{offset: at, Message: "not valid JSON: " + err.Error()}
}
