package proxy

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestForwardedHeaders(t *testing.T) {
	incoming := http.Header{
		"X-Forwarded-For": {"6.6.6.6", "7.7.7.7"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"shop.example"}, "Forwarded": {"for=6.6.6.6", "for=7.7.7.7"},
	}
	for _, tt := range []struct {
		name      string
		f         Forwarded
		peer      string
		host      string
		tls       bool
		in        http.Header
		want      http.Header
		wantProto string
		wantHost  string
	}{
		{"nobody trusted", Forwarded{}, "10.0.0.1:9", "api.example", false, incoming, http.Header{
			"X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"api.example"}, "Forwarded": {"for=10.0.0.1;host=api.example;proto=http"},
		}, "http", "api.example"},
		{"trusted", Forwarded{Trusted: prefixes("10.0.0.0/8")}, "10.0.0.1:9", "api.example", false, incoming, http.Header{
			"X-Forwarded-For": {"6.6.6.6, 7.7.7.7, 10.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"shop.example"},
			"Forwarded": {"for=6.6.6.6, for=7.7.7.7, for=10.0.0.1;host=api.example;proto=http"},
		}, "https", "shop.example"},
		{"trusted, silent", Forwarded{Trusted: prefixes("10.0.0.0/8")}, "10.0.0.1:9", "api.example", true, nil, http.Header{
			"X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"api.example"}, "Forwarded": {"for=10.0.0.1;host=api.example;proto=https"},
		}, "https", "api.example"},
		{"IPv6 and a port", Forwarded{}, "[2001:db8::1]:9", "api.example:8443", true, nil, http.Header{
			"X-Forwarded-For": {"2001:db8::1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"api.example:8443"},
			"Forwarded": {`for="[2001:db8::1]";host="api.example:8443";proto=https`},
		}, "https", "api.example:8443"},
		{"no peer, odd host", Forwarded{}, "@", `a"b\`, false, incoming, http.Header{
			"X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {`a"b\`}, "Forwarded": {`for=unknown;host="a\"b\\";proto=http`},
		}, "http", `a"b\`},
		{"no host", Forwarded{}, "1.1.1.1:9", "", false, incoming, http.Header{
			"X-Forwarded-For": {"1.1.1.1"}, "X-Forwarded-Proto": {"http"}, "Forwarded": {"for=1.1.1.1;proto=http"},
		}, "http", ""},
		{"off", Forwarded{Off: true}, "10.0.0.1:9", "api.example", false, incoming, incoming, "http", "api.example"},
		{"trusted, forged", Forwarded{Trusted: prefixes("10.0.0.0/8")}, "10.0.0.1:9", "api.example", false,
			http.Header{"X-Forwarded-Proto": {"javascript"}, "X-Forwarded-Host": {"a/b"}, "X-Forwarded-For": {"1.1.1.1"}}, http.Header{
				"X-Forwarded-Proto": {"javascript"}, "X-Forwarded-Host": {"a/b"}, "X-Forwarded-For": {"1.1.1.1, 10.0.0.1"},
				"Forwarded": {"for=10.0.0.1;host=api.example;proto=http"},
			}, "http", "api.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr, r.Host, r.Header = tt.peer, tt.host, tt.in
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			out := tt.in.Clone()
			if out == nil {
				out = http.Header{}
			}
			tt.f.set(out, r, new(valueRoom))
			if diff := cmp.Diff(tt.want, out); diff != "" {
				t.Error(diff)
			}
			if proto, host := tt.f.origin(r); proto != tt.wantProto || host != tt.wantHost {
				t.Errorf("origin %s %s", proto, host)
			}
		})
	}
}

// What other proxies say about a call reaches the backend from trusted peers only, in whatever
// spelling, and neighbouring names are nobody's business.
func TestHeadersOfOtherProxies(t *testing.T) {
	const sent = "X-Real-IP: 6.6.6.6\r\nX-Forwarded-Port: 6\r\nX-Forwarded-Prefix: /evil\r\nx-forwarded-user: root\r\nX-Forwarded: for=6.6.6.6\r\n" +
		"True-Client-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\nX-Client-IP: 6.6.6.6\r\nX-Original-URL: /internal\r\nX-Rewrite-URL: /internal\r\n" +
		"X_Real_IP: 6.6.6.6\r\nX_Forwarded_Prefix: /evil\r\nX-Forwarder: kept\r\nX-Original: kept\r\nX-Real: kept\r\n"
	family := []string{"X-Real-Ip", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-User", "X-Forwarded", "True-Client-Ip", "Cf-Connecting-Ip",
		"X-Client-Ip", "X-Original-Url", "X-Rewrite-Url"}
	for _, tt := range []struct {
		name, host, headers string
		f                   Forwarded
		only                bool
		want                map[string]string // of family; the others are absent
		forged, kept        bool
	}{
		{"a stranger's", "api.example:8443", sent, Forwarded{}, false, map[string]string{"X-Real-Ip": "127.0.0.1", "X-Forwarded-Port": "8443"}, false, true},
		{"not quite trusted", "api.example", sent, Forwarded{Trusted: prefixes("127.0.0.0/32", "127.0.0.2/32")}, false, map[string]string{"X-Real-Ip": "127.0.0.1", "X-Forwarded-Port": "80"}, false, true},
		{"nothing is added", "api.example", "X-Forwarder: kept\r\nX-Original: kept\r\nX-Real: kept\r\n", Forwarded{}, false, nil, false, true},
		{"without the client's headers", "api.example", sent, Forwarded{}, true, nil, false, false},
		{"a trusted proxy's", "api.example", sent, Forwarded{Trusted: prefixes("127.0.0.0/8")}, false, map[string]string{
			"X-Real-Ip": "6.6.6.6", "X-Forwarded-Port": "6", "X-Forwarded-Prefix": "/evil", "X-Forwarded-User": "root", "X-Forwarded": "for=6.6.6.6", "True-Client-Ip": "6.6.6.6",
			"Cf-Connecting-Ip": "6.6.6.6", "X-Client-Ip": "6.6.6.6", "X-Original-Url": "/internal", "X-Rewrite-Url": "/internal"}, false, true},
		{"off", "api.example", sent, Forwarded{Off: true}, false, map[string]string{
			"X-Real-Ip": "6.6.6.6", "X-Forwarded-Port": "6", "X-Forwarded-Prefix": "/evil", "X-Forwarded-User": "root", "X-Forwarded": "for=6.6.6.6", "True-Client-Ip": "6.6.6.6",
			"Cf-Connecting-Ip": "6.6.6.6", "X-Client-Ip": "6.6.6.6", "X-Original-Url": "/internal", "X-Rewrite-Url": "/internal"}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wr := newWire(t, ok200)
			w := newWorld(t, wr.url, option{settings: func(s *Settings) { s.Forwarded, s.NoHeaders = tt.f, tt.only }})
			w.raw("GET", "GET / HTTP/1.1\r\nHost: "+tt.host+"\r\n"+tt.headers+"\r\n")
			head, _ := wr.last(t)
			for _, name := range family {
				var want []string
				if v, ok := tt.want[name]; ok {
					want = []string{v}
				}
				if got := lines(head, name); !slices.Equal(got, want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			for _, name := range []string{"X_real_ip", "X_forwarded_prefix"} {
				if got := lines(head, name); len(got) > 0 != tt.forged {
					t.Errorf("%s: %q", name, got)
				}
			}
			for _, name := range []string{"X-Forwarder", "X-Original", "X-Real"} {
				if got := lines(head, name); len(got) > 0 != tt.kept {
					t.Errorf("%s: %q", name, got)
				}
			}
		})
	}
}

func TestPort(t *testing.T) {
	for _, tt := range []struct{ host, proto, want string }{
		{"h", "http", "80"}, {"h", "https", "443"}, {"", "http", "80"}, {"h:8443", "https", "8443"}, {"[::1]", "http", "80"}, {"[::1]:81", "http", "81"},
		{"h:0", "http", "80"}, {"h:1", "http", "1"}, {"h:65535", "http", "65535"}, {"h:65536", "http", "80"}, {"h:", "https", "443"}, {"h:x", "http", "80"}, {"h:0080", "http", "80"},
	} {
		if got := port(tt.host, tt.proto); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.host, tt.proto, got, tt.want)
		}
	}
}

// Whatever a peer wrote, the backend gets one well-formed line.
func FuzzForwarded(f *testing.F) {
	f.Add("10.0.0.1:80", "1.1.1.1, 2.2.2.2")
	f.Add("[::1]:80", "[::1%x]:1,,unknown")
	f.Fuzz(func(t *testing.T, peer, xff string) {
		fw := Forwarded{Trusted: prefixes("10.0.0.0/8", "::/8")}
		out := http.Header{}
		r := &http.Request{RemoteAddr: peer, Host: xff, Header: http.Header{"X-Forwarded-For": {xff}}}
		fw.set(out, r, new(valueRoom))
		if v := out["Forwarded"]; len(v) != 1 || !strings.HasPrefix(v[0], "for=") || strings.ContainsAny(v[0], "\r\n\x00") {
			t.Errorf("%q %q: %q", peer, xff, v)
		}
	})
}

func TestForwardedOverTheWire(t *testing.T) {
	wr := newWire(t, ok200)
	w := newWorld(t, wr.url, option{settings: func(s *Settings) { s.Forwarded.Trusted = prefixes("127.0.0.0/8") }})
	w.raw("GET", "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9\r\nConnection: X-Forwarded-For\r\n\r\n")
	head, _ := wr.last(t)
	if got := lines(head, "X-Forwarded-For"); !slices.Equal(got, []string{"9.9.9.9, 127.0.0.1"}) {
		t.Errorf("%q", got) // a client cannot make tapway forget who it was by naming the header in Connection
	}
	if c := w.call(); c.ClientIP != "127.0.0.1" {
		t.Errorf("without a stage that knows better the client is the peer: %+v", c)
	}
}

// What a client may not say in a header it may not say in a trailer, nor in a spelling that
// CGI takes for the same name.
func TestForwardedForgeries(t *testing.T) {
	for name, tt := range map[string]struct {
		off  bool
		want string
	}{"on": {false, "127.0.0.1"}, "off": {true, "6.6.6.6"}} {
		wr := newWire(t, ok200)
		w := newWorld(t, wr.url, option{settings: func(s *Settings) { s.Forwarded.Off = tt.off }})
		w.raw("POST", "POST / HTTP/1.1\r\nHost: h\r\nX_Forwarded_For: 6.6.6.6\r\nx-forwarded_HOST: evil\r\nTransfer_Encoding: chunked\r\nX_Own: 1\r\n"+
			"X-Forwarded-For: 6.6.6.6\r\nTrailer: X-Forwarded-For, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Sum: 1\r\n\r\n")
		head, body := wr.last(t)
		if got := lines(head, "X-Forwarded-For"); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s: X-Forwarded-For %q", name, got)
		}
		if body != "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n" || !slices.Equal(lines(head, "Trailer"), []string{"X-Sum"}) {
			t.Errorf("%s: trailers %q", name, body)
		}
		low := strings.ToLower(head)
		if strings.Contains(low, "x_forwarded_for") != tt.off || strings.Contains(low, "x-forwarded_host") != tt.off || strings.Contains(low, "transfer_encoding") || !strings.Contains(low, "x_own: 1") {
			t.Errorf("%s: the backend got\n%s", name, head)
		}
	}
}
