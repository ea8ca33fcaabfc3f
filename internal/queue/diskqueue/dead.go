package diskqueue

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/tapway/tapway"
)

// deadChunk is how many dead letters are read, and resolved, in one transaction.
const deadChunk = 512

// deadWalk goes through one destination's dead letters, a chunk at a time.
type deadWalk struct {
	d     *dest
	chunk []death
	after []byte // the key of the last one read
	end   bool
}

func (w *deadWalk) peek() (*death, error) {
	if len(w.chunk) > 0 || w.end {
		if len(w.chunk) == 0 {
			return nil, nil
		}
		return &w.chunk[0], nil
	}
	q := w.d.q
	if err := q.enter(); err != nil {
		return nil, err
	}
	defer q.leave()
	err := q.state.view(func(tx *bolt.Tx) error {
		b := bucket(tx, w.d.name)
		if b == nil {
			return nil
		}
		c := b.Bucket(bktDead).Cursor()
		k, v := c.Seek(w.after)
		if bytes.Equal(k, w.after) && w.after != nil {
			k, v = c.Next()
		}
		for ; k != nil && len(w.chunk) < deadChunk; k, v = c.Next() {
			if dl, ok := parseDead(k, v); ok {
				w.chunk = append(w.chunk, dl)
			}
			w.after = append(w.after[:0], k...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(w.chunk) == 0 {
		w.end = true
		return nil, nil
	}
	return &w.chunk[0], nil
}

// DeadLetters walks the dead letters, oldest death first; see [tapway.Store]. Those that die
// while it walks may or may not be seen.
func (q *Queue) DeadLetters(ctx context.Context, destination string) iter.Seq2[tapway.DeadLetter, error] {
	return func(yield func(tapway.DeadLetter, error) bool) {
		walks, err := q.deadWalks(destination)
		if err != nil {
			yield(tapway.DeadLetter{}, err)
			return
		}
		for {
			var oldest *deadWalk
			var first *death
			err := ctx.Err()
			for _, w := range walks {
				if err != nil {
					break
				}
				var dl *death
				if dl, err = w.peek(); dl != nil && (first == nil || dl.died.Before(first.died)) {
					oldest, first = w, dl
				}
			}
			if err != nil {
				yield(tapway.DeadLetter{}, fmt.Errorf("walk dead letters: %w", err))
				return
			}
			if first == nil {
				return
			}
			dl := tapway.DeadLetter{
				Destination: oldest.d.name, Reason: first.reason, Status: first.status, Attempts: first.attempts,
				FirstAttempt: first.first, Died: first.died,
			}
			dl.Meta, err = q.readMeta(first.seq)
			if err != nil {
				dl.Meta = tapway.Meta{Seq: first.seq} // damaged; it can still be resolved
			}
			oldest.chunk = oldest.chunk[1:]
			if !yield(dl, nil) {
				return
			}
		}
	}
}

func (q *Queue) deadWalks(destination string) ([]*deadWalk, error) {
	if err := q.enter(); err != nil {
		return nil, err
	}
	defer q.leave()
	if err := q.flush(); err != nil {
		return nil, err
	}
	if destination != "" {
		d, err := q.dest(destination)
		if err != nil {
			return nil, err
		}
		return []*deadWalk{{d: d}}, nil
	}
	var walks []*deadWalk
	for _, d := range q.allDests() {
		walks = append(walks, &deadWalk{d: d})
	}
	return walks, nil
}

func (q *Queue) readMeta(seq uint64) (tapway.Meta, error) {
	frame, err := q.readSeq(seq)
	if err != nil {
		return tapway.Meta{}, err
	}
	m, err := tapway.DecodeMeta(frame)
	m.Seq = seq
	return m, err
}

// Resolve ends dead letters; see [tapway.Store]. It is durable when it returns.
func (q *Queue) Resolve(ctx context.Context, destination string, seqs []uint64, o tapway.Outcome) (int, error) {
	if err := q.enter(); err != nil {
		return 0, err
	}
	defer q.leave()
	if o.Verdict == tapway.Dead {
		return 0, fmt.Errorf("resolve dead letters: %q is not a way to end one", o.Verdict)
	}
	d, err := q.dest(destination)
	if err != nil {
		return 0, err
	}
	q.flushMu.Lock()
	defer q.flushMu.Unlock()
	if err := q.flushLocked(); err != nil {
		return 0, err
	}
	total := 0
	for len(seqs) > 0 && err == nil {
		if err = ctx.Err(); err == nil {
			var n int
			part := seqs[:min(len(seqs), 8*deadChunk)]
			n, err = d.resolve(part, o)
			total += n
			seqs = seqs[len(part):]
		}
	}
	d.wake.broadcast()
	if err != nil {
		return total, fmt.Errorf("resolve dead letters: %w", err)
	}
	return total, nil
}

// resolve ends some dead letters and counts them where they go, in one transaction.
func (d *dest) resolve(seqs []uint64, o tapway.Outcome) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := max(o.After, 0)
	next := d.q.o.Now().Add(after)
	reason := d.reasonLocked(reasonOr(o.Reason, "purged"))
	var c *change
	err = d.q.state.update(func(tx *bolt.Tx) error {
		b := bucket(tx, d.name)
		if b == nil {
			return nil
		}
		for _, seq := range seqs {
			ok, err := liftDead(b, seq, o.Verdict, next, after)
			if err != nil {
				return err
			}
			if ok {
				n++
				d.moveDead(seq, o.Verdict, reason)
			}
		}
		if n == 0 {
			return nil
		}
		d.changed = true
		c = d.collectLocked()
		return c.write(tx)
	})
	d.writing = nil
	if err == nil {
		d.spillPos = 0
		return n, nil
	}
	// Nothing was written: take back what was counted.
	for range n {
		d.dead++
		switch o.Verdict {
		case tapway.Delivered:
			d.delivered--
		case tapway.Dropped:
			d.dropped[reason]--
		default:
			d.spilled--
		}
	}
	if c != nil {
		c.drops = nil
		d.restoreLocked(c)
	}
	return 0, err
}

// moveDead counts one former dead letter under its new verdict.
func (d *dest) moveDead(seq uint64, v tapway.Verdict, reason string) {
	d.dead--
	switch v {
	case tapway.Delivered:
		d.delivered++
	case tapway.Dropped:
		d.noteDropLocked(seq, reason)
	default:
		d.spilled++
	}
}

// liftDead takes a dead letter out of its rows, into the retry rows if it is to be sent again.
func liftDead(b *bolt.Bucket, seq uint64, v tapway.Verdict, next time.Time, after time.Duration) (bool, error) {
	died := b.Bucket(bktDeadSeq).Get(seqKey(seq))
	if died == nil {
		return false, nil
	}
	key := binary.BigEndian.AppendUint64(append([]byte{}, died...), seq)
	if err := b.Bucket(bktDead).Delete(key); err != nil {
		return false, err
	}
	if err := b.Bucket(bktDeadSeq).Delete(seqKey(seq)); err != nil {
		return false, err
	}
	if v == tapway.Delivered || v == tapway.Dropped {
		return true, nil
	}
	row := retryRow{again: true, next: next, wait: after}
	return true, b.Bucket(bktRetry).Put(seqKey(seq), row.encode())
}

// Forget removes a destination; see [tapway.Store]. Its line stays in the ledger, and a
// destination of that name that is subscribed later goes on with it.
func (q *Queue) Forget(_ context.Context, destination string) error {
	if err := q.enter(); err != nil {
		return err
	}
	defer q.leave()
	d, err := q.dest(destination)
	if err != nil {
		return err
	}
	q.flushMu.Lock()
	defer q.flushMu.Unlock()
	d.mu.Lock()
	if d.forgotten {
		d.mu.Unlock()
		return fmt.Errorf("destination %q: %w", destination, tapway.ErrNotFound)
	}
	d.forgetLocked(q.last.Load(), q.counters.snapshot())
	d.mu.Unlock()
	d.wake.broadcast()
	err = q.flushLocked()
	if err == nil {
		err = q.writeNames()
	}
	if err != nil {
		return fmt.Errorf("forget %q: %w", destination, err)
	}
	q.kickTidy()
	return nil
}
