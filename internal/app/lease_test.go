package app

import (
	"testing"
	"time"

	"github.com/tapway/tapway/internal/config"
)

// A lease outlasts the wait for a batch to fill and the attempt after it: else every record that
// waited is received again meanwhile, and sent twice.
func TestLeaseCoversTheBatch(t *testing.T) {
	for _, c := range []struct{ timeout, wait, want time.Duration }{
		{10 * time.Second, 0, 2 * time.Minute},
		{10 * time.Second, 80 * time.Second, 2 * time.Minute},
		{10 * time.Second, 81 * time.Second, 121 * time.Second},
		{10 * time.Second, 10 * time.Minute, 10*time.Minute + 40*time.Second},
		{time.Minute, 0, 190 * time.Second},
	} {
		d := config.Destination{Timeout: config.Duration(c.timeout)}
		d.Batch.MaxWait = config.Duration(c.wait)
		if got := lease([]config.Destination{{}, d}); got != c.want {
			t.Errorf("timeout %v and max_wait %v: a lease of %v, want %v", c.timeout, c.wait, got, c.want)
		}
	}
}
