package http1

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// seen is all that a handler can see of a request before it reads the body.
func seen(r *http.Request) string {
	var b strings.Builder
	fmt.Fprint(&b, r.Method, " ", r.RequestURI, " ", r.URL, " ", r.Host, " ", r.ContentLength, r.TransferEncoding, r.Close, r.Proto, r.Body == http.NoBody)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(&b, " %s=%q", name, r.Header[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Trailer)) {
		fmt.Fprintf(&b, " trailer %s", name)
	}
	fmt.Fprint(&b, " ", r.Context().Err(), r.Context().Value(spareKey{}))
	return b.String()
}

type spareKey struct{}

// spareRequest is a request with a few things of everything.
func spareRequest(random *rand.Rand, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s /%d?q=%d HTTP/1.1\r\nHost: h%d\r\n", []string{"GET", "POST", "PUT"}[n%3], n, random.IntN(9), n)
	for range random.IntN(2 * maxRoom) {
		fmt.Fprintf(&b, "X-%d: %d\r\n", random.IntN(40), random.IntN(1000))
	}
	switch body := bigBody[:random.IntN(6000)]; random.IntN(4) {
	case 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	case 1:
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\nTrailer: X-T%d\r\n\r\n%x\r\n%s!\r\n0\r\nX-T%[1]d: 1\r\n\r\n", n, len(body)+1, body)
	case 2:
		b.WriteString("Content-Length: 0\r\n\r\n")
	default:
		b.WriteString("\r\n")
	}
	return b.String()
}

// A request that uses the memory of one before shows nothing of it: what handlers see on one
// connection is what they would see on a connection for each.
func TestServerAnswerLeavesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 12))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := seen(r)
		r.Context().(*requestContext).Attach(spareKey{}, r.RequestURI)
		if strings.Contains(r.URL.RawQuery, "3") { // its body is read, a part of it
			io.CopyN(io.Discard, r.Body, 700)
		}
		if !w.(*serverResponse).Answer(403, []string{"X-Path", r.URL.Path}, text) {
			io.WriteString(w, text)
		}
	})
	addr := startServer(t, &Server{Handler: handler})
	var one *rawClient
	for n := range 300 {
		request := spareRequest(random, n)
		if one == nil {
			one = dialServer(t, addr)
		}
		alone := dialServer(t, addr)
		res, got := one.send(request).response("GET")
		if _, want := alone.send(request).response("GET"); got != want || res.Header.Get("X-Path") == "" && res.StatusCode == 403 {
			t.Fatalf("request %d\n%.300s\nwas seen as\n%s\nalone as\n%s", n, request, got, want)
		}
		alone.conn.Close()
		if res.Close { // a body of chunks that had not all come
			one.conn.Close()
			one = nil
		}
	}
}

// The memory is only used again when the handler has answered at once and nobody waits for the
// request's end.
func TestServerAnswerReuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		handle func(w *serverResponse, r *http.Request)
		reused bool
	}{
		{"answered", func(w *serverResponse, _ *http.Request) { w.Answer(403, nil, "no") }, true},
		{"written", func(w *serverResponse, _ *http.Request) { io.WriteString(w, "no") }, false},
		{"answered, and somebody waits", func(w *serverResponse, r *http.Request) {
			r.Context().Done()
			w.Answer(403, nil, "no")
		}, false},
		{"answered, with a child", func(w *serverResponse, r *http.Request) {
			_, cancel := context.WithCancel(r.Context())
			defer cancel()
			w.Answer(403, nil, "no")
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			requests := make(chan *http.Request, 2)
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests <- r
				test.handle(w.(*serverResponse), r)
			})
			c := dialServer(t, startServer(t, &Server{Handler: handler}))
			for n := range 2 {
				c.send(fmt.Sprintf("GET / HTTP/1.1\r\nHost: a%d\r\nX-%d: 1\r\n\r\n", n, n)).response("GET")
			}
			first, second := <-requests, <-requests
			if (first == second) != test.reused {
				t.Fatalf("the memory was used again: %v", first == second)
			}
			if !test.reused && (first.Context().Err() == nil || first.Host != "a0" || len(first.Header) != 1 || first.Header["X-0"] == nil) {
				t.Errorf("what was kept has changed: %v %v", first.Host, first.Header)
			}
		})
	}
}
