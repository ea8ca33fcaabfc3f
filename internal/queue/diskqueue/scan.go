package diskqueue

import (
	"errors"
	"io"
)

// windowSize is how much a reader takes from the disk at once. Frames handed out keep their
// window alive, so it bounds what one forgotten lease can hold.
const windowSize = 256 << 10

// window reads a file in large pieces. Unless reuse is set, every piece is fresh memory, so
// that what bytes returned stays valid.
type window struct {
	f     io.ReaderAt
	reuse bool
	buf   []byte
	off   int64

	failed error // why a part of buf could not be read; nil: all of it was
	ever   error // the same of any piece so far
	blind  int64 // where the last of what could not be read ends; 0: all was
}

// bytes gives n bytes at off; end is where reading must stop. Where the disk cannot be read
// it gives zeros, which no checksum takes for an entry.
func (w *window) bytes(off int64, n int, end int64) []byte {
	if i := off - w.off; i >= 0 && i+int64(n) <= int64(len(w.buf)) {
		return w.buf[i : i+int64(n) : i+int64(n)]
	}
	size := int64(max(n, windowSize))
	size = min(size, end-off)
	if size < int64(n) {
		return nil
	}
	if !w.reuse || int64(cap(w.buf)) < size {
		w.buf = make([]byte, size)
	}
	w.buf, w.off, w.failed = w.buf[:size], off, nil
	if got, err := w.f.ReadAt(w.buf, off); got < len(w.buf) {
		if err == nil || errors.Is(err, io.EOF) {
			clear(w.buf[got:])
		} else {
			w.failed, w.ever = err, err
			w.blind = max(w.blind, readAround(w.f, w.buf, off))
		}
	}
	return w.buf[:n:n]
}

// readAround reads page by page, so that one unreadable page costs only what lies on it. blind is where the
// last of those ends; 0 if there is none.
func readAround(f io.ReaderAt, buf []byte, off int64) (blind int64) {
	const page = 4096
	for len(buf) > 0 {
		part := buf[:min(page-int(off%page), len(buf))]
		if n, err := f.ReadAt(part, off); n < len(part) {
			clear(part[n:])
			if refused(err) {
				blind = off + int64(len(part))
			}
		}
		buf, off = buf[len(part):], off+int64(len(part))
	}
	return blind
}

// entryAt reads and verifies the entry at off. size is what it takes up with its padding.
func (w *window) entryAt(key logKey, off, end int64) (seq uint64, frame []byte, size int64, err error) {
	head := w.bytes(off, entryHead, end)
	if head == nil {
		return 0, nil, 0, errNoEntry
	}
	seq, n, err := key.parseHead(head)
	if err != nil {
		return 0, nil, 0, err
	}
	whole := w.bytes(off, entryHead+n, end)
	if whole == nil || !key.check(whole[:entryHead], whole[entryHead:]) {
		return 0, nil, 0, errDamaged
	}
	return seq, whole[entryHead:], int64(aligned(entryHead + n)), nil
}

// resync finds the next good entry at or behind off whose position lies in min..max.
// ok is false when there is none before end.
func (w *window) resync(key logKey, off, end int64, low, high uint64) (at int64, ok bool) {
	magic := key.magic()
	for off = (off + 7) &^ 7; off+entryHead <= end; off += 8 {
		// One whole piece at a time: looking word by word through bytes would be slow.
		piece := w.bytes(off, int(min(windowSize, end-off)), end)
		i := nextMagic(piece, magic)
		if i < 0 {
			off += int64(len(piece)&^7) - 8
			continue
		}
		off += int64(i)
		seq, _, _, err := w.entryAt(key, off, end)
		if err == nil && seq >= low && seq <= high {
			return off, true
		}
	}
	return 0, false
}

func nextMagic(b []byte, magic uint32) int {
	b0, b1, b2, b3 := byte(magic), byte(magic>>8), byte(magic>>16), byte(magic>>24)
	for i := 0; i+4 <= len(b); i += 8 {
		if b[i] == b0 && b[i+1] == b1 && b[i+2] == b2 && b[i+3] == b3 {
			return i
		}
	}
	return -1
}

// hole is a stretch of a segment that cannot be read.
type hole struct {
	off, size int64
	from, to  uint64 // the positions lost; none when from > to
}

// scan walks a segment from off to end. Positions run from first to last; in a sparse
// segment they may leave some out. Entries come in order; what cannot be read is a hole.
// Zeros up to the end are no hole unless positions are missing: they are unused space.
// It returns where the last entry ends and its position, first-1 if there is none.
func scan(w *window, key logKey, off, end int64, first, last uint64, sparse bool, entry func(seq uint64, off int64, frame []byte) error, damage func(hole)) (tail int64, seq uint64, err error) {
	tail, expect := off, first
	for {
		at := tail
		got, frame, size, err := w.entryAt(key, at, end)
		if err == nil && (got < expect || got > last) {
			err = errDamaged
		}
		if err != nil {
			next, ok := w.resync(key, at, end, expect, last)
			if !ok {
				return tail, expect - 1, nil
			}
			at = next
			got, frame, size, _ = w.entryAt(key, at, end)
		}
		if at > tail || got > expect && !sparse {
			damage(hole{off: tail, size: at - tail, from: expect, to: got - 1})
		}
		if err := entry(got, at, frame); err != nil {
			return tail, expect - 1, err
		}
		tail, expect = at+size, got+1
	}
}
