package waf

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
)

// fuzzed is a firewall in front of a backend, without a network.
type fuzzed struct {
	handler http.Handler
	memory  *Memory
	log     *lockedBuffer
	body    []byte // that the backend got
	answer  http.HandlerFunc
}

func newFuzzed(f *testing.F, change func(*Config)) *fuzzed {
	c := Default()
	c.Mode, c.MaxBody, c.MaxResponse = Block, 4<<10, 4<<10
	change(&c)
	w := &fuzzed{memory: new(Memory), log: new(lockedBuffer)}
	fire, err := New(c, w.memory, slog.New(slog.NewTextHandler(w.log, nil)))
	if err != nil {
		f.Fatal(err)
	}
	gate := new(access.Gate)
	gate.Set(access.NewChain(access.Options{}, &access.ClientAddress{}, fire))
	w.handler = gate.Wrap(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.body, _ = io.ReadAll(r.Body)
		if w.answer != nil {
			w.answer(rw, r)
		}
	}))
	return w
}

// do makes a call and gives what came of it.
func (w *fuzzed) do(t *testing.T, r *http.Request) (*httptest.ResponseRecorder, *tapway.Call) {
	t.Helper()
	call := new(tapway.Call)
	rec := httptest.NewRecorder()
	w.body = nil
	w.handler.ServeHTTP(rec, r.WithContext(tapway.WithCall(r.Context(), call)))
	if n := w.memory.held.Load(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
	if text := w.log.String(); strings.Contains(text, "panicked") {
		t.Errorf("a rule has panicked:\n%s", text)
	}
	return rec, call
}

// FuzzRequest: no call makes a rule panic, what passes reaches the backend byte for byte, and the
// prefilter changes no verdict.
func FuzzRequest(f *testing.F) {
	for _, a := range attacks {
		name, value := "X-A", "b"
		if len(a.headers) == 2 {
			name, value = a.headers[0], a.headers[1]
		}
		f.Add(a.target, name, value, a.contentType, []byte(a.body))
	}
	f.Add("/?a=1;b=2&a=%zz", "Cookie", "a=b; c", form, []byte("a=1&b=%00"))
	f.Add("/", "Content-Encoding", "gzip", "multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n"))
	f.Add("/a//b/../c", "Transfer-Encoding", "chunked", "application/xml", []byte(`<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>`))
	f.Add("/", "Range", "bytes=0-1,0-2", "application/json", []byte(`[[[[1e999,"\ud800"]]]]`))
	var both [2]*fuzzed
	for i := range both {
		both[i] = newFuzzed(f, func(c *Config) { c.Prefilter = i == 1 })
	}
	f.Fuzz(func(t *testing.T, target, name, value, contentType string, body []byte) {
		if len(body) > 2<<10 || len(target) > 1<<10 || len(value) > 1<<10 || !strings.HasPrefix(target, "/") || name == "" {
			return
		}
		var verdicts [2]string
		for i, w := range both {
			r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
			r.RequestURI, r.Host = target, "api.example.com"
			r.Header = http.Header{"User-Agent": {"shop-app/3.1"}, "Accept": {"application/json"}, http.CanonicalHeaderKey(name): {value}}
			if contentType != "" {
				r.Header["Content-Type"] = []string{contentType}
			}
			rec, call := w.do(t, r)
			verdicts[i] = fmt.Sprint(rec.Code, " ", sorted(call.Error))
			if rec.Code == http.StatusOK && !bytes.Equal(w.body, body) {
				t.Errorf("the backend got %q of %q", w.body, body)
			}
			if rec.Code != http.StatusOK && w.body != nil {
				t.Errorf("answered %d, and the backend got %q", rec.Code, w.body)
			}
		}
		if verdicts[0] != verdicts[1] {
			t.Errorf("without the prefilter %q, with it %q", verdicts[0], verdicts[1])
		}
	})
}

// sorted is the words of a reason, whatever order they came in.
func sorted(reason string) []string { return slices.Sorted(slices.Values(strings.Fields(reason))) }

// FuzzResponse: no response makes a rule panic, and the client gets it byte for byte or not at all.
func FuzzResponse(f *testing.F) {
	f.Add("application/json", "", 200, []byte(leak))
	f.Add("text/html", "identity", 500, []byte("<?php phpinfo(); ?>"))
	f.Add("text/plain; charset=utf-16", "gzip", 404, []byte("\xff\xfe\x00"))
	f.Add("application/xml", "", 200, []byte(`<a/>`))
	w := newFuzzed(f, func(c *Config) { c.Response = ResponseBody })
	f.Fuzz(func(t *testing.T, contentType, coding string, status int, body []byte) {
		if status < 200 || status > 599 || status == 204 || status == 304 || len(body) > 8<<10 {
			return
		}
		w.answer = func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", contentType)
			if coding != "" {
				rw.Header().Set("Content-Encoding", coding)
			}
			rw.WriteHeader(status)
			half := len(body) / 2
			_, _ = rw.Write(body[:half])
			_, _ = rw.Write(body[half:])
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = "api.example.com"
		r.Header = http.Header{"User-Agent": {"shop-app/3.1"}, "Accept": {"application/json"}}
		rec, call := w.do(t, r)
		got := rec.Body.Bytes()
		switch withheld := strings.HasPrefix(call.Error, "waf: response withheld: rule"); {
		case withheld && (rec.Code != http.StatusBadGateway || string(got) != errorPage):
			t.Errorf("withheld: %d %q", rec.Code, got)
		case !withheld && (rec.Code != status || !bytes.Equal(got, body)):
			t.Errorf("%d %q of %d %q, the record says %q", rec.Code, got, status, body, call.Error)
		}
	})
}
