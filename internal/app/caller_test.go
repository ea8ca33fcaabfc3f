package app

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// TestIAM: a call signed by AWS's own signer comes through both ends and every stage between.
func TestIAM(t *testing.T) {
	w := newWorld(t, `
access:
  iam: {region: eu-west-1, header: X-Caller, credentials: [{name: partner, access_key_id: AKIDPARTNER, secret_access_key: a-secret-of-sixteen, routes: "ANY /pets/{proxy+}"}]}
backend: `+httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Header["X-Caller"], body)
	}))+"\n")
	for i, tt := range []struct {
		path, sent string
		status     int
		body       string
		reason     string
	}{
		{"/pets/a%20b?q=%2B&p=a+b", `{"name":"Rex"}`, 200, `[partner] {"name":"Rex"}`, ""},
		{"/pets/1", `{"name":"Max"}`, 403, "does not match", "iam: signature wrong"},
		{"/admin", `{"name":"Rex"}`, 403, "not authorized", "iam: route"},
	} {
		sum := sha256.Sum256([]byte(`{"name":"Rex"}`))
		req, err := http.NewRequest("POST", w.url+tt.path, strings.NewReader(tt.sent))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKIDPARTNER", SecretAccessKey: "a-secret-of-sixteen"}, req, hex.EncodeToString(sum[:]), "execute-api", "eu-west-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Caller", "root")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || !strings.Contains(string(text), tt.body) {
			t.Errorf("%s: %d %s", tt.path, resp.StatusCode, text)
		}
		if got, _ := w.sink.next(t, i)["error"].(string); got != tt.reason {
			t.Errorf("%s: recorded %q, want %q", tt.path, got, tt.reason)
		}
	}
}

// TestClientCertificate: of those that the CA has signed one may come in, over HTTP/1.1 and HTTP/2.
func TestClientCertificate(t *testing.T) {
	authority := newCA(t)
	frontCert, frontKey := authority.issue("front")
	w := newWorld(t, fmt.Sprintf(`
tls: {cert: %s, key: %s, client_ca: %s}
access: {client_certificate: {subjects: CN=ada, headers: {X-Client: common_name}}}
backend: %s
`, frontCert, frontKey, authority.file, httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["X-Client"]) }))))
	n := 0
	for name, want := range map[string]string{"ada": "200 [ada]", "bob": `403 {"message":"Forbidden"}`} {
		cert, key := authority.issue(name)
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		for _, h2 := range []bool{false, true} {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.pool(), Certificates: []tls.Certificate{pair}}, ForceAttemptHTTP2: h2}}
			req, _ := http.NewRequest("GET", "https://"+w.addr+"/", nil)
			req.Header.Set("X-Client", "root")
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			client.CloseIdleConnections()
			if got := fmt.Sprintf("%d %s", resp.StatusCode, text); got != want {
				t.Errorf("%s (h2 %v): %s", name, h2, got)
			}
			rec := w.sink.next(t, n)
			if got, _ := rec["error"].(string); (got == "client certificate: not allowed") != (name == "bob") {
				t.Errorf("%s: recorded %q", name, got)
			}
			n++
		}
	}
}
