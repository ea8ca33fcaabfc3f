package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/diskqueue"
)

// exchange is one with bodies of n bytes in all.
func exchange(n int) *tapway.Exchange {
	body := jsonBody(n / 2)
	now := time.Now()
	return &tapway.Exchange{
		Meta: tapway.Meta{
			Time: now, Duration: 5 * time.Millisecond, Front: tapway.FrontServer, Origin: tapway.OriginBackend, Proto: "HTTP/1.1", From: "api.example.com",
			Method: "POST", Path: "/api/v1/users", Query: "a=1", Route: "ANY /{proxy+}", ClientIP: "127.0.0.1", Status: 200,
			RequestSize: int64(len(body)), ResponseSize: int64(len(body)),
		},
		RequestHeader:  tapway.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "bench"}, {Name: "Accept", Value: "*/*"}},
		ResponseHeader: tapway.Header{{Name: "Content-Type", Value: "application/json"}},
		Request:        tapway.Body{Bytes: body, Size: int64(len(body))},
		Response:       tapway.Body{Bytes: body, Size: int64(len(body))},
	}
}

func openStore(dir string, d diskqueue.Durability, history int64) (*diskqueue.Queue, func(), error) {
	return openQueue(dir, diskqueue.Options{Durability: d, History: diskqueue.History{MaxAge: time.Hour, MaxBytes: history}})
}

func openQueue(dir string, o diskqueue.Options) (*diskqueue.Queue, func(), error) {
	o.Log = slog.New(slog.DiscardHandler)
	q, err := diskqueue.Open(dir, o)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.Run(ctx)
	}()
	return q, func() {
		cancel()
		<-done
		q.Close()
	}, nil
}

// appendAll enqueues n copies of ex from 64 callers.
func appendAll(q *diskqueue.Queue, ex *tapway.Exchange, n int) (time.Duration, error) {
	var wg sync.WaitGroup
	var left atomic.Int64
	var failed atomic.Pointer[error]
	left.Store(int64(n))
	began := time.Now()
	for range 64 {
		wg.Go(func() {
			one := *ex
			for left.Add(-1) >= 0 {
				one.Time = time.Now()
				one.ID = tapway.NewID(one.Time)
				if err := q.Enqueue(context.Background(), &one); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	if err := failed.Load(); err != nil {
		return took, *err
	}
	return took, nil
}

func benchQueue() error {
	fmt.Printf("\n## Queue: 64 callers\n\n| | records/s | CPU µs/record |\n|---|---|---|\n")
	for _, c := range []struct {
		name       string
		size, n    int
		durability diskqueue.Durability
	}{
		{"2 KiB, commit", 2 << 10, 100_000, diskqueue.Commit}, {"20 KiB, commit", 20 << 10, 30_000, diskqueue.Commit},
		{"2 KiB, write", 2 << 10, 300_000, diskqueue.Write}, {"20 KiB, write", 20 << 10, 50_000, diskqueue.Write},
	} {
		var rates, cpus []float64
		for range *rounds {
			dir, remove, err := tempData()
			if err != nil {
				return err
			}
			q, done, err := openStore(dir, c.durability, 1<<40)
			if err != nil {
				return err
			}
			cpu := selfCPU()
			took, err := appendAll(q, exchange(c.size), c.n)
			cpus = append(cpus, float64((selfCPU()-cpu).Microseconds())/float64(c.n))
			done()
			remove()
			if err != nil {
				return err
			}
			rates = append(rates, float64(c.n)/took.Seconds())
		}
		fmt.Printf("| append, %s | %.0f (%.0f–%.0f) | %.1f |\n", c.name, median(rates), minOf(rates), maxOf(rates), median(cpus))
	}
	return benchBacklog()
}

// benchBacklog drains a large backlog: is it flat, and does the disk get its space back?
func benchBacklog() error {
	dir, remove, err := tempData()
	if err != nil {
		return err
	}
	defer remove()
	q, done, err := openStore(dir, diskqueue.Write, 64<<20)
	if err != nil {
		return err
	}
	defer done()
	sub, err := q.Subscribe("default")
	if err != nil {
		return err
	}
	if _, err := appendAll(q, exchange(2<<10), *backlog); err != nil {
		return err
	}
	full := diskUse(dir)
	runtime.GC()
	var tenths [10]float64
	for i := range tenths {
		began := time.Now()
		for n := 0; n < *backlog/10; {
			batch, err := sub.Receive(context.Background(), min(500, *backlog/10-n))
			if err != nil {
				return err
			}
			settle := make([]tapway.Settlement, len(batch))
			for j, m := range batch {
				settle[j] = tapway.Settlement{Message: m, Outcome: tapway.Outcome{Verdict: tapway.Delivered}}
			}
			if err := sub.Settle(context.Background(), settle); err != nil {
				return err
			}
			n += len(batch)
		}
		tenths[i] = float64(*backlog/10) / time.Since(began).Seconds()
	}
	var drained int64
	for range 100 {
		time.Sleep(100 * time.Millisecond)
		if drained = diskUse(dir); drained < full/10 {
			break
		}
	}
	fmt.Printf("| receive and settle, backlog of %d × 2 KiB: first tenth | %.0f | |\n| … last tenth | %.0f | |\n\nDisk: %d MB full, %d MB drained (64 MB of history kept).\n",
		*backlog, tenths[0], tenths[9], full/1e6, drained/1e6)
	return nil
}

// benchDelivery fills a store and has a tapway process deliver it to a sink.
func benchDelivery() error {
	fmt.Printf("\n## Delivery from stored frames of 2 KiB to a local sink (no gateway traffic)\n\n| | records/s | CPU µs/record | peak MiB |\n|---|---|---|---|\n")
	for _, batch := range []int{1, 10, 100} {
		n, concurrency := *backlog/10, 64
		if batch > 1 {
			n, concurrency = *backlog/2, 16
		}
		var rates, cpus, peaks []float64
		for range max(1, *rounds/2) {
			rate, cpu, peak, err := drain(n, batch, concurrency)
			if err != nil {
				return err
			}
			rates, cpus, peaks = append(rates, rate), append(cpus, cpu), append(peaks, peak)
		}
		fmt.Printf("| batches of %d, %d at a time | %.0f (%.0f–%.0f) | %.1f | %.0f |\n", batch, concurrency, median(rates), minOf(rates), maxOf(rates), median(cpus), median(peaks))
	}
	return nil
}

func drain(n, batch, concurrency int) (rate, cpu, peak float64, err error) {
	dir, remove, err := tempData()
	if err != nil {
		return 0, 0, 0, err
	}
	defer remove()
	if err := fill(dir, n); err != nil {
		return 0, 0, 0, err
	}
	sink, err := start("sink")
	if err != nil {
		return 0, 0, 0, err
	}
	defer sink.stop()
	began := time.Now()
	p, err := start("tapway", "-backend", "http://127.0.0.1:9", "-data", dir, "-sink", "http://"+sink.addr+"/in", "-batch", fmt.Sprint(batch), "-concurrency", fmt.Sprint(concurrency))
	if err != nil {
		return 0, 0, 0, err
	}
	defer p.stop()
	for received(sink) < n {
		if time.Since(began) > 5*time.Minute {
			return 0, 0, 0, fmt.Errorf("%d of %d records after five minutes", received(sink), n)
		}
		time.Sleep(5 * time.Millisecond)
	}
	took := time.Since(began)
	_, peak = p.memory()
	return float64(n) / took.Seconds(), float64(p.cpu().Microseconds()) / float64(n), peak, nil
}

// fill makes a store with n queued records.
func fill(dir string, n int) error {
	q, done, err := openStore(dir, diskqueue.Write, 1<<30)
	if err != nil {
		return err
	}
	defer done()
	if _, err := q.Subscribe("default"); err != nil {
		return err
	}
	_, err = appendAll(q, exchange(2<<10), n)
	return err
}

// benchMemory watches resident memory in the two situations that tempt a proxy to use it.
func benchMemory() error {
	fmt.Printf("\n## Memory, peak resident MiB\n\n| | MiB |\n|---|---|\n")
	backend, err := start("backend")
	if err != nil {
		return err
	}
	defer backend.stop()
	dir, remove, err := tempData()
	if err != nil {
		return err
	}
	p, err := start("tapway", append([]string{"-backend", "http://" + backend.addr, "-data", dir}, paused...)...)
	if err != nil {
		return err
	}
	resp, err := http.Get("http://" + p.addr + "/stream/2048")
	if err != nil {
		return err
	}
	got, err := io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	_, peak := p.memory()
	p.stop()
	remove()
	if err != nil || got != 2<<30 {
		return fmt.Errorf("the stream gave %d bytes: %v", got, err)
	}
	fmt.Printf("| one streamed body of 2 GiB | %.0f |\n", peak)

	rate, _, peak, err := drain(*backlog, 100, 16)
	if err != nil {
		return err
	}
	fmt.Printf("| a backlog of %d records, opened and delivered at %.0f/s | %.0f |\n", *backlog, rate, peak)
	return nil
}

func diskUse(dir string) (n int64) {
	filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil {
			n += blocks(info)
		}
		return nil
	})
	return n
}

func minOf(v []float64) float64 {
	m := v[0]
	for _, x := range v {
		m = min(m, x)
	}
	return m
}

func maxOf(v []float64) float64 {
	m := v[0]
	for _, x := range v {
		m = max(m, x)
	}
	return m
}
