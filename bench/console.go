package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

var (
	consolePairs = flag.Int("pairs", 40, "with console: how often each state is measured, for -seconds each")
	consoleFull  = flag.Bool("saturated", false, "with console: the gateway has all it can do instead of half of that")
)

// A console that is looked at, as it is measured.
const (
	consoleClosed  = iota
	consoleStream  // the live list and the charts, read by this program
	consoleBrowser // the same in a Chromium, which draws it
)

// benchConsole measures what an open console costs a gateway that has half of what it can do: the CPU
// time of the gateway's process for each call. The states follow each other in blocks of random order on
// the same process, and are compared within a block: what the machine does besides weighs on all alike.
func benchConsole() error {
	backend, err := start("backend")
	if err != nil {
		return err
	}
	defer backend.stop()
	dir, remove, err := tempData()
	if err != nil {
		return err
	}
	defer remove()
	p, err := start("tapway", append([]string{"-backend", "http://" + backend.addr, "-data", dir, "-admin", "127.0.0.1:0", "-durability", "write"}, paused...)...)
	if err != nil {
		return err
	}
	defer p.stop()
	base, err := adminOf(dir)
	if err != nil {
		return err
	}
	web, err := startBrowser()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: without a browser:", err)
	} else {
		defer web.stop()
	}
	states := []int{consoleClosed, consoleStream, consoleBrowser}
	if web == nil {
		states = states[:2]
	}
	full, err := load(p, p.addr, 1<<10, 3*length(), 0)
	if err != nil {
		return err
	}
	rate := full.perSec / 2
	if *consoleFull {
		rate = 0
	}
	var figures [3]consoleFigures
	var seen watched
	for range *consolePairs {
		for _, i := range rand.Perm(len(states)) {
			r, cpu, err := consoleOnce(p, base, states[i], web, rate, &seen)
			if err != nil {
				return err
			}
			figures[states[i]].add(r, cpu)
		}
	}
	tellConsole(states, figures[:], rate, full.perSec)
	fmt.Printf("\nThe stream was sent %.0f rows a second, %.0f KiB.\n", float64(seen.rows)/seen.took.Seconds(), float64(seen.bytes)/1024/seen.took.Seconds())
	return consoleShare(backend, rate)
}

// consoleShare tells the console's part in a CPU profile of a gateway that is looked at. What it makes the
// garbage collector do is not in it, what the machine does besides neither.
func consoleShare(backend *process, rate float64) error {
	dir, remove, err := tempData()
	if err != nil {
		return err
	}
	defer remove()
	profile := filepath.Join(dir, "tapway.pprof")
	p, err := start("tapway", append([]string{"-backend", "http://" + backend.addr, "-data", filepath.Join(dir, "data"), "-admin", "127.0.0.1:0", "-durability", "write", "-profile", profile}, paused...)...)
	if err != nil {
		return err
	}
	base, err := adminOf(filepath.Join(dir, "data"))
	if err == nil {
		var seen watched
		var stop func()
		if stop, err = watch(base, &seen); err == nil {
			_, err = load(p, p.addr, 1<<10, 10*length(), rate)
			stop()
		}
	}
	p.stop()
	if err != nil {
		return err
	}
	said, err := exec.Command("go", "tool", "pprof", "-top", "-cum", "-nodecount=1000000", "-nodefraction=0", "-focus=/internal/(admin|series)[.]", profile).Output() // #nosec G204 -- its own profile
	if err != nil {
		return fmt.Errorf("read the profile: %w", err)
	}
	share := regexp.MustCompile(`accounting for (\S+), (\S+) of (\S+) total`).FindStringSubmatch(string(said))
	if share == nil { // no sample fell on it
		share = []string{"", "0", "0%", "all samples"}
	}
	fmt.Printf("\nIn a CPU profile of %.0f s with the stream open the console's part is %s of %s: %s.\n", 10*length().Seconds(), share[1], share[3], share[2])
	return nil
}

// consoleOnce measures one state once: µs of CPU time for each call beside what the callers saw.
func consoleOnce(p *process, base string, state int, web *browser, rate float64, seen *watched) (r result, cpu float64, err error) {
	stop := func() {}
	switch state {
	case consoleStream:
		stop, err = watch(base, seen)
	case consoleBrowser:
		stop, err = web.open(base + "/#/traffic")
	}
	if err != nil {
		return r, 0, err
	}
	defer stop()
	time.Sleep(1500 * time.Millisecond) // what opening and closing have left to do is no part of it, nor what a console shows before it leaps
	before := p.threadTime()
	if r, err = load(p, p.addr, 1<<10, length(), rate); err == nil {
		cpu = float64((p.threadTime() - before).Microseconds()) / float64(r.calls)
	}
	return r, cpu, err
}

// consoleFigures are those of one state, block by block.
type consoleFigures struct {
	perSec, cpu, p50, p99 []float64
	failed                int
}

func (f *consoleFigures) add(r result, cpu float64) {
	f.perSec, f.cpu, f.p50, f.p99 = append(f.perSec, r.perSec), append(f.cpu, cpu), append(f.p50, r.p50), append(f.p99, r.p99)
	f.failed += r.failed
}

func tellConsole(states []int, figures []consoleFigures, rate, full float64) {
	what := fmt.Sprintf("%.0f calls a second offered, half of the %.0f it can answer", rate, full)
	if rate == 0 {
		what = "as many calls as it can answer"
	}
	fmt.Printf("\n## Console, POST 1 KiB, durability: write, deliveries paused\n\n%s; %d blocks of %d states in random order, %.1f s each; medians, ratios within a block with a 95 %% interval.\n\n"+
		"| | CPU µs/call | ÷ closed | calls/s | ÷ closed | p50 µs | p99 µs | failed |\n|---|---|---|---|---|---|---|---|\n", what, len(figures[0].cpu), len(states), *seconds)
	names := [...]string{"closed", "open: the live list and the charts, as a stream", "open: the live list in Chromium"}
	closed := figures[consoleClosed]
	for _, s := range states {
		f := figures[s]
		cpu, calls := "1", "1"
		if s != consoleClosed {
			cpu, calls = interval(ratios(f.cpu, closed.cpu)), interval(ratios(f.perSec, closed.perSec))
		}
		fmt.Printf("| %s | %.1f | %s | %.0f | %s | %.0f | %.0f | %d |\n", names[s], median(f.cpu), cpu, median(f.perSec), calls, median(f.p50), median(f.p99), f.failed)
	}
}

// interval is the median with the middle 95 % of the medians of 10,000 samples drawn from v anew.
func interval(v []float64) string {
	medians := make([]float64, 10_000)
	sample := make([]float64, len(v))
	for i := range medians {
		for j := range sample {
			sample[j] = v[rand.IntN(len(v))] // #nosec G404 -- statistics
		}
		medians[i] = median(sample)
	}
	slices.Sort(medians)
	return fmt.Sprintf("%.3f (%.3f–%.3f)", median(v), medians[len(medians)/40], medians[len(medians)-1-len(medians)/40])
}

// adminOf is the admin address of the tapway of a data directory, as the command line finds it.
func adminOf(dir string) (string, error) {
	var at struct{ Admin string }
	text, err := os.ReadFile(filepath.Join(dir, "process.json"))
	if err == nil {
		err = json.Unmarshal(text, &at)
	}
	if err != nil {
		return "", fmt.Errorf("find the admin address: %w", err)
	}
	return "http://" + at.Admin, nil
}

// watched is what a console has been sent.
type watched struct {
	rows, bytes int64
	took        time.Duration
}

// watch reads what a console is sent, and gives what ends it.
func watch(base string, seen *watched) (stop func(), err error) {
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
