package cache

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// TestHosts: one host is one key, however it is written, and nothing else is.
func TestHosts(t *testing.T) {
	for _, tt := range []struct{ scheme, host, want string }{
		{"http", "a", "a"}, {"http", "A.Test", "a.test"}, {"http", "a:80", "a"}, {"http", "a:443", "a:443"}, {"http", "a:81", "a:81"}, {"http", "a:080", "a:080"},
		{"https", "a:443", "a"}, {"https", "a:80", "a:80"}, {"http", "a:", "a"}, {"http", "[::1]", "[::1]"}, {"http", "[::1]:80", "[::1]"}, {"http", "[::80]", "[::80]"},
		{"http", "a.", "a."}, {"http", "", ""}, {"http", "a:80:80", "a:80"},
	} {
		if got := normalHost(tt.scheme, tt.host); got != tt.want {
			t.Errorf("%s %q is %q, want %q", tt.scheme, tt.host, got, tt.want)
		}
	}
	w := newWorld(t, rfc, says(200, "Cache-Control: max-age=60"))
	w.ask(t, "GET /a", "Host: Api.test")
	if got := w.ask(t, "GET /a", "Host: api.TEST:80"); got.call.Origin != tapway.OriginCache {
		t.Error("one host has two answers")
	}
	keep := w.backend
	w.backend = says(200, "Location: http://API.test:80/a")
	w.ask(t, "POST /b", "Host: api.test:80")
	w.backend = keep
	if got := w.ask(t, "GET /a", "Host: api.test"); got.call.Origin != tapway.OriginBackend {
		t.Error("a change does not count for the host in another spelling")
	}
	over := request(t, "GET /a", "Host: api.test")
	over.TLS = new(tls.ConnectionState)
	if got := w.do(over); got.call.Origin != tapway.OriginBackend {
		t.Error("http and https share an answer")
	}
}

// TestReflected: what a client can say besides the request line is not in an answer that another
// gets. The backend reflects everything.
func TestReflected(t *testing.T) {
	some := Rule{TTL: time.Hour, Query: []string{"id"}}
	for _, header := range []string{
		"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Anything", "X-Forwarded-User",
		"X-Host", "X-Original-URL", "X-Original-Anything", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Http-Host-Override",
		"X_Forwarded_Host", "X_Original_Url", "Origin", "Accept", "X-Requested-With", "RSC", "Cookie", "Authorization", "X-Api-Key",
	} {
		w := newWorld(t, some, func(rw http.ResponseWriter, r *http.Request) {
			for name, values := range r.Header {
				_, _ = rw.Write([]byte(name + strings.Join(values, "")))
			}
		})
		w.ask(t, "GET /a", header+": evil")
		if got := w.ask(t, "GET /a"); strings.Contains(got.body, "evil") {
			t.Errorf("%s: another got %q", header, got.body)
		}
	}
	for _, query := range []string{
		"x=1;id=evil", "x=1;i%64=evil", "id[]=evil", "ID=evil", "%69%64=evil", "_method=evil", "callback=evil", "JSONP=evil", "x=1&amp;id=evil", " id=evil", "id%5b%5d=evil",
	} {
		w := newWorld(t, some, func(rw http.ResponseWriter, r *http.Request) { _, _ = rw.Write([]byte(r.RequestURI)) })
		w.ask(t, "GET /a?"+query)
		if got := w.ask(t, "GET /a"); strings.Contains(got.body, "evil") {
			t.Errorf("%s: another got %q", query, got.body)
		}
	}
}

// TestFatGET: a body on a GET reaches the backend and nobody else's answer.
func TestFatGET(t *testing.T) {
	w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
		b := make([]byte, 10)
		n, _ := r.Body.Read(b)
		_, _ = rw.Write(append([]byte("body:"), b[:n]...))
	})
	for _, chunked := range []bool{false, true} {
		r := request(t, "GET /a")
		r.Body, r.ContentLength = http.MaxBytesReader(nil, readCloser{strings.NewReader("evil")}, 10), 4
		if chunked {
			r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
		}
		if got := w.do(r); got.body != "body:evil" {
			t.Errorf("the body does not reach the backend: %q", got.body)
		}
		if got := w.ask(t, "GET /a"); got.body != "body:" {
			t.Errorf("another got %q", got.body)
		}
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// paths is a Match with rules for /catalog and below, for /account and for /files/{one}.
func paths() func(*http.Request, string) (Route, bool) {
	shared := func(name string) *Rule { return &Rule{Name: name, TTL: time.Hour, Whole: true, Callers: Shared} }
	catalog, account, files := shared("catalog"), &Rule{Name: "account", Callers: Shared}, shared("files")
	return func(_ *http.Request, path string) (Route, bool) {
		one, inFiles := strings.CutPrefix(path, "/files/")
		switch {
		case strings.HasPrefix(path, "/catalog/"):
			return Route{Rule: catalog, Name: "ANY /{proxy+}"}, true
		case path == "/account":
			return Route{Rule: account, Name: "ANY /{proxy+}"}, true
		case inFiles && one != "" && !strings.Contains(one, "/"):
			return Route{Rule: files, Name: "ANY /{proxy+}"}, true
		case strings.Count(path, "/") == 1:
			return Route{Rule: catalog, Name: "ANY /{proxy+}"}, true
		}
		return Route{}, false
	}
}

// TestDeception: what some backends take for a path that is not kept is not kept, even where all
// callers share their answers. Its neighbours are.
func TestDeception(t *testing.T) {
	for path, kept := range map[string]bool{
		"/catalog/x.css":                      true,
		"/catalog/a%20b":                      true,
		"/catalog/a%2Fb":                      true, // read in either way it is of the catalog
		"/catalog/100%25":                     true,
		"/catalog/a;v=1":                      true,
		"/catalog//a":                         true,
		"/catalog/a/../b":                     true,
		"/catalog/.well-known":                true,
		"/catalog/a/":                         true,
		"/catalog/%C3%A4":                     true,
		"/files/a":                            true,
		"/me":                                 true,
		"/Catalog":                            true,
		"/account":                            false,
		"/account/x.css":                      false, // no rule
		"/Account":                            false,
		"/account/":                           false,
		"/account;x.css":                      false,
		"/account%3bx.css":                    false,
		"/account%3fx.css":                    false,
		"/account%23x.css":                    false,
		"/account%00x.css":                    false,
		"/account%0ax.css":                    false,
		"/account%2fx.css":                    false,
		"//account":                           false,
		"/./account":                          false,
		"/catalog/../account":                 false,
		"/catalog/..%2faccount":               false,
		"/catalog/%2e%2e/account":             false,
		"/catalog/%2e%2e%2faccount":           false,
		"/catalog/%252e%252e%252faccount":     false,
		"/catalog/..;/account":                false,
		"/catalog/..%3b/account":              false,
		"/catalog/..\\account":                false,
		"/catalog/..%5caccount":               false,
		"/catalog/a//../../account":           false,
		"/catalog/..%2faccount%23x.css":       false,
		"/catalog/..%2Ffiles%2Fa%3Fx.css":     false,
		"/files/a%2Fb":                        false,
		"/catalog/%zz":                        true,
		"/catalog/..%2faccount%zz":            true,
		"/catalog/%zz/..%2f..%2faccount":      false,
		"/catalog/%u002e%u002e/account":       false,
		"/catalog/%25u002e/account":           false,
		"/catalog/%25252525252e%2e/account":   false,
		"/a%63count":                          false,
		"/%41ccount":                          false, // encoded, and in capitals
		"/%2541ccount":                        false,
		"/catalog/..%2fAccount":               false,
		"/catalog/../ACCOUNT":                 false,
		"//Account":                           false,
		"/Account;x.css":                      false,
		"/account%2f":                         false,
		"/Account%2f":                         false,
		"/account.":                           false,
		"/account%20":                         false,
		"/Account%20.":                        false,
		"/catalog/../account.":                false,
		"/catalog/a.":                         true,
		"/catalog./a":                         false, // no rule
		"/catalog/...":                        true,
		"/%41bout":                            true,
		"/catalog/%41":                        true,
		"/catalog/%c0%ae%c0%ae%c0%afaccount":  false,
		"/catalog/\xc0\xae\xc0\xae/account":   false,
		"/catalog/．．／account":                 false,
		"/catalog/%ef%bc%8e%ef%bc%8e/account": false,
		"/catalog/カタログ":                       true,
		"/catalog/%e3%82%ab":                  true,
		"/acc\u00f3unt":                       true,
	} {
		w := newWorld(t, gateway, says(200), func(s *Settings) { s.Match = paths() })
		w.ask(t, "GET "+path, "X-Session-Of-Mine: victim")
		got := w.ask(t, "GET "+path)
		if is := got.call.Origin == tapway.OriginCache; is != kept {
			t.Errorf("%s: kept %v, want %v", path, is, kept)
		}
	}
}

// FuzzPlain: a path that is taken for plain is, decoded and resolved as a backend would, of the
// same rule.
func FuzzPlain(f *testing.F) {
	for _, path := range []string{"/catalog/..%2faccount", "/catalog/a%2fb", "/catalog/..;/x", "/%2e%2e", "/files/%2561", "/catalog//", "/catalog/\\..\\x", "/;", "/%00"} {
		f.Add(path)
	}
	s := &Settings{Match: paths()}
	f.Fuzz(func(t *testing.T, path string) {
		if !strings.HasPrefix(path, "/") {
			return
		}
		route, ok := s.Match(nil, path)
		if !ok || !s.plain(nil, path, route) {
			return
		}
		u, err := http.NewRequest("GET", "http://a"+path, nil)
		if err != nil {
			return
		}
		for _, reading := range []string{u.URL.Path, withoutDots(u.URL.Path), u.URL.JoinPath().Path} {
			if other, _ := s.Match(nil, reading); strings.HasPrefix(reading, "/") && !strings.ContainsAny(path, "?#") && other.Rule != route.Rule {
				t.Errorf("%q is kept by %s, and a backend may read %q", path, route.Rule.Name, reading)
			}
		}
	})
}

// TestCallers: nobody gets another's answer, by whatever the gate knows them.
func TestCallers(t *testing.T) {
	cert := func(name string) func(*http.Request) {
		return func(r *http.Request) {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte(name)}}}
		}
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	query := func(text string) func(*http.Request) { return func(r *http.Request) { r.RequestURI += "?" + text } }
	ways := map[string][2]func(*http.Request){
		"certificate": {cert("ann"), cert("bob")},
		"API key":     {header("X-Api-Key", "ann"), header("X-Api-Key", "bob")},
		"token":       {header("Authorization", "Bearer ann"), header("Authorization", "Bearer bob")},
		"cookie":      {header("Cookie", "s=ann"), header("Cookie", "s=bob")},
		"own header":  {header("X-Mine", "ann"), header("X-Mine", "bob")},
		"signature":   {query("X-Amz-Credential=ann"), query("X-Amz-Credential=bob")},
	}
	for name, two := range ways {
		for _, tt := range []struct {
			rule    Rule
			control string
			same    bool // ann has her own answer again
			mixed   bool // bob gets ann's
		}{
			{Rule{TTL: time.Hour}, "", false, false},
			{Rule{TTL: time.Hour, Callers: Separate}, "", true, false},
			{Rule{TTL: time.Hour, Callers: Shared}, "", true, true},
			{Rule{Mode: RFC9111, TTL: time.Hour}, "max-age=60", false, false},
			{Rule{Mode: RFC9111, TTL: time.Hour}, "public, max-age=60", true, true}, // RFC 9111 §3.5
			{Rule{Mode: RFC9111, TTL: time.Hour}, "s-maxage=60", true, true},
			{Rule{Mode: RFC9111, TTL: time.Hour, Callers: Separate}, "max-age=60", true, false},
			{Rule{Mode: RFC9111, TTL: time.Hour, Callers: Separate}, "private, max-age=60", false, false},
			{Rule{Mode: RFC9111, TTL: time.Hour, Callers: Shared}, "private, max-age=60", false, false},
		} {
			w := newWorld(t, tt.rule, says(200, "Cache-Control: "+tt.control), func(s *Settings) { s.Credentials = []string{"X-Mine"} })
			as := func(i int) answer {
				r := request(t, "GET /a")
				if name == "certificate" && i > 1 {
					r.TLS = new(tls.ConnectionState)
				}
				if i < 2 {
					two[i](r)
				}
				return w.do(r)
			}
			first := as(0).body
			if again := as(0).body; (again == first) != tt.same {
				t.Errorf("%s, %+v, %s: ann got %q and then %q", name, tt.rule, tt.control, first, again)
			}
			for i, who := range []string{1: "bob", 2: "nobody"} {
				if i == 0 {
					continue
				}
				if got := as(i).body; (got == first) != tt.mixed {
					t.Errorf("%s, %+v, %s: ann got %q, %s %q", name, tt.rule, tt.control, first, who, got)
				}
			}
		}
	}
}
