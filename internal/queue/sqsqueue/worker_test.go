package sqsqueue

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/record"
)

// TestWorker: the worker that delivers from the disk delivers from SQS, over real HTTP.
func TestWorker(t *testing.T) {
	const records = 60
	var mu sync.Mutex
	got, refused := map[int]int{}, map[int]bool{}
	all := make(chan struct{})
	sink := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		ex, err := record.Parse(body)
		if err != nil {
			t.Errorf("no record: %v", err)
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		n := numberOf(t, ex)
		mu.Lock()
		defer mu.Unlock()
		if n%3 == 0 && !refused[n] {
			refused[n] = true
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if got[n]++; len(got) == records && got[n] == 1 {
			close(all)
		}
	}))
	defer sink.Close()
	w := newWorld(t, onlyA)
	worker := &delivery.Worker{
		Sub: w.subscribe("a"), Log: discardLog,
		Sender: &delivery.Sender{Name: "a", URL: sink.URL, Retry: delivery.Retry{Min: time.Second, Max: time.Second}},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := worker.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() { w.q.Run(ctx) })
	for n := range records {
		if err := w.q.Enqueue(t.Context(), queuetest.Exchange(n, 1000*n)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-all:
	case <-time.After(time.Minute):
		t.Error("not everything was delivered within a minute")
	}
	cancel()
	wg.Wait()
	if l := w.line("a"); l.Delivered != records || l.Queued != 0 || l.Dead != 0 {
		t.Errorf("account %+v", l)
	}
	mu.Lock()
	defer mu.Unlock()
	for n, c := range got {
		if c != 1 {
			t.Errorf("record %d was delivered %d times", n, c)
		}
	}
}
