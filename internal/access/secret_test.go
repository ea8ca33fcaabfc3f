package access

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

func TestSecret(t *testing.T) {
	const old, young = "old-0123456789abcdef", "young-0123456789abcdef"
	for _, tt := range []struct {
		name   string
		lines  []string
		exempt bool
		want   string // the record's error; "" passes
	}{
		{"the one", []string{young}, false, ""},
		{"the other, while rotating", []string{old}, false, ""},
		{"none", nil, false, "secret: missing"},
		{"an empty one", []string{""}, false, "secret: wrong"},
		{"the beginning of one", []string{young[:len(young)-1]}, false, "secret: wrong"},
		{"one and more", []string{young + "x"}, false, "secret: wrong"},
		{"another case", []string{strings.ToUpper(young)}, false, "secret: wrong"},
		{"two lines", []string{young, young}, false, "secret: wrong"},
		{"two in one line, as fronts join them", []string{young + "," + young}, false, "secret: wrong"},
		{"an attached API", nil, true, ""},
		{"an attached API that sends one", []string{"stranger"}, true, ""},
	} {
		decider := NewSecret(old, young)
		decider.Exempt = func(*http.Request) bool { return tt.exempt }
		gate, refused := new(Gate), ""
		gate.Set(NewChain(Options{Refused: func(name string) { refused = name }}, decider))
		var got http.Header
		call := new(tapway.Call)
		in := httptest.NewRequest("GET", "/x", nil)
		in.Header.Set("X-Other", "stays")
		if tt.lines != nil {
			in.Header[SecretHeader] = tt.lines
		}
		w := httptest.NewRecorder()
		gate.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header })).ServeHTTP(w, in.WithContext(tapway.WithCall(in.Context(), call)))
		if call.Error != tt.want || (got != nil) != (tt.want == "") || (refused == "secret") != (tt.want != "") {
			t.Errorf("%s: %q, passed %v, counted as %q", tt.name, call.Error, got != nil, refused)
		}
		if tt.want != "" && (w.Code != 403 || w.Body.String() != `{"message":"Forbidden"}`) {
			t.Errorf("%s: answered %d %s", tt.name, w.Code, w.Body)
		}
		if got != nil && (got[SecretHeader] != nil || got.Get("X-Other") != "stays") {
			t.Errorf("%s: the backend would get %v", tt.name, got)
		}
		if tt.lines != nil && len(in.Header[SecretHeader]) != len(tt.lines) {
			t.Errorf("%s: the record's headers were changed", tt.name)
		}
	}
}

func TestCheckSecret(t *testing.T) {
	for value, good := range map[string]bool{
		"0123456789abcdef": true, "0123456789abcde": false, "": false, "0123456789abcde ": false, "0123456789abcde\n": false, "0123456789abcdeé": false,
	} {
		if err := CheckSecret(value); (err == nil) != good || err != nil && value != "" && strings.Contains(err.Error(), value) {
			t.Errorf("%q: %v", value, err)
		}
	}
}
