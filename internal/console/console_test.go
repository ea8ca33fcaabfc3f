package console_test

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/console"
)

func get(path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	console.Handler().ServeHTTP(rec, r)
	return rec
}

// TestFiles: every file is served with its type and the policy, and asked for again it is not
// sent twice.
func TestFiles(t *testing.T) {
	types := map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	total := 0
	err := fs.WalkDir(os.DirFS("static"), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		path := "/" + name
		if name == "index.html" {
			path = "/"
		}
		rec := get(path)
		h := rec.Header()
		plain := rec.Body.String()
		packed := get(path, "Accept-Encoding", "br, gzip")
		total += packed.Body.Len()
		if z, err := gzip.NewReader(packed.Body); err == nil && packed.Header().Get("Content-Encoding") == "gzip" {
			if text, err := io.ReadAll(z); err != nil || string(text) != plain {
				t.Errorf("%s: what is packed is something else: %v", path, err)
			}
		} else if packed.Header().Get("Content-Encoding") != "" || rec.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: %v", path, packed.Header())
		}
		if packed.Header().Get("Vary") != "Accept-Encoding" || packed.Header().Get("Content-Encoding") != "" && packed.Header().Get("ETag") == h.Get("ETag") {
			t.Errorf("%s: a cache cannot tell the two forms apart: %v", path, packed.Header())
		}
		if refused := get(path, "Accept-Encoding", "gzip;q=0"); refused.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s is packed for who refuses it", path)
		}
		if rec.Code != 200 || h.Get("Content-Type") != types[name[strings.LastIndex(name, "."):]] || h.Get("Content-Security-Policy") != console.Policy || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-cache" || h.Get("ETag") == "" {
			t.Errorf("%s: %d %v", path, rec.Code, h)
		}
		if again := get(path, "If-None-Match", h.Get("ETag")); again.Code != 304 || again.Body.Len() != 0 {
			t.Errorf("%s again: %d", path, again.Code)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if total == 0 || total > 80<<10 {
		t.Errorf("all of the console is %d bytes over the wire; a first view, with what it asks for, is to be under 150 KiB", total)
	}
	for _, path := range []string{"/index.html", "/js/", "/js", "/js/none.js", "/../console.go", "/static/index.html"} {
		if rec := get(path); rec.Code != 404 || rec.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
}

// TestPreload: the page names every module that the first view needs, so that a browser fetches them side by side,
// and no other one.
func TestPreload(t *testing.T) {
	page := get("/").Body.String()
	imported := regexp.MustCompile(`(?m)^(?:import|\}) .*from "\./([a-z]+\.js)";`)
	needed := map[string]bool{"theme.js": true}
	for next := []string{"app.js"}; len(next) > 0; next = next[1:] {
		if needed[next[0]] {
			continue
		}
		needed[next[0]] = true
		text, err := os.ReadFile("static/js/" + next[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range imported.FindAllSubmatch(text, -1) {
			next = append(next, string(m[1]))
		}
	}
	names, err := fs.Glob(os.DirFS("static"), "js/*.js")
	if err != nil || len(names) < 20 || len(needed) < 10 || len(needed) == len(names) {
		t.Fatalf("%d modules, %d of them for the first view, %v", len(names), len(needed), err)
	}
	for _, name := range names {
		want := 0
		if needed[filepath.Base(name)] {
			want = 1
		}
		if n := strings.Count(page, `"/`+name+`"`); n != want {
			t.Errorf("the page names %s %d times, want %d", name, n, want)
		}
	}
}

// TestPolicy: nothing inline, nothing from elsewhere, no frames, no strings as markup.
func TestPolicy(t *testing.T) {
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"} {
		if !strings.Contains("; "+console.Policy+";", "; "+want+";") {
			t.Errorf("the policy lacks %s", want)
		}
	}
	if strings.Contains(console.Policy, "unsafe") || strings.Contains(console.Policy, "*") || strings.Contains(console.Policy, "data:") {
		t.Errorf("the policy is weak: %s", console.Policy)
	}
	danger := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|\beval\(|new Function|setAttribute\("style|javascript:|https?://[a-z]+\.(com|net|org|io)/[^ ]*\.js`)
	err := fs.WalkDir(os.DirFS("static"), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile("static/" + name)
		if found := danger.FindString(string(text)); found != "" {
			t.Errorf("%s says %s", name, found)
		}
		if strings.HasSuffix(name, ".html") && regexp.MustCompile(`(?i)\son\w+=|style=|<style|<script>`).Match(text) {
			t.Errorf("%s has something inline", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
