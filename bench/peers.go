package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// sample is one measurement of one peer.
type sample struct {
	result
	round    int     // from 0
	store    float64 // µs per call of the store beside the peer
	peak     float64 // MiB
	expected int     // records there should be, those of the warm-up included
	tally    tally
	lag      float64 // seconds from the end of the load to the last record
	others   float64 // the share of the machine that other programs took, from 0 to 1
}

// outcome is what a cell gave: by peer and by round.
type outcome struct {
	cell    cell
	samples map[string][]sample
	failed  []line // measurements that could not be made
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

// benchPeers measures every peer that is there, in turn, round by round, and writes the page.
func benchPeers() error {
	f, err := chosenForm()
	if err != nil {
		return err
	}
	had, err := filepath.Abs(*peersHad)
	if err != nil {
		return err
	}
	sum := sumOf(had)
	if sum == "" {
		return fmt.Errorf("no tapway to measure: go build -o %s ./cmd/tapway", filepath.Join(*peersHad, "bin", "tapway"))
	}
	kept, err := openState(filepath.Join(had, "run-"+f.name+".jsonl"), header{Form: f.name, Rounds: f.rounds, Seconds: *seconds, Only: *onlyOf, Tapway: sum}, *resume)
	if err != nil {
		return err
	}
	defer kept.close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := &report{form: f, began: kept.header.Began, missing: noted(had, "missing"), versions: noted(had, "versions")}
	for _, c := range f.cells {
		r.outcomes = append(r.outcomes, &outcome{cell: c, samples: map[string][]sample{}})
	}
	for _, l := range kept.lines {
		r.take(l)
	}
	list := r.choose(peerList())
	if err := r.run(ctx, list, had, kept); err != nil {
		return err
	}
	text := r.markdown(list)
	fmt.Print(text)
	if *outFile != "" {
		return os.WriteFile(*outFile, []byte(text), 0o644)
	}
	return nil
}

// run measures what is not there yet: a round of every kind of call, then the next round, so that a run whose
// time is up has looked at each of them.
func (r *report) run(ctx context.Context, list []peer, had string, kept *state) error {
	backend, err := start("backend")
	if err != nil {
		return err
	}
	defer backend.stop()
	began, last := time.Now(), time.Duration(0)
	for round := range r.form.rounds {
		for _, o := range r.outcomes {
			if r.complete(list, o, round) {
				continue
			}
			if !r.form.left(began, last) {
				r.cut++
				continue
			}
			from := time.Now()
			fmt.Fprintf(os.Stderr, "%s  round %d of %d: %s\n", time.Since(began).Round(time.Second), round+1, r.form.rounds, o.cell)
			for _, p := range list {
				if r.gone(p.name) || o.done(p.name, round) {
					continue
				}
				at := time.Now()
				s, err := measure(p, o.cell, had, backend.addr)
				s.round = round
				if ctx.Err() != nil {
					return errBrokenOff
				}
				l := lineOf(p, o.cell, s, time.Since(at), err)
				if err := kept.add(l); err != nil {
					return err
				}
				r.take(l)
				if err != nil {
					fmt.Fprintf(os.Stderr, "  %s: %v\n", p.name, err)
					continue
				}
				fmt.Fprintf(os.Stderr, "  %-40s %8.0f calls/s  %6.0f µs  %4.0f MiB  %d/%d  %d failed, in %.1f s\n", p.name, s.perSec, s.cpu, s.peak, s.tally.whole, s.expected, s.failed, time.Since(at).Seconds())
			}
			last = max(last, time.Since(from))
		}
	}
	return nil
}

var errBrokenOff = errors.New("broken off; with -resume it goes on from here")

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
	tried, err := answers(r.addr, c, p.passive)
	if err != nil {
		return s, fmt.Errorf("it does not pass calls on: %w", err)
	}
	*conns, reads = c.connections, c.method == "GET"
	body := jsonBody(c.size)
	settled := func(want int) (tally, time.Time, error) {
		if !p.counts {
			return tally{}, time.Now(), nil
		}
		return settle(want, func(closely bool) (tally, error) { return p.tally(at, body, c.bodies(), closely) })
	}
	first, _, err := settled(tried) // the records of those first calls are not counted
	if err != nil {
		return s, err
	}
	warm, err := load(r.main, r.addr, c.size, length()/4, 0)
	if err != nil {
		return s, err
	}
	s.expected = warm.calls
	if _, _, err = settled(first.records + s.expected); err != nil {
		return s, err
	}
	others := watchOthers()
	cpu, store := r.main.treeCPU(), r.storeCPU()
	if s.result, err = load(r.main, r.addr, c.size, length(), 0); err != nil {
		return s, err
	}
	ended := time.Now()
	s.others = others()
	s.expected += s.calls
	last := ended
	if s.tally, last, err = settled(first.records + s.expected); err != nil {
		return s, err
	}
	s.tally.records, s.tally.whole = s.tally.records-first.records, s.tally.whole-first.whole
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

// answers waits until the peer passes calls on, some listen before they do, and looks closely at two answers over one
// connection: 200, with the backend's very bytes.
// It returns how many calls were answered so.
func answers(addr string, c cell, passive bool) (calls int, err error) {
	if passive {
		time.Sleep(1500 * time.Millisecond) // it says nowhere that it listens in
		return 0, nil
	}
	reads = c.method == "GET"
	for range 100 {
		if err = exact(addr, post(c.size), jsonBody(c.size)); err == nil {
			return 2, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return 0, err
}

// exact makes a call twice over one connection and compares the answers with what the backend says.
func exact(addr string, request, body []byte) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	for range 2 {
		if _, err := c.Write(request); err != nil {
			return fmt.Errorf("it does not keep the connection: %w", err)
		}
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		switch {
		case resp.StatusCode != http.StatusOK:
			return fmt.Errorf("it answers %s", resp.Status)
		case !bytes.Equal(got, body):
			return fmt.Errorf("it answers with %d other bytes than the backend's %d", len(got), len(body))
		case resp.Close:
			return errors.New("it does not keep the connection")
		}
	}
	return nil
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
