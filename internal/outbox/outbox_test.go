package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/diskqueue"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/record"
	"github.com/tapway/tapway/internal/spill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an outbox for the destination "a" on a real disk, and what is sent from it.
type world struct {
	*testing.T
	disk *diskqueue.Queue
	box  *Outbox
	log  *lockedBuffer
	end  func()

	mu   sync.Mutex
	sent map[string]int // by path
	send func(ctx context.Context, ex *tapway.Exchange) error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte(text))
}

func newWorld(t *testing.T, o diskqueue.Options, bucket tapway.BlobStore) *world {
	t.Helper()
	w := &world{T: t, sent: map[string]int{}, log: new(lockedBuffer)}
	o.History = diskqueue.History{MaxAge: -1, MaxBytes: -1}
	var err error
	if w.disk, err = diskqueue.Open(t.TempDir(), o); err != nil {
		t.Fatal(err)
	}
	w.box, err = New(Config{
		Local: w.disk, Destinations: []string{"a"}, Bucket: bucket, MaxPause: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(w.log, nil)),
		Send: func(ctx context.Context, ex *tapway.Exchange, destination string) error {
			if destination != "a" {
				t.Errorf("sent to %q", destination)
			}
			w.mu.Lock()
			send := w.send
			w.mu.Unlock()
			if send != nil {
				if err := send(ctx, ex); err != nil {
					return err
				}
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sent[ex.Path]++
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.box.Run(ctx) })
	running.Go(func() { _ = w.disk.Run(ctx) })
	w.end = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(func() { w.end(); w.disk.Close() })
	return w
}

func (w *world) sends(f func(ctx context.Context, ex *tapway.Exchange) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.send = f
}

func (w *world) enqueue(path string, body int) error {
	at := time.Now()
	return w.disk.Enqueue(w.Context(), &tapway.Exchange{
		Meta:    tapway.Meta{ID: tapway.NewID(at), Time: at, Method: "POST", Path: path},
		Request: tapway.Body{Bytes: bytes.Repeat([]byte("a"), body), Size: int64(body)},
	})
}

func (w *world) fill(n int) {
	w.Helper()
	for i := range n {
		if err := w.enqueue(fmt.Sprint("/", i), 10); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) line() tapway.LedgerLine {
	w.Helper()
	l, err := w.disk.Ledger(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if d := l.Destinations[0].Difference(); d != 0 {
		w.Errorf("the ledger differs by %d", d)
	}
	return l.Destinations[0]
}

func (w *world) until(what string, is func() bool) {
	w.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("waited in vain for %s: %+v", what, w.line())
		}
	}
}

// blobs is a bucket in memory.
type blobs struct {
	tapway.BlobStore
	mu   sync.Mutex
	keys map[string][]byte
	fail error
}

func (b *blobs) Put(_ context.Context, key string, body []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	if b.keys == nil {
		b.keys = map[string][]byte{}
	}
	b.keys[key] = body
	return nil
}

func (b *blobs) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.keys)
}

var errAway = errors.New("no answer")

func never(context.Context, *tapway.Exchange) error { return errAway }

// TestEach is sent once and leaves the disk.
func TestEach(t *testing.T) {
	w := newWorld(t, diskqueue.Options{}, nil)
	w.fill(200)
	w.until("all", func() bool { return w.line().Delivered == 200 })
	if len(w.sent) != 200 {
		t.Errorf("%d were sent", len(w.sent))
	}
	for path, n := range w.sent {
		if n != 1 {
			t.Errorf("%s was sent %d times", path, n)
		}
	}
}

// TestAway: while nothing can be sent it says so once, tries a few only, and keeps everything.
func TestAway(t *testing.T) {
	w := newWorld(t, diskqueue.Options{}, &blobs{})
	var trying, most, tries atomic.Int64
	w.sends(func(context.Context, *tapway.Exchange) error {
		n := trying.Add(1)
		defer trying.Add(-1)
		defer tries.Add(1)
		time.Sleep(time.Millisecond)
		if w.box.Err() != nil && n > most.Load() {
			most.Store(n)
		}
		return errAway
	})
	w.fill(1)
	w.until("trouble", func() bool { return errors.Is(w.box.Err(), errAway) })
	w.until("the first tries to end", func() bool { return trying.Load() == 0 })
	most.Store(0)
	tries.Store(0)
	w.fill(100)
	w.until("many tries", func() bool { return tries.Load() > 5*maxTrying })
	if n := most.Load(); n > maxTrying {
		t.Errorf("%d tries at a time", n)
	}
	if n := w.log.count("the queue takes no records"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if l := w.line(); l.Queued != 101 || w.box.Bucket.(*blobs).count() != 0 {
		t.Errorf("ledger %+v", l)
	}
	w.sends(nil)
	w.until("all", func() bool { return w.line().Delivered == 101 })
	if w.box.Err() != nil || w.log.count("takes records again") != 1 {
		t.Errorf("afterwards: %v, said %d times", w.box.Err(), w.log.count("takes records again"))
	}
}

// TestOneFails: a record that cannot be sent holds up nobody and is no trouble for all.
func TestOneFails(t *testing.T) {
	w := newWorld(t, diskqueue.Options{}, nil)
	var good atomic.Int64
	w.sends(func(_ context.Context, ex *tapway.Exchange) error {
		if ex.Path != "/7" {
			good.Add(1)
			return nil
		}
		for before := good.Load(); good.Load() == before; time.Sleep(time.Millisecond) { // another one is sent meanwhile
		}
		return errAway
	})
	w.fill(100)
	w.until("the others", func() bool { return w.line().Delivered == 99 })
	w.until("its first failure", func() bool { return w.log.count("although others were") == 1 })
	if err := w.box.Err(); err != nil {
		t.Errorf("trouble: %v", err)
	}
	w.sends(nil)
	w.until("it", func() bool { return w.line().Delivered == 100 })
}

// TestTooLarge: what can never be sent is given up, and said.
func TestTooLarge(t *testing.T) {
	w := newWorld(t, diskqueue.Options{}, nil)
	w.sends(func(context.Context, *tapway.Exchange) error { return fmt.Errorf("x: %w", sqsqueue.ErrTooLarge) })
	w.enqueue("/small", 10)
	w.enqueue("/large", spill.MaxLogged)
	w.until("both", func() bool { return w.line().Queued == 0 })
	if l := w.line(); l.Dropped["logged"] != 1 || l.Dropped["too-large"] != 1 || w.log.count("this line is all there is") != 2 {
		t.Errorf("ledger %+v", l)
	}
}

// TestNearlyFull: before the disk takes no more, the bucket takes what cannot be sent.
func TestNearlyFull(t *testing.T) {
	b := new(blobs)
	w := newWorld(t, diskqueue.Options{MaxBytes: 1 << 20, SegmentBytes: 64 << 10, Durability: diskqueue.Write}, b)
	w.sends(never)
	accepted := uint64(0)
	for i := range 500 { // 4 MB in all
		if err := w.enqueue(fmt.Sprint("/", i), 8<<10); err == nil {
			accepted++
		} else if !errors.Is(err, tapway.ErrQueueFull) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // slower than a bucket, faster than the limit allows
	}
	l := w.line()
	if l.Dropped["spilled"] == 0 || int(l.Dropped["spilled"]) != b.count() || l.Dropped["spilled"]+l.Queued != accepted {
		t.Errorf("%d accepted, %d in the bucket, ledger %+v", accepted, b.count(), l)
	}
	if accepted < 450 {
		t.Errorf("only %d of 500 were accepted: the bucket does not make room", accepted)
	}
	w.sends(nil)
	w.until("the rest", func() bool { l := w.line(); return l.Queued == 0 && l.Delivered+l.Dropped["spilled"] == accepted })
}

// TestFlush: the end of a process.
func TestFlush(t *testing.T) {
	blocked := func(ctx context.Context, _ *tapway.Exchange) error { <-ctx.Done(); return ctx.Err() }
	for name, tt := range map[string]struct {
		send    func(context.Context, *tapway.Exchange) error
		bucket  *blobs
		trouble bool // before the end
		left    uint64
		spilled int
	}{
		"all can be sent":             {nil, new(blobs), false, 0, 0},
		"SQS away, bucket":            {never, new(blobs), true, 0, 50},
		"SQS away, no bucket":         {never, nil, true, 50, 0},
		"SQS and bucket away":         {never, &blobs{fail: errAway}, true, 50, 0},
		"SQS silent, bucket":          {blocked, new(blobs), false, 0, 50},
		"SQS silent, no bucket":       {blocked, nil, false, 50, 0},
		"SQS silent, and bucket away": {blocked, &blobs{fail: errAway}, false, 50, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var bucket tapway.BlobStore
			if tt.bucket != nil {
				bucket = tt.bucket
			}
			w := newWorld(t, diskqueue.Options{}, bucket)
			w.sends(tt.send)
			w.fill(50)
			if tt.trouble {
				w.until("trouble", func() bool { return w.box.Err() != nil })
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if left := w.box.Flush(ctx); left != tt.left {
				t.Errorf("%d left, want %d", left, tt.left)
			}
			w.end()
			if l := w.line(); l.Queued != tt.left || int(l.Dropped["spilled"]) != tt.spilled || tt.bucket != nil && tt.bucket.count() != tt.spilled {
				t.Errorf("ledger %+v", l)
			}
			if tt.spilled > 0 {
				for key, text := range tt.bucket.keys {
					if ex, err := record.Parse(text); err != nil || spill.Key("a", &ex.Meta) != key {
						t.Errorf("%s: %v", key, err)
					}
				}
			}
		})
	}
}

// TestManyBytes: large records do not go all at once.
func TestManyBytes(t *testing.T) {
	w := newWorld(t, diskqueue.Options{Durability: diskqueue.Write}, nil)
	var now atomic.Int64
	release := make(chan struct{})
	w.sends(func(_ context.Context, ex *tapway.Exchange) error {
		now.Add(int64(len(ex.Request.Bytes)))
		<-release
		return nil
	})
	for i := range 12 {
		if err := w.enqueue(fmt.Sprint("/", i), 8<<20); err != nil {
			t.Fatal(err)
		}
	}
	w.until("as many as may", func() bool { return now.Load() >= maxBytes })
	time.Sleep(500 * time.Millisecond)        // a chance for more
	if n := now.Load(); n > maxBytes+24<<20 { // what one Receive gives at most comes on top
		t.Errorf("%d MiB at a time", n>>20)
	}
	close(release)
	w.until("all", func() bool { return w.line().Delivered == 12 })
}
