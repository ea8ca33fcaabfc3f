package sharedcount

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/awsdynamo"
)

var errGone = errors.New("connection reset") // nobody knows whether it arrived

// fake is a store in memory. fault may answer in its place; done says whether the addition was made all the same.
type fake struct {
	mu     sync.Mutex
	counts map[string]int64
	asks   int
	fault  func(ask int) (done bool, err error)
	delay  func() <-chan struct{}
}

func (f *fake) Add(ctx context.Context, id string, n, most int64, _ time.Time) (int64, bool, error) {
	if f.delay != nil {
		select {
		case <-f.delay():
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asks++
	done, err := true, error(nil)
	if f.fault != nil {
		done, err = f.fault(f.asks)
	}
	used := f.counts[id]
	if done && used <= most {
		if f.counts == nil {
			f.counts = map[string]int64{}
		}
		used += n
		f.counts[id] = used
		if err != nil {
			return 0, false, err
		}
		return used, true, nil
	}
	return used, false, err
}

func (f *fake) Read(_ context.Context, id string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[id], nil
}

func (f *fake) count(id string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[id]
}

func (f *fake) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asks
}

func (f *fake) faulty(fault func(int) (bool, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// refused is a fault that has changed nothing.
func refused(int) (bool, error) {
	return false, &awsdynamo.Error{Operation: "UpdateItem", Status: 400, Code: "ResourceNotFoundException"}
}

func quiet(_ *testing.T) *slog.Logger { return slog.New(slog.DiscardHandler) }
