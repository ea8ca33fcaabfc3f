package capture

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tapway/tapway"
)

// What a record says went wrong when no stage has said so itself.
const (
	errorClientGone = "client went away"
	errorTimedOut   = "timed out"
	errorBroken     = "the response broke off"
	errorShort      = "the response is shorter than its Content-Length"
	errorNotStored  = "could not be recorded"
)

// bigExchange is from how many bytes of bodies in memory on a call asks for the memory to finish it.
const bigExchange = 512 << 10

// call is one call on its way, in one piece of memory. It is only reused after an Answer: a transport
// may read the body, and a dialler write the Call, after the handler has returned.
type call struct {
	tapway.Call
	*scratch
	rec      *Recorder
	facts    *tapway.Facts // nil on tapway's own listener
	in       *http.Request // the server's
	req      *http.Request // what next gets
	body     requestBody
	response response
	grace    grace
	waiting  enqueueContext
	sampled  bool // left out by Decide
}

// scratch is what a call needs until it is stored. It is reused: nobody else has seen it.
type scratch struct {
	spare   *call // an empty one; nil if there is none
	ex      tapway.Exchange
	request keeper
	answer  keeper
	tail    [maxTail]byte // behind response.held when there is little of it
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (c *Recorder) begin(w http.ResponseWriter, r *http.Request) *call {
	c.inFlight.Add(1)
	s := scratches.Get().(*scratch)
	l := s.spare
	if s.spare = nil; l == nil {
		l = new(call)
	}
	l.rec, l.in, l.scratch = c, r, s
	l.Start = c.now()
	l.ID = tapway.NewID(l.Start)
	l.request.rec, l.answer.rec = c, c
	l.grace.reset(c.grace)
	l.request.grace, l.answer.grace = &l.grace, &l.grace
	l.response.call, l.response.w = l, w
	if l.facts = tapway.FactsFrom(r.Context()); l.facts != nil {
		l.Front, l.API, l.Fidelity = l.facts.Front, l.facts.API, l.facts.Fidelity
	}
	takeRequest(&l.ex, r)

	l.req = tapway.AttachCall(r, &l.Call)
	if hasBody(r) {
		l.request.hint = max(r.ContentLength, 0)
		l.body.call, l.body.src = l, r.Body
		l.req.Body = &l.body
		if r.ProtoMajor == 1 {
			// Without this net/http may discard the rest of the request when the response
			// begins. Servers that need not be told do not know it.
			_ = http.NewResponseController(w).EnableFullDuplex()
		}
	}
	return l
}

// since is the time since the call began.
func (l *call) since() time.Duration {
	if l.rec.Now != nil {
		return l.rec.Now().Sub(l.Start)
	}
	return time.Since(l.Start)
}

// finish stores the exchange and then lets go of what completes the response. returned is
// false when the handler panicked: then the response stays incomplete.
func (l *call) finish(returned bool) {
	r := &l.response
	if returned && !r.wroteHeader && r.tunnel == nil && l.in.Context().Err() == nil {
		r.WriteHeader(http.StatusOK) // as the server would
	}
	r.over = true
	blocked := r.blocked + l.body.end()
	l.takeFacts(returned)
	err := l.store(blocked)

	defer l.free()
	switch {
	case r.tunnel != nil || !returned:
	case err != nil && l.rec.Refuse:
		r.refuse()
	case r.wroteHeader:
		_ = r.sendHeld() // a client that leaves now had its exchange stored
	}
}

// takeFacts writes what is known once the handler is done, save durations and bodies.
func (l *call) takeFacts(returned bool) {
	ex, r := &l.ex, &l.response
	ex.ID, ex.Time = l.ID, l.Start
	ex.Connect, ex.FirstByte = l.Connect, l.FirstByte
	if l.Trace != nil {
		ex.TraceID = l.Trace.ID
	}
	ex.Front, ex.Origin, ex.Route, ex.Error = l.Front, l.Origin, l.Route, l.Error
	if ex.Front == "" {
		ex.Front = tapway.FrontServer
	}
	if ex.Origin == "" {
		ex.Origin = tapway.OriginGateway
	}
	if ex.ClientIP = l.ClientIP; ex.ClientIP == "" {
		ex.ClientIP = remoteIP(l.in)
	}
	ex.API, ex.Fidelity, ex.PathParams = l.API, l.Fidelity, l.Params
	ex.Status = r.status
	if t := r.tunnel; t != nil {
		if ex.Status == 0 {
			ex.Status = http.StatusSwitchingProtocols
		}
		in, out := t.in.Load(), t.out.Load()
		ex.Request = tapway.Body{Size: in, Truncated: in > 0}
		ex.Response = tapway.Body{Size: out, Truncated: out > 0}
	} else {
		// More was announced than anyone has read.
		ex.Request.Truncated = hasBody(l.in) && !l.body.eof && (l.in.ContentLength < 0 || l.request.size < l.in.ContentLength)
		ex.Response.Truncated = r.cutShort(returned)
		if r.wroteHeader && !r.answered {
			r.takeTrailer()
		}
	}
	if ex.Error == "" {
		ex.Error = l.whatWentWrong(returned)
	}
	if l.facts != nil {
		l.takeFront(returned)
	}
}

// whatWentWrong is for when no stage has said so itself.
func (l *call) whatWentWrong(returned bool) string {
	r := &l.response
	switch gone := l.in.Context().Err(); {
	case r.tunnel != nil && returned:
	case errors.Is(gone, context.DeadlineExceeded):
		return errorTimedOut
	case gone != nil || r.failed:
		return errorClientGone
	case !returned:
		return errorBroken
	case r.short():
		return errorShort
	}
	return ""
}

// takeFront writes what became of the response on its way through an AWS front.
func (l *call) takeFront(returned bool) {
	ex, f := &l.ex, l.facts
	if len(ex.ResponseTrailer) > 0 {
		ex.Fidelity = append(ex.Fidelity[:len(ex.Fidelity):len(ex.Fidelity)], tapway.FidelityResponseTrailers)
	}
	if f.Problem != "" {
		ex.Error = f.Problem
	}
	if f.Problem != "" || f.Whole && (!returned || l.response.short()) {
		ex.Status = http.StatusBadGateway
	}
}

// takeTimes ends the exchange's clock: what follows is not in its record. The backend's time and
// the client's are subtracted as their stages measured them; where they overlap, the
// overhead is too small, never below 0. A tunnel has none.
func (l *call) takeTimes(blocked time.Duration) {
	ex := &l.ex
	ex.Duration, ex.Access = l.since(), l.Access
	ex.Overhead = max(ex.Duration-l.Backend-blocked, 0)
	if l.response.tunnel != nil {
		ex.Overhead = 0
	}
}

// store makes the exchange durable and tells the observer. It never panics: the response goes
// on whatever happens here.
func (l *call) store(blocked time.Duration) error {
	took, err := l.enqueue(blocked)
	if err != nil {
		l.rec.complain("exchange not stored", l.ID, err)
		if l.rec.Refuse && l.response.lateHead != nil { // what the client will get instead
			l.ex.Status, l.ex.Origin, l.ex.Error = http.StatusServiceUnavailable, tapway.OriginGateway, errorNotStored
		}
	}
	l.tell(err, took)
	return err
}

// tell lets those who watch know of the call.
func (l *call) tell(err error, took time.Duration) {
	defer func() {
		if p := recover(); p != nil {
			l.rec.complain("observer failed", l.ID, fmt.Errorf("it panicked with a %T", p))
		}
	}()
	if l.sampled && l.rec.Sampled != nil {
		l.rec.Sampled(&l.ex)
		return
	}
	if l.rec.Observe != nil {
		l.rec.Observe(&l.ex, err, took)
	}
	if l.rec.Ended != nil {
		l.rec.Ended(&l.Call, &l.ex)
	}
}

// enqueue decides, redacts and enqueues. Afterwards the exchange is redacted, or empty. The queue
// hears of the call exactly once, by Enqueue or by Drop.
func (l *call) enqueue(blocked time.Duration) (took time.Duration, err error) {
	told := false
	defer func() {
		if p := recover(); p != nil {
			// The value may quote what redaction was looking at: its type must do.
			err = fmt.Errorf("capture panicked with a %T", p)
			l.ex = l.unreadable()
			if !told {
				l.rec.Queue.Drop("defect")
			}
		}
	}()
	l.takeTimes(blocked)
	ex := &l.ex
	ex.RequestSize, ex.ResponseSize = max(ex.Request.Size, l.request.size), max(ex.Response.Size, l.answer.size)
	decision := Keep
	if l.rec.Decide != nil {
		decision = l.rec.Decide(ex)
	}
	if decision == Drop {
		told, l.sampled = true, true
		l.rec.Queue.Drop("sampled")
		l.withoutBodies()
		return 0, nil
	}
	claimed := int64(0)
	defer func() {
		if claimed > 0 { // most calls have asked for none, and need not meet at its lock
			l.rec.finishing.release(claimed)
		}
	}()
	if decision == Keep {
		if claimed, err = l.claim(); err != nil {
			decision = NoBodies
			l.request.err = errors.Join(l.request.err, fmt.Errorf("wait for memory to finish an exchange: %w", err))
			err = nil
		}
	}
	l.takeBodies(decision)
	l.redact()
	if need := l.request.extra(&l.ex.Request) + l.answer.extra(&l.ex.Response); need < claimed {
		l.rec.finishing.release(claimed - need) // others need not wait for this one's commit
		claimed = need
	}
	l.takeTimes(blocked)
	start := l.Start.Add(ex.Duration)
	if l.rec.Now != nil {
		start = time.Now()
	}
	told = true
	err = l.rec.Queue.Enqueue(l.enqueueContext(start), ex)
	return time.Since(start), err
}

// claim takes the memory to finish the exchange, within the grace: redacting and framing make up to two
// copies of the bodies, and loading another. Small ones that are in memory already need not ask.
func (l *call) claim() (got int64, err error) {
	size := 2 * (l.request.kept + l.answer.kept)
	for _, k := range [...]*keeper{&l.request, &l.answer} {
		if k.spool != nil {
			size += k.kept
		}
	}
	if size < 2*bigExchange && l.request.spool == nil && l.answer.spool == nil {
		return 0, nil
	}
	return l.grace.take(l.rec.finishing, size)
}

func (l *call) redact() {
	if l.rec.Redact != nil {
		l.rec.Redact(&l.ex)
	}
}

// withoutBodies makes what an observer may see of an exchange that is not stored.
func (l *call) withoutBodies() {
	l.ex.Request = tapway.Body{Size: l.ex.RequestSize, Withheld: true}
	l.ex.Response = tapway.Body{Size: l.ex.ResponseSize, Withheld: true}
	if l.rec.Sampled == nil && (l.rec.Observe != nil || l.rec.Ended != nil) {
		l.redact()
	}
}

// unreadable is what is left of an exchange when redaction has failed: nothing that a client chose.
func (l *call) unreadable() tapway.Exchange {
	m := &l.ex.Meta
	return tapway.Exchange{Meta: tapway.Meta{
		ID: m.ID, Time: m.Time, Duration: m.Duration, Overhead: m.Overhead, Access: m.Access, Connect: m.Connect, FirstByte: m.FirstByte,
		Front: m.Front, Origin: m.Origin, Route: m.Route, Status: m.Status, Error: m.Error,
		RequestSize: m.RequestSize, ResponseSize: m.ResponseSize,
	}}
}

// takeBodies moves what was kept into the exchange. A tunnel's bytes were only counted.
func (l *call) takeBodies(decision Decision) {
	if l.response.tunnel != nil {
		return
	}
	if decision == NoBodies {
		l.request.withheld(&l.ex.Request)
		l.answer.withheld(&l.ex.Response)
	} else {
		l.request.body(&l.ex.Request)
		l.answer.body(&l.ex.Response)
	}
	if err := errors.Join(l.request.err, l.answer.err); err != nil {
		l.rec.bodiless.Add(1)
		l.rec.complain("recorded without its body", l.ID, err)
	}
}

// free gives back what the call has held.
func (l *call) free() {
	l.rec.release(l.response.reserved)
	l.response.held, l.response.lateHead = nil, nil
	s := l.scratch
	s.request.free()
	s.answer.free()
	s.ex = tapway.Exchange{
		RequestHeader:   emptied(s.ex.RequestHeader),
		ResponseHeader:  emptied(s.ex.ResponseHeader),
		RequestTrailer:  emptied(s.ex.RequestTrailer),
		ResponseTrailer: emptied(s.ex.ResponseTrailer),
	}
	l.rec.inFlight.Add(-1)
	if l.response.answered {
		*l = call{}
		s.spare = l
	}
	l.scratch = nil
	scratches.Put(s)
}

// emptied keeps the room of a header for the next call, unless a flood has made it large.
func emptied(h tapway.Header) tapway.Header {
	if cap(h) > 128 {
		return nil
	}
	clear(h)
	return h[:0]
}

// enqueueContext outlives the client, because its call is to be recorded even when it has
// gone, but not the Recorder's Wait. It carries the values of the call's own context, except after
// an Answer: then nobody may keep that.
type enqueueContext struct {
	context.Context
	values context.Context
}

func (l *call) enqueueContext(now time.Time) context.Context {
	if l.response.answered {
		return l.rec.deadline(now)
	}
	l.waiting = enqueueContext{l.rec.deadline(now), l.in.Context()}
	return &l.waiting
}

// Value asks the deadline first, so that the context package finds its own in there.
func (c *enqueueContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.values.Value(key)
}
