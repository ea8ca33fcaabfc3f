package lambdahttp

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"pgregory.net/rapid"
)

// seen is what a handler sees of a request.
type seen struct {
	method, target, path, rawPath, query, host, proto string
	header                                            http.Header
	body                                              string
	length                                            int64
	tls, server                                       bool
}

func see(t testing.TB, r *http.Request) seen {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	h := r.Header.Clone()
	for _, name := range eventtest.Added {
		delete(h, name)
	}
	_, server := r.Context().Value(http.ServerContextKey).(*http.Server)
	return seen{r.Method, r.RequestURI, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.Host, r.Proto, h, string(body), r.ContentLength, r.TLS != nil, server}
}

// wire is the request as a client writes it.
func wire(r eventtest.Request, host string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", cmp.Or(r.Method, "GET"), cmp.Or(r.Target, "/"), host)
	for _, h := range r.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
	}
	if len(r.Body) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.Body))
	}
	b.WriteString("\r\n")
	b.Write(r.Body)
	return b.Bytes()
}

// direct is what a TLS server's handler sees of it.
func direct(t testing.TB, r eventtest.Request, host string) seen {
	t.Helper()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire(r, host))))
	if err != nil {
		t.Fatal(err)
	}
	s := see(t, req)
	s.tls, s.server = true, true
	return s
}

// compare fails for every difference that the call's fidelity does not admit.
func compare(t testing.TB, want, got seen, fidelity []string, f eventtest.Front) {
	t.Helper()
	lost := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(fidelity, w) })
	}
	check := func(what string, want, got any) {
		t.Helper()
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s: got %q, want %q (%v)", what, got, want, fidelity)
		}
	}
	check("method", want.method, got.method)
	check("host", want.host, got.host)
	check("tls", want.tls, got.tls)
	check("server", want.server, got.server)
	check("proto", want.proto, got.proto)
	if !lost(tapway.FidelityBodyEncoding) {
		check("body", want.body, got.body)
		check("length", want.length, got.length)
	}
	wantPath, _, _ := strings.Cut(want.target, "?")
	gotPath, _, _ := strings.Cut(got.target, "?")
	if lost(tapway.FidelityPathDecoded) {
		once, _ := url.PathUnescape(wantPath)
		once, _, _ = strings.Cut(once, "?")
		wantPath, _ = url.PathUnescape(once)
		wantPath = string([]rune(wantPath)) // JSON holds UTF-8 only
		gotPath, _ = url.PathUnescape(gotPath)
		check("decoded path", wantPath, gotPath)
	} else {
		check("path", wantPath, gotPath)
		check("URL.Path", want.path, got.path)
		check("URL.RawPath", want.rawPath, got.rawPath)
	}
	compareQuery(check, want.query, got.query, lost, f.Front() != tapway.FrontALB)
	compareHeader(check, want.header, got.header, lost)
}

func compareQuery(check func(string, any, any), want, got string, lost func(...string) bool, decodes bool) {
	split := func(q string) map[string][]string {
		m := map[string][]string{}
		for part := range strings.SplitSeq(q, "&") {
			name, value, _ := strings.Cut(part, "=")
			if part == "" {
				continue
			}
			if decodes && lost(tapway.FidelityQueryEncoding) {
				if d, err := url.QueryUnescape(name); err == nil {
					name = d
				}
				if d, err := url.QueryUnescape(value); err == nil {
					value = d
				}
			}
			m[name] = append(m[name], value)
		}
		if lost(tapway.FidelityQueryRepeats) {
			for name, values := range m {
				m[name] = values[len(values)-1:]
			}
		}
		return m
	}
	if lost(tapway.FidelityQueryOrder, tapway.FidelityQueryEncoding, tapway.FidelityQueryRepeats) {
		check("query", split(want), split(got))
	} else {
		check("query", want, got)
	}
}

func compareHeader(check func(string, any, any), want, got http.Header, lost func(...string) bool) {
	normal := func(h http.Header) http.Header {
		out := http.Header{}
		for name, values := range h {
			switch {
			case lost(tapway.FidelityHeaderDropped) && slices.Contains(eventtest.Dropped, name) && name != "Content-Length":
				continue
			case lost(tapway.FidelityBodyEncoding) && name == "Content-Length":
				continue
			case lost(tapway.FidelityCookieFormat) && name == "Cookie":
				values = strings.Split(strings.Join(values, "; "), "; ")
			case lost(tapway.FidelityHeaderOrder):
				values = slices.Sorted(slices.Values(values))
			case lost(tapway.FidelityHeaderJoined):
				values = []string{strings.Join(values, ",")}
			case lost(tapway.FidelityHeaderRepeats):
				values = values[len(values)-1:]
			}
			out[name] = values
		}
		return out
	}
	check("header", normal(want), normal(got))
}

func decode(t testing.TB, f eventtest.Front, r eventtest.Request) *Call {
	t.Helper()
	event, err := f.Event(r)
	if err != nil {
		t.Fatal(err)
	}
	call, err := Decode(t.Context(), event)
	if err != nil {
		t.Fatalf("%v: %v\n%s", f, err, event)
	}
	return call
}

func fields(pairs ...string) []tapway.Field {
	var out []tapway.Field
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, tapway.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

var requests = map[string]eventtest.Request{
	"plain":             {Target: "/users"},
	"root":              {},
	"escaped path":      {Target: "/a%2Fb/c%20d/%c3%a9/e+f;g=h/(i)!*'"},
	"slashes":           {Target: "//a//b/"},
	"query":             {Target: "/a?b=1&a=2&b=3&c=x+y&d=x%20y&e=%2B&f&g="},
	"query, one value":  {Target: "/a?b=1"},
	"query, one name":   {Target: "/a?b=1&b=2"},
	"query, odd":        {Target: "/a?b=c?d=e&&=&x=%zz"},
	"no query":          {Target: "/a"},
	"headers":           {Header: fields("X-One", "1", "x-two", "2", "X-ONE", "3", "Accept", "text/html, */*", "Via", "1.1 a")},
	"joined":            {Header: fields("X-List", "a,b")},
	"one cookie":        {Header: fields("Cookie", "a=b")},
	"cookies":           {Header: fields("Cookie", "a=b; c=d")},
	"dropped":           {Header: fields("Max-Forwards", "3", "Content-MD5", "x", "TE", "trailers", "Expect", "100-continue")},
	"forwarded before":  {Header: fields("X-Forwarded-For", "10.0.0.1, 10.0.0.2")},
	"json":              {Method: "POST", Target: "/users", Header: fields("Content-Type", "application/json; charset=utf-8"), Body: []byte(`{"name":"mörpheus","n":"\u0000\\"}` + "\n\t")},
	"text with U+FFFD":  {Method: "PUT", Header: fields("Content-Type", "text/plain"), Body: []byte("a\ufffdb")},
	"binary":            {Method: "POST", Header: fields("Content-Type", "image/png"), Body: []byte("\x89PNG\r\n\x1a\n\x00\xff\xfe")},
	"compressed":        {Method: "POST", Header: fields("Content-Type", "application/json", "Content-Encoding", "gzip"), Body: []byte("\x1f\x8b\x08\x00\x00")},
	"body without type": {Method: "PATCH", Body: []byte("abc")},
	"delete":            {Method: "DELETE", Target: "/users/1"},
	"own method":        {Method: "PROPFIND", Target: "/dav/"},
	"IPv6 client":       {ClientIP: "2001:db8::1"},
}

// One request that comes through every front and through a server is the same but for what the
// front has destroyed, and the call says what that is.
func TestOneRequestThroughEveryFront(t *testing.T) {
	got := make(chan seen, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- see(t, r) }))
	srv.StartTLS()
	defer srv.Close()
	for name, r := range requests {
		for _, f := range eventtest.Fronts {
			t.Run(name+"/"+f.String(), func(t *testing.T) {
				call := decode(t, f, r)
				conn, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.Write(wire(r, call.Request.Host))
				want := <-got
				compare(t, want, see(t, call.Request), call.Fidelity, f)
				client := cmp.Or(r.ClientIP, "203.0.113.7")
				if call.Front != f.Front() || call.ClientIP != client || call.Trace != eventtest.Trace {
					t.Errorf("front %q, client %q, trace %q", call.Front, call.ClientIP, call.Trace)
				}
				if addr, err := netip.ParseAddrPort(call.Request.RemoteAddr); err != nil || addr.Addr().String() != client {
					t.Errorf("RemoteAddr %q", call.Request.RemoteAddr)
				}
				if tapway.FactsFrom(call.Request.Context()) != call.Facts {
					t.Error("the facts are not in the context")
				}
				if call.API == nil || call.API.ID == "" || f.Front() != tapway.FrontALB && (call.API.Stage == "" || call.API.RequestID == "") {
					t.Errorf("API %+v", call.API)
				}
			})
		}
	}
}

// What each front is said to have destroyed.
func TestFidelity(t *testing.T) {
	const (
		path, order, encoding, repeats     = tapway.FidelityPathDecoded, tapway.FidelityQueryOrder, tapway.FidelityQueryEncoding, tapway.FidelityQueryRepeats
		letters, joined, headerRepeats     = tapway.FidelityHeaderCase, tapway.FidelityHeaderJoined, tapway.FidelityHeaderRepeats
		dropped, cookieFormat, bodyChanged = tapway.FidelityHeaderDropped, tapway.FidelityCookieFormat, tapway.FidelityBodyEncoding
	)
	tests := []struct {
		request string
		want    map[eventtest.Front][]string
	}{
		{"root", map[eventtest.Front][]string{eventtest.REST: {dropped}, eventtest.HTTP1: {letters, path}, eventtest.HTTP2: {letters, path}, eventtest.FunctionURL: {letters}, eventtest.ALB: {letters, headerRepeats}, eventtest.ALBMulti: {letters}}},
		{"plain", map[eventtest.Front][]string{eventtest.REST: {dropped}, eventtest.HTTP1: {letters, path}, eventtest.HTTP2: {letters, path}, eventtest.FunctionURL: {letters}}},
		{"query", map[eventtest.Front][]string{
			eventtest.REST: {dropped, order, encoding}, eventtest.HTTP2: {letters, path}, eventtest.FunctionURL: {letters},
			eventtest.ALB: {letters, headerRepeats, order, encoding, repeats}, eventtest.ALBMulti: {letters, order, encoding}}},
		{"query, one value", map[eventtest.Front][]string{
			eventtest.REST: {dropped, encoding}, eventtest.ALB: {letters, headerRepeats, repeats}, eventtest.ALBMulti: {letters}}},
		{"query, one name", map[eventtest.Front][]string{eventtest.REST: {dropped, encoding}, eventtest.ALBMulti: {letters}}},
		{"joined", map[eventtest.Front][]string{eventtest.REST: {dropped}, eventtest.HTTP2: {letters, joined, path}, eventtest.FunctionURL: {letters, joined}, eventtest.ALBMulti: {letters}}},
		{"headers", map[eventtest.Front][]string{eventtest.REST: {tapway.FidelityHeaderOrder, dropped}, eventtest.HTTP2: {letters, joined, path}, eventtest.FunctionURL: {letters, joined}}},
		{"one cookie", map[eventtest.Front][]string{eventtest.HTTP2: {letters, path}, eventtest.FunctionURL: {letters}}},
		{"cookies", map[eventtest.Front][]string{eventtest.HTTP2: {cookieFormat, letters, path}, eventtest.FunctionURL: {letters}}},
		{"text with U+FFFD", map[eventtest.Front][]string{eventtest.REST: {dropped, bodyChanged}, eventtest.FunctionURL: {letters, bodyChanged}}},
		{"binary", map[eventtest.Front][]string{eventtest.REST: {dropped, bodyChanged}, eventtest.FunctionURL: {letters}, eventtest.ALBMulti: {letters}}},
	}
	for _, tt := range tests {
		for f, want := range tt.want {
			r, ok := requests[tt.request]
			if !ok {
				t.Fatal(tt.request)
			}
			if got := decode(t, f, r).Fidelity; !slices.Equal(got, want) {
				t.Errorf("%s, %v: %v, want %v", tt.request, f, got, want)
			}
		}
	}
	// With the type known as binary nothing is lost.
	r := requests["binary"]
	r.BinaryMediaTypes = []string{"image/*"}
	if call := decode(t, eventtest.REST, r); !slices.Equal(call.Fidelity, []string{dropped}) || see(t, call.Request).body != string(r.Body) {
		t.Errorf("%v", call.Fidelity)
	}
}

// A call never differs from what was sent without saying so, whatever was sent.
func TestFidelityIsHonest(t *testing.T) {
	text := rapid.StringMatching(`[ -~]{0,12}`)
	token := rapid.StringMatching(`[A-Za-z][A-Za-z0-9-]{0,8}`)
	segment := rapid.StringMatching(`([a-zA-Z0-9._~!$&'()*+,;=:@-]|%2F|%20|%25|%3F|%23|%c3%a9|%2525|é){0,6}`)
	part := rapid.StringMatching(`([a-z0-9./?:@!$'()*,;+-]|%26|%3D|%20|%2B|%zz|é){0,5}`)
	rapid.Check(t, func(t *rapid.T) {
		var r eventtest.Request
		r.Method = rapid.SampledFrom([]string{"GET", "POST", "HEAD", "PUT", "OPTIONS", "LINK"}).Draw(t, "method")
		r.Target = "/" + strings.Join(rapid.SliceOfN(segment, 0, 4).Draw(t, "path"), "/")
		if n := rapid.IntRange(0, 4).Draw(t, "parameters"); n > 0 {
			var parts []string
			for range n {
				p := rapid.SampledFrom([]string{"a", "b", "%61", "c+d"}).Draw(t, "name")
				if rapid.Bool().Draw(t, "value") {
					p += "=" + part.Draw(t, "value")
				}
				parts = append(parts, p)
			}
			r.Target += "?" + strings.Join(parts, "&")
		}
		for range rapid.IntRange(0, 4).Draw(t, "headers") {
			r.Header = append(r.Header, tapway.Field{Name: "X-" + token.Draw(t, "name"), Value: strings.TrimSpace(text.Draw(t, "value"))})
		}
		if rapid.Bool().Draw(t, "cookies") {
			r.Header = append(r.Header, tapway.Field{Name: "Cookie", Value: rapid.StringMatching(`a=b(; [a-z]=[a-z]){0,2}`).Draw(t, "cookie")})
		}
		r.Base = rapid.SampledFrom([]string{"", "", "/shop", "/shop/v1"}).Draw(t, "base")
		r.Custom = rapid.Bool().Draw(t, "custom domain")
		r.Stage = rapid.SampledFrom([]string{"", "dev"}).Draw(t, "stage")
		r.Body = []byte(rapid.SampledFrom([]string{"", "{}", "\xff\x00", "é\"\\\n"}).Draw(t, "body"))
		if len(r.Body) > 0 {
			r.Header = append(r.Header, tapway.Field{Name: "Content-Type", Value: rapid.SampledFrom([]string{"application/json", "text/plain", "image/png"}).Draw(t, "type")})
		}
		for _, f := range eventtest.Fronts {
			event, err := f.Event(r)
			if errors.Is(err, eventtest.ErrRejected) {
				continue
			}
			call, err := Decode(context.Background(), event)
			if err != nil {
				t.Fatalf("%v: %v\n%s", f, err, event)
			}
			compareRapid(t, f, r, call)
		}
	})
}

// collector makes a testing.TB's Errorf a rapid failure.
type collector struct {
	testing.TB
	problems []string
}

func (c *collector) Helper()                   {}
func (c *collector) Errorf(s string, a ...any) { c.problems = append(c.problems, fmt.Sprintf(s, a...)) }
func (c *collector) Fatal(a ...any)            { panic(fmt.Sprint(a...)) }

func compareRapid(t *rapid.T, f eventtest.Front, r eventtest.Request, call *Call) {
	var c collector
	want := direct(&c, r, call.Request.Host)
	compare(&c, want, see(&c, call.Request), call.Fidelity, f)
	if len(c.problems) > 0 {
		t.Fatalf("%v: %s", f, strings.Join(c.problems, "\n"))
	}
}

// A header in the client's letter case is found in canonical form, and nothing is shared with
// the event.
func TestNothingRefersToTheEvent(t *testing.T) {
	for _, f := range eventtest.Fronts {
		event, err := f.Event(requests["json"])
		if err != nil {
			t.Fatal(err)
		}
		call, err := Decode(t.Context(), event)
		if err != nil {
			t.Fatal(err)
		}
		own, err := decodeEvent(t.Context(), bytes.Clone(event), true)
		if err != nil {
			t.Fatal(err)
		}
		if got := see(t, own.Request); got.body != string(requests["json"].Body) {
			t.Errorf("%v: in an event of its own the body is %q", f, got.body)
		}
		clear(event)
		if got := see(t, call.Request); got.body != string(requests["json"].Body) || got.header.Get("Content-Type") != "application/json; charset=utf-8" || strings.Contains(got.target, "\x00") {
			t.Errorf("%v: %+v", f, got)
		}
		for name := range maps.Keys(call.Request.Header) {
			if name != http.CanonicalHeaderKey(name) {
				t.Errorf("%v: %q", f, name)
			}
		}
	}
}
