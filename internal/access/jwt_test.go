package access

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const issuer = "https://idp.example.com/"

// idp is an identity provider that answers without a network.
type idp struct {
	mu     sync.Mutex
	docs   map[string]string // by URL
	down   bool
	asked  []string
	during func() // while an answer is on its way
}

func (p *idp) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, r.URL.String())
	if p.during != nil {
		p.during()
	}
	if p.down {
		return nil, errors.New("no route to host")
	}
	out := httptest.NewRecorder()
	if text, ok := p.docs[r.URL.String()]; ok {
		io.WriteString(out, text)
	} else {
		out.WriteHeader(http.StatusNotFound)
	}
	return out.Result(), nil
}

func (p *idp) publish(keys ...string) {
	p.docs["https://keys.example.com/jwks"] = `{"keys":[` + strings.Join(keys, ",") + `]}`
}

func newIDP(keys ...string) *idp {
	p := &idp{docs: map[string]string{issuer + ".well-known/openid-configuration": `{"issuer":"` + issuer + `","jwks_uri":"https://keys.example.com/jwks"}`}}
	p.publish(keys...)
	return p
}

// newJWT is the decider with an identity provider of every kind of key.
func newJWT(p *idp) *JWT {
	s := NewState(nil, time.Now())
	return &JWT{
		Default: ByJWT, Issuer: issuer, Audience: []string{"api", "other"}, Leeway: 30 * time.Second,
		Headers: map[string]string{"X-User": "sub", "x-roles": "roles", "X-Level": "level"},
		Keys:    s.Keyring(KeySource{Issuer: issuer}, KeyTimes{}, &http.Client{Transport: p}, slog.New(slog.DiscardHandler)),
	}
}

func allKeys() (keys []string) {
	for _, name := range slices.Sorted(maps.Keys(signers())) {
		keys = append(keys, keyText(signers()[name], name, ""))
	}
	return keys
}

var epoch = time.Unix(1_750_000_000, 0)

func payload(more string) string {
	return fmt.Sprintf(`{"iss":%q,"aud":"api","sub":"ada","exp":%d,"iat":%d%s}`, issuer, epoch.Unix()+600, epoch.Unix(), more)
}

func bearer(alg, more string) string {
	return "Bearer " + mint(alg, `{"alg":"`+alg+`","typ":"JWT"}`, payload(more))
}

func jwtWorld(t testing.TB, j *JWT) *world {
	w := newWorld(t, j)
	w.now = epoch
	return w
}

func TestJWTAlgorithms(t *testing.T) {
	for _, alg := range Algorithms() {
		w := jwtWorld(t, newJWT(newIDP(allKeys()...)))
		if got := w.get(t, "/", "Authorization", bearer(alg, "")); got.status != 200 {
			t.Errorf("%s: %d %s", alg, got.status, w.call.Error)
		}
	}
	// HS256 with the text of a public key as the secret, and every other mismatch.
	for name, token := range map[string]string{
		"HS256":                  mint("HS256", `{"alg":"HS256"}`, payload("")),
		"none":                   rfcNoneToken,
		"none with a signature":  mint("RS256", `{"alg":"none"}`, payload("")),
		"RS256 called HS256":     mint("RS256", `{"alg":"HS256"}`, payload("")),
		"RS256 called PS256":     mint("RS256", `{"alg":"PS256"}`, payload("")),
		"ES256 called ES384":     mint("ES256", `{"alg":"ES384"}`, payload("")),
		"ES256 called EdDSA":     mint("ES256", `{"alg":"EdDSA"}`, payload("")),
		"RS256 by an EC key":     mint("RS256", `{"alg":"RS256","kid":"P-256"}`, payload("")),
		"letter case":            mint("RS256", `{"alg":"rs256"}`, payload("")),
		"key of its own":         mint("EdDSA", `{"alg":"EdDSA","kid":"mine","jwk":`+keyText(signers()["Ed25519"], "mine", "")+`}`, payload("")),
		"keys from elsewhere":    mint("EdDSA", `{"alg":"EdDSA","kid":"mine","jku":"https://evil.example.com/"}`, payload("")),
		"critical":               mint("EdDSA", `{"alg":"EdDSA","crit":["exp"],"exp":1}`, payload("")),
		"critical without names": mint("EdDSA", `{"alg":"EdDSA","crit":[]}`, payload("")),
		"unencoded":              mint("EdDSA", `{"alg":"EdDSA","b64":false}`, payload("")),
		"alg twice":              mint("EdDSA", `{"alg":"EdDSA","alg":"none"}`, payload("")),
		"claim twice":            mint("EdDSA", `{"alg":"EdDSA"}`, payload(`,"sub":"root"`)),
		"logout token":           mint("EdDSA", `{"alg":"EdDSA","typ":"logout+jwt"}`, payload("")),
	} {
		w := jwtWorld(t, newJWT(newIDP(allKeys()...)))
		if got := w.get(t, "/", "Authorization", "Bearer "+token); got.status != 401 || w.served != 0 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	j := newJWT(newIDP(allKeys()...))
	j.Algorithms = []string{"ES256"}
	w := jwtWorld(t, j)
	if got := w.get(t, "/", "Authorization", bearer("EdDSA", "")); got.status != 401 || w.call.Error != "jwt: token's algorithm is not allowed" {
		t.Errorf("an algorithm that is not allowed: %d %s", got.status, w.call.Error)
	}
}

func TestJWTRefusals(t *testing.T) {
	at := epoch.Unix()
	claims := func(text string) string { return "Bearer " + mint("EdDSA", `{"alg":"EdDSA"}`, text) }
	for _, tt := range []struct{ name, header, why string }{
		{"nothing", "", "jwt: token missing"},
		{"scheme alone", "Bearer", "jwt: token missing"},
		{"basic", "Basic YTpi", "jwt: token is malformed"},
		{"two parts", "a.b", "jwt: token is malformed"},
		{"four parts", bearer("EdDSA", "")[7:] + ".x", "jwt: token is malformed"},
		{"too long", strings.Repeat("a", MaxToken+1), "jwt: token is malformed"},
		{"no expiry", claims(`{"iss":"` + issuer + `","aud":"api"}`), "jwt: token does not expire"},
		{"expiry a text", claims(`{"iss":"` + issuer + `","aud":"api","exp":"1850000000"}`), "jwt: token is malformed"},
		{"expiry null", claims(`{"iss":"` + issuer + `","aud":"api","exp":null}`), "jwt: token is malformed"},
		{"expiry far", claims(`{"iss":"` + issuer + `","aud":"api","exp":1e300}`), "jwt: token is malformed"},
		{"issuer", claims(`{"iss":"https://idp.example.com","aud":"api","exp":1850000000}`), "jwt: token does not have a valid issuer"},
		{"no issuer", claims(`{"aud":"api","exp":1850000000}`), "jwt: token does not have a valid issuer"},
		{"audience", claims(`{"iss":"` + issuer + `","aud":"apis","exp":1850000000}`), "jwt: token does not have a valid audience"},
		{"audiences", claims(`{"iss":"` + issuer + `","aud":["x","apis"],"exp":1850000000}`), "jwt: token does not have a valid audience"},
		{"no audience", claims(`{"iss":"` + issuer + `","exp":1850000000}`), "jwt: token does not have a valid audience"},
		{"client_id beside aud", claims(`{"iss":"` + issuer + `","aud":"x","client_id":"api","exp":1850000000}`), "jwt: token does not have a valid audience"},
		{"not an object", claims(`[]`), "jwt: token is malformed"},
		{"scope a number", claims(payload(`,"scope":1`)), "jwt: token is malformed"},
		{"line feed in a claim", claims(strings.Replace(payload(""), `"ada"`, `"ada\r\nX-Admin: yes"`, 1)), "jwt: a claim of the token cannot stand in a header"},
		{"blank around a claim", claims(strings.Replace(payload(""), `"ada"`, `" ada"`, 1)), "jwt: a claim of the token cannot stand in a header"},
		{"unknown key", "Bearer " + mint("EdDSA", `{"alg":"EdDSA","kid":"?"}`, payload("")), "jwt: token's key is not known"},
		{"expired", claims(fmt.Sprintf(`{"iss":%q,"aud":"api","exp":%d}`, issuer, at-30)), "jwt: token has expired"},
		{"expired just now", claims(fmt.Sprintf(`{"iss":%q,"aud":"api","exp":%d}`, issuer, at-29)), ""},
		{"with a fraction", claims(fmt.Sprintf(`{"iss":%q,"aud":"api","exp":%d.5}`, issuer, at-30)), ""},
		{"not yet", claims(payload(fmt.Sprintf(`,"nbf":%d`, at+31))), "jwt: token is not valid yet"},
		{"nearly yet", claims(payload(fmt.Sprintf(`,"nbf":%d`, at+30))), ""},
		{"future", claims(fmt.Sprintf(`{"iss":%q,"aud":"api","exp":1850000000,"iat":%d}`, issuer, at+31)), "jwt: token was issued in the future"},
		{"now", claims(fmt.Sprintf(`{"iss":%q,"aud":"api","exp":1850000000,"iat":%d}`, issuer, at+30)), ""},
		{"one of the audiences", claims(fmt.Sprintf(`{"iss":%q,"aud":["x","other"],"exp":1850000000}`, issuer)), ""},
		{"client_id", claims(fmt.Sprintf(`{"iss":%q,"client_id":"api","exp":1850000000}`, issuer)), ""},
		{"without Bearer", bearer("EdDSA", "")[7:], ""},
		{"access token", "bearer " + mint("EdDSA", `{"alg":"EdDSA","typ":"at+JWT"}`, payload("")), ""},
	} {
		w := jwtWorld(t, newJWT(newIDP(allKeys()...)))
		for range 2 { // the second time it may be known
			got := w.get(t, "/", "Authorization", tt.header)
			want := 401
			if tt.why == "" {
				want = 200
			}
			if got.status != want || w.call.Error != tt.why {
				t.Errorf("%s: %d %q, want %q", tt.name, got.status, w.call.Error, tt.why)
			}
			if challenge := got.header.Get("Www-Authenticate"); want == 401 && !strings.HasPrefix(challenge, "Bearer") || strings.Contains(tt.why, "audience") && challenge != `Bearer scope="" error="invalid_token" error_description="the token does not have a valid audience"` {
				t.Errorf("%s: WWW-Authenticate %q", tt.name, challenge)
			}
		}
	}
	w := jwtWorld(t, newJWT(newIDP(allKeys()...)))
	if got := w.get(t, "/", "Authorization", bearer("EdDSA", ""), "Authorization", bearer("EdDSA", "")); got.status != 401 {
		t.Errorf("two tokens: %d", got.status)
	}
}

// TestJWTFlippedBit: one bit of a token changed is never admitted.
func TestJWTFlippedBit(t *testing.T) {
	w := jwtWorld(t, newJWT(newIDP(allKeys()...)))
	tokens := map[string]string{}
	for _, alg := range Algorithms() {
		tokens[alg] = bearer(alg, `,"scope":"read"`)[7:]
		if got := w.get(t, "/", "Authorization", tokens[alg]); got.status != 200 {
			t.Fatalf("%s: %d", alg, got.status)
		}
	}
	served := w.served
	for _, alg := range []string{"EdDSA", "ES256"} { // every bit: some of the last digit's stand for nothing
		for bit := range 8 * len(tokens[alg]) {
			token := []byte(tokens[alg])
			token[bit/8] ^= 1 << (bit % 8)
			if got := w.get(t, "/", "Authorization", string(token)); got.status != 401 {
				t.Fatalf("admitted with bit %d flipped: %s", bit, token)
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		token := []byte(tokens[rapid.SampledFrom(Algorithms()).Draw(rt, "alg")])
		bit := rapid.IntRange(0, 8*len(token)-1).Draw(rt, "bit")
		token[bit/8] ^= 1 << (bit % 8)
		if got := w.get(t, "/", "Authorization", string(token)); got.status != 401 || w.served != served {
			rt.Fatalf("admitted: %s", token)
		}
	})
}

func TestJWTScopes(t *testing.T) {
	pattern, _ := ParsePattern("POST /pets")
	public, _ := ParsePattern("GET /public")
	j := newJWT(newIDP(allKeys()...))
	j.Scopes = []string{"read", "write"}
	j.Rules = &Rules{List: []Rule{{Match: pattern, Scopes: []string{"write"}}, {Match: public, Auth: NoAuth}}}
	w := jwtWorld(t, j)
	for _, tt := range []struct {
		method, path, claims string
		want                 int
	}{
		{"GET", "/pets", `,"scope":"read"`, 200}, {"GET", "/pets", `,"scope":"x write"`, 200}, {"GET", "/pets", `,"scp":["read"]`, 200},
		{"GET", "/pets", `,"scope":"reads"`, 403}, {"GET", "/pets", ``, 403},
		{"POST", "/pets", `,"scope":"read"`, 403}, {"POST", "/pets", `,"scope":"write"`, 200},
		{"POST", "//Pets;x/", `,"scope":"read"`, 403}, // whatever spelling
	} {
		if got := w.do(t, tt.method, tt.path, "Authorization", bearer("EdDSA", tt.claims)); got.status != tt.want {
			t.Errorf("%s %s with %s: %d, want %d", tt.method, tt.path, tt.claims, got.status, tt.want)
		} else if got.status == 403 && !strings.Contains(got.header.Get("Www-Authenticate"), `error="insufficient_scope"`) {
			t.Errorf("WWW-Authenticate: %q", got.header.Get("Www-Authenticate"))
		}
	}
	if got := w.get(t, "/public"); got.status != 200 {
		t.Errorf("without authorization: %d", got.status)
	}
	if got := w.get(t, "/public/x"); got.status != 401 {
		t.Errorf("beside it: %d", got.status)
	}
}

// TestJWTHeaders: the backend hears the claims, and nobody else can say them.
func TestJWTHeaders(t *testing.T) {
	public, _ := ParsePattern("GET /public")
	j := newJWT(newIDP(allKeys()...))
	j.Rules = &Rules{List: []Rule{{Match: public, Auth: NoAuth}}}
	w := jwtWorld(t, j)
	var got http.Header
	w.serve = func(_ http.ResponseWriter, r *http.Request) { got = r.Header }
	token := bearer("EdDSA", `,"roles":["a", "b,c"],"level":7`)
	w.get(t, "/", "Authorization", token, "X-User", "root", "X_User", "root", "x-roles", "admin", "Connection", "close, x-user , keep-alive", "X-Other", "stays")
	want := map[string]string{"X-User": "ada", "X-Roles": `["a","b,c"]`, "X-Level": "7", "Connection": "close, keep-alive", "X-Other": "stays", "Authorization": token}
	for name, value := range want {
		if strings.Join(got[name], "|") != value {
			t.Errorf("%s: %q, want %q", name, got[name], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the backend gets %v", got)
	}
	w.get(t, "/public", "X-User", "root", "X_USER", "root", "Connection", "X-User")
	if len(got) != 0 {
		t.Errorf("without a token the backend gets %v", got)
	}
	w.get(t, "/", "Authorization", bearer("EdDSA", `,"roles":null`), "X-Roles", "admin")
	if got["X-Roles"] != nil {
		t.Errorf("a claim that is not there: %q", got["X-Roles"])
	}
}

// TestJWTTrailers: nor behind a body.
func TestJWTTrailers(t *testing.T) {
	var gate Gate
	j := newJWT(newIDP(allKeys()...))
	j.Default = NoAuth
	gate.Set(NewChain(Options{}, &ClientAddress{}, j))
	server := httptest.NewServer(gate.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Trailer)
	})))
	defer server.Close()
	req, _ := http.NewRequest("POST", server.URL, io.MultiReader(strings.NewReader("x")))
	req.Trailer = http.Header{"X-User": {"root"}, "X_user": {"root"}, "X-Sum": {"1"}}
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); string(text) != "map[X-Sum:[1]]" {
		t.Errorf("trailers: %s", text)
	}
}

// TestKeysRotate: a token with a new key makes us look once, then not again for a while.
func TestKeysRotate(t *testing.T) {
	ed, ec := keyText(signers()["Ed25519"], "old", ""), keyText(signers()["P-256"], "new", "")
	p := newIDP(ed)
	w := jwtWorld(t, newJWT(p))
	old := "Bearer " + mint("EdDSA", `{"alg":"EdDSA","kid":"old"}`, payload(""))
	fresh := "Bearer " + mint("ES256", `{"alg":"ES256","kid":"new"}`, payload(""))
	status := func(what, token string, want, asked int) {
		t.Helper()
		if got := w.get(t, "/", "Authorization", token); got.status != want || len(p.asked) != asked {
			t.Errorf("%s: %d after %d documents, want %d after %d", what, got.status, len(p.asked), want, asked)
		}
	}
	status("first", old, 200, 2)
	status("known", old, 200, 2)
	p.publish(ed, ec)
	status("new key", fresh, 200, 4)
	status("unknown key at once", "Bearer "+mint("ES256", `{"alg":"ES256","kid":"?"}`, payload("")), 401, 4)
	w.now = w.now.Add(unknownKeys)
	status("unknown key later", "Bearer "+mint("ES256", `{"alg":"ES256","kid":"?"}`, payload("")), 401, 6)
	w.now = w.now.Add(unknownKeys)
	expired := "Bearer " + mint("ES256", `{"alg":"ES256","kid":"?"}`, fmt.Sprintf(`{"iss":%q,"aud":"api","exp":1}`, issuer))
	status("a token that is no use anyway", expired, 401, 6)
	p.publish(ec)
	w.now = epoch.Add(defaultRefresh + unknownKeys + refreshGrace)
	late := strings.Replace(payload(""), fmt.Sprint(epoch.Unix()+600), "1850000000", 1)
	status("refreshed", "Bearer "+mint("ES256", `{"alg":"ES256","kid":"new"}`, late), 200, 8)
	w.now = epoch.Add(9 * time.Minute)
	status("a known token whose key was withdrawn", old, 401, 10)
}

// TestKeysOutage: keys serve on while the provider is down, but not for ever, and it is not asked
// all the time.
func TestKeysOutage(t *testing.T) {
	p := newIDP(allKeys()...)
	j := newJWT(p)
	w := jwtWorld(t, j)
	token := "Bearer " + mint("EdDSA", `{"alg":"EdDSA"}`, fmt.Sprintf(`{"iss":%q,"aud":"api","exp":1850000000}`, issuer))
	p.down = true
	status := func(what string, want, asked int) {
		t.Helper()
		if got := w.get(t, "/", "Authorization", token); got.status != want || len(p.asked) != asked {
			t.Errorf("%s: %d after %d questions, want %d after %d (%s)", what, got.status, len(p.asked), want, asked, w.call.Error)
		}
	}
	status("never had keys", 503, 1)
	status("asked again at once", 503, 1)
	p.down = false
	w.now = epoch.Add(retryKeys)
	status("back", 200, 3)
	p.down = true
	w.now = w.now.Add(defaultRefresh + refreshGrace)
	status("down", 200, 4)
	status("still", 200, 4)
	w.now = epoch.Add(retryKeys + defaultKeep - time.Second)
	status("at the end of what is kept", 200, 5)
	w.now = w.now.Add(time.Second)
	status("too long", 503, 5) // within the pause after the last failure
	p.down = false
	w.now = w.now.Add(retryKeys)
	status("back again", 200, 7)
	p.docs["https://keys.example.com/jwks"] = `{"keys":[]}`
	w.now = w.now.Add(defaultRefresh + refreshGrace)
	status("nonsense is no set", 200, 9)
}

// TestKeysOnce: calls that need keys at the same moment make one fetch.
func TestKeysOnce(t *testing.T) {
	p := newIDP(allKeys()...)
	j := newJWT(p)
	var calls sync.WaitGroup
	var passed atomic.Int32
	p.during = func() { time.Sleep(20 * time.Millisecond) }
	for range 16 {
		calls.Go(func() {
			w := jwtWorld(t, j)
			if w.get(t, "/", "Authorization", bearer("EdDSA", "")).status == 200 {
				passed.Add(1)
			}
		})
	}
	calls.Wait()
	if len(p.asked) != 2 || passed.Load() != 16 {
		t.Errorf("%d passed after %d questions", passed.Load(), len(p.asked))
	}
}

// TestKeysTend: with the gate looking after them calls never wait, and a reload keeps them.
func TestKeysTend(t *testing.T) {
	p := newIDP(allKeys()...)
	j := newJWT(p)
	w := jwtWorld(t, j)
	w.gate.tend(t.Context())
	asked := len(p.asked)
	w.get(t, "/", "Authorization", bearer("EdDSA", ""))
	w.now = epoch.Add(defaultRefresh - time.Second)
	w.gate.tend(t.Context())
	if asked != 2 || len(p.asked) != 2 {
		t.Errorf("asked %d, then %d", asked, len(p.asked))
	}
	w.now = epoch.Add(defaultRefresh)
	w.gate.tend(t.Context())
	if len(p.asked) != 4 {
		t.Errorf("not refreshed: asked %d", len(p.asked))
	}
	s := NewState(nil, time.Now())
	a := s.Keyring(KeySource{Issuer: issuer}, KeyTimes{}, nil, nil)
	if s.Keyring(KeySource{Issuer: issuer}, KeyTimes{Refresh: time.Minute}, nil, nil) != a || a.refresh() != time.Minute {
		t.Error("a reload makes another keyring, or does not change its times")
	}
}

func TestKeySources(t *testing.T) {
	load := func(s KeySource, p *idp) error {
		text, err := s.load(t.Context(), &http.Client{Transport: p})
		if err == nil {
			_, err = parseKeys(text)
		}
		return err
	}
	p := newIDP(allKeys()...)
	if err := load(KeySource{URL: "https://keys.example.com/jwks", Issuer: "x"}, p); err != nil || len(p.asked) != 1 {
		t.Errorf("by URL: %v", err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, []byte(p.docs["https://keys.example.com/jwks"]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := load(KeySource{File: file}, nil); err != nil {
		t.Errorf("by file: %v", err)
	}
	for want, doc := range map[string]string{
		"of the issuer \"https://idp.example.com\"": `{"issuer":"https://idp.example.com","jwks_uri":"https://keys.example.com/jwks"}`,
		"is not https://":  `{"issuer":"` + issuer + `","jwks_uri":"http://keys.example.com/jwks"}`,
		"is not a URL":     `{"issuer":"` + issuer + `"}`,
		"answered 404":     `{"issuer":"` + issuer + `","jwks_uri":"https://keys.example.com/other"}`,
		"cannot unmarshal": `[]`,
		"longer than":      strings.Repeat(" ", maxDiscovery+1),
	} {
		p.docs[issuer+".well-known/openid-configuration"] = doc
		if err := load(KeySource{Issuer: issuer}, p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %s", doc, err, want)
		}
	}
	for url, ok := range map[string]bool{
		"https://a.example/x": true, "http://127.0.0.1:8080/x": true, "http://[::1]/x": true, "http://localhost/x": true,
		"http://127.0.0.1.evil.example/": false, "http://10.0.0.1/": false, "ftp://a/": false, "https://u:p@a/": false, "https:///x": false, "": false,
	} {
		if (CheckKeyURL(url) == nil) != ok {
			t.Errorf("%s: %v", url, CheckKeyURL(url))
		}
	}
}

// TestTokenCache: bounded, and what is used stays.
func TestTokenCache(t *testing.T) {
	var c tokenCache
	name := func(i int) (out [32]byte) { copy(out[:], fmt.Sprint(i)); return }
	v, until := new(verified), epoch.Add(time.Hour)
	for i := range 5 * maxTokens {
		c.put(name(i), v, until, epoch)
		if c.get(name(0), epoch) == nil {
			t.Fatalf("what is used was forgotten after %d others", i)
		}
	}
	if n := len(c.new) + len(c.old); n > 2*maxTokens {
		t.Errorf("%d tokens are held", n)
	}
	if c.get(name(1), epoch) != nil {
		t.Error("what was not used is still held")
	}
	if c.get(name(0), until) != nil {
		t.Error("an expired token is still held")
	}
	c.put(name(-1), v, epoch, epoch)
	if c.new[name(-1)].verified != nil {
		t.Error("an expired token was put in")
	}
}

func TestJWTExplain(t *testing.T) {
	ask := func(j *JWT, token string) (string, *Refusal) {
		w := jwtWorld(t, j)
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", token)
		r.Header.Set("X-User", "root")
		steps, refusal := w.gate.chain.Load().Explain(r)
		if r.Header.Get("X-User") != "root" {
			t.Error("explaining changes the call")
		}
		return steps[3].Why, refusal
	}
	j := newJWT(newIDP(allKeys()...))
	if why, refusal := ask(j, bearer("EdDSA", `,"scope":"a b"`)); refusal != nil || why != `the token is valid until 2025-06-15T15:16:40Z, with the scopes "a b"` {
		t.Errorf("%s %v", why, refusal)
	}
	j = newJWT(newIDP())
	j.Keys = NewState(nil, epoch).Keyring(KeySource{Issuer: issuer}, KeyTimes{}, nil, nil)
	if why, refusal := ask(j, bearer("EdDSA", "")); refusal != nil || !strings.Contains(why, "its signature is not checked") {
		t.Errorf("%s %v", why, refusal)
	}
	if why, refusal := ask(j, bearer("EdDSA", `,"nbf":1850000000`)); refusal == nil || why != "the token is not valid yet" {
		t.Errorf("%s %v", why, refusal)
	}
}

func FuzzTokenClaims(f *testing.F) {
	f.Add([]byte(payload("")))
	f.Add([]byte(payload(`,"scope":["a"],"roles":{"a":[1,null]}`)))
	j := newJWT(newIDP())
	f.Fuzz(func(t *testing.T, text []byte) {
		v, fault := j.claims(text)
		if fault != tokenFine {
			return
		}
		for _, h := range v.headers {
			if !fieldValue(h.value[0]) {
				t.Errorf("%s: %q", h.name, h.value)
			}
		}
		if v.expires.IsZero() {
			t.Error("without expiry")
		}
	})
}

func BenchmarkJWTCached(b *testing.B) {
	w := jwtWorld(b, newJWT(newIDP(allKeys()...)))
	r := httptest.NewRequest("GET", "/", nil)
	r.RequestURI = "/"
	r.Header.Set("Authorization", bearer("RS256", `,"scope":"read write"`))
	h := w.gate.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	out := httptest.NewRecorder()
	b.ReportAllocs()
	end := reportCPU(b)
	for b.Loop() {
		h.ServeHTTP(out, r.Clone(r.Context()))
	}
	end()
	if out.Code != 200 {
		b.Fatal(out.Code)
	}
}
