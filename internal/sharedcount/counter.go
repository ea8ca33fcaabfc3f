package sharedcount

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/awsdynamo"
)

// Store is where the counts are. awsdynamo.Client is one.
type Store interface {
	// Add adds n, which may be below 0, to a count and gives what it is then. If it was above most before it
	// adds nothing, and used is what it is. The count may be forgotten after expires.
	Add(ctx context.Context, id string, n, most int64, expires time.Time) (used int64, added bool, err error)

	// Read gives a count; of one that is not there it is 0.
	Read(ctx context.Context, id string) (int64, error)
}

const (
	// DefaultWait is how long a call waits for the store at most.
	DefaultWait = 50 * time.Millisecond

	askTime    = 2 * time.Second  // for one request to the store
	retryAfter = time.Second      // after which a store that could not be reached is asked again
	returnTime = 2 * time.Second  // for giving leases back when the process ends
	idleAfter  = time.Minute      // after which a lease that nobody uses is given back
	lookEvery  = 20 * time.Second // for those
	keepAfter  = 24 * time.Hour   // how long a count is kept when its window is over
	noLimit    = int64(1) << 62
)

// Counter is made by its fields; Store must be set. It is safe for concurrent use.
type Counter struct {
	Store  Store
	Prefix string        // of all names in the store: gateways with different ones do not count together
	Wait   time.Duration // how long a call waits for the store at most; 0 is DefaultWait
	Refuse bool          // calls that cannot be counted are refused; otherwise they are served, and counted later
	Log    *slog.Logger  // nil is slog.Default

	now func() time.Time // nil: time.Now; for tests

	mu       sync.Mutex
	tallies  map[string]*tally
	asking   int           // requests to the store under way
	quiet    chan struct{} // closed when asking becomes 0; nil: nobody waits for that
	down     time.Time     // since when the store cannot be reached; zero: it can
	retry    time.Time     // when it is asked again
	slow     bool          // a call has waited in vain, and nothing has been heard since: no other waits
	unserved int64         // calls that were not counted in time since then
}

var (
	_ access.Counter = (*Counter)(nil)
	_ access.Rates   = (*Counter)(nil)
	_ Store          = (*awsdynamo.Client)(nil)
)

// quotas are leased for the next ten seconds of calls, and one in a hundred of the limit at most; rates,
// whose windows are about a second, for a quarter of it, and one in eight of the limit at most.
var (
	quotas = lease{ahead: 10 * time.Second, part: 100, again: time.Second}
	rates  = lease{ahead: 250 * time.Millisecond, part: 8, again: time.Hour}
)

// Tally is access.Counter.
func (c *Counter) Tally(key string) access.Tally { return c.tally("quota/"+key, quotas) }

// Rate is access.Rates.
func (c *Counter) Rate(name string) access.Tally { return c.tally("rate/"+name, rates) }

func (c *Counter) tally(name string, l lease) access.Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tallies[name]
	if t == nil {
		if c.tallies == nil {
			c.tallies = map[string]*tally{}
		}
		t = &tally{counter: c, name: name, lease: l}
		c.tallies[name] = t
	}
	return t
}

// Accuracy is access.Counter.
func (c *Counter) Accuracy() string {
	text := "never above a quota, over all processes; each has up to 1 % of it, or one call, reserved, which is lost with a process that is killed"
	if c.Refuse {
		return text + "; while the store cannot be reached, calls are refused once what is reserved is used up"
	}
	return text + "; while the store cannot be reached, calls are served and counted afterwards"
}

// id is what the store knows a window of a count by.
func (c *Counter) id(name string, start int64) string {
	return c.Prefix + name + "/" + strconv.FormatInt(start, 10)
}

// Used is what the store has counted for a key in a window, what processes have reserved included.
func (c *Counter) Used(ctx context.Context, key string, start int64) (int64, error) {
	return c.Store.Read(ctx, c.id("quota/"+key, start))
}

// Move adds what the store has counted for one key in a window to what it has for another, and takes it away there. When it is
// called again after an error a call may count twice, and none is lost.
func (c *Counter) Move(ctx context.Context, from, to string, start, end int64) error {
	used, err := c.Used(ctx, from, start)
	if err != nil || used <= 0 {
		return err
	}
	expires := time.Unix(end, 0).Add(keepAfter)
	if _, _, err = c.Store.Add(ctx, c.id("quota/"+to, start), used, noLimit, expires); err != nil {
		return err
	}
	_, _, err = c.Store.Add(ctx, c.id("quota/"+from, start), -used, noLimit, expires)
	return err
}

func (c *Counter) time() time.Time {
	if c.now != nil {
		return c.now()
	}
	return time.Now()
}

func (c *Counter) wait() time.Duration {
	if c.Wait > 0 {
		return c.Wait
	}
	return DefaultWait
}

func (c *Counter) log() *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	return slog.Default()
}

// mayAsk reports whether the store is worth asking now. While it is away one request tries it each retryAfter.
func (c *Counter) mayAsk(now time.Time) (ask, wait bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down.IsZero() {
		return true, !c.slow
	}
	if now.Before(c.retry) {
		return false, false
	}
	c.retry = now.Add(retryAfter)
	return true, false
}

// begin and end go around a request to the store.
func (c *Counter) begin() {
	c.mu.Lock()
	c.asking++
	c.mu.Unlock()
}

func (c *Counter) end() {
	c.mu.Lock()
	if c.asking--; c.asking == 0 {
		c.slow = false
		if c.quiet != nil {
			close(c.quiet)
			c.quiet = nil
		}
	}
	c.mu.Unlock()
}

// Settle waits until no request to the store is under way, or ctx ends. A Lambda function calls it before it
// may be frozen.
func (c *Counter) Settle(ctx context.Context) {
	c.mu.Lock()
	if c.asking == 0 {
		c.mu.Unlock()
		return
	}
	if c.quiet == nil {
		c.quiet = make(chan struct{})
	}
	quiet := c.quiet
	c.mu.Unlock()
	select {
	case <-quiet:
	case <-ctx.Done():
	}
}

// heard notes whether the store answered; a change is logged once.
func (c *Counter) heard(err error) {
	now := c.time()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow = false
	switch {
	case err != nil && c.down.IsZero():
		c.down, c.retry, c.unserved = now, now.Add(retryAfter), 0
		what := "calls beyond what is reserved are served, and counted when it answers again"
		if c.Refuse {
			what = "calls beyond what is reserved are refused with 503"
		}
		c.log().Error("the shared counters cannot be reached: "+what+"; look at access.counters, the table's name and region, and the permission for dynamodb:UpdateItem", "err", err)
	case err != nil:
		c.retry = now.Add(retryAfter)
	case !c.down.IsZero():
		c.log().Info("the shared counters answer again", "after", now.Sub(c.down).Round(time.Millisecond).String(), "calls_without", c.unserved)
		c.down = time.Time{}
	}
}

// inVain notes that a call has waited for as long as it may.
func (c *Counter) inVain() {
	c.mu.Lock()
	c.slow = c.asking > 0
	c.mu.Unlock()
}

// without says what becomes of a call that the store has not been asked about in time.
func (c *Counter) without() access.Admission {
	c.mu.Lock()
	c.unserved++
	c.mu.Unlock()
	if c.Refuse {
		return access.Unknown
	}
	return access.Counted
}

// Run gives leases back that nobody uses, and when ctx ends all of them.
func (c *Counter) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.giveBack(ctx, false)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTime)
			defer cancel()
			c.Settle(last)
			c.giveBack(last, true)
			return nil
		}
	}
}

// giveBack returns idle leases, or all of them.
func (c *Counter) giveBack(ctx context.Context, all bool) {
	c.mu.Lock()
	list := make([]*tally, 0, len(c.tallies))
	for _, t := range c.tallies {
		list = append(list, t)
	}
	c.mu.Unlock()
	room := make(chan struct{}, 16)
	var returning sync.WaitGroup
	for _, t := range list {
		if ctx.Err() != nil {
			break
		}
		room <- struct{}{}
		returning.Go(func() {
			t.giveBack(ctx, all)
			<-room
		})
	}
	returning.Wait()
}
