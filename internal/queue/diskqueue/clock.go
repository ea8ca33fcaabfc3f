package diskqueue

import "time"

// maxWait is the longest that a message waits for its time after a restart: the clock may have
// been wrong when the time was written down, or be wrong now.
const maxWait = 25 * time.Hour

// ticks are nanoseconds since the queue was opened. Leases and retries are timed in them, because
// the clock of the wall may jump.
func (q *Queue) ticks() int64 { return int64(time.Since(q.opened)) }

// wall is the time at a tick by the clock as it is set now.
func (q *Queue) wall(tick int64) time.Time { return q.o.Now().Add(time.Duration(tick - q.ticks())) }

// tick is when a row that was written down is due: at its time by the clock as it is set now, but no
// later than it would have been if the clock had stood still since.
func (q *Queue) tick(r *retryRow) int64 {
	return q.ticks() + int64(min(r.next.Sub(q.o.Now()), r.wait))
}

const (
	// jumpFrom is how far the clock of the wall must be off the monotonic one to have jumped.
	jumpFrom = 10 * time.Minute
	// doubtFor is how long a clock that has jumped ahead is not believed when history is deleted.
	doubtFor = time.Hour
)

// believed is the time by which history grows old. A clock that jumps ahead for a while must not
// take all of it, so the old time goes on until the new one has stood for an hour. A process that
// was away for long looks the same. It belongs to
// whoever holds flushMu.
type believed struct {
	wall  time.Time     // what was believed
	tick  int64         // at this tick
	ahead time.Duration // how far the clock has jumped ahead of it; 0: not at all
	since int64         // the tick at which that was seen
}

// beginHistoryTime lets it continue from the newest record.
func (q *Queue) beginHistoryTime() {
	q.believed = believed{wall: q.o.Now(), tick: q.ticks()}
	if at := q.captured(q.last.Load()); !at.IsZero() && at.Before(q.believed.wall) {
		q.believed.wall = at
	}
}

// historyTime is believed's present time.
func (q *Queue) historyTime() time.Time {
	b, now, tick := &q.believed, q.o.Now(), q.ticks()
	old := b.wall.Add(time.Duration(tick - b.tick))
	ahead := now.Sub(old)
	switch {
	case ahead <= jumpFrom:
	case (ahead - b.ahead).Abs() > jumpFrom: // it has jumped just now
		b.ahead, b.since = ahead, tick
		q.o.Log.Info("the clock is far ahead of the newest record: history grows old by it in an hour", "ahead", ahead.Round(time.Second).String())
		return old
	case time.Duration(tick-b.since) < doubtFor:
		return old
	}
	b.wall, b.tick, b.ahead = now, tick, 0
	return now
}
