package delivery

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-1", "99999999999999999999", "Fri, 20 Nov 2026 10:00:01 GMT", "Friday, 20-Nov-26 10:05:00 GMT", "\x00"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		if d := retryAfter(http.Header{"Retry-After": {value}}, now); d < 0 || d > MaxRetryAfter {
			t.Errorf("%q gives %v", value, d)
		}
	})
}

// Whatever a client sent, every format stays one JSON document per record, on one line.
func FuzzFormats(f *testing.F) {
	f.Add("api.example.com", "GET", "/users/1", "a=b", []byte(`{"a":1}`), "application/json")
	f.Add("\"\n\xff", "G\"ET", "/\x00\u2028", "%zz", []byte("{\"a\"\n:\n1}"), "text/plain")
	f.Fuzz(func(t *testing.T, from, method, path, query string, body []byte, contentType string) {
		ex := tapway.Exchange{
			Meta:          tapway.Meta{ID: tapway.NewID(time.Unix(0, 0)), Time: time.Unix(0, 0), From: from, Method: method, Path: path, Query: query},
			RequestHeader: tapway.Header{{Name: "Content-Type", Value: contentType}},
			Request:       tapway.Body{Bytes: body, Size: int64(len(body))},
		}
		m := tapway.Message{ID: ex.ID, Frame: tapway.AppendFrame(nil, &ex)}
		for _, format := range []Format{JSON, NDJSON, CloudEvents, HAR} {
			s := &Sender{Format: format}
			text, err := s.encode([]byte("before"), &m)
			if err != nil {
				t.Fatalf("%s: %v", format, err)
			}
			text, ok := bytes.CutPrefix(text, []byte("before"))
			if !ok || !json.Valid(text) || bytes.IndexByte(text, '\n') >= 0 {
				t.Errorf("%s: %q", format, text)
			}
		}
	})
}
