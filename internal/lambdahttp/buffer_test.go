package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/jsonstring"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// However a body comes in pieces, and whatever turns out about it on the way, the reply is text if it can be, base64 if
// not, and a 502 if it is too large: by two bytes at most, for "true" has one less than the "false" that is reckoned with.
func TestBodiesInPieces(t *testing.T) {
	for name, body := range map[string]string{
		"empty":                "",
		"ascii":                strings.Repeat(`{"a":"b\n"}`, 150),
		"wide":                 strings.Repeat("mörpheus €😀\t", 100),
		"binary at once":       "\xff\xd8\xff\xe0" + strings.Repeat("\x00\x01ab", 300),
		"binary in the end":    strings.Repeat("plain text, ", 100) + "\xff",
		"binary late":          strings.Repeat("é", 700) + "\xc3" + strings.Repeat("é", 100),
		"cut within the last":  strings.Repeat("é", 700) + "\xe2\x82",
		"no text from the 500": strings.Repeat("x", 500) + "\x80" + strings.Repeat("x", 500),
	} {
		for _, front := range eventtest.Fronts {
			for _, piece := range []int{1, 3, 511, 512, 513, len(body) + 1} {
				for _, off := range []int{-2, 0, 1, slack} {
					if piece < len(body) && (off == 0 || off == 1) {
						continue // as long as more may come, some room is kept free
					}
					d := &Door{Log: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Content-Type", "x/y")
						w.Header().Set("Content-Length", strconv.Itoa(len(body)))
						for rest := body; rest != ""; {
							n := min(piece, len(rest))
							if written, err := io.WriteString(w, rest[:n]); written != n || err != nil {
								t.Errorf("wrote %d of %d, %v", written, n, err)
							}
							rest = rest[n:]
						}
					})}
					r := eventtest.Request{BinaryMediaTypes: []string{"*/*"}}
					event, _ := front.Event(r)
					call, err := Decode(context.Background(), event)
					if err != nil {
						t.Fatal(err)
					}
					h := http.Header{"Content-Type": {"x/y"}, "Content-Length": {strconv.Itoa(len(body))}}
					head := len(appendHead(nil, call.shape, 200, h, body != "")) + bodyRoom
					asText, asBase64 := head+jsonstring.EscapedLen([]byte(body)), head+base64.StdEncoding.EncodedLen(len(body))
					need := asText
					if !utf8.ValidString(body) || front != eventtest.REST && asBase64 < asText {
						need = asBase64
					}
					d.MaxReply = need + off
					reply := d.ServeCall(call)
					got := fmt.Sprintf("%s, %v, pieces of %d, room %+d", name, front, piece, off)
					if off < 0 {
						if !errors.Is(reply.Wait(), ErrTooLarge) {
							t.Errorf("%s: %v", got, reply.Wait())
						}
						continue
					}
					res, err := front.Response(r, reply.Body)
					if err != nil || reply.Wait() != nil || string(res.Body) != body {
						t.Fatalf("%s: %v %v, %d bytes of %d", got, err, reply.Wait(), len(res.Body), len(body))
					}
					text := utf8.ValidString(body) && asText <= d.MaxReply
					if bytes.HasSuffix(reply.Body, []byte(`"isBase64Encoded":false}`)) != text {
						t.Errorf("%s: %.100s, text %v", got, reply.Body, text)
					}
				}
			}
		}
	}
}

// A body that fits as text, but is none and does not fit as base64, is known to be too large while it is written: in time
// for its record.
func TestTooLargeOnlyAsBase64(t *testing.T) {
	body := strings.Repeat("é", 700) + "\xc3" + strings.Repeat("é", 100)
	for _, front := range eventtest.Fronts {
		event, _ := front.Event(eventtest.Request{})
		d := &Door{Log: quiet(), MaxReply: len(body) + 200, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			io.WriteString(w, body)
			if f := tapway.FactsFrom(r.Context()); !strings.Contains(f.Problem, "too large") {
				t.Errorf("%v: the problem is %q", front, f.Problem)
			}
		})}
		reply, err := d.Serve(context.Background(), event)
		if err != nil || !errors.Is(reply.Wait(), ErrTooLarge) {
			t.Errorf("%v: %v, %v", front, err, reply.Wait())
		}
	}
}

// The memory of a reply is used again only when it was given back, once.
func TestRelease(t *testing.T) {
	d := &Door{Log: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })}
	serve := func(body string) *Reply {
		event, _ := eventtest.HTTP2.Event(eventtest.Request{Method: "POST", Header: fields("Content-Type", "text/plain"), Body: []byte(body)})
		reply, err := d.Serve(context.Background(), event)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	var kept []*Reply
	for i := range 50 {
		one := strings.Repeat(strconv.Itoa(i%10), 100)
		reply := serve(one)
		if i%2 == 0 {
			reply.Release()
			reply.Release()
			if reply.Body != nil || reply.ref != nil {
				t.Error("a reply still has the memory that it gave back")
			}
			continue
		}
		kept = append(kept, reply)
		for j, r := range kept {
			if want := strings.Repeat(strconv.Itoa((2*j+1)%10), 100); !strings.Contains(string(r.Body), `"`+want+`"`) {
				t.Fatalf("reply %d has become %s", j, r.Body)
			}
		}
	}
}

// When a reply is there nobody reads an event any more that was the door's own.
func TestOwnEventsAreLetGo(t *testing.T) {
	var body io.ReadCloser
	for _, own := range []bool{true, false} {
		d := &Door{Log: quiet(), OwnEvents: own, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body = r.Body
			one := make([]byte, 1)
			if n, err := body.Read(one); n != 1 || err != nil || one[0] != 'h' {
				t.Errorf("%d, %v", n, err)
			}
		})}
		through(t, d, eventtest.REST, eventtest.Request{Method: "POST", Header: fields("Content-Type", "text/plain"), Body: []byte("hello")})
		rest, err := io.ReadAll(body)
		if own && (len(rest) != 0 || !errors.Is(err, http.ErrBodyReadAfterClose)) || !own && (string(rest) != "ello" || err != nil) {
			t.Errorf("own %v: read %q, %v", own, rest, err)
		}
	}
}
