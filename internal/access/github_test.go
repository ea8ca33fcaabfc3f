package access

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGitHubHooks(t *testing.T) {
	f, err := OpenHookFile("", nil)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"192.30.252.0": true, "192.30.255.255": true, "192.30.251.255": false, "192.31.0.0": false,
		"140.82.127.255": true, "140.82.128.0": false, "2a0a:a447:ffff::1": true, "2a0a:a448::": false, "::ffff:185.199.108.1": true,
	} {
		if f.Contains(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: %v", addr, !want)
		}
	}
	w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: "github", From: &Origins{Hooks: f, Set: NewSet(netip.MustParsePrefix("203.0.113.0/24"))}}, githubSecret)))
	for from, want := range map[string]int{"140.82.112.1:1": 200, "203.0.113.9:1": 200, "198.51.100.1:1": 403, "?": 403} {
		w.from = from
		if got, _ := w.post(t, "{}", signed("github", githubSecret, "{}", 0)...); got.status != want {
			t.Errorf("%s: %d, want %d", from, got.status, want)
		}
	}
}

// TestHookRefresh: a fetched copy wins, is taken up while running, and nonsense changes nothing.
func TestHookRefresh(t *testing.T) {
	meta := `{"verifiable_password_authentication": false, "hooks": ["198.51.100.0/24", "2001:db8::/32"], "web": ["0.0.0.0/0"]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		w.Write([]byte(meta))
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "github-hooks.json")
	f, err := OpenHookFile(file, nil)
	if err != nil || f.Ranges().Date != BundledHookRanges().Date {
		t.Fatalf("without a file: %v, %v", f.Ranges(), err)
	}
	now := time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)
	r, err := FetchHookRanges(t.Context(), server.Client(), server.URL, now)
	if err != nil || r.Date != "2026-11-21" || len(r.Hooks) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := r.Write(file); err != nil {
		t.Fatal(err)
	}
	f.tend(now)
	inside, outside := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("140.82.112.1")
	if !f.Contains(inside) || f.Contains(outside) {
		t.Error("the file does not win")
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.tend(now.Add(HookLook))
	if !f.Contains(inside) {
		t.Error("a broken file emptied the set")
	}
	if _, err := OpenHookFile(file, nil); err == nil || !strings.Contains(err.Error(), "tapway access refresh") {
		t.Errorf("at start: %v", err)
	}
	for _, bad := range []string{`{}`, `{"hooks": []}`, `{"hooks": ["0.0.0.0/0"]}`, `{"hooks": ["10.0.0.0/11"]}`, `{"hooks": ["2000::/3"]}`, `{"hooks": ["::ffff:0.0.0.0/96"]}`, `{"hooks": ["here"]}`, `[]`, ``} {
		meta = bad
		if r, err := FetchHookRanges(t.Context(), server.Client(), server.URL, now); err == nil {
			t.Errorf("%s gives %v", bad, r)
		}
	}
	meta = strings.Repeat(" ", maxMeta) + "{}"
	for _, url := range []string{server.URL, server.URL + "/moved"} {
		if _, err := FetchHookRanges(t.Context(), server.Client(), url, now); err == nil {
			t.Errorf("%s gives ranges", url)
		}
	}
}
