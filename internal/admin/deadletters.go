package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
)

// DeadLetter is a dead letter as a list shows it.
type DeadLetter struct {
	tapway.DeadLetter
	Exchange   Summary `json:"exchange"`
	Unreadable string  `json:"unreadable,omitempty"` // why its record cannot be read; the Exchange then has ID and time alone
}

// Found is one exchange with what became of it at the destinations.
type Found struct {
	Deliveries []Delivery      `json:"deliveries"`
	Record     json.RawMessage `json:"record,omitempty"` // missing when it cannot be read
}

// Delivery is where one exchange stands with one destination. The times are those of a dead
// letter, and zero where they are not known.
type Delivery struct {
	tapway.DeliveryState
	FirstAttempt time.Time `json:"first_attempt,omitzero"`
	Died         time.Time `json:"died,omitzero"`
	LastStatus   int       `json:"last_status,omitempty"`
	Unreadable   string    `json:"unreadable,omitempty"`
}

// Selection says which dead letters, or which exchanges, an operation is about.
type Selection struct {
	Destination string   `json:"destination,omitempty"` // "": all
	Filter      string   `json:"filter,omitempty"`
	IDs         []string `json:"ids,omitempty"` // only these; with a Filter both must hold
	DryRun      bool     `json:"dry_run,omitempty"`
	Rate        float64  `json:"rate,omitempty"`   // records a second; 0: as fast as it goes
	Each        bool     `json:"each,omitempty"`   // SQS: take every letter in hand, even where SQS could move or purge all by itself
	To          string   `json:"to,omitempty"`     // another URL
	Record      bool     `json:"record,omitempty"` // replay: deliver the record instead of repeating the request
}

// readSelection reads the body of a POST, which must be one JSON object: an empty one means
// everything, so it has to be said.
func readSelection(w http.ResponseWriter, r *http.Request) (Selection, *filter.Filter, map[string]bool, error) {
	var sel Selection
	if err := readJSON(w, r, 16<<20, &sel); err != nil {
		return Selection{}, nil, nil, err
	}
	f, err := filter.Parse(sel.Filter)
	if err != nil {
		return sel, nil, nil, &badInput{"filter: " + err.Error()}
	}
	if err := sel.check(); err != nil {
		return sel, nil, nil, &badInput{err.Error()}
	}
	var ids map[string]bool
	for _, text := range sel.IDs {
		id, err := tapway.ParseID(text)
		if err != nil {
			return sel, nil, nil, &badInput{err.Error()}
		}
		if ids == nil {
			ids = map[string]bool{}
		}
		ids[id.String()] = true
	}
	return sel, f, ids, nil
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

// letter is a dead letter with what a filter asks for.
type letter struct {
	tapway.DeadLetter
	unreadable string
	load       func() *tapway.Exchange // nil: it cannot be read
}

func (l *letter) shown() DeadLetter {
	return DeadLetter{l.DeadLetter, summarize(&l.Meta), l.unreadable}
}

// matches reports whether l is one that was asked for. What cannot be read matches no condition.
func (l *letter) matches(sel *Selection, f *filter.Filter, ids map[string]bool) bool {
	if ids != nil && !ids[l.Meta.ID.String()] || l.unreadable != "" && !isEmpty(sel.Filter) {
		return false
	}
	env := filter.Env{Meta: &l.Meta, Destination: l.Destination, Attempts: l.Attempts, Now: time.Now()}
	env.Header = func() (request, response tapway.Header) {
		if ex := l.load(); ex != nil {
			return ex.RequestHeader, ex.ResponseHeader
		}
		return nil, nil
	}
	env.Body = func() (request, response []byte) {
		if ex := l.load(); ex != nil {
			return filter.Bodies(ex)
		}
		return nil, nil
	}
	return f.Match(&env)
}

func isEmpty(expr string) bool { return strings.TrimSpace(expr) == "" }

// letters are dead letters, wherever they lie. A destination of "" is all of them.
type letters interface {
	// list walks them; most is how many are wanted at most if all of them match, 0 all.
	list(ctx context.Context, destination string, most int) iter.Seq2[*letter, error]

	// show finds an exchange that has a dead letter; ErrNotFound.
	show(ctx context.Context, id tapway.ID) (Found, error)

	// resolve redrives or purges. An error means that nothing was done; failures of single
	// letters are in the Progress, which is not Done when ctx ended before the end.
	resolve(ctx context.Context, j *job) (Progress, error)
}

func (s *Server) letters() letters {
	if s.Store != nil {
		return storeLetters{s}
	}
	return sqsLetters{s}
}

// job is what an operator wants done with dead letters.
type job struct {
	Selection
	what   string // "redrive" or "purge"
	filter *filter.Filter
	ids    map[string]bool
	report func(Progress) error // an error: whoever asked has gone
}

func (j *job) wants(l *letter) bool { return l.matches(&j.Selection, j.filter, j.ids) }

// everything reports whether no letter is left out but by its destination.
func (j *job) everything() bool { return isEmpty(j.Filter) && j.ids == nil }

// deadLetters streams them, oldest death first where the queue has an order.
func (s *Server) deadLetters(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	sel := Selection{Filter: q.Get("filter")}
	f, err := filter.Parse(sel.Filter)
	if err != nil {
		fail(w, &badInput{"filter: " + err.Error()})
		return
	}
	limit, err := parseLimit(q.Get("limit"))
	if err != nil {
		fail(w, err)
		return
	}
	most := limit
	if !isEmpty(sel.Filter) {
		most = 0
	}
	out := &lines{w: w}
	n := 0
	for l, err := range s.letters().list(r.Context(), q.Get("destination"), most) {
		if err != nil {
			out.end(err)
			return
		}
		if !l.matches(&sel, f, nil) {
			continue
		}
		if out.value(l.shown(), false) != nil {
			return
		}
		if n++; limit > 0 && n >= limit {
			break
		}
	}
	out.end(nil)
}

// deadLetter answers with one exchange and where it stands.
func (s *Server) deadLetter(w http.ResponseWriter, r *http.Request) {
	id, err := tapway.ParseID(r.PathValue("id"))
	if err != nil {
		fail(w, &badInput{err.Error()})
		return
	}
	found, err := s.letters().show(r.Context(), id)
	if err != nil {
		fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, found)
}

// purge settles dead letters as dropped: they are gone, and the ledger says so.
func (s *Server) purge(w http.ResponseWriter, r *http.Request) { s.resolveLetters(w, r, "purge") }

// redrive puts dead letters back into the queue, or delivers them to another URL.
func (s *Server) redrive(w http.ResponseWriter, r *http.Request) { s.resolveLetters(w, r, "redrive") }

// resolveLetters counts first, then acts at the rate wished, telling how far it is.
func (s *Server) resolveLetters(w http.ResponseWriter, r *http.Request, what string) {
	sel, f, ids, err := readSelection(w, r)
	if err == nil && sel.To != "" && (what != "redrive" || s.Deliver == nil) {
		err = &badInput{"to: only redrive can deliver to another URL"}
	}
	if err != nil {
		fail(w, err)
		return
	}
	out := &lines{w: w}
	j := &job{Selection: sel, what: what, filter: f, ids: ids, report: func(p Progress) error { return out.value(p, true) }}
	p, err := s.letters().resolve(r.Context(), j)
	if err != nil {
		out.end(err)
		return
	}
	out.value(p, true)
	s.log().Info("dead letters "+what, "destination", sel.Destination, "filter", sel.Filter, "matched", p.Matched, "ok", p.OK, "failed", p.Failed, "dry_run", sel.DryRun, "done", p.Done)
}

// cancelMoves stops what goes on without tapway.
func (s *Server) cancelMoves(w http.ResponseWriter, r *http.Request) {
	sel, _, _, err := readSelection(w, r)
	if err == nil && s.Store != nil {
		err = &impossible{"there is nothing to cancel: a redrive of this queue ends with the command that started it"}
	}
	var done []Cancelled
	if err == nil {
		done, err = sqsLetters{s}.cancel(r.Context(), sel.Destination)
	}
	if err != nil {
		fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, done)
}

// deliverTo makes one attempt to bring an exchange's record to another URL.
func (s *Server) deliverTo(ctx context.Context, to string, ex *tapway.Exchange, attempts int) error {
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
