package memqueue_test

import (
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/memqueue"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

func TestContract(t *testing.T) {
	queuetest.TestStore(t, func(t *testing.T) tapway.Store {
		q := &memqueue.Queue{Lease: queuetest.Lease}
		t.Cleanup(func() { q.Close() })
		return q
	})
}
