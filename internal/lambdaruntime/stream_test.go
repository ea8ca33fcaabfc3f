package lambdaruntime_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
)

func streaming(f func(ctx context.Context, w io.Writer) error) lambdaruntime.HandlerFunc {
	return func(context.Context, *invocation) (reply, error) {
		return reply{Stream: f, ContentType: "text/event-stream"}, nil
	}
}

func TestAStreamArrivesPieceByPiece(t *testing.T) {
	api := runtimetest.Start(t)
	pieces := []string{"a", strings.Repeat("b", 5000), "\r\n0\r\n\r\n", strings.Repeat("c", 100_000)}
	read := make(chan struct{})
	start(api, 1, streaming(func(_ context.Context, w io.Writer) error {
		for _, p := range pieces {
			if n, err := io.WriteString(w, p); err != nil || n != len(p) {
				t.Errorf("write: %d, %v", n, err)
			}
			<-read // the caller has this piece before the next is made
		}
		return nil
	}))
	resp, err := api.Open(within(t), runtimetest.Call{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if !resp.Streaming || resp.ContentType != "text/event-stream" {
		t.Errorf("the reply begins %+v", resp)
	}
	for _, p := range pieces {
		got := make([]byte, len(p))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != p {
			t.Fatalf("got %.20q, %v; want %.20q", got, err, p)
		}
		if resp.Trailer() != nil {
			t.Error("trailers before the end")
		}
		read <- struct{}{}
	}
	if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if len(resp.Trailer().Get("Lambda-Runtime-Function-Error-Type")) != 0 {
		t.Errorf("a good stream has the trailers %v", resp.Trailer())
	}
	frozen(t, api)
}

func TestHowAStreamEnds(t *testing.T) {
	for _, c := range []struct {
		name          string
		f             func(ctx context.Context, w io.Writer) error
		body          string
		kind, message string // of the error, if any; the message's beginning
		panics        bool
	}{
		{"well", func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, "all"); return err }, "all", "", "", false},
		{"empty", func(context.Context, io.Writer) error { return nil }, "", "", "", false},
		{"cut", func(_ context.Context, w io.Writer) error {
			io.WriteString(w, "ha")
			return errors.New("the backend broke off")
		}, "ha", "Function.Error", "the backend broke off", false},
		{"cut, typed", func(_ context.Context, w io.Writer) error {
			io.WriteString(w, "ha")
			return typedError{"Backend.Cut", "é\r\n\r\n"}
		}, "ha", "Backend.Cut", "é\r\n\r\n", false},
		{"cut with a long story", func(_ context.Context, w io.Writer) error {
			io.WriteString(w, "ha")
			return errors.New(strings.Repeat("é", 1<<20))
		}, "ha", "Function.Error", strings.Repeat("é", 100), false},
		{"panic", func(_ context.Context, w io.Writer) error { io.WriteString(w, "ha"); panic("ouch") }, "ha", "Function.Panic", "ouch", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := runtimetest.Start(t)
			p, log := start(api, 1, streaming(c.f))
			res := api.Invoke(within(t), nil)
			if string(res.Body) != c.body || !res.Streaming || res.Err != nil {
				t.Errorf("the caller got %q, %v", res.Body, res.Err)
			}
			if c.kind == "" {
				if res.Error != nil {
					t.Errorf("error %v", res.Error)
				}
			} else if e := res.Error; e == nil || e.Type != c.kind || e.BodyType != c.kind || !strings.HasPrefix(e.Message, c.message) || (len(e.StackTrace) > 0) != c.panics {
				t.Errorf("error %+v", e)
			}
			logged := func() {
				if failed := strings.Contains(log.String(), "the invocation failed"); failed != (c.kind != "") {
					t.Errorf("logged: %s", log)
				}
			}
			if c.panics {
				var pe *lambdaruntime.PanicError
				if err := p.Wait(within(t)); !errors.As(err, &pe) {
					t.Errorf("Run returned %v", err)
				}
				logged()
				return
			}
			frozen(t, api)
			logged()
			if res := api.Invoke(within(t), nil); string(res.Body) != c.body {
				t.Errorf("the next caller got %q, %v", res.Body, res.Err)
			}
		})
	}
}

func TestASlowCallerHoldsTheStreamUp(t *testing.T) {
	api := runtimetest.Start(t)
	const piece, pieces = 64 << 10, 512 // 32 MiB: more than all socket buffers on the way
	var written atomic.Int64
	start(api, 1, streaming(func(_ context.Context, w io.Writer) error {
		p := bytes.Repeat([]byte("x"), piece)
		for range pieces {
			n, err := w.Write(p)
			if err != nil {
				return err
			}
			written.Add(int64(n))
		}
		return nil
	}))
	resp, err := api.Open(within(t), runtimetest.Call{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, piece); err != nil {
		t.Fatal(err)
	}
	if n := written.Load(); n == piece*pieces {
		t.Error("all was written while the caller did not read")
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n != piece*(pieces-1) {
		t.Errorf("the rest: %d, %v", n, err)
	}
}

func TestACallerThatGoesAwayDoesNotStopTheFunction(t *testing.T) {
	api := runtimetest.Start(t)
	gone, done := make(chan struct{}), make(chan error, 1)
	start(api, 1, func(context.Context, *invocation) (reply, error) {
		return reply{
			Stream: func(_ context.Context, w io.Writer) error {
				io.WriteString(w, "first")
				<-gone
				_, err := w.Write(make([]byte, 1<<20))
				return err
			},
			After: func(ctx context.Context) { done <- ctx.Err() },
		}, nil
	})
	resp, err := api.Open(within(t), runtimetest.Call{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	close(gone)
	if err := <-done; err != nil {
		t.Error(err)
	}
	frozen(t, api)
}

func TestAGoroutineLeftBehindCannotWriteIntoTheNextReply(t *testing.T) {
	api := runtimetest.Start(t)
	var stray io.Writer
	start(api, 1, func(_ context.Context, in *invocation) (reply, error) {
		if string(in.Event) == "second" {
			if n, err := io.WriteString(stray, "spill"); n != 0 || err == nil {
				t.Errorf("a write after the end: %d, %v", n, err)
			}
			return reply{Body: []byte("mine")}, nil
		}
		return reply{Stream: func(_ context.Context, w io.Writer) error { stray = w; return nil }}, nil
	})
	if res := api.Invoke(within(t), nil); len(res.Body) != 0 || !res.Streaming || res.Error != nil {
		t.Errorf("the first caller got %+v", res)
	}
	if res := api.Invoke(within(t), []byte("second")); string(res.Body) != "mine" {
		t.Errorf("the second caller got %+v", res)
	}
}
