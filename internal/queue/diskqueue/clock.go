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

// tick is the inverse of wall, for a time that was written down.
func (q *Queue) tick(t time.Time) int64 { return q.ticks() + int64(min(t.Sub(q.o.Now()), maxWait)) }
