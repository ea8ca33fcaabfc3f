package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Path and query reach the backend as the client sent them.
func TestTargetIsByteExact(t *testing.T) {
	wr := newWire(t, ok200)
	w := newWorld(t, wr.url, option{})
	for _, target := range []string{
		"/", "/a/b", "/a/b/", "/a%2Fb", "/a%2fb", "/a%20b", "/a+b?c+d=e%2Bf", "/p?", "/p?a", "/p?a=", "/p?a=&b",
		"/p?b=2&a=1&b=3", "/p?a=1;b=2", "/p??x=?", "/;v=1/x;y=2", "/a//b", "/../x/./y", "/%2e%2e/x", "/!$&'()*,:@=~-_.",
		"/%E2%82%AC", "/p?q=%zz", "/p?u=http://x/y?z", "//leading", "//leading//and%2Fmore/?x", "///", `/a"b<c>{d}|^`, `//a"b`,
	} {
		res := w.raw("GET", "GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n")
		if res.StatusCode != 200 {
			t.Errorf("%s: status %d", target, res.StatusCode)
			continue
		}
		head, _ := wr.last(t)
		line, _, _ := strings.Cut(head, "\r\n")
		want := "GET " + target + " HTTP/1.1"
		if target == `//a"b` { // net/http cannot write it in origin form
			want = "GET " + wr.url + target + " HTTP/1.1"
		}
		if line != want {
			t.Errorf("sent %q, the backend got %q", want, line)
		}
	}
}

func TestMethodsAndBodies(t *testing.T) {
	wr := newWire(t, ok200)
	w := newWorld(t, wr.url, option{})
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "x-own"} {
		w.raw(method, method+" /m HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
		head, body := wr.last(t)
		if !strings.HasPrefix(head, method+" /m HTTP/1.1\r\n") || body != "hello" || !slices.Equal(lines(head, "Content-Length"), []string{"5"}) {
			t.Errorf("%s: the backend got\n%s%q", method, head, body)
		}
		w.raw(method, method+" /m HTTP/1.1\r\nHost: h\r\n\r\n")
		head, body = wr.last(t)
		if body != "" || len(lines(head, "Transfer-Encoding")) > 0 {
			t.Errorf("%s without body: the backend got\n%s%q", method, head, body)
		}
	}
	res := w.raw("OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
	if head, _ := wr.last(t); res.StatusCode != 200 || !strings.HasPrefix(head, "OPTIONS * HTTP/1.1\r\n") {
		t.Errorf("OPTIONS *: %d, %s", res.StatusCode, head)
	}
}

func TestRequestHeaders(t *testing.T) {
	wr := newWire(t, ok200)
	w := newWorld(t, wr.url, option{settings: func(s *Settings) { s.Forwarded.Off = true }})
	w.raw("GET", strings.ReplaceAll(`GET / HTTP/1.1
Host: public.example
Connection: keep-alive, X-Drop , upgrade
X-Drop: 1
Keep-Alive: timeout=5
Proxy-Connection: keep-alive
Proxy-Authorization: Basic x
Te: gzip, Trailers;q=0.5, trailers
Upgrade: h2c
Http2-Settings: AAMAAABk
X-Multi: one
Accept-Encoding: br
X-Multi: two
X-Multi: three, four
X-Forwarded-For: 1.2.3.4
X-Empty:
Cookie: a=b

`, "\n", "\r\n"))
	head, _ := wr.last(t)
	for name, want := range map[string][]string{
		"Host": {wr.addr}, "X-Multi": {"one", "two", "three, four"}, "Te": {"trailers"}, "Accept-Encoding": {"br"}, "Cookie": {"a=b"},
		"X-Forwarded-For": {"1.2.3.4"}, "X-Empty": {""},
		"Connection": nil, "X-Drop": nil, "Keep-Alive": nil, "Proxy-Connection": nil, "Proxy-Authorization": nil,
		"Upgrade": nil, "Http2-Settings": nil, "User-Agent": nil, "Forwarded": nil, "X-Forwarded-Host": nil, "X-Forwarded-Proto": nil,
	} {
		if diff := cmp.Diff(want, lines(head, name)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestHost(t *testing.T) {
	wr := newWire(t, ok200)
	w := newWorld(t, wr.url, option{backend: &Backend{PreserveHost: true}})
	w.raw("GET", "GET / HTTP/1.1\r\nHost: public.example:81\r\n\r\n")
	if head, _ := wr.last(t); !slices.Equal(lines(head, "Host"), []string{"public.example:81"}) {
		t.Errorf("PreserveHost:\n%s", head)
	}
	w = newWorld(t, wr.url, option{hop: func(h *Hop) { h.Header = http.Header{"Host": {"mapped.example"}} }})
	w.raw("GET", "GET / HTTP/1.1\r\nHost: public.example:81\r\n\r\n")
	if head, _ := wr.last(t); !slices.Equal(lines(head, "Host"), []string{"mapped.example"}) {
		t.Errorf("mapped Host:\n%s", head)
	}
}

func TestMappedHeadersAndMethod(t *testing.T) {
	wr := newWire(t, ok200)
	for _, only := range []bool{false, true} {
		w := newWorld(t, wr.url, option{hop: func(h *Hop) {
			h.Method, h.OnlyMapped = "PUT", only
			h.Header = http.Header{"X-Set": {"new"}, "X-Gone": nil, "connection": {"close"}, "Content-Length": {"99"}, "X-Forwarded-Proto": {"ours"}}
		}})
		w.raw("POST", "POST / HTTP/1.1\r\nHost: h\r\nX-Set: old\r\nX-Gone: x\r\nX-Own: y\r\nUser-Agent: me\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi")
		head, body := wr.last(t)
		own := []string{"y"}
		agent := []string{"me"}
		if only {
			own, agent = nil, nil
		}
		for name, want := range map[string][]string{
			"X-Set": {"new"}, "X-Gone": nil, "X-Own": own, "User-Agent": agent, "Content-Type": {"text/plain"}, "Content-Length": {"2"},
			"Connection": nil, "X-Forwarded-Proto": {"ours"},
		} {
			if diff := cmp.Diff(want, lines(head, name)); diff != "" {
				t.Errorf("OnlyMapped %v, %s:\n%s", only, name, diff)
			}
		}
		if !strings.HasPrefix(head, "PUT ") || body != "hi" {
			t.Errorf("got %s %q", head, body)
		}
	}
}

func TestNoHeaders(t *testing.T) {
	wr := newWire(t, ok200)
	w := newWorld(t, wr.url, option{settings: func(s *Settings) { s.NoHeaders, s.Forwarded.Off = true, true }})
	w.raw("POST", "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: x\r\nX-Forwarded-For: 1.1.1.1\r\nAccept: */*\r\nContent-Type: a/b\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi")
	head, body := wr.last(t)
	got := strings.Split(strings.TrimSuffix(head, "\r\n"), "\r\n")
	slices.Sort(got[1:])
	want := []string{"POST / HTTP/1.1", "Content-Encoding: gzip", "Content-Length: 2", "Content-Type: a/b", "Host: " + wr.addr}
	if !slices.Equal(got, want) || body != "hi" {
		t.Errorf("the backend got %q, %q; want %q", got, body, want)
	}
}

func TestRequestTrailers(t *testing.T) {
	wr := newWire(t, ok200)
	w := newWorld(t, wr.url, option{})
	w.raw("POST", "POST / HTTP/1.1\r\nHost: h\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
	head, body := wr.last(t)
	if !slices.Equal(lines(head, "Trailer"), []string{"X-Sum"}) || body != "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n" {
		t.Errorf("announced: the backend got\n%s%q", head, body)
	}

	// net/http's server adds unannounced ones to the request it made, which a middleware's copy does not see.
	srv := httptest.NewServer(w.handler)
	t.Cleanup(srv.Close)
	w.addr = srv.Listener.Addr().String()
	w.raw("POST", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n")
	head, body = wr.last(t)
	if lines(head, "Trailer") != nil || body != "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n" {
		t.Errorf("unannounced: the backend got\n%s%q", head, body)
	}
}

func TestChunkedRequestStreams(t *testing.T) {
	got := make(chan string)
	backend := newBackend(t, func(rw http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 5)
		for range 2 {
			io.ReadFull(r.Body, buf)
			got <- string(buf)
		}
		io.Copy(io.Discard, r.Body)
	})
	w := newWorld(t, backend.URL, option{})
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		res, _ := w.do(w.request("POST", "/", pr))
		if res.StatusCode != 200 {
			t.Errorf("status %d", res.StatusCode)
		}
	}()
	for _, part := range []string{"first", "later"} { // the second part is not sent before the first has arrived
		io.WriteString(pw, part)
		if s := <-got; s != part {
			t.Errorf("got %q, want %q", s, part)
		}
	}
	pw.Close()
	<-done
}

// The backend decides on Expect: 100-continue, and the client waits for it.
func TestExpectContinue(t *testing.T) {
	backend := newBackend(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "100-continue" {
			t.Errorf("Expect: %q", r.Header.Get("Expect"))
		}
		if r.URL.Path == "/no" {
			rw.Header().Set("Connection", "close")
			rw.WriteHeader(http.StatusExpectationFailed)
			return
		}
		io.Copy(rw, r.Body)
	})
	w := newWorld(t, backend.URL, option{})
	for path, want := range map[string][2]string{"/yes": {"HTTP/1.1 100 Continue", "HTTP/1.1 200 OK"}, "/no": {"HTTP/1.1 417 Expectation Failed", ""}} {
		conn := w.dial()
		io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
		buf := make([]byte, 12)
		io.ReadFull(conn, buf)
		if !strings.HasPrefix(want[0], string(buf)) {
			t.Errorf("%s: %q before the body was sent, want %q", path, buf, want[0])
		}
		if want[1] != "" {
			io.WriteString(conn, "body")
			rest, _ := io.ReadAll(conn)
			if !strings.Contains(string(rest), want[1]) || !strings.HasSuffix(string(rest), "body") {
				t.Errorf("%s: then %q", path, rest)
			}
		}
		w.call()
	}
}

func TestConnectIsRefused(t *testing.T) {
	wr := newWire(t, ok200)
	w := newWorld(t, wr.url, option{})
	res := w.raw("GET", "CONNECT evil.example:25 HTTP/1.1\r\nHost: evil.example:25\r\n\r\n")
	if res.StatusCode != http.StatusNotImplemented || wr.count() != 0 {
		t.Errorf("status %d, %d calls to the backend", res.StatusCode, wr.count())
	}
}

// An HTTP/1.0 client sends its body without being asked; nobody waits for 100 Continue.
func TestExpectOfHTTP10(t *testing.T) {
	wr := newWire(t, ok200)
	w := newWorld(t, wr.url, option{})
	w.raw("POST", "POST / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
	if head, body := wr.last(t); lines(head, "Expect") != nil || body != "abc" {
		t.Errorf("the backend got\n%s%q", head, body)
	}
}

// HTTP/2 brings what HTTP/1 could not even write; the client is told that it is to blame.
func TestMalformedRequests(t *testing.T) {
	for name, change := range map[string]func(r *http.Request){
		"target": func(r *http.Request) { r.RequestURI = "/a#b" },
		"method": func(r *http.Request) { r.Method = "G ET" },
		"host":   func(r *http.Request) { r.Host = "evil/path" },
	} {
		r := httptest.NewRequest("GET", "/a", nil)
		r.ProtoMajor, r.ProtoMinor = 2, 0
		change(r)
		rec := httptest.NewRecorder()
		trip := roundTripFunc(func(*http.Request) (*http.Response, error) { t.Errorf("%s: passed on", name); return nil, io.EOF })
		call, _ := play(t, &Backend{Transport: trip, PreserveHost: true}, rec, r)
		if rec.Code != http.StatusBadRequest || call.Error != "malformed request "+name {
			t.Errorf("%s: status %d, error %q", name, rec.Code, call.Error)
		}
	}
}
