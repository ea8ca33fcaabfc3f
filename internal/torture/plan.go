package torture

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// What is done to a process while it lives.
const (
	doReload   = "reload"   // with other destinations and rules
	doPause    = "pause"    // of a destination, for a while
	doRedrive  = "redrive"  // of all dead letters
	doFullDisk = "fulldisk" // for a while
	doCheck    = "check"    // of every stored record
	doSearch   = "search"   // of the history
	doOutage   = "outage"   // of every destination, for a while
	doClock    = "clock"    // jumps
)

// What is damaged while it is down.
const (
	nothing     = ""
	tornWrite   = "torn-write"   // an unfinished write behind the newest record
	cutTail     = "cut-tail"     // the log loses its last bytes
	flipTail    = "flip-tail"    // one of its last bytes changes
	indexLost   = "index-lost"   // search indexes removed, cut or changed
	tornStore   = "torn-store"   // an unfinished write of the counters
	tornNames   = "torn-names"   // of the destinations' names
	tornMeta    = "torn-meta"    // of the state database's head
	stateBroken = "state-broken" // the state database is cut short or gone
)

// event is something that is done during a life.
type event struct {
	at   time.Duration // since its clients began
	kind string
	span time.Duration // how long it lasts, where that means something
	pick int           // which one of several, modulo their number
	conf conf
}

// conf is what differs between configurations.
type conf struct {
	guest   bool // there is a fourth destination
	sampled bool // calls below /sampled are left out
	refuse  bool // capture.on_failure; only at a start
	tight   bool // storage.limit is small; only at a start
	write   bool // capture.durability: write; only at a start
	alone   bool // with refuse: nothing but a slow machine makes it refuse
}

// life is one run of the process.
type life struct {
	no     int
	length time.Duration // from when clients begin to its end
	killed bool          // by SIGKILL; else it is told to end
	damage string        // afterwards
	amount int           // of the damage
	conf   conf
	events []event
	clock  time.Duration // how far the clock is off at the start
	amid   bool          // it is killed with clients at work; else they end first
	behind *behind       // an API that clients call instead; nil: they call tapway
}

// planOf is the plan of one life: a function of the seed and nothing else.
func planOf(seed uint64, no int) life {
	r := rand.New(rand.NewPCG(seed, uint64(no)))
	l := life{
		no: no, length: time.Duration(300+r.IntN(2200)) * time.Millisecond, killed: r.IntN(4) > 0, amid: r.IntN(5) > 0,
		amount: 1 + r.IntN(3000), conf: newConf(r),
	}
	l.conf.refuse, l.conf.tight, l.conf.write = r.IntN(3) == 0, r.IntN(5) == 0, r.IntN(4) == 0
	if roll := r.IntN(16); roll < 8 {
		l.damage = []string{tornWrite, tornWrite, cutTail, flipTail, indexLost, tornStore, tornNames, tornMeta}[roll]
	} else if roll == 8 {
		l.damage = stateBroken
	}
	kinds := []string{doReload, doReload, doPause, doPause, doRedrive, doFullDisk, doCheck, doSearch, doOutage}
	for range r.IntN(4) {
		e := event{
			at: time.Duration(r.Int64N(int64(l.length))), kind: kinds[r.IntN(len(kinds))],
			span: time.Duration(50+r.IntN(600)) * time.Millisecond, pick: r.IntN(1 << 20), conf: newConf(r),
		}
		l.events = append(l.events, e)
	}
	c := rand.New(rand.NewPCG(seed, uint64(no)|1<<53)) // its own numbers: a plan is the same without jumps
	l.clock = jump(c)
	for range c.IntN(3) {
		l.events = append(l.events, event{at: time.Duration(c.Int64N(int64(l.length))), kind: doClock, span: jump(c)})
	}
	slices.SortStableFunc(l.events, func(a, b event) int { return int(a.at - b.at) })
	if b, is := behindOf(seed, no); is {
		l.behind = b
	}
	return l
}

// jump is how far a clock is off: often not at all, else by seconds, minutes, hours or days, back or
// ahead.
func jump(r *rand.Rand) time.Duration {
	most := []time.Duration{0, 0, 2 * time.Second, 15 * time.Minute, 6 * time.Hour, 72 * time.Hour}[r.IntN(6)]
	if most == 0 {
		return 0
	}
	return time.Duration(r.Int64N(int64(2*most))) - most
}

func newConf(r *rand.Rand) conf {
	return conf{guest: r.IntN(2) == 0, sampled: r.IntN(2) == 0}
}

func (l life) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "life %d: %v", l.no, l.length)
	for _, e := range l.events {
		fmt.Fprintf(&b, ", %s at %v", e.kind, e.at.Round(time.Millisecond))
		if e.kind == doClock {
			fmt.Fprintf(&b, " to %v", e.span.Round(time.Millisecond))
		}
	}
	end := "told to end"
	if l.killed {
		end = "killed"
	}
	fmt.Fprintf(&b, ", %s", end)
	if l.damage != nothing {
		fmt.Fprintf(&b, ", %s", l.damage)
	}
	if l.clock != 0 {
		fmt.Fprintf(&b, ", clock off by %v", l.clock.Round(time.Millisecond))
	}
	if l.behind != nil {
		fmt.Fprintf(&b, ", %v", l.behind)
	}
	return b.String()
}
