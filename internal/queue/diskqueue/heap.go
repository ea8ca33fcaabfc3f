package diskqueue

import "time"

// entry is a message that has been received at least once and is not settled: leased, waiting
// for its next attempt, or ready to be received again.
type entry struct {
	seq      uint64
	attempts int
	first    time.Time // of the first attempt; zero before it
	lastErr  string
	at       int64 // the tick at which the lease ends or the next attempt is due
	state    entryState
	held     bool // whoever received it last has not settled it (its lease may have ended)
	again    bool // redriven: its position is settled already, this entry is what is owed
	saved    bool // has a row in the retry bucket
	index    int  // in its heap
}

type entryState uint8

const (
	leased  entryState = iota // in dest.timed
	waiting                   // in dest.timed
	ready                     // in dest.ready
)

// entryHeap is a binary heap of entries; byTime orders by at, otherwise by position.
type entryHeap struct {
	list   []*entry
	byTime bool
}

func (h *entryHeap) less(a, b *entry) bool {
	if h.byTime && a.at != b.at {
		return a.at < b.at
	}
	return a.seq < b.seq
}

func (h *entryHeap) push(e *entry) {
	h.list = append(h.list, e)
	h.up(len(h.list)-1, e)
}

func (h *entryHeap) top() *entry {
	if len(h.list) == 0 {
		return nil
	}
	return h.list[0]
}

func (h *entryHeap) remove(e *entry) {
	n := len(h.list) - 1
	moved := h.list[n]
	h.list[n] = nil
	h.list = h.list[:n]
	if moved == e {
		return
	}
	i := e.index
	if i > 0 && h.less(moved, h.list[(i-1)/2]) {
		h.up(i, moved)
	} else {
		h.down(i, moved)
	}
}

func (h *entryHeap) up(i int, e *entry) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(e, h.list[parent]) {
			break
		}
		h.list[i] = h.list[parent]
		h.list[i].index = i
		i = parent
	}
	h.list[i] = e
	e.index = i
}

func (h *entryHeap) down(i int, e *entry) {
	for {
		child := 2*i + 1
		if child >= len(h.list) {
			break
		}
		if child+1 < len(h.list) && h.less(h.list[child+1], h.list[child]) {
			child++
		}
		if !h.less(h.list[child], e) {
			break
		}
		h.list[i] = h.list[child]
		h.list[i].index = i
		i = child
	}
	h.list[i] = e
	e.index = i
}
