package delivery

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// supply is a queue that gives the same frame n times, for measuring the worker alone.
type supply struct {
	message tapway.Message
	left    atomic.Int64
	settled atomic.Int64
	n       int64
	done    chan struct{}
}

func (q *supply) Receive(ctx context.Context, most int) ([]tapway.Message, error) {
	n := min(int64(most), q.left.Load())
	if n <= 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	q.left.Add(-n)
	out := make([]tapway.Message, n)
	for i := range out {
		out[i] = q.message
	}
	return out, nil
}

func (q *supply) Settle(_ context.Context, settlements []tapway.Settlement) error {
	for _, s := range settlements {
		if s.Outcome.Verdict != tapway.Delivered {
			panic(s.Outcome.Reason)
		}
	}
	if q.settled.Add(int64(len(settlements))) == q.n {
		close(q.done)
	}
	return nil
}

// leanSink reads requests and answers 204 with as little work as possible.
func leanSink(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				br := bufio.NewReaderSize(c, 64<<10)
				answer := []byte("HTTP/1.1 204 No Content\r\n\r\n")
				for {
					length := 0
					for {
						line, err := br.ReadSlice('\n')
						if err != nil {
							return
						}
						if len(line) <= 2 {
							break
						}
						if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
							length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
						}
					}
					if _, err := io.CopyN(io.Discard, br, int64(length)); err != nil {
						return
					}
					c.Write(answer)
				}
			})
		}
	})
	b.Cleanup(func() { l.Close(); all.Wait() })
	return "http://" + l.Addr().String()
}

func benchmarkWorker(b *testing.B, batch int, rt http.RoundTripper, url string) {
	ex := tapway.Exchange{
		Meta:           tapway.Meta{ID: tapway.NewID(message(0).Enqueued), Method: "POST", Path: "/api/v1/users", From: "api.example.com", Status: 201},
		RequestHeader:  tapway.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "curl/8"}},
		ResponseHeader: tapway.Header{{Name: "Content-Type", Value: "application/json"}},
		Request:        tapway.Body{Bytes: []byte(`{"a":"` + string(bytes.Repeat([]byte("x"), 700)) + `"}`)},
		Response:       tapway.Body{Bytes: []byte(`{"a":"` + string(bytes.Repeat([]byte("x"), 700)) + `"}`)},
	}
	q := &supply{n: int64(b.N), done: make(chan struct{}), message: tapway.Message{ID: ex.ID, Frame: tapway.AppendFrame(nil, &ex)}}
	q.left.Store(int64(b.N))
	w := &Worker{Sub: q, Concurrency: 64, Sender: &Sender{Name: "sink", URL: url, Format: NDJSON, Transport: rt, Batch: Batch{MaxRecords: batch}}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	b.ReportAllocs()
	used := cpuTime(b)
	b.ResetTimer()
	go func() { done <- w.Run(ctx) }()
	<-q.done
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(cpuTime(b)-used)/1e3/float64(b.N), "cpu-µs/record")
	b.StopTimer()
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// cpuTime is what this process has used, sink included: on a busy machine it says more than
// the clock does.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWorker measures net/http's Transport and everything of ours; "no transport"
// leaves only ours.
func BenchmarkWorker(b *testing.B) {
	none := roundTrip(func(r *http.Request) (*http.Response, error) {
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
	})
	for name, batch := range map[string]int{"one by one": 1, "batches of 100": 100} {
		b.Run(name, func(b *testing.B) {
			url := leanSink(b) // made first, closed last
			benchmarkWorker(b, batch, transport(b), url)
		})
		b.Run(name+"/no transport", func(b *testing.B) { benchmarkWorker(b, batch, none, "http://sink.invalid") })
	}
}
