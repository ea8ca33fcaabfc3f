package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"
)

// Counter counts the calls of API keys against their quotas. Every engine states how exact it is.
type Counter interface {
	// Tally gives the count of one key, the same one every time.
	Tally(key string) Tally

	// Accuracy says in a sentence by how much a quota can be overrun, and when.
	Accuracy() string
}

// Rates is a Counter that also counts what rates admit, for several processes together. Where a Counter is
// none, every process keeps rates for itself.
type Rates interface {
	// Rate gives the count of one rate, the same one every time; its windows are short.
	Rate(name string) Tally
}

// Mover is a Counter that can count on under another ID what it has counted under one.
type Mover interface {
	// Move adds what from has used to what to has, if it is of the same window or of a later one. It may be
	// called again, and then moves what has come since.
	Move(from, to string)
}

// Admission is what a Tally says of a call.
type Admission uint8

const (
	Counted Admission = iota // the call is counted
	Spent                    // as many as may be are counted already
	Unknown                  // the count cannot be had, and calls are to be refused then
)

// Wait is how long one call may wait for counts that others keep too: once, for all of them together. The
// zero Wait begins when it is first asked.
type Wait struct{ until time.Time }

// Left is what is left of it, when most is all there is; 0 or less: nothing.
func (w *Wait) Left(now time.Time, most time.Duration) time.Duration {
	if w.until.IsZero() {
		w.until = now.Add(most)
	}
	return w.until.Sub(now)
}

// Tally is the count of one key in its present window, which goes from start to end (seconds
// since 1970; end is not in it). It must be safe for concurrent use.
type Tally interface {
	// Take counts one call, unless limit are counted already. A window later than the present one
	// begins with none; an earlier one, as after a clock was set back, counts in the present one.
	// What it waits for others comes out of wait.
	Take(start, end, limit int64, wait *Wait) Admission

	// Give takes back a call that was counted in that window and then refused.
	Give(start int64)

	// Charge counts n more in the window from start to end, whatever the limit: what a call has turned
	// out to cost. A later window than the present one begins with it.
	Charge(start, end, n int64)

	// Used is how many are counted in a window, as far as that can be known. It may take a moment.
	Used(start int64) int64

	// Watch makes the tally tell when its count grows: from before to after, of limit. Where several
	// processes count together each step is told to one of them. Only the last watcher is told.
	Watch(func(start, before, after, limit int64))
}

// LocalCounter counts in this process and writes the counts to a file, so that they outlive it.
// Without a File they end with the process. Make one with OpenCounter.
type LocalCounter struct {
	file string
	log  *slog.Logger

	mu      sync.Mutex
	tallies map[string]*localTally
}

// FlushEvery is how often a LocalCounter writes its file: that much of the calls is forgotten
// when the process is killed or the power fails, nothing when it ends in order.
const FlushEvery = time.Second

// Accuracy is Counter.
func (c *LocalCounter) Accuracy() string {
	if c.file == "" {
		return "exact in this process, and forgotten when it ends; every other process counts for itself"
	}
	return "exact in this process; when it is killed, the calls of the last second are forgotten"
}

// countFile is the file's form.
type countFile struct {
	Version int     `json:"version"`
	Counts  []Count `json:"counts"`
}

// Count is what a key has used in one window.
type Count struct {
	Key   string `json:"key"`   // its ID
	Start int64  `json:"start"` // of the window, seconds since 1970
	Used  int64  `json:"used"`
}

// forgetAfter is longer than any window.
const forgetAfter = 62 * 24 * time.Hour

// OpenCounter reads the counts in file, which need not be there; "" is no file.
func OpenCounter(file string, log *slog.Logger) (*LocalCounter, error) {
	c := &LocalCounter{file: file, log: log, tallies: map[string]*localTally{}}
	if file == "" {
		return c, nil
	}
	counts, err := ReadCounts(file)
	if err != nil {
		return nil, err
	}
	for _, one := range counts {
		if time.Since(time.Unix(one.Start, 0)) < forgetAfter {
			c.tallies[one.Key] = &localTally{start: one.Start, used: one.Used}
		}
	}
	return c, nil
}

// ReadCounts reads a LocalCounter's file; one that is not there has no counts.
func ReadCounts(file string) ([]Count, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var read countFile
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if err == nil && read.Version != 1 {
		err = fmt.Errorf("version %d is not known", read.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("read what the API keys have used, %s: %w; remove it to begin all quotas anew", file, err)
	}
	return read.Counts, nil
}

// Tally is Counter.
func (c *LocalCounter) Tally(key string) Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tallyLocked(key)
}

func (c *LocalCounter) tallyLocked(key string) *localTally {
	t := c.tallies[key]
	if t == nil {
		t = new(localTally)
		c.tallies[key] = t
	}
	return t
}

// Move is Mover.
func (c *LocalCounter) Move(from, to string) {
	c.mu.Lock() // also against Flush, which would find it nowhere
	defer c.mu.Unlock()
	old := c.tallies[from]
	if old == nil || from == to {
		return
	}
	old.mu.Lock()
	start, used := old.start, old.used
	old.used, old.changed = 0, old.changed || used > 0
	old.mu.Unlock()
	if one := c.tallyLocked(to); used > 0 && start >= one.window() {
		one.Charge(start, 0, used)
	}
}

// Run writes the file while there is something new, until ctx ends, and then a last time.
func (c *LocalCounter) Run(ctx context.Context) error {
	if c.file == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(FlushEvery)
	defer tick.Stop()
	complained := false
	for {
		select {
		case <-tick.C:
			began := time.Now()
			err := c.Flush()
			if err != nil && !complained {
				c.log.Error("what the API keys have used cannot be written: quotas will begin anew at the next start", "err", err)
			}
			complained = err != nil
			// A slow disk gets a twentieth of its time, however many keys there are.
			tick.Reset(max(FlushEvery, 20*time.Since(began)))
		case <-ctx.Done():
			return c.Flush()
		}
	}
}

// Flush writes the counts if they have changed.
func (c *LocalCounter) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == "" {
		return nil
	}
	out := countFile{Version: 1, Counts: []Count{}}
	changed := false
	for key, t := range c.tallies {
		start, used, fresh := t.take()
		changed = changed || fresh
		if used > 0 {
			out.Counts = append(out.Counts, Count{key, start, used})
		}
	}
	if !changed {
		return nil
	}
	sort.Slice(out.Counts, func(i, j int) bool { return out.Counts[i].Key < out.Counts[j].Key })
	text, err := json.Marshal(out)
	if err == nil {
		err = replaceFile(c.file, text)
	}
	if err != nil {
		for _, t := range c.tallies {
			t.again()
		}
	}
	return err
}

// localTally is one key's count in this process.
type localTally struct {
	mu          sync.Mutex
	start, used int64
	limit       int64 // as last asked for
	changed     bool
	watcher     func(start, before, after, limit int64)
}

func (t *localTally) Take(start, _, limit int64, _ *Wait) Admission {
	t.mu.Lock()
	defer t.mu.Unlock()
	if start > t.start {
		t.start, t.used = start, 0
	}
	t.limit = limit
	if t.used >= limit {
		return Spent
	}
	t.addLocked(1)
	return Counted
}

func (t *localTally) addLocked(n int64) {
	before := t.used
	t.used += n
	t.changed = true
	if t.watcher != nil {
		t.watcher(t.start, before, t.used, t.limit)
	}
}

func (t *localTally) Charge(start, _, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if start > t.start {
		t.start, t.used = start, 0
	}
	if n > 0 {
		t.addLocked(n)
	}
}

func (t *localTally) Watch(watcher func(start, before, after, limit int64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watcher = watcher
}

func (t *localTally) Give(start int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if start >= t.start && t.used > 0 {
		t.used--
		t.changed = true
	}
}

func (t *localTally) Used(start int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if start > t.start {
		return 0
	}
	return t.used
}

func (t *localTally) window() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.start
}

func (t *localTally) take() (start, used int64, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed, t.changed = t.changed, false
	return t.start, t.used, changed
}

func (t *localTally) again() {
	t.mu.Lock()
	t.changed = true
	t.mu.Unlock()
}

// replaceFile puts text in place of a file: whoever reads it finds the old one or the new one
// whole, also after the power has failed.
func replaceFile(file string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
