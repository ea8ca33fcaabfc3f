package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

// TestAccessExplainCaller: explain tells of tokens and certificates as of any other rule.
func TestAccessExplainCaller(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	public, private, _ := ed25519.GenerateKey(nil)
	b64 := base64.RawURLEncoding.EncodeToString
	asked := 0
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":%q}]}`, b64(public))
	}))
	defer idp.Close()
	text := b64([]byte(`{"alg":"EdDSA"}`)) + "." + b64(fmt.Appendf(nil, `{"iss":"idp","aud":"api","exp":%d,"scope":"read"}`, time.Now().Unix()+60))
	token := "Authorization: Bearer " + text + "." + b64(ed25519.Sign(private, []byte(text)))
	forged := "Authorization: Bearer " + text + "." + b64(make([]byte, 64))
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ada"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "ada.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, dir, "tapway.yaml", "backend: http://127.0.0.1:8081\naccess: {jwt: {issuer: idp, audience: api, jwks: '"+idp.URL+"'}, routes: [{match: GET /admin, scopes: admin}]}\n")
	write(t, dir, "mtls.yaml", "backend: http://127.0.0.1:8081\ntls: {cert: ada.pem, key: ada.pem, client_ca: ada.pem}\naccess: {client_certificate: {subjects: CN=ada}}\n")
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--header", token}, 0, "its signature is not checked here"},
		{[]string{"--header", forged}, 0, "its signature is not checked here"},
		{[]string{"--path", "/admin", "--header", token}, 1, `the token has the scopes "read", and one of "admin" is needed`},
		{[]string{}, 1, "Authorization: missing"},
		{[]string{"--header", token, "--fetch-keys"}, 0, `with the scopes "read"`},
		{[]string{"--header", forged, "--fetch-keys"}, 1, "the token's signature is invalid"},
		{[]string{"-c", "mtls.yaml", "--client-cert", "ada.pem"}, 0, `the certificate is that of "CN=ada"`},
		{[]string{"-c", "mtls.yaml"}, 1, "there is no client certificate"},
	} {
		before := asked
		out, errOut, code := execute(t, dir, append([]string{"access", "explain"}, tt.args...)...)
		if code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("%q: exit %d\n%s%s", tt.args, code, out, errOut)
		}
		if fetched := strings.Contains(strings.Join(tt.args, " "), "--fetch-keys"); (asked > before) != fetched {
			t.Errorf("%q: asked %d times", tt.args, asked-before)
		}
	}
}
