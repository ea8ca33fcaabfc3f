package app

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tapway/tapway/internal/admin"
)

// TestCache: a second call is answered from the cache; its record says so and has the body and
// the redacted path, and the ledger balances.
func TestCache(t *testing.T) {
	calls := new(atomic.Int32)
	backend := httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"a":1}`))
	}))
	w := newWorld(t, `
routes: [{match: "ANY /users/{token}", backend: "`+backend+`/u/{token}"}]
capture: {redact: {path: [token]}}
cache: {routes: [{match: "GET /{proxy+}"}]}`)
	for i := range 2 {
		if status, _, body := askWith(t, w.url+"/users/hidden"); status != 200 || body != `{"a":1}` {
			t.Fatalf("call %d: %d %q", i, status, body)
		}
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls reached the backend", n)
	}
	origins := map[any]int{}
	for i := range 2 { // they may come in either order
		rec := w.sink.next(t, i)
		origins[rec["origin"]]++
		if rec["route"] != "ANY /users/{token}" || rec["endpoint"] != "/users/[REDACTED]" {
			t.Errorf("record %d: %v %v", i, rec["route"], rec["endpoint"])
		}
		if body, ok := rec["response"].(map[string]any); !ok || body["a"] != 1.0 {
			t.Errorf("record %d: response %v", i, rec["response"])
		}
	}
	if origins["backend"] != 1 || origins["cache"] != 1 {
		t.Errorf("origins: %v", origins)
	}
	if status, _, _ := askWith(t, w.url+"/users/hidden", "Authorization", "Bearer x"); status != 200 || calls.Load() != 2 {
		t.Errorf("a call with a credential was answered from the cache: %d", status)
	}
	client := &admin.Client{Base: "http://" + w.app.AdminAddr()}
	purged, err := admin.JSON[admin.Purged](client.Post(t.Context(), "/api/v1/cache/purge?path=/users/*", nil))
	if err != nil || purged.Purged != 1 {
		t.Errorf("purge: %+v %v", purged, err)
	}
	_, _, metrics := askWith(t, client.Base+"/metrics")
	for _, want := range []string{`tapway_cache_calls_total{result="hit"} 1`, `tapway_cache_answers_total{event="invalidated"} 1`, `tapway_calls_total{origin="cache",status="2xx"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
}
