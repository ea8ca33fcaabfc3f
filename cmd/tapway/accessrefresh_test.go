package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAccessRefresh: the fetched addresses are in the data directory, and explain goes by them.
func TestAccessRefresh(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	answer := `{"hooks": ["198.51.100.0/24"]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(answer)) }))
	defer server.Close()
	write(t, dir, "payload.json", `{"zen": "Design for failure."}`)
	write(t, dir, "tapway.yaml", "backend: http://127.0.0.1:8081\ndata: data\naccess: {webhook: {provider: github, secret: a-shared-secret, addresses: github-hooks}}\n")
	mac := hmac.New(sha256.New, []byte("a-shared-secret"))
	mac.Write([]byte(`{"zen": "Design for failure."}`))
	explain := []string{"access", "explain", "--method", "POST", "--ip", "198.51.100.7", "--body-file", "payload.json", "--header", "X-Hub-Signature-256: sha256=" + hex.EncodeToString(mac.Sum(nil))}
	out, _, code := execute(t, dir, explain...)
	mustContain(t, out, "authentication: webhook", "github does not call from this address", "403")
	if code != 1 {
		t.Errorf("exit %d before", code)
	}
	out, errOut, code := execute(t, dir, "access", "refresh", "github-hooks", "--url", server.URL)
	mustContain(t, out, "github-hooks: 1 networks as of ", filepath.Join("data", "github-hooks.json"))
	if code != 0 || errOut != "" {
		t.Errorf("exit %d: %s", code, errOut)
	}
	out, errOut, code = execute(t, dir, explain...)
	mustContain(t, out, "the github signature is valid", "It passes.")
	if code != 0 {
		t.Errorf("exit %d afterwards: %s", code, errOut)
	}
	answer = `{"hooks": ["0.0.0.0/0"]}`
	_, errOut, code = execute(t, dir, "access", "refresh", "github-hooks", "--url", server.URL)
	if code != 1 || !strings.Contains(errOut, "too wide") {
		t.Errorf("exit %d: %s", code, errOut)
	}
	if _, errOut, code = execute(t, dir, "access", "refresh", "gitlab-hooks"); code != 2 || !strings.Contains(errOut, "write github-hooks") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}
