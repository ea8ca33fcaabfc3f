package capture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// keepAll gives a keeper of rec that has seen body in pieces.
func keepAll(rec *Recorder, body string, piece int) *keeper {
	k := &keeper{rec: rec, grace: new(grace)}
	k.grace.reset(time.Minute)
	for len(body) > 0 {
		n := min(piece, len(body))
		k.add([]byte(body[:n]))
		body = body[n:]
	}
	return k
}

func recorder(t *testing.T, rec *Recorder) *Recorder {
	t.Helper()
	rec.Queue = newQueue(t)
	if rec.SpoolDir == "" {
		rec.SpoolDir = t.TempDir()
	}
	rec.Wrap(http.NotFoundHandler())
	return rec
}

func TestKeeper(t *testing.T) {
	for _, c := range []struct {
		name            string
		maxBody, memory int64
		size, piece     int
		kept            int
		spooled         bool
	}{
		{"nothing", 100, 1 << 20, 0, 1, 0, false},
		{"one below the limit", 100, 1 << 20, 99, 7, 99, false},
		{"at the limit", 100, 1 << 20, 100, 7, 100, false},
		{"one above the limit", 100, 1 << 20, 101, 7, 100, false},
		{"above in one piece", 100, 1 << 20, 5000, 5000, 100, false},
		{"limit is none", -1, 1 << 20, 50, 7, 0, false},
		{"a class full", 0, 1 << 20, 1 << 10, 1 << 9, 1 << 10, false},
		{"a class and one", 0, 1 << 20, 1<<10 + 1, 1 << 9, 1<<10 + 1, false},
		{"past the classes", 0, 64 << 20, 3_000_000, 32 << 10, 3_000_000, false},
		{"memory full", 0, 100_000, 300_000, 32 << 10, 300_000, true},
		{"no memory at all", 0, 1, 10, 3, 10, true},
		{"spooled to the limit", 200_000, 100_000, 200_000, 1000, 200_000, true},
		{"spooled past the limit", 200_000, 100_000, 200_001, 1000, 200_000, true},
		{"spooled in one piece past the limit", 200_000, 100_000, 900_000, 900_000, 200_000, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := recorder(t, &Recorder{MaxBody: c.maxBody, Memory: c.memory})
			body := long(c.size)
			k := keepAll(rec, body, c.piece)
			if k.spool != nil {
				if _, err := k.spool.read(k.grace); err != nil { // all is written
					t.Fatal(err)
				}
			}
			stats := rec.Stats()
			if stats.Memory > c.memory || (stats.SpoolFiles == 1) != c.spooled || c.spooled && stats.SpoolBytes != int64(c.kept) || !c.spooled && stats.Memory < int64(c.kept) {
				t.Errorf("%+v", stats)
			}
			if names, _ := filepath.Glob(filepath.Join(rec.SpoolDir, "*")); len(names) != 0 {
				t.Errorf("files with names: %v", names)
			}
			var b, w tapway.Body
			k.withheld(&w)
			k.body(&b)
			truncated := c.kept < c.size
			if string(b.Bytes) != body[:c.kept] || b.Size != int64(c.size) || b.Truncated != truncated || b.Summed != truncated {
				t.Errorf("kept %d of %d, truncated %v, summed %v", len(b.Bytes), b.Size, b.Truncated, b.Summed)
			}
			sum := sha256.Sum256([]byte(body))
			if truncated && b.Sum != sum || c.size > 0 && (w.Sum != sum || !w.Withheld || !w.Summed) || w.Bytes != nil || w.Withheld != (c.size > 0) {
				t.Errorf("sums of %+v, %+v", b.Sum, w.Sum)
			}
			k.free()
			nothingHeld(t, rec)
		})
	}
}

// A declared length picks the first buffer, but a lie cannot take much.
func TestKeeperHint(t *testing.T) {
	rec := recorder(t, &Recorder{})
	for hint, want := range map[int64]int64{0: 1 << 10, 1 << 10: 1 << 10, 10_000: 16 << 10, 1 << 40: maxHint} {
		k := &keeper{rec: rec, hint: hint}
		k.add([]byte("x"))
		if got := rec.Stats().Memory; got != want {
			t.Errorf("hint %d: %d bytes, want %d", hint, got, want)
		}
		k.free()
	}
}

// A body that cannot be spooled is lost, and still counted and summed.
func TestSpoolFails(t *testing.T) {
	body := long(20_000)
	check := func(t *testing.T, k *keeper, want string) {
		var b tapway.Body
		k.body(&b)
		if k.err == nil || b.Truncated || !b.Withheld || b.Bytes != nil || b.Size != int64(len(want)) || !b.Summed || b.Sum != sha256.Sum256([]byte(want)) {
			t.Errorf("%v, %+v", k.err, b)
		}
		rec := k.rec
		k.free()
		nothingHeld(t, rec)
	}
	t.Run("no directory", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, keepAll(recorder(t, &Recorder{Memory: 8 << 10, SpoolDir: file}), body, 1000), body)
	})
	t.Run("the disk goes away in the middle", func(t *testing.T) {
		k := keepAll(recorder(t, &Recorder{Memory: 8 << 10}), body, 1000)
		if _, err := k.spool.read(k.grace); err != nil {
			t.Fatal(err)
		}
		k.spool.file.Close()
		k.add([]byte("more"))
		check(t, k, body+"more")
	})
	t.Run("it hangs", func(t *testing.T) {
		rec := recorder(t, &Recorder{Memory: 8 << 10})
		takeDisk(t, rec)
		k := keepAll(rec, body, 1000)
		k.grace.reset(0)
		check(t, k, body)
	})
	t.Run("it hangs, and more comes than may wait for it", func(t *testing.T) {
		rec := recorder(t, &Recorder{Memory: 8 << 10})
		takeDisk(t, rec)
		k := keepAll(rec, body, 1000)
		k.grace.reset(0)
		rest := long(minPending)
		k.add([]byte(rest))
		if !k.lost || k.spool != nil {
			t.Error("it is still spooled")
		}
		check(t, k, body+rest)
	})
	t.Run("past the limit before", func(t *testing.T) {
		k := keepAll(recorder(t, &Recorder{Memory: 8 << 10, MaxBody: 10_000}), body, 1000)
		k.grace.reset(0)
		var b tapway.Body
		k.body(&b)
		if !b.Truncated || !b.Withheld || b.Size != 20_000 || b.Sum != sha256.Sum256([]byte(body)) {
			t.Errorf("%+v", b)
		}
		rec := k.rec
		k.free()
		nothingHeld(t, rec)
	})
}

// Pieces larger than the room for all that waits are written on while they are handed over.
func TestPieceLargerThanTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := long(5*minPending + 7)
		k := keepAll(recorder(t, &Recorder{Memory: 1}), body, len(body))
		if left := time.Duration(k.grace.left.Load()); k.lost || left != time.Minute {
			t.Errorf("lost %v: %v; of a minute's grace %v are left", k.lost, k.err, left)
		}
		var b tapway.Body
		if k.body(&b); string(b.Bytes) != body {
			t.Errorf("%d bytes read back", len(b.Bytes))
		}
		k.free()
	})
}

// What is on disk is not redacted yet: it must not be readable.
func TestSpoolIsEncrypted(t *testing.T) {
	rec := recorder(t, &Recorder{Memory: 1})
	k := keepAll(rec, strings.Repeat("s3cret", 1000), 100)
	defer k.free()
	if whole, err := k.spool.read(k.grace); err != nil || !bytes.Contains(whole, []byte("s3cret")) {
		t.Fatalf("read back %d bytes, %v", len(whole), err)
	}
	raw, err := io.ReadAll(io.NewSectionReader(k.spool.file, 0, 1<<20))
	if err != nil || len(raw) != 6000 || bytes.Contains(raw, []byte("s3c")) {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"tapway-spool-123", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k := keepAll(recorder(t, &Recorder{Memory: 1, SpoolDir: dir}), "x", 1)
	defer k.free()
	if _, err := k.spool.read(k.grace); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 || filepath.Base(names[0]) != "other" {
		t.Errorf("left: %v", names)
	}
}

// Many large bodies at once stay within the memory and are all recorded whole.
func TestMemoryIsBounded(t *testing.T) {
	const size, calls, memory = bigExchange, 5, 512 << 10
	q := newQueue(t)
	var mu sync.Mutex
	var peak int64
	finishing, most := 0, 0
	rec := &Recorder{Queue: q, Memory: memory, grace: time.Minute, SpoolDir: t.TempDir(), Redact: func(*tapway.Exchange) {
		mu.Lock()
		finishing++
		most = max(most, finishing)
		mu.Unlock()
	}}
	q.before = func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		finishing--
		return nil
	}
	var together sync.WaitGroup
	together.Add(calls)
	s := serve(t, rec, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		together.Done()
		together.Wait() // all bodies are held at once
		mu.Lock()
		peak = max(peak, rec.Stats().Memory)
		mu.Unlock()
		io.WriteString(w, long(1000))
	}, false)
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			res, err := s.client(false).Post("http://example.com/", "text/plain", strings.NewReader(fmt.Sprint(i)+long(size)))
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		})
	}
	wg.Wait()
	s.settled()
	if peak > memory {
		t.Errorf("%d bytes of buffers, %d allowed", peak, memory)
	}
	if most != 1 {
		t.Errorf("%d were finished at once, memory is for one", most)
	}
	seen := map[byte]bool{}
	for _, ex := range q.all() {
		if ex.Request.Truncated || string(ex.Request.Bytes[1:]) != long(size) {
			t.Errorf("recorded %d bytes", len(ex.Request.Bytes))
		}
		seen[ex.Request.Bytes[0]] = true
	}
	if len(seen) != calls {
		t.Errorf("%d of %d calls", len(seen), calls)
	}
}

// A call that finds neither memory nor a disk that keeps up is answered within the grace, and has
// its record: without bodies, with their sizes and sums, redacted.
func TestStarved(t *testing.T) {
	for _, c := range []struct {
		name               string
		memory             int64
		starve             func(t *testing.T, rec *Recorder)
		up, down           int
		keepsUp, keepsDown bool
		least, most        time.Duration
		bodiless           int64
	}{
		{"nothing is short", 0, func(*testing.T, *Recorder) {}, 1 << 20, 1 << 20, true, true, 0, 0, 0},
		{"no memory to finish", 0, takeFinishing, 10, bigExchange, false, false, defaultGrace, defaultGrace, 1},
		{"no memory to finish, which a small one needs not", 0, takeFinishing, 10, bigExchange - 11, true, true, 0, 0, 0},
		{"no memory to finish what was spooled", 16 << 10, takeFinishing, 20_000, 10, false, false, defaultGrace, defaultGrace, 1},
		{"the disk hangs, little to spool", 16 << 10, takeDisk, 20_000, 10, false, true, defaultGrace, defaultGrace, 1},
		{"the disk hangs, much to spool", 16 << 10, takeDisk, 1 << 20, 10, false, true, defaultGrace, defaultGrace, 1},
		{"the disk hangs, both ways", 16 << 10, takeDisk, 1 << 20, 1 << 20, false, false, defaultGrace, defaultGrace, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := &Recorder{SpoolDir: t.TempDir(), Memory: c.memory, Redact: func(ex *tapway.Exchange) { ex.Query = "[REDACTED]" }}
				s := serve(t, rec, func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					w.Header().Set("Content-Type", "text/plain")
					io.WriteString(w, long(c.down))
				}, true)
				c.starve(t, rec)
				start := time.Now()
				res, body, err := s.raw("POST", fmt.Sprintf("POST /?token=s3cret HTTP/1.1\r\nHost: example.com\r\nContent-Length: %d\r\n\r\n%s", c.up, long(c.up)))
				took := time.Since(start)
				if err != nil || res.StatusCode != 200 || body != long(c.down) {
					t.Fatalf("the client got %d bytes, %v", len(body), err)
				}
				if took < c.least || took > c.most {
					t.Errorf("it waited %v, want %v to %v", took, c.least, c.most)
				}
				ex := s.queue.one(t)
				if len(s.queue.dropped) != 0 || ex.Query != "[REDACTED]" || ex.Status != 200 {
					t.Errorf("dropped %v, recorded %+v", s.queue.dropped, ex.Meta)
				}
				for _, side := range []struct {
					b     tapway.Body
					size  int
					keeps bool
				}{{ex.Request, c.up, c.keepsUp}, {ex.Response, c.down, c.keepsDown}} {
					if side.b.Size != int64(side.size) || side.b.Withheld == side.keeps || side.b.Truncated {
						t.Errorf("size %d, withheld %v, truncated %v", side.b.Size, side.b.Withheld, side.b.Truncated)
					}
					if side.keeps && string(side.b.Bytes) != long(side.size) {
						t.Errorf("kept %d bytes of %d", len(side.b.Bytes), side.size)
					}
					if !side.keeps && (side.b.Bytes != nil || !side.b.Summed || side.b.Sum != sha256.Sum256([]byte(long(side.size)))) {
						t.Errorf("withheld: %+v", side.b)
					}
				}
				if rec.Bodiless() != c.bodiless {
					t.Errorf("%d calls counted", rec.Bodiless())
				}
				s.srv.Close()
				synctest.Wait()
				if rec.spooling.free != rec.spooling.size || rec.Stats() != (Stats{}) {
					t.Errorf("left behind: %+v", rec.Stats())
				}
			})
		})
	}
}

func takeFinishing(t *testing.T, rec *Recorder) {
	if _, err := rec.finishing.acquire(t.Context(), rec.finishing.size); err != nil {
		t.Error(err)
	}
}

func takeDisk(_ *testing.T, rec *Recorder) {
	for range maxDisk {
		rec.disk <- struct{}{}
	}
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		var order []int64
		take := func(n int64) {
			got, err := b.acquire(t.Context(), n)
			if err != nil {
				t.Error(err)
			}
			order = append(order, got)
		}
		take(4)
		take(6)
		go take(8)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		refused := make(chan error)
		go func() {
			_, err := b.acquire(ctx, 7)
			refused <- err
		}()
		synctest.Wait()
		go take(2)
		synctest.Wait()
		b.release(6) // not enough for 8, and nobody overtakes it
		synctest.Wait()
		if len(order) != 2 {
			t.Errorf("order %v", order)
		}
		b.release(4)
		synctest.Wait()
		if len(order) != 3 || order[2] != 8 {
			t.Errorf("order %v", order)
		}
		cancel() // 7 leaves, and 2 behind it fits
		if err := <-refused; err != context.Canceled {
			t.Error(err)
		}
		synctest.Wait()
		if len(order) != 4 || order[3] != 2 {
			t.Errorf("order %v", order)
		}
		go take(1000)
		synctest.Wait()
		b.release(8)
		b.release(2)
		synctest.Wait()
		if order[len(order)-1] != 10 {
			t.Errorf("more than all: %v", order)
		}
		b.release(10)
		if b.free != 10 {
			t.Errorf("%d free", b.free)
		}
	})
}
