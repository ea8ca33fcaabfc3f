package delivery

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Retry says how often and when a failed record is tried again: after a random time
// between nothing and Min, then up to twice Min, and so on up to Max (full jitter).
type Retry struct {
	MaxAttempts int            // in all; 0: 8; below 0: never given up on
	Min         time.Duration  // upper bound of the first delay; 0: 1 s
	Max         time.Duration  // upper bound of every delay; 0: 15 min
	Rand        func() float64 // in [0,1), safe for concurrent use; nil: math/rand/v2
}

// MaxRetryAfter bounds what a destination can ask for one record with Retry-After; how long it
// stops the others is Breaker.MaxRetryAfter.
const MaxRetryAfter = 24 * time.Hour

func (r *Retry) min() time.Duration { return orDefault(r.Min, time.Second) }
func (r *Retry) max() time.Duration { return max(orDefault(r.Max, 15*time.Minute), r.min()) }

func (r *Retry) maxAttempts() int {
	if r.MaxAttempts == 0 {
		return 8
	}
	return r.MaxAttempts
}

// last reports whether an attempt after made others is the last one.
func (r *Retry) last(made int) bool {
	limit := r.maxAttempts()
	return limit > 0 && made+1 >= limit
}

func (r *Retry) random() float64 {
	if r.Rand != nil {
		return r.Rand()
	}
	return rand.Float64() // #nosec G404 -- jitter
}

// Delay is how long to wait after a record's failed attempt, the made-th, counted from 1.
// What the destination asked for is a lower bound; up to Min is added to it, so that those
// who were told the same do not return together.
func (r *Retry) Delay(made int, retryAfter time.Duration) time.Duration {
	ceiling := r.min()
	for i := 1; i < made && ceiling < r.max(); i++ {
		ceiling *= 2
	}
	ceiling = min(ceiling, r.max())
	d := time.Duration(r.random() * float64(ceiling))
	if retryAfter > 0 && d < retryAfter {
		d = retryAfter + time.Duration(r.random()*float64(r.min()))
	}
	return d
}

// retryAfter reads a Retry-After header, seconds or a date (RFC 9110 §10.2.3). What cannot
// be read, and a time that has passed, is 0; the result is at most MaxRetryAfter.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > int64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter // too many digits is a long time
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}
