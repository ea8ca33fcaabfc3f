package alarm

import "time"

// Window takes differences of two growing counts over a span of time that ends now. The zero
// Window has seen nothing. It is not safe for concurrent use.
type Window struct {
	points []point // oldest first
}

type point struct {
	at         time.Time
	total, bad uint64
}

// Empty reports whether it has seen nothing.
func (w *Window) Empty() bool { return len(w.points) == 0 }

// Over notes the counts as they are at now and gives how much they have grown within span.
// whole is false while less than span has been seen. Counts that shrink begin anew.
func (w *Window) Over(now time.Time, span time.Duration, total, bad uint64) (totals, bads uint64, whole bool) {
	if n := len(w.points); n > 0 && (w.points[n-1].total > total || w.points[n-1].bad > bad || w.points[n-1].at.After(now)) {
		w.points = nil
	}
	w.points = append(w.points, point{now, total, bad})
	start := now.Add(-span)
	first := 0 // the last point at or before the window's start
	for first+1 < len(w.points) && !w.points[first+1].at.After(start) {
		first++
	}
	w.points = append(w.points[:0], w.points[first:]...)
	from := w.points[0]
	return total - from.total, bad - from.bad, !from.at.After(start)
}
