package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// benchAdded measures what the proxy function adds to a call: from the event's first byte to the
// backend's request in full, and from the backend's first byte to the reply in full. All
// fronts take turns in one warm process.
func benchAdded() error {
	if err := needBootstraps(); err != nil {
		return err
	}
	fmt.Printf("\n## Time the proxy function adds to a call: event in → request out, plus response in → reply out\n\n| | in µs | out µs | added p50 µs | (rounds) | added p99 µs |\n|---|---|---|---|---|---|\n")
	for _, size := range payloads {
		if err := added(size); err != nil {
			return err
		}
	}
	return nil
}

// addedSeries are the times of one front, in µs; medians has one of each round.
type addedSeries struct{ in, out, both, medians []float64 }

func (s *addedSeries) print(name string, size int) {
	slices.Sort(s.both)
	fmt.Printf("| %s, %d KiB | %.0f | %.0f | %.0f | %.0f–%.0f | %.0f |\n", name, size>>10, median(s.in), median(s.out), median(s.both),
		slices.Min(s.medians), slices.Max(s.medians), s.both[len(s.both)*99/100])
}

func added(size int) error {
	all := make([]addedSeries, len(eventtest.Fronts))
	events := make([][]byte, len(all))
	for i, front := range eventtest.Fronts {
		var err error
		if events[i], err = eventOf(front, size); err != nil {
			return err
		}
	}
	floor := make([]addedSeries, 1)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	copies := func(e *environment) (*function, error) {
		return e.floor(self, "floor", size)
	}
	for range *rounds {
		err := in(bootstrap("proxy"), func(e *environment, _ *function) error { return e.addedRound(all, events, callsOf(size)) })
		if err == nil {
			err = in(copies, func(e *environment, _ *function) error { return e.addedRound(floor, events[:1], callsOf(size)) })
		}
		if err != nil {
			return err
		}
	}
	floor[0].print("*a program that only copies*", size)
	for i, front := range eventtest.Fronts {
		all[i].print(front.String(), size)
	}
	return nil
}

// floor starts this program as a function that does only what cannot be left out: role is "floor", which copies by
// Go's own means, or "syscalls".
func (e *environment) floor(self, role string, size int) (*function, error) {
	return e.run(role, nil, self, "role:"+role, e.api.addr(), strings.TrimPrefix(e.backend.url(), "http://"), strconv.Itoa(size))
}

func (e *environment) addedRound(all []addedSeries, events [][]byte, number int) error {
	was := make([]int, len(all))
	for i := range all {
		was[i] = len(all[i].both)
	}
	const warmUp = 50
	for n := range number + warmUp {
		for i := range all {
			t, err := e.callAny(events[i])
			if err != nil {
				return err
			}
			if n < warmUp {
				continue
			}
			in := float64(e.backend.request.Load()-t.sent.UnixNano()) / 1000
			out := float64(t.replied.UnixNano()-e.backend.response.Load()) / 1000
			all[i].in, all[i].out, all[i].both = append(all[i].in, in), append(all[i].out, out), append(all[i].both, in+out)
		}
	}
	for i := range all {
		all[i].medians = append(all[i].medians, median(all[i].both[was[i]:]))
	}
	return nil
}

// callAny is call without a look at the reply, which is none from a program that only copies.
func (e *environment) callAny(event []byte) (timing, error) {
	if _, err := e.api.wait(); err != nil {
		return timing{}, err
	}
	return e.api.invoke(event)
}

// benchSlowQueue shows both ways to capture side by side, with SQS as it is and slowed down.
func benchSlowQueue() error {
	if err := needBootstraps(); err != nil {
		return err
	}
	event, err := eventOf(eventtest.REST, 1<<10)
	if err != nil {
		return err
	}
	delays := []time.Duration{0, 200 * time.Millisecond}
	modes := []string{"after", "before"}
	waits, busy := map[string][]float64{}, map[string][]float64{}
	key := func(mode string, d time.Duration) string { return mode + d.String() }
	for range *rounds {
		for _, mode := range modes {
			err := in(bootstrap(mode, "TAPWAY_CAPTURE="+mode), func(e *environment, _ *function) error {
				return e.slowRound(event, delays, func(d time.Duration, t timing, idle time.Time) {
					k := key(mode, d)
					waits[k] = append(waits[k], t.replied.Sub(t.sent).Seconds()*1000)
					busy[k] = append(busy[k], idle.Sub(t.sent).Seconds()*1000)
				})
			})
			if err != nil {
				return err
			}
		}
	}
	fmt.Printf("\n## What the client waits for, 1 KiB, with SQS as fast as it is here and slowed by 200 ms\n\n| | client waits ms, p50 | slowed: p50 | slowed: largest | function busy ms, p50 | slowed: p50 |\n|---|---|---|---|---|---|\n")
	for _, mode := range modes {
		quick, slowed := key(mode, delays[0]), key(mode, delays[1])
		fmt.Printf("| capture: %s | %.2f | %.2f | %.2f | %.2f | %.2f |\n", mode, median(waits[quick]), median(waits[slowed]), slices.Max(waits[slowed]), median(busy[quick]), median(busy[slowed]))
	}
	return nil
}

func (e *environment) slowRound(event []byte, delays []time.Duration, note func(time.Duration, timing, time.Time)) error {
	const each = 10
	e.delay = 0
	if _, err := e.api.wait(); err != nil {
		return err
	}
	for n := range each * (len(delays) + 1) {
		i := max(n/each-1, 0)
		e.delay = delays[i]
		t, err := e.api.invoke(event)
		if err != nil {
			return err
		}
		idle, err := e.api.wait()
		if err != nil {
			return err
		}
		if n >= each { // the first ones warm up
			note(delays[i], t, idle)
		}
	}
	return nil
}
