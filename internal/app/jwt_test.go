package app

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestJWT: keys found by discovery, claims to the backend, scopes by route, refusals recorded.
func TestJWT(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(nil)
	b64 := base64.RawURLEncoding.EncodeToString
	var idp *httptest.Server
	idp = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/keys"}`, idp.URL, idp.URL)
		case "/keys":
			fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":%q}]}`, b64(public))
		}
	}))
	defer idp.Close()
	w := newWorld(t, `
access:
  jwt: {issuer: "`+idp.URL+`", audience: api, headers: {X-User: sub}}
  routes:
    - {match: "DELETE /{proxy+}", scopes: admin}
    - {match: "GET /public", authorization: none}
backend: `+httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q", r.Header["X-User"])
	}))+"\n")
	token := func(more string) string {
		text := b64([]byte(`{"alg":"EdDSA","kid":"1"}`)) + "." + b64(fmt.Appendf(nil, `{"iss":%q,"aud":"api","sub":"ada","exp":%d%s}`, idp.URL, time.Now().Unix()+60, more))
		return "Bearer " + text + "." + b64(ed25519.Sign(private, []byte(text)))
	}
	for i, tt := range []struct {
		method, path, token string
		status              int
		body, reason        string
	}{
		{"GET", "/x", token(""), 200, `["ada"]`, ""},
		{"GET", "/x", token("") + "x", 401, `{"message":"Unauthorized"}`, "jwt: token is malformed"},
		{"GET", "/x", token("")[:len(token(""))-4] + "AAAA", 401, `{"message":"Unauthorized"}`, "jwt: token's signature is invalid"},
		{"GET", "/public", "", 200, `[]`, ""},
		{"DELETE", "/x", token(""), 403, `{"message":"Forbidden"}`, "jwt: scope"},
		{"DELETE", "/x", token(`,"scope":"admin"`), 200, `["ada"]`, ""},
	} {
		req, _ := http.NewRequest(tt.method, w.url+tt.path, nil)
		req.Header.Set("X-User", "root")
		if tt.token != "" {
			req.Header.Set("Authorization", tt.token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || string(text) != tt.body {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, resp.StatusCode, text)
		}
		rec := w.sink.next(t, i)
		if got, _ := rec["error"].(string); got != tt.reason {
			t.Errorf("%s %s: recorded %q, want %q", tt.method, tt.path, got, tt.reason)
		}
		whole, _ := json.Marshal(rec)
		if headers := rec["request_headers"].(map[string]any); headers["X-User"] != "root" || len(tt.token) > 30 && strings.Contains(string(whole), tt.token[20:]) {
			t.Errorf("the record has %v", headers)
		}
	}
}

// TestJWTRestart: tokens are verified after a restart while the identity provider is down.
func TestJWTRestart(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(nil)
	b64 := base64.RawURLEncoding.EncodeToString
	var idp *httptest.Server
	idp = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/keys"}`, idp.URL, idp.URL)
		case "/keys":
			fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":%q}]}`, b64(public))
		}
	}))
	defer idp.Close()
	text := b64([]byte(`{"alg":"EdDSA","kid":"1"}`)) + "." + b64(fmt.Appendf(nil, `{"iss":%q,"aud":"api","exp":%d}`, idp.URL, time.Now().Unix()+600))
	token := "Bearer " + text + "." + b64(ed25519.Sign(private, []byte(text)))
	data := filepath.Join(t.TempDir(), "data")
	backend := httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	yaml := "data: " + data + "\nbackend: " + backend + "\naccess: {jwt: {issuer: \"" + idp.URL + "\", audience: api}}\n"
	ask := func(w *world, want int) {
		t.Helper()
		if got, _, _ := askWith(t, w.url+"/x", "Authorization", token); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	w := newWorldIn(t, yaml)
	ask(w, 200)
	w.stop()
	idp.Close()
	w = newWorldIn(t, yaml)
	ask(w, 200)
	w.stop()
	kept, err := filepath.Glob(filepath.Join(data, "identity-keys-*.json"))
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	if err := os.Remove(kept[0]); err != nil {
		t.Fatal(err)
	}
	w = newWorldIn(t, yaml)
	ask(w, 503) // the provider is down indeed
	w.stop()
}
