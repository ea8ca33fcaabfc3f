package lambdahttp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"pgregory.net/rapid"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// through sends a request through a front to a handler, and the reply back.
func through(t testing.TB, d *Door, f eventtest.Front, r eventtest.Request) (*eventtest.Response, *Reply) {
	t.Helper()
	if d.Log == nil {
		d.Log = quiet()
	}
	event, err := f.Event(r)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := d.Serve(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	res, err := f.Response(r, reply.Body)
	if err != nil {
		t.Fatalf("%v: %v\n%.300s", f, err, reply.Body)
	}
	if reply.ContentType != "application/json" || reply.Stream != nil {
		t.Errorf("posted as %s", reply.ContentType)
	}
	return res, reply
}

var answers = []struct {
	name    string
	request eventtest.Request
	handler http.HandlerFunc
	status  int
	header  http.Header
	body    string
}{
	{"nothing written", eventtest.Request{}, func(w http.ResponseWriter, r *http.Request) {}, 200, http.Header{"Content-Type": {"application/octet-stream"}}, ""},
	{"text", eventtest.Request{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(201)
		w.WriteHeader(500)
		io.WriteString(w, "héllo \"\\\n\t\x00\x1f\u2028")
	}, 201, http.Header{"Content-Type": {"text/plain"}}, "héllo \"\\\n\t\x00\x1f\u2028"},
	{"binary", eventtest.Request{Header: fields("Accept", "image/png, */*"), BinaryMediaTypes: []string{"image/*"}}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		io.WriteString(w, "\x89PNG\xff\x00")
	}, 200, http.Header{"Content-Type": {"image/png"}}, "\x89PNG\xff\x00"},
	{"repeated headers and cookies", eventtest.Request{}, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Type"] = []string{"text/html"}
		h["Set-Cookie"] = []string{"a=1; Path=/, b", "b=2", "c=3"}
		h["Link"] = []string{"</a>", "</b>"}
		h["X-Empty"] = nil
		h["Connection"] = []string{"close"}
		h["Transfer-Encoding"] = []string{"chunked"}
	}, 200, http.Header{"Content-Type": {"text/html"}, "Set-Cookie": {"a=1; Path=/, b", "b=2", "c=3"}, "Link": {"</a>, </b>"}}, ""},
	{"informational responses", eventtest.Request{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.Header().Del("Link")
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "x")
	}, 200, http.Header{"Content-Type": {"text/plain"}}, "x"},
	{"204", eventtest.Request{}, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(204)
		if _, err := io.WriteString(w, "x"); err != http.ErrBodyNotAllowed {
			panic(err)
		}
	}, 204, http.Header{}, ""},
	{"304", eventtest.Request{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(304)
		w.Header().Set("X-Late", "1")
	}, 304, http.Header{"Etag": {`"1"`}}, ""},
	{"HEAD", eventtest.Request{Method: "HEAD"}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "hello")
	}, 200, http.Header{"Content-Type": {"text/plain"}}, ""},
	{"trailers", eventtest.Request{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "x")
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-Other", "1")
	}, 200, http.Header{"Content-Type": {"text/plain"}}, "x"},
	{"flushes", eventtest.Request{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		rc := http.NewResponseController(w)
		if err := errors.Join(rc.Flush(), rc.EnableFullDuplex()); err != nil {
			panic(err)
		}
		io.WriteString(w, "a")
		w.(http.Flusher).Flush()
		io.WriteString(w, "b")
	}, 200, http.Header{"Content-Type": {"text/plain"}}, "ab"},
	{"more than the length", eventtest.Request{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("X-Amzn-Remapped-Content-Length", "2")
		io.WriteString(w, "ab")
		w.Header().Set("Content-Length", "2")
		io.WriteString(w, "c")
	}, 200, http.Header{"Content-Type": {"text/plain"}, "X-Amzn-Remapped-Content-Length": {"2"}}, "abc"},
}

// What a handler answers reaches the client through every front.
func TestRepliesOfEveryFront(t *testing.T) {
	for _, tt := range answers {
		for _, f := range eventtest.Fronts {
			t.Run(tt.name+"/"+f.String(), func(t *testing.T) {
				res, reply := through(t, &Door{Handler: tt.handler}, f, tt.request)
				if res.Status != tt.status || string(res.Body) != tt.body {
					t.Errorf("%d %q, want %d %q", res.Status, res.Body, tt.status, tt.body)
				}
				if err := reply.Wait(); err != nil {
					t.Error(err)
				}
				got := res.Header
				if len(tt.header["Content-Type"]) == 0 {
					got.Del("Content-Type") // the fronts add one where there is none
				}
				for name, v := range got {
					if name != "Set-Cookie" {
						got[name] = []string{strings.Join(v, ", ")}
					}
				}
				if f == eventtest.ALB { // a map has no order
					compareSets(t, tt.header["Set-Cookie"], got["Set-Cookie"])
					got["Set-Cookie"] = tt.header["Set-Cookie"]
					if got["Set-Cookie"] == nil {
						delete(got, "Set-Cookie")
					}
				}
				if !reflect.DeepEqual(got, tt.header) {
					t.Errorf("header %q, want %q", got, tt.header)
				}
				if want := strconv.Itoa(tt.status) + " " + http.StatusText(tt.status); f.Front() == tapway.FrontALB && res.Description != want {
					t.Errorf("description %q", res.Description)
				}
			})
		}
	}
}

func compareSets(t testing.TB, want, got []string) {
	t.Helper()
	set := func(list []string) map[string]bool {
		m := map[string]bool{}
		for _, s := range list {
			m[s] = true
		}
		return m
	}
	if !reflect.DeepEqual(set(want), set(got)) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Whatever bytes a handler writes in whatever pieces, the client of a front that decodes gets them.
func TestBodiesAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 8), rapid.Map(rapid.StringN(0, 8, 20), func(s string) []byte { return []byte(s) })), 0, 6).Draw(t, "pieces")
		value := rapid.StringMatching(`[ -~é\t]{0,12}`).Draw(t, "header")
		var body []byte
		for _, p := range pieces {
			body = append(body, p...)
		}
		d := &Door{Log: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "x/y")
			w.Header().Set("X-Value", value)
			for _, p := range pieces {
				if n, err := w.Write(p); n != len(p) || err != nil {
					t.Fatal(n, err)
				}
			}
		})}
		r := eventtest.Request{BinaryMediaTypes: []string{"*/*"}, Header: fields("Accept", "*/*")}
		for _, f := range eventtest.Fronts {
			event, _ := f.Event(r)
			reply, err := d.Serve(context.Background(), event)
			if err != nil {
				t.Fatal(err)
			}
			res, err := f.Response(r, reply.Body)
			if err != nil || string(res.Body) != string(body) || res.Header.Get("X-Value") != value {
				t.Fatalf("%v: %v %q %q, want %q", f, err, res.Body, res.Header, body)
			}
		}
	})
}

// A REST API gets only multiValueHeaders, and base64 only for what is no text; a warning says
// when the client will see it.
func TestRESTReply(t *testing.T) {
	var log strings.Builder
	d := &Door{Log: slog.New(slog.NewTextHandler(&log, nil)), BinaryMediaTypes: []string{"image/png"}}
	reply := func(body, accept string) string {
		d.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })
		event, _ := eventtest.REST.Event(eventtest.Request{Header: fields("Accept", accept)})
		re, err := d.Serve(t.Context(), event)
		if err != nil {
			t.Fatal(err)
		}
		return string(re.Body)
	}
	if got, want := reply("<é>", "image/png"), `{"statusCode":200,"multiValueHeaders":{"Content-Type":["application/octet-stream"]},"body":"<é>","isBase64Encoded":false}`; got != want {
		t.Errorf("%s", got)
	}
	if got, want := reply("\xff", "image/png;q=1, */*"), `{"statusCode":200,"multiValueHeaders":{"Content-Type":["application/octet-stream"]},"body":"/w==","isBase64Encoded":true}`; got != want {
		t.Errorf("%s", got)
	}
	if log.String() != "" {
		t.Error(log.String())
	}
	if got := reply("\xff", "*/*, image/png"); !strings.Contains(got, `"isBase64Encoded":true`) || strings.Count(log.String(), "binaryMediaTypes") != 1 {
		t.Errorf("%s %s", got, log.String())
	}
}

func TestAccepts(t *testing.T) {
	for _, tt := range []struct {
		types, accept string
		want          bool
	}{
		{"image/png", "image/png", true}, {"image/png", "IMAGE/PNG;q=0.5, text/html", true}, {"image/png", "text/html, image/png", false}, {"image/png", "", false},
		{"image/*", "image/png", true}, {"image/*", "imagex/png", false}, {"image/*", "image", false}, {"*/*", "", true}, {"image/png", "*/*", false}, {"", "image/png", false},
	} {
		if got := accepts(strings.Fields(tt.types), http.Header{"Accept": {tt.accept}}); got != tt.want {
			t.Errorf("%q, %q: %v", tt.types, tt.accept, got)
		}
	}
}

// A reply of just the limit is posted; one byte more is a 502 that says so. The handler writes
// to its end either way.
func TestTooLarge(t *testing.T) {
	const limit = 4000
	for _, f := range eventtest.Fronts {
		for _, declared := range []bool{true, false} {
			for _, body := range []struct{ name, unit string }{{"text", "x"}, {"escapes", "\n"}, {"binary", "\xff"}} {
				t.Run(f.String()+"/"+body.name+"/"+strconv.FormatBool(declared), func(t *testing.T) {
					run := func(n int) (*Reply, *eventtest.Response, *Call) {
						wrote := 0
						d := &Door{MaxReply: limit, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							w.Header().Set("Content-Type", "x/y")
							if declared {
								w.Header().Set("Content-Length", strconv.Itoa(n))
							} else {
								w.Header().Set("Content-Tongue", strconv.Itoa(n))
							}
							pieces, times := body.unit, n
							if declared { // in one piece
								pieces, times = strings.Repeat(body.unit, n), 1
							}
							for range times {
								m, err := io.WriteString(w, pieces)
								if err != nil {
									t.Fatal(err)
								}
								wrote += m
							}
						})}
						res, reply := through(t, d, f, eventtest.Request{})
						if wrote != n {
							t.Fatalf("the handler wrote %d of %d", wrote, n)
						}
						return reply, res, reply.Call
					}
					largest := 0
					first := sort.Search(limit, func(n int) bool {
						reply, res, call := run(n)
						if reply.Wait() == nil {
							if len(reply.Body) > limit || res.Status != 200 || len(res.Body) < n || call.Problem != "" {
								t.Fatalf("%d: %d bytes, status %d", n, len(reply.Body), res.Status)
							}
							largest = max(largest, len(reply.Body))
							return false
						}
						if !errors.Is(reply.Wait(), ErrTooLarge) || res.Status != 502 || !strings.Contains(string(res.Body), "too large") || res.Header.Get("Content-Type") != "application/json" {
							t.Fatalf("%d: %v %d %s", n, reply.Wait(), res.Status, res.Body)
						}
						if !strings.Contains(call.Problem, "too large") {
							t.Fatalf("%d: problem %q", n, call.Problem)
						}
						return true
					})
					if first == limit {
						t.Fatal("everything fits")
					}
					// A body of unknown length leaves some room, for the record is stored before its end is seen.
					room := 8
					if !declared {
						room += limit / 8
					}
					if largest < limit-room {
						t.Errorf("the largest reply has %d bytes", largest)
					}
				})
			}
		}
	}
}

// The default limits are those of the fronts.
func TestDefaultLimits(t *testing.T) {
	for _, f := range []eventtest.Front{eventtest.REST, eventtest.ALB} {
		for _, over := range []int{-1000, 1} {
			n := f.Limit() + over
			d := &Door{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(n))
				io.WriteString(w, strings.Repeat("x", n))
			})}
			res, reply := through(t, d, f, eventtest.Request{})
			if want := over < 0; (reply.Wait() == nil) != want || (res.Status == 200) != want {
				t.Errorf("%v%+d: %d %v", f, over, res.Status, reply.Wait())
			}
		}
	}
}

// Beyond Drain the handler's writes fail, so that nobody downloads for nothing.
func TestDrain(t *testing.T) {
	for _, drain := range []int64{-1, 1000} {
		var wrote int
		var failed error
		d := &Door{MaxReply: 2000, Drain: drain, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for failed == nil && wrote < 10_000 {
				var n int
				n, failed = io.WriteString(w, strings.Repeat("x", 100))
				wrote += n
			}
			panic(http.ErrAbortHandler)
		})}
		res, reply := through(t, d, eventtest.FunctionURL, eventtest.Request{})
		if !errors.Is(failed, ErrTooLarge) || res.Status != 502 || !errors.Is(reply.Wait(), ErrTooLarge) {
			t.Errorf("%v %d %v", failed, res.Status, reply.Wait())
		}
		if drain = max(drain, 0); wrote < 1500 || wrote > 2100+int(drain) {
			t.Errorf("drain %d: the handler wrote %d", drain, wrote)
		}
	}
}

// What breaks off, falls short, panics or switches protocols is a 502 at every front.
func TestBroken(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		err     error
		message string
	}{
		{"aborted before the head", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ErrBroken, "broke off"},
		{"aborted in the body", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, ErrBroken, "broke off"},
		{"short", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "half")
		}, ErrBroken, "broke off"},
		{"panic", func(w http.ResponseWriter, r *http.Request) { panic("boom") }, nil, "Internal server error"},
		{"upgrade", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(101) }, ErrUpgrade, "switches protocols"},
		{"headers too large", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 20_000))
			io.WriteString(w, "x")
		}, ErrTooLarge, "too large"},
	}
	for _, tt := range tests {
		for _, f := range eventtest.Fronts {
			for _, method := range []string{"GET", "HEAD"} {
				if method == "HEAD" && tt.name == "short" {
					continue // a HEAD response may say what it would be long
				}
				var log strings.Builder
				d := &Door{MaxReply: 20_000, Handler: tt.handler, Log: slog.New(slog.NewTextHandler(&log, nil))}
				res, reply := through(t, d, f, eventtest.Request{Method: method})
				err := reply.Wait()
				if res.Status != 502 || method == "GET" && !strings.Contains(string(res.Body), tt.message) {
					t.Errorf("%s, %v: %d %s", tt.name, f, res.Status, res.Body)
				}
				p, panicked := errors.AsType[*PanicError](err)
				switch {
				case tt.err != nil && (!errors.Is(err, tt.err) || log.String() != ""):
					t.Errorf("%s, %v: %v %s", tt.name, f, err, log.String())
				case tt.err == nil && (!panicked || p.Value != "boom" || !strings.Contains(log.String(), "door_test.go") || strings.Contains(log.String(), "boom\"")):
					t.Errorf("%s, %v: %v %s", tt.name, f, err, log.String())
				}
			}
		}
	}
}

// A response that is not done when the invocation's time is up is a 504, whatever of it was there.
func TestBrokenByTheDeadline(t *testing.T) {
	for _, written := range []string{"", "half"} {
		for _, f := range eventtest.Fronts {
			synctest.Test(t, func(t *testing.T) {
				d := &Door{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.WriteString(w, written)
					<-r.Context().Done()
					panic(http.ErrAbortHandler)
				})}
				event, err := f.Event(eventtest.Request{})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				reply, err := d.Serve(ctx, event)
				if err != nil {
					t.Fatal(err)
				}
				res, err := f.Response(eventtest.Request{}, reply.Body)
				if err != nil || res.Status != 504 || !strings.Contains(string(res.Body), "did not end in time") || !errors.Is(reply.Wait(), ErrBroken) {
					t.Errorf("%v, %q: %d %s, %v, %v", f, written, res.Status, res.Body, err, reply.Wait())
				}
			})
		}
	}
}

// A response that is used after its end takes nothing.
func TestUsedAfterItsEnd(t *testing.T) {
	var kept http.ResponseWriter
	d := &Door{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { kept = w })}
	_, reply := through(t, d, eventtest.HTTP2, eventtest.Request{})
	before := string(reply.Body)
	if _, err := io.WriteString(kept, "late"); err == nil {
		t.Error("written")
	}
	if http.NewResponseController(kept).Flush() == nil {
		t.Error("flushed")
	}
	kept.WriteHeader(500)
	if string(reply.Body) != before {
		t.Error("changed")
	}
}

// Calls at the same time do not mix.
func TestConcurrent(t *testing.T) {
	d := &Door{Log: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r := eventtest.Request{Method: "POST", Header: fields("Content-Type", "text/plain"), Body: []byte(strings.Repeat(strconv.Itoa(i), 1000+i))}
			for _, f := range eventtest.Fronts {
				event, _ := f.Event(r)
				reply, err := d.Serve(context.Background(), event)
				if err != nil {
					t.Error(err)
					return
				}
				if res, err := f.Response(r, reply.Body); err != nil || string(res.Body) != string(r.Body) {
					t.Errorf("%v: %v", f, err)
				}
			}
		})
	}
	wg.Wait()
}
