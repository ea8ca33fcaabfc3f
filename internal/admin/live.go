package admin

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
)

// Live is a line of the live list: exchanges since the line before. Unlike a tail it leaves
// exchanges out rather than fall behind or slow the gateway.
type Live struct {
	Position uint64    `json:"position"` // where to continue with ?after=
	Calls    []Summary `json:"calls,omitempty"`
	Skipped  uint64    `json:"skipped,omitempty"` // exchanges left out since the line before, matching or not
}

const (
	liveEvery  = 100 * time.Millisecond
	liveBudget = 50   // exchanges looked at in that time, 30,000 a minute: what a console may cost a busy gateway
	liveSample = 20   // the same once it had to leap: then the list is a part of the calls anyway, 12,000 a minute
	liveRoom   = 1000 // summaries that wait for a slow browser; the oldest give way
	liveBehind = 2000 // exchanges a console may be behind before it leaps to the present
	liveStuck  = 30 * time.Second
)

// live streams summaries of exchanges as they happen, several to a line. The first line only
// tells the position, so that the caller can ask for what was before.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f, err := filter.Parse(q.Get("filter"))
	if err != nil {
		fail(w, &badInput{"filter: " + err.Error()})
		return
	}
	var from uint64
	switch {
	case s.Store != nil && s.Live != nil:
		stats, err := s.Store.Stats(r.Context())
		if err != nil {
			fail(w, err)
			return
		}
		from = stats.Last
		if text := q.Get("after"); text != "" {
			if from, err = strconv.ParseUint(text, 10, 64); err != nil {
				fail(w, &badInput{"after: " + strconv.Quote(text) + " is not a position"})
				return
			}
		}
	case s.Follow == nil:
		fail(w, &impossible{"there is nothing live here: this process sees no calls"})
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	watch := &watch{server: s, filter: f, position: from, news: make(chan struct{}, 1)}
	var reader sync.WaitGroup
	reader.Go(func() { watch.read(ctx) })
	defer reader.Wait()
	defer cancel()
	watch.write(ctx, w)
}

// watch carries summaries from one goroutine that follows to one that writes.
type watch struct {
	server *Server
	filter *filter.Filter
	news   chan struct{}
	sample bool // more calls come than can be shown; the reader's own

	mu       sync.Mutex
	position uint64
	calls    []Summary
	skipped  uint64
	err      error // why reading ended
}

// write sends what has come, at most every liveEvery, and an empty line when all is quiet.
func (v *watch) write(ctx context.Context, w http.ResponseWriter) {
	out := &lines{w: w}
	control := http.NewResponseController(w)
	quiet := time.NewTicker(heartbeat)
	defer quiet.Stop()
	first := true
	for {
		v.mu.Lock()
		line, err := Live{v.position, v.calls, v.skipped}, v.err
		v.calls, v.skipped = nil, 0
		v.mu.Unlock()
		control.SetWriteDeadline(time.Now().Add(liveStuck)) // a browser that reads nothing is let go; a writer without deadlines ends with ctx
		var failed error
		if first || len(line.Calls) > 0 || line.Skipped > 0 {
			failed = out.value(line, true)
		}
		if first = false; failed != nil {
			return
		}
		if err != nil {
			if ctx.Err() == nil {
				out.end(err)
			}
			return
		}
		select {
		case <-v.news:
			if !pause(ctx, liveEvery) { // what comes together goes together
				return
			}
		case <-quiet.C:
			if out.raw(nil, true) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// read follows the exchanges until ctx ends.
func (v *watch) read(ctx context.Context) {
	var err error
	for err == nil && ctx.Err() == nil {
		err = v.follow(ctx)
	}
	v.mu.Lock()
	v.err = err
	v.mu.Unlock()
	v.tell()
}

// errLeap says that following must begin anew at a later position.
var errLeap = errors.New("too far behind")

// follow reads until it is too far behind; then it leaps and returns nil.
func (v *watch) follow(ctx context.Context) error {
	err := v.each(ctx, v.source(ctx))
	if !errors.Is(err, errLeap) {
		return err
	}
	v.sample = true
	stats, err := v.server.Store.Stats(ctx)
	if err != nil {
		return err
	}
	v.mu.Lock()
	if to := stats.Last - min(stats.Last, liveBudget); to > v.position {
		v.skipped += to - v.position
		v.position = to
	}
	v.mu.Unlock()
	v.tell()
	return nil
}

func (v *watch) source(ctx context.Context) iter.Seq2[*tapway.Exchange, error] {
	if v.server.Store == nil {
		return v.server.Follow(ctx)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.server.Store.Follow(ctx, v.position)
}

// each looks at no more than liveBudget exchanges in liveEvery, and at liveSample while they are not all.
func (v *watch) each(ctx context.Context, source iter.Seq2[*tapway.Exchange, error]) error {
	looked, since := 0, time.Now()
	for ex, err := range source {
		if err != nil {
			return err
		}
		v.take(ex)
		if looked++; looked < liveBudget && !(v.sample && looked >= liveSample) {
			continue
		}
		if rest := liveEvery - time.Since(since); rest > 0 && !pause(ctx, rest) {
			return ctx.Err()
		}
		looked, since = 0, time.Now()
		if v.server.Store == nil {
			continue
		}
		stats, err := v.server.Store.Stats(ctx)
		if err != nil {
			return err
		}
		if stats.Last > ex.Seq+liveBehind {
			return errLeap
		}
		v.sample = v.sample && stats.Last > ex.Seq+liveBudget
	}
	return ctx.Err()
}

func (v *watch) take(ex *tapway.Exchange) {
	env := filter.EnvOf(ex)
	match := v.filter.Match(&env)
	v.mu.Lock()
	if ex.Seq > v.position+1 && v.position > 0 { // what is in between has left the history
		v.skipped += ex.Seq - v.position - 1
	}
	v.position = ex.Seq
	if match {
		if len(v.calls) >= liveRoom {
			v.calls = slices.Delete(v.calls, 0, liveRoom/2)
			v.skipped += liveRoom / 2
		}
		v.calls = append(v.calls, summarize(&ex.Meta))
	}
	v.mu.Unlock()
	if match {
		v.tell()
	}
}

func (v *watch) tell() {
	select {
	case v.news <- struct{}{}:
	default:
	}
}

// pause waits and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
