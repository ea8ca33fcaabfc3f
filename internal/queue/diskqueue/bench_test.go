package diskqueue

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

const benchCallers = 64

func benchQueue(b *testing.B, o Options) *Queue {
	b.Helper()
	q, err := Open(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { q.Run(ctx) })
	b.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := q.Close(); err != nil {
			b.Error(err)
		}
	})
	return q
}

// appendAll appends n records from 64 callers.
func appendAll(tb testing.TB, q *Queue, n, size int) {
	ex := queuetest.Exchange(1, size)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range benchCallers {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := q.Enqueue(context.Background(), ex); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkAppend(b *testing.B) {
	for _, d := range []Durability{Commit, Write} {
		for _, size := range []int{2 << 10, 20 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", [...]string{"commit", "write"}[d], size>>10), func(b *testing.B) {
				q := benchQueue(b, Options{Durability: d, MaxBytes: -1, History: History{MaxBytes: -1}})
				b.SetBytes(int64(size))
				b.ResetTimer()
				appendAll(b, q, b.N, size)
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

// BenchmarkBacklog fills the queue with a backlog (TAPWAY_BACKLOG records, default 100,000)
// and drains it.
func BenchmarkBacklog(b *testing.B) {
	n := 100_000
	if s := os.Getenv("TAPWAY_BACKLOG"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	for range b.N {
		q := benchQueue(b, Options{MaxBytes: -1, History: History{MaxBytes: -1}})
		s, err := q.Subscribe("sink")
		if err != nil {
			b.Fatal(err)
		}
		appendAll(b, q, n, 2<<10)
		st, _ := q.Stats(b.Context())
		b.ReportMetric(float64(st.Bytes)/1e6, "MB-full")
		b.ReportMetric(residentMiB(), "MiB-resident-full")
		start := time.Now()
		var tenth [10]time.Duration
		for done := 0; done < n; {
			msgs, err := s.Receive(b.Context(), 100)
			if err != nil {
				b.Fatal(err)
			}
			all := make([]tapway.Settlement, len(msgs))
			for i, m := range msgs {
				all[i] = tapway.Settlement{Message: m, Outcome: tapway.Outcome{Verdict: tapway.Delivered}}
			}
			if err := s.Settle(b.Context(), all); err != nil {
				b.Fatal(err)
			}
			done += len(msgs)
			tenth[min(done*10/n, 9)] = time.Since(start)
		}
		b.ReportMetric(float64(n)/time.Since(start).Seconds(), "drained/s")
		b.ReportMetric(float64(n)/10/tenth[0].Seconds(), "drained/s-first-tenth")
		b.ReportMetric(float64(n)/10/(tenth[9]-tenth[8]).Seconds(), "drained/s-last-tenth")
		b.ReportMetric(residentMiB(), "MiB-resident")
		if err := q.flush(); err != nil {
			b.Fatal(err)
		}
		if err := q.tidy(0); err != nil {
			b.Fatal(err)
		}
		st, _ = q.Stats(b.Context())
		b.ReportMetric(float64(st.Bytes)/1e6, "MB-drained")
	}
}

func residentMiB() float64 {
	runtime.GC()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return float64(kb) / 1024
		}
	}
	return 0
}
