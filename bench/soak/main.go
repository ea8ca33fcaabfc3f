//go:build linux

// Soak serves calls at a steady rate for a long time and looks whether anything grows: memory,
// goroutines, open files, disk. It starts tapway as a process of its own, so that only tapway's
// own resources are measured. Linux.
//
// What a newcomer gets wrong: quarters are compared, not beginnings and ends. A garbage
// collector's heap goes up and down all the time; a leak moves the median of a whole quarter.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	length := flag.Duration("time", time.Hour, "how long calls are made")
	rate := flag.Int("rate", 0, "calls a second; 0: half of what this machine serves in five seconds")
	bin := flag.String("tapway", "bin/tapway", "the program")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	good, err := soak(ctx, *bin, *length, *rate)
	if err != nil {
		log.Fatalf("soak: %v", err)
	}
	if !good {
		os.Exit(1)
	}
}

const (
	limit   = 256 << 20 // storage.limit
	workers = 32        // calls under way at most
)

// target is the gateway under load.
type target struct {
	cmd       *exec.Cmd
	data      string
	url       string
	admin     string
	delivered atomic.Int64
	calls     atomic.Int64
	failed    atomic.Int64
	late      atomic.Int64 // calls not begun, for want of a free worker
}

func soak(ctx context.Context, bin string, length time.Duration, rate int) (bool, error) {
	dir, err := os.MkdirTemp("", "tapway-soak-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	t := &target{data: filepath.Join(dir, "data")}
	answer := []byte(`{"ok":true,"access_token":"secret","pad":"` + strings.Repeat("x", 2000) + `"}`)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		discard(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	}))
	defer backend.Close()
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		discard(r.Body)
		if rand.IntN(50) == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		t.delivered.Add(1)
	}))
	defer sink.Close()
	if err := t.start(bin, dir, backend.URL, sink.URL, length); err != nil {
		return false, err
	}
	defer t.kill()
	if rate == 0 {
		rate = t.most(ctx) / 2
	}
	fmt.Printf("%d calls a second for %v, from %d clients at most; the first tenth is not judged\n\n", rate, length, workers)
	samples, err := t.run(ctx, length, rate)
	if err != nil {
		return false, err
	}
	good := judge(os.Stdout, samples)
	if n := t.failed.Load(); n > 0 {
		fmt.Printf("%d calls failed\n", n)
		good = false
	}
	if late := t.late.Load(); late > 0 {
		fmt.Printf("%d calls were left out because %d were under way: the machine was busy\n", late, workers)
	}
	return good, t.stop()
}

var serving = regexp.MustCompile(`msg=serving gateway=(\S+) admin=(\S+)`)

// start starts tapway and waits until it serves.
func (t *target) start(bin, dir, backend, sink string, length time.Duration) error {
	program, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	// Delivered records are kept for an eighth of the time, so that the disk must level off.
	text := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\ndata: %s\nbackend: %s\nstorage: {limit: %d, history_age: %ds}\n"+
		"destinations: [{name: sink, url: %s, retry: {max_attempts: 1000, min: 10ms, max: 1s}}]\n", t.data, backend, limit, max(length/8, 10*time.Second)/time.Second, sink)
	if err := os.WriteFile(filepath.Join(dir, "tapway.yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	t.cmd = exec.Command(program, "serve")
	t.cmd.Dir, t.cmd.Stderr, t.cmd.Stdout = dir, logFile, logFile
	if err := t.cmd.Start(); err != nil {
		return fmt.Errorf("start tapway: %w; make build makes it", err)
	}
	for range 300 {
		said, err := os.ReadFile(logFile.Name())
		if err != nil {
			return err
		}
		if m := serving.FindSubmatch(said); m != nil {
			t.url, t.admin = "http://"+string(m[1]), "http://"+strings.TrimPrefix(strings.Trim(string(m[2]), `"`), "http://")
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	said, _ := os.ReadFile(logFile.Name())
	t.kill()
	return fmt.Errorf("tapway does not serve: %s", said)
}

// gone reports whether tapway has ended by itself.
func (t *target) gone() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.cmd.Process.Pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func (t *target) kill() {
	t.cmd.Process.Kill()
	t.cmd.Wait()
}

func (t *target) stop() error {
	t.cmd.Process.Signal(syscall.SIGTERM)
	if err := t.cmd.Wait(); err != nil {
		return fmt.Errorf("tapway's end: %w", err)
	}
	return nil
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}, Timeout: time.Minute}

var sizes = []int{0, 100, 1000, 10_000, 100_000}

// call makes one call.
func (t *target) call(ctx context.Context) {
	n := t.calls.Add(1)
	body := `{"password":"secret","pad":"` + strings.Repeat("y", sizes[n%int64(len(sizes))]) + `"}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("%s/call/%d?token=secret", t.url, n%1000), strings.NewReader(body))
	if err != nil {
		t.failed.Add(1)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err == nil {
		_, err = discard(resp.Body)
		resp.Body.Close()
	}
	if ctx.Err() == nil && (err != nil || resp.StatusCode != http.StatusOK) {
		t.failed.Add(1)
	}
}

// most is how many calls a second are served when nothing holds the clients back.
func (t *target) most(ctx context.Context) int {
	const long = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	before := t.calls.Load()
	done := make(chan struct{})
	for range workers {
		go func() {
			for ctx.Err() == nil {
				t.call(ctx)
			}
			done <- struct{}{}
		}()
	}
	for range workers {
		<-done
	}
	return cmp.Or(int(float64(t.calls.Load()-before)/long.Seconds()), 2)
}

// run makes calls and takes samples.
func (t *target) run(ctx context.Context, length time.Duration, rate int) ([]sample, error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	go t.load(ctx, rate)
	began := time.Now()
	every := min(max(length/240, time.Second), 15*time.Second)
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	var all []sample
	var missed []error
	for {
		select {
		case <-ctx.Done():
			if len(all) < 16 {
				return nil, errors.Join(append(missed, fmt.Errorf("only %d samples: make it longer", len(all)))...)
			}
			for _, err := range missed {
				fmt.Printf("a sample could not be taken: %v\n", err)
			}
			return all, nil
		case <-ticks.C:
		}
		s, err := t.sample(ctx)
		if ctx.Err() != nil {
			continue
		}
		if err != nil {
			// One that came too late says that the machine was busy; of a process that is gone there are no more.
			if missed = append(missed, err); len(missed) > 8 || t.gone() {
				return nil, errors.Join(missed...)
			}
			continue
		}
		if s.at = time.Since(began); s.at > length/10 {
			all = append(all, s)
		}
	}
}

// load begins a call at each tick, if a worker is free.
func (t *target) load(ctx context.Context, rate int) {
	free := make(chan struct{}, workers)
	began := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		if wait := time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(rate))); wait > 0 {
			time.Sleep(wait)
		}
		select {
		case free <- struct{}{}:
			go func() {
				t.call(ctx)
				<-free
			}()
		default:
			t.late.Add(1)
		}
	}
}
