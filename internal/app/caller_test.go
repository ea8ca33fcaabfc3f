package app

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
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

// TestTruststoreReload: a certificate of a CA that has gone from the truststore does not come in by a session of before.
func TestTruststoreReload(t *testing.T) {
	authority, other := newCA(t), newCA(t)
	cert, key := authority.issue("front")
	clientCert, clientKey := authority.issue("ada")
	pair, err := tls.LoadX509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(t.TempDir(), "clients.pem")
	var front certificate
	trust := func(ca string) *tls.Config {
		t.Helper()
		text, err := os.ReadFile(ca)
		if err == nil {
			err = os.WriteFile(store, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		settings, err := front.load(&config.ServerTLS{Cert: cert, Key: tapway.Secret(key), ClientCA: store})
		if err != nil {
			t.Fatal(err)
		}
		return settings
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", trust(authority.file))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.WriteString(c, "ok")
				c.Close()
			}()
		}
	}()
	settings := &tls.Config{RootCAs: authority.pool(), Certificates: []tls.Certificate{pair}, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	dial := func() (admitted, resumed bool) {
		c, err := tls.Dial("tcp", l.Addr().String(), settings)
		if err != nil {
			return false, false
		}
		defer c.Close()
		text, _ := io.ReadAll(c)
		return string(text) == "ok", c.ConnectionState().DidResume
	}
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		settings.MaxVersion = version
		trust(authority.file)
		if admitted, _ := dial(); !admitted {
			t.Fatalf("TLS %x: not admitted", version)
		}
		if admitted, resumed := dial(); !admitted || !resumed {
			t.Errorf("TLS %x: admitted %v, resumed %v", version, admitted, resumed)
		}
		trust(other.file)
		if admitted, resumed := dial(); admitted {
			t.Errorf("TLS %x: admitted by a CA that has gone, resumed %v", version, resumed)
		}
	}
}
