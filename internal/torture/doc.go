// Package torture drives a real tapway with random traffic while everything around it fails, and
// then asks whether the promises held: every call that a client saw end is accounted for, every
// record is valid, and no secret of the traffic is found anywhere.
//
// One seed makes the plan: how long each life of the process is, how it ends, what is damaged
// while it is down, what is done to it, and every call of every client. In some lives clients call an
// API in front of it, which is attached to tapway and detached by real commands meanwhile: its calls
// are led to tapway or past it. What a newcomer gets
// wrong: the seed repeats the plan, not the timing. Which call is under way when the process is
// killed, and which delivery meets which fault of a destination, differs from run to run, so a
// failure may need several runs of its seed to come back.
//
// What may be missing is said for each call and no more: calls of a sampling rule, calls while
// the disk was full, and records in the very bytes that were torn out of the log.
package torture

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// Options say what is to be tortured and for how long.
type Options struct {
	// Command makes the command tapway with these arguments, to be run in dir. Required.
	Command func(dir string, args ...string) *exec.Cmd

	Dir  string        // an empty directory for everything. Required.
	Seed uint64        // makes the plan
	Time time.Duration // how long calls are made; what is still queued is waited for beyond it

	// Calls is how many calls must have ended at least, however long that takes: on a busy
	// machine little happens in a short time.
	Calls int

	// Disk is a directory on a small file system of its own that may be filled up. "": the disk
	// is never full, but the limit of the data directory is reached.
	Disk string

	// ClockFile is where programs built with .ci/clock read how far their clock is off; Command must
	// make such ones and name it to them. "": the clock does not jump.
	ClockFile string

	// Behind has an API in front of every life, which lasts until all that is to be done to the API is
	// done; else a third of them have one, and it depends.
	Behind bool

	// Log is told what is done. Required.
	Log func(format string, args ...any)
}

// Report is what came of it.
type Report struct {
	Lives    int      // of the process, the last one, in which all is settled, excepted
	Calls    int      // begun
	Ended    int      // whose response a client read to its end, and tapway saw them
	Past     int      // ended too, but an API led them past tapway, so that they have no record
	Excused  int      // of those: may have no record, and has none
	Records  int      // distinct ones at the destination that takes all
	Dead     int      // dead letters at the end
	Faults   []string // how often which fault was made, sorted
	Problems []string // promises that did not hold
}

// problems collects what did not hold, at most a few of each kind.
type problems struct {
	list  []string
	kinds map[string]int
}

const problemsOfAKind = 5

func (p *problems) add(kind, format string, args ...any) {
	if p.kinds == nil {
		p.kinds = map[string]int{}
	}
	if p.kinds[kind]++; p.kinds[kind] <= problemsOfAKind {
		p.list = append(p.list, kind+": "+fmt.Sprintf(format, args...))
	}
}

func (p *problems) all() []string {
	list := p.list
	for kind, n := range p.kinds {
		if n > problemsOfAKind {
			list = append(list, fmt.Sprintf("%s: %d in all", kind, n))
		}
	}
	return list
}

// Run tortures tapway on one machine. An error means that it could not be done to the end, which
// is a failure as well.
func Run(ctx context.Context, o Options) (Report, error) {
	w, err := newWorld(o)
	if err != nil {
		return Report{}, err
	}
	defer w.close()
	if err := w.live(ctx); err != nil {
		return w.report(), err
	}
	err = w.settle(ctx)
	return w.report(), err
}
