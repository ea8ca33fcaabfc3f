package capture

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// A call that Skip leaves out passes like any other, is counted as sampled, and nothing of it is kept meanwhile.
func TestSkip(t *testing.T) {
	var asked []string
	var told []*tapway.Exchange
	held := int64(-1)
	rec := &Recorder{
		Memory: 1 << 20, // less than the bodies: what is kept would have to go to a file
		Skip: func(ex *tapway.Exchange) bool {
			if ex.Method != "POST" || ex.From == "" || ex.RequestHeader.Get("X-A") != "b" || ex.Status != 0 {
				t.Errorf("asked about %+v", ex)
			}
			if ex.Path == "/panic" {
				panic("rules")
			}
			return ex.Path == "/skip"
		},
		Decide: func(ex *tapway.Exchange) Decision {
			asked = append(asked, ex.Path)
			return Keep
		},
		Redact: func(ex *tapway.Exchange) { ex.Query = "[REDACTED]" },
		Observe: func(ex *tapway.Exchange, err error, _ time.Duration) {
			if err != nil {
				t.Error(err)
			}
			c := *ex
			told = append(told, &c)
		},
	}
	big := long(3 << 20)
	s := serve(t, rec, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != big {
			t.Errorf("%d bytes arrive, %v", len(body), err)
		}
		io.WriteString(w, big)
		held = rec.Stats().Memory + rec.Stats().SpoolBytes + rec.Stats().SpoolFiles
	}, true)
	post := func(path string) {
		t.Helper()
		r, _ := http.NewRequest("POST", "http://h"+path+"?token=1", strings.NewReader(big))
		r.Header.Set("X-A", "b")
		res, err := s.client(false).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != big {
			t.Errorf("%s: %d bytes, %v", path, len(body), err)
		}
		res.Body.Close()
	}
	post("/skip")
	s.settled()
	if held != 0 || len(asked) != 0 || len(s.queue.all()) != 0 || s.queue.dropped["sampled"] != 1 {
		t.Errorf("held %d, asked about %q, %d stored, dropped %v", held, asked, len(s.queue.all()), s.queue.dropped)
	}
	if len(told) != 1 || told[0].Query != "[REDACTED]" || told[0].Status != 200 || told[0].RequestSize != 3<<20 || told[0].ResponseSize != 3<<20 || told[0].Request.Bytes != nil {
		t.Errorf("observed %+v", told)
	}
}

// What is not skipped, be it because Skip panicked, is decided about and stored.
func TestNotSkipped(t *testing.T) {
	for _, path := range []string{"/keep", "/panic"} {
		rec := &Recorder{Skip: func(ex *tapway.Exchange) bool {
			if ex.Path == "/panic" {
				panic("rules")
			}
			return false
		}, Sampled: func(*tapway.Exchange) { t.Error("a stored call counts as sampled") }}
		s := serve(t, rec, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, true)
		if _, body, err := s.raw("GET", "GET "+path+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil || body != "hello" {
			t.Errorf("%q, %v", body, err)
		}
		if ex := s.queue.one(t); ex.Path != path || string(ex.Response.Bytes) != "hello" {
			t.Errorf("stored %+v", ex)
		}
	}
}

// Sampled hears of what is left out in Observe's place, and then nothing is redacted.
func TestSampled(t *testing.T) {
	for _, early := range []bool{true, false} {
		var told []tapway.Meta
		rec := &Recorder{
			Skip:    func(*tapway.Exchange) bool { return early },
			Decide:  func(*tapway.Exchange) Decision { return Drop },
			Redact:  func(*tapway.Exchange) { t.Error("redacted for nobody") },
			Observe: func(*tapway.Exchange, error, time.Duration) { t.Error("observed") },
			Ended:   func(*tapway.Call, *tapway.Exchange) { t.Error("ended") },
			Sampled: func(ex *tapway.Exchange) { told = append(told, ex.Meta) },
		}
		s := serve(t, rec, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, true)
		if _, body, err := s.raw("GET", "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil || body != "hello" {
			t.Errorf("%q, %v", body, err)
		}
		s.settled()
		if len(told) != 1 || told[0].ResponseSize != 5 || told[0].Status != 200 || told[0].Duration <= 0 || s.queue.dropped["sampled"] != 1 {
			t.Errorf("early %v: %+v, dropped %v", early, told, s.queue.dropped)
		}
	}
}
