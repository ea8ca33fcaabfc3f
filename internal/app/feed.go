package app

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"sort"
	"sync"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/record"
)

const (
	feedRecords = 512     // kept for readers that are behind
	feedBytes   = 8 << 20 // likewise
)

// feed shows records as they are delivered to whoever follows. It keeps the last few: a
// reader that is further behind misses some, and sees a jump in Seq. Nobody waits for a reader.
type feed struct {
	mu      sync.Mutex
	readers int
	kept    []entry       // oldest first
	bytes   int           // of kept
	last    uint64        // Seq of the newest
	news    chan struct{} // closed when there is more
}

type entry struct {
	seq  uint64
	text []byte
}

func newFeed() *feed { return &feed{news: make(chan struct{})} }

// watched reports whether anybody follows.
func (f *feed) watched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readers > 0
}

// add shows the last of count records. The texts must not change afterwards.
func (f *feed) add(count int, texts [][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last += uint64(count)
	if f.readers == 0 || len(texts) == 0 {
		return
	}
	for i, text := range texts {
		f.kept = append(f.kept, entry{f.last - uint64(len(texts)-1-i), text})
		f.bytes += len(text)
	}
	for len(f.kept) > feedRecords || f.bytes > feedBytes && len(f.kept) > 1 {
		f.bytes -= len(f.kept[0].text)
		f.kept[0] = entry{}
		f.kept = f.kept[1:]
	}
	close(f.news)
	f.news = make(chan struct{})
}

// follow gives every record from now on, until ctx ends.
func (f *feed) follow(ctx context.Context) iter.Seq2[*tapway.Exchange, error] {
	return func(yield func(*tapway.Exchange, error) bool) {
		seen := f.join()
		defer f.leave()
		for {
			text, news := f.after(&seen)
			if text == nil {
				select {
				case <-news:
					continue
				case <-ctx.Done():
					yield(nil, ctx.Err())
					return
				}
			}
			ex, err := record.Parse(text)
			if err != nil {
				continue // somebody else's message: delivered as it is, but not to be shown
			}
			ex.Seq = seen
			if !yield(ex, nil) {
				return
			}
		}
	}
}

func (f *feed) join() (seen uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers++
	return f.last
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers--; f.readers == 0 {
		f.kept, f.bytes = nil, 0
	}
}

// after is the next record that is kept, or nil and what to wait for.
func (f *feed) after(seen *uint64) (text []byte, news <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := sort.Search(len(f.kept), func(i int) bool { return f.kept[i].seq > *seen })
	if i == len(f.kept) {
		return nil, f.news
	}
	*seen = f.kept[i].seq
	return f.kept[i].text, nil
}

// shown is a subscription whose deliveries a feed shows.
type shown struct {
	tapway.Subscription
	feed *feed
}

func (s *shown) Settle(ctx context.Context, settlements []tapway.Settlement) error {
	var texts [][]byte // copied: what is settled is no longer ours
	count := 0
	for i := range settlements {
		if settlements[i].Outcome.Verdict == tapway.Delivered {
			count++
			if s.feed.watched() {
				texts = append(texts, bytes.Clone(settlements[i].Message.Record))
			}
		}
	}
	err := s.Subscription.Settle(ctx, settlements)
	if err == nil { // otherwise it is done again
		s.feed.add(count, texts)
	}
	return err
}

// Receive never says that there is no such queue: that can be mended while others run, and
// would end the destination's worker.
func (s *shown) Receive(ctx context.Context, most int) ([]tapway.Message, error) {
	messages, err := s.Subscription.Receive(ctx, most)
	if errors.Is(err, tapway.ErrNotFound) {
		err = errors.New(err.Error())
	}
	return messages, err
}
