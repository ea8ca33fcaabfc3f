package delivery

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/tapway/tapway"
)

const (
	maxAhead  = 4096                   // messages leased before their turn
	maxAsk    = 512                    // received at a time: their sizes are not known before
	aheadTime = 500 * time.Millisecond // as many as are attempted in this time
	paceTime  = 100 * time.Millisecond // measured over at least this time
	maxHeld   = 5 * time.Second        // one that has waited longer for its turn is released
)

// loop is one Run: a single goroutine that decides what is received and attempted when.
// The work is done by the attempt goroutines, the receiver and the settler.
type loop struct {
	w       *Worker
	log     *slog.Logger
	settler *settler

	jobs chan *job
	done chan *job
	ask  chan ask
	got  chan received

	pending       []held
	head          int // of pending: those before it are gone
	pendingBytes  int
	inflight      int
	inflightBytes int
	average       int // stored bytes of a message, as last received

	// ahead is how many messages are leased before their turn. It follows the pace of the
	// destination, because the leases of those received too early would end while they wait.
	ahead     int
	paceSince time.Time
	paceCount int

	search  search
	ordered bool // the queue has positions

	asked        bool               // a Receive is running
	stopReceive  context.CancelFunc // of the last Receive
	receiveAfter time.Time          // after an error of the queue
	receivePause time.Duration
	settlerEnded bool
}

// held is a leased message waiting for its turn.
type held struct {
	tapway.Message
	since time.Time
}

func (h *held) size() int { return len(h.Frame) + len(h.Record) }

// job is one Send.
type job struct {
	batch  []tapway.Message
	bytes  int
	epoch  uint64
	probe  bool
	report report
}

type ask struct {
	ctx context.Context
	n   int
}

type received struct {
	messages []tapway.Message
	err      error
}

func newLoop(w *Worker, log *slog.Logger, settler *settler) *loop {
	n := w.concurrency()
	return &loop{
		w: w, log: log, settler: settler,
		jobs: make(chan *job, n), done: make(chan *job, n),
		ask: make(chan ask, 1), got: make(chan received, 1),
		stopReceive: func() {},
	}
}

// run decides until ctx ends or the queue is closed.
func (l *loop) run(ctx context.Context, settlerEnd <-chan error) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		again := l.step(ctx)
		timer.Reset(again)
		select {
		case <-ctx.Done():
			return nil
		case j := <-l.done:
			l.finish(j)
			for range len(l.done) {
				l.finish(<-l.done)
			}
		case r := <-l.got:
			if err := l.take(ctx, r); err != nil {
				return err
			}
		case err := <-settlerEnd:
			l.settlerEnded = true
			return err
		case <-l.w.wake:
		case <-timer.C:
		}
	}
}

// step starts and asks for what can be, and tells when to look again.
func (l *loop) step(ctx context.Context) (again time.Duration) {
	w := l.w
	now := time.Now()
	again = time.Hour
	w.mu.Lock()
	before := w.breaker.epoch
	room := w.breaker.room(now, l.inflight)
	shut := w.breaker.shut()
	probing, refused := w.breaker.phase == HalfOpen, w.breaker.search
	if w.breaker.phase == Open {
		again = w.breaker.until.Sub(now)
	}
	searching := probing && room > 0 && refused > 0
	aside := l.search.aside(w.breaker.delay)
	if searching && l.waiting() > 1 {
		l.search.pick(l.pending[l.head:])
	}
	for room > 0 && l.waiting() > 0 {
		n, size, wait := l.cut(now, probing)
		if wait > 0 {
			again = min(again, wait)
			break
		}
		if l.inflight > 0 && l.inflightBytes+size > w.maxBytes() {
			break
		}
		l.start(now, n, size)
		room = w.breaker.room(now, l.inflight)
	}
	w.state.InFlight, w.state.Waiting = l.inflight, l.waiting()
	changed := w.breaker.epoch != before
	w.mu.Unlock()
	if changed {
		w.logPhase()
	}
	if searching && room == 0 { // the probe has started
		l.releaseWaiting(aside)
	}
	if l.waiting() > 0 {
		held := now.Sub(l.pending[l.head].since) - w.Sender.Batch.MaxWait
		if held >= maxHeld {
			l.ahead = 0
			l.releaseWaiting(0)
		} else {
			again = min(again, maxHeld-held)
		}
	}
	if shut {
		l.stopReceive()
		l.releaseWaiting(0)
		l.ahead, l.paceSince, l.paceCount = 0, now, 0 // what comes after starts carefully
		return again
	}
	if wait := l.receive(ctx, now, room, probing, refused); wait > 0 {
		again = min(again, wait)
	}
	return again
}

func (l *loop) waiting() int { return len(l.pending) - l.head }

// cut tells how many of the waiting messages make the next batch, how many bytes that is,
// and how long to wait for more to come. A message's last attempt is made alone, so that
// none is given up on for its neighbours' sake.
func (l *loop) cut(now time.Time, probing bool) (n, size int, wait time.Duration) {
	batch, retry := &l.w.Sender.Batch, &l.w.Sender.Retry
	waiting := l.pending[l.head:]
	most := batch.records()
	if probing {
		most = 1
	}
	alone := func(i int) bool {
		made := waiting[i].Attempts
		return retry.last(made) && (made > 0 || retry.maxAttempts() > 1)
	}
	for n < len(waiting) && n < most {
		if n > 0 && (size+waiting[n].size() > batch.bytes() || alone(n)) {
			return n, size, 0
		}
		size += waiting[n].size()
		n++
		if alone(n - 1) {
			return n, size, 0
		}
	}
	if n < most {
		wait = max(waiting[0].since.Add(batch.MaxWait).Sub(now), 0)
	}
	return n, size, wait
}

// start hands the first n waiting messages to an attempt goroutine. It needs w.mu.
func (l *loop) start(now time.Time, n, size int) {
	waiting := l.pending[l.head : l.head+n]
	j := &job{batch: make([]tapway.Message, n), bytes: size}
	for i := range waiting {
		j.batch[i] = waiting[i].Message
	}
	l.forget(n)
	j.epoch, j.probe = l.w.breaker.begin()
	if j.probe {
		l.search.try(j.batch[0].ID)
	}
	l.inflight++
	l.inflightBytes += size
	l.jobs <- j // never blocks: there is room for every attempt that may run
}

// forget lets go of the first n waiting messages.
func (l *loop) forget(n int) {
	for i := range l.pending[l.head : l.head+n] {
		l.pendingBytes -= l.pending[l.head+i].size()
	}
	clear(l.pending[l.head : l.head+n])
	l.head += n
	if l.head == len(l.pending) {
		l.pending, l.head = l.pending[:0], 0
	}
}

// receive asks the queue for more when it is time, and tells how long to wait otherwise.
func (l *loop) receive(ctx context.Context, now time.Time, room int, probing bool, refused int) (wait time.Duration) {
	if l.asked || l.settler.backlog() > maxUnsettled {
		return 0 // an answer or a settlement will wake the loop
	}
	if now.Before(l.receiveAfter) {
		return l.receiveAfter.Sub(now)
	}
	n := 1
	if probing {
		if room == 0 || l.waiting() > 0 {
			return 0
		}
		n = l.toPick(refused)
	} else {
		n = max(l.ahead, room*l.w.Sender.Batch.records()) - l.waiting()
		if n <= 0 || room == 0 && n < l.ahead/2 {
			return 0
		}
		left := l.w.maxBytes()/2 - l.pendingBytes
		if left <= 0 {
			return 0
		}
		if l.average > 0 {
			n = min(n, max(left/l.average, 1))
		}
		n = min(n, maxAsk)
	}
	rctx, cancel := context.WithCancel(ctx)
	l.stopReceive = cancel
	l.asked, l.search.asked = true, n
	l.ask <- ask{rctx, n}
	return 0
}

// toPick is how many messages to receive for the next probe. An engine without positions has no
// order in which refused records could come before others.
func (l *loop) toPick(refused int) int {
	n := l.search.size(refused)
	switch {
	case !l.ordered:
		return 1
	case l.average > 0:
		return min(n, max(l.w.maxBytes()/2/l.average, 1))
	}
	return min(n, maxAsk)
}

// take files what the queue gave.
func (l *loop) take(ctx context.Context, r received) error {
	l.asked = false
	l.stopReceive()
	switch {
	case r.err == nil:
		l.receivePause = 0
	case final(r.err):
		return r.err
	case ctx.Err() == nil && !errors.Is(r.err, context.Canceled):
		l.receivePause = min(max(2*l.receivePause, 100*time.Millisecond), 10*time.Second)
		l.receiveAfter = time.Now().Add(l.receivePause)
		l.log.Error("cannot receive from the queue; trying again", "in", l.receivePause.String(), "error", r.err)
	}
	now := time.Now()
	var unwanted []tapway.Message
	bytes := 0
	if l.head > len(l.pending)/2 { // before append copies what is gone
		n := copy(l.pending, l.pending[l.head:])
		clear(l.pending[n:])
		l.pending, l.head = l.pending[:n], 0
	}
	for i := range r.messages {
		m := &r.messages[i]
		if l.w.Match != nil && !l.w.Match(m) {
			unwanted = append(unwanted, *m)
			continue
		}
		h := held{*m, now}
		l.pending = append(l.pending, h)
		bytes += h.size()
	}
	if kept := len(r.messages) - len(unwanted); kept > 0 {
		l.average = bytes / kept
		l.pendingBytes += bytes
	}
	if len(r.messages) > 0 {
		l.ordered = r.messages[0].Seq > 0
		l.search.received(len(r.messages), bytes)
	}
	if len(unwanted) > 0 {
		l.settleAll(unwanted, tapway.Outcome{Verdict: tapway.Dropped, Reason: "filtered"})
	}
	return nil
}

// settleAll gives one outcome to messages that were not attempted.
func (l *loop) settleAll(messages []tapway.Message, o tapway.Outcome) {
	outcomes := make([]tapway.Outcome, len(messages))
	l.w.mu.Lock()
	for i := range outcomes {
		outcomes[i] = o
		l.w.state.count(o.Verdict)
	}
	l.w.mu.Unlock()
	l.settler.add(messages, outcomes)
}

// releaseWaiting puts back what was leased and has not been attempted; it is due again after
// the time given.
func (l *loop) releaseWaiting(after time.Duration) {
	if l.waiting() == 0 {
		return
	}
	messages := make([]tapway.Message, 0, l.waiting())
	for _, h := range l.pending[l.head:] {
		messages = append(messages, h.Message)
	}
	l.forget(len(messages))
	l.settleAll(messages, tapway.Outcome{Verdict: tapway.Released, After: after})
}

// finish books an attempt.
func (l *loop) finish(j *job) {
	l.inflight--
	l.inflightBytes -= j.bytes
	w := l.w
	r := &j.report
	now := time.Now()
	l.pace(now, len(j.batch))
	w.mu.Lock()
	before := w.breaker.epoch
	w.breaker.end(now, j.epoch, r)
	changed := w.breaker.epoch != before
	s := &w.state
	s.Requests += uint64(r.requests)
	s.Bytes += uint64(r.bytes)
	for i := range r.outcomes {
		s.count(r.outcomes[i].Verdict)
	}
	if r.accepted {
		s.LastSuccess = now
		l.search.tried = nil
	}
	if r.failure.class != 0 && r.failure.class != Stopped {
		s.LastFailure, s.LastError = now, r.failure.reason
	}
	s.InFlight = l.inflight
	w.mu.Unlock()
	if changed {
		w.logPhase()
	}
}

// pace counts attempted messages and sets ahead from them.
func (l *loop) pace(now time.Time, n int) {
	l.paceCount += n
	passed := now.Sub(l.paceSince)
	if passed < paceTime {
		return
	}
	l.ahead = int(min(float64(l.paceCount)*float64(aheadTime)/float64(passed), maxAhead))
	l.paceSince, l.paceCount = now, 0
}

// drain takes what came in while the loop was ending.
func (l *loop) drain() {
	for range len(l.done) {
		l.finish(<-l.done)
	}
	select {
	case r := <-l.got:
		l.take(context.Background(), r) // an error no longer matters
	default:
	}
	l.releaseWaiting(0)
	l.w.mu.Lock()
	l.w.state.Waiting = 0
	l.w.mu.Unlock()
}

// receiver receives whenever it is asked to.
func (l *loop) receiver() {
	for a := range l.ask {
		messages, err := l.w.Sub.Receive(a.ctx, a.n)
		l.got <- received{messages, err}
	}
}

// attempts makes attempts until there are no more jobs.
func (l *loop) attempts(ctx context.Context) {
	for j := range l.jobs {
		j.report = l.w.Sender.send(ctx, j.batch)
		l.amend(j)
		l.settler.add(j.batch, j.report.outcomes)
		if r := &j.report; r.failure.class != 0 && r.failure.class != Stopped {
			l.w.failures.write(l.log, time.Now(), len(j.batch), j.batch[0].Attempts+1, r)
		}
		l.done <- j
	}
}

// amend applies what only a Worker can promise: it keeps a gone destination's records in the
// queue itself, and neither a probe nor a 429 is a record's end: that one says that tapway was
// too fast.
func (l *loop) amend(j *job) {
	for i := range j.report.outcomes {
		o := &j.report.outcomes[i]
		switch {
		case o.Verdict == tapway.Released:
			o.After = 0
		case o.Verdict == tapway.Dead && (j.probe && j.report.requests > 0 || o.Status == http.StatusTooManyRequests):
			*o = tapway.Outcome{Verdict: tapway.Released, Reason: j.report.failure.reason, Status: o.Status,
				After: l.w.Sender.Retry.Delay(j.batch[i].Attempts+1, j.report.failure.retryAfter)}
		}
	}
}
