package capture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

func TestDecide(t *testing.T) {
	const secret = "s3cret"
	sum := sha256.Sum256([]byte(secret))
	for _, decision := range []Decision{Keep, NoBodies, Drop} {
		t.Run(fmt.Sprint(decision), func(t *testing.T) {
			var observed atomic.Int64
			rec := &Recorder{
				Decide: func(ex *tapway.Exchange) Decision {
					if ex.Status != 200 || ex.RequestSize != 6 || ex.ResponseSize != 6 || ex.Duration <= 0 {
						t.Errorf("decides on %+v", ex.Meta)
					}
					return decision
				},
				Redact: func(ex *tapway.Exchange) { ex.Query = "[REDACTED]" },
				Observe: func(ex *tapway.Exchange, err error, _ time.Duration) {
					observed.Add(1)
					if ex.Query != "[REDACTED]" || err != nil || decision == Drop && ex.Request.Bytes != nil {
						t.Errorf("observes %+v %v", ex, err)
					}
				},
			}
			s := serve(t, rec, echo, false)
			res, err := s.client(false).Post("http://example.com/?token=1", "text/plain", strings.NewReader(secret))
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(res.Body); string(b) != secret {
				t.Errorf("the client got %q", b)
			}
			res.Body.Close()
			s.settled()
			if observed.Load() != 1 {
				t.Errorf("observed %d times", observed.Load())
			}
			all := s.queue.all()
			if decision == Drop {
				if len(all) != 0 || s.queue.dropped["sampled"] != 1 {
					t.Errorf("stored %d, dropped %v", len(all), s.queue.dropped)
				}
				return
			}
			if len(all) != 1 || len(s.queue.dropped) != 0 {
				t.Fatalf("stored %d, dropped %v", len(all), s.queue.dropped)
			}
			for _, b := range []tapway.Body{all[0].Request, all[0].Response} {
				if decision == Keep && string(b.Bytes) != secret {
					t.Errorf("kept %+v", b)
				}
				if decision == NoBodies && (b.Bytes != nil || !b.Withheld || !b.Summed || b.Sum != sum || b.Size != 6) {
					t.Errorf("withheld %+v", b)
				}
			}
		})
	}
}

// Nothing that fails in the capture changes the response, and what is not stored is counted once.
func TestFailures(t *testing.T) {
	full := fmt.Errorf("store: %w", tapway.ErrQueueFull)
	for _, c := range []struct {
		name    string
		change  func(*Recorder, *queue)
		dropped string // by the capture; the queue counts what Enqueue refuses
	}{
		{"queue full", func(_ *Recorder, q *queue) { q.before = func(context.Context) error { return full } }, ""},
		{"queue panics", func(_ *Recorder, q *queue) { q.before = func(context.Context) error { panic("q") } }, ""},
		{"redaction panics", func(r *Recorder, _ *queue) { r.Redact = func(*tapway.Exchange) { panic("s3cret") } }, "defect"},
		{"rules panic", func(r *Recorder, _ *queue) { r.Decide = func(*tapway.Exchange) Decision { panic("d") } }, "defect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := newQueue(t)
			var log bytes.Buffer
			var observed, failed atomic.Int64
			rec := &Recorder{Queue: q, Log: slog.New(slog.NewTextHandler(&log, nil)), Observe: func(ex *tapway.Exchange, err error, _ time.Duration) {
				observed.Add(1)
				if err != nil && ex.Status == 200 && ex.RequestSize == 5 && (ex.Path == "") == (c.name != "queue full") {
					failed.Add(1)
				}
				panic("observer")
			}}
			c.change(rec, q)
			s := serve(t, rec, echo, false)
			for range 3 {
				res, err := s.client(false).Post("http://example.com/", "text/plain", strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(res.Body); string(b) != "hello" || err != nil || res.StatusCode != 200 {
					t.Errorf("the client got %d %q %v", res.StatusCode, b, err)
				}
				res.Body.Close()
			}
			s.settled()
			if len(q.all()) != 0 || q.dropped[c.dropped] != 3 && c.dropped != "" || c.dropped == "" && len(q.dropped) != 0 {
				t.Errorf("stored %d, dropped %v", len(q.all()), q.dropped)
			}
			if observed.Load() != 3 || failed.Load() != 3 {
				t.Errorf("observed %d, %d of them failed", observed.Load(), failed.Load())
			}
			if n := strings.Count(log.String(), "\n"); n < 1 || n > 2 || strings.Contains(log.String(), "s3cret") {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

func TestComplainsOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out logged
		rec := &Recorder{Queue: newQueue(t), Log: slog.New(slog.NewTextHandler(&out, nil))}
		rec.Wrap(http.NotFoundHandler())
		for range 30 {
			rec.complain("x", tapway.ID{}, errors.New("y"))
			time.Sleep(100 * time.Millisecond)
		}
		if n := out.n.Load(); n != 3 {
			t.Errorf("%d lines in 3 seconds", n)
		}
	})
}

// A queue that hangs delays a response for as long as Wait, and no longer than a tenth more.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t)
		type key struct{}
		q.before = func(ctx context.Context) error {
			if ctx.Value(key{}) != "v" {
				t.Error("the context has lost its values")
			}
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			<-derived.Done()
			return ctx.Err()
		}
		rec := &Recorder{Queue: q, Wait: 2 * time.Second, Log: slog.New(slog.DiscardHandler)}
		h := rec.Wrap(http.HandlerFunc(echo))
		for range 5 {
			r := httptest.NewRequest("GET", "/", nil)
			ctx, cancel := context.WithCancel(context.WithValue(r.Context(), key{}, "v"))
			cancel() // the client is gone; the exchange is to be stored all the same
			start := time.Now()
			h.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
			if took := time.Since(start); took < 2*time.Second || took > 2200*time.Millisecond {
				t.Errorf("waited %v", took)
			}
			time.Sleep(70 * time.Millisecond)
		}
	})
}
