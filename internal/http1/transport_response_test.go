package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

func TestTransportResponses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tc := range []struct {
		name   string
		method string
		reply  string
		body   string
		length int64 // resp.ContentLength
		reused bool  // by a second call; the backend keeps the connection open
	}{
		{"length", "GET", ok + "Content-Length: 5\r\n\r\nhello", "hello", 5, true},
		{"length 0", "GET", ok + "Content-Length: 0\r\n\r\n", "", 0, true},
		{"length said twice", "GET", ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "hello", 5, true},
		{"length in a list", "GET", ok + "Content-Length: 5, 5\r\n\r\nhello", "hello", 5, true},
		{"chunked", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n", "hello!", -1, true},
		{"Chunked, in capitals", "GET", ok + "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", "", -1, true},
		{"chunked wins, and is not trusted", "GET", ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello", -1, false},
		{"bare line feeds", "GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "hi", 2, true},
		{"bare line feeds in chunks", "GET", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nhi\n0\n\n", "hi", -1, true},
		{"folded header", "GET", ok + "X: a\r\n\tb\r\nContent-Length: 2\r\n\r\nhi", "hi", 2, true},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", "hi", 2, true},
		{"HEAD with a length", "HEAD", ok + "Content-Length: 5\r\n\r\n", "", 5, true},
		{"HEAD without", "HEAD", ok + "\r\n", "", -1, true},
		{"HEAD, chunked", "HEAD", ok + "Transfer-Encoding: chunked\r\n\r\n", "", -1, true},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", 0, true},
		{"204 that says chunked", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "", 0, true},
		{"304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", 0, true},
		{"205 has a body", "GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nhi", "hi", 2, true},
		{"unknown status", "GET", "HTTP/1.1 799 So What\r\nContent-Length: 2\r\n\r\nhi", "hi", 2, true},
		{"says close", "GET", ok + "Connection: close\r\nContent-Length: 2\r\n\r\nhi", "hi", 2, false},
		{"1.0 closes", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi", 2, false},
		{"1.0 stays open", "GET", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi", "hi", 2, true},
		{"1.0 with chunks", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi", -1, false},
		{"a long work", "GET", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 500) + ok + "Content-Length: 2\r\n\r\nhi", "hi", 2, true},
		{"chunked twice", "GET", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi", -1, false},
		{"chunked twice in a line", "GET", ok + "Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi", -1, false},
		{"identity and chunked", "GET", ok + "Transfer-Encoding: identity,chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi", -1, false},
		{"identity", "GET", ok + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi", "hi", 2, false},
		{"no coding at all", "GET", ok + "Transfer-Encoding:\r\nContent-Length: 2\r\n\r\nhi", "hi", 2, false},
		{"more than was asked for", "GET", ok + "Content-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n", "hi", 2, false},
		{"a body where none may be", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nhi", "", 0, false},
		{"interim responses", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nhi", "hi", 2, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			addr := transportReplies(t, tc.reply, false)
			tr := transportNoLeaks(t, &Transport{})
			for call := range 2 {
				reused := false
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
				req := transportRequest(t, tc.method, addr, "").WithContext(ctx)
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if got := transportReadAll(t, resp); got != tc.body {
					t.Errorf("body %q, want %q", got, tc.body)
				}
				if resp.ContentLength != tc.length || resp.Request != req || resp.Uncompressed {
					t.Errorf("ContentLength %d, want %d; request %p; uncompressed %v", resp.ContentLength, tc.length, resp.Request, resp.Uncompressed)
				}
				if _, err := resp.Body.Read(make([]byte, 1)); err != io.EOF && err != http.ErrBodyReadAfterClose {
					t.Errorf("after the end: %v", err)
				}
				if call == 1 && reused != tc.reused {
					t.Errorf("connection reused: %v, want %v", reused, tc.reused)
				}
			}
		})
	}
}

// A body without a length ends with the connection.
func TestTransportUntilClose(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/1.0"} {
		tr := transportNoLeaks(t, &Transport{})
		resp, err := tr.RoundTrip(transportRequest(t, "GET", transportReplies(t, proto+" 200 OK\r\n\r\nhello", true), ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := transportReadAll(t, resp); got != "hello" || !resp.Close || resp.ContentLength != -1 || resp.Proto != proto {
			t.Errorf("%q, close %v, length %d, %s", got, resp.Close, resp.ContentLength, resp.Proto)
		}
	}
}

// What cannot be understood without doubt is an error of the call.
func TestTransportRefusesResponses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, reply := range []string{
		"", "\r\n\r\n", "hello\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 099 No\r\n\r\n", "HTTP/1.1 +20 No\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 200", ok, ok + "A: b\r\n",
		ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", ok + "Content-Length: 5, 6\r\n\r\nhello!",
		ok + "Content-Length: +5\r\n\r\nhello", ok + "Content-Length: -5\r\n\r\nhello", ok + "Content-Length: 0x5\r\n\r\nhello",
		ok + "Content-Length:\r\n\r\n", ok + "Content-Length: 99999999999999999999\r\n\r\n",
		ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
		ok + "no colon\r\n\r\n", ok + ": no name\r\n\r\n", ok + " folded first\r\n\r\n", ok + "A: b\x00c\r\n\r\n",
		strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", transportMaxInterim+1) + ok + "Content-Length: 0\r\n\r\n",
	} {
		tr := transportNoLeaks(t, &Transport{})
		resp, err := tr.RoundTrip(transportRequest(t, "GET", transportReplies(t, reply, true), ""))
		if err == nil {
			t.Errorf("%q was accepted: %s", reply, resp.Status)
			continue
		}
		var pe *ProtocolError
		if errors.As(err, &pe) && pe.Status != http.StatusBadGateway {
			t.Errorf("%q: status %d", reply, pe.Status)
		}
		if pe == nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", reply, err)
		}
		if live, _ := transportCounts(tr); live != 0 {
			t.Errorf("%q: %d connections left", reply, live)
		}
	}
	atLimit := strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", transportMaxInterim) + ok + "Content-Length: 0\r\n\r\n"
	tr := transportNoLeaks(t, &Transport{})
	if _, err := tr.RoundTrip(transportRequest(t, "GET", transportReplies(t, atLimit, true), "")); err != nil {
		t.Errorf("as many interim responses as are allowed: %v", err)
	}
}

// A body that is broken off or broken never ends cleanly.
func TestTransportBrokenBodies(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, reply := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\nhello",
		chunked + "5\r\nhello", chunked + "5\r\nhello\r\n", chunked + "5\r\nhello\r\n0\r\n", chunked + "5\r\nhello\r\n0\r\nA: b\r\n",
		chunked + "5\r\nhello!\r\n0\r\n\r\n", chunked + "5\r\nhello\r\nx\r\n", chunked + "5\r\nhello\r\n-1\r\n", chunked + "5\r\nhello\r\n0 0\r\n\r\n",
		chunked + "5\r\nhello\r\nfffffffffffffffff\r\n", chunked + "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
		chunked + "5\r\nhello\r\n0\r\nA: " + strings.Repeat("b", maxTrailerSize) + "\r\n\r\n",
		chunked + "5\r\nhello\r\n1;" + strings.Repeat("b", maxChunkLine) + "\r\n",
	} {
		tr := transportNoLeaks(t, &Transport{})
		resp, err := tr.RoundTrip(transportRequest(t, "GET", transportReplies(t, reply, true), ""))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		var pe *ProtocolError
		if !strings.HasPrefix(string(got), "hello") || !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &pe) || pe != nil && pe.Status != http.StatusBadGateway {
			t.Errorf("%.80q: body %q, error %v", reply, got, err)
		}
		if _, again := resp.Body.Read(make([]byte, 1)); again != err {
			t.Errorf("%.80q: a second Read gives %v after %v", reply, again, err)
		}
		resp.Body.Close()
		if live, _ := transportCounts(tr); live != 0 {
			t.Errorf("%.80q: %d connections left", reply, live)
		}
	}
}

func TestTransportHeaderFlood(t *testing.T) {
	for _, line := range []string{"A: b\r\n", "A: " + strings.Repeat("b", 5000) + "\r\n"} {
		addr := transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) {
			transportHead(br)
			io.WriteString(nc, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(nc, line); err != nil {
					return
				}
			}
		})
		tr := transportNoLeaks(t, &Transport{MaxResponseHeaderBytes: 100 << 10})
		_, err := tr.RoundTrip(transportRequest(t, "GET", addr, ""))
		var pe *ProtocolError
		if !errors.As(err, &pe) || !strings.Contains(pe.Reason, "102400") {
			t.Errorf("error %v", err)
		}
	}
	head := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for limit, want := range map[int]bool{len(head): true, len(head) - 1: false} {
		tr := transportNoLeaks(t, &Transport{MaxResponseHeaderBytes: int64(limit)})
		if _, err := tr.RoundTrip(transportRequest(t, "GET", transportReplies(t, head, false), "")); (err == nil) != want {
			t.Errorf("a limit of %d for %d bytes: %v", limit, len(head), err)
		}
	}
}

func TestTransportTrailers(t *testing.T) {
	reply := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum, content-length\r\nTrailer: Never\r\n\r\n" +
		"2\r\nhi\r\n0\r\nSum: 1\r\nSum: 2\r\nUndeclared: x\r\nContent-Length: 7\r\n\r\n"
	tr := transportNoLeaks(t, &Transport{})
	resp, err := tr.RoundTrip(transportRequest(t, "GET", transportReplies(t, reply, false), ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(resp.Trailer); got != "map[Never:[] Sum:[]]" || resp.Header["Trailer"] != nil || resp.Header["Transfer-Encoding"] != nil ||
		!slices.Equal(resp.TransferEncoding, []string{"chunked"}) {
		t.Errorf("before the body: %s, header %v, %v", got, resp.Header, resp.TransferEncoding)
	}
	transportReadAll(t, resp)
	if got := fmt.Sprint(resp.Trailer); got != "map[Never:[] Sum:[1 2] Undeclared:[x]]" {
		t.Errorf("after the body: %s", got)
	}
}

func TestTransportTrace(t *testing.T) {
	reply := "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	addr := transportReplies(t, reply, false)
	tr := transportNoLeaks(t, &Transport{})
	var events []string
	note := func(s string) { events = append(events, s) }
	trace := &httptrace.ClientTrace{
		GetConn:              func(hostPort string) { note("get " + strings.TrimPrefix(addr, "http://"+hostPort)) },
		GotConn:              func(i httptrace.GotConnInfo) { note(fmt.Sprint("got ", i.Reused, i.WasIdle)) },
		ConnectDone:          func(_, _ string, err error) { note("connected") },
		WroteHeaders:         func() { note("headers") },
		WroteRequest:         func(i httptrace.WroteRequestInfo) { note(fmt.Sprint("request ", i.Err)) },
		GotFirstResponseByte: func() { note("byte") },
		Got100Continue:       func() { note("100") },
		Got1xxResponse:       func(code int, h textproto.MIMEHeader) error { note(fmt.Sprint(code, h)); return nil },
	}
	for range 2 {
		resp, err := tr.RoundTrip(transportRequest(t, "GET", addr, "").WithContext(httptrace.WithClientTrace(t.Context(), trace)))
		if err != nil {
			t.Fatal(err)
		}
		transportReadAll(t, resp)
	}
	want := "get |connected|got false false|headers|request <nil>|byte|100|100 map[]|103 map[Link:[</a>]]|" +
		"get |got true true|headers|request <nil>|byte|100|100 map[]|103 map[Link:[</a>]]"
	if got := strings.Join(events, "|"); got != want {
		t.Errorf("events %s\nwant   %s", got, want)
	}
	stop := errors.New("enough")
	trace = &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { return stop }}
	if _, err := tr.RoundTrip(transportRequest(t, "GET", addr, "").WithContext(httptrace.WithClientTrace(t.Context(), trace))); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

// A body given up early costs the connection, unless its end has already arrived.
func TestTransportCloseEarly(t *testing.T) {
	big := strings.Repeat("x", 100<<10)
	for _, tc := range []struct {
		name, reply string
		read        int
		kept        bool
	}{
		{"rest has arrived", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 2, true},
		{"rest has not", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(big), big), 2, false},
		{"chunks read but for the end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 5, true},
		{"chunks not read", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 4, false},
		{"until close", "HTTP/1.1 200 OK\r\n\r\nhello", 5, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := transportNoLeaks(t, &Transport{})
			resp, err := tr.RoundTrip(transportRequest(t, "GET", transportReplies(t, tc.reply, false), ""))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, tc.read)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := resp.Body.Close(); err != nil {
					t.Error(err)
				}
			}
			live, idle := transportCounts(tr)
			if want := map[bool]int{true: 1}[tc.kept]; live != want || idle != want {
				t.Errorf("%d connections, %d idle, want %d", live, idle, want)
			}
		})
	}
}

// Close ends a Read that waits, from another goroutine.
func TestTransportCloseWhileReading(t *testing.T) {
	tr := transportNoLeaks(t, &Transport{})
	resp, err := tr.RoundTrip(transportRequest(t, "GET", transportReplies(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", false), ""))
	if err != nil {
		t.Fatal(err)
	}
	first, ended := make(chan struct{}), make(chan error)
	go func() {
		io.ReadFull(resp.Body, make([]byte, 2))
		close(first)
		_, err := resp.Body.Read(make([]byte, 1))
		ended <- err
	}()
	<-first
	c := resp.Body.(*clientCall)
	transportEventually(t, "reading", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.reading })
	resp.Body.Close()
	if err := <-ended; !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("error %v", err)
	}
	if live, _ := transportCounts(tr); live != 0 {
		t.Errorf("%d connections left", live)
	}
}
