package torture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	clients     = 6
	maybeTorn   = 40       // calls that ended last before the log's end was damaged, and must have a record, may lack it
	smallRecord = 200      // bytes; fewer no record of ours has
	tightLimit  = "12MiB"  // of the data directory, in some lives
	wideLimit   = "400MiB" // in the others
)

// world is everything around one tapway.
type world struct {
	o       Options
	data    string
	secrets *secrets
	faults  tally
	backend *backend
	calm    *sink // takes all, in the end
	wild    *sink // gives up soon
	picky   *sink // wants some records only
	guest   *sink // is in some configurations only
	sinks   []*sink
	calls   calls

	mu       sync.Mutex // of what follows: clients ask while the life goes on
	current  life
	full     []window // when the disk was full
	problems problems
	logs     []string // of every process, once it has ended

	lives     int
	stateLost int // how often every account began anew
	torn      int // records that may have been torn out of the log
	killed    int
}

// window is a time in which a call may go unrecorded. A zero end has not come yet.
type window struct{ from, to time.Time }

func newWorld(o Options) (*world, error) {
	w := &world{o: o, secrets: newSecrets(o.Seed)}
	w.data = filepath.Join(cmp.Or(o.Disk, o.Dir), "data")
	w.backend = newBackend(w.secrets, &w.faults)
	w.calm = newSink("calm", "json", 12, o.Seed, w.secrets, &w.faults)
	w.wild = newSink("wild", "ndjson", 3, o.Seed+1, w.secrets, &w.faults)
	w.picky = newSink("picky", "cloudevents", 9, o.Seed+2, w.secrets, &w.faults)
	w.guest = newSink("guest", "har", 9, o.Seed+3, w.secrets, &w.faults)
	w.sinks = []*sink{w.calm, w.wild, w.picky, w.guest}
	return w, nil
}

func (w *world) close() {
	w.backend.CloseClientConnections()
	w.backend.Close()
	for _, k := range w.sinks {
		k.CloseClientConnections()
		k.Close()
	}
}

func (w *world) problem(kind, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems.add(kind, format, args...)
}

func (w *world) report() Report {
	for _, k := range w.sinks {
		k.mu.Lock()
		for _, p := range k.problems.all() {
			w.problem("delivery", "%s", p)
		}
		k.mu.Unlock()
	}
	begun, ended := w.calls.count()
	r := Report{Lives: w.lives, Calls: begun, Ended: ended, Records: w.calm.distinct(), Faults: w.faults.list()}
	for _, c := range w.calls.ended {
		if c.excuse() != "" && len(w.calm.find(c.path)) == 0 {
			r.Excused++
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.Problems = w.problems.all()
	return r
}

// configure writes tapway.yaml.
func (w *world) configure(c conf) error {
	limit, failure, durability := wideLimit, "serve", "commit"
	if c.tight {
		limit = tightLimit
	}
	if c.refuse {
		failure = "refuse"
	}
	if c.write {
		durability = "write"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
data: %s
backend: %s
proxy: {timeout: 1s}
log: {level: debug, calls: true}
storage: {limit: %s, history: 32MiB}
limits: {shutdown: 10s}
capture:
  max_body: 64KiB
  memory: 1MiB
  durability: %s
  on_failure: %s
  redact: {headers: [X-Internal-Token], query: [session_key], json: ["$..card.number"], form: [pin]}
`, w.data, w.backend.URL, limit, durability, failure)
	if c.sampled {
		b.WriteString("  rules: [{if: \"path startsWith '/sampled/'\", sample: 0}]\n")
	}
	fmt.Fprintf(&b, `destinations:
  - {name: calm, url: %s, timeout: 1s, retry: {max_attempts: 100000, min: 1ms, max: 200ms}}
  - {name: wild, url: %s, timeout: 1s, retry: {max_attempts: 3, min: 1ms, max: 50ms}, batch: {max_records: 5}, format: ndjson}
  - {name: picky, url: %s, timeout: 1s, retry: {max_attempts: 100000, min: 1ms, max: 200ms}, format: cloudevents, if: "path startsWith '/a/'"}
`, w.calm.URL, w.wild.URL, w.picky.URL)
	if c.guest {
		fmt.Fprintf(&b, "  - {name: guest, url: %s, timeout: 1s, retry: {max_attempts: 100000, min: 1ms, max: 200ms}, format: har}\n", w.guest.URL)
	}
	return writeFile(filepath.Join(w.o.Dir, "tapway.yaml"), b.String())
}

// live lets tapway live again and again until the time is up.
func (w *world) live(ctx context.Context) error {
	for end := time.Now().Add(w.o.Time); w.goesOn(end); w.lives++ {
		l := planOf(w.o.Seed, w.lives)
		w.o.Log("%v", l)
		if err := w.oneLife(ctx, l); err != nil {
			return fmt.Errorf("life %d: %w", l.no, err)
		}
		if err := w.afterwards(l); err != nil {
			return fmt.Errorf("after life %d: %w", l.no, err)
		}
	}
	return nil
}

// goesOn says whether there is to be another life.
func (w *world) goesOn(end time.Time) bool {
	_, ended := w.calls.count()
	return time.Now().Before(end) || ended < w.o.Calls
}

func (w *world) oneLife(ctx context.Context, l life) error {
	if err := errors.Join(w.configure(l.conf), w.moveClock(l.clock)); err != nil {
		return err
	}
	w.mu.Lock()
	w.current = l
	w.mu.Unlock()
	p, err := start(w.o.Command(w.o.Dir, "serve"), servingLine)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := w.clockMoves(p, l.clock); err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var all, doing sync.WaitGroup
	for no := range clients {
		all.Go(func() { newClient(w, l, no, p.addr).run(working) })
	}
	over, cancel := context.WithTimeout(ctx, l.length)
	defer cancel()
	for _, e := range l.events {
		doing.Go(func() { w.do(over, p, e) })
	}
	<-over.Done()
	if !l.amid {
		stop()
		all.Wait()
	}
	if p.gone() {
		return fmt.Errorf("tapway ended by itself: %s", p.out)
	}
	if l.killed {
		p.kill()
		w.killed++
	} else if err := p.stop(); err != nil {
		w.problem("an end", "%v", err)
	}
	stop()
	all.Wait()
	doing.Wait()
	w.readLog(p)
	return ctx.Err()
}

// do makes an event happen. What goes wrong because the process is gone by then is nothing.
func (w *world) do(over context.Context, p *process, e event) {
	if !sleep(over, e.at) {
		return
	}
	if e.kind == doClock && w.o.ClockFile == "" {
		return
	}
	w.faults.add("event " + e.kind)
	if err := w.event(over, p, e); err != nil && over.Err() == nil && !p.gone() {
		w.problem("event "+e.kind, "%v", err)
	}
}

func (w *world) event(over context.Context, p *process, e event) error {
	target := w.sinks[e.pick%3] // the guest may not be there
	switch e.kind {
	case doReload:
		if err := w.configure(e.conf); err != nil {
			return err
		}
		return p.cmd.Process.Signal(syscall.SIGHUP)
	case doPause:
		if _, err := p.ask(over, "POST", "/api/v1/destinations/"+target.name+"/pause"); err != nil {
			return err
		}
		sleep(over, e.span)
		_, err := p.ask(over, "POST", "/api/v1/destinations/"+target.name+"/resume")
		return err
	case doRedrive:
		_, err := run(w.o.Command(w.o.Dir, "dlq", "redrive", "--destination", "wild", "--admin", p.admin))
		return err
	case doFullDisk:
		return w.fullDisk(over, e.span)
	case doCheck:
		return w.check(p, e)
	case doSearch:
		return w.search(over, p)
	case doClock:
		return w.moveClock(e.span)
	case doOutage:
		for _, k := range w.sinks {
			k.set(func(k *sink) { k.down = true })
		}
		sleep(over, e.span)
		for _, k := range w.sinks {
			k.set(func(k *sink) { k.down = false })
		}
	}
	return nil
}

// check asks the running process to verify its store. It may find what was damaged on purpose.
func (w *world) check(p *process, _ event) error {
	out, err := run(w.o.Command(w.o.Dir, "queue", "check", "--admin", p.admin))
	if err != nil && w.onlyKnown(out) {
		return nil
	}
	return err
}

// search looks through the history as the console does.
func (w *world) search(ctx context.Context, p *process) error {
	for _, path := range []string{"/api/v1/exchanges?limit=50", "/api/v1/queue", "/api/v1/deadletters?limit=20", "/metrics", "/api/v1/ledger"} {
		body, err := p.ask(ctx, "GET", path)
		if err != nil {
			return err
		}
		if where := w.secrets.in(body); where != "" {
			w.problem("a secret in an answer of the admin API", "%s: %s", path, where)
		}
	}
	return nil
}

// fullDisk fills the disk for a while.
func (w *world) fullDisk(over context.Context, span time.Duration) error {
	if w.o.Disk == "" {
		return nil
	}
	w.mu.Lock()
	w.full = append(w.full, window{from: time.Now()})
	at := len(w.full) - 1
	w.mu.Unlock()
	err := fillDisk(w.o.Disk)
	sleep(over, span)
	err = errors.Join(err, freeDisk(w.o.Disk))
	w.mu.Lock()
	w.full[at].to = time.Now().Add(time.Second) // until the process has noticed
	w.mu.Unlock()
	return err
}

// excuse says why a call that ended just now may have no record, "" if it must have one.
func (w *world) excuse(c *call) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.current
	sampled := l.conf.sampled || slices.ContainsFunc(l.events, func(e event) bool { return e.kind == doReload && e.conf.sampled })
	if sampled && strings.HasPrefix(c.path, "/sampled/") {
		return "sampled"
	}
	if l.conf.refuse && c.status != 503 {
		return ""
	}
	if l.conf.alone {
		return "refused"
	}
	for _, f := range w.full {
		if c.ended.After(f.from) && (f.to.IsZero() || c.began.Before(f.to)) {
			return "disk full"
		}
	}
	if l.conf.tight {
		return "limit reached"
	}
	return ""
}

// afterwards looks for secrets and damages what the plan says.
func (w *world) afterwards(l life) error {
	if err := freeDisk(w.o.Disk); w.o.Disk != "" && err != nil {
		return err
	}
	if l.no%4 == 0 {
		if err := w.scanFiles(); err != nil {
			return err
		}
	}
	if l.damage == nothing {
		return nil
	}
	w.faults.add("damage " + l.damage)
	switch l.damage {
	case cutTail, flipTail:
		w.torn += l.amount/smallRecord + 1
		w.calls.tear()
	case stateBroken:
		w.stateLost++
	}
	return damage(w.data, l, w.o.Seed)
}

// tear excuses the calls that ended last, as many as may have lost their records: those that need not have one do not count, since
// what stands at the log's end may be of calls long before them.
func (c *calls) tear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortStableFunc(c.ended, func(a, b *call) int { return a.ended.Compare(b.ended) })
	for i, left := len(c.ended)-1, maybeTorn; i >= 0 && left > 0; i-- {
		c.ended[i].torn = true
		if c.ended[i].excused == "" {
			left--
		}
	}
}

// readLog looks at what a process has said.
func (w *world) readLog(p *process) {
	text := p.out.String()
	w.mu.Lock()
	w.logs = append(w.logs, text)
	w.mu.Unlock()
	for _, word := range []string{"DATA RACE", "panic:", "goroutine 1 [", "fatal error:", "does not add up", "internal error"} {
		if i := strings.Index(text, word); i >= 0 {
			w.problem("the log", "…%s…", text[max(0, i-200):min(len(text), i+2000)])
		}
	}
	if where := w.secrets.in([]byte(text)); where != "" {
		w.problem("a secret in the log", "%s", where)
	}
}

func (w *world) scanFiles() error {
	return w.secrets.inFiles(w.data, func(path, where string) { w.problem("a secret on the disk", "%s: %s", path, where) })
}

// sleep waits, and gives false if ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// leftovers are files that a process should have removed.
func leftovers(dir string) int {
	left, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	return len(left)
}
