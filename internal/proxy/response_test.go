package proxy

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapway/tapway"
)

func TestResponseHeaders(t *testing.T) {
	wr := newWire(t, strings.ReplaceAll(`HTTP/1.1 299 Odd
Connection: keep-alive, X-Private
X-Private: 1
Keep-Alive: timeout=5
Proxy-Authenticate: Basic
Server: theirs
Via: 1.1 theirs
Alt-Svc: h3=":443"
Set-Cookie: a=1
X-Multi: one
Set-Cookie: b=2
X-Multi: two
Date: Mon, 02 Jan 2006 15:04:05 GMT
Set-Cookie: a=3
Content-Encoding: gzip
Content-Length: 2

zz`, "\n", "\r\n"))
	w := newWorld(t, wr.url, option{})
	res := w.raw("GET", "GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n")
	want := http.Header{
		"Server": {"theirs"}, "Via": {"1.1 theirs"}, "Set-Cookie": {"a=1", "b=2", "a=3"}, "X-Multi": {"one", "two"},
		"Date": {"Mon, 02 Jan 2006 15:04:05 GMT"}, "Content-Encoding": {"gzip"}, "Content-Length": {"2"},
	}
	if diff := cmp.Diff(want, res.Header); diff != "" || res.StatusCode != 299 {
		t.Errorf("status %d\n%s", res.StatusCode, diff)
	}
	if body, _ := io.ReadAll(res.Body); string(body) != "zz" {
		t.Errorf("body %q", body)
	}
	if c := w.call(); c.Origin != tapway.OriginBackend || c.Route != "ANY /{proxy+}" || c.Error != "" || c.ClientIP != "127.0.0.1" ||
		c.Connect <= 0 || c.FirstByte <= 0 || c.Backend <= 0 {
		t.Errorf("call %+v", c)
	}
}

func TestMappedResponse(t *testing.T) {
	back := newBackend(t, nil)
	back.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("X-Secret", "1")
		rw.Header().Set("Location", back.URL+"/x")
		status, _ := strconv.Atoi(r.URL.Path[1:])
		rw.WriteHeader(status)
		if status == 200 {
			io.WriteString(rw, "body")
		}
	})
	w := newWorld(t, back.URL, option{hop: func(h *Hop) {
		h.Response = func(status int, header http.Header) (int, bool) {
			header.Del("X-Secret")
			header.Set("X-Was", strconv.Itoa(status))
			to := map[int]int{200: 201, 202: 204, 304: 200, 204: 299, 206: 42}[status]
			return to, to != 0
		}
	}})
	for from, want := range map[int]string{200: "201 body", 202: "204 ", 304: "200 ", 204: "299 ", 206: `500 {"message":"Internal server error"}`, 500: `500 {"message":"Internal server error"}`} {
		res, body := w.get("/" + strconv.Itoa(from))
		c := w.call()
		if got := strconv.Itoa(res.StatusCode) + " " + body; got != want || res.Header.Get("X-Secret") != "" {
			t.Errorf("%d: %s, want %s; %v", from, got, want, res.Header)
		}
		if res.StatusCode == 500 {
			if c.Origin != tapway.OriginGateway || c.Error != "status not mapped" {
				t.Errorf("%d: %+v", from, c)
			}
		} else if res.Header.Get("X-Was") != strconv.Itoa(from) || res.Header.Get("Location") != w.url+"/x" {
			t.Errorf("%d: %v", from, res.Header)
		}
	}
	w = newWorld(t, newWire(t, "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n").url, option{hop: func(h *Hop) {
		h.Response = func(int, http.Header) (int, bool) { return 200, true }
	}})
	if res, body := w.get("/"); res.StatusCode != 200 || body != "" || res.ContentLength != 0 {
		t.Errorf("%v %q", res, body)
	}
}

func TestOuterHeadersStay(t *testing.T) {
	wr := newWire(t, "HTTP/1.1 200 OK\r\nVary: Origin\r\nContent-Length: 0\r\n\r\n")
	w := newWorld(t, wr.url, option{wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Vary", "Cookie")
			next.ServeHTTP(rw, r)
		})
	}})
	res, _ := w.get("/")
	if got := res.Header["Vary"]; !slices.Equal(got, []string{"Cookie", "Origin"}) {
		t.Errorf("Vary: %q", got)
	}
}

func TestResponsesWithoutBody(t *testing.T) {
	for _, tt := range []struct{ method, answer, length string }{
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "1234"},
		{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
		{"GET", "HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 41\r\n\r\n", ""},
		{"GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n", ""},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "0"},
		{"POST", "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "0"},
	} {
		w := newWorld(t, newWire(t, tt.answer).url, option{})
		conn := w.dial()
		io.WriteString(conn, tt.method+" / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
		br := bufio.NewReader(conn)
		res, err := http.ReadResponse(br, &http.Request{Method: tt.method})
		if err != nil {
			t.Fatalf("%s %q: %v", tt.method, tt.answer, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || len(body) != 0 || res.Header.Get("Content-Length") != tt.length || br.Buffered() != 0 {
			t.Errorf("%s %q: %q, length %q, %d bytes left, %v", tt.method, tt.answer, body, res.Header.Get("Content-Length"), br.Buffered(), err)
		}
		if want := strings.Fields(tt.answer)[1]; !strings.HasPrefix(res.Status, want) {
			t.Errorf("%s %q: status %s", tt.method, tt.answer, res.Status)
		}
		if c := w.call(); c.Origin != tapway.OriginBackend || c.Error != "" {
			t.Errorf("%s %q: %+v", tt.method, tt.answer, c)
		}
	}
}

func TestResponseTrailers(t *testing.T) {
	for name, tt := range map[string]struct{ answer, announced string }{
		"announced":   {"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\n", "X-Sum"},
		"unannounced": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", ""},
		"empty body":  {"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n", "X-Sum"},
	} {
		w := newWorld(t, newWire(t, tt.answer).url, option{})
		conn := w.dial()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		all, _ := io.ReadAll(conn)
		head, body, _ := strings.Cut(string(all), "\r\n\r\n")
		if got := strings.Join(lines(head, "Trailer"), ","); got != tt.announced {
			t.Errorf("%s: Trailer %q", name, got)
		}
		want := "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
		if name == "empty body" {
			want = "0\r\nX-Sum: 1\r\n\r\n"
		}
		if body != want {
			t.Errorf("%s: body %q, want %q", name, body, want)
		}
	}
}

func TestEarlyHints(t *testing.T) {
	wr := newWire(t, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\n\r\n"+
		"HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nX-Final: 1\r\nContent-Length: 2\r\n\r\nok")
	w := newWorld(t, wr.url, option{wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("X-Outer", "1")
			next.ServeHTTP(rw, r)
		})
	}})
	var hints []textproto.MIMEHeader
	r := w.request("GET", "/", nil)
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		if code != http.StatusEarlyHints {
			return fmt.Errorf("code %d", code)
		}
		hints = append(hints, h)
		return nil
	}}))
	res, body := w.do(r)
	want := []textproto.MIMEHeader{{"Link": {"</a.css>; rel=preload"}}, {"Link": {"</b.css>; rel=preload"}}}
	if diff := cmp.Diff(want, hints); diff != "" {
		t.Error(diff)
	}
	if res.StatusCode != 200 || body != "ok" || res.Header.Get("Link") != "" || res.Header.Get("X-Outer") != "1" || res.Header.Get("X-Final") != "1" {
		t.Errorf("then %d %q %v", res.StatusCode, body, res.Header)
	}
	// An HTTP/1.0 client does not know what to make of them.
	conn := w.dial()
	io.WriteString(conn, "GET / HTTP/1.0\r\nHost: h\r\n\r\n")
	if all, _ := io.ReadAll(conn); !strings.HasPrefix(string(all), "HTTP/1.0 200 OK") {
		t.Errorf("HTTP/1.0: %q", all)
	}
}

// What the backend has sent so far reaches the client before the backend goes on.
func TestResponseStreamsAsItComes(t *testing.T) {
	big := strings.Repeat("x", 100<<10)
	for name, tt := range map[string]struct{ head, first, rest string }{
		"chunked":                {"Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", "2\r\nde\r\n0\r\n\r\n"},
		"chunked, head alone":    {"Transfer-Encoding: chunked\r\n", "", "2\r\nde\r\n0\r\n\r\n"},
		"until close":            {"", "abc", "de"},
		"events, head alone":     {"Content-Type: Text/Event-Stream;charset=utf-8\r\nTransfer-Encoding: chunked\r\n", "", "2\r\nde\r\n0\r\n\r\n"},
		"known length":           {"Content-Length: 5\r\n", "abc", "de"},
		"long body":              {fmt.Sprintf("Content-Length: %d\r\n", len(big)+2), big, "de"},
		"long body, head alone":  {fmt.Sprintf("Content-Length: %d\r\n", len(big)), "", big},
		"events of known length": {"Content-Type: text/event-stream\r\nContent-Length: 5\r\n", "", "abcde"},
	} {
		t.Run(name, func(t *testing.T) {
			goOn := make(chan struct{})
			release := sync.OnceFunc(func() { close(goOn) })
			defer release()
			wr := newWireFunc(t, func(conn net.Conn, _ string) {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+tt.head+"\r\n"+tt.first)
				<-goOn
				io.WriteString(conn, tt.rest)
			})
			w := newWorld(t, wr.url, option{})
			res, err := client.Do(w.request("GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			want := strings.NewReplacer("3\r\n", "", "\r\n", "").Replace(tt.first)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != want {
				t.Fatalf("before the rest was sent: %d of %d bytes, %v", len(got), len(want), err)
			}
			release()
			if rest, err := io.ReadAll(res.Body); err != nil || len(rest) < 2 {
				t.Errorf("the rest: %d bytes, %v", len(rest), err)
			}
		})
	}
}

func TestBackendBreaksOff(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		begun  bool // the client has seen a head
	}{
		"before the head":           {"", false},
		"within the head":           {"HTTP/1.1 200 OK\r\nX-A: ", false},
		"short body, none came":     {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", false}, // or begun, if its end comes later than lateAfter
		"short body, some came":     {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", true},
		"long body":                 {"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 99999), true},
		"within a chunk":            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", true},
		"between chunks":            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true},
		"before the trailers' end":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-A: 1\r\n", true},
		"bad chunk":                 {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n", true},
		"event stream":              {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true},
		"not HTTP":                  {"SSH-2.0-OpenSSH\r\n", false},
		"a protocol nobody wanted":  {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", false},
		"an impossible status line": {"HTTP/1.1 042 Huh\r\nContent-Length: 0\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, newWire(t, tt.answer).url, option{})
			res, err := client.Do(w.request("GET", "/", nil))
			if err == nil {
				_, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			c := w.call()
			if tt.begun || name == "short body, none came" && err != nil {
				if err == nil {
					t.Errorf("the client took it for a whole response: %d", res.StatusCode)
				}
				if c.Origin != tapway.OriginBackend {
					t.Errorf("origin %q", c.Origin)
				}
			} else if err != nil || res.StatusCode != http.StatusBadGateway || c.Origin != tapway.OriginGateway {
				t.Errorf("want a 502 page, got %v %v, origin %q", res, err, c.Origin)
			}
			if c.Error != "backend broke off" && (!strings.HasPrefix(c.Error, "malformed backend response") || name == "long body") {
				t.Errorf("error %q", c.Error)
			}
		})
	}
}

func TestClientGoesAway(t *testing.T) {
	t.Run("before the response", func(t *testing.T) {
		arrived, gone := make(chan struct{}), make(chan struct{})
		backend := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done() // the backend's call is cancelled
			close(gone)
		})
		w := newWorld(t, backend.URL, option{})
		conn := w.dial()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		<-arrived
		conn.Close()
		<-gone
		if c := w.call(); c.Error != "client went away" || c.Origin != "" {
			t.Errorf("%+v", c)
		}
	})
	t.Run("within the response", func(t *testing.T) {
		gone := make(chan struct{})
		backend := newBackend(t, func(rw http.ResponseWriter, r *http.Request) {
			defer close(gone)
			for r.Context().Err() == nil {
				if _, err := rw.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		})
		w := newWorld(t, backend.URL, option{})
		conn := w.dial()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		io.ReadFull(conn, make([]byte, 1<<20))
		conn.Close()
		<-gone
		if c := w.call(); c.Error != "client went away" || c.Origin != tapway.OriginBackend {
			t.Errorf("%+v", c)
		}
	})
	t.Run("within the request", func(t *testing.T) {
		arrived := make(chan struct{})
		backend := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				t.Error("the backend took half a body for a whole one")
			}
		})
		w := newWorld(t, backend.URL, option{})
		conn := w.dial()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 50000))
		<-arrived
		conn.Close()
		if c := w.call(); c.Error != "client went away" {
			t.Errorf("%+v", c)
		}
	})
}

func TestMaxResponse(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		status int // 0 is a broken response
	}{
		"known, just fits":   {"Content-Length: 5\r\n\r\nabcde", 200},
		"known, too large":   {"Content-Length: 6\r\n\r\nabcdef", 502},
		"unknown, just fits": {"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", 200},
		"unknown, too large": {"Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n", 0},
	} {
		w := newWorld(t, newWire(t, "HTTP/1.1 200 OK\r\n"+tt.answer).url, option{backend: &Backend{MaxResponse: 5}})
		res, err := client.Do(w.request("GET", "/", nil))
		var body []byte
		if err == nil {
			body, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		c := w.call()
		switch tt.status {
		case 0:
			if err == nil || c.Error != "response too large" {
				t.Errorf("%s: %v, %+v", name, err, c)
			}
		default:
			if err != nil || res.StatusCode != tt.status {
				t.Errorf("%s: %v %v", name, res, err)
			}
		}
		if tt.status == 502 && (string(body) != `{"message":"The response is too large."}` || c.Error != "response too large" || c.Origin != tapway.OriginGateway) {
			t.Errorf("%s: %s, %+v", name, body, c)
		}
	}
	w := newWorld(t, newWire(t, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n").url, option{backend: &Backend{MaxResponse: 5}})
	if res, _ := w.do(w.request("HEAD", "/", nil)); res.StatusCode != 200 || res.ContentLength != 6 {
		t.Errorf("HEAD: %v", res)
	}
}

func TestMaxRequestBody(t *testing.T) {
	wr := newWire(t, ok200)
	w := newWorld(t, wr.url, option{settings: func(s *Settings) { s.MaxRequestBody = 5 }})
	for _, tt := range []struct {
		framing string
		status  int
	}{
		{"Content-Length: 5\r\n\r\nabcde", 200},
		{"Content-Length: 6\r\n\r\nabcdef", 413},
		{"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", 200},
		{"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n1\r\nf\r\n0\r\n\r\n", 413},
		{"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n", 400},
	} {
		res := w.raw("POST", "POST / HTTP/1.1\r\nHost: h\r\n"+tt.framing)
		c := w.call()
		want := map[int]string{200: "", 413: "request body too large", 400: "malformed request body"}[tt.status]
		if res.StatusCode != tt.status || c.Error != want {
			t.Errorf("%q: %d, %q", tt.framing, res.StatusCode, c.Error)
		}
	}
	if wr.count() != 2 {
		t.Errorf("the backend read %d whole requests, want 2", wr.count())
	}
}

// Under load every answer is whole: the server must not discard the request's body while
// the transport still reads it.
func TestNoAnswerIsCutShort(t *testing.T) {
	backend := newBackend(t, func(rw http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(rw).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		if r.ContentLength >= 0 {
			rw.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
		}
		io.Copy(rw, r.Body) // the answer begins before the request has ended
	})
	w := newWorld(t, backend.URL, option{})
	tr := &http.Transport{MaxIdleConnsPerHost: 50}
	defer tr.CloseIdleConnections()
	payload := make([]byte, 10<<10)
	rand.Read(payload)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for i := range 10 {
				var body io.Reader = bytes.NewReader(payload)
				if i%2 == 1 {
					body = io.MultiReader(body) // chunked
				}
				res, err := (&http.Client{Transport: tr}).Do(w.request("POST", "/", body))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || !bytes.Equal(got, payload) {
					t.Errorf("%d of %d bytes, %v", len(got), len(payload), err)
				}
			}
		})
	}
	wg.Wait()
	for range 500 {
		if c := w.call(); c.Error != "" || c.Origin != tapway.OriginBackend {
			t.Fatalf("%+v", c)
		}
	}
}

// A backend that answers without reading the request is not held up by it.
func TestEarlyAnswer(t *testing.T) {
	backend := newBackend(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Connection", "close")
		rw.WriteHeader(http.StatusForbidden)
		io.WriteString(rw, "no")
	})
	w := newWorld(t, backend.URL, option{})
	conn := w.dial()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusForbidden {
		t.Fatalf("%v %v", res, err)
	}
	if body, err := io.ReadAll(res.Body); string(body) != "no" || err != nil {
		t.Errorf("%q %v", body, err)
	}
	conn.Close()
	if c := w.call(); c.Error != "" {
		t.Errorf("%+v", c)
	}
}

type malformedError string

func (e malformedError) Error() string     { return "10.0.0.1: " + string(e) }
func (e malformedError) Malformed() string { return string(e) }

func TestReasons(t *testing.T) {
	long := strings.Repeat("x", 200)
	for want, err := range map[string]error{
		"malformed backend response: a chunk size is not a hexadecimal number": malformedError("a chunk size is not a hexadecimal number"),
		"malformed backend response: the response header is too large":         errors.New("net/http: server response headers exceeded 10 bytes; aborted"),
		"malformed backend response":                                           fmt.Errorf("net/http: HTTP/1.x transport connection broken: malformed HTTP response %q", long),
		"backend reset the HTTP/2 stream":                                      errors.New("stream error: stream ID 1; INTERNAL_ERROR; received from peer"),
		"backend went away (HTTP/2 GOAWAY)":                                    errors.New(`http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug="10.0.0.1"`),
		"HTTP/2 protocol error between tapway and the backend":                 errors.New("connection error: PROTOCOL_ERROR"),
		"backend name not found":                                               &net.OpError{Op: "dial", Err: &net.DNSError{Name: "secret.internal", IsNotFound: true}},
		"backend unreachable":                                                  &net.OpError{Op: "dial", Err: errors.New("no route to host")},
		"backend broke off":                                                    &net.OpError{Op: "read", Err: errors.New("connection reset")},
		"backend call failed":                                                  errors.New("10.0.0.1 is on fire"),
	} {
		if got := reasonOf(fmt.Errorf("call: %w", err)); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
