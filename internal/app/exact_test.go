package app

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

// TestTargetsAreExact: path and query reach the backend byte for byte, and the record has
// them as they were sent.
func TestTargetsAreExact(t *testing.T) {
	backend := newRawBackend(t, func(string) string { return okAnswer })
	w := newWorld(t, "backend: http://"+backend.addr+"\n")
	for i, target := range []string{
		"/", "/a%2Fb", "/a%20b", "/a+b", "/a;b=c", "/a?", "/a?a", "/a?a=", "/a?b=1&a=2&b=3", "//", "//a//b/", "/a/", "/a/./b/../c", "/%7euser", "/%c3%a9", "/a?x=%2F+%20;y",
		"/a?b=c?d=e", "/a'b(c)*d!", `/a"b`, "/a%zz", "/a|b^c`d{e}", "/a?q=\"x\"", "/a[1]", "/a:b@c", "/a%00b", "/a?=&&=", "/A/%41",
	} {
		out := raw(t, w.addr, "GET "+target+" HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(out, "HTTP/1.1 200 OK\r\n") {
			t.Errorf("%s: the client got %q", target, out)
			continue
		}
		got := <-backend.requests
		if want := "GET " + target + " HTTP/1.1\r\n"; !strings.HasPrefix(got, want) {
			t.Errorf("%s: the backend got %q", target, firstLine(got))
		}
		rec := w.sink.next(t, i)
		path, query, _ := strings.Cut(target, "?")
		if rec["endpoint"] != path || rec["query"] != query && !(query == "" && rec["query"] == nil) {
			t.Errorf("%s: the record has %v ? %v", target, rec["endpoint"], rec["query"])
		}
	}
	w.checkLedger()
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\r\n")
	return line
}

// TestReasonPhrases: some clients show the backend's words to people.
func TestReasonPhrases(t *testing.T) {
	line := make(chan string, 1)
	backend := newRawBackend(t, func(string) string { return <-line + "\r\nContent-Length: 0\r\n\r\n" })
	w := newWorld(t, "backend: http://"+backend.addr+"\n")
	for i, tt := range []struct{ sent, want string }{
		{"HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\n"},
		{"HTTP/1.1 404 No such user: 7", "HTTP/1.1 404 No such user: 7\r\n"},
		{"HTTP/1.1 204 Gone\tcaf\xc3\xa9", "HTTP/1.1 204 Gone\tcaf\xc3\xa9\r\n"},
		{"HTTP/1.0 299 Odd", "HTTP/1.1 299 Odd\r\n"},
		{"HTTP/1.1 799 ", "HTTP/1.1 799 \r\n"},
		{"HTTP/1.1 200", "HTTP/1.1 200 \r\n"},
		{"HTTP/1.1 200 a\x01b", "HTTP/1.1 200 OK\r\n"},
	} {
		line <- tt.sent
		out := raw(t, w.addr, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(out, tt.want) {
			t.Errorf("the backend said %q, the client got %q", tt.sent, firstLine(out))
		}
		<-backend.requests
		w.sink.next(t, i)
	}
	line <- "HTTP/1.1 404 Odd"
	if out := raw(t, w.addr, "GET / HTTP/1.0\r\n\r\n"); !strings.HasPrefix(out, "HTTP/1.0 404 Odd\r\n") {
		t.Errorf("HTTP/1.0: the client got %q", firstLine(out))
	}
}

// TestEmptyBodies: a Content-Length of 0 is passed on, because a signature may cover it, and those
// methods get one that servers expect it with.
func TestEmptyBodies(t *testing.T) {
	backend := newRawBackend(t, func(string) string { return okAnswer })
	w := newWorld(t, "backend: http://"+backend.addr+"\n")
	for _, tt := range []struct {
		method, header string
		want           bool
	}{
		{"GET", "", false}, {"DELETE", "", false}, {"POST", "", true}, {"PUT", "", true}, {"PATCH", "", true},
		{"GET", "Content-Length: 0\r\n", true}, {"DELETE", "Content-Length: 0\r\n", true}, {"POST", "Content-Length: 0\r\n", true},
	} {
		raw(t, w.addr, tt.method+" / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+tt.header+"\r\n")
		if got := <-backend.requests; strings.Count(got, "Content-Length: 0\r\n") != map[bool]int{true: 1}[tt.want] || strings.Contains(got, "Transfer-Encoding") {
			t.Errorf("%s with %q: the backend got %q", tt.method, tt.header, got)
		}
	}
}

// TestExpectWithTheBody: a client that sends its body without waiting to be asked is not made to
// wait for a backend that never asks.
func TestExpectWithTheBody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		n, _ := conn.Read(buf)
		first <- string(buf[:n])
		io.WriteString(conn, okAnswer)
	}()
	w := newWorld(t, "backend: http://"+l.Addr().String()+"\n")
	out := raw(t, w.addr, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
	if !strings.Contains(out, "HTTP/1.1 200 OK\r\n") {
		t.Errorf("the client got %q", out)
	}
	if got := <-first; !strings.Contains(got, "Expect: 100-continue\r\n") || !strings.HasSuffix(got, "\r\n\r\nhello") {
		t.Errorf("the backend first got %q", got)
	}
}

// TestAmbiguousRequests are refused with 400, never reach the backend, and leave a record.
func TestAmbiguousRequests(t *testing.T) {
	backend := newRawBackend(t, func(string) string { return okAnswer })
	w := newWorld(t, "backend: http://"+backend.addr+"\n")
	for i, tt := range []struct{ name, request string }{
		{"both lengths", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"differing lengths", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"},
		{"length list", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 4\r\n\r\nabcd"},
		{"signed length", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"},
		{"folding", "GET /x HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n"},
		{"bare CR", "GET /x HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n"},
		{"bare LF", "GET /x HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n"},
		{"space before the colon", "GET /x HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n"},
		{"two hosts", "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
		{"no host", "GET /x HTTP/1.1\r\n\r\n"},
		{"chunked not last", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"},
	} {
		out := raw(t, w.addr, tt.request)
		if !strings.HasPrefix(out, "HTTP/1.1 400 ") || !strings.Contains(out, "Connection: close") || !strings.Contains(out, `{"message":`) {
			t.Errorf("%s: the client got %q", tt.name, out)
			continue
		}
		rec := w.sink.next(t, i)
		if rec["status"] != 400.0 || rec["origin"] != "gateway" || rec["error"] == nil {
			t.Errorf("%s: record %v", tt.name, rec)
		}
	}
	select {
	case got := <-backend.requests:
		t.Errorf("the backend got %q", got)
	default:
	}
	w.checkLedger()
}

// TestBadChunks are found while the body is passed on: the client gets 400, and the backend
// never sees a body that looks whole.
func TestBadChunks(t *testing.T) {
	whole := make(chan string, 10)
	w := newWorld(t, "backend: "+httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			whole <- string(body)
		}
	}))+"\n")
	for i, chunk := range []string{
		"zz\r\nabc\r\n0\r\n\r\n", "-1\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "ffffffffffffffffff\r\n", "3 \x01\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n",
		"\r\nabc\r\n0\r\n\r\n", "3\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3\r\nabc\r\n0\r\nX: a\r\n b\r\n\r\n",
	} {
		out := raw(t, w.addr, "POST /chunk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk)
		if !strings.HasPrefix(out, "HTTP/1.1 400 ") {
			t.Errorf("chunk %q: the client got %q", chunk, out)
			continue
		}
		if rec := w.sink.next(t, i); rec["status"] != 400.0 || rec["error"] == nil {
			t.Errorf("chunk %q: record %v", chunk, rec)
		}
	}
	select {
	case got := <-whole:
		t.Errorf("the backend read %q as a whole body", got)
	default:
	}
	w.checkLedger()
}

// TestHeadersBothWays: what stays, what is dropped, what is rewritten.
func TestHeadersBothWays(t *testing.T) {
	var addr string
	backend := newRawBackend(t, func(string) string {
		return "HTTP/1.1 201 Created\r\nSet-Cookie: a=1; Path=/v1/x; Domain=" + strings.Split(addr, ":")[0] + "\r\nSet-Cookie: b=2\r\nConnection: X-Hop\r\nX-Hop: gone\r\n" +
			"Location: http://" + addr + "/v1/users/7\r\nContent-Location: /v1/users/7\r\nX-Twice: 1\r\nX-Twice: 2\r\nContent-Length: 2\r\n\r\nhi"
	})
	addr = backend.addr
	w := newWorld(t, "routes: [{match: \"ANY /api/{proxy+}\", backend: \"http://"+backend.addr+"/v1/{proxy}\"}]\n")
	out := raw(t, w.addr, "POST /api/users?x=1 HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close, X-Mine\r\nX-Mine: gone\r\nKeep-Alive: 5\r\nTE: trailers, deflate\r\nX-Forwarded-For: 6.6.6.6\r\nX-Twice: a\r\nX-Twice: b\r\nContent-Length: 3\r\n\r\nabc")
	got := <-backend.requests
	for _, want := range []string{"POST /v1/users?x=1 HTTP/1.1\r\n", "Host: " + addr + "\r\n", "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Host: shop.example.com\r\n", "X-Forwarded-Proto: http\r\n", "Forwarded: ", "X-Twice: a\r\nX-Twice: b\r\n", "Te: trailers\r\n", "Content-Length: 3\r\n", "\r\n\r\nabc"} {
		if !strings.Contains(got, want) {
			t.Errorf("the backend lacks %q in %q", want, got)
		}
	}
	for _, bad := range []string{"X-Mine", "Keep-Alive", "6.6.6.6", "User-Agent", "Accept-Encoding", "deflate"} {
		if strings.Contains(got, bad) {
			t.Errorf("the backend got %q in %q", bad, got)
		}
	}
	for _, want := range []string{"HTTP/1.1 201 Created\r\n", "Location: http://shop.example.com/api/users/7\r\n", "Content-Location: /api/users/7\r\n", "Set-Cookie: a=1; Path=/api/x\r\nSet-Cookie: b=2\r\n", "X-Twice: 1\r\nX-Twice: 2\r\n", "\r\n\r\nhi"} {
		if !strings.Contains(out, want) {
			t.Errorf("the client lacks %q in %q", want, out)
		}
	}
	if strings.Contains(out, "X-Hop") || strings.Contains(out, addr) {
		t.Errorf("the client sees the backend or its hop: %q", out)
	}
	rec := w.sink.next(t, 0)
	headers := rec["response_headers"].(map[string]any)
	if headers["Set-Cookie"] != "[REDACTED]\n[REDACTED]" || headers["X-Twice"] != "1, 2" {
		t.Errorf("recorded headers: %v", headers)
	}
	if rec["route"] != "ANY /api/{proxy+}" || rec["body"] != "abc" || rec["response"] != "hi" || rec["client_ip"] != "127.0.0.1" || rec["from"] != "shop.example.com" {
		t.Errorf("record: %v", rec)
	}
}

// TestBrokenOffResponse: a backend that breaks off never looks like success, whatever the
// framing, to the client or in the record.
func TestBrokenOffResponse(t *testing.T) {
	half := strings.Repeat("x", 100_000)
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n" + half,
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n30d40\r\n" + half,
		"small":   "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nshort",
		"no head": "HTTP/1.1 200",
	} {
		t.Run(name, func(t *testing.T) {
			backend := newRawBackend(t, func(string) string { return answer })
			w := newWorld(t, "backend: http://"+backend.addr+"\n")
			resp, err := http.Get(w.url + "/x")
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err == nil && resp.StatusCode < 500 {
					t.Errorf("the client saw %s, complete", resp.Status)
				}
			}
			rec := w.sink.next(t, 0)
			if rec["error"] == nil {
				t.Errorf("the record shows no error: status %v", rec["status"])
			}
			w.checkLedger()
		})
	}
}

// TestBrokenOffResponseIsPassedOn: what came of a response reaches the client before the connection
// ends, so that the status in the record is the one it has seen.
func TestBrokenOffResponseIsPassedOn(t *testing.T) {
	backend := newRawBackend(t, func(string) string {
		return "HTTP/1.1 201 Created\r\nContent-Length: 50\r\nConnection: close\r\n\r\nshort"
	})
	w := newWorld(t, "backend: http://"+backend.addr+"\n")
	for i := range 20 { // it is a race whether the bytes or the end come first
		conn, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		out, err := io.ReadAll(conn)
		conn.Close()
		rec := w.sink.next(t, i)
		head, body, _ := strings.Cut(string(out), "\r\n\r\n")
		switch {
		case rec["status"] == 502.0 && strings.HasPrefix(head, "HTTP/1.1 502 "):
		case rec["status"] != 201.0 || !strings.HasPrefix(head, "HTTP/1.1 201 ") || body != "short" || err == nil:
			t.Errorf("the client got %q, %v; the record says %v", out, err, rec["status"])
		case rec["response_info"].(map[string]any)["truncated"] != true:
			t.Errorf("response_info %v", rec["response_info"])
		}
	}
}

// TestMalformedResponse: the record names what is wrong with a backend's answer, in words that
// are none of the backend's, and the client gets 502 or a broken connection.
func TestMalformedResponse(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for answer, want := range map[string]string{
		"s3cret banner of another protocol\r\n\r\n":                             "the response does not begin with an HTTP/1 status line",
		"HTTP/1.1 2x0 s3cret\r\n\r\n":                                           "the status code is not three digits",
		"HTTP/1.1 099 s3cret\r\n\r\n":                                           "the status code is below 100",
		"HTTP/1.1 200 OK\r\ns3 cret: 1\r\n\r\n":                                 "a header name is not a token",
		"HTTP/1.1 200 OK\r\nContent-Length: s3cret\r\n\r\n":                     "Content-Length is not a number",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy":   "several Content-Lengths that differ",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: s3cret\r\n\r\n":                  "a Transfer-Encoding other than chunked",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("s3cret", 1<<20) + "\r\n\r\n": "the response header is larger than ",
		head + "s3cret\r\n":                                                     "a chunk size is not a hexadecimal number",
		head + "3\r\ns3cret\r\n":                                                "a chunk is longer than its size says",
		head + "fffffffffffffffff\r\n":                                          "a chunk size is too large",
	} {
		t.Run(want, func(t *testing.T) {
			backend := newRawBackend(t, func(string) string { return answer })
			w := newWorld(t, "backend: http://"+backend.addr+"\n")
			resp, err := http.Get(w.url + "/x")
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err == nil && resp.StatusCode != 502 {
					t.Errorf("the client saw %s, complete", resp.Status)
				}
			}
			got, _ := w.sink.next(t, 0)["error"].(string)
			if !strings.HasPrefix(got, "malformed backend response: "+want) || strings.Contains(got, "s3") || strings.Contains(got, "127.0.0.1") {
				t.Errorf("recorded %q", got)
			}
		})
	}
}

// TestClientGoesAway cancels the backend's call and leaves a record that says so.
func TestClientGoesAway(t *testing.T) {
	cancelled := make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(c)
		http.ReadRequest(r)
		r.ReadByte() // returns when tapway closes the connection
		close(cancelled)
	}()
	w := newWorld(t, "backend: http://"+l.Addr().String()+"\nproxy: {timeout: 60s}\n")
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
	time.AfterFunc(100*time.Millisecond, func() { c.Close() })
	select {
	case <-cancelled:
	case <-time.After(10 * time.Second):
		t.Fatal("the backend's call goes on without a client")
	}
	rec := w.sink.next(t, 0)
	if rec["error"] != "client went away" {
		t.Errorf("record: status %v error %v", rec["status"], rec["error"])
	}
}

// TestBigBodies: both directions whole, whatever the framing, and the record cut at
// max_body says so with the hash of everything.
func TestBigBodies(t *testing.T) {
	backend := http.NewServeMux()
	backend.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex() // or net/http cuts its own answer short
		io.Copy(w, r.Body)
	})
	w := newWorld(t, "backend: "+httpBackend(t, backend)+"\ncapture: {max_body: 1MiB, memory: 256KiB}\nproxy: {timeout: 60s}\n")
	body := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)
	for _, chunked := range []bool{false, true} {
		var reader io.Reader = bytes.NewReader(body)
		if chunked {
			reader = struct{ io.Reader }{reader}
		}
		resp, err := http.Post(w.url+"/echo", "text/plain", reader)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("chunked %v: %d bytes came back, %v", chunked, len(got), err)
		}
	}
	for i := range 2 {
		rec := w.sink.next(t, i)
		if rec["body_info"].(map[string]any)["encoding"] == "withheld" {
			continue // a disk that was busy for a moment: that is another test's
		}
		for _, side := range []string{"body_info", "response_info"} {
			info := rec[side].(map[string]any)
			if info["truncated"] != true || info["size"] != float64(len(body)) || len(info["sha256"].(string)) != 64 {
				t.Errorf("%s: %v", side, info)
			}
		}
		if n := len(rec["body"].(string)); n != 1<<20 {
			t.Errorf("the record has %d bytes of the body", n)
		}
	}
}
