package app

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestParameterOutOfPlace: a path parameter that leads elsewhere is refused with a record, in
// which the other parameters are redacted all the same, and never reaches the backend.
func TestParameterOutOfPlace(t *testing.T) {
	var reached atomic.Int64
	backend := httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached.Add(1) }))
	w := newWorld(t, "routes: [{match: \"GET /reset/{token}/{file}\", backend: \""+backend+"/v1/{token}/{file}\"}]\ncapture: {redact: {path: [token]}}\n")
	for i, file := range []string{"..", "%2e%2e%2fadmin", "x"} {
		req, err := http.NewRequest("GET", w.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = "/reset/s3cret/" + file
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		want, problem, calls := 400, any("path parameter leads out of its place"), int64(0)
		if file == "x" {
			want, problem, calls = 200, nil, 1
		}
		rec := w.sink.next(t, i)
		if resp.StatusCode != want || reached.Load() != calls || rec["status"] != float64(want) || rec["error"] != problem || rec["route"] != "GET /reset/{token}/{file}" {
			t.Errorf("%s: %d, %d calls; recorded %v, %v, %v", file, resp.StatusCode, reached.Load(), rec["status"], rec["error"], rec["route"])
		}
		if path := rec["endpoint"].(string); strings.Contains(path, "s3cret") || !strings.HasSuffix(path, "/"+file) {
			t.Errorf("recorded %s", path)
		}
	}
}
