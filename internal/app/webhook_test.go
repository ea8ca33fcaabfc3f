package app

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestWebhook: a signed body comes to the backend byte for byte, an unsigned one never, and both
// leave a record that tells why.
func TestWebhook(t *testing.T) {
	served := 0
	w := newWorld(t, `
access:
  routes:
    - {match: "POST /hooks/github", webhook: {provider: github, secret: [a-new-secret, an-old-secret]}}
backend: `+httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served++
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `"%x"`, sha256.Sum256(body))
	}))+"\n")
	body := `{"zen": "` + strings.Repeat("Keep it logically awesome. ", 20_000) + "\xff\"}"
	mac := hmac.New(sha256.New, []byte("an-old-secret"))
	mac.Write([]byte(body))
	for i, tt := range []struct {
		path, signature string
		chunked         bool
		status          int
		reason          any
	}{
		{"/hooks/github", "sha256=" + hex.EncodeToString(mac.Sum(nil)), false, 200, nil},
		{"/hooks/github", "sha256=" + hex.EncodeToString(mac.Sum(nil)), true, 200, nil},
		{"/hooks//GitHub", "sha256=" + strings.Repeat("0", 64), false, 401, "webhook: signature wrong"},
		{"/hooks/github/", "", false, 401, "webhook: signature missing"},
		{"/elsewhere", "", false, 200, nil},
	} {
		var src io.Reader = strings.NewReader(body)
		if tt.chunked {
			src = io.MultiReader(src)
		}
		req, _ := http.NewRequest("POST", w.url+tt.path, src)
		req.Header.Set("Content-Type", "application/json")
		if tt.signature != "" {
			req.Header.Set("X-Hub-Signature-256", tt.signature)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || tt.status == 200 && string(text) != fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(body))) {
			t.Errorf("%s: %d %s", tt.path, resp.StatusCode, text)
		}
		rec := w.sink.next(t, i)
		if got, _ := rec["error"].(string); fmt.Sprint(got) != fmt.Sprint(map[bool]any{true: "", false: tt.reason}[tt.reason == nil]) {
			t.Errorf("%s: recorded %v, want %v", tt.path, rec["error"], tt.reason)
		}
		if tt.status == 401 && rec["origin"] != "gateway" {
			t.Errorf("%s: origin %v", tt.path, rec["origin"])
		}
	}
	if served != 3 {
		t.Errorf("the backend served %d calls, want 3", served)
	}
}
