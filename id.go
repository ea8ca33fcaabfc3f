package tapway

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"time"
)

// ID names an exchange for ever: a UUIDv7 (RFC 9562 §5.7), the same in every attempt, so
// that a destination can use it as idempotency key. The zero ID means "none".
type ID [16]byte

// idSource draws random bits by the page: one system call serves 256 ids.
type idSource struct {
	mu   sync.Mutex
	page [256 * 10]byte
	left []byte
}

var ids idSource

// NewID makes the ID of an exchange that began at t. It is safe for concurrent use.
func NewID(t time.Time) ID {
	var id ID
	ms := uint64(t.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	ids.mu.Lock()
	if len(ids.left) == 0 {
		rand.Read(ids.page[:]) // never fails: crypto/rand aborts the program instead
		ids.left = ids.page[:]
	}
	copy(id[6:], ids.left[:10])
	ids.left = ids.left[10:]
	ids.mu.Unlock()
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// IsZero reports whether the ID is "none".
func (id ID) IsZero() bool { return id == ID{} }

// Time is the millisecond in which the exchange began.
func (id ID) Time() time.Time {
	var ms int64
	for i := range 6 {
		ms = ms<<8 | int64(id[i])
	}
	return time.UnixMilli(ms).UTC()
}

// String is the usual form with dashes; the zero ID gives "".
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return string(id.Append(make([]byte, 0, 36)))
}

// Append adds the usual form to dst.
func (id ID) Append(dst []byte) []byte {
	dst = hex.AppendEncode(dst, id[:4])
	for _, part := range [...][]byte{id[4:6], id[6:8], id[8:10], id[10:]} {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

// ParseID reads the form that String prints.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, fmt.Errorf("%q is not an exchange id: want a UUID such as 0198c2f0-0000-7000-8000-000000000000", s)
	}
	flat := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(id[:], []byte(flat)); err != nil {
		return ID{}, fmt.Errorf("%q is not an exchange id: want a UUID such as 0198c2f0-0000-7000-8000-000000000000", s)
	}
	return id, nil
}

// MarshalText makes an ID a JSON string.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote; the empty text is the zero ID.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	parsed, err := ParseID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}
