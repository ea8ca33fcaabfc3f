package admin

import (
	"context"
	"iter"
	"sync"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/record"
)

// storeLetters are the dead letters of a store of tapway's own.
type storeLetters struct{ *Server }

func (s storeLetters) list(ctx context.Context, destination string, _ int) iter.Seq2[*letter, error] {
	return func(yield func(*letter, error) bool) {
		for d, err := range s.Store.DeadLetters(ctx, destination) {
			l := &letter{DeadLetter: d, load: sync.OnceValue(func() *tapway.Exchange {
				ex, err := s.Store.LoadSeq(ctx, d.Meta.Seq)
				if err != nil {
					return nil
				}
				return ex
			})}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

func (s storeLetters) show(ctx context.Context, id tapway.ID) (Found, error) {
	ex, err := s.Store.Load(ctx, id)
	if err != nil {
		return Found{}, err
	}
	states, err := s.Store.States(ctx, ex.Seq)
	if err != nil {
		return Found{}, err
	}
	found := Found{Record: record.Append(nil, ex)}
	for _, state := range states {
		found.Deliveries = append(found.Deliveries, Delivery{DeliveryState: state})
	}
	return found, nil
}

// target is the little that must be remembered of each dead letter while a million of them
// are worked on.
type target struct {
	destination string
	seq         uint64
	attempts    int
}

// resolve acts in batches on what was dead when it counted, so that a letter which dies again
// meanwhile is not taken twice.
func (s storeLetters) resolve(ctx context.Context, j *job) (Progress, error) {
	var found []target
	for l, err := range s.list(ctx, j.Destination, 0) {
		if err != nil {
			return Progress{}, err
		}
		if j.wants(l) {
			found = append(found, target{l.Destination, l.Meta.Seq, l.Attempts})
		}
	}
	p := Progress{Matched: int64(len(found))}
	j.report(p)
	pace := newPace(j.Rate)
	for len(found) > 0 && !j.DryRun {
		n, same := 1, found[0].destination
		for n < len(found) && n < pace.batch && found[n].destination == same {
			n++
		}
		if pace.wait(ctx, n) != nil {
			break // whoever asked has gone; what is not done stays dead
		}
		s.resolveBatch(ctx, j, found[:n], &p)
		found = found[n:]
		if j.report(p) != nil {
			break
		}
	}
	p.Done = j.DryRun || len(found) == 0 && ctx.Err() == nil
	return p, nil
}

func (s storeLetters) resolveBatch(ctx context.Context, j *job, batch []target, p *Progress) {
	o := tapway.Outcome{Verdict: tapway.Retry}
	switch {
	case j.what == "purge":
		o = tapway.Outcome{Verdict: tapway.Dropped, Reason: "purged"}
	case j.To != "":
		o = tapway.Outcome{Verdict: tapway.Delivered}
	}
	var seqs []uint64
	for _, one := range batch {
		if ctx.Err() != nil {
			break
		}
		if j.To != "" {
			ex, err := s.Store.LoadSeq(ctx, one.seq)
			if err == nil {
				err = s.deliverTo(ctx, j.To, ex, one.attempts)
			}
			if err != nil {
				p.Failed++
				p.Error = err.Error()
				continue
			}
		}
		seqs = append(seqs, one.seq)
	}
	if len(seqs) == 0 {
		return
	}
	if j.To != "" {
		ctx = context.WithoutCancel(ctx) // what was delivered must not stay dead because whoever asked has gone
	}
	n, err := s.Store.Resolve(ctx, batch[0].destination, seqs, o)
	p.OK += int64(n)
	if err != nil {
		p.Failed += int64(len(seqs) - n)
		p.Error = err.Error()
	}
}
