package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testMapper() *mapper {
	return &mapper{
		ready: true, backendScheme: "http", backendHosts: []string{"users.internal:8080", "10.0.0.5:8080", "[fd00::5]:8080"},
		backendBase: "/v1", publicBase: "/api/v1", publicScheme: "https", publicHost: "api.example.com",
	}
}

func TestMapURL(t *testing.T) {
	m := testMapper()
	for in, want := range map[string]string{
		"http://users.internal:8080/v1/users/5?a=b%2F#c": "https://api.example.com/api/v1/users/5?a=b%2F#c",
		"HTTPS://Users.Internal:8080/v1":                 "https://api.example.com/api/v1",
		"http://users.internal/v1/":                      "https://api.example.com/api/v1/", // a server that does not know its port
		"https://users.internal:443/v1?x":                "https://api.example.com/api/v1?x",
		"http://users.internal:8080":                     "https://api.example.com",
		"http://users.internal:8080?x=/":                 "https://api.example.com?x=/",
		"http://users.internal:8080/login":               "https://api.example.com/login", // no public path, but no address either
		"http://users.internal:8080/v1x":                 "https://api.example.com/v1x",
		"http://me:secret@users.internal:8080/v1/a":      "https://api.example.com/api/v1/a",
		"http://users.internal.:8080/v1/a":               "https://api.example.com/api/v1/a",
		"http://10.0.0.5:8080/v1/a":                      "https://api.example.com/api/v1/a",
		"http://[fd00:0::5]:8080/v1/a":                   "https://api.example.com/api/v1/a",
		"//users.internal:8080/v1/a":                     "//api.example.com/api/v1/a",
		"ws://users.internal:8080/v1/a":                  "wss://api.example.com/api/v1/a",
		"/v1":                                            "/api/v1",
		"/v1/a/../b?x":                                   "/api/v1/a/../b?x",
		"/v1?x":                                          "/api/v1?x",
		"/v1#x":                                          "/api/v1#x",
	} {
		if got := m.url(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for _, left := range []string{
		"", "a", "../a", "?x=/v1", "#v1", "/", "/v1x/a", "/v", "/other", "a:b", "mailto:a@users.internal", "urn:/v1/x", "http:/v1/x", "http:///v1/x",
		"http://users.internal:9090/v1/a", "https://users.internal.evil/v1/a", "http://xusers.internal:8080/v1", "https://accounts.example.com/v1/a",
		"http://users.internal:8080@evil.example/v1", "//cdn.example/v1", "http://10.0.0.50:8080/v1", "a/b:http://users.internal:8080/",
	} {
		if got := m.url(left); got != left {
			t.Errorf("%s became %s", left, got)
		}
	}
	m.publicHost = ""
	for in, want := range map[string]string{"http://users.internal:8080/v1/a": "/api/v1/a", "http://users.internal:8080": "/", "http://users.internal:8080?a": "/?a"} {
		if got := m.url(in); got != want {
			t.Errorf("without a public host, %s: %s, want %s", in, got, want)
		}
	}
	m = &mapper{ready: true, backendScheme: "https", backendHosts: []string{"b"}, publicBase: "/shop", publicScheme: "http", publicHost: "p:81"}
	for in, want := range map[string]string{"https://b/x": "http://p:81/shop/x", "/": "/shop/", "https://b": "http://p:81/shop", "https://b:8443/": "https://b:8443/"} {
		if got := m.url(in); got != want {
			t.Errorf("into a folder, %s: %s, want %s", in, got, want)
		}
	}
}

func TestMapOtherHeaders(t *testing.T) {
	m := testMapper()
	for in, want := range map[string]string{
		"5":                                      "5",
		"5; url=http://users.internal:8080/v1/a": "5; url=https://api.example.com/api/v1/a",
		`0;URL="/v1/a"; x`:                       `0;URL="/api/v1/a"; x`,
		"0; url='http://users.internal:8080/v1":  "0; url='https://api.example.com/api/v1",
		"0; url=https://elsewhere.example/?url=http://b/v1": "0; url=https://elsewhere.example/?url=http://b/v1",
	} {
		if got := m.refresh(in); got != want {
			t.Errorf("Refresh %s: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"nothing": "nothing",
		`<http://users.internal:8080/v1/u?page=2>; rel="next", </v1/u?page=9>; rel=last`: `<https://api.example.com/api/v1/u?page=2>; rel="next", </api/v1/u?page=9>; rel=last`,
		`<https://cdn.example/a.css>; rel=preload`:                                       `<https://cdn.example/a.css>; rel=preload`,
		"<a>; x, <unclosed": "<a>; x, <unclosed",
	} {
		if got := m.link(in); got != want {
			t.Errorf("Link %s: %s, want %s", in, got, want)
		}
	}
}

func TestMapCookie(t *testing.T) {
	m := testMapper()
	for in, want := range map[string]string{
		"a=b":                                             "a=b",
		"a=b; Path=/v1; HttpOnly":                         "a=b; Path=/api/v1; HttpOnly",
		"a=b;path=/v1/x ;Secure":                          "a=b;path=/api/v1/x;Secure",
		"a=b; Path=/":                                     "a=b; Path=/",
		"a=b; Path=/v1x":                                  "a=b; Path=/v1x",
		"a=b; Path":                                       "a=b; Path",
		"a=/v1; Domain=users.internal; Path=/v1":          "a=/v1; Path=/api/v1",
		"a=b; Domain=.Users.Internal":                     "a=b",
		"a=b; domain = internal ;Secure":                  "a=b;Secure",
		"a=b; Domain=10.0.0.5; Max-Age=1":                 "a=b; Max-Age=1",
		"a=b; Domain=sers.internal":                       "a=b; Domain=sers.internal",
		"a=b; Domain=example.com":                         "a=b; Domain=example.com",
		"a=b; Domain=x.users.internal":                    "a=b; Domain=x.users.internal",
		"a=b; Domain=":                                    "a=b; Domain=",
		"__Host-a=b; Path=/v1; Secure":                    "__Host-a=b; Path=/v1; Secure",
		`a="x, y"; Expires=Wed, 21 Oct 2026 07:28:00 GMT`: `a="x, y"; Expires=Wed, 21 Oct 2026 07:28:00 GMT`,
		"a=b;;": "a=b;;",
	} {
		if got := m.cookie(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	m.publicHost, m.backendHosts = "api.example.com:8443", []string{"api-int.example.com"}
	for in, want := range map[string]string{
		"a=b; Domain=example.com":         "a=b; Domain=example.com", // meant for both, and a browser takes it from both
		"a=b; Domain=api-int.example.com": "a=b",
		"a=b; Domain=api.example.com":     "a=b; Domain=api.example.com",
	} {
		if got := m.cookie(in); got != want {
			t.Errorf("siblings, %s: %s, want %s", in, got, want)
		}
	}
	m.backendBase, m.publicBase = "", "/shop"
	if got := m.cookie("a=b; Path=/"); got != "a=b; Path=/shop" {
		t.Errorf("into a folder: %s", got)
	}
	if got := m.cookie("a=b; Path=/x"); got != "a=b; Path=/shop/x" {
		t.Errorf("into a folder: %s", got)
	}
}

func TestBackendAddressStaysHidden(t *testing.T) {
	var self string
	back := newBackend(t, func(rw http.ResponseWriter, _ *http.Request) {
		h := rw.Header()
		h.Set("Location", self+"/v1/a?x")
		h.Set("Content-Location", "/v1/b")
		h.Set("Refresh", "0;url="+self+"/v1/c")
		h.Set("Link", "<"+self+"/v1/d>; rel=x")
		h.Add("Set-Cookie", "a=1; Domain=127.0.0.1; Path=/v1")
		h.Add("Set-Cookie", "b=2")
		h.Set("X-Other", "/v1/e")
		rw.WriteHeader(302)
	})
	self = back.URL
	for _, preserve := range []bool{false, true} {
		w := newWorld(t, back.URL, option{backend: &Backend{PreserveHost: preserve}, hop: func(h *Hop) { h.BackendBase, h.PublicBase = "/v1", "/api/v1" },
			settings: func(s *Settings) { s.Forwarded.Trusted = prefixes("127.0.0.0/8") }})
		r := w.request("GET", "/api/v1/x", nil, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "shop.example")
		r.Host = "api.example"
		res, _ := w.do(r)
		res.Header.Del("Date")
		want := http.Header{
			"Location": {"https://shop.example/api/v1/a?x"}, "Content-Location": {"/api/v1/b"}, "Refresh": {"0;url=https://shop.example/api/v1/c"},
			"Link": {"<https://shop.example/api/v1/d>; rel=x"}, "Set-Cookie": {"a=1; Path=/api/v1", "b=2"}, "X-Other": {"/v1/e"}, "Content-Length": {"0"},
		}
		if diff := cmp.Diff(want, res.Header); diff != "" {
			t.Errorf("PreserveHost %v:\n%s", preserve, diff)
		}
	}
}

// Whatever the backend writes, no URL at its address is left, other URLs stay, and nothing
// that was no URL changes.
func FuzzMapURL(f *testing.F) {
	f.Add("http://users.internal:8080/v1/users?a#b")
	f.Add("//u@users.internal/v1")
	f.Add("/v1")
	f.Fuzz(func(t *testing.T, v string) {
		m := testMapper()
		got := m.url(v)
		if again := m.url(got); again != got && !strings.HasPrefix(got, "/") {
			t.Errorf("%q: %q, then %q", v, got, again)
		}
		if got != v && !strings.HasPrefix(got, "https://api.example.com") && !strings.HasPrefix(got, "wss://api.example.com") &&
			!strings.HasPrefix(got, "ws://api.example.com") && !strings.HasPrefix(got, "//api.example.com") && !strings.HasPrefix(got, "/api/v1") {
			t.Errorf("%q: %q", v, got)
		}
		rest := strings.TrimLeft(v, "/")
		if !strings.ContainsAny(v, "\\") && strings.HasPrefix(rest, "users.internal:8080/") {
			if got := m.url("http://" + rest); !strings.HasPrefix(got, "https://api.example.com/") {
				t.Errorf("http://%s: %q", rest, got)
			}
		}
		if mapped := m.link("<" + v + ">; rel=x"); !strings.HasSuffix(mapped, ">; rel=x") {
			t.Errorf("%q", mapped)
		}
		if m.refresh("1; url="+v) == "" {
			t.Error("empty")
		}
	})
}

// A cookie keeps its name, value and every attribute but the two that are mapped.
func FuzzMapCookie(f *testing.F) {
	f.Add("a=b; Path=/v1; Domain=users.internal; Secure")
	f.Add("__Host-a=b;;Path=/v1")
	f.Fuzz(func(t *testing.T, v string) {
		m := testMapper()
		got := m.cookie(v)
		before, after := strings.Split(v, ";"), strings.Split(got, ";")
		if before[0] != after[0] {
			t.Errorf("%q: %q", v, got)
		}
		for _, attribute := range before[1:] {
			name, _, _ := strings.Cut(attribute, "=")
			name = strings.ToLower(strings.Trim(name, " \t"))
			if name == "domain" || name == "path" {
				continue
			}
			if len(after) < 2 {
				t.Fatalf("%q: %q lost %q", v, got, attribute)
			}
			for len(after) > 1 && after[1] != attribute {
				n, _, _ := strings.Cut(after[1], "=")
				if n = strings.ToLower(strings.Trim(n, " \t")); n != "domain" && n != "path" {
					t.Fatalf("%q: %q lost %q", v, got, attribute)
				}
				after = append(after[:1], after[2:]...)
			}
			after = append(after[:1], after[2:]...)
		}
		if again := m.cookie(got); again != got {
			t.Errorf("%q: %q, then %q", v, got, again)
		}
	})
}
