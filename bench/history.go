package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/queue/diskqueue"
)

var (
	records = flag.Int("records", 1_000_000, "history: how many small records are searched")
	pageOf  = flag.Int("page", 100, "history: records on a page")
)

// historySpan is how long the calls of the made history took to come.
const historySpan = 20 * time.Hour

// historyRecord is call number i of n: unlike its neighbours in all that a filter asks for.
func historyRecord(i, n int, end time.Time) *tapway.Exchange {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	at := end.Add(-historySpan + time.Duration(float64(historySpan)*float64(i)/float64(n)))
	ex := exchange(0)
	ex.Time, ex.ID = at, tapway.NewID(at)
	ex.Duration = time.Duration(r.ExpFloat64() * float64(20*time.Millisecond))
	ex.Method = [...]string{"GET", "GET", "GET", "GET", "GET", "POST", "POST", "PUT", "PATCH", "HEAD"}[r.IntN(10)]
	ex.Path = fmt.Sprintf("/api/v1/%s/%d", [...]string{"users", "orders", "carts", "products", "invoices"}[r.IntN(5)], r.IntN(200_000))
	ex.Query, ex.ClientIP = fmt.Sprintf("page=%d", r.IntN(50)), fmt.Sprintf("203.0.%d.%d", r.IntN(4), r.IntN(250))
	ex.Status = 200
	mark := ""
	switch k := r.IntN(100_000); {
	case k < 100: // one in a thousand
		ex.Status = 503
	case k < 101: // about ten of a million
		ex.Status, ex.Method, mark = 599, "PURGE", "needle in the haystack"
		ex.Path = "/admin/" + ex.Path[1:]
	case k < 5000:
		ex.Status = 404
	}
	body := fmt.Appendf(nil, `{"id":%d,"name":"%x","items":[%d,%d],"note":"%s"}`, i, r.Uint64(), r.IntN(1e6), r.IntN(1e6), mark)
	ex.Request, ex.Response = tapway.Body{}, tapway.Body{Bytes: body, Size: int64(len(body))}
	ex.RequestSize, ex.ResponseSize = 0, int64(len(body))
	return ex
}

func openHistory(dir string) (*diskqueue.Queue, func(), error) {
	return openQueue(dir, diskqueue.Options{Durability: diskqueue.Write, History: diskqueue.History{MaxAge: 2 * historySpan, MaxBytes: 1 << 40}})
}

// fillHistory stores n records, about in the order of their times.
func fillHistory(q *diskqueue.Queue, n int) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	end := time.Now()
	for range 16 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := q.Enqueue(context.Background(), historyRecord(int(i), n, end)); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// benchHistory asks a store of a million records for the first page of what filters find, with
// the index and without.
func benchHistory() error {
	dir, remove, err := tempData()
	if err != nil {
		return err
	}
	defer remove()
	q, done, err := openHistory(dir)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := fillHistory(q, *records); err != nil {
		done()
		return err
	}
	filled := time.Since(began)
	done()
	if q, done, err = openHistory(dir); err != nil { // as after a restart
		return err
	}
	defer done()
	fmt.Printf("\n## History: %d records, %d MB, stored in %.0f s; first page of %d, newest first\n\n", *records, diskUse(dir)/1e6, filled.Seconds(), *pageOf)
	fmt.Printf("| filter | on the page | first page, ms | CPU ms | whole search, CPU ms | … without the index, CPU ms | ratio of those two |\n|---|---|---|---|---|---|---|\n")
	for _, expr := range []string{
		``,
		`time < now-19h && time >= now-20h`,
		`status == 503`,
		`status == 599`,
		`status == 598`,
		`method == PURGE`,
		`path startsWith "/admin/"`,
		`path startsWith "/api/v1/users/17"`,
		`path == "/api/v1/users/17"`,
		`status >= 500 && method == GET && path startsWith "/api/v1/carts/"`,
		`duration > 200ms`,
		`duration > 10s`,
		`size > 10MB`,
		`origin == cache`,
		`front == alb`,
		`client_ip == "203.0.9.9"`,
		`path contains "/nowhere"`,
		`body contains "needle in the haystack"`,
		`body contains "nowhere"`,
		`status == 404 && body contains "nowhere"`,
	} {
		if err := historyRow(q, expr); err != nil {
			return fmt.Errorf("%s: %w", expr, err)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Printf("\nHeap in use behind it: %d MiB.\n", m.HeapInuse>>20)
	return nil
}

func historyRow(q *diskqueue.Queue, expr string) error {
	f, err := filter.Parse(expr)
	if err != nil {
		if errors.As(err, new(*filter.Error)) {
			fmt.Printf("| `%s` | not in the language | | | | | |\n", expr)
			return nil
		}
		return err
	}
	var pages, cpus, walks, plains, by []float64
	found := 0
	for range *rounds {
		s := f.Search()
		s.Limit = *pageOf
		n, page, cpu, err := timeSearch(q, s)
		if err != nil {
			return err
		}
		found = n
		s.Limit = 0
		all, _, walk, err := timeSearch(q, s)
		if err != nil {
			return err
		}
		plain := tapway.Search{Match: s.Match}
		same, _, whole, err := timeSearch(q, plain)
		if err != nil {
			return err
		}
		if same != all {
			return fmt.Errorf("%d records with the index, %d without", all, same)
		}
		pages, cpus, walks, plains, by = append(pages, page), append(cpus, cpu), append(walks, walk), append(plains, whole), append(by, walk/whole)
	}
	fmt.Printf("| `%s` | %d | %.0f (%.0f–%.0f) | %.0f | %.0f | %.0f | %s |\n", expr, found, median(pages), minOf(pages), maxOf(pages), median(cpus), median(walks), median(plains), span(by))
	return nil
}

// timeSearch tells how many records a search finds, and in how many milliseconds of time and of
// CPU time. Other programs on the machine change the first only.
func timeSearch(q *diskqueue.Queue, s tapway.Search) (found int, ms, cpu float64, err error) {
	began, before := time.Now(), selfCPU()
	for _, err := range q.Search(context.Background(), s) {
		if err != nil {
			return found, 0, 0, err
		}
		found++
	}
	return found, float64(time.Since(began).Microseconds()) / 1000, float64((selfCPU() - before).Microseconds()) / 1000, nil
}
