package access

import (
	"fmt"
	"time"
)

// Period is how long a quota counts before it begins anew, at midnight UTC.
type Period string

const (
	Day   Period = "DAY"
	Week  Period = "WEEK"
	Month Period = "MONTH"
)

// Quota is how many calls of a key are served in a period.
type Quota struct {
	Limit  int64
	Period Period

	// Offset is the day on which a period begins, as in API Gateway: of a WEEK 0 is Sunday and 6
	// Saturday, of a MONTH 0 is the first and 27 the twenty-eighth; of a DAY it is 0.
	Offset int
}

// Check tells what is wrong with a quota.
func (q Quota) Check() error {
	last, ok := map[Period]int{Day: 0, Week: 6, Month: 27}[q.Period]
	switch {
	case !ok:
		return fmt.Errorf("%q is no period; write DAY, WEEK or MONTH", q.Period)
	case q.Offset < 0 || q.Offset > last:
		return fmt.Errorf("an offset of %d is not in a %s; write 0 to %d", q.Offset, q.Period, last)
	case q.Limit < 1:
		return fmt.Errorf("a limit of %d lets nothing pass; write a whole number from 1 up", q.Limit)
	}
	return nil
}

func (q Quota) String() string { return fmt.Sprintf("%d per %s", q.Limit, q.Period) }

// Window is the period that a time is in: from start, which is in it, to end, which is not.
func (q Quota) Window(now time.Time) (start, end time.Time) {
	y, m, d := now.UTC().Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	switch q.Period {
	case Week:
		back := (int(today.Weekday()) - q.Offset + 7) % 7
		start = today.AddDate(0, 0, -back)
		return start, start.AddDate(0, 0, 7)
	case Month:
		start = time.Date(y, m, 1+q.Offset, 0, 0, 0, 0, time.UTC)
		if d <= q.Offset {
			start = time.Date(y, m-1, 1+q.Offset, 0, 0, 0, 0, time.UTC)
		}
		return start, start.AddDate(0, 1, 0)
	}
	return today, today.AddDate(0, 0, 1)
}
