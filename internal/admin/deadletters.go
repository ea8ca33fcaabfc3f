package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
)

// DeadLetter is a dead letter as a list shows it.
type DeadLetter struct {
	tapway.DeadLetter
	Exchange Summary `json:"exchange"`
}

// Selection says which dead letters, or which exchanges, an operation is about.
type Selection struct {
	Destination string   `json:"destination,omitempty"` // "": all
	Filter      string   `json:"filter,omitempty"`
	IDs         []string `json:"ids,omitempty"` // only these; with a Filter both must hold
	DryRun      bool     `json:"dry_run,omitempty"`
	Rate        float64  `json:"rate,omitempty"`   // records a second; 0: as fast as it goes
	To          string   `json:"to,omitempty"`     // another URL
	Record      bool     `json:"record,omitempty"` // replay: deliver the record instead of repeating the request
}

// readSelection reads the body of a POST, which must be one JSON object: an empty one means
// everything, so it has to be said.
func readSelection(w http.ResponseWriter, r *http.Request) (Selection, *filter.Filter, map[string]bool, error) {
	var sel *Selection
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<20))
	dec.DisallowUnknownFields()
	err := dec.Decode(&sel)
	if err == nil && sel == nil {
		err = errors.New("null where an object was expected")
	}
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		return Selection{}, nil, nil, &badInput{"the body is not the JSON this wants: " + err.Error()}
	}
	f, err := filter.Parse(sel.Filter)
	if err != nil {
		return *sel, nil, nil, &badInput{"filter: " + err.Error()}
	}
	if err := sel.check(); err != nil {
		return *sel, nil, nil, &badInput{err.Error()}
	}
	var ids map[string]bool
	for _, text := range sel.IDs {
		id, err := tapway.ParseID(text)
		if err != nil {
			return *sel, nil, nil, &badInput{err.Error()}
		}
		if ids == nil {
			ids = map[string]bool{}
		}
		ids[id.String()] = true
	}
	return *sel, f, ids, nil
}

// minRate is the slowest pace: one record in about a quarter of an hour.
const minRate = 0.001

func (s *Selection) check() error {
	if s.Rate != 0 && s.Rate < minRate {
		return fmt.Errorf("rate: %v is not a number of records a second; 0 is no limit, %v the slowest", s.Rate, minRate)
	}
	if s.To != "" {
		u, err := url.Parse(s.To)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return errors.New("to: not a URL; write http://host:port/path")
		}
		if u.User != nil {
			return errors.New("to: a URL must not hold a user name or password")
		}
	}
	return nil
}

// parseLimit reads a number of lines; "" and 0 are no limit.
func parseLimit(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, &badInput{fmt.Sprintf("limit: %q is not a number from 0 up", text)}
	}
	return n, nil
}

// selects reports whether a dead letter is one that was asked for.
func (s *Server) selects(ctx context.Context, d *tapway.DeadLetter, f *filter.Filter, ids map[string]bool) bool {
	if ids != nil && !ids[d.Meta.ID.String()] {
		return false
	}
	return f.Match(&filter.Env{
		Meta: &d.Meta, Destination: d.Destination, Attempts: d.Attempts, Now: time.Now(),
		Header: func() (tapway.Header, tapway.Header) {
			ex, err := s.Store.LoadSeq(ctx, d.Meta.Seq)
			if err != nil {
				return nil, nil
			}
			return ex.RequestHeader, ex.ResponseHeader
		},
	})
}

// deadLetters streams them, oldest death first.
func (s *Server) deadLetters(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f, err := filter.Parse(q.Get("filter"))
	if err != nil {
		fail(w, &badInput{"filter: " + err.Error()})
		return
	}
	limit, err := parseLimit(q.Get("limit"))
	if err != nil {
		fail(w, err)
		return
	}
	out := &lines{w: w}
	n := 0
	for d, err := range s.Store.DeadLetters(r.Context(), q.Get("destination")) {
		if err != nil {
			out.end(err)
			return
		}
		if !s.selects(r.Context(), &d, f, nil) {
			continue
		}
		if out.value(DeadLetter{d, summarize(&d.Meta)}, false) != nil {
			return
		}
		if n++; limit > 0 && n >= limit {
			break
		}
	}
	out.end(nil)
}

// purge settles dead letters as dropped: they are gone, and the ledger says so.
func (s *Server) purge(w http.ResponseWriter, r *http.Request) {
	s.resolve(w, r, "purge", tapway.Outcome{Verdict: tapway.Dropped, Reason: "purged"})
}

// redrive puts dead letters back into the queue, or delivers them to another URL.
func (s *Server) redrive(w http.ResponseWriter, r *http.Request) {
	s.resolve(w, r, "redrive", tapway.Outcome{Verdict: tapway.Retry})
}

// resolve counts first, then acts in batches at the rate wished, telling how far it is. It
// acts on what was dead when it counted, so that a letter which dies again meanwhile is not
// taken twice.
func (s *Server) resolve(w http.ResponseWriter, r *http.Request, what string, o tapway.Outcome) {
	ctx := r.Context()
	sel, f, ids, err := readSelection(w, r)
	if err == nil && sel.To != "" && (what != "redrive" || s.Deliver == nil) {
		err = &badInput{"to: only redrive can deliver to another URL"}
	}
	if err != nil {
		fail(w, err)
		return
	}
	var found []target
	for d, err := range s.Store.DeadLetters(ctx, sel.Destination) {
		if err != nil {
			fail(w, err)
			return
		}
		if s.selects(ctx, &d, f, ids) {
			found = append(found, target{d.Destination, d.Meta.Seq, d.Attempts})
		}
	}
	out := &lines{w: w}
	p := Progress{Matched: int64(len(found))}
	out.value(p, true)
	pace := newPace(sel.Rate)
	for len(found) > 0 && !sel.DryRun {
		n, same := 1, found[0].destination
		for n < len(found) && n < pace.batch && found[n].destination == same {
			n++
		}
		if pace.wait(ctx, n) != nil {
			break // whoever asked has gone; what is not done stays dead
		}
		s.resolveBatch(ctx, found[:n], sel.To, o, &p)
		found = found[n:]
		if out.value(p, true) != nil {
			break
		}
	}
	p.Done = sel.DryRun || len(found) == 0
	out.value(p, true)
	s.log().Info("dead letters "+what, "destination", sel.Destination, "filter", sel.Filter, "matched", p.Matched, "ok", p.OK, "failed", p.Failed, "dry_run", sel.DryRun, "done", p.Done)
}

// target is the little that must be remembered of each dead letter while a million of them
// are worked on.
type target struct {
	destination string
	seq         uint64
	attempts    int
}

func (s *Server) resolveBatch(ctx context.Context, batch []target, to string, o tapway.Outcome, p *Progress) {
	var seqs []uint64
	for _, one := range batch {
		if to != "" {
			if err := s.deliverTo(ctx, to, one.seq, one.attempts); err != nil {
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
	if to != "" {
		o = tapway.Outcome{Verdict: tapway.Delivered}
	}
	n, err := s.Store.Resolve(ctx, batch[0].destination, seqs, o)
	p.OK += int64(n)
	if err != nil {
		p.Failed += int64(len(seqs) - n)
		p.Error = err.Error()
	}
}

// deliverTo makes one attempt to bring a stored record to another URL.
func (s *Server) deliverTo(ctx context.Context, to string, seq uint64, attempts int) error {
	ex, err := s.Store.LoadSeq(ctx, seq)
	if err != nil {
		return err
	}
	m := tapway.Message{ID: ex.ID, Seq: ex.Seq, Attempts: attempts, Enqueued: ex.Time, Frame: tapway.AppendFrame(nil, ex)}
	outcomes, err := s.Deliver(ctx, to, []tapway.Message{m})
	if err != nil {
		return err
	}
	if outcomes[0].Verdict != tapway.Delivered {
		return fmt.Errorf("%s: %s", to, outcomes[0].Reason)
	}
	return nil
}

// pace spreads work over time.
type pace struct {
	batch int
	each  time.Duration // per record; 0: no limit
	next  time.Time
}

func newPace(rate float64) *pace {
	if rate <= 0 {
		return &pace{batch: 500}
	}
	return &pace{batch: int(max(1, min(500, rate/10))), each: time.Duration(float64(time.Second) / rate), next: time.Now()}
}

// wait returns when n more records may be worked on.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.each == 0 {
		return ctx.Err()
	}
	now := time.Now()
	pause := p.next.Sub(now)
	if pause < 0 {
		p.next = now // what was slower than its pace is not made up for
	}
	p.next = p.next.Add(time.Duration(n) * p.each)
	if pause <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
