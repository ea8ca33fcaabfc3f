package delivery

import (
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		header string
		want   time.Duration
	}{
		{"", 0},
		{"0", 0},
		{"1", time.Second},
		{" 120 ", 2 * time.Minute},
		{"86400", 24 * time.Hour},
		{"86401", 24 * time.Hour},
		{"99999999999999999999999999", 24 * time.Hour},
		{"-1", 0},
		{"1.5", 0},
		{"1e3", 0},
		{"soon", 0},
		{"Fri, 20 Nov 2026 10:00:01 GMT", time.Second},
		{"Fri, 20 Nov 2026 10:00:00 GMT", 0},
		{"Fri, 20 Nov 2026 09:59:59 GMT", 0},
		{"Friday, 20-Nov-26 10:05:00 GMT", 5 * time.Minute},
		{"Fri Nov 20 10:05:00 2026", 5 * time.Minute},
		{"Sat, 21 Nov 2026 10:00:00 GMT", 24 * time.Hour},
		{"Sat, 20 Nov 2027 10:00:00 GMT", 24 * time.Hour},
	} {
		h := http.Header{}
		if c.header != "" {
			h.Set("Retry-After", c.header)
		}
		if got := retryAfter(h, now); got != c.want {
			t.Errorf("%q: got %v, want %v", c.header, got, c.want)
		}
	}
}

func TestDelay(t *testing.T) {
	fixed := func(v float64) Retry { return Retry{Rand: func() float64 { return v }} }
	const almost = 1 - 1e-12
	for _, c := range []struct {
		rand float64
		made int
		want time.Duration
	}{
		{almost, 1, time.Second}, {almost, 2, 2 * time.Second}, {almost, 3, 4 * time.Second}, {almost, 10, 512 * time.Second},
		{almost, 11, 15 * time.Minute}, {almost, 1 << 30, 15 * time.Minute},
		{0, 1, 0}, {0, 8, 0}, {0.5, 4, 4 * time.Second},
	} {
		r := fixed(c.rand)
		if got := r.Delay(c.made, 0); got < c.want-time.Millisecond || got > c.want {
			t.Errorf("rand %v, attempt %d: %v, want %v", c.rand, c.made, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		duration := rapid.Int64Range(0, int64(48*time.Hour))
		r := Retry{Min: time.Duration(duration.Draw(t, "min")), Max: time.Duration(duration.Draw(t, "max"))}
		made := rapid.IntRange(1, 200).Draw(t, "made")
		asked := time.Duration(duration.Draw(t, "asked"))
		d := r.Delay(made, asked)
		if d < asked || d < 0 {
			t.Fatalf("%v is too short", d)
		}
		if most := max(r.max(), asked+r.min()); d > most {
			t.Fatalf("%v is longer than %v", d, most)
		}
		if first := r.Delay(1, 0); first > r.min() {
			t.Fatalf("the first delay, %v, is longer than %v", first, r.min())
		}
	})
}
