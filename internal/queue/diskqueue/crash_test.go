package diskqueue

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// The victim learns from its environment where to work, and whether to keep a history.
const (
	crashDir     = "TAPWAY_TEST_CRASH_DIR"
	crashHistory = "TAPWAY_TEST_CRASH_HISTORY"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		victim(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func crashOptions(history bool) Options {
	o := Options{SegmentBytes: 256 << 10, MaxBytes: -1, Lease: queuetest.Lease, History: keepsHistory}
	if !history { // segments come and go all the time
		o.SegmentBytes, o.History.MaxAge = 32<<10, -1
	} else {
		o.History.MaxAge = 1 << 62 // the records are of a fixed day
	}
	return o
}

// victim works on a queue until it is killed, and says which records were acknowledged.
func victim(dir string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	o := crashOptions(os.Getenv(crashHistory) != "")
	o.Durability = Durability(rand.IntN(2))
	q, err := Open(dir, o)
	if err != nil {
		fail(err)
	}
	go q.Run(context.Background())
	for _, name := range []string{"a", "b"} {
		s, err := q.Subscribe(name)
		if err != nil {
			fail(err)
		}
		go consume(s)
	}
	base := int(q.last.Load()) * 2
	for p := range 8 {
		go func() {
			for i := base + p; ; i += 8 {
				if err := q.Enqueue(context.Background(), queuetest.Exchange(i, i%3000)); err != nil {
					fail(err)
				}
				os.Stdout.WriteString(strconv.Itoa(i) + "\n")
				if i%7 == 0 {
					q.Drop("sampled")
				}
			}
		}()
	}
	select {}
}

// consume settles what it gets in all possible ways.
func consume(s tapway.Subscription) {
	for {
		msgs, err := s.Receive(context.Background(), 1+rand.IntN(50))
		if err != nil {
			return
		}
		var all []tapway.Settlement
		for _, m := range msgs {
			o := tapway.Outcome{Verdict: tapway.Delivered, Reason: "because"}
			if r := rand.IntN(20); r < 5 {
				o.Verdict = tapway.Verdict(r)
				o.After = time.Duration(rand.IntN(100)) * time.Millisecond
			}
			all = append(all, tapway.Settlement{Message: m, Outcome: o})
		}
		if s.Settle(context.Background(), all) != nil {
			return
		}
	}
}

// Killed at any moment, again and again in the same directory: every acknowledged record is
// there, and the ledger adds up each time.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	acked := killOften(t, dir, true)
	q := openTest(t, dir, crashOptions(true))
	seen := map[string]bool{}
	for m, err := range q.Search(t.Context(), tapway.Search{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen[m.Query[len("n="):]] = true
	}
	for n := range acked {
		if !seen[n] {
			t.Errorf("record %s was acknowledged and is lost", n)
		}
	}
	// What the index answers is what the records say.
	f, err := filter.Parse("status == 404 && duration >= 100ms && path contains '/users/1'")
	if err != nil {
		t.Fatal(err)
	}
	s := f.Search()
	if with, without := len(searched(t, q, s)), len(searched(t, q, tapway.Search{Match: s.Match})); with != without || with == 0 && len(acked) > 5000 {
		t.Errorf("%d records found with the index, %d without", with, without)
	}
	finish(t, q, len(acked))
}

func searched(t *testing.T, q *Queue, s tapway.Search) (seqs []uint64) {
	t.Helper()
	for m, err := range q.Search(t.Context(), s) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, m.Seq)
	}
	return seqs
}

// The same while segments are deleted and emptied all the time: what was deleted was settled,
// so nothing is missed when the deliveries go on.
func TestKillWhileTidying(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	acked := killOften(t, dir, false)
	q := openTest(t, dir, crashOptions(false))
	finish(t, q, len(acked))
}

func killOften(t *testing.T, dir string, history bool) (acked map[string]bool) {
	acked = map[string]bool{}
	for round := range 22 {
		lines, stop := startVictim(t, dir, history)
		for l := range lines { // it works: now any moment is as good as another
			acked[l] = true
			break
		}
		kill := time.AfterFunc(time.Duration(rand.IntN(150))*time.Millisecond, stop)
		for l := range lines {
			acked[l] = true
		}
		kill.Stop()
		stop()
		q, err := Open(dir, crashOptions(history))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		account(t, q, "a")
		account(t, q, "b")
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return acked
}

// finish looks the store over and delivers what is left.
func finish(t *testing.T, q *Queue, acked int) {
	report, err := q.Check(t.Context(), nil)
	if err != nil || len(report.Damage) > 0 {
		t.Errorf("report %+v, error %v", report, err)
	}
	received(t, q)
	l := account(t, q, "a")
	if l.Dropped["damaged"] > 0 || q.last.Load() < uint64(acked) {
		t.Errorf("%d records acknowledged, %d stored: %+v", acked, q.last.Load(), l)
	}
	t.Logf("%d records acknowledged, %d stored: %+v", acked, q.last.Load(), l)
}

func startVictim(t *testing.T, dir string, history bool) (lines <-chan string, stop func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	if history {
		cmd.Env = append(cmd.Env, crashHistory+"=1")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ch := make(chan string, 1024)
	go func() {
		defer close(ch)
		defer cmd.Wait() // "signal: killed"; only then its lock is surely gone
		in := bufio.NewReader(out)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return // a last line without its end was perhaps not meant
			}
			ch <- line[:len(line)-1]
		}
	}()
	return ch, func() { cmd.Process.Kill() }
}
