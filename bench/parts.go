package main

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// contender is one proxy under measurement.
type contender struct {
	name  string
	start func(backend string) (*process, func(), error)
}

func plain(role string) func(string) (*process, func(), error) {
	return func(backend string) (*process, func(), error) {
		p, err := start(role, backend)
		return p, func() {}, err
	}
}

// profiled counts the tapways that were told to write a profile.
var profiled int

// withProfile lets a tapway with these arguments write one if that was asked for.
func withProfile(args ...string) []string {
	if *profiles == "" {
		return args
	}
	profiled++
	return append(args, "-profile", filepath.Join(*profiles, fmt.Sprintf("tapway-%02d.pprof", profiled)))
}

// tapwayWith starts tapway with a fresh data directory; deliveries go nowhere: they are paused.
func tapwayWith(extra ...string) func(string) (*process, func(), error) {
	return func(backend string) (*process, func(), error) {
		dir, remove, err := tempData()
		if err != nil {
			return nil, nil, err
		}
		p, err := start("tapway", withProfile(append([]string{"-backend", backend, "-data", dir}, extra...)...)...)
		return p, remove, err
	}
}

var paused = []string{"-sink", "http://127.0.0.1:9/in", "-paused"}

func contenders() []contender {
	list := []contender{
		{"httputil.ReverseProxy, no capture", plain("httputil")},
		{"tapway without capture", plain("bare")},
		{"tapway, durability: write", tapwayWith(append(paused, "-durability", "write")...)},
		{"tapway, durability: commit", tapwayWith(paused...)},
	}
	for one := range strings.SplitSeq(*peers, ";") {
		name, command, ok := strings.Cut(one, "=")
		if ok {
			list = append(list, contender{strings.TrimSpace(name), foreign(command)})
		}
	}
	return list
}

// foreign starts a peer from a command line with {backend} (host:port), {listen}
// (host:port) and {port}.
func foreign(command string) func(string) (*process, func(), error) {
	return func(backend string) (*process, func(), error) {
		listen := "127.0.0.1:18099"
		r := strings.NewReplacer("{backend}", strings.TrimPrefix(backend, "http://"), "{listen}", listen, "{port}", "18099")
		words := strings.Fields(r.Replace(command))
		cmd := exec.Command(words[0], words[1:]...)
		if err := cmd.Start(); err != nil {
			return nil, nil, err
		}
		p := &process{name: words[0], cmd: cmd, addr: listen}
		remember(p)
		for range 100 {
			if c, err := dial(listen); err == nil {
				c.Close()
				return p, func() {}, nil
			}
			time.Sleep(50 * time.Millisecond)
		}
		return nil, nil, fmt.Errorf("%s does not listen", words[0])
	}
}

// series collects a contender's rounds.
type series struct {
	perSec, cpu, p50, p99, rss []float64
	failed                     int
}

func length() time.Duration { return time.Duration(*seconds * float64(time.Second)) }

// compare measures all contenders in turn, round by round.
func compare(list []contender, backend string, size int, rate float64) ([]series, error) {
	out := make([]series, len(list))
	for range *rounds {
		for i, c := range list {
			p, done, err := c.start(backend)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			_, err = load(p, p.addr, size, length()/4, rate) // warm up
			var r result
			if err == nil {
				r, err = load(p, p.addr, size, length(), rate)
			}
			_, peak := p.memory()
			p.stop()
			done()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			s := &out[i]
			s.perSec, s.cpu = append(s.perSec, r.perSec), append(s.cpu, r.cpu)
			s.p50, s.p99, s.rss = append(s.p50, r.p50), append(s.p99, r.p99), append(s.rss, peak)
			s.failed += r.failed
		}
	}
	return out, nil
}

func benchProxy() error {
	backend, err := start("backend")
	if err != nil {
		return err
	}
	defer backend.stop()
	for _, size := range []int{1 << 10, 10 << 10} {
		list := contenders()
		all, err := compare(list, "http://"+backend.addr, size, 0)
		if err != nil {
			return err
		}
		fmt.Printf("\n## Throughput, POST %d KiB / answer %d KiB, deliveries paused\n\n| | calls/s | ÷ httputil (min–max) | CPU µs/call | ÷ httputil | p50 ms | p99 ms | peak MiB | failed |\n|---|---|---|---|---|---|---|---|---|\n", size>>10, size>>10)
		for i, s := range all {
			fmt.Printf("| %s | %.0f | %s | %.0f | %.2f | %.2f | %.2f | %.0f | %d |\n", list[i].name, median(s.perSec), span(ratios(s.perSec, all[0].perSec)),
				median(s.cpu), median(ratios(s.cpu, all[0].cpu)), median(s.p50)/1000, median(s.p99)/1000, median(s.rss), s.failed)
		}
	}
	return nil
}

func benchLatency() error {
	backend, err := start("backend")
	if err != nil {
		return err
	}
	defer backend.stop()
	list := contenders()
	half := 2000.0
	all, err := compare(list, "http://"+backend.addr, 1<<10, half)
	if err != nil {
		return err
	}
	fmt.Printf("\n## Latency at %.0f calls/s, POST 1 KiB / answer 1 KiB; added = against tapway without capture\n\n| | p50 µs | p99 µs | added p50 µs | added p99 µs |\n|---|---|---|---|---|\n", half)
	for i, s := range all {
		fmt.Printf("| %s | %.0f | %.0f | %+.0f | %+.0f |\n", list[i].name, median(s.p50), median(s.p99),
			median(s.p50)-median(all[1].p50), median(s.p99)-median(all[1].p99))
	}
	return nil
}

// benchPipeline compares capture alone with capture and delivery in batches of 100.
func benchPipeline() error {
	backend, err := start("backend")
	if err != nil {
		return err
	}
	defer backend.stop()
	fmt.Printf("\n## Whole pipeline: capture and delivery in batches of 100 to a local sink, %d KiB\n\n| | calls/s | CPU µs/call | left undelivered when the load ended |\n|---|---|---|---|\n", *bodySize>>10)
	var alone, whole, aloneCPU, wholeCPU, left []float64
	for range *rounds {
		dir, remove, err := tempData()
		if err != nil {
			return err
		}
		p, err := start("tapway", withProfile(append([]string{"-backend", "http://" + backend.addr, "-data", dir}, paused...)...)...)
		if err != nil {
			return err
		}
		r, err := load(p, p.addr, *bodySize, 2*length(), 0)
		p.stop()
		remove()
		if err != nil {
			return err
		}
		alone, aloneCPU = append(alone, r.perSec), append(aloneCPU, r.cpu)

		if dir, remove, err = tempData(); err != nil {
			return err
		}
		sink, err := start("sink")
		if err != nil {
			return err
		}
		p, err = start("tapway", withProfile("-backend", "http://"+backend.addr, "-data", dir, "-sink", "http://"+sink.addr+"/in")...)
		if err != nil {
			return err
		}
		r, err = load(p, p.addr, *bodySize, 2*length(), 0)
		if err != nil {
			return err
		}
		left = append(left, float64(r.calls)-float64(received(sink)))
		for deadline := time.Now().Add(30 * time.Second); received(sink) < r.calls && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
		if got := received(sink); got < r.calls {
			return fmt.Errorf("%d calls, only %d records", r.calls, got)
		}
		p.stop()
		sink.stop()
		remove()
		whole, wholeCPU = append(whole, r.perSec), append(wholeCPU, r.cpu)
	}
	fmt.Printf("| capture only | %.0f | %.0f | |\n| capture and delivery | %.0f | %.0f | %.0f |\n| ratio | %s | %.2f | |\n", median(alone), median(aloneCPU),
		median(whole), median(wholeCPU), median(left), span(ratios(whole, alone)), median(ratios(wholeCPU, aloneCPU)))
	return nil
}

// received asks a sink how many records it has.
func received(sink *process) int {
	resp, err := http.Get("http://" + sink.addr + "/count")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	n, _ := strconv.Atoi(string(text))
	return n
}
