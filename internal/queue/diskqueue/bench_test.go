package diskqueue

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
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

// counting counts what the log asks of the disk: that repeats where times do not.
type counting struct {
	osFiles
	syncs, bytes atomic.Int64
}

type countingFile struct {
	file
	c *counting
}

func (c *counting) Open(path string, flag int) (file, error) {
	f, err := c.osFiles.Open(path, flag)
	if err != nil {
		return nil, err
	}
	return countingFile{f, c}, nil
}

func (f countingFile) Sync() error {
	f.c.syncs.Add(1)
	return f.file.Sync()
}

func (f countingFile) WriteAt(b []byte, off int64) (int, error) {
	f.c.bytes.Add(int64(len(b)))
	return f.file.WriteAt(b, off)
}

func benchQueue(b *testing.B, o Options) *Queue {
	b.Helper()
	return benchQueueOn(b, o, osFiles{})
}

func benchQueueOn(b *testing.B, o Options, fs files) *Queue {
	b.Helper()
	q, err := open(b.TempDir(), o, fs)
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

// appendAll appends n records from 64 callers and tells how long each took.
func appendAll(tb testing.TB, q *Queue, n, size int) []time.Duration {
	took := make([]time.Duration, n)
	ex := queuetest.Exchange(1, size)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range benchCallers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				start := time.Now()
				if err := q.Enqueue(context.Background(), ex); err != nil {
					tb.Error(err)
					return
				}
				took[i-1] = time.Since(start)
			}
		})
	}
	wg.Wait()
	return took
}

func BenchmarkAppend(b *testing.B) {
	for _, d := range []Durability{Commit, Write} {
		for _, size := range []int{2 << 10, 20 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", [...]string{"commit", "write"}[d], size>>10), func(b *testing.B) {
				disk := &counting{}
				q := benchQueueOn(b, Options{Durability: d, MaxBytes: -1, History: History{MaxBytes: -1}}, disk)
				b.SetBytes(int64(size))
				b.ResetTimer()
				took := appendAll(b, q, b.N, size)
				b.StopTimer()
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
				b.ReportMetric(float64(disk.syncs.Load())/float64(b.N), "syncs/record")
				b.ReportMetric(float64(disk.bytes.Load())/float64(b.N), "bytes/record")
			})
		}
	}
}

// BenchmarkBacklog fills the queue with a backlog (TAPWAY_BACKLOG records, default 100,000)
// and drains it.
func BenchmarkBacklog(b *testing.B) {
	n := backlog(b)
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
		q.w.rest(true) // as after ten idle seconds
		if err := q.tidy(0); err != nil {
			b.Fatal(err)
		}
		st, _ = q.Stats(b.Context())
		b.ReportMetric(float64(st.Bytes)/1e6, "MB-idle")
	}
}

func backlog(b *testing.B) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("TAPWAY_BACKLOG"), "100000"))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkSearch asks a history (TAPWAY_BACKLOG records, default 100,000) for first pages.
func BenchmarkSearch(b *testing.B) {
	n := backlog(b)
	q := benchQueue(b, Options{MaxBytes: -1, History: History{MaxBytes: 1 << 40, MaxAge: 1 << 62}})
	var wg sync.WaitGroup
	for p := range benchCallers {
		wg.Go(func() {
			for i := p; i < n; i += benchCallers {
				if err := q.Enqueue(context.Background(), queuetest.Exchange(i, 2<<10)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	q.w.rest(true)
	if err := q.indexSealed(); err != nil {
		b.Fatal(err)
	}
	some, err := q.LoadSeq(b.Context(), uint64(n/3))
	if err != nil {
		b.Fatal(err)
	}
	all := func(*tapway.Meta, func() (*tapway.Exchange, error)) bool { return true }
	for name, s := range map[string]tapway.Search{
		"newest":        {},
		"status":        {Hint: tapway.Hint{StatusMin: 500}, Match: all},
		"method":        {Hint: tapway.Hint{Methods: []string{"PUT"}}, Match: all},
		"path":          {Hint: tapway.Hint{PathPrefix: "/api/v1/users/3"}, Match: all},
		"path, none":    {Hint: tapway.Hint{PathPrefix: "/nowhere"}, Match: all},
		"status, none":  {Hint: tapway.Hint{StatusMin: 504}, Match: all},
		"time, old":     {Until: some.Time, Match: all},
		"no hint, none": {Match: func(m *tapway.Meta, _ func() (*tapway.Exchange, error)) bool { return m.Duration < 0 }},
	} {
		s.Limit = 50
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for _, err := range q.Search(b.Context(), s) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := q.Load(b.Context(), some.ID); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(residentMiB(), "MiB-resident")
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

// BenchmarkDeadLetters makes dead letters of a backlog, walks and redrives them.
func BenchmarkDeadLetters(b *testing.B) {
	n := backlog(b)
	for range b.N {
		q := benchQueue(b, Options{MaxBytes: -1, History: History{MaxBytes: -1}})
		s, err := q.Subscribe("sink")
		if err != nil {
			b.Fatal(err)
		}
		appendAll(b, q, n, 200)
		settleEach(b, s, n, tapway.Outcome{Verdict: tapway.Dead, Reason: "503 Service Unavailable", Status: 503})
		b.ReportMetric(residentMiB(), "MiB-resident-dead")
		start := time.Now()
		var seqs []uint64
		for dl, err := range q.DeadLetters(b.Context(), "sink") {
			if err != nil {
				b.Fatal(err)
			}
			seqs = append(seqs, dl.Meta.Seq)
		}
		b.ReportMetric(float64(len(seqs))/time.Since(start).Seconds(), "walked/s")
		start = time.Now()
		if got, err := q.Resolve(b.Context(), "sink", seqs, tapway.Outcome{Verdict: tapway.Retry}); err != nil || got != n {
			b.Fatalf("resolved %d, error %v", got, err)
		}
		b.ReportMetric(float64(n)/time.Since(start).Seconds(), "redriven/s")
		start = time.Now()
		settleEach(b, s, n, tapway.Outcome{Verdict: tapway.Delivered})
		b.ReportMetric(float64(n)/time.Since(start).Seconds(), "drained/s")
		b.ReportMetric(residentMiB(), "MiB-resident")
	}
}

func settleEach(b *testing.B, s tapway.Subscription, n int, o tapway.Outcome) {
	for done := 0; done < n; {
		msgs, err := s.Receive(b.Context(), 100)
		if err != nil {
			b.Fatal(err)
		}
		all := make([]tapway.Settlement, len(msgs))
		for i, m := range msgs {
			all[i] = tapway.Settlement{Message: m, Outcome: o}
		}
		if err := s.Settle(b.Context(), all); err != nil {
			b.Fatal(err)
		}
		done += len(msgs)
	}
}
