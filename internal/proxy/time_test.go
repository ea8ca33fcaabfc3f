package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// roundTripFunc is an http.RoundTripper made of a function.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// script is a body that does one step per Read.
type script struct {
	steps []func() (string, error)
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.steps) == 0 {
		return 0, io.EOF
	}
	text, err := s.steps[0]()
	s.steps = s.steps[1:]
	return copy(p, text), err
}

func (s *script) Close() error { return nil }

func after(d time.Duration, text string, err error) func() (string, error) {
	return func() (string, error) { time.Sleep(d); return text, err }
}

func response(length int64, contentType string, steps ...func() (string, error)) *http.Response {
	return &http.Response{StatusCode: 200, ContentLength: length, Header: http.Header{"Content-Type": {contentType}}, Body: &script{steps}}
}

// slowWriter is a client that takes its time.
type slowWriter struct {
	*httptest.ResponseRecorder
	delay time.Duration
	err   error
}

func (s *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(s.delay)
	if s.err != nil {
		return 0, s.err
	}
	return s.ResponseRecorder.Write(p)
}

// play lets a Handler answer one call in virtual time; aborted says that it panicked as it should.
func play(t *testing.T, b *Backend, w http.ResponseWriter, r *http.Request) (call *tapway.Call, aborted bool) {
	t.Helper()
	call = &tapway.Call{Start: time.Now()}
	h := New(Settings{Log: discardLog, Router: routerFunc(func(_ *http.Request, path, query string, hasQuery bool) (Hop, *Refusal) {
		return Hop{Route: "r", Scheme: "http", Host: "b", Path: path, Query: query, HasQuery: hasQuery, Backend: b}, nil
	})})
	defer func() {
		if v := recover(); v == http.ErrAbortHandler {
			aborted = true
		} else if v != nil {
			panic(v)
		}
	}()
	h.ServeHTTP(w, r.WithContext(tapway.WithCall(r.Context(), call)))
	return call, false
}

func TestTimesOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Backend{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Millisecond)
			Dialed(r.Context(), 10*time.Millisecond, nil)
			io.Copy(io.Discard, r.Body)
			time.Sleep(100 * time.Millisecond)
			return response(-1, "text/plain", after(20*time.Millisecond, "a", nil), after(30*time.Millisecond, "b", io.EOF)), nil
		})}
		r := httptest.NewRequest("POST", "/", &script{[]func() (string, error){after(500*time.Millisecond, "upload", io.EOF)}})
		time.Sleep(time.Second)
		call, aborted := play(t, b, &slowWriter{httptest.NewRecorder(), 700 * time.Millisecond, nil}, r)
		if aborted {
			t.Fatal("aborted")
		}
		if call.Backend != 160*time.Millisecond { // neither the 500 ms of upload nor the 1,400 ms of download
			t.Errorf("Backend %v, want 160ms", call.Backend)
		}
		if call.FirstByte != 610*time.Millisecond || call.Connect != 10*time.Millisecond {
			t.Errorf("FirstByte %v, Connect %v", call.FirstByte, call.Connect)
		}
	})
}

// Timeout is for the beginning of a response: one that takes its time is not cut off. TotalTimeout
// is for all of it.
func TestTimeout(t *testing.T) {
	second := time.Second
	hang := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
	untilCancelled := func(ctx context.Context, d time.Duration, text string) func() (string, error) {
		return func() (string, error) {
			select {
			case <-time.After(d):
				return text, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
	}
	for name, tt := range map[string]struct {
		trip    roundTripFunc
		status  int
		aborted bool
		err     string
		cut     bool // by TotalTimeout alone
	}{
		"no answer":   {hang, 504, false, "backend timed out", false},
		"last moment": {func(*http.Request) (*http.Response, error) { time.Sleep(second - 1); return response(0, "a/b"), nil }, 200, false, "", false},
		"transport's": {func(*http.Request) (*http.Response, error) { return nil, os.ErrDeadlineExceeded }, 504, false, "backend timed out", false},
		"within a body": {func(r *http.Request) (*http.Response, error) {
			return response(-1, "a/b", untilCancelled(r.Context(), 2*second, "x")), nil
		}, 200, false, "", true},
		"before a body": {func(r *http.Request) (*http.Response, error) { // its head has gone to the client by then
			return response(1, "a/b", untilCancelled(r.Context(), 2*second, "x")), nil
		}, 200, false, "", true},
		"within a body, the transport's": {func(*http.Request) (*http.Response, error) {
			return response(-1, "a/b", func() (string, error) { time.Sleep(second); return "", os.ErrDeadlineExceeded }), nil
		}, 200, true, "backend timed out", false},
		"before a body, at once": {func(r *http.Request) (*http.Response, error) {
			return response(1, "a/b", func() (string, error) { return "", errors.New("reset") }), nil
		}, 502, false, "backend call failed", false},
		"event stream": {func(r *http.Request) (*http.Response, error) {
			return response(-1, "text/event-stream", untilCancelled(r.Context(), 2*second, "x")), nil
		}, 200, false, "", false},
		"gRPC": {func(r *http.Request) (*http.Response, error) {
			return response(-1, "application/grpc+proto", untilCancelled(r.Context(), 2*second, "x")), nil
		}, 200, false, "", false},
		"camera": {func(r *http.Request) (*http.Response, error) {
			return response(-1, "multipart/x-mixed-replace;boundary=x", untilCancelled(r.Context(), 2*second, "x")), nil
		}, 200, false, "", false},
		"events, no say": {hang, 504, false, "backend timed out", false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, b := range []Backend{{Timeout: second}, {TotalTimeout: second}} {
				synctest.Test(t, func(t *testing.T) {
					b.Transport = tt.trip
					aborts, text := tt.aborted, tt.err
					if tt.cut && b.TotalTimeout > 0 {
						aborts, text = true, "backend timed out"
					}
					rec := httptest.NewRecorder()
					start := time.Now()
					call, aborted := play(t, &b, rec, httptest.NewRequest("GET", "/", nil))
					if rec.Code != tt.status || aborted != aborts || call.Error != text {
						t.Errorf("total %v: status %d, aborted %v, error %q", b.TotalTimeout, rec.Code, aborted, call.Error)
					}
					if took := time.Since(start); text != "" && took > second {
						t.Errorf("total %v: took %v", b.TotalTimeout, took)
					}
				})
			}
		})
	}
}

func TestDeadlineFromOutsideIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		rec := httptest.NewRecorder()
		b := &Backend{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })}
		call, _ := play(t, b, rec, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		if rec.Code != 504 || call.Error != "backend timed out" {
			t.Errorf("%d %q", rec.Code, call.Error)
		}
	})
}

func TestClientThatCannotBeWrittenTo(t *testing.T) {
	b := &Backend{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
		return response(-1, "a/b", after(0, "x", nil)), nil
	})}
	call, aborted := play(t, b, &slowWriter{httptest.NewRecorder(), 0, errors.New("broken pipe")}, httptest.NewRequest("GET", "/", nil))
	if !aborted || call.Error != "client went away" {
		t.Errorf("aborted %v, %q", aborted, call.Error)
	}
}

func TestSlowUpload(t *testing.T) {
	b := &Backend{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		_, err := io.ReadAll(r.Body)
		return nil, err
	})}
	for want, err := range map[string]error{"client too slow": os.ErrDeadlineExceeded, "client went away": io.ErrUnexpectedEOF, "request body too large": &http.MaxBytesError{Limit: 1}} {
		rec := httptest.NewRecorder()
		call, aborted := play(t, b, rec, httptest.NewRequest("POST", "/", &script{[]func() (string, error){after(0, "x", err)}}))
		if call.Error != want || aborted != (want == "client went away") {
			t.Errorf("%v: %q, aborted %v, status %d", err, call.Error, aborted, rec.Code)
		}
	}
}

func TestBodyStatus(t *testing.T) {
	odd := errors.New("odd")
	for status, want := range map[int]string{400: "malformed request body", 408: "client too slow", 413: "request body too large", 0: "malformed request body", 500: "malformed request body"} {
		rec := httptest.NewRecorder()
		h := New(Settings{Log: discardLog, BodyStatus: func(err error) int {
			if err != odd {
				t.Errorf("asked about %v", err)
			}
			return status
		}, Router: routerFunc(func(*http.Request, string, string, bool) (Hop, *Refusal) {
			return Hop{Scheme: "http", Host: "b", Path: "/", Backend: &Backend{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				_, err := io.ReadAll(r.Body)
				return nil, err
			})}}, nil
		})})
		call := &tapway.Call{}
		r := httptest.NewRequest("POST", "/", &script{[]func() (string, error){after(0, "x", odd)}})
		h.ServeHTTP(rec, r.WithContext(tapway.WithCall(r.Context(), call)))
		if call.Error != want {
			t.Errorf("%d: %q", status, call.Error)
		}
	}
}

// An upload that goes on and on is not cut off; the backend's time begins with its last piece.
func TestTimeoutOfALongUpload(t *testing.T) {
	for _, tt := range []struct {
		pause, answer time.Duration
		status        int
		err           string
	}{
		{900 * time.Millisecond, 900 * time.Millisecond, 200, ""},
		{10 * time.Millisecond, 900 * time.Millisecond, 200, ""}, // too little at a time to begin anew each time
		{900 * time.Millisecond, 1100 * time.Millisecond, 504, "backend timed out"},
		{1100 * time.Millisecond, 0, 408, "client too slow"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var pieces []func() (string, error)
			for range int(5 * time.Second / tt.pause) {
				pieces = append(pieces, after(tt.pause, "x", nil))
			}
			trip := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return nil, err
				}
				select {
				case <-time.After(tt.answer):
					return response(0, "a/b"), nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			})
			rec := httptest.NewRecorder()
			call, _ := play(t, &Backend{Transport: trip, Timeout: time.Second}, rec, httptest.NewRequest("POST", "/", &script{pieces}))
			if rec.Code != tt.status || call.Error != tt.err {
				t.Errorf("pieces every %v, an answer after %v: status %d, error %q", tt.pause, tt.answer, rec.Code, call.Error)
			}
		})
	}
}

// The timeout also ends the wait for a client that has stopped sending.
func TestTimeoutOfAStalledUpload(t *testing.T) {
	backend := newBackend(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	w := newWorld(t, backend.URL, option{backend: &Backend{Timeout: 50 * time.Millisecond}})
	for _, framing := range []string{"Content-Length: 10\r\n\r\nabc", "Content-Length: 1000000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"} {
		conn := w.dial()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\n"+framing)
		all, err := io.ReadAll(conn) // the connection ends too: what follows could be the body's rest
		if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 408 ") || !strings.Contains(string(all), "\r\nConnection: close\r\n") {
			t.Errorf("%q: %q %v", framing, all, err)
		}
		if c := w.call(); c.Error != "client too slow" || c.Origin != tapway.OriginGateway {
			t.Errorf("%q: %+v", framing, c)
		}
	}
}

// Once the handler has ended, a timeout that comes too late leaves the connection alone.
func TestInterruptComesTooLate(t *testing.T) {
	b := &requestBody{src: http.NoBody}
	b.reading.Store(true)
	b.end()
	b.interrupt(nil) // would panic if it reached for the connection
	if b.interrupted.Load() {
		t.Error("interrupted")
	}
	b = &requestBody{src: http.NoBody}
	b.interrupt(nil)
	if n, err := b.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || b.problem.Load() != bodySlow {
		t.Errorf("%d %v", n, err)
	}
}

// A transport that reads on after the call must not reach into the server's body.
func TestBodyIsOutOfReachAfterwards(t *testing.T) {
	var kept io.Reader
	b := &Backend{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		kept = r.Body
		return response(0, "a/b"), nil
	})}
	source := strings.NewReader("never read")
	play(t, b, httptest.NewRecorder(), httptest.NewRequest("POST", "/", io.NopCloser(source)))
	if n, err := kept.Read(make([]byte, 10)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) || source.Len() != 10 {
		t.Errorf("%d %v, %d left", n, err, source.Len())
	}
}

// An early response that comes after the round trip has ended is nobody's any more.
func TestLateInterimIsIgnored(t *testing.T) {
	rec := httptest.NewRecorder()
	p := &pass{state: New(Settings{}).state.Load(), w: rec, in: httptest.NewRequest("GET", "/", nil), answered: true}
	if err := p.passInterim(103, map[string][]string{"Link": {"x"}}); err != nil || len(rec.Header()) != 0 {
		t.Errorf("%v %v", err, rec.Header())
	}
}

// A timeout costs the client its connection only where a body is still under way.
func TestTimeoutKeepsTheConnection(t *testing.T) {
	hang := roundTripFunc(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
	for body, want := range map[string]string{"": "", "abc": "close"} {
		synctest.Test(t, func(t *testing.T) {
			rec := httptest.NewRecorder()
			play(t, &Backend{Transport: hang, Timeout: time.Second}, rec, httptest.NewRequest("POST", "/", strings.NewReader(body)))
			if got := rec.Header().Get("Connection"); rec.Code != http.StatusGatewayTimeout || got != want {
				t.Errorf("%q: status %d, Connection %q, want %q", body, rec.Code, got, want)
			}
		})
	}
}

// TestHeadOfASlowShortBody: the head of a response whose body is short and not there yet
// reaches the client without waiting for it.
func TestHeadOfASlowShortBody(t *testing.T) {
	release := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		http.NewResponseController(w).Flush()
		<-release
		io.WriteString(w, "body")
	}))
	defer backend.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	h := New(Settings{Router: routerFunc(func(_ *http.Request, path, _ string, _ bool) (Hop, *Refusal) {
		return Hop{Scheme: "http", Host: strings.TrimPrefix(backend.URL, "http://"), Path: path, Backend: &Backend{Transport: NetHTTP(transport)}}, nil
	})})
	front := httptest.NewServer(h)
	defer front.Close()
	client := front.Client()
	defer client.CloseIdleConnections()
	resp, err := client.Get(front.URL + "/") // returns when the head has come
	if err != nil {
		t.Fatal(err)
	}
	close(release) // only now may the backend send its body
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(body) != "body" {
		t.Errorf("%q, %v", body, err)
	}
}
