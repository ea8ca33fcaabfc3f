package lambdahttp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// FuzzDecode: whatever an event holds, what comes out of it is a request that a server could
// have read from a wire, or an error with all that a handler relies on.
func FuzzDecode(f *testing.F) {
	for _, r := range requests {
		for _, front := range eventtest.Fronts {
			if event, err := front.Event(r); err == nil {
				f.Add(event)
			}
		}
	}
	golden, _ := filepath.Glob("testdata/*.event.json")
	for _, name := range golden {
		event, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(event)
	}
	f.Add([]byte(`{"requestContext":{"elb":{}},"httpMethod":"GET","path":"/\u0000","headers":{"a\u0000":"b"}}`))
	f.Add([]byte(`{"requestContext":{"elb":{}},"httpMethod":"PUT","path":"/","isBase64Encoded":true,"body":"YQ"}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		call, err := Decode(context.Background(), event)
		if err != nil {
			bad, ok := errors.AsType[*EventError](err)
			if !ok || bad.What == "" {
				t.Fatalf("error %v", err)
			}
			call = bad.Call
		}
		r := call.Request
		if r.URL == nil || r.Header == nil || r.Body == nil || r.RequestURI == "" {
			t.Fatalf("incomplete: %+v", r)
		}
		body, berr := io.ReadAll(r.Body)
		if berr != nil || r.ContentLength != int64(len(body)) {
			t.Fatalf("%d bytes of %d, %v", len(body), r.ContentLength, berr)
		}
		own, oerr := decodeEvent(context.Background(), bytes.Clone(event), true)
		if (oerr == nil) != (err == nil) {
			t.Fatalf("with an event of its own the error is %v, else %v", oerr, err)
		}
		if err != nil {
			return
		}
		if same, serr := io.ReadAll(own.Request.Body); serr != nil || !bytes.Equal(same, body) || own.Request.ContentLength != r.ContentLength {
			t.Fatalf("with an event of its own the body is %q, %v, else %q", same, serr, body)
		}
		var wire strings.Builder
		wire.WriteString(r.Method + " " + r.RequestURI + " HTTP/1.1\r\nHost: x\r\n")
		lines := 0
		for name, values := range r.Header {
			for _, v := range values {
				wire.WriteString(name + ": " + v + "\r\n")
				lines++
			}
		}
		wire.WriteString("\r\n" + string(body))
		got, rerr := http.ReadRequest(bufio.NewReaderSize(strings.NewReader(wire.String()), wire.Len()+1))
		if rerr != nil {
			if strings.Contains(rerr.Error(), "invalid URL escape") || len(r.Header["Content-Length"]) > 1 || strings.Contains(rerr.Error(), "invalid method") || strings.Contains(rerr.Error(), "parse ") {
				return // net/http's parser is stricter than what tapway passes on
			}
			t.Fatalf("no request: %v\n%q", rerr, wire.String())
		}
		if got.Method != r.Method || got.RequestURI != r.RequestURI {
			t.Fatalf("%s %s was read as %s %s", r.Method, r.RequestURI, got.Method, got.RequestURI)
		}
		n := 0
		for _, values := range got.Header {
			n += len(values)
		}
		if moved := len(got.TransferEncoding) + len(got.Trailer); n+moved < lines && r.Header["Trailer"] == nil && r.Header["Cache-Control"] == nil && r.Header["Pragma"] == nil {
			t.Fatalf("%d header lines of %d\n%q", n, lines, wire.String())
		}
	})
}

// FuzzReply: whatever a handler writes, every front understands the reply, and the client of
// one that decodes gets the bytes.
func FuzzReply(f *testing.F) {
	f.Add(200, "X-A", "b", []byte("hello"), 2)
	f.Add(204, "Set-Cookie", "a=b", []byte("x"), 0)
	f.Add(599, "Content-Length", "3", []byte("\xff\xc3\xa9\""), 1)
	f.Add(103, "Transfer-Encoding", "chunked", []byte("\x00\n"), 1)
	f.Add(101, "content-type", "\xff", []byte(""), 1)
	f.Fuzz(func(t *testing.T, status int, name, value string, body []byte, cut int) {
		if status < 100 || status > 999 {
			return // net/http panics
		}
		cut = max(0, min(cut, len(body)))
		complete := true
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			w.WriteHeader(status)
			for _, piece := range [][]byte{body[:cut], body[cut:]} {
				if n, err := w.Write(piece); err != nil || n != len(piece) {
					complete = false
				}
			}
		})
		r := eventtest.Request{BinaryMediaTypes: []string{"*/*"}}
		for _, front := range eventtest.Fronts {
			event, _ := front.Event(r)
			for _, stream := range []bool{false, true} {
				complete = true
				d := &Door{Handler: handler, Log: quiet(), Stream: stream}
				reply, err := d.Serve(context.Background(), event)
				if err != nil {
					t.Fatal(err)
				}
				var res *eventtest.Response
				if reply.Stream != nil {
					res, err = front.StreamResponse(reply.Stream)
					if err == nil {
						res.Body, _ = io.ReadAll(res.Stream)
					}
					reply.Stream.Close()
				} else {
					res, err = front.Response(r, reply.Body)
				}
				if err != nil {
					t.Fatalf("%v: %v\n%q", front, err, reply.Body)
				}
				if problem := reply.Wait(); problem != nil {
					if complete && status != 101 && !errors.Is(problem, ErrBroken) {
						t.Fatalf("%v: %v", front, problem)
					}
					continue
				}
				want := status
				if status < 200 {
					want = 200
				}
				if complete && (res.Status != want || string(res.Body) != string(body)) {
					t.Fatalf("%v: %d %q, want %d %q", front, res.Status, res.Body, want, body)
				}
			}
		}
	})
}
