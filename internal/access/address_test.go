package access

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/tapway/tapway"
)

// clientIP is what the decider says of a peer and the headers it sent.
func clientIP(c *ClientAddress, peer string, h http.Header) string {
	r := &Request{HTTP: &http.Request{RemoteAddr: peer, Header: h}, Call: new(tapway.Call)}
	if c.Decide(r) != nil {
		return "refused"
	}
	return r.Call.ClientIP
}

func trusting(t testing.TB, texts ...string) *Set {
	t.Helper()
	s, err := ParseSet(texts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestClientIP(t *testing.T) {
	by := &ClientAddress{Trusted: trusting(t, "10.0.0.0/8", "fd00::/8", "::1")}
	for _, tt := range []struct {
		peer string
		xff  []string
		want string
	}{
		{"203.0.113.7:1234", nil, "203.0.113.7"},
		{"203.0.113.7:1234", []string{"1.1.1.1"}, "203.0.113.7"}, // not trusted: its word counts for nothing
		{"11.0.0.0:1", []string{"1.1.1.1"}, "11.0.0.0"},
		{"10.255.255.255:1", []string{"1.1.1.1"}, "1.1.1.1"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"6.6.6.6, 1.1.1.1"}, "1.1.1.1"},
		{"10.0.0.1:1", []string{"6.6.6.6, 1.1.1.1, 10.2.2.2 ,10.3.3.3"}, "1.1.1.1"},
		{"10.0.0.1:1", []string{"6.6.6.6", "1.1.1.1", "10.2.2.2"}, "1.1.1.1"},
		{"10.0.0.1:1", []string{"10.9.9.9, 10.2.2.2"}, "10.9.9.9"}, // all trusted: the first of them
		{"10.0.0.1:1", []string{"1.1.1.1, unknown, 10.2.2.2"}, "10.2.2.2"},
		{"10.0.0.1:1", []string{"1.1.1.1, , 10.2.2.2"}, "10.2.2.2"},
		{"10.0.0.1:1", []string{"1.1.1.1,"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"01.1.1.1"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"1.1.1.1:4711"}, "1.1.1.1"},
		{"10.0.0.1:1", []string{"[2001:db8::7]:4711"}, "2001:db8::7"},
		{"10.0.0.1:1", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"10.0.0.1:1", []string{"2001:DB8:0::7"}, "2001:db8::7"},
		{"10.0.0.1:1", []string{"[1.1.1.1]"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"::ffff:1.1.1.1"}, "1.1.1.1"},
		{"10.0.0.1:1", []string{"1.1.1.1, ::ffff:10.1.1.1"}, "1.1.1.1"},
		{"[::ffff:10.0.0.1]:1", []string{"1.1.1.1"}, "1.1.1.1"},
		{"[::ffff:203.0.113.7]:1", nil, "203.0.113.7"},
		{"[fd00::1%eth0]:1", []string{"1.1.1.1"}, "1.1.1.1"},
		{"[::1]:1", []string{"1.1.1.1"}, "1.1.1.1"},
		{"[2001:db8::1]:1", []string{"1.1.1.1"}, "2001:db8::1"},
		{"203.0.113.7", nil, "203.0.113.7"},
		{"", []string{"1.1.1.1"}, ""},
		{"@", []string{"1.1.1.1"}, ""},
	} {
		if got := clientIP(by, tt.peer, http.Header{"X-Forwarded-For": tt.xff}); got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.peer, tt.xff, got, tt.want)
		}
	}
}

// TestForwardedFor: the other header, by switch; neither stands in for the one that is read.
func TestForwardedFor(t *testing.T) {
	by := &ClientAddress{Trusted: trusting(t, "10.0.0.0/8"), Forwarded: true}
	for _, tt := range []struct {
		peer  string
		lines []string
		want  string
	}{
		{"203.0.113.7:1", []string{"for=1.1.1.1"}, "203.0.113.7"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"10.0.0.1:1", []string{"for=1.1.1.1"}, "1.1.1.1"},
		{"10.0.0.1:1", []string{"For=1.1.1.1;proto=http; by=10.0.0.9"}, "1.1.1.1"},
		{"10.0.0.1:1", []string{"proto=http;for=6.6.6.6, for=1.1.1.1 ,for=10.2.2.2"}, "1.1.1.1"},
		{"10.0.0.1:1", []string{"for=6.6.6.6", "for=1.1.1.1, for=10.2.2.2"}, "1.1.1.1"},
		{"10.0.0.1:1", []string{`for="[2001:db8::7]:4711"`}, "2001:db8::7"},
		{"10.0.0.1:1", []string{`for="[2001:db8::7]"`}, "2001:db8::7"},
		{"10.0.0.1:1", []string{`for="1.1.1.1:80"`}, "1.1.1.1"},
		{"10.0.0.1:1", []string{`for=6.6.6.6, for="_a,b;c\\", for=10.2.2.2`}, "10.2.2.2"}, // a comma inside quotes parts nothing
		{"10.0.0.1:1", []string{"for=unknown, for=10.2.2.2"}, "10.2.2.2"},
		{"10.0.0.1:1", []string{"for=_hidden"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"proto=https"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"for=1.1.1.1;for=2.2.2.2"}, "10.0.0.1"}, // which?
		{"10.0.0.1:1", []string{"for=2001:db8::7"}, "10.0.0.1"},         // must be quoted
		{"10.0.0.1:1", []string{`for="1.1.1.1`}, "10.0.0.1"},
		{"10.0.0.1:1", []string{""}, "10.0.0.1"},
	} {
		if got := clientIP(by, tt.peer, http.Header{"Forwarded": tt.lines, "X-Forwarded-For": {"6.6.6.6"}}); got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.peer, tt.lines, got, tt.want)
		}
	}
	if got := clientIP(&ClientAddress{Trusted: by.Trusted}, "10.0.0.1:1", http.Header{"Forwarded": {"for=6.6.6.6"}}); got != "10.0.0.1" {
		t.Errorf("Forwarded counts although X-Forwarded-For is read: %s", got)
	}
}

// TestSecure: whether the client's connection was TLS is a proxy's word only when it is trusted.
func TestSecure(t *testing.T) {
	for _, tt := range []struct {
		peer  string
		tls   bool
		xff   []string
		proto []string
		want  bool
	}{
		{"1.1.1.1:1", false, nil, nil, false},
		{"1.1.1.1:1", true, nil, nil, true},
		{"1.1.1.1:1", false, nil, []string{"https"}, false},
		{"1.1.1.1:1", true, nil, []string{"http"}, true},
		{"10.0.0.1:1", false, nil, []string{"https"}, true},
		{"10.0.0.1:1", true, nil, []string{"http"}, false},
		{"10.0.0.1:1", true, nil, []string{"javascript"}, false},
		{"10.0.0.1:1", true, nil, nil, true},
		{"10.0.0.1:1", true, nil, []string{""}, true},
		{"10.0.0.1:1", false, nil, []string{"HTTPS, http"}, false}, // who stands left of the proxy's own word is anybody
		{"10.0.0.1:1", false, []string{"1.1.1.1"}, []string{"https, http"}, false},
		{"10.0.0.1:1", false, []string{"1.1.1.1"}, []string{"https", "http"}, false}, // a proxy that adds a line of its own
		{"10.0.0.1:1", false, []string{"1.1.1.1"}, []string{"http", "https"}, true},
		{"10.0.0.1:1", false, []string{"1.1.1.1"}, []string{"http, https,"}, false},
		{"10.0.0.1:1", false, []string{"1.1.1.1, 10.0.0.2"}, []string{"https, http"}, true}, // TLS ends at the first of two
		{"10.0.0.1:1", false, []string{"1.1.1.1", "10.0.0.2"}, []string{"HTTPS", "http"}, true},
		{"10.0.0.1:1", false, []string{"1.1.1.1, 10.0.0.2"}, []string{"https, http, http"}, false},
		{"10.0.0.1:1", false, []string{"6.6.6.6, 1.1.1.1, 10.0.0.2"}, []string{"https, http, http"}, false},
		{"10.0.0.1:1", false, []string{"1.1.1.1, 10.0.0.3, 10.0.0.2"}, []string{"https"}, true}, // set anew, not added to
	} {
		by := &ClientAddress{Trusted: trusting(t, "10.0.0.0/8")}
		r := &Request{HTTP: &http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.xff, "X-Forwarded-Proto": tt.proto}}, Call: new(tapway.Call)}
		if tt.tls {
			r.HTTP.TLS = overTLS
		}
		by.Decide(r)
		if r.Secure != tt.want {
			t.Errorf("%+v: %v", tt, r.Secure)
		}
	}
}

// TestSecureByForwarded: where Forwarded is read, X-Forwarded-Proto is anybody's.
func TestSecureByForwarded(t *testing.T) {
	by := &ClientAddress{Trusted: trusting(t, "10.0.0.0/8"), Forwarded: true}
	for _, tt := range []struct {
		peer, forwarded string
		tls, want       bool
	}{
		{"1.1.1.1:1", "for=2.2.2.2;proto=https", false, false},
		{"10.0.0.1:1", "", false, false},
		{"10.0.0.1:1", "for=1.1.1.1", false, false},
		{"10.0.0.1:1", "for=1.1.1.1", true, true},
		{"10.0.0.1:1", "for=1.1.1.1;proto=https", false, true},
		{"10.0.0.1:1", `For=1.1.1.1;Proto="HTTPS"`, false, true},
		{"10.0.0.1:1", "for=1.1.1.1;proto=http", true, false},
		{"10.0.0.1:1", "for=6.6.6.6;proto=https, for=1.1.1.1;proto=http", false, false},
		{"10.0.0.1:1", "for=6.6.6.6;proto=https, for=1.1.1.1", false, false},
		{"10.0.0.1:1", "for=1.1.1.1;proto=https, for=10.0.0.2;proto=http", false, true},
		{"10.0.0.1:1", "for=1.1.1.1;proto=https;proto=http", false, false}, // which?
		{"10.0.0.1:1", "proto=https", false, false},
		{"10.0.0.1:1", "for=_hidden;proto=https", false, false},
	} {
		r := &Request{HTTP: &http.Request{RemoteAddr: tt.peer, Header: http.Header{"Forwarded": {tt.forwarded}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"6.6.6.6"}}}, Call: new(tapway.Call)}
		if tt.tls {
			r.HTTP.TLS = overTLS
			r.HTTP.Header.Set("X-Forwarded-Proto", "http")
		}
		by.Decide(r)
		if r.Secure != tt.want {
			t.Errorf("%+v: %v", tt, r.Secure)
		}
	}
}

// The answer is an address, and a forger behind a trusted proxy cannot choose it: what the
// proxy appends counts, whatever stands before.
func FuzzClientAddress(f *testing.F) {
	f.Add("10.0.0.1:80", "1.1.1.1, 2.2.2.2")
	f.Add("[::1]:80", "[::1%x]:1,,unknown")
	f.Add("10.0.0.1:80", `for="[::1]:1";by=x, for=unknown`)
	f.Fuzz(func(t *testing.T, peer, sent string) {
		by := &ClientAddress{Trusted: trusting(t, "10.0.0.0/8", "::/8")}
		both := &ClientAddress{Trusted: by.Trusted, Forwarded: true}
		for _, ip := range []string{clientIP(by, peer, http.Header{"X-Forwarded-For": {sent}}), clientIP(both, peer, http.Header{"Forwarded": {sent}})} {
			addr, err := netip.ParseAddr(ip)
			if ip != "" && (err != nil || addr.String() != ip || addr.Zone() != "" || addr.Is4In6()) {
				t.Errorf("%q %q: %q, %v", peer, sent, ip, err)
			}
		}
		for _, lines := range [][]string{{sent + ", 203.0.113.7"}, {sent, "203.0.113.7, 10.4.4.4"}} {
			if got := clientIP(by, "10.0.0.1:1", http.Header{"X-Forwarded-For": lines}); got != "203.0.113.7" {
				t.Errorf("%q: %q", sent, got)
			}
		}
		if got := clientIP(both, "10.0.0.1:1", http.Header{"Forwarded": {sent, "for=203.0.113.7, for=10.4.4.4"}}); got != "203.0.113.7" {
			t.Errorf("%q: %q", sent, got)
		}
	})
}
