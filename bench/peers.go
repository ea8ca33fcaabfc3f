package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

var (
	peersHad = flag.String("peers", "", "measure beside other proxies instead: the directory that bench/peers/get has filled; `make bench-peers` does both")
	quick    = flag.Bool("quick", false, "peers: POSTs of 1 and 10 KiB over 64 connections only, rounds of one second")
	outFile  = flag.String("out", "", "peers: where the page goes; default only the standard output")
	methods  = flag.String("methods", "POST,GET", "peers: methods")
	sizes    = flag.String("sizes", "1,10,100", "peers: KiB of a POST and of each answer")
	connList = flag.String("connection-list", "16,64,256", "peers: numbers of connections")
	onlyOf   = flag.String("only-peers", "", "peers: only contenders whose names contain one of these words, separated by commas, beside the first")
)

// cell is one kind of call under one load.
type cell struct {
	method      string
	size        int
	connections int
}

func (c cell) String() string {
	return fmt.Sprintf("%s, %d KiB, %d connections", c.method, c.size>>10, c.connections)
}

// bodies is how many bodies a record of such a call has.
func (c cell) bodies() int {
	if c.method == "GET" {
		return 1
	}
	return 2
}

// sample is one measurement of one peer.
type sample struct {
	result
	round    int     // from 0
	store    float64 // µs per call of the store beside the peer
	peak     float64 // MiB
	expected int     // records there should be, those of the warm-up included
	tally    tally
	lag      float64 // seconds from the end of the load to the last record
}

// outcome is what a cell gave: by peer and by round.
type outcome struct {
	cell    cell
	samples map[string][]sample
}

// column is a figure of a peer's rounds.
func (o *outcome) column(name string, of func(sample) float64) (v []float64) {
	for _, s := range o.samples[name] {
		v = append(v, of(s))
	}
	return v
}

// ratio is one peer's figure by another's in each round in which both have one.
func (o *outcome) ratio(a, b string, of func(sample) float64) (v []float64) {
	for _, x := range o.samples[a] {
		for _, y := range o.samples[b] {
			if x.round == y.round && of(y) > 0 {
				v = append(v, of(x)/of(y))
			}
		}
	}
	return v
}

func cells() ([]cell, error) {
	if *quick {
		*seconds, *rounds = min(*seconds, 1), min(*rounds, 5)
		return []cell{{"POST", 1 << 10, 64}, {"POST", 10 << 10, 64}}, nil
	}
	var all []cell
	for method := range strings.SplitSeq(*methods, ",") {
		for size := range strings.SplitSeq(*sizes, ",") {
			for connections := range strings.SplitSeq(*connList, ",") {
				kib, err := strconv.Atoi(size)
				if err != nil || kib != 1 && kib != 10 && kib != 100 {
					return nil, fmt.Errorf("-sizes: %q is not 1, 10 or 100, which are the backend's answers", size)
				}
				n, err := strconv.Atoi(connections)
				if err != nil || n < 1 {
					return nil, fmt.Errorf("-connection-list: %q is not a number of connections", connections)
				}
				if method != "GET" && method != "POST" {
					return nil, fmt.Errorf("-methods: %q is neither GET nor POST", method)
				}
				all = append(all, cell{method, kib << 10, n})
			}
		}
	}
	return all, nil
}

// benchPeers measures every peer that is there, in turn, round by round, and writes the page.
func benchPeers() error {
	all, err := cells()
	if err != nil {
		return err
	}
	had, err := filepath.Abs(*peersHad)
	if err != nil {
		return err
	}
	report := &report{missing: noted(had, "missing"), versions: noted(had, "versions")}
	list := report.choose(peerList())
	backend, err := start("backend")
	if err != nil {
		return err
	}
	defer backend.stop()
	began := time.Now()
	for _, c := range all {
		fmt.Fprintf(os.Stderr, "%s  %s\n", time.Since(began).Round(time.Second), c)
		o := &outcome{cell: c, samples: map[string][]sample{}}
		for round := range *rounds {
			for _, p := range list {
				if report.gone(p.name) {
					continue
				}
				s, err := measure(p, c, had, backend.addr)
				if err != nil {
					report.fail(p.name, c, err)
					fmt.Fprintf(os.Stderr, "  %s: %v\n", p.name, err)
					continue
				}
				s.round = round
				o.samples[p.name] = append(o.samples[p.name], s)
				fmt.Fprintf(os.Stderr, "  %-40s %8.0f calls/s  %6.0f µs  %4.0f MiB  %d/%d\n", p.name, s.perSec, s.cpu, s.peak, s.tally.whole, s.expected)
			}
		}
		report.outcomes = append(report.outcomes, o)
	}
	text := report.markdown(list)
	fmt.Print(text)
	if *outFile != "" {
		return os.WriteFile(*outFile, []byte(text), 0o644)
	}
	return nil
}

// measure starts a peer with a sink of its own, warms it up, puts it under load, and waits until
// every call's record has arrived or nothing more comes. CPU counts until then.
func measure(p peer, c cell, had, backend string) (s sample, err error) {
	dir, remove, err := tempData()
	if err != nil {
		return s, err
	}
	defer remove()
	at := &place{had: had, dir: dir, backend: backend}
	if at.listen, err = freeAddr(); err != nil {
		return s, err
	}
	if at.redis, err = freeAddr(); err != nil {
		return s, err
	}
	sink, err := start("peersink", fmt.Sprint(c.size), fmt.Sprint(c.bodies()))
	if err != nil {
		return s, err
	}
	defer sink.stop()
	at.sink = sink.addr
	for _, f := range p.files {
		if err := at.write(f[0], f[1]); err != nil {
			return s, err
		}
	}
	r, err := p.start(at)
	if err != nil {
		return s, err
	}
	defer r.stop()
	if err := answers(r.addr, c, p.passive); err != nil {
		return s, fmt.Errorf("it does not pass calls on: %w", err)
	}
	*conns, reads = c.connections, c.method == "GET"
	warm, err := load(r.main, r.addr, c.size, length()/4, 0)
	if err != nil {
		return s, err
	}
	s.expected = warm.calls
	body := jsonBody(c.size)
	settled := func(want int) (tally, time.Time, error) {
		if !p.counts {
			return tally{}, time.Now(), nil
		}
		return settle(want, func(closely bool) (tally, error) { return p.tally(at, body, c.bodies(), closely) })
	}
	before, _, err := settled(s.expected)
	if err != nil {
		return s, err
	}
	extra := max(0, before.records-s.expected) // the first call, and any that failed
	cpu, store := r.main.treeCPU(), r.storeCPU()
	if s.result, err = load(r.main, r.addr, c.size, length(), 0); err != nil {
		return s, err
	}
	ended := time.Now()
	s.expected += s.calls
	last := ended
	if s.tally, last, err = settled(s.expected + extra); err != nil {
		return s, err
	}
	s.cpu = float64((r.main.treeCPU() - cpu).Microseconds()) / float64(s.calls)
	s.store = float64((r.storeCPU() - store).Microseconds()) / float64(s.calls)
	s.peak = r.main.treePeak()
	if s.peak == 0 {
		return s, errGone
	}
	s.tally.whole = min(s.tally.whole, s.expected)
	s.lag = max(0, last.Sub(ended).Seconds())
	s.failed += warm.failed
	return s, nil
}

// answers waits until the peer passes calls on: some listen before they do.
func answers(addr string, c cell, passive bool) (err error) {
	if passive {
		time.Sleep(1500 * time.Millisecond) // it says nowhere that it listens in
		return nil
	}
	reads = c.method == "GET"
	for range 100 {
		var one *client
		if one, err = dial(addr); err == nil {
			err = one.call(post(c.size), int64(len(jsonBody(c.size))))
			one.Close()
			if err == nil {
				return nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// settle waits until there are so many records, or for two seconds no more of them; at the
// end it looks closely. The time is that of the last record seen to come.
func settle(want int, look func(closely bool) (tally, error)) (tally, time.Time, error) {
	last, most := time.Now(), -1
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		t, err := look(false)
		if err != nil {
			return t, last, err
		}
		if t.records > most {
			most, last = t.records, time.Now()
		}
		if t.records >= want || time.Since(last) > 2*time.Second {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	t, err := look(true)
	return t, last, err
}

func (r *runningPeer) storeCPU() time.Duration {
	if r.store == nil {
		return 0
	}
	return r.store.treeCPU()
}
