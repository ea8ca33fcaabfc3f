package delivery

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// unruly answers a third of the requests well; the others get errors of every kind.
func unruly(w http.ResponseWriter, r *http.Request) (accepted bool) {
	switch rand.IntN(9) {
	case 0:
		w.WriteHeader(500)
	case 1:
		w.WriteHeader(422)
	case 2:
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	case 3:
		panic(http.ErrAbortHandler)
	case 4:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(503)
	case 5:
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(429) // and no body: the connection breaks off
	default:
		io.WriteString(w, strings.Repeat("thank you ", 100))
		return true
	}
	return false
}

// Over real connections, with a destination that fails in every way, each record ends up
// delivered, and the destination has accepted it; a second destination does not notice.
func TestUnrulyDestination(t *testing.T) {
	for _, batch := range []int{1, 20} {
		var mu sync.Mutex
		accepted := map[string]int{}
		bad := newDestination(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if !unruly(w, r) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for line := range bytes.Lines(body) {
				var record struct{ ID string }
				if err := json.Unmarshal(line, &record); err != nil {
					t.Errorf("%v in %q", err, line)
				}
				accepted[record.ID]++
			}
		})
		good := newDestination(t, nil)
		all := messages(500)
		queues := map[string]*testQueue{bad.URL: newTestQueue(t), good.URL: newTestQueue(t)}
		for url, q := range queues {
			q.put(all...)
			w := newWorker(q, transport(t))
			w.Sender.URL = url
			w.Sender.Batch.MaxRecords = batch
			w.Sender.Retry = Retry{MaxAttempts: -1, Min: time.Millisecond, Max: 5 * time.Millisecond}
			w.Breaker = Breaker{Min: time.Millisecond, Max: 2 * time.Millisecond}
			stop := start(t, w)
			defer stop()
		}
		for _, url := range []string{good.URL, bad.URL} {
			q := queues[url]
			q.wait()
			if n := q.count(tapway.Delivered); n != len(all) {
				t.Errorf("%d delivered", n)
			}
		}
		mu.Lock()
		for _, m := range all {
			if accepted[m.ID.String()] == 0 {
				t.Errorf("record %s was never accepted", m.ID)
			}
		}
		mu.Unlock()
		if n := len(good.got()); batch == 1 && n != len(all) {
			t.Errorf("the good destination got %d requests", n)
		}
	}
}

// A destination that switches to another protocol, which nobody asked for, holds no attempt up.
func TestUnaskedUpgrade(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	defer conns.Wait()
	defer l.Close()
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, r.Body)
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
				c.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the connection is held")
				}
			})
		}
	})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	s := &Sender{Name: "siem", URL: "http://" + l.Addr().String(), Transport: transport}
	done := make(chan []tapway.Outcome, 1)
	go func() { done <- s.Send(t.Context(), messages(1)) }()
	select {
	case out := <-done:
		if out[0].Verdict != tapway.Retry || out[0].Status != http.StatusSwitchingProtocols {
			t.Errorf("got %+v", out[0])
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the attempt hangs")
	}
}
