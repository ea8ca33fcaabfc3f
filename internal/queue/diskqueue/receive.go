package diskqueue

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/tapway/tapway"
)

// maxReceive is from how many bytes on Receive gives no further message, whatever its max.
const maxReceive = 16 << 20

// sub is what Subscribe gives: the same destination for everyone who subscribes to its name.
type sub struct{ d *dest }

// Receive leases messages; see [tapway.Subscription].
func (s sub) Receive(ctx context.Context, max int) ([]tapway.Message, error) {
	d := s.d
	if max <= 0 {
		max = 1
	}
	for look := 0; ; look++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var arrived, woken <-chan struct{}
		if look > 0 {
			arrived, woken = d.q.arrived.arm(), d.wake.arm()
		}
		msgs, next, err := d.take(max)
		if err != nil || len(msgs) > 0 {
			return msgs, err
		}
		if look == 0 {
			continue // look again with the bells armed
		}
		var timer <-chan time.Time
		if next > 0 {
			t := time.NewTimer(time.Duration(next - d.q.ticks()))
			defer t.Stop()
			timer = t.C
		}
		select {
		case <-arrived:
		case <-woken:
		case <-timer:
		case <-ctx.Done():
		case <-d.q.closing:
		}
	}
}

// take leases what is due. next is the tick at which something will be; 0: nothing is
// waiting for its time.
func (d *dest) take(max int) (msgs []tapway.Message, next int64, err error) {
	if err := d.q.enter(); err != nil {
		return nil, 0, err
	}
	defer d.q.leave()
	now := d.q.ticks()
	d.mu.Lock()
	if d.forgotten {
		d.mu.Unlock()
		return nil, 0, tapway.ErrNotFound
	}
	if d.spilled > 0 && len(d.entries) < d.q.maxHeld/2 {
		d.refillLocked()
	}
	msgs, err = d.takeLocked(now, max, make([]tapway.Message, 0, d.roomLocked(max)))
	if e := d.timed.top(); e != nil {
		next = e.at
	}
	d.mu.Unlock()
	if err != nil && len(msgs) == 0 {
		return nil, 0, err
	}
	return d.loadFrames(msgs), next, nil
}

// roomLocked is for how many messages to make room at first: a destination that keeps up receives few at a time.
func (d *dest) roomLocked(max int) int {
	n := len(d.ready.list)
	if last := d.q.last.Load(); last >= d.pos {
		n += int(min(last-d.pos+1, 128))
	}
	return min(n, max, 128)
}

// takeLocked leases what is due in the order of positions: messages that were received
// before and are due again, and those from the log that nobody has received yet. The former
// have no frame yet.
func (d *dest) takeLocked(now int64, max int, msgs []tapway.Message) ([]tapway.Message, error) {
	for e := d.timed.top(); e != nil && e.at <= now; e = d.timed.top() {
		d.detachLocked(e)
		e.state = ready
		d.ready.push(e)
	}
	last := d.q.last.Load()
	for bytes := 0; len(msgs) < max && bytes < maxReceive; {
		fresh := d.freshLocked()
		more := fresh <= last && len(d.entries) < d.q.maxHeld
		if e := d.ready.top(); e != nil && (!more || e.seq < fresh) {
			d.ready.remove(e)
			d.leaseLocked(e, now)
			msgs = append(msgs, tapway.Message{Seq: e.seq, Attempts: e.attempts, FirstAttempt: e.first, LastError: e.lastErr})
			continue
		}
		if !more {
			break
		}
		if d.rd.next != fresh {
			d.rd.seek(fresh)
		}
		got, frame, err := d.rd.read(last)
		if err != nil {
			return msgs, err
		}
		if got > fresh {
			d.lostLocked(fresh, got-1)
			d.pos = got
		}
		if frame == nil || got > fresh && (d.done.has(got) || d.entries[got] != nil) {
			continue
		}
		d.leaseLocked(d.newEntry(got), now)
		m := tapway.Message{Seq: got, Frame: frame}
		m.ID, m.Enqueued = peek(frame)
		msgs = append(msgs, m)
		bytes += len(frame)
		d.pos = got + 1
	}
	return msgs, nil
}

// freshLocked is the next position that nobody has received yet; it may be behind the end of
// the log.
func (d *dest) freshLocked() uint64 {
	d.pos = d.done.next(d.pos)
	for e := d.entries[d.pos]; e != nil; e = d.entries[d.pos] {
		d.pos = d.done.next(d.pos + 1)
	}
	return d.pos
}

// lostLocked settles positions that cannot be read any more.
func (d *dest) lostLocked(from, to uint64) {
	n := 0
	for seq := d.done.next(from); seq <= to; seq = d.done.next(seq + 1) {
		if d.entries[seq] == nil {
			d.dropLocked(seq, nil, "damaged")
			n++
		}
	}
	if n > 0 {
		d.q.o.Log.Error("queue records are damaged and cannot be delivered", "destination", d.name, "records", n, "from", from, "to", to)
	}
}

// loadFrames reads the frames that the log reader is long past.
func (d *dest) loadFrames(msgs []tapway.Message) []tapway.Message {
	bad, bytes := 0, 0
	for i := range msgs {
		m := &msgs[i]
		if m.Frame != nil {
			bytes += len(m.Frame)
			continue
		}
		if bytes >= maxReceive {
			bad++
			d.putBack(m.Seq)
			continue
		}
		frame, err := d.q.readSeq(m.Seq)
		switch {
		case err == nil:
			m.Frame = frame
			m.ID, m.Enqueued = peek(frame)
			bytes += len(frame)
		case lost(err):
			bad++
			d.mu.Lock()
			if e := d.entries[m.Seq]; e != nil {
				d.dropLocked(m.Seq, e, "damaged")
			}
			d.mu.Unlock()
			d.q.o.Log.Error("queue record is damaged and cannot be delivered", "destination", d.name, "position", m.Seq, "error", err)
		default:
			bad++ // too many open files, or a disk that is away: it comes back when its lease ends
			d.q.o.Log.Error("queue record cannot be read now", "destination", d.name, "position", m.Seq, "error", err)
		}
	}
	if bad == 0 {
		return msgs
	}
	kept := msgs[:0]
	for _, m := range msgs {
		if m.Frame != nil {
			kept = append(kept, m)
		}
	}
	return kept
}

// putBack makes a leased message ready again, as if nobody had received it this time.
func (d *dest) putBack(seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.entries[seq]; e != nil && e.state == leased {
		d.detachLocked(e)
		e.state, e.held = ready, false
		d.ready.push(e)
	}
	d.wake.broadcast()
}

// peek reads the ID and time of a frame without allocating, which DecodeMeta does. They are
// the first fields of version 1; a test holds the two together.
func peek(frame []byte) (id tapway.ID, at time.Time) {
	if len(frame) < 29 || frame[0] != 1 {
		if m, err := tapway.DecodeMeta(frame); err == nil {
			return m.ID, m.Time
		}
		return id, at
	}
	copy(id[:], frame[5:])
	return id, time.Unix(0, int64(binary.LittleEndian.Uint64(frame[21:]))).UTC()
}

// Settle ends leases; see [tapway.Subscription]. Settlements are written down together with
// others within 100 ms; a crash before that makes their messages come again.
func (s sub) Settle(_ context.Context, settlements []tapway.Settlement) error {
	d := s.d
	if err := d.q.enter(); err != nil {
		return err
	}
	defer d.q.leave()
	now := d.q.o.Now()
	wake := false
	d.mu.Lock()
	for i := range settlements {
		wake = d.settleLocked(settlements[i].Message.Seq, &settlements[i].Outcome, now) || wake
	}
	wake = wake || len(d.entries) >= d.q.maxHeld-len(settlements)
	n := d.nChanges
	d.mu.Unlock()
	if wake {
		d.wake.broadcast()
	}
	d.q.settledSome(n)
	return nil
}

// settleLocked reports whether a message may have become due earlier than others knew.
func (d *dest) settleLocked(seq uint64, o *tapway.Outcome, now time.Time) (wake bool) {
	e := d.entries[seq]
	if e == nil {
		return false // settled by somebody else, or never received
	}
	if !e.held && o.Verdict != tapway.Delivered {
		return false // another holder has decided; only a delivery is a fact in any case
	}
	switch o.Verdict {
	case tapway.Delivered:
		d.finishLocked(seq, e)
		d.delivered++
	case tapway.Dropped:
		d.dropLocked(seq, e, reasonOr(o.Reason, "dropped"))
	case tapway.Dead:
		d.deaths = append(d.deaths, death{seq: seq, deadRow: deadRow{
			reason: o.Reason, status: o.Status, attempts: e.attempts + 1, first: d.firstAttempt(e, now), died: now,
		}})
		d.finishLocked(seq, e)
		d.dead++
	default:
		if o.Verdict == tapway.Retry {
			e.first = d.firstAttempt(e, now)
			if e.attempts == 0 {
				d.nRetry++
			}
			e.attempts++
			e.lastErr = o.Reason
		}
		if e.attempts > 0 || e.saved { // a first attempt put off is not worth a row
			d.touched[seq] = struct{}{}
			d.changed = true
			d.nChanges++
		}
		d.detachLocked(e)
		e.held = false
		e.at = d.q.ticks() + int64(max(o.After, 0))
		e.state = waiting
		d.timed.push(e)
		return true
	}
	return false
}

// firstAttempt is when e was first received, as far as it was for an attempt.
func (d *dest) firstAttempt(e *entry, now time.Time) time.Time {
	switch {
	case !e.first.IsZero():
		return e.first
	case e.state == leased:
		return d.q.wall(e.at).Add(-d.q.o.Lease).UTC()
	}
	return now
}

func reasonOr(reason, other string) string {
	if reason == "" {
		return other
	}
	if len(reason) > maxReason {
		return reason[:maxReason]
	}
	return reason
}
