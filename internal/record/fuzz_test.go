package record

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// dice makes values of a fuzzer's bytes.
type dice struct{ b []byte }

func (d *dice) byte() byte {
	if len(d.b) == 0 {
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *dice) int64() int64 {
	var b [8]byte
	for i := range b {
		b[i] = d.byte()
	}
	return int64(binary.LittleEndian.Uint64(b[:]))
}

func (d *dice) bytes() []byte {
	n := int(d.byte())
	if n == 255 {
		n = len(d.b)
	}
	n = min(n, len(d.b))
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *dice) string() string { return string(d.bytes()) }

// duration stays below what a float64 holds to the microsecond.
func (d *dice) duration() time.Duration { return time.Duration(d.int64() >> 12) }

func (d *dice) header() tapway.Header {
	var h tapway.Header
	for range d.byte() % 8 {
		name := [...]string{"Content-Type", "Content-Encoding", "Set-Cookie", "X-A", ""}[d.byte()%5]
		if name == "" {
			name = http.CanonicalHeaderKey(d.string())
		}
		value := [...]string{"application/json", "gzip", "text/plain", "br", ""}[d.byte()%5]
		if value == "" {
			value = d.string()
		}
		h = append(h, tapway.Field{Name: name, Value: value})
	}
	return h
}

func (d *dice) body() tapway.Body {
	flags := d.byte()
	b := tapway.Body{Bytes: d.bytes(), Truncated: flags&1 != 0, Decoded: flags&2 != 0, Summed: flags&4 != 0}
	b.Size = int64(len(b.Bytes))
	if flags&8 != 0 {
		b.Size = max(b.Size, d.int64()) // some passed by
	}
	b.Summed = b.Summed || b.Decoded // Bytes are no longer those that passed
	if flags&16 != 0 {
		b.Bytes, b.Withheld = nil, true
	}
	copy(b.Sum[:], d.bytes())
	return b
}

func (d *dice) exchange() *tapway.Exchange {
	ex := &tapway.Exchange{
		Meta: tapway.Meta{
			Time:     time.Unix(0, d.int64()),
			Duration: d.duration(), Overhead: d.duration(), Access: d.duration(), Connect: d.duration(), FirstByte: d.duration(),
			Front:  [...]tapway.Front{"", "server", "rest", "http", "url", "alb"}[d.byte()%6],
			Origin: [...]tapway.Origin{"", "backend", "gateway", "cache"}[d.byte()%4],
			Proto:  d.string(), From: d.string(), Method: d.string(), Path: d.string(), Query: d.string(),
			Route: d.string(), ClientIP: d.string(), Status: int(int16(d.int64())), Error: d.string(),
			TraceID: [...]string{"", "4bf92f3577b34da6a3ce929d0e0e4736"}[d.byte()%2],
		},
		RequestHeader: d.header(), ResponseHeader: d.header(), RequestTrailer: d.header(), ResponseTrailer: d.header(),
		Request: d.body(), Response: d.body(),
	}
	copy(ex.ID[:], d.bytes())
	if d.byte()%2 == 1 {
		ex.API = &tapway.API{ID: d.string(), Stage: d.string(), RequestID: d.string()}
	}
	for range d.byte() % 4 {
		ex.Fidelity = append(ex.Fidelity, d.string())
	}
	return ex
}

// Whatever passes, its record is valid JSON on one line, satisfies the schema, and gives the
// same record again after it was read.
func FuzzAppend(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x01\x02 some bytes that make a small exchange \xff\x00[]{}\"\\ and more of them, and more"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := dice{data}
		ex := d.exchange()
		rec := Append(nil, ex)
		if !json.Valid(rec) {
			t.Fatalf("not JSON: %q", rec)
		}
		recordtest.Validate(t, rec)
		got := again(t, rec)
		if got.ID != ex.ID || got.Status != min(max(ex.Status, 0), 999) || !got.Time.Equal(ex.Time.Truncate(time.Millisecond)) {
			t.Errorf("read back %+v\nof %+v", got.Meta, ex.Meta)
		}
		if entry := AppendHAREntry(nil, ex); !json.Valid(entry) {
			t.Errorf("HAR entry is not JSON: %q", entry)
		}
	})
}

// A stranger's bytes give an error or an exchange that makes a record.
func FuzzParse(f *testing.F) {
	f.Add(Append(nil, example()))
	f.Add(Append(nil, &tapway.Exchange{}))
	f.Add([]byte(`{"version":1,"body_info":{"encoding":"base64","size":1e99},"body":"AA=="}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ex, err := Parse(data)
		if err != nil {
			return
		}
		if rec := Append(nil, ex); !json.Valid(rec) {
			t.Errorf("not JSON: %q\nmade of %q", rec, data)
		}
	})
}
