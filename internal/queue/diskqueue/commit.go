package diskqueue

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
)

const (
	// largeFrame is from where a frame is encoded outside the lock, in its own memory.
	largeFrame = 128 << 10
	// maxBatch is how much may wait for the running commit; whoever comes later blocks.
	maxBatch = 16 << 20
	// spareBatch is how large a buffer is kept for another batch, and spareBatches how many are.
	spareBatch   = 4 << 20
	spareBatches = 2
	// syncEvery is how old unsynced records get in Write mode.
	syncEvery = 10 * time.Millisecond
	// retryEvery is how often a full disk is asked again.
	retryEvery = 100 * time.Millisecond
)

// writer appends to the log. Callers put their frames into the current batch; the first one
// that finds nobody writing writes and syncs the whole batch for all of them, and hands over
// to a caller of the next batch. There is no goroutine of its own.
type writer struct {
	q *Queue

	mu      sync.Mutex
	room    sync.Cond // the batch was cut, or the last leader has left
	cur     *batch    // being filled
	free    []*batch  // for reuse: while one is written the next fills, and its leader needs a third
	leading bool
	closed  bool
	waiters sync.Pool
	spare   file // a preallocated file for the next segment, made by Run; nil if none
	spareN  int64
	moving  bool // what was the spare file is still in its place: no other may be made there

	// What follows belongs to the leader.
	seg      *segment // nil until the first append
	f        file
	off, cap int64
	next     uint64
	lastErr  error // of the last attempt to begin a segment
	retryAt  time.Time
	lastSync time.Time

	suspect atomic.Bool // a background sync has failed: write no more into this segment
	late    lateWork
}

type batch struct {
	buf     []byte
	bytes   int64
	pending []pending
}

// pending is one entry of a batch: in buf at off, or in own.
type pending struct {
	off, length int
	own         []byte
	crc         uint32
	w           *waiter
}

// waiter is where a caller sleeps. It is told either that it leads now or how it ended.
type waiter struct {
	wake chan struct{}
	lead bool
	err  error
}

// Enqueue appends ex to the log; see [tapway.Queue].
func (q *Queue) Enqueue(ctx context.Context, ex *tapway.Exchange) error {
	err := ctx.Err()
	if err == nil {
		err = q.w.append(ex)
	}
	if err == nil {
		return nil
	}
	if reason := dropReason(err); reason != "" {
		q.Drop(reason)
		q.counters.flush(false)
	}
	return fmt.Errorf("enqueue: %w", err)
}

// dropReason names a failed Enqueue for the ledger.
func dropReason(err error) string {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	case errors.Is(err, errOverLimit):
		return "queue-full"
	case noSpace(err):
		return "disk-full"
	case errors.Is(err, errTooLarge):
		return "too-large"
	case errors.Is(err, tapway.ErrClosed):
		return "closed"
	}
	return "disk-error"
}

var errOverLimit = fmt.Errorf("%w: the limit is reached with records that nobody has received yet", tapway.ErrQueueFull)

func (w *writer) append(ex *tapway.Exchange) error {
	size := tapway.FrameSize(ex)
	if size > maxFrame {
		return errTooLarge
	}
	var own []byte
	if size > largeFrame {
		own = tapway.AppendFrame(make([]byte, entryHead, aligned(entryHead+size)), ex)
	}
	if err := w.q.ensureRoom(int64(size)); err != nil {
		return err
	}
	me := w.waiter()
	w.mu.Lock()
	for w.leading && w.cur.bytes > maxBatch && !w.closed {
		w.room.Wait()
	}
	if w.closed {
		w.mu.Unlock()
		return tapway.ErrClosed
	}
	w.cur.add(ex, own, me)
	me.lead = !w.leading
	if me.lead {
		w.leading = true
		w.mu.Unlock()
	} else {
		w.mu.Unlock()
		<-me.wake
	}
	if me.lead {
		me.lead = false
		w.lead(me)
	}
	err := me.err
	me.err = nil
	w.waiters.Put(me)
	return err
}

// waiter comes from the writer's own pool: a channel made in one synctest bubble must not be
// used in another.
func (w *writer) waiter() *waiter {
	if me, ok := w.waiters.Get().(*waiter); ok {
		return me
	}
	return &waiter{wake: make(chan struct{}, 1)}
}

func (b *batch) add(ex *tapway.Exchange, own []byte, me *waiter) {
	p := pending{w: me, own: own}
	var frame []byte
	if own != nil {
		frame = own[entryHead:]
		p.own = append(own, make([]byte, aligned(len(own))-len(own))...)
	} else {
		p.off = len(b.buf)
		b.buf = append(b.buf, make([]byte, entryHead)...)
		b.buf = tapway.AppendFrame(b.buf, ex)
		frame = b.buf[p.off+entryHead:]
		for len(b.buf)%8 != 0 {
			b.buf = append(b.buf, 0)
		}
	}
	p.length = len(frame)
	p.crc = crcOf(frame)
	b.bytes += int64(aligned(entryHead + len(frame)))
	b.pending = append(b.pending, p)
}

// lead writes the current batch, tells everyone in it, and makes the first caller of the
// next batch the leader. me is the leader's own place in the batch.
func (w *writer) lead(me *waiter) {
	// Those the last leader has just woken are about to come back with their next record: let
	// them on board, or they wait for a commit more than they need. One turn through the run
	// queue saves a third of the syncs under load, two save half; an idle process takes none.
	runtime.Gosched()
	runtime.Gosched()
	w.mu.Lock()
	b := w.cur
	w.cur = &batch{}
	if n := len(w.free) - 1; n >= 0 {
		w.cur, w.free[n] = w.free[n], nil
		w.free = w.free[:n]
	}
	w.room.Broadcast()
	w.mu.Unlock()

	err := w.write(b)

	w.handOver()
	for i := range b.pending {
		p := b.pending[i].w
		p.err = err
		if p != me {
			p.wake <- struct{}{}
		}
	}
	if cap(b.buf) <= spareBatch {
		clear(b.pending)
		b.buf, b.pending, b.bytes = b.buf[:0], b.pending[:0], 0
		w.mu.Lock()
		if len(w.free) < spareBatches {
			w.free = append(w.free, b)
		}
		w.mu.Unlock()
	}
}

// write makes a batch durable and then visible. On an error none of it counts: the segment is
// left behind at the end of the batch before, and the next one begins with the same position.
func (w *writer) write(b *batch) error {
	if w.f == nil || w.off+b.bytes > w.cap || w.suspect.Load() {
		if err := w.roll(b.bytes); err != nil {
			return err
		}
	}
	key := w.q.key
	offs := make([]uint32, len(b.pending))
	off := w.off
	for i := range b.pending {
		p := &b.pending[i]
		head := p.own
		if head == nil {
			head = b.buf[p.off:]
		}
		key.putHead(head, w.next+uint64(i), p.length, p.crc)
		offs[i] = uint32(off / 8)
		off += int64(aligned(entryHead + p.length))
	}
	err := w.writeOut(b)
	if err == nil {
		err = w.afterWrite()
	}
	if err != nil {
		w.abandon(err)
		return err
	}
	seg := w.seg
	seg.mu.Lock()
	seg.offs = append(seg.offs, offs...)
	seg.mu.Unlock()
	w.q.used.Add(off - w.off)
	if half := w.cap / 2; w.off < half && off >= half {
		w.q.kickUpkeep() // to prepare the next segment
	}
	w.off = off
	w.next += uint64(len(b.pending))
	seg.end.Store(off)
	seg.last.Store(w.next - 1)
	w.q.publish(w.next-1, len(b.pending))
	w.q.arrived.broadcast()
	return nil
}

// writeOut writes the batch, the small entries between two large ones in one piece.
func (w *writer) writeOut(b *batch) error {
	off, from, to := w.off, 0, 0
	flush := func() error {
		if to == from {
			return nil
		}
		n, err := w.f.WriteAt(b.buf[from:to], off)
		off += int64(n)
		from = to
		return err
	}
	for i := range b.pending {
		p := &b.pending[i]
		if p.own == nil {
			to = p.off + aligned(entryHead+p.length)
			continue
		}
		if err := flush(); err != nil {
			return err
		}
		n, err := w.f.WriteAt(p.own, off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return flush()
}

func (w *writer) afterWrite() error {
	if w.q.o.Durability == Commit {
		return w.f.Sync()
	}
	w.late.mu.Lock()
	w.late.dirty = true
	w.late.mu.Unlock()
	if !w.q.running.Load() && time.Since(w.lastSync) >= syncEvery {
		w.lastSync = time.Now()
		return w.sync()
	}
	return nil
}

// abandon gives up the segment after a failed write or sync. Whatever of the batch reached
// the disk lies behind the end of the segment and its positions are given out again.
func (w *writer) abandon(err error) {
	w.q.o.Log.Error("queue segment given up", "segment", filepath.Base(w.seg.path), "position", w.next, "error", err)
	w.seal()
	if serr := w.sync(); serr != nil { // cut it now: what was refused must not come back
		w.q.o.Log.Error("queue records may not survive a power cut", "error", serr)
	}
	w.lastErr, w.retryAt = nil, time.Time{}
}

// seal ends the segment being written behind its last good entry.
func (w *writer) seal() {
	if w.f == nil {
		return
	}
	w.late.mu.Lock()
	w.late.file, w.late.dirty = nil, false
	w.late.sealed = append(w.late.sealed, sealedFile{w.f, w.off, filepath.Base(w.seg.path)})
	many := len(w.late.sealed) > maxLate
	w.late.mu.Unlock()
	w.f = nil
	empty := w.seg.last.Load() < w.seg.first
	if many || empty || !w.q.running.Load() {
		if err := w.sync(); err != nil {
			w.q.o.Log.Error("queue records may not survive a power cut", "error", err)
		}
	}
	if empty {
		w.q.segs.replace(w.seg, nil)
		w.q.used.Add(-segmentHead)
		if err := w.seg.unlink(); err != nil {
			w.q.o.Log.Warn("empty queue segment not removed", "error", err)
		}
	}
	w.seg.sealed.Store(true)
	w.seg = nil
	w.q.kickTidy()
}

// roll begins a new segment with room for need bytes.
func (w *writer) roll(need int64) error {
	if now := time.Now(); w.lastErr != nil && now.Before(w.retryAt) {
		return w.lastErr
	}
	w.seal()
	f, size, path, err := w.begin(need)
	if noSpace(err) {
		// What finished segments had preallocated may do; otherwise history has to go.
		if serr := w.sync(); serr != nil {
			w.q.o.Log.Error("queue records may not survive a power cut", "error", serr)
		}
		w.q.makeRoom(need)
		f, size, path, err = w.begin(need)
	}
	if err != nil {
		w.lastErr = err
		if noSpace(err) {
			w.lastErr = fmt.Errorf("%w: %w", tapway.ErrQueueFull, err)
		}
		w.retryAt = time.Now().Add(retryEvery)
		return w.lastErr
	}
	w.lastErr = nil
	w.suspect.Store(false)
	w.f, w.cap, w.off = f, size, segmentHead
	w.seg = newSegment(w.q.fs, path, w.next)
	w.late.mu.Lock()
	w.late.file = f
	w.late.mu.Unlock()
	w.q.used.Add(segmentHead)
	w.q.segs.add(w.seg)
	return nil
}

func (w *writer) begin(need int64) (f file, size int64, path string, err error) {
	need += segmentHead
	path = filepath.Join(w.q.logDir(), segmentName(w.next))
	made := w.q.sparePath()
	w.mu.Lock()
	if w.spare != nil && w.spareN >= need {
		f, size, w.spare, w.moving = w.spare, w.spareN, nil, true
		defer w.moved()
	}
	w.mu.Unlock()
	if f == nil {
		made = path + ".tmp"
		f, size, err = allocate(w.q.fs, made, max(w.q.o.SegmentBytes, need), need)
		if err != nil {
			return nil, 0, "", fmt.Errorf("begin a segment: %w", err)
		}
	}
	_, err = f.WriteAt(appendSegmentHead(nil, w.next, w.q.key), 0)
	if err == nil {
		err = w.q.fs.Rename(made, path)
	}
	switch {
	case err != nil:
	case w.q.o.Durability == Write && w.q.running.Load():
		w.late.mu.Lock()
		w.late.dir = true
		w.late.mu.Unlock()
	default:
		err = w.q.fs.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		f.Close()
		w.q.fs.Remove(made)
		w.q.fs.Remove(path)
		return nil, 0, "", fmt.Errorf("begin a segment: %w", err)
	}
	return f, size, path, nil
}

// close waits for the running callers and seals the log.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.room.Broadcast()
	for w.leading {
		w.room.Wait()
	}
	w.mu.Unlock()
	w.giveSpareBack()
	w.seal()
	if err := w.sync(); err != nil {
		w.q.o.Log.Error("queue records may not survive a power cut", "error", err)
	}
}
