package access

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestSecret(t *testing.T) {
	const old, fresh = "0123456789abcdef", "fedcba9876543210"
	gate := new(Gate)
	gate.Set(NewChain(Options{}, NewSecret(old, fresh)))
	var reached http.Header
	handler := gate.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r.Header }))
	for _, tt := range []struct {
		lines []string
		want  int
	}{
		{nil, 403},
		{[]string{""}, 403},
		{[]string{old}, 200},
		{[]string{fresh}, 200},
		{[]string{old[:15]}, 403},
		{[]string{old + "0"}, 403},
		{[]string{old, old}, 403},
		{[]string{"x", old}, 403},
	} {
		reached = nil
		r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
		r.Header.Set("X-Other", "1")
		if tt.lines != nil {
			r.Header[SecretHeader] = tt.lines
		}
		handler.ServeHTTP(w, r)
		if w.Code != tt.want || (reached != nil) != (tt.want == 200) {
			t.Errorf("%q: %d, reached %v; want %d", tt.lines, w.Code, reached, tt.want)
		}
		if reached != nil && (reached.Get(SecretHeader) != "" || reached.Get("X-Other") != "1") {
			t.Errorf("%q: the backend gets %v", tt.lines, reached)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set(SecretHeader, old)
	if _, refusal := gate.chain.Load().Explain(r); refusal != nil || r.Header.Get(SecretHeader) != old {
		t.Errorf("explain refuses (%v) or changes the call", refusal)
	}
	if NewSecret().Decide(&Request{HTTP: httptest.NewRequest("GET", "/", nil)}) == nil {
		t.Error("no secret lets everything pass")
	}
	exempt := NewSecret(old)
	exempt.Exempt = func(*http.Request) bool { return true }
	r = httptest.NewRequest("GET", "/", nil)
	r.Header.Set(SecretHeader, "a stranger's")
	if refusal := exempt.Decide(&Request{HTTP: r}); refusal != nil || r.Header.Get(SecretHeader) != "" {
		t.Errorf("an attached API: %v, the backend gets %v", refusal, r.Header)
	}
}
