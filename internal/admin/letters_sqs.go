package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
)

// sqsLetters are the dead letters in SQS. To look at one is to receive it, so nothing can be
// picked out without walking all of them.
type sqsLetters struct{ *Server }

// names are the destinations that are meant.
func (s sqsLetters) names(destination string) ([]string, error) {
	all := s.SQS.Destinations()
	if destination == "" {
		return all, nil
	}
	if !slices.Contains(all, destination) {
		return nil, fmt.Errorf("destination %q: %w", destination, tapway.ErrNotFound)
	}
	return []string{destination}, nil
}

func sqsLetter(d *sqsqueue.DeadLetter) *letter {
	l := &letter{DeadLetter: d.DeadLetter, load: func() *tapway.Exchange { return d.Exchange }}
	if d.Err != nil {
		l.unreadable = d.Err.Error()
	}
	return l
}

// peek walks the dead letters of one destination or all.
func (s sqsLetters) peek(ctx context.Context, destination string, most int) iter.Seq2[*sqsqueue.DeadLetter, error] {
	return func(yield func(*sqsqueue.DeadLetter, error) bool) {
		names, err := s.names(destination)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, name := range names {
			for d, err := range s.SQS.PeekDeadLetters(ctx, name, most) {
				if !yield(d, err) || err != nil {
					return
				}
			}
		}
	}
}

func (s sqsLetters) list(ctx context.Context, destination string, most int) iter.Seq2[*letter, error] {
	return func(yield func(*letter, error) bool) {
		for d, err := range s.peek(ctx, destination, most) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(sqsLetter(d), nil) {
				return
			}
		}
	}
}

// show looks until every destination's letter of this exchange is found, or all have been seen.
func (s sqsLetters) show(ctx context.Context, id tapway.ID) (Found, error) {
	var found Found
	for _, name := range s.SQS.Destinations() {
		for d, err := range s.SQS.PeekDeadLetters(ctx, name, 0) {
			if err != nil {
				return Found{}, err
			}
			if d.Meta.ID != id {
				continue
			}
			one := Delivery{FirstAttempt: d.FirstAttempt, Died: d.Died, LastStatus: d.Status}
			one.DeliveryState = tapway.DeliveryState{Destination: name, State: "dead", Attempts: d.Attempts, Reason: d.Reason}
			if d.Err == nil {
				found.Record = d.Record
			} else {
				one.Unreadable = d.Err.Error()
			}
			found.Deliveries = append(found.Deliveries, one)
			break
		}
	}
	if len(found.Deliveries) == 0 {
		return Found{}, fmt.Errorf("exchange %s: %w among the dead letters; one that somebody looks at just now is hidden from others", id, tapway.ErrNotFound)
	}
	return found, nil
}

// resolve counts, then lets SQS move or purge everything by itself where that is what is wanted,
// and else takes every letter in hand.
func (s sqsLetters) resolve(ctx context.Context, j *job) (Progress, error) {
	names, err := s.names(j.Destination)
	if err != nil {
		return Progress{}, err
	}
	p := &Progress{}
	counts, err := s.count(ctx, j, names, p)
	if err != nil {
		return Progress{}, err
	}
	if p.Done = j.DryRun; p.Done {
		return *p, nil
	}
	j.report(*p)
	p.About = false // unless SQS does it by itself
	for _, name := range names {
		if !j.everything() && counts[name] == 0 {
			continue
		}
		s.resolveOne(ctx, j, name, counts[name], p)
		if ctx.Err() != nil {
			return *p, nil
		}
	}
	p.Moving, p.Done = nil, true
	return *p, nil
}

// count asks SQS how many there are, or looks at each where some are left out or are others'.
func (s sqsLetters) count(ctx context.Context, j *job, names []string, p *Progress) (map[string]int64, error) {
	counts := map[string]int64{}
	look := names
	if j.everything() {
		stats, err := s.SQS.Stats(ctx)
		if err != nil {
			return nil, err
		}
		look = nil
		for _, d := range stats.Destinations {
			switch {
			case !slices.Contains(names, d.Destination):
			case d.Dead > 0 && s.SQS.SharesDeadLetters(ctx, d.Destination):
				look = append(look, d.Destination)
			default:
				counts[d.Destination] = int64(d.Dead)
				p.Matched += int64(d.Dead)
			}
		}
		p.About = len(look) < len(names)
	}
	for _, name := range look {
		seen, matched := p.Seen, p.Matched
		r, err := s.SQS.Redrive(ctx, name, sqsqueue.Selection{Match: s.match(j), DryRun: true, Progress: func(r sqsqueue.Result) {
			p.Seen, p.Matched = seen+int64(r.Seen), matched+int64(r.Matched)
			j.report(*p)
		}})
		if err != nil {
			return nil, err
		}
		counts[name] = int64(r.Matched)
		p.Seen, p.Matched = seen+int64(r.Seen), matched+counts[name]
	}
	return counts, nil
}

func (s sqsLetters) match(j *job) func(*sqsqueue.DeadLetter) bool {
	if j.everything() {
		return nil
	}
	return func(d *sqsqueue.DeadLetter) bool { return j.wants(sqsLetter(d)) }
}

// resolveOne deals with one destination, of whose letters expected are meant.
func (s sqsLetters) resolveOne(ctx context.Context, j *job, name string, expected int64, p *Progress) {
	bulk := j.everything() && !j.Each && j.To == ""
	switch {
	case bulk && j.what == "purge" && j.Rate == 0:
		s.purgeAll(ctx, name, expected, p)
		return
	case bulk && j.what == "redrive" && (j.Rate == 0 || j.Rate >= 1) && s.move(ctx, j, name, expected, p):
		return
	}
	ok, failed, matched := p.OK, p.Failed, p.Matched
	sel := sqsqueue.Selection{Match: s.match(j), Rate: j.Rate, Progress: func(r sqsqueue.Result) {
		p.OK = ok + int64(r.Done)
		p.Matched = max(matched, matched-expected+int64(r.Matched))
		j.report(*p)
	}}
	if !j.everything() {
		sel.Limit = int(expected)
	}
	var r sqsqueue.Result
	var err error
	switch {
	case j.what == "purge":
		r, err = s.SQS.Purge(ctx, name, sel)
	case j.To == "":
		r, err = s.SQS.Redrive(ctx, name, sel)
	default:
		r, err = s.SQS.Deliver(ctx, name, sel, func(ctx context.Context, d *sqsqueue.DeadLetter) error {
			err := d.Err
			if err == nil {
				err = s.deliverTo(ctx, j.To, d.Exchange, d.Attempts)
			}
			if err != nil {
				p.Failed++
				p.Error = err.Error()
			}
			return err
		})
	}
	p.OK = ok + int64(r.Done)
	if err == nil {
		p.Matched = matched - expected + int64(r.Matched) // of all of them there was only an estimate
		return
	}
	if ctx.Err() == nil {
		p.Failed = failed + max(expected, int64(r.Matched)) - int64(r.Done)
		p.Error = err.Error()
	}
}

func (s sqsLetters) purgeAll(ctx context.Context, name string, expected int64, p *Progress) {
	n, err := s.SQS.PurgeAll(ctx, name)
	if err != nil {
		p.Failed += max(expected, 1)
		p.Error = err.Error() + "; --each purges one by one"
		return
	}
	p.OK += int64(n)
	p.Matched += int64(n) - expected
	p.About = true
	p.Note = "SQS takes up to a minute to empty the queue; objects of large records stay in the bucket until its lifecycle rule removes them"
}

// moveEvery is how often a move is asked how far it is.
const moveEvery = time.Second

// move has SQS move everything back by itself and watches it. It reports false when SQS does not
// do it for this queue.
func (s sqsLetters) move(ctx context.Context, j *job, name string, expected int64, p *Progress) bool {
	before, err := s.lastMove(ctx, name)
	if err != nil {
		p.Note = err.Error() + "; it is done one by one"
		return false
	}
	if before.running() {
		p.Note = fmt.Sprintf("a move of the dead letters of %q was under way already; this is how far it is", name)
	} else if _, err := s.SQS.StartMove(ctx, name, int(j.Rate)); err != nil {
		if errors.Is(err, sqsqueue.ErrNoMove) {
			p.Note = err.Error() + "; it is done one by one"
			return false
		}
		p.Failed += max(expected, 1)
		p.Error = err.Error()
		return true
	}
	ok, matched := p.OK, p.Matched
	p.Moving, p.About = []string{name}, true
	tick := time.NewTicker(moveEvery)
	defer tick.Stop()
	for {
		now, err := s.lastMove(ctx, name)
		if ctx.Err() != nil {
			return true
		}
		if err != nil {
			p.Failed += max(expected-(p.OK-ok), 1)
			p.Error = "SQS moves them, but does not tell how far it is: " + err.Error()
			return true
		}
		if before.running() || now.Started.After(before.Started) { // the list may lag behind
			p.OK = ok + now.Moved
			p.Matched = matched - expected + max(expected, now.ToMove, now.Moved)
			if !now.running() {
				p.Matched = matched - expected + max(now.ToMove, now.Moved)
				p.finish(now)
				return true
			}
		}
		j.report(*p)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return true
		}
	}
}

// finish books the end of a move.
func (p *Progress) finish(m move) {
	p.Moving = nil
	if m.Status == "COMPLETED" {
		return
	}
	p.Failed += max(m.ToMove-m.Moved, 1)
	if p.Error = m.Failure; p.Error == "" {
		p.Error = "the move ended as " + m.Status
	}
}

type move struct{ sqsqueue.Move }

func (m move) running() bool { return m.Status == "RUNNING" || m.Status == "CANCELLING" }

// lastMove is the newest move; none is the zero move.
func (s sqsLetters) lastMove(ctx context.Context, name string) (move, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m, err := s.SQS.LastMove(ctx, name)
	if errors.Is(err, tapway.ErrNotFound) {
		err = nil
	}
	return move{m}, err
}

// Cancelled is what a cancel did for one destination.
type Cancelled struct {
	Destination string `json:"destination"`
	Cancelled   bool   `json:"cancelled"` // false: nothing was being moved
	Moved       int64  `json:"moved"`     // which stays moved
}

// cancel stops SQS moving dead letters by itself.
func (s sqsLetters) cancel(ctx context.Context, destination string) ([]Cancelled, error) {
	names, err := s.names(destination)
	if err != nil {
		return nil, err
	}
	all := []Cancelled{}
	for _, name := range names {
		one := Cancelled{Destination: name}
		m, err := s.lastMove(ctx, name)
		if err == nil && m.Status == "RUNNING" {
			one.Cancelled, one.Moved = true, m.Moved
			err = s.SQS.CancelMove(ctx, m.Handle)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}
