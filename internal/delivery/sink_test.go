package delivery

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"
)

type sink struct {
	mu     sync.Mutex
	n      int
	now    int
	most   int // requests at a time
	bodies [][]byte
	times  []time.Time
	answer func(n int, body []byte) (status int, took time.Duration, header http.Header) // n counts from 1
}

func (s *sink) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	r.Body.Close()
	s.mu.Lock()
	s.n++
	n := s.n
	s.now++
	s.most = max(s.most, s.now)
	s.bodies = append(s.bodies, body)
	s.times = append(s.times, time.Now())
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	status, took, header := 200, time.Duration(0), http.Header(nil)
	if s.answer != nil {
		status, took, header = s.answer(n, body)
	}
	if took > 0 {
		timer := time.NewTimer(took)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if status == 0 {
		return nil, io.EOF
	}
	return &http.Response{StatusCode: status, Header: header, Body: http.NoBody}, nil
}

func (s *sink) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func newWorker(q *testQueue, rt http.RoundTripper) *Worker {
	return &Worker{
		Sub:    q,
		Sender: &Sender{Name: "siem", URL: "http://sink.invalid/", Transport: rt, Format: NDJSON},
		Log:    slog.New(slog.DiscardHandler),
	}
}

func start(t testing.TB, w *Worker) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-done })
		return err
	}
	return stop
}

type spy struct {
	slog.Handler
	mu sync.Mutex
	on func(slog.Record)
}

func (s *spy) Enabled(context.Context, slog.Level) bool { return true }
func (s *spy) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *spy) Handle(_ context.Context, r slog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on(r)
	return nil
}
