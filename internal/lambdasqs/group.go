package lambdasqs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/record"
)

// threshold is after how many attempts in a row that tell about the destination, not about a
// record, the rest of an event is returned untried.
const threshold = 5

// discards is how many records are removed from their bucket at a time.
const discards = 4

// group is the messages of one event that came from one queue.
type group struct {
	h           *Handler
	queue       string
	destination *Destination
	clock       clock
	all         []int // of messages
	messages    []Message
	failed      []bool

	mu       sync.Mutex
	next     int // of all
	inARow   int
	halted   string // why nothing more is attempted; "" while it is
	failures int
	first    string // reason of the first failure
	spent    []spent
}

// spent is a record of which nobody has any more use.
type spent struct {
	message string
	discard func(context.Context) error
}

func (g *group) run(ctx context.Context) {
	d := g.destination
	if d == nil {
		for _, i := range g.all {
			g.failed[i] = true
		}
		g.h.log().Error("messages of a queue that no destination is configured for stay in it; set TAPWAY_QUEUE or queue to its name",
			"queue", g.queue, "messages", len(g.all))
		return
	}
	n := d.Concurrency
	if n <= 0 {
		n = defaultConcurrency
	}
	var workers sync.WaitGroup
	for range min(n, len(g.all)) {
		workers.Go(func() {
			for chunk := g.take(); len(chunk) > 0; chunk = g.take() {
				g.chunk(ctx, chunk)
			}
		})
	}
	workers.Wait()
	if g.failures > 0 {
		g.h.log().Warn("messages return to their queue", "destination", d.Sender.Name, "messages", g.failures, "of", len(g.all), "first_reason", g.first)
	}
}

// take gives the messages of the next request: one, or as many as the destination's batches
// hold. A message's last attempt is made alone, so that none is given up on for its
// neighbours' sake.
func (g *group) take() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	from, size := g.next, 0
	batch := &g.destination.Sender.Batch
	for g.next < len(g.all) && g.next-from < max(batch.MaxRecords, 1) {
		m := &g.messages[g.all[g.next]]
		if g.next > from && (size+len(m.Body) > maxBytes(batch) || g.last(m)) {
			break
		}
		size += len(m.Body)
		if g.next++; g.last(m) {
			break
		}
	}
	return g.all[from:g.next]
}

func maxBytes(b *delivery.Batch) int {
	if b.MaxBytes <= 0 {
		return 1 << 20
	}
	return b.MaxBytes
}

// last reports whether m's next attempt is the last one, when there are others before it.
func (g *group) last(m *Message) bool { return g.limit() > 1 && m.Receives >= g.limit() }

// limit is how many attempts a message gets; below 0 there is none.
func (g *group) limit() int {
	limit := g.destination.Sender.Retry.MaxAttempts
	if limit == 0 {
		limit = 8 // as delivery.Retry has it
	}
	return limit
}

func timeout(s *delivery.Sender) time.Duration {
	if s.Timeout <= 0 {
		return 10 * time.Second // as delivery.Sender has it
	}
	return s.Timeout
}

// chunk attempts some messages together and settles each.
func (g *group) chunk(ctx context.Context, chunk []int) {
	payloads := make([]Payload, len(chunk))
	outcomes := g.attempt(ctx, chunk, payloads)
	for k, i := range chunk {
		o, m := &outcomes[k], &g.messages[i]
		stays := g.h.settle(ctx, g.clock, g.destination, m, o)
		g.failed[i] = stays
		if payloads[k].Discard != nil && o.Verdict == tapway.Delivered {
			g.mu.Lock()
			g.spent = append(g.spent, spent{m.ID, payloads[k].Discard})
			g.mu.Unlock()
		}
		if stays {
			g.mu.Lock()
			if g.failures++; g.first == "" {
				g.first = o.Reason
			}
			g.mu.Unlock()
		}
		if g.h.Observe != nil {
			g.h.Observe(g.destination.Sender.Name, m, *o)
		}
	}
}

// discard removes what was delivered, some side by side.
func (g *group) discard(ctx context.Context) {
	var running sync.WaitGroup
	slots := make(chan struct{}, discards)
	for _, s := range g.spent {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if err := s.discard(ctx); err != nil { // delivered it is: its lifetime ends the object
				g.h.log().Warn("a delivered record could not be removed from its bucket", "destination", g.destination.Sender.Name, "message", s.message, "error", err)
			}
		})
	}
	running.Wait()
}

// attempt says what becomes of each message. It never panics: a message that trips the
// program must not take its batch along.
func (g *group) attempt(ctx context.Context, chunk []int, payloads []Payload) (outcomes []tapway.Outcome) {
	outcomes = make([]tapway.Outcome, len(chunk))
	defer func() {
		if p := recover(); p != nil {
			for k, i := range chunk { // the panic's value may quote a record: its type must do
				outcomes[k] = g.retry(&g.messages[i], fmt.Sprintf("the forwarder panicked with a %T", p))
				if g.last(&g.messages[i]) {
					outcomes[k].Verdict = tapway.Dead
				}
			}
		}
	}()
	sender := g.destination.Sender
	ctx, cancel := g.clock.attempting(ctx)
	defer cancel()
	if why := g.stopped(); why != "" {
		for k, i := range chunk {
			outcomes[k] = g.retry(&g.messages[i], "not attempted: "+why)
			outcomes[k].Verdict = tapway.Released
		}
		return outcomes
	}
	if !g.clock.enough(timeout(sender)) {
		for k := range chunk {
			outcomes[k] = tapway.Outcome{Verdict: tapway.Released, Reason: reasonNoTime}
		}
		return outcomes
	}
	var batch []tapway.Message
	var at []int // of chunk, by batch
	for k, i := range chunk {
		m, wanted := g.read(ctx, &g.messages[i], &payloads[k], &outcomes[k])
		if wanted {
			batch, at = append(batch, m), append(at, k)
		}
	}
	if len(batch) == 0 {
		return outcomes
	}
	sent := sender.Send(ctx, batch)
	for j, o := range sent {
		if o.Verdict == tapway.Released {
			if ctx.Err() != nil { // cut off, or never begun, because the time was over
				o.Reason = reasonNoTime
			} else {
				o.After = max(o.After, sender.Retry.Delay(batch[j].Attempts+1, 0))
			}
		}
		outcomes[at[j]] = o
	}
	g.note(sent, ctx.Err() != nil)
	return outcomes
}

// read makes the message that is sent. wanted is false when o is final already.
func (g *group) read(ctx context.Context, m *Message, p *Payload, o *tapway.Outcome) (_ tapway.Message, wanted bool) {
	var err error
	if *p, err = g.h.payload(ctx, m); err != nil {
		switch {
		case errors.Is(err, ErrPoison) || errors.Is(err, tapway.ErrNotFound):
			*o = tapway.Outcome{Verdict: tapway.Dead, Reason: "its record cannot be read: " + err.Error()}
		case ctx.Err() != nil:
			*o = tapway.Outcome{Verdict: tapway.Released, Reason: reasonNoTime}
		case errors.Is(err, ErrRefused) && g.limit() > 0 && m.Receives >= g.limit():
			*o = tapway.Outcome{Verdict: tapway.Dead, Reason: "its record could not be fetched: " + err.Error()}
		default:
			*o = g.retry(m, "its record could not be fetched: "+err.Error())
		}
		return tapway.Message{}, false
	}
	ex, err := record.Parse(p.Record)
	if err == nil && ex.ID.IsZero() {
		err = errors.New("it has no id")
	}
	if err != nil {
		*o = tapway.Outcome{Verdict: tapway.Dead, Reason: "it is not a record: " + err.Error()}
		return tapway.Message{}, false
	}
	out := tapway.Message{ID: ex.ID, Attempts: m.Receives - 1, Enqueued: ex.Time, Record: p.Record, Receipt: m.Receipt}
	if out.Attempts > 0 {
		out.FirstAttempt = m.First
	}
	if match := g.destination.Match; match != nil && !match(&out) {
		*o = tapway.Outcome{Verdict: tapway.Dropped, Reason: "filtered"}
		return tapway.Message{}, false
	}
	return out, true
}

func (g *group) retry(m *Message, reason string) tapway.Outcome {
	return tapway.Outcome{Verdict: tapway.Retry, Reason: reason, After: g.destination.Sender.Retry.Delay(m.Receives, 0)}
}

func (g *group) stopped() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.halted
}

// note counts a request that says the destination is down. One that was cut off says nothing.
func (g *group) note(sent []tapway.Outcome, cut bool) {
	o := &sent[0]
	for i := range sent { // an answer to any of them is the better witness
		if sent[i].Verdict == tapway.Delivered {
			o = &sent[i]
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case o.Status == http.StatusGone:
		g.halted = o.Reason
	case !down(o):
		g.inARow = 0
	case !cut:
		if g.inARow++; g.inARow >= threshold {
			g.halted = o.Reason
		}
	}
}

// down reports whether an outcome tells about the destination rather than about a record.
func down(o *tapway.Outcome) bool {
	if o.Verdict == tapway.Delivered {
		return false
	}
	switch o.Status {
	case 0, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
