package diskqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/tapway/tapway"
)

// Durability says when Enqueue returns.
type Durability uint8

const (
	// Commit: when the record is on the disk and survives a power cut.
	Commit Durability = iota
	// Write: when the operating system has it. It survives a kill at any moment; a power cut
	// may take the last 10 ms.
	Write
)

// Options tune a queue. The zero value is ready to use.
type Options struct {
	Durability Durability

	// SegmentBytes is the size of one log file; 0 means 64 MiB, or a sixteenth of MaxBytes if
	// that is less. It is also how finely space is given back.
	SegmentBytes int64

	// MaxBytes limits the directory: the log with its history, what is preallocated of it, the
	// indexes and the state; 0 means 10 GiB, negative none. When it is reached the oldest history
	// goes first; when only records are left that somebody is still owed, Enqueue fails with
	// tapway.ErrQueueFull and the ledger counts "queue-full". Half of it is always the log's, so
	// that a limit of less than a few MiB can be exceeded by the files beside it.
	MaxBytes int64

	History History

	// Lease is how long a received message is kept from others; 0 means two minutes. It must
	// be longer than any attempt takes.
	Lease time.Duration

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: discards

	maxHeld int // for tests; 0 means the constant
}

// History is how long records stay when nobody is owed them any more.
type History struct {
	MaxAge   time.Duration // 0: 24 hours; negative: none is kept
	MaxBytes int64         // 0: 1 GiB; negative: none is kept
}

func (o Options) withDefaults() Options {
	def := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
	}
	def(&o.MaxBytes, 10<<30)
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
		if o.MaxBytes > 0 {
			o.SegmentBytes = min(o.SegmentBytes, max(o.MaxBytes/16, 64<<10))
		}
	}
	o.SegmentBytes = min(max(o.SegmentBytes, 4<<10), 1<<30)
	def(&o.History.MaxBytes, 1<<30)
	if o.History.MaxAge == 0 {
		o.History.MaxAge = 24 * time.Hour
	}
	if o.Lease <= 0 {
		o.Lease = 2 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// ErrLocked says that another process has the data directory open.
var ErrLocked = errors.New("the data directory is in use")

// InUse reports whether a process has the queue in dir open.
func InUse(dir string) bool {
	path := filepath.Join(dir, "LOCK")
	if _, err := os.Stat(path); err != nil {
		return false
	}
	lock, err := lockDir(path)
	if err == nil {
		lock.Close()
	}
	return errors.Is(err, ErrLocked)
}

const (
	// flushEvery is how long a settlement may wait to be written down.
	flushEvery = 100 * time.Millisecond
	// flushAt is how many may wait.
	flushAt = 10_000
	// reserveSize is kept free for writing down settlements on a full disk.
	reserveSize = 1 << 20
)

// Queue is a queue on disk. It is safe for concurrent use.
type Queue struct {
	dir     string
	o       Options
	fs      files
	key     logKey
	maxHeld int

	lock     *os.File
	counters *counters
	state    *stateDB
	segs     segments
	w        writer

	opened  time.Time     // what is waited for is timed from here; see ticks
	last    atomic.Uint64 // the newest durable position
	used    atomic.Int64  // bytes of all segments
	besides atomic.Int64  // bytes of all other files, at the last look
	arrived broadcast
	scans   turns // of searches, while records come in

	storedMu sync.Mutex // last and stored change together
	stored   uint64     // calls that were stored

	flushMu   sync.Mutex // one flush, resolve, forget or retention at a time; before any dest.mu
	believed  believed
	lastFlush atomic.Int64
	roomTried atomic.Int64

	destMu    sync.RWMutex
	dests     map[string]*dest
	loseNames bool // state and names were lost: unknown destinations begin at the oldest record

	running  atomic.Bool
	kick     chan struct{} // something to write down
	tidyKick chan struct{} // something to delete or index
	closing  chan struct{}
	useMu    sync.RWMutex // held for reading by every call that touches files
	closed   bool
	closeErr error
	once     sync.Once
}

// Open opens the data directory dir, makes it when it does not exist, and repairs what a
// crash has left. It does not start anything; see Run. ErrLocked is wrapped when another
// process has it open.
func Open(dir string, o Options) (*Queue, error) { return open(dir, o, osFiles{}) }

func open(dir string, o Options, fs files) (*Queue, error) {
	q := &Queue{
		opened: time.Now(),
		dir:    dir, o: o.withDefaults(), fs: fs, maxHeld: cmp.Or(o.maxHeld, maxHeld),
		dests: map[string]*dest{}, kick: make(chan struct{}, 1), tidyKick: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	q.lastFlush.Store(-int64(flushEvery))
	q.roomTried.Store(-int64(retryEvery))
	q.w.q = q
	q.w.cur = &batch{}
	q.w.room.L = &q.w.mu
	if err := q.open(); err != nil {
		q.release()
		return nil, fmt.Errorf("open queue %s: %w", dir, err)
	}
	return q, nil
}

func (q *Queue) logDir() string      { return filepath.Join(q.dir, "log") }
func (q *Queue) keptDir() string     { return filepath.Join(q.dir, "kept") }
func (q *Queue) statePath() string   { return filepath.Join(q.dir, "state.db") }
func (q *Queue) reservePath() string { return filepath.Join(q.dir, "reserve") }
func (q *Queue) namesPath() string   { return filepath.Join(q.dir, "destinations") }
func (q *Queue) sparePath() string   { return filepath.Join(q.logDir(), spareName) }

// release gives back what open took, as far as it got.
func (q *Queue) release() error {
	var errs []error
	if q.state != nil {
		errs = append(errs, q.state.close())
	}
	if q.counters != nil {
		errs = append(errs, q.counters.f.Close())
	}
	if q.lock != nil {
		errs = append(errs, q.lock.Close())
	}
	return errors.Join(errs...)
}

// enter keeps Close from pulling the files away under a call.
func (q *Queue) enter() error {
	q.useMu.RLock()
	if q.closed {
		q.useMu.RUnlock()
		return tapway.ErrClosed
	}
	return nil
}

func (q *Queue) leave() { q.useMu.RUnlock() }

// Close lets running Enqueue calls finish, writes down what was settled and releases the
// directory. Receive, Follow and Search end with tapway.ErrClosed.
func (q *Queue) Close() error {
	q.once.Do(func() {
		q.w.close() // no new Enqueue; those running end
		close(q.closing)
		q.useMu.Lock()
		defer q.useMu.Unlock()
		q.closed = true
		err := q.flush()
		if cerr := q.counters.flush(true); err == nil {
			err = cerr
		}
		for _, d := range q.allDests() {
			d.mu.Lock()
			d.rd.close()
			d.mu.Unlock()
		}
		if rerr := q.release(); err == nil {
			err = rerr
		}
		if err != nil {
			q.closeErr = fmt.Errorf("close queue: %w", err)
		}
	})
	return q.closeErr
}

// Subscribe gives the consumer side for one destination; see [tapway.Queue].
func (q *Queue) Subscribe(name string) (tapway.Subscription, error) {
	if err := q.enter(); err != nil {
		return nil, err
	}
	defer q.leave()
	if name == "" || len(name) > 1024 {
		return nil, fmt.Errorf("subscribe: a destination's name has 1 to 1024 bytes, not %d", len(name))
	}
	q.flushMu.Lock()
	defer q.flushMu.Unlock()
	q.destMu.Lock()
	d := q.dests[name]
	if d == nil {
		d = newDest(q, name, 0)
		d.forgotten = true
		q.dests[name] = d
	}
	q.destMu.Unlock()
	d.mu.Lock()
	known := !d.forgotten
	if !known {
		from := q.last.Load()
		if q.loseNames {
			from = q.oldest() - 1
		}
		d.beginLocked(from, q.counters.snapshot())
	}
	d.mu.Unlock()
	if known {
		return sub{d}, nil
	}
	// The account must never be younger than the counters it starts from.
	err := q.counters.flush(true)
	if err == nil {
		err = q.flushLocked()
	}
	if err == nil {
		err = q.writeNames()
	}
	if err != nil {
		d.mu.Lock()
		d.forgotten = true
		d.resetLocked(q.last.Load())
		d.mu.Unlock()
		return nil, fmt.Errorf("subscribe %q: %w", name, err)
	}
	return sub{d}, nil
}

// allDests is every destination that has an account, by name.
func (q *Queue) allDests() []*dest {
	q.destMu.RLock()
	defer q.destMu.RUnlock()
	all := make([]*dest, 0, len(q.dests))
	for _, d := range q.dests {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *dest) int { return strings.Compare(a.name, b.name) })
	return all
}

func (q *Queue) dest(name string) (*dest, error) {
	q.destMu.RLock()
	defer q.destMu.RUnlock()
	if d := q.dests[name]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("destination %q: %w", name, tapway.ErrNotFound)
}

// oldest is the first position that the log still holds, kept ones aside.
func (q *Queue) oldest() uint64 {
	for _, s := range q.segs.all() {
		if !s.sparse {
			return s.first
		}
	}
	return q.last.Load() + 1
}

// settledSome lets settlements be written down when there are many or when it has been long:
// by Run when it is running, otherwise here. Far too many make the caller wait: what is not
// written down is in memory.
func (q *Queue) settledSome(n int) {
	switch late := q.ticks()-q.lastFlush.Load() >= int64(flushEvery); {
	case n >= 4*flushAt:
		q.flushMu.Lock()
	case q.running.Load():
		if n >= flushAt {
			q.kickUpkeep()
		}
		return
	case n < flushAt && !late, !q.flushMu.TryLock():
		return
	}
	defer q.flushMu.Unlock()
	if err := q.flushLocked(); err != nil {
		q.o.Log.Error("queue state not saved; it will be tried again", "error", err)
	}
}

func (q *Queue) kickUpkeep() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

func (q *Queue) kickTidy() {
	select {
	case q.tidyKick <- struct{}{}:
	default:
	}
}

// Run does the upkeep until ctx ends: it writes down settlements every 100 ms, syncs every
// 10 ms in Write mode, indexes finished segments and deletes what is no longer needed. It
// returns nil when ctx ends and never fails: what goes wrong is logged and tried again.
func (q *Queue) Run(ctx context.Context) error {
	q.running.Store(true)
	defer q.running.Store(false)
	var wg sync.WaitGroup
	defer wg.Wait()
	if q.o.Durability == Write {
		wg.Go(func() { q.syncLoop(ctx) })
	}
	wg.Go(func() { q.tidyLoop(ctx) })
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var quiet logOnce
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.closing:
			return nil
		case <-q.kick:
		case <-tick.C:
		}
		q.w.verify()
		q.w.prepare()
		err := q.w.sync()
		if ferr := q.flush(); err == nil {
			err = ferr
		}
		if cerr := q.counters.flush(false); err == nil {
			err = cerr
		}
		quiet.log(q.o.Log, "queue upkeep failed; it will be tried again", err)
	}
}

func (q *Queue) syncLoop(ctx context.Context) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.closing:
			return
		case <-tick.C:
		}
		if err := q.w.sync(); err != nil {
			q.o.Log.Error("queue records may not survive a power cut", "error", err)
		}
	}
}

// logOnce keeps a condition that lasts from filling the log: it is said when it begins, when
// it changes, and when it is over.
type logOnce struct{ was string }

func (l *logOnce) log(to *slog.Logger, what string, err error) {
	is := ""
	if err != nil {
		is = err.Error()
	}
	if is == l.was {
		return
	}
	if l.was = is; err != nil {
		to.Error(what, "error", err)
	} else {
		to.Info("over: " + what)
	}
}

func (q *Queue) names(tx *bolt.Tx, f func(name string, b *bolt.Bucket) error) error {
	all := tx.Bucket(bktDests)
	if all == nil {
		return nil
	}
	return all.ForEachBucket(func(k []byte) error { return f(string(k), all.Bucket(k)) })
}
