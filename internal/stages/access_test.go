package stages

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/access"
)

// TestChain: what the configuration says is what the chain holds, and nothing else.
func TestChain(t *testing.T) {
	rules := map[string]string{
		"access: {trusted_proxies: 10.0.0.0/8}":                                                    "address",
		"access: {methods: GET}":                                                                   "address methods",
		"access: {secret: 0123456789abcdef}":                                                       "address secret",
		"access: {routes: [{match: /x, methods: GET}]}":                                            "address methods",
		"proxy: {filtered_paths: /x, filtered_message: No}":                                        "address filtered_paths",
		"limits: {calls: 1}":                                                                       "address limits",
		"access: {api_key: required}":                                                              "address api_key",
		"access: {routes: [{match: /x, api_key: required}]}":                                       "address api_key",
		"access: {api_key: off, usage_plans: [{name: a}]}":                                         "address",
		"access: {usage_plans: [{name: a, rate: 1}]}":                                              "address api_key plan",
		"access: {throttle: {rate: 1}}":                                                            "address plan",
		"access: {api_key: required, jwt: {issuer: https://a.example, audience: a}}":               "address api_key jwt",
		"access: {api_key: required, jwt: {issuer: https://a.example, audience: a, api_key: key}}": "address jwt api_key",
		"access: {routes: [{match: /x, throttle: {rate: 1}}]}":                                     "address plan",
	}
	for text, want := range rules {
		counter, err := access.OpenCounter("", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		a := Access{State: access.NewState(counter, time.Now()), Page: func(w http.ResponseWriter, _ *http.Request, status int, message, _ string) {
			w.WriteHeader(status)
			io.WriteString(w, message)
		}}
		chain, err := a.Chain(load(t, "backend: http://b.internal\n"+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/x", nil)
		steps, _ := chain.Explain(r)
		var got []string
		for _, s := range steps {
			if s.Rule != "" {
				got = append(got, s.Rule)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %s", text, got, want)
		}
		if strings.Contains(text, "filtered_message") {
			gate, out := new(access.Gate), httptest.NewRecorder()
			gate.Set(chain)
			gate.Wrap(http.NotFoundHandler()).ServeHTTP(out, r)
			if out.Code != 403 || out.Body.String() != "No" {
				t.Errorf("%d %s", out.Code, out.Body)
			}
		}
	}
}
