package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// TestExport: every record in both formats, filtered, to a file or a pipe.
func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	g.calls(t, "/1", "/fail/2", "/3?a=b")
	resp, err := http.Post("http://"+g.addr+"/login", "application/json", strings.NewReader(`{"user":"neo","password":"hunter2"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	settled(t, w.dir)
	check := func(name string) {
		out := must(t, w.dir, "export")
		if n := strings.Count(out, "\n"); n != 4 {
			t.Errorf("%s: %d records", name, n)
		}
		for line := range strings.Lines(out) {
			recordtest.Validate(t, []byte(strings.TrimSuffix(line, "\n")))
		}
		if out != must(t, w.dir, "queue", "export") {
			t.Error("queue export differs from export")
		}
		mustContain(t, must(t, w.dir, "export", "status >= 500"), `"endpoint":"/fail/2"`)
		if n := strings.Count(must(t, w.dir, "export", "--limit", "2"), "\n"); n != 2 {
			t.Errorf("%s: --limit 2 gives %d", name, n)
		}
		har := must(t, w.dir, "export", "--format", "har")
		archive := decode[struct {
			Log struct {
				Version string
				Entries []struct {
					Request  struct{ Method, URL string }
					Response struct{ Status int }
				}
			}
		}](t, har)
		if archive.Log.Version != "1.2" || len(archive.Log.Entries) != 4 || !strings.HasSuffix(archive.Log.Entries[2].Request.URL, "/3?a=b") || archive.Log.Entries[1].Response.Status != 500 {
			t.Errorf("%s: HAR %+v", name, archive)
		}
		if strings.Contains(out+har, "hunter2") {
			t.Errorf("%s shows a password", name)
		}
	}
	check("online")
	g.stop(t)
	check("offline")

	must(t, w.dir, "export", "--format", "har", "-o", "calls.har", "status >= 500")
	if text, err := os.ReadFile(filepath.Join(w.dir, "calls.har")); err != nil || strings.Count(string(text), "startedDateTime") != 1 {
		t.Errorf("calls.har: %v %s", err, text)
	}
	fails(t, w.dir, 1, "write the export: ", "export", "-o", "no/such/dir/x")
	fails(t, w.dir, 2, "-o: . is a directory; name a file in it", "export", "-o", ".")
	breaks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Tapway-Admin", "1")
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("{}\n"))
	}))
	defer breaks.Close()
	write(t, w.dir, "before", "as it was")
	for _, format := range []string{"ndjson", "har"} {
		fails(t, w.dir, 1, "the answer broke off", "export", "--admin", breaks.URL, "--format", format, "-o", "before")
		fails(t, w.dir, 1, "the answer broke off", "export", "--admin", breaks.URL, "--format", format, "-o", "part")
	}
	if text, err := os.ReadFile(filepath.Join(w.dir, "before")); err != nil || string(text) != "as it was" {
		t.Errorf("an export that broke off has replaced a file: %q %v", text, err)
	}
	if slices.Contains(entries(t, w.dir), "part") {
		t.Error("an export that broke off has left a file")
	}
	for _, name := range entries(t, w.dir) {
		if strings.HasPrefix(name, ".tapway-export") {
			t.Errorf("%s is left behind", name)
		}
	}
}

// TestReplay: requests are repeated as they were, records delivered anew.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	g.calls(t, "/1?q=%2F", "/2", "/fail/3")
	settled(t, w.dir)
	var repeated atomic.Int64
	var target atomic.Value
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Tapway-Replay") != "" {
			repeated.Add(1)
			target.Store(r.RequestURI)
		}
	}))
	defer other.Close()
	again := newSink(t)
	check := func(name string) {
		repeated.Store(0)
		mustContain(t, must(t, w.dir, "replay", "path == '/1'", "--to", other.URL+"/base"), "1 of 1 replayed.")
		if repeated.Load() != 1 || target.Load() != "/base/1?q=%2F" {
			t.Errorf("%s: %d repeated, target %v", name, repeated.Load(), target.Load())
		}
		mustContain(t, must(t, w.dir, "replay", w.idOf(t, "/2"), "--to", other.URL), "1 of 1 replayed.")
		if p := decode[admin.Progress](t, must(t, w.dir, "replay", "status < 600", "--to", other.URL, "--json", "--rate", "500")); p.OK != 3 || p.Matched != 3 {
			t.Errorf("%s: %+v", name, p)
		}
		mustContain(t, must(t, w.dir, "replay", "status < 600", "--to", other.URL, "--dry-run"), "3 would be replayed.")
		before := again.count("/")
		mustContain(t, must(t, w.dir, "replay", "status < 600", "--record", "--to", again.URL), "3 of 3 replayed.")
		if again.count("/")-before != 3 {
			t.Errorf("%s: %d records came", name, again.count("/")-before)
		}
		out, _, code := execute(t, w.dir, "replay", "path == '/1'", "--to", "http://127.0.0.1:1")
		if code != 1 || !strings.Contains(out, "0 of 1 replayed, 1 failed (last: ") {
			t.Errorf("%s: exit %d, %s", name, code, out)
		}
		fails(t, w.dir, 2, "to: not a URL", "replay", "status > 0", "--to", "nowhere")
		fails(t, w.dir, 2, "say which exchanges", "replay", "", "--to", other.URL)
		fails(t, w.dir, 1, "not found", "replay", "0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d", "--to", other.URL)
	}
	check("online")
	g.stop(t)
	check("offline")
}
