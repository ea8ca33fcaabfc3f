package diskqueue

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// fill makes a store in dir with a destination "a" and n records of size bytes, and closes it.
func fill(t testing.TB, dir string, o Options, n, size int) {
	t.Helper()
	q, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := q.Enqueue(context.Background(), queuetest.Exchange(i, size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

// received drains destination "a" and gives the positions it got.
func received(t testing.TB, q *Queue) (seqs []uint64) {
	t.Helper()
	s, err := q.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if queued(t, q) == 0 {
			return seqs
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		msgs, err := s.Receive(ctx, 100)
		cancel()
		if err != nil {
			if queued(t, q) == 0 {
				return seqs // what was left turned out to be damaged
			}
			t.Fatal(err)
		}
		var all []tapway.Settlement
		for _, m := range msgs {
			if _, err := tapway.DecodeFrame(m.Frame); err != nil {
				t.Fatalf("position %d: %v", m.Seq, err)
			}
			seqs = append(seqs, m.Seq)
			all = append(all, tapway.Settlement{Message: m, Outcome: tapway.Outcome{Verdict: tapway.Delivered}})
		}
		if err := s.Settle(context.Background(), all); err != nil {
			t.Fatal(err)
		}
	}
}

func account(t testing.TB, q *Queue, name string) tapway.LedgerLine {
	t.Helper()
	l, err := q.Ledger(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if l.Difference() != 0 {
		t.Fatalf("the ledger is out by %d: %+v", l.Difference(), l)
	}
	for _, line := range l.Destinations {
		if line.Difference() != 0 {
			t.Fatalf("an account is out by %d: %+v", line.Difference(), line)
		}
		if line.Destination == name {
			return line
		}
	}
	t.Fatalf("no account of %s in %+v", name, l)
	return tapway.LedgerLine{}
}

func queued(t testing.TB, q *Queue) uint64 { t.Helper(); return account(t, q, "a").Queued }

func logFiles(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "log", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func upTo(n uint64) (seqs []uint64) {
	for i := range n {
		seqs = append(seqs, i+1)
	}
	return seqs
}

// A crash can leave the newest segment cut off at any byte. What was whole before the cut is
// there, the rest is not, and the positions are given out again.
func TestTornTail(t *testing.T) {
	base := t.TempDir()
	o := testOptions(t)
	o.Log = nil
	fill(t, base, o, 6, 40)
	whole, err := os.ReadFile(logFiles(t, base)[0])
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64
	q := openTest(t, base, o)
	w := window{f: mustOpen(t, logFiles(t, base)[0])}
	_, _, err = scan(&w, q.key, segmentHead, int64(len(whole)), 1, 6, false, func(_ uint64, off int64, frame []byte) error {
		ends = append(ends, off+entryHead+int64(len(frame)))
		return nil
	}, func(h hole) { t.Fatalf("damage in a new store: %+v", h) })
	if err != nil {
		t.Fatal(err)
	}
	q.Close()
	dir := filepath.Join(t.TempDir(), "torn")
	for cut := ends[2]; cut <= int64(len(whole)); cut++ {
		for _, zeros := range []int{0, 512} {
			copyDir(t, base, dir)
			torn := append(slices.Clone(whole[:cut]), make([]byte, zeros)...)
			if err := os.WriteFile(logFiles(t, dir)[0], torn, 0o600); err != nil {
				t.Fatal(err)
			}
			survived := uint64(0)
			for _, end := range ends {
				// A frame may end in zeros, which zeros behind the cut make whole again.
				if end <= cut || zeros > 0 && strings.Trim(string(whole[cut:end]), "\x00") == "" {
					survived++
				}
			}
			if report, err := Check(t.Context(), dir, nil); err != nil || report.Records != survived || len(report.Damage) > 0 {
				t.Fatalf("cut at %d: report %+v, error %v", cut, report, err)
			}
			checkAfterTear(t, dir, o, cut, survived)
		}
	}
}

func checkAfterTear(t *testing.T, dir string, o Options, cut int64, survived uint64) {
	t.Helper()
	q, err := Open(dir, o)
	if err != nil {
		t.Fatalf("cut at %d: %v", cut, err)
	}
	defer q.Close()
	if err := q.Enqueue(t.Context(), queuetest.Exchange(9, 10)); err != nil {
		t.Fatal(err)
	}
	if got := received(t, q); !slices.Equal(got, upTo(survived+1)) {
		t.Fatalf("cut at %d: received %v, want %d and a new one", cut, got, survived)
	}
	if l := account(t, q, "a"); l.Delivered != survived+1 || len(l.Dropped) > 0 {
		t.Fatalf("cut at %d: %+v", cut, l)
	}
}

func mustOpen(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Whatever bytes of the log are changed: all records that are still whole are delivered, the
// others are dropped as damaged, the ledger adds up, and Check names what was lost.
func TestBitFlips(t *testing.T) {
	base := t.TempDir()
	o := testOptions(t)
	o.Log, o.SegmentBytes = nil, 4<<10
	const n = 60
	fill(t, base, o, n, 150)
	dir := filepath.Join(t.TempDir(), "flipped")
	rapid.Check(t, func(r *rapid.T) {
		copyDir(t, base, dir)
		segs := logFiles(t, dir)
		for range rapid.IntRange(1, 5).Draw(r, "flips") {
			path := rapid.SampledFrom(segs).Draw(r, "segment")
			f := mustOpen(t, path)
			st, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			flip(r, f, st.Size())
			f.Close()
		}
		report, err := Check(t.Context(), dir, nil)
		if err != nil {
			r.Fatal(err)
		}
		q, err := Open(dir, o)
		if err != nil {
			r.Fatal(err)
		}
		defer q.Close()
		stored := q.last.Load() // a flip in the last records of all cannot be told from a torn write
		got := received(t, q)
		l := account(t, q, "a")
		lost := l.Dropped["damaged"]
		if uint64(len(got))+lost != stored || l.Delivered != uint64(len(got)) {
			r.Fatalf("%d stored, %d received, %+v", stored, len(got), l)
		}
		if report.Records != uint64(len(got)) {
			r.Fatalf("Check counts %d records, received %d", report.Records, len(got))
		}
		for seq := uint64(1); seq <= stored; seq++ {
			named := slices.ContainsFunc(report.Damage, func(d tapway.Damage) bool { return d.FromSeq <= seq && seq <= d.ToSeq })
			if whole := slices.Contains(got, seq); whole == named {
				r.Fatalf("position %d: received %v, named by Check %v: %+v", seq, whole, named, report.Damage)
			}
		}
		if lost > 20 {
			r.Fatalf("5 flips cost %d records", lost)
		}
	})
}

// flip changes one byte, or wipes a sector, or overwrites one with noise.
func flip(r *rapid.T, f *os.File, size int64) {
	off := rapid.Int64Range(0, size-1).Draw(r, "offset")
	b := []byte{0}
	switch rapid.IntRange(0, 2).Draw(r, "kind") {
	case 0:
		if _, err := f.ReadAt(b, off); err != nil {
			r.Fatal(err)
		}
		b[0] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
	case 1:
		b = make([]byte, min(512, size-off))
	case 2:
		b = rapid.SliceOfN(rapid.Byte(), 1, int(min(64, size-off))).Draw(r, "noise")
	}
	if _, err := f.WriteAt(b, off); err != nil {
		r.Fatal(err)
	}
}

// Someone who can choose what is in a body must not be able to have it taken for a record
// when the one around it is damaged.
func TestEntryInBody(t *testing.T) {
	dir := t.TempDir()
	q := openTest(t, dir, testOptions(t))
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	forged := logKey(0)
	inner := tapway.AppendFrame(nil, queuetest.Exchange(7, 10))
	body := make([]byte, entryHead)
	forged.putHead(body, 2, len(inner), 0)
	body = append(body, inner...)
	outer := queuetest.Exchange(1, 0)
	for range 16 { // at every alignment
		outer.Request.Bytes = append(append(outer.Request.Bytes, body...), 0)
	}
	for range 2 {
		if err := q.Enqueue(t.Context(), outer); err != nil {
			t.Fatal(err)
		}
	}
	q.Close()
	f := mustOpen(t, logFiles(t, dir)[0])
	if _, err := f.WriteAt([]byte{1, 2, 3}, segmentHead+8); err != nil {
		t.Fatal(err)
	}
	q = openTest(t, dir, testOptions(t))
	s, err := q.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := s.Receive(t.Context(), 10)
	if err != nil || len(msgs) != 1 || msgs[0].Seq != 2 || len(msgs[0].Frame) < len(body) {
		t.Fatalf("received %d messages, error %v", len(msgs), err)
	}
}

// The heads of segments and both copies of the store file are only needed once among them.
func TestLostHeads(t *testing.T) {
	for _, lose := range []string{"heads", "store", "store and one head"} {
		t.Run(lose, func(t *testing.T) {
			dir := t.TempDir()
			o := testOptions(t)
			o.SegmentBytes = 4 << 10
			fill(t, dir, o, 40, 200)
			segs := logFiles(t, dir)
			if len(segs) < 3 {
				t.Fatalf("only %d segments", len(segs))
			}
			for i, path := range segs {
				if lose == "heads" || strings.Contains(lose, "one head") && i == 0 {
					if _, err := mustOpen(t, path).WriteAt(make([]byte, segmentHead), 0); err != nil {
						t.Fatal(err)
					}
				}
			}
			if strings.HasPrefix(lose, "store") {
				if err := os.Remove(filepath.Join(dir, "store")); err != nil {
					t.Fatal(err)
				}
			}
			if report, err := Check(t.Context(), dir, nil); err != nil || len(report.Damage) == 0 || report.Records != 40 {
				t.Fatalf("report %+v, error %v", report, err)
			}
			q := openTest(t, dir, o)
			if got := received(t, q); !slices.Equal(got, upTo(40)) {
				t.Fatalf("received %v", got)
			}
		})
	}
}

// Without the state database everything that is stored is delivered once more, and every
// account begins anew and adds up.
func TestLostState(t *testing.T) {
	damage := map[string]func(t *testing.T, path string){
		"missing": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(t *testing.T, path string) {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		},
		"cut": func(t *testing.T, path string) {
			if err := os.Truncate(path, 9000); err != nil {
				t.Fatal(err)
			}
		},
		"noise": func(t *testing.T, path string) {
			f := mustOpen(t, path)
			st, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			for off := int64(8192); off < st.Size(); off += 64 {
				if _, err := f.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(off)*0x9e3779b97f4a7c15), off); err != nil {
					t.Fatal(err)
				}
			}
		},
	}
	for name, harm := range damage {
		for _, names := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, names kept %v", name, names), func(t *testing.T) {
				dir := t.TempDir()
				fill(t, dir, testOptions(t), 30, 100)
				q := openTest(t, dir, testOptions(t))
				if got := received(t, q); len(got) != 30 {
					t.Fatalf("received %v", got)
				}
				q.Close()
				harm(t, filepath.Join(dir, "state.db"))
				if !names {
					if err := os.Remove(filepath.Join(dir, "destinations")); err != nil {
						t.Fatal(err)
					}
				}
				if report, err := Check(t.Context(), dir, nil); err != nil || len(report.Damage) == 0 {
					t.Fatalf("report %+v, error %v", report, err)
				}
				q = openTest(t, dir, testOptions(t))
				if got := received(t, q); !slices.Equal(got, upTo(30)) {
					t.Fatalf("received %v", got)
				}
				if l := account(t, q, "a"); l.Captured != 30 || l.Delivered != 30 {
					t.Fatalf("account: %+v", l)
				}
			})
		}
	}
}

// A store file that cannot be read is spoken of, also where nothing else tells that there was one.
func TestLostStore(t *testing.T) {
	for name, tt := range map[string]struct {
		store  string
		filled bool
		lost   bool
	}{
		"new":                    {"", false, false},
		"never written":          {strings.Repeat("\x00", 2*storeSlot), false, false},
		"noise":                  {strings.Repeat("noise", 1000), false, true},
		"noise beside records":   {strings.Repeat("noise", 1000), true, true},
		"emptied beside records": {"", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, o := t.TempDir(), testOptions(t)
			if tt.filled {
				fill(t, dir, o, 3, 100)
			}
			if tt.store != "" || tt.filled {
				if err := os.WriteFile(filepath.Join(dir, "store"), []byte(tt.store), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			o.Log = slog.New(slog.NewTextHandler(&log, nil))
			q := openTest(t, dir, o)
			if got := strings.Contains(log.String(), "the store file was lost"); got != tt.lost {
				t.Errorf("%q", log.String())
			}
			if tt.filled {
				if got := received(t, q); !slices.Equal(got, upTo(3)) {
					t.Errorf("received %v", got)
				}
			}
		})
	}
}

// A lost or wrong index is made anew; nobody notices.
func TestLostIndex(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(t)
	o.SegmentBytes = 4 << 10
	fill(t, dir, o, 40, 200)
	q := openTest(t, dir, o)
	if err := q.indexSealed(); err != nil {
		t.Fatal(err)
	}
	q.Close()
	indexes, err := filepath.Glob(filepath.Join(dir, "log", "*.idx"))
	if err != nil || len(indexes) < 3 {
		t.Fatalf("%d indexes, error %v", len(indexes), err)
	}
	for i, path := range indexes {
		f := mustOpen(t, path)
		switch i % 4 {
		case 3: // it lies about an offset
			_, err = f.WriteAt([]byte{77}, indexHead+4*6)
		case 0:
			err = os.Remove(path)
		case 1:
			_, err = f.WriteAt([]byte("noise"), indexHead+int64(i))
		case 2:
			err = f.Truncate(100)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	q = openTest(t, dir, o)
	var got []uint64
	for m, err := range q.Search(t.Context(), tapway.Search{Oldest: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Seq)
	}
	if !slices.Equal(got, upTo(40)) {
		t.Fatalf("found %v", got)
	}
	for seq := uint64(1); seq <= 40; seq++ {
		if _, err := q.LoadSeq(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLyingIndex: whatever rows an index file has, with a checksum that fits or not, no record is passed over or taken for another's,
// by a reader that begins amid a segment or by one that looks for a position.
func TestLyingIndex(t *testing.T) {
	offset := func(data []byte, row int) []byte {
		rows := int(binary.LittleEndian.Uint32(data[12:]))
		return data[indexHead+4*(rows+row):][:4]
	}
	for name, lie := range map[string]func(data []byte, row int){
		"far behind the end": func(data []byte, row int) { binary.LittleEndian.PutUint32(offset(data, row), 1<<32-1) },
		"at the end": func(data []byte, row int) {
			binary.LittleEndian.PutUint32(offset(data, row), uint32(binary.LittleEndian.Uint64(data[24:])/8))
		},
		"in the head":       func(data []byte, row int) { binary.LittleEndian.PutUint32(offset(data, row), 0) },
		"at a later entry":  func(data []byte, row int) { copy(offset(data, row), offset(data, row+2)) },
		"at an earlier one": func(data []byte, row int) { copy(offset(data, row+2), offset(data, row)) },
		"amid an entry":     func(data []byte, row int) { offset(data, row)[0] ^= 1 },
		"of no such entry":  func(data []byte, row int) { data[indexHead+4*row] ^= 64 },
	} {
		for _, signed := range []bool{false, true} {
			if signed && name == "of no such entry" {
				continue // an index that is what was written says which entries there are
			}
			t.Run(fmt.Sprintf("%s, checksum right: %v", name, signed), func(t *testing.T) {
				dir, o := t.TempDir(), testOptions(t)
				o.SegmentBytes = 8 << 10
				fill(t, dir, o, 80, 200)
				q := openTest(t, dir, o)
				if err := q.indexSealed(); err != nil {
					t.Fatal(err)
				}
				s, err := q.Subscribe("a")
				if err != nil {
					t.Fatal(err)
				}
				// Some at a time, so that what is left begins amid a segment.
				for left := 30; left > 0; {
					msgs, err := s.Receive(t.Context(), left)
					if err != nil {
						t.Fatal(err)
					}
					var all []tapway.Settlement
					for _, m := range msgs {
						all = append(all, tapway.Settlement{Message: m, Outcome: tapway.Outcome{Verdict: tapway.Delivered}})
					}
					if err := s.Settle(t.Context(), all); err != nil {
						t.Fatal(err)
					}
					left -= len(msgs)
				}
				q.Close()
				indexes, err := filepath.Glob(filepath.Join(dir, "log", "*.idx"))
				if err != nil || len(indexes) < 3 {
					t.Fatalf("%d indexes, error %v", len(indexes), err)
				}
				for _, path := range indexes {
					data, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					for row := 0; row+2 < int(binary.LittleEndian.Uint32(data[12:])); row += 3 {
						lie(data, row)
					}
					if signed {
						data = mendIndex(data)
					}
					if err := os.WriteFile(path, data, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				q = openTest(t, dir, o)
				if got := received(t, q); !slices.Equal(got, upTo(80)[30:]) {
					t.Errorf("received %v", got)
				}
				q.Close()
				q = openTest(t, dir, o)
				for seq := uint64(1); seq <= 80; seq++ {
					if _, err := q.LoadSeq(t.Context(), seq); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// FuzzSegment gives the reader of segments anything for a file.
func FuzzSegment(f *testing.F) {
	key := logKey(12345)
	good := appendSegmentHead(nil, 1, key)
	for seq := range uint64(3) {
		frame := tapway.AppendFrame(nil, queuetest.Exchange(int(seq), 20))
		at := len(good)
		good = append(append(good, make([]byte, entryHead)...), frame...)
		key.putHead(good[at:], seq+1, len(frame), crcOf(frame))
		good = append(good, make([]byte, aligned(len(good))-len(good))...)
	}
	f.Add(good)
	f.Add(good[:len(good)-9])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		w := window{f: readerAt(data), reuse: true}
		last, bytes := uint64(0), int64(segmentHead)
		tail, seq, err := scan(&w, key, segmentHead, int64(len(data)), 1, 1<<63, false, func(seq uint64, off int64, frame []byte) error {
			if seq <= last || off < bytes || off+entryHead+int64(len(frame)) > int64(len(data)) {
				t.Fatalf("position %d at %d behind position %d at %d", seq, off, last, bytes)
			}
			last, bytes = seq, off+entryHead+int64(len(frame))
			tapway.DecodeMeta(frame)
			return nil
		}, func(h hole) {
			if h.from > h.to && h.size == 0 {
				t.Fatalf("damage of nothing: %+v", h)
			}
		})
		if err != nil || seq != last || tail < bytes {
			t.Fatalf("ends at %d with position %d, error %v; last entry %d ends at %d", tail, seq, err, last, bytes)
		}
	})
}

// FuzzIndex gives the reader of index files anything.
func FuzzIndex(f *testing.F) {
	x := newIndex(1)
	for n := range 5 {
		x.add(uint64(n+1), int64(40+n*800), &queuetest.Exchange(n, 0).Meta)
	}
	f.Add(x.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		// The checksums keep most of it away from the decoder: mend them.
		for _, mended := range [][]byte{data, mendIndex(data)} {
			x, err := decodeIndex(mended)
			if err != nil {
				continue
			}
			rows := newRowFilter(x, &tapway.Search{Hint: tapway.Hint{PathPrefix: "/", Methods: []string{"GET"}}, Maybe: func(m *tapway.Meta) bool { return m.Path != "" }}, 1<<62)
			var m tapway.Meta
			for i := rows.from; i < rows.to; i++ {
				rows.match(i)
				rows.maybe(i, &m)
			}
		}
	})
}

func readerAt(b []byte) io.ReaderAt { return strings.NewReader(string(b)) }

func mendIndex(data []byte) []byte {
	if len(data) < indexHead {
		return data
	}
	b := slices.Clone(data)
	copy(b, indexWord)
	binary.LittleEndian.PutUint32(b[8:], indexVersion)
	binary.LittleEndian.PutUint32(b[indexHead-8:], crcOf(b[indexHead:]))
	binary.LittleEndian.PutUint32(b[indexHead-4:], crcOf(b[:indexHead-4]))
	return b
}
