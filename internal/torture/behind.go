package torture

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// What is done to an API by whoever attaches it to tapway.
const (
	doAttach = "attach"
	doDetach = "detach"
	doStatus = "status"
)

// apiFaults are what goes wrong with a call to API Gateway, by the names that plans have for it.
var apiFaults = map[string]*apitest.Fault{
	"cut": apitest.Cut, "lost": apitest.Lost, "broken": apitest.Broken, "refused": apitest.Refused,
	"throttled": apitest.Throttled, "concurrent": apitest.Concurrent,
}

// step is a command that is run on an API. The next one comes when it has ended.
type step struct {
	pause  time.Duration // before it
	kind   string
	fault  string // of one of its calls to API Gateway; "": none
	at     int    // which call that is, from 1; it may make fewer
	once   bool   // the calls after it succeed again; else it is killed when it tries for long
	killed bool   // it is killed by SIGKILL at that call, which took effect (lost) or never came (cut)
}

// behind is an API in front of a life: its clients call it, and it is attached to tapway and
// detached meanwhile. In the end it is detached, whatever state it was left in.
type behind struct {
	http   bool // an HTTP API; else a REST API
	auto   bool // its stage deploys by itself; of HTTP APIs only
	whole  bool // the life lasts until all steps are done
	finish bool // in the end an attach that was interrupted is finished before it is taken off
	steps  []step
}

// behindOf is the API in front of a life, and whether it has one: a function of the seed, with numbers
// of its own, so that plans are the same without it.
func behindOf(seed uint64, no int) (b *behind, is bool) {
	r := rand.New(rand.NewPCG(seed, uint64(no)|1<<54))
	is = r.IntN(3) == 0
	b = &behind{http: r.IntN(2) == 0, auto: r.IntN(3) == 0, whole: r.IntN(4) > 0, finish: r.IntN(2) == 0}
	b.auto = b.auto && b.http
	names := slices.Sorted(maps.Keys(apiFaults))
	next := []string{doAttach}
	for range 2 + r.IntN(4) {
		s := step{pause: time.Duration(50+r.IntN(500)) * time.Millisecond, kind: next[r.IntN(len(next))], at: 1 + r.IntN(26), once: r.IntN(4) > 0}
		switch s.kind {
		case doAttach:
			next = []string{doDetach, doDetach, doDetach, doAttach, doStatus}
		case doDetach:
			next = []string{doAttach, doAttach, doAttach, doDetach, doStatus}
		}
		switch r.IntN(4) {
		case 0:
			s.fault = names[r.IntN(len(names))]
		case 1:
			s.fault, s.killed = []string{"cut", "lost"}[r.IntN(2)], true
		}
		b.steps = append(b.steps, s)
	}
	return b, is
}

// span is how much longer a life lasts, so that there is time for the steps.
func (b *behind) span() time.Duration {
	d := 500 * time.Millisecond
	for _, s := range b.steps {
		d += s.pause + 500*time.Millisecond
	}
	return d
}

func (b *behind) String() string {
	var text strings.Builder
	kind := "a REST API"
	switch {
	case b.auto:
		kind = "an HTTP API that deploys by itself"
	case b.http:
		kind = "an HTTP API"
	}
	fmt.Fprintf(&text, "behind %s:", kind)
	for i, s := range b.steps {
		if i > 0 {
			text.WriteString(",")
		}
		text.WriteString(" " + s.kind)
		switch {
		case s.killed:
			fmt.Fprintf(&text, " killed at call %d (%s)", s.at, s.fault)
		case s.fault != "" && s.once:
			fmt.Fprintf(&text, " with call %d %s", s.at, s.fault)
		case s.fault != "":
			fmt.Fprintf(&text, " with calls from %d on %s", s.at, s.fault)
		}
	}
	return text.String()
}
