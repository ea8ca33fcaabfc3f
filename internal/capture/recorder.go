package capture

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
)

const (
	defaultMaxBody = 10 << 20
	defaultMemory  = 64 << 20
	defaultWait    = 10 * time.Second
)

// Decision is what becomes of one call's exchange.
type Decision uint8

const (
	Keep     Decision = iota // store it
	NoBodies                 // store it with its bodies withheld; their sizes and sums stay
	Drop                     // store nothing and count it as "sampled"
)

// Recorder captures the calls that go through the handlers it wraps. Only Queue must be set.
// The fields are not changed after the first Wrap.
type Recorder struct {
	Queue tapway.Queue

	// Redact removes the secrets from an exchange before anything else sees it. When it panics
	// nothing is stored. nil redacts nothing.
	Redact func(*tapway.Exchange)

	// MaxBody is how many bytes of each body are kept: 0 is 10 MiB, below 0 none. The rest
	// passes, and counts in the size and the sum.
	MaxBody int64

	// Memory is what all capture buffers together may take: 0 is 64 MiB. Bodies beyond it wait
	// in temporary files, and an eighth as much again may be on its way there. Finishing large
	// exchanges takes at most half as much again, and at least what one exchange needs.
	//
	// A call that would have to wait longer than 50 ms, in sum, for memory or for those files
	// is stored without the bodies concerned: they are withheld, their sizes and sums stay.
	// Waiting costs no record, and not storing bodies is no reason to Refuse.
	Memory int64

	// SpoolDir is where those files are: "" is os.TempDir. They are encrypted with keys that are
	// only in memory, and unlinked as soon as they are open.
	SpoolDir string

	// Decide is asked once the response is complete, about an exchange without its bodies. That
	// is before redaction: it must not let what it sees out. nil keeps everything.
	Decide func(*tapway.Exchange) Decision

	// Sampled hears of the calls that Decide leaves out, in place of Observe and Ended, and with the exchange as Decide
	// sees it: not redacted, so it must not let out but numbers. nil: Observe and Ended hear of them, redacted.
	Sampled func(*tapway.Exchange)

	// Refuse answers 503 instead of a response whose exchange could not be stored. Such
	// responses are held back whole until then, up to 1 MiB; a longer one, or an event
	// stream, flows, and is broken off before its end when storing fails.
	Refuse bool

	// Wait is the longest that a response waits for the queue: 0 is 10 s. It may take a tenth longer.
	Wait time.Duration

	// Observe hears of every call, also of those that were sampled out or not stored, with the
	// redacted exchange, why it was not stored (nil when it was, or was sampled out), and how
	// long Enqueue took. The exchange is only valid until it returns; when redaction has
	// failed it has neither path nor headers. It runs on the request's goroutine before the
	// response ends.
	Observe func(ex *tapway.Exchange, err error, took time.Duration)

	// Ended hears of every call after Observe, under the same conditions, with the slip that has
	// travelled with it. nil: nobody does.
	Ended func(call *tapway.Call, ex *tapway.Exchange)

	Log *slog.Logger     // nil is slog.Default
	Now func() time.Time // nil is time.Now

	setup     sync.Once
	log       *slog.Logger
	maxBody   int64
	maxMemory int64
	wait      time.Duration
	finishing *budget
	spooling  *budget       // what waits to be written to spool files
	disk      chan struct{} // a place for each spool that works on the disk
	grace     time.Duration // tests may set it
	patience  atomic.Pointer[patience]
	spoolOnce sync.Once
	spoolErr  error

	inFlight   atomic.Int64
	memory     atomic.Int64
	spoolFiles atomic.Int64
	spoolBytes atomic.Int64
	bodiless   atomic.Int64

	complained atomic.Int64 // when the log last heard of a failure, in nanoseconds since 1970
	unsaid     atomic.Int64 // failures since then
}

// Stats is what a Recorder holds at one moment.
type Stats struct {
	InFlight   int64 // calls that have begun and not ended
	Memory     int64 // bytes of capture buffers in use
	SpoolFiles int64 // temporary files in use
	SpoolBytes int64 // bytes in them
}

// Stats is safe to call at any time.
func (c *Recorder) Stats() Stats {
	return Stats{c.inFlight.Load(), c.memory.Load(), c.spoolFiles.Load(), c.spoolBytes.Load()}
}

// Bodiless is how many calls were stored without a body, or both, because there was no memory or
// temporary file to keep it in.
func (c *Recorder) Bodiless() int64 { return c.bodiless.Load() }

// Wrap makes next's calls leave an exchange each. The request that next gets has the
// tapway.Call in its context. It panics when there is no Queue.
func (c *Recorder) Wrap(next http.Handler) http.Handler {
	c.setup.Do(c.defaults)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := c.begin(w, r)
		// Whether next panicked is told by what did not run: recovering would cost the stack
		// that the server logs.
		returned := false
		defer func() { call.finish(returned) }()
		next.ServeHTTP(&call.response, call.req)
		returned = true
	})
}

func (c *Recorder) defaults() {
	if c.Queue == nil {
		panic("capture: a Recorder needs a Queue")
	}
	if c.log = c.Log; c.log == nil {
		c.log = slog.Default()
	}
	if c.maxBody = c.MaxBody; c.maxBody == 0 {
		c.maxBody = defaultMaxBody
	}
	c.maxBody = max(c.maxBody, 0)
	if c.maxMemory = c.Memory; c.maxMemory <= 0 {
		c.maxMemory = defaultMemory
	}
	if c.wait = c.Wait; c.wait <= 0 {
		c.wait = defaultWait
	}
	c.finishing = newBudget(c.maxMemory / 2)
	c.spooling = newBudget(max(c.maxMemory/8, minPending))
	c.disk = make(chan struct{}, maxDisk)
	if c.grace == 0 {
		c.grace = defaultGrace
	}
}

func (c *Recorder) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// reserve takes n bytes of the memory for buffers, if there are as many.
func (c *Recorder) reserve(n int64) bool {
	if c.memory.Add(n) > c.maxMemory {
		c.memory.Add(-n)
		return false
	}
	return true
}

func (c *Recorder) release(n int64) { c.memory.Add(-n) }

// patience is a deadline that the calls of some time share: one timer for all of them.
type patience struct {
	context.Context
	cancel context.CancelFunc // never needed: the deadline always comes
	until  time.Time          // when the next one is due
}

// deadline gives a context that ends after c.wait, or up to a tenth later.
func (c *Recorder) deadline(now time.Time) context.Context {
	p := c.patience.Load()
	if p == nil || now.After(p.until) {
		p = &patience{until: now.Add(c.wait / 10)}
		p.Context, p.cancel = context.WithTimeout(context.Background(), c.wait+c.wait/10)
		c.patience.Store(p)
	}
	return p
}

// complain logs a failure, at most one in a second: under load they come by the thousand.
func (c *Recorder) complain(message string, id tapway.ID, err error) {
	now := time.Now().UnixNano()
	last := c.complained.Load()
	if now-last < int64(time.Second) || !c.complained.CompareAndSwap(last, now) {
		c.unsaid.Add(1)
		return
	}
	c.log.Error(message, "id", id.String(), "error", err, "more", c.unsaid.Swap(0))
}
