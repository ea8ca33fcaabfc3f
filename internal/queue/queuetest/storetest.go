package queuetest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapway/tapway"
)

type storeFixture struct {
	fixture
	s tapway.Store
}

// TestStore runs the contract of a store; it includes the one of a queue.
func TestStore(t *testing.T, open func(t *testing.T) tapway.Store) {
	Test(t, func(t *testing.T) tapway.Queue { return open(t) })
	for _, c := range storeCases {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.why)
			synctest.Test(t, func(t *testing.T) {
				s := open(t)
				c.run(storeFixture{fixture{t, s}, s})
			})
		})
	}
	t.Run("follow under load", func(t *testing.T) {
		t.Log("a follower sees every record once and in order, whoever writes at the same time")
		followUnderLoad(t, open(t))
	})
}

// die makes dead letters of the next n messages.
func (f storeFixture) die(sub tapway.Subscription, n int) []uint64 {
	f.Helper()
	var seqs []uint64
	for len(seqs) < n {
		msgs := f.receive(sub, n-len(seqs))
		f.settle(sub, tapway.Outcome{Verdict: tapway.Dead, Reason: "400 Bad Request", Status: 400}, msgs...)
		for _, m := range msgs {
			seqs = append(seqs, m.Seq)
		}
	}
	return seqs
}

func (f storeFixture) letters(destination string) (all []tapway.DeadLetter) {
	f.Helper()
	for dl, err := range f.s.DeadLetters(f.Context(), destination) {
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, dl)
	}
	return all
}

func (f storeFixture) search(s tapway.Search) (seqs []uint64) {
	f.Helper()
	for m, err := range f.s.Search(f.Context(), s) {
		if err != nil {
			f.Fatal(err)
		}
		seqs = append(seqs, m.Seq)
	}
	return seqs
}

func (f storeFixture) stats(destination string) tapway.DestinationStats {
	f.Helper()
	st, err := f.s.Stats(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	i := slices.IndexFunc(st.Destinations, func(d tapway.DestinationStats) bool { return d.Destination == destination })
	if i < 0 {
		return tapway.DestinationStats{}
	}
	return st.Destinations[i]
}

func (f storeFixture) state(seq uint64) string {
	f.Helper()
	states, err := f.s.States(f.Context(), seq)
	if err != nil {
		f.Fatal(err)
	}
	var words []string
	for _, st := range states {
		words = append(words, st.Destination+"="+st.State)
	}
	return strings.Join(words, " ")
}

func up(from, to uint64) (seqs []uint64) {
	for ; from <= to; from++ {
		seqs = append(seqs, from)
	}
	return seqs
}

func down(from, to uint64) []uint64 {
	seqs := up(to, from)
	slices.Reverse(seqs)
	return seqs
}

var storeCases = []struct {
	name string
	why  string
	run  func(f storeFixture)
}{
	{"load", "what is listed can be opened, by position and by ID, delivered or not", func(f storeFixture) {
		var ids []tapway.ID
		for n := range 20 {
			ex := Exchange(n, 300)
			ids = append(ids, ex.ID)
			if err := f.q.Enqueue(f.Context(), ex); err != nil {
				f.Fatal(err)
			}
		}
		for n, id := range ids {
			byID, err := f.s.Load(f.Context(), id)
			if err != nil {
				f.Fatal(err)
			}
			bySeq, err := f.s.LoadSeq(f.Context(), uint64(n+1))
			if err != nil {
				f.Fatal(err)
			}
			want := Exchange(n, 300)
			want.ID, want.Seq = id, uint64(n+1)
			for _, got := range []*tapway.Exchange{byID, bySeq} {
				if d := cmp.Diff(want, got); d != "" {
					f.Fatalf("record %d (-want +got):\n%s", n, d)
				}
			}
		}
		for _, seq := range []uint64{0, 21, 1 << 62} {
			if _, err := f.s.LoadSeq(f.Context(), seq); !errors.Is(err, tapway.ErrNotFound) {
				f.Errorf("position %d: %v, want not found", seq, err)
			}
		}
		for _, id := range []tapway.ID{{}, tapway.NewID(Exchange(3, 0).Time)} {
			if _, err := f.s.Load(f.Context(), id); !errors.Is(err, tapway.ErrNotFound) {
				f.Errorf("a strange ID: %v, want not found", err)
			}
		}
	}},
	{"pages", "a list can be paged in both directions without repeating or leaving out a record", func(f storeFixture) {
		f.enqueue(0, 100)
		if got := f.search(tapway.Search{}); !slices.Equal(got, down(100, 1)) {
			f.Fatalf("newest first: %v", got)
		}
		if got := f.search(tapway.Search{Oldest: true}); !slices.Equal(got, up(1, 100)) {
			f.Fatalf("oldest first: %v", got)
		}
		var all []uint64
		for before := uint64(0); ; {
			page := f.search(tapway.Search{Before: before, Limit: 7})
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
			before = page[len(page)-1]
			f.enqueue(100, 101) // new records must not shift the pages
		}
		if all = all[:100]; !slices.Equal(all, down(100, 1)) {
			f.Fatalf("paged newest first: %v", all)
		}
		all = nil
		for after := uint64(0); ; {
			page := f.search(tapway.Search{After: after, Limit: 13, Oldest: true})
			if all = append(all, page...); len(page) == 0 {
				break
			}
			after = page[len(page)-1]
		}
		if len(all) < 100 || !slices.Equal(all, up(1, uint64(len(all)))) {
			f.Fatalf("paged oldest first: %v", all)
		}
		if got := f.search(tapway.Search{After: 10, Before: 13}); !slices.Equal(got, []uint64{12, 11}) {
			f.Fatalf("between: %v", got)
		}
	}},
	{"hints", "a hint may only leave out what Match would not take, and Match sees everything else whole", func(f storeFixture) {
		f.enqueue(0, 200)
		at := func(n int) time.Time { return Exchange(n, 0).Time }
		searches := []tapway.Search{
			{Hint: tapway.Hint{StatusMin: 500}},
			{Hint: tapway.Hint{StatusMin: 201, StatusMax: 404}},
			{Hint: tapway.Hint{Methods: []string{"GET", "PUT"}}},
			{Hint: tapway.Hint{Methods: []string{"BREW"}}},
			{Hint: tapway.Hint{PathPrefix: "/api/v1/users/1"}},
			{Hint: tapway.Hint{StatusMax: 299, Methods: []string{"POST"}, PathPrefix: "/api/v2"}},
			{Since: at(50), Until: at(60)},
			{Since: at(199)},
			{Until: at(1)},
		}
		for i, s := range searches {
			want := func(m *tapway.Meta) bool {
				return (s.Hint.StatusMin == 0 || m.Status >= s.Hint.StatusMin) && (s.Hint.StatusMax == 0 || m.Status <= s.Hint.StatusMax) &&
					(s.Hint.Methods == nil || slices.Contains(s.Hint.Methods, m.Method)) && strings.HasPrefix(m.Path, s.Hint.PathPrefix) &&
					(s.Since.IsZero() || !m.Time.Before(s.Since)) && (s.Until.IsZero() || m.Time.Before(s.Until))
			}
			var wants []uint64
			for n := 199; n >= 0; n-- {
				if ex := Exchange(n, 0); want(&ex.Meta) {
					wants = append(wants, uint64(n+1))
				}
			}
			s.Match = func(m *tapway.Meta, load func() (*tapway.Exchange, error)) bool {
				ex, err := load()
				if err != nil {
					f.Fatal(err)
				}
				if d := cmp.Diff(*m, ex.Meta); d != "" {
					f.Fatalf("metadata and record differ (-meta +record):\n%s", d)
				}
				return want(m)
			}
			if got := f.search(s); !slices.Equal(got, wants) {
				f.Errorf("search %d: %v, want %v", i, got, wants)
			}
		}
		got := f.search(tapway.Search{Limit: 2, Match: func(m *tapway.Meta, _ func() (*tapway.Exchange, error)) bool { return m.Seq%50 == 0 }})
		if !slices.Equal(got, []uint64{200, 150}) {
			f.Errorf("by Match alone: %v", got)
		}
	}},
	{"follow", "a follower sees what is stored and what comes, until it is told to stop", func(f storeFixture) {
		f.enqueue(0, 5)
		ctx, cancel := context.WithCancel(f.Context())
		defer cancel()
		next, stop := iter.Pull2(f.s.Follow(ctx, 2))
		defer stop()
		for want := uint64(3); want <= 5; want++ {
			if ex, err, ok := next(); !ok || err != nil || ex.Seq != want {
				f.Fatalf("want %d: %v %v", want, ex, err)
			}
		}
		time.AfterFunc(time.Minute, func() { f.enqueue(5, 6) })
		if ex, err, ok := next(); !ok || err != nil || ex.Seq != 6 {
			f.Fatalf("want 6: %v %v", ex, err)
		}
		time.AfterFunc(time.Minute, cancel)
		if _, err, _ := next(); !errors.Is(err, context.Canceled) {
			f.Fatalf("error %v, want canceled", err)
		}
		if _, _, ok := next(); ok {
			f.Fatal("it goes on after an error")
		}
	}},
	{"dead letters", "what was given up on is listed with everything one needs to decide about it, oldest death first", func(f storeFixture) {
		a, b := f.subscribe("a"), f.subscribe("b")
		f.enqueue(0, 4)
		start := time.Now()
		m := f.receive(a, 1)
		f.settle(a, tapway.Outcome{Verdict: tapway.Retry, Reason: "503", After: time.Second}, m...)
		f.die(a, 1) // position 2
		time.Sleep(2 * time.Second)
		f.die(a, 1) // position 1, second attempt
		time.Sleep(time.Second)
		f.die(b, 1)
		got := f.letters("a")
		if len(got) != 2 || got[0].Meta.Seq != 2 || got[1].Meta.Seq != 1 {
			f.Fatalf("dead letters: %+v", got)
		}
		dl := got[1]
		if dl.Destination != "a" || dl.Reason != "400 Bad Request" || dl.Status != 400 || dl.Attempts != 2 ||
			!dl.FirstAttempt.Equal(start) || dl.Died.Sub(start) != 2*time.Second || dl.Meta.Path != Exchange(0, 0).Path {
			f.Fatalf("dead letter: %+v", dl)
		}
		all := f.letters("")
		if len(all) != 3 || all[2].Destination != "b" {
			f.Fatalf("of all: %+v", all)
		}
		for _, err := range f.s.DeadLetters(f.Context(), "nobody") {
			if !errors.Is(err, tapway.ErrNotFound) {
				f.Fatalf("unknown destination: %v", err)
			}
		}
	}},
	{"redrive", "dead letters can be sent again, and then everything is as if they were new", func(f storeFixture) {
		s := f.subscribe("a")
		f.enqueue(0, 6)
		seqs := f.die(s, 5)
		n, err := f.s.Resolve(f.Context(), "a", append(seqs[:3:3], 6, 99), tapway.Outcome{Verdict: tapway.Retry})
		if n != 3 || err != nil {
			f.Fatalf("resolved %d, error %v", n, err)
		}
		if n, err = f.s.Resolve(f.Context(), "a", seqs[:3], tapway.Outcome{Verdict: tapway.Retry}); n != 0 || err != nil {
			f.Fatalf("resolved %d again, error %v", n, err)
		}
		if l := f.line("a"); l.Dead != 2 || l.Queued != 4 {
			f.Fatalf("account: %+v", l)
		}
		if got := f.state(1); got != "a=queued" {
			f.Fatalf("state: %s", got)
		}
		msgs := f.receive(s, 10)
		f.want(msgs, 0, 1, 2, 5)
		if msgs[0].Attempts != 0 || msgs[0].LastError != "" {
			f.Fatalf("it has a past: %+v", msgs[0])
		}
		f.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "not yet"}, msgs[0])
		f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs[1], msgs[3])
		f.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "again"}, msgs[2])
		if l := f.line("a"); l.Dead != 3 || l.Queued != 1 || l.Delivered != 2 {
			f.Fatalf("account: %+v", l)
		}
		f.want(f.receive(s, 10), 0)
	}},
	{"resolve", "dead letters can be settled by hand, and the ledger says how", func(f storeFixture) {
		s := f.subscribe("a")
		f.enqueue(0, 4)
		seqs := f.die(s, 4)
		for _, o := range []tapway.Outcome{{Verdict: tapway.Delivered}, {Verdict: tapway.Dropped, Reason: "purged"}} {
			if n, err := f.s.Resolve(f.Context(), "a", seqs[:1], o); n != 1 || err != nil {
				f.Fatalf("%v: resolved %d, error %v", o.Verdict, n, err)
			}
			seqs = seqs[1:]
		}
		if l := f.line("a"); l.Dead != 2 || l.Delivered != 1 || l.Dropped["purged"] != 1 || l.Queued != 0 {
			f.Fatalf("account: %+v", l)
		}
		if got := f.letters("a"); len(got) != 2 {
			f.Fatalf("left: %+v", got)
		}
		if _, err := f.s.Resolve(f.Context(), "nobody", seqs, tapway.Outcome{}); !errors.Is(err, tapway.ErrNotFound) {
			f.Fatalf("unknown destination: %v", err)
		}
	}},
	{"states", "what became of one exchange can be told for every destination that was owed it", func(f storeFixture) {
		f.enqueue(0, 1)
		s := f.subscribe("a")
		f.enqueue(1, 7)
		msgs := f.receive(s, 5)
		f.settle(s, tapway.Outcome{Verdict: tapway.Retry, After: time.Hour, Reason: "503"}, msgs[0])
		f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs[1])
		f.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "400"}, msgs[2])
		f.settle(s, tapway.Outcome{Verdict: tapway.Dropped, Reason: "filtered"}, msgs[3])
		time.Sleep(time.Second)
		f.subscribe("b")
		for seq, want := range map[uint64]string{1: "", 2: "a=retrying", 3: "a=delivered", 4: "a=dead", 5: "a=dropped", 6: "a=leased", 7: "a=queued"} {
			if got := f.state(seq); got != want {
				f.Errorf("position %d: %q, want %q", seq, got, want)
			}
		}
		states, err := f.s.States(f.Context(), 2)
		if err != nil || states[0].Attempts != 1 || states[0].Reason != "503" || time.Until(states[0].Next) != time.Hour-time.Second {
			f.Errorf("retrying: %+v, error %v", states, err)
		}
		if _, err := f.s.States(f.Context(), 99); !errors.Is(err, tapway.ErrNotFound) {
			f.Errorf("unknown position: %v", err)
		}
	}},
	{"stats", "the numbers on the dashboard are the ones in the ledger", func(f storeFixture) {
		s := f.subscribe("a")
		f.enqueue(0, 10)
		msgs := f.receive(s, 4)
		f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs[0])
		f.settle(s, tapway.Outcome{Verdict: tapway.Retry, After: time.Hour}, msgs[1])
		f.settle(s, tapway.Outcome{Verdict: tapway.Dead}, msgs[2])
		st, err := f.s.Stats(f.Context())
		if err != nil {
			f.Fatal(err)
		}
		if st.First != 1 || st.Last != 10 || st.Records != 10 || !st.Oldest.Equal(Exchange(0, 0).Time) {
			f.Errorf("stats: %+v", st)
		}
		want := tapway.DestinationStats{Destination: "a", Queued: 8, Leased: 1, Retrying: 1, Dead: 1, OldestQueued: Exchange(1, 0).Time}
		if d := cmp.Diff([]tapway.DestinationStats{want}, st.Destinations); d != "" {
			f.Errorf("(-want +got):\n%s", d)
		}
	}},
	{"forget", "a destination that is taken out of the configuration leaves a closed account, not a growing backlog", func(f storeFixture) {
		s := f.subscribe("a")
		f.enqueue(0, 6)
		f.die(s, 1)
		f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, f.receive(s, 2)...)
		f.receive(s, 1)
		if err := f.s.Forget(f.Context(), "a"); err != nil {
			f.Fatal(err)
		}
		f.enqueue(6, 8)
		if l := f.line("a"); l.Captured != 6 || l.Delivered != 2 || l.Dead != 0 || l.Queued != 0 || l.Dropped["forgotten"] != 4 {
			f.Fatalf("account: %+v", l)
		}
		if d := f.stats("a"); d.Destination != "" {
			f.Fatalf("it is still listed: %+v", d)
		}
		if err := f.s.Forget(f.Context(), "a"); !errors.Is(err, tapway.ErrNotFound) {
			f.Fatalf("forgotten twice: %v", err)
		}
		s = f.subscribe("a")
		f.enqueue(8, 9)
		f.want(f.receive(s, 10), 8)
		if l := f.line("a"); l.Captured != 7 || l.Queued != 1 {
			f.Fatalf("the account goes on: %+v", l)
		}
	}},
	{"check", "a sound store is found sound", func(f storeFixture) {
		f.enqueue(0, 50)
		report, err := f.s.Check(f.Context(), func(done, total int64) {
			if done > total {
				f.Errorf("progress %d of %d", done, total)
			}
		})
		if err != nil || report.Records != 50 || len(report.Damage) != 0 {
			f.Fatalf("report %+v, error %v", report, err)
		}
	}},
}

func followUnderLoad(t *testing.T, s tapway.Store) {
	const writers, each, followers = 8, 200, 3
	f := fixture{t, s}
	var wg sync.WaitGroup
	for range followers {
		wg.Go(func() {
			want := uint64(1)
			for ex, err := range s.Follow(t.Context(), 0) {
				if err != nil || ex.Seq != want {
					t.Errorf("want %d, got %v, error %v", want, ex, err)
					return
				}
				if want++; want > writers*each {
					return
				}
			}
		})
	}
	for range writers {
		wg.Go(func() { f.enqueue(0, each) })
	}
	wg.Wait()
}

// TestDurable runs what must hold of an engine whose records outlive the process. open opens
// the store in dir, makes it when it is not there, and closes it with t.Cleanup (closing
// twice is no error).
func TestDurable(t *testing.T, open func(t *testing.T, dir string) tapway.Queue) {
	t.Run("reopen", func(t *testing.T) {
		t.Log("a restart changes nothing: positions, retries, dead letters and the ledger go on")
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) { reopen(t, func() tapway.Queue { return open(t, dir) }) })
	})
	t.Run("reopen model", func(t *testing.T) {
		t.Log("restarts at any moment: leases end, everything else is as it was")
		for seed := range uint64(10) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				choose := chooser(t, seed)
				m := &model{fixture: fixture{t, open(t, dir)}, choose: choose}
				m.addDest()
				for range 8 {
					for range 20 {
						m.step()
						m.compare()
					}
					m.restart(func() tapway.Queue { return open(t, dir) })
				}
			})
		}
	})
}

// restart closes the queue and opens it again. Leases do not outlive it.
func (m *model) restart(open func() tapway.Queue) {
	if err := m.q.Close(); err != nil {
		m.Fatal(err)
	}
	m.q = open()
	for _, d := range m.dests {
		d.sub = m.subscribe(d.name)
		d.held = nil
		for _, f := range d.fates {
			if f.state == "leased" || f.attempts == 0 { // a release does not outlive it either
				f.due = time.Time{}
			}
			if f.state == "leased" {
				f.state = "queued"
			}
		}
	}
	m.compare()
}

func reopen(t *testing.T, open func() tapway.Queue) {
	f := fixture{t, open()}
	s := f.subscribe("a")
	f.q.Drop("sampled")
	f.enqueue(0, 8)
	msgs := f.receive(s, 7)
	f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs[1], msgs[3])
	f.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "503", After: time.Hour}, msgs[0])
	f.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "400", Status: 400}, msgs[4])
	f.settle(s, tapway.Outcome{Verdict: tapway.Dropped, Reason: "filtered"}, msgs[5])
	first := time.Now()
	before := f.line("a")
	for range 3 {
		if err := f.q.Close(); err != nil {
			t.Fatal(err)
		}
		f.q = open()
		if d := cmp.Diff(before, f.line("a")); d != "" {
			t.Fatalf("account (-before +after):\n%s", d)
		}
	}
	s = f.subscribe("a")
	f.want(f.receive(s, 10), 2, 6, 7) // what was leased comes again
	m := f.receive(s, 10)             // due after an hour, or after the lease
	for ; number(t, m[0]) != 0; m = f.receive(s, 1) {
		f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, m...)
	}
	if m[0].Attempts != 1 || m[0].LastError != "503" || time.Since(first) != time.Hour {
		t.Fatalf("after %v: %+v", time.Since(first), m[0])
	}
	f.enqueue(8, 9)
	if m := f.receive(s, 10); m[0].Seq != 0 && m[0].Seq != 9 {
		t.Fatalf("a position was given out twice: %+v", m[0])
	}
}
