package cost

import (
	"testing"
	"time"
)

// TestCallNano checks single calls by hand: requests, and memory times begun milliseconds.
func TestCallNano(t *testing.T) {
	for _, tt := range []struct {
		front, architecture string
		memory              int
		took                time.Duration
		want                int64
	}{
		{"url", "arm64", 512, 0, 200},
		{"rest", "arm64", 512, 0, 3700},
		{"http", "arm64", 512, 0, 1200},
		{"rest", "arm64", 1024, 100 * time.Millisecond, 3700 + 1333},
		{"rest", "x86_64", 1024, 100 * time.Millisecond, 3700 + 1666},
		{"url", "x86_64", 1024, 100*time.Millisecond + 1, 200 + 1683}, // a millisecond more has begun
	} {
		if got := Table.CallNano(tt.front, tt.architecture, tt.memory, tt.took); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}
