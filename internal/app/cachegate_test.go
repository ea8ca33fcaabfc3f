package app

import (
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// counting is a backend that numbers its answers.
func counting(t *testing.T) string {
	n := new(atomic.Int32)
	return httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "answer %d", n.Add(1)) }))
}

// TestCacheInvalidation: a resource policy says who may have an answer made anew; without one
// nobody may, and an Allow of execute-api:Invoke alone is none.
func TestCacheInvalidation(t *testing.T) {
	const invoke = `{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"}`
	const deployer = `{"Effect":"Allow","Principal":"*","Action":"execute-api:InvalidateCache","Resource":"execute-api:/*/GET/catalog/*","Condition":{"StringEquals":{"aws:UserAgent":"deployer"}}}`
	const nobody = `{"Effect":"Deny","Principal":"*","Action":"execute-api:InvalidateCache","Resource":"execute-api:/*/GET/catalog/locked"}`
	for _, tt := range []struct {
		name, statements, more, path, agent string
		status                              int
		body                                string
		warning                             bool
	}{
		{"no policy", "", "", "/catalog/a", "deployer", 200, "answer 1", true},
		{"no policy, anyone", "", "invalidation: anyone, ", "/catalog/a", "curl", 200, "answer 2", false},
		{"Invoke alone", invoke, "", "/catalog/a", "deployer", 200, "answer 1", true},
		{"who may", invoke + "," + deployer + "," + nobody, "", "/catalog/a", "deployer", 200, "answer 2", false},
		{"who may not", invoke + "," + deployer + "," + nobody, "", "/catalog/a", "curl", 200, "answer 1", true},
		{"who may not, fail", invoke + "," + deployer, "unauthorized: fail, ", "/catalog/a", "curl", 403, `{"message":"Forbidden"}`, false},
		{"who may not, ignore", invoke + "," + deployer, "unauthorized: ignore, ", "/catalog/a", "curl", 200, "answer 1", false},
		{"who may, fail", invoke + "," + deployer, "unauthorized: fail, ", "/catalog/a", "deployer", 200, "answer 2", false},
		{"another path than the policy's", invoke + "," + deployer, "", "/other", "deployer", 200, "answer 1", true},
		{"Deny over Allow", invoke + "," + deployer + "," + nobody, "", "/catalog/locked", "deployer", 200, "answer 1", true},
	} {
		yaml := "backend: " + counting(t) + "\ncache: {" + tt.more + "routes: [{match: \"GET /{proxy+}\"}]}\n"
		if tt.statements != "" {
			policy := filepath.Join(t.TempDir(), "policy.json")
			if err := os.WriteFile(policy, []byte(`{"Version":"2012-10-17","Statement":[`+tt.statements+`]}`), 0o600); err != nil {
				t.Fatal(err)
			}
			yaml += "access: {resource_policy: " + policy + "}\n"
		}
		w := newWorld(t, yaml)
		if _, _, body := askWith(t, w.url+tt.path, "User-Agent", tt.agent); body != "answer 1" {
			t.Errorf("%s: first %q", tt.name, body)
		}
		status, h, body := askWith(t, w.url+tt.path, "User-Agent", tt.agent, "Cache-Control", "max-age=0")
		if status != tt.status || body != tt.body || (h.Get("Warning") != "") != tt.warning {
			t.Errorf("%s: %d %q %v", tt.name, status, body, h)
		}
		if _, _, next := askWith(t, w.url+tt.path); tt.status == 200 && next != tt.body || tt.status != 200 && next != "answer 1" {
			t.Errorf("%s: the next one got %q", tt.name, next)
		}
		w.stop()
	}
}

// TestCacheKeysAndTokens: callers that the gate tells apart by key or token never get each
// other's answers. bypass keeps none of them, separate one for each.
func TestCacheKeysAndTokens(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	var idp *httptest.Server
	idp = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":%q}]}`, b64(public))
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/keys"}`, idp.URL, idp.URL)
	}))
	defer idp.Close()
	token := func(name string) string {
		text := b64([]byte(`{"alg":"EdDSA","kid":"1"}`)) + "." + b64(fmt.Appendf(nil, `{"iss":%q,"aud":"api","sub":%q,"exp":%d}`, idp.URL, name, time.Now().Unix()+600))
		return text + "." + b64(ed25519.Sign(private, []byte(text)))
	}
	const keys = "access: {api_keys: [{name: ann, value: key-of-ann-0123456789abcdef}, {name: bob, value: key-of-bob-0123456789abcdef}]}"
	jwt := func(header string) string {
		return `access: {jwt: {issuer: "` + idp.URL + `", audience: api, identity_source: $request.header.` + header + `, headers: {X-User: sub}}}`
	}
	for _, tt := range []struct{ name, access, header, ann, bob string }{
		{"API key", keys, "X-Api-Key", "key-of-ann-0123456789abcdef", "key-of-bob-0123456789abcdef"},
		{"JWT", jwt("Authorization"), "Authorization", "Bearer " + token("ann"), "Bearer " + token("bob")},
		{"JWT in a header of its own", jwt("X-Pass"), "X-Pass", token("ann"), token("bob")},
	} {
		for _, separate := range []bool{false, true} {
			callers := "bypass"
			if separate {
				callers = "separate"
			}
			w := newWorld(t, tt.access+"\nbackend: "+counting(t)+"\ncache: {routes: [{match: \"GET /{proxy+}\", callers: "+callers+"}]}\n")
			ask := func(value string) string {
				status, _, body := askWith(t, w.url+"/me", tt.header, value)
				if status != 200 {
					t.Fatalf("%s: %d %s", tt.name, status, body)
				}
				return body
			}
			ann, bob := ask(tt.ann), ask(tt.bob)
			if ann == bob {
				t.Errorf("%s, %s: bob got ann's answer", tt.name, callers)
			}
			if again := ask(tt.ann); (again == ann) != separate {
				t.Errorf("%s, %s: ann got %q, then %q", tt.name, callers, ann, again)
			}
			if status, _, _ := askWith(t, w.url+"/me"); status != 401 && status != 403 {
				t.Errorf("%s, %s: without a credential %d", tt.name, callers, status)
			}
			w.stop()
		}
	}
}

// TestCacheCertificates: likewise by client certificate, over HTTP/1.1 and HTTP/2.
func TestCacheCertificates(t *testing.T) {
	authority := newCA(t)
	frontCert, frontKey := authority.issue("front")
	w := newWorld(t, fmt.Sprintf("tls: {cert: %s, key: %s, client_ca: %s}\nbackend: %s\n", frontCert, frontKey, authority.file, counting(t))+
		`cache: {routes: [{match: "GET /me", callers: separate}, {match: "GET /{proxy+}"}]}`)
	clients := map[string]*http.Client{}
	for _, name := range []string{"ann", "bob"} {
		pair, err := tls.LoadX509KeyPair(authority.issue(name))
		if err != nil {
			t.Fatal(err)
		}
		for who, h2 := range map[string]bool{name: false, name + "2": true} {
			c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.pool(), Certificates: []tls.Certificate{pair}}, ForceAttemptHTTP2: h2}}
			t.Cleanup(c.CloseIdleConnections)
			clients[who] = c
		}
	}
	ask := func(who, path string) string {
		resp, err := clients[who].Get("https://" + w.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d %v", who, resp.StatusCode, err)
		}
		return string(body)
	}
	ann, bob := ask("ann", "/me"), ask("bob", "/me")
	if ann == bob || ask("ann2", "/me") != ann || ask("bob2", "/me") != bob {
		t.Errorf("separate: ann got %q, bob %q", ann, bob)
	}
	if one, two, three := ask("ann", "/x"), ask("bob", "/x"), ask("ann", "/x"); one == two || one == three {
		t.Errorf("bypass: ann got %q and %q, bob %q", one, three, two)
	}
}

// TestCacheBodies: a GET with a body is the backend's, over HTTP/1.1 and HTTP/2, and one without
// is kept over both.
func TestCacheBodies(t *testing.T) {
	authority := newCA(t)
	frontCert, frontKey := authority.issue("front")
	w := newWorld(t, fmt.Sprintf("tls: {cert: %s, key: %s}\nbackend: %s\n", frontCert, frontKey, httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})))+`cache: {routes: [{match: "GET /{proxy+}"}]}`)
	for path, h2 := range map[string]bool{"/one": false, "/two": true} {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.pool()}, ForceAttemptHTTP2: h2}}
		t.Cleanup(c.CloseIdleConnections)
		ask := func(body io.Reader) (string, string) {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+w.addr+path, body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(text), resp.Header.Get("Cache-Status")
		}
		for _, evil := range []io.Reader{strings.NewReader("evil"), io.MultiReader(strings.NewReader("evil"))} {
			if text, status := ask(evil); text != "evil" || status != "" {
				t.Errorf("%s with a body: %q %q", path, text, status)
			}
		}
		if text, status := ask(nil); text != "" || status != "tapway; fwd=uri-miss; stored" {
			t.Errorf("%s: %q %q", path, text, status)
		}
		if _, status := ask(nil); !strings.HasPrefix(status, "tapway; hit") {
			t.Errorf("%s again: %q", path, status)
		}
		if text, _ := ask(strings.NewReader("evil")); text != "evil" {
			t.Errorf("%s with a body, when there is an answer: %q", path, text)
		}
	}
}
