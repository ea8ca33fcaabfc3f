package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
)

// replay repeats the requests of exchanges against a URL, or delivers their records to it.
func (s *Server) replay(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	sel, f, ids, err := readSelection(w, r)
	switch {
	case err != nil:
	case sel.To == "":
		err = &badInput{"to: say which URL to replay to"}
	case sel.Filter == "" && ids == nil:
		err = &badInput{"say which exchanges: an id or a filter"}
	case sel.Record && s.Deliver == nil || !sel.Record && s.Resend == nil:
		err = &badInput{"replay is not possible here"}
	}
	var again Resend
	if err == nil && !sel.Record {
		if again, err = s.Resend(sel.To); err != nil {
			err = &badInput{err.Error()}
		}
	}
	if err != nil {
		fail(w, err)
		return
	}
	seqs, err := s.selectExchanges(ctx, f, ids)
	if err != nil {
		fail(w, err)
		return
	}
	out := &lines{w: w}
	p := Progress{Matched: int64(len(seqs))}
	out.value(p, true)
	pace := newPace(sel.Rate)
	last := time.Now()
	tried := 0
	for _, seq := range seqs {
		if sel.DryRun || pace.wait(ctx, 1) != nil {
			break
		}
		tried++
		if err := s.replayOne(ctx, seq, sel, again); err != nil {
			p.Error = err.Error()
			if errors.Is(err, errIncomplete) {
				p.Skipped++
			} else {
				p.Failed++
			}
		} else {
			p.OK++
		}
		if time.Since(last) > 200*time.Millisecond {
			last = time.Now()
			if out.value(p, true) != nil {
				return
			}
		}
	}
	p.Done = sel.DryRun || tried == len(seqs)
	out.value(p, true)
	s.log().Info("replay", "filter", sel.Filter, "matched", p.Matched, "ok", p.OK, "failed", p.Failed, "skipped", p.Skipped, "dry_run", sel.DryRun, "done", p.Done)
}

// selectExchanges gives positions, oldest first.
func (s *Server) selectExchanges(ctx context.Context, f *filter.Filter, ids map[string]bool) ([]uint64, error) {
	var seqs []uint64
	if ids != nil {
		for _, text := range slices.Sorted(maps.Keys(ids)) { // ids begin with their time
			id, err := tapway.ParseID(text)
			if err != nil {
				return nil, &badInput{err.Error()}
			}
			ex, err := s.Store.Load(ctx, id)
			if err != nil {
				if errors.Is(err, tapway.ErrNotFound) {
					return nil, err // it names the exchange
				}
				return nil, fmt.Errorf("exchange %s: %w", text, err)
			}
			env := filter.EnvOf(ex)
			if f.Match(&env) {
				seqs = append(seqs, ex.Seq)
			}
		}
		return seqs, nil
	}
	search := f.Search()
	search.Oldest = true
	for m, err := range s.Store.Search(ctx, search) {
		if err != nil {
			return nil, err
		}
		seqs = append(seqs, m.Seq)
	}
	return seqs, nil
}

// errIncomplete marks requests whose bytes are no longer all there.
var errIncomplete = errors.New("the request cannot be repeated")

func (s *Server) replayOne(ctx context.Context, seq uint64, sel Selection, again Resend) error {
	ex, err := s.Store.LoadSeq(ctx, seq)
	if err != nil {
		return err
	}
	if sel.Record {
		return s.deliverTo(ctx, sel.To, ex, 0)
	}
	switch {
	case ex.Request.Withheld:
		return fmt.Errorf("%w: its body was withheld", errIncomplete)
	case ex.Request.Truncated:
		return fmt.Errorf("%w: its body was recorded only in part", errIncomplete)
	case ex.Status == http.StatusSwitchingProtocols:
		return fmt.Errorf("%w: it was a %s connection", errIncomplete, ex.RequestHeader.Get("Upgrade"))
	}
	_, err = again(ctx, ex)
	return err
}
