package delivery

import (
	"time"

	"github.com/tapway/tapway"
)

const (
	searchStep = 8       // so many times more records are looked through for each further probe
	searchMost = 1024    // at a time
	maxTried   = 4096    // probed records that are remembered
	searchFull = 4 << 20 // a Receive that gave so many bytes may have left records behind
)

// search picks the probes of a destination that answers, but has refused the last one: it may
// refuse certain records only. Queues give the oldest first, so without a search the oldest
// refused records would get all the probes, and a destination would never be found well while
// there are some.
type search struct {
	tried map[tapway.ID]struct{} // since the destination last took something
	asked int                    // messages that were asked for
	more  bool                   // there may be due messages behind those that came
}

// size is how many messages to receive to pick one of them after so many refused probes.
func (s *search) size(refused int) int {
	n := 1
	for ; refused > 0 && n < searchMost; refused-- {
		n *= searchStep
	}
	return min(n, searchMost)
}

// received takes note of what came.
func (s *search) received(messages, bytes int) {
	s.more = messages >= s.asked || bytes >= searchFull
}

// pick brings the newest message that has not been tried to the front.
func (s *search) pick(waiting []held) {
	last := len(waiting) - 1
	i := last
	for i >= 0 && s.has(waiting[i].ID) {
		i--
	}
	if i < 0 { // all of them were: once more
		s.tried, i = nil, last
	}
	waiting[0], waiting[i] = waiting[i], waiting[0]
}

func (s *search) has(id tapway.ID) bool {
	_, ok := s.tried[id]
	return ok
}

// try takes note of a probe.
func (s *search) try(id tapway.ID) {
	if s.tried == nil || len(s.tried) >= maxTried {
		s.tried = map[tapway.ID]struct{}{}
	}
	s.tried[id] = struct{}{}
}

// aside is how long those wait that came with a probe and were not picked: past the next probes,
// so that these look at what is behind them.
func (s *search) aside(delay time.Duration) time.Duration {
	if !s.more {
		return 0
	}
	return 3 * delay
}
