package redact

import (
	"bytes"
	"errors"
)

var errPacked = errors.New("a rule's name in a binary form of JSON")

// packedBody withholds a binary form of JSON with a member that a rule names: its values are not taken out one by one.
func (r *Redactor) packedBody(in []byte, _ bool) ([]byte, error) {
	folded := make([]byte, len(in))
	for i, c := range in {
		folded[i] = lower(c)
	}
	for _, name := range r.fields.names.all {
		if hasMember(in, folded, bytes.ToLower([]byte(name))) {
			return nil, errPacked
		}
	}
	return in, nil
}

// hasMember reports whether name, in lower case, stands in b as a member's name: behind its length, as MessagePack, CBOR,
// UBJSON and Smile write it, or before a NUL, as BSON does. folded is b in lower case.
func hasMember(b, folded, name []byte) bool {
	n := byte(len(name))
	for i := 0; ; {
		at := bytes.Index(folded[i:], name)
		if at < 0 {
			return false
		}
		start, end := i+at, i+at+len(name)
		i = start + 1
		if end < len(b) && b[end] == 0 {
			return true
		}
		if start == 0 {
			continue
		}
		if c := b[start-1]; c == n || c == 0xa0|n || c == 0x60|n || c == 0x80|(n-1) {
			return true
		}
	}
}
