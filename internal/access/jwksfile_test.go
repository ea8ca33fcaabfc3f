package access

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"
)

// TestKeysRestart: keys outlive a restart while the provider is down, no longer than without one, and only
// where they are what they should be.
func TestKeysRestart(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Second)
	token := "Bearer " + mint("EdDSA", `{"alg":"EdDSA"}`, fmt.Sprintf(`{"iss":%q,"aud":"api","exp":%d}`, issuer, now.Unix()+1e6))
	p := newIDP(allKeys()...)
	source := KeySource{Issuer: issuer}
	start := func(source KeySource, times KeyTimes) *world {
		s := NewState(nil, time.Now())
		s.KeyDir = dir
		j := newJWT(p)
		j.Keys = s.Keyring(source, times, &http.Client{Transport: p}, slog.New(slog.DiscardHandler))
		w := newWorld(t, j)
		w.now = now
		return w
	}
	status := func(what string, w *world, want int) {
		t.Helper()
		if got := w.get(t, "/", "Authorization", token); got.status != want {
			t.Errorf("%s: %d, want %d (%s)", what, got.status, want, w.call.Error)
		}
	}
	status("at first", start(source, KeyTimes{}), 200)
	file := keptFile(dir, source)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p.down = true
	w := start(source, KeyTimes{})
	status("restarted", w, 200)
	if len(p.asked) != 2 {
		t.Errorf("keys that are young enough are fetched: %v", p.asked)
	}
	w.now = now.Add(defaultKeep - time.Second)
	status("at the end of what is kept", w, 200)
	w.now = now.Add(defaultKeep)
	status("too long", w, 503)
	status("of another issuer's URL", start(KeySource{Issuer: issuer, URL: "https://idp.example.com/other"}, KeyTimes{}), 503)

	kept := func(fetched time.Time) []byte {
		return bytes.Replace(whole, []byte(now.UTC().Format(time.RFC3339)), []byte(fetched.UTC().Format(time.RFC3339)), 1)
	}
	for _, tt := range []struct {
		name string
		text []byte
		want int
	}{
		{"as it was", kept(now), 200},
		{"old", kept(now.Add(-time.Hour + time.Minute)), 200},
		{"too old", kept(now.Add(-time.Hour)), 503},
		{"from the future", kept(now.Add(time.Hour)), 503},
		{"another version", bytes.Replace(whole, []byte(`"version":1`), []byte(`"version":2`), 1), 503},
		{"another issuer", bytes.Replace(whole, []byte(issuer), []byte("https://evil.example/"), 1), 503},
		{"no keys", bytes.Replace(whole, []byte(`"keys":[`), []byte(`"kyes":[`), 1), 503},
		{"cut off", whole[:len(whole)/2], 503},
		{"empty", nil, 503},
	} {
		if err := os.WriteFile(file, tt.text, 0o600); err != nil {
			t.Fatal(err)
		}
		status(tt.name, start(source, KeyTimes{Refresh: time.Hour, Keep: time.Hour}), tt.want)
	}
	p.down = false
	status("back", start(source, KeyTimes{}), 200)
	if text, err := os.ReadFile(file); err != nil || !bytes.Equal(text, whole) {
		t.Errorf("not written anew: %s %v", text, err)
	}
}
