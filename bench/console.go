package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// benchConsole measures what an open console costs a gateway that has all it can do: the live
// list as it streams, and the charts as they are asked for again. Both are measured on the same
// process, in turn, so that what the machine does besides weighs on both alike.
func benchConsole() error {
	backend, err := start("backend")
	if err != nil {
		return err
	}
	defer backend.stop()
	var without, with, cpuWithout, cpuWith []float64
	var seen watched
	failed := 0
	for range *rounds {
		dir, remove, err := tempData()
		if err != nil {
			return err
		}
		args := append([]string{"-backend", "http://" + backend.addr, "-data", dir, "-admin", "127.0.0.1:0", "-durability", "write"}, paused...)
		p, err := start("tapway", args...)
		if err == nil {
			_, err = load(p, p.addr, 1<<10, length()/4, 0) // warm up
		}
		var sums [2]result // without, with
		for _, open := range []int{0, 1, 1, 0} {
			if err != nil {
				break
			}
			stop := func() {}
			if open == 1 {
				stop, err = watch(dir, &seen)
			}
			var r result
			if err == nil {
				r, err = load(p, p.addr, 1<<10, length()/2, 0)
			}
			stop()
			sums[open].perSec += r.perSec / 2
			sums[open].cpu += r.cpu / 2
			failed += r.failed
		}
		if p != nil {
			p.stop()
		}
		remove()
		if err != nil {
			return err
		}
		without, with = append(without, sums[0].perSec), append(with, sums[1].perSec)
		cpuWithout, cpuWith = append(cpuWithout, sums[0].cpu), append(cpuWith, sums[1].cpu)
	}
	fmt.Print("\n## Console, POST 1 KiB, durability: write, deliveries paused\n\n| | calls/s | ÷ closed (min–max) | CPU µs/call | ÷ closed (min–max) | failed |\n|---|---|---|---|---|---|\n")
	fmt.Printf("| closed | %.0f | 1 | %.1f | 1 | |\n", median(without), median(cpuWithout))
	fmt.Printf("| open on the live list and the charts | %.0f | %s | %.1f | %s | %d |\n", median(with), span(ratios(with, without)), median(cpuWith), span(ratios(cpuWith, cpuWithout)), failed)
	fmt.Printf("\nThe console was sent %.0f rows a second, %.0f KiB.\n", float64(seen.rows)/seen.took.Seconds(), float64(seen.bytes)/1024/seen.took.Seconds())
	return nil
}

// watched is what a console has been sent.
type watched struct {
	rows, bytes int64
	took        time.Duration
}

// watch opens a console on the tapway of a data directory and gives what closes it.
func watch(dir string, seen *watched) (stop func(), err error) {
	var at struct{ Admin string }
	text, err := os.ReadFile(filepath.Join(dir, "process.json")) // as the command line finds it
	if err == nil {
		err = json.Unmarshal(text, &at)
	}
	if err != nil {
		return func() {}, fmt.Errorf("find the admin address: %w", err)
	}
	base := "http://" + at.Admin
	ctx, cancel := context.WithCancel(context.Background())
	get := func(path string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
		if err != nil {
			return nil, err
		}
		return http.DefaultClient.Do(req)
	}
	live, err := get("/api/v1/live")
	if err != nil {
		cancel()
		return func() {}, err
	}
	began := time.Now()
	var open sync.WaitGroup
	open.Go(func() {
		defer live.Body.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := live.Body.Read(buf)
			seen.bytes += int64(n)
			seen.rows += int64(bytes.Count(buf[:n], []byte(`"seq":`)))
			if err != nil {
				return
			}
		}
	})
	open.Go(func() {
		for every := time.NewTicker(2 * time.Second); ; {
			for _, path := range []string{"/api/v1/charts", "/api/v1/queue"} {
				if resp, err := get(path); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
			select {
			case <-every.C:
			case <-ctx.Done():
				every.Stop()
				return
			}
		}
	})
	return func() {
		cancel()
		open.Wait()
		seen.took += time.Since(began)
	}, nil
}
