package awsconsole

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/tapstate"
)

// queueState is the queue as the console knows it, and what else AWS tells of it.
type queueState struct {
	admin.QueueState
	Tap tapQueues `json:"tap"`
}

type tapQueues struct {
	Queues    []tapQueue          `json:"queues"`
	Functions []tapstate.Function `json:"functions"`
	Window    float64             `json:"window_s"`
	Unread    []tapstate.Unread   `json:"unread"`
	Problems  []string            `json:"problems"`
}

type tapQueue struct {
	tapstate.Queue
	Alarms []tapstate.Alarm `json:"alarms"` // of the queue and of its dead letters
}

// answerQueue tells what is in the queues.
func (c *Console) answerQueue(w http.ResponseWriter, r *http.Request) {
	s, err := c.state(r.Context())
	if err != nil {
		writeError(w, http.StatusBadGateway, err.Error())
		return
	}
	now := time.Now()
	out := queueState{Tap: tapQueues{Queues: []tapQueue{}, Functions: s.Functions, Window: s.Window, Unread: unread(s), Problems: append([]string{}, s.Problems...)}}
	out.Approximate = true
	out.Destinations = []tapway.DestinationStats{}
	for _, q := range s.Queues {
		d := tapway.DestinationStats{Destination: q.Destination, Leased: known(q.InFlight), Dead: known(q.Dead)}
		d.Queued = known(q.Visible) + d.Leased + known(q.Delayed)
		if q.OldestAge != nil && *q.OldestAge > 0 && d.Queued > 0 {
			d.OldestQueued = now.Add(-time.Duration(*q.OldestAge * float64(time.Second))).UTC()
		}
		out.Records += d.Queued + d.Dead
		out.Destinations = append(out.Destinations, d)
		one := tapQueue{Queue: q, Alarms: []tapstate.Alarm{}}
		for _, a := range s.Alarms {
			if a.Queue != "" && (a.Queue == q.Name || a.Queue == q.DeadLetterQueue) {
				one.Alarms = append(one.Alarms, a)
			}
		}
		out.Tap.Queues = append(out.Tap.Queues, one)
	}
	slices.SortFunc(out.Destinations, func(a, b tapway.DestinationStats) int { return cmp.Compare(a.Destination, b.Destination) })
	writeJSON(w, http.StatusOK, out)
}

// unread is what could not be read, never nil.
func unread(s *tapstate.State) []tapstate.Unread { return append([]tapstate.Unread{}, s.Unread...) }

// known is a count, 0 where it is not known: that is told among what could not be read.
func known(n *int) uint64 {
	if n == nil || *n < 0 {
		return 0
	}
	return uint64(*n)
}

// ledgerState is a ledger of a span of time.
type ledgerState struct {
	admin.LedgerState
	Window   float64           `json:"window_s"`
	Known    bool              `json:"known"`     // CloudWatch has a datum
	InBucket uint64            `json:"spilled_n"` // of Stored: SQS did not take them, the bucket did
	InLog    uint64            `json:"logged_n"`  // of Stored: the function's log alone has them
	Returned map[string]uint64 `json:"returned"`  // by destination: given back to the queue, to be tried again
	Unread   []tapstate.Unread `json:"unread"`
}

// answerLedger tells what the functions' own metrics add up to.
func (c *Console) answerLedger(w http.ResponseWriter, r *http.Request) {
	s, err := c.state(r.Context())
	if err != nil {
		writeError(w, http.StatusBadGateway, err.Error())
		return
	}
	l := &s.Ledger
	out := ledgerState{Window: s.Window, Returned: map[string]uint64{}, Unread: unread(s), InBucket: count(l.Spilled), InLog: count(l.Logged)}
	out.Scope = admin.ScopeWindow
	out.Known = l.Calls != nil || l.Captured != nil
	out.Calls, out.Stored, out.Dropped = count(l.Calls), count(l.Captured), map[string]uint64{}
	out.Lines, out.Destinations = map[string]int64{}, []tapway.LedgerLine{}
	for reason, n := range map[string]*float64{"sampled": l.LeftOut, "lost": l.Lost} {
		if count(n) > 0 {
			out.Dropped[reason] = count(n)
		}
	}
	out.Difference = int64(out.Calls) - int64(out.Stored) - int64(count(l.LeftOut)) - int64(count(l.Lost))
	for _, d := range l.Destinations {
		out.Known = out.Known || d.Delivered != nil || d.Dead != nil
		line := tapway.LedgerLine{Destination: d.Destination, Delivered: count(d.Delivered), Dead: count(d.Dead), Dropped: map[string]uint64{}}
		if n := count(d.Filtered); n > 0 {
			line.Dropped["filtered"] = n
		}
		for _, q := range s.Queues {
			if q.Destination == d.Destination {
				line.Queued = known(q.Visible) + known(q.InFlight) + known(q.Delayed)
			}
		}
		line.Captured = line.Delivered + line.Dead + count(d.Filtered) // settled in this time, whenever it was captured
		out.Returned[d.Destination] = count(d.Returned)
		out.Lines[d.Destination] = 0
		out.Destinations = append(out.Destinations, line)
	}
	writeJSON(w, http.StatusOK, out)
}

func count(n *float64) uint64 {
	if n == nil || !(*n > 0) {
		return 0
	}
	return uint64(*n + 0.5)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"message":"the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

func writeError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"message": strings.TrimSpace(message)})
}
