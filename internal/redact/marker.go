package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"

	"github.com/tapway/tapway"
)

// Mark is what stands in place of a value when no key is set.
const Mark = "[REDACTED]"

// marker makes what stands in place of a value: Mark, or with a key a token that is the same
// wherever the value is the same.
type marker struct{ macs *sync.Pool }

func newMarker(key tapway.Secret) marker {
	if key == "" {
		return marker{}
	}
	return marker{&sync.Pool{New: func() any { return hmac.New(sha256.New, []byte(key.Reveal())) }}}
}

func (m marker) keyed() bool { return m.macs != nil }

// replace gives the token of a value: the first eight hex digits of its HMAC-SHA256.
func (m marker) replace(value []byte) string {
	if m.macs == nil {
		return Mark
	}
	mac := m.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(value)
	var sum [sha256.Size]byte
	mac.Sum(sum[:0])
	m.macs.Put(mac)
	const open = "[REDACTED:"
	out := make([]byte, 0, len(open)+9)
	out = append(out, open...)
	out = hex.AppendEncode(out, sum[:4])
	return string(append(out, ']'))
}
