package redact

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/tapway/tapway"
)

func newRedactor(t testing.TB, rules Rules) *Redactor {
	t.Helper()
	r, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fields(pairs ...string) tapway.Header {
	var h tapway.Header
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, tapway.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return h
}

// exchange has the body as its request, of the given type and coding.
func exchange(contentType, coding, body string) *tapway.Exchange {
	ex := &tapway.Exchange{Request: tapway.Body{Bytes: []byte(body), Size: int64(len(body))}}
	if contentType != "" {
		ex.RequestHeader = append(ex.RequestHeader, tapway.Field{Name: "Content-Type", Value: contentType})
	}
	if coding != "" {
		ex.RequestHeader = append(ex.RequestHeader, tapway.Field{Name: "Content-Encoding", Value: coding})
	}
	return ex
}

func compress(t testing.TB, coding string, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "deflate":
		w = zlib.NewWriter(&buf)
	case "br":
		w = brotli.NewWriter(&buf)
	case "zstd":
		var err error
		if w, err = zstd.NewWriter(&buf); err != nil {
			t.Fatal(err)
		}
	default:
		return b
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
