package mcp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tapway/tapway/internal/admin"
)

const (
	// confirmWithin is how long a count can be confirmed.
	confirmWithin = 10 * time.Minute
	// maxPending is how many counts can wait; the oldest gives way.
	maxPending = 100
)

// pending are operations that were counted and wait to be confirmed.
type pending struct {
	mu   sync.Mutex
	list []operation // the oldest first
}

type operation struct {
	word    string
	tool    string
	what    admin.Selection
	matched int64
	until   time.Time
}

// put keeps an operation and gives the word to confirm it with.
func (p *pending) put(o operation) string {
	o.word = rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list = append(p.list, o); len(p.list) > maxPending {
		p.list = p.list[1:]
	}
	return o.word
}

// take gives an operation once.
func (p *pending) take(word, tool string, now time.Time) (operation, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, o := range p.list {
		if o.word == word && o.tool == tool {
			p.list = append(p.list[:i:i], p.list[i+1:]...)
			return o, now.Before(o.until)
		}
	}
	return operation{}, false
}

// changing are the arguments of a tool that changes something.
type changing struct {
	Destination string   `json:"destination"`
	Filter      string   `json:"filter"`
	IDs         []string `json:"ids"`
	All         bool     `json:"all"`
	To          string   `json:"to"`
	Record      bool     `json:"record"`
	Rate        float64  `json:"rate"`
	Confirm     string   `json:"confirm"`
}

// counted is the answer to the first call.
type counted struct {
	Matched int64  `json:"matched"`
	Skipped int64  `json:"skipped,omitempty"`
	About   bool   `json:"about,omitempty"`
	Note    string `json:"note,omitempty"`
	Confirm string `json:"confirm"`
	Next    string `json:"next"`
}

// change counts, or carries out what was counted.
func (s *Server) change(ctx context.Context, c *admin.Client, tool, path string, args json.RawMessage) (result, error) {
	var a changing
	if err := arguments(args, &a); err != nil {
		return result{}, err
	}
	if a.Confirm == "" {
		if a.Filter == "" && len(a.IDs) == 0 && !a.All {
			return result{}, errors.New("say which: a filter, ids, or all=true")
		}
		return s.count(ctx, c, tool, path, admin.Selection{Destination: a.Destination, Filter: a.Filter, IDs: a.IDs, To: a.To, Record: a.Record, Rate: a.Rate})
	}
	if a.Destination != "" || a.Filter != "" || a.IDs != nil || a.All || a.To != "" || a.Record || a.Rate != 0 {
		return result{}, errors.New("confirm stands alone: it carries out what was counted")
	}
	o, ok := s.pending.take(a.Confirm, tool, s.now())
	if !ok {
		return result{}, errors.New("this confirmation is not known, was used, or is older than ten minutes: count again")
	}
	now, err := run(ctx, c, path, o.what, true)
	if err != nil {
		return result{}, err
	}
	if now.Matched > o.matched {
		return result{}, fmt.Errorf("there are %d by now and not %d: count again", now.Matched, o.matched)
	}
	done, err := run(ctx, c, path, o.what, false)
	if err != nil {
		return result{}, err
	}
	return result{data: done, captured: done.Error != ""}, nil
}

func (s *Server) count(ctx context.Context, c *admin.Client, tool, path string, what admin.Selection) (result, error) {
	p, err := run(ctx, c, path, what, true)
	if err != nil {
		return result{}, err
	}
	if p.Matched == 0 {
		return result{data: map[string]any{"matched": 0, "next": "there is nothing to do"}}, nil
	}
	word := s.pending.put(operation{tool: tool, what: what, matched: p.Matched, until: s.now().Add(confirmWithin)})
	return result{data: counted{Matched: p.Matched, Skipped: p.Skipped, About: p.About, Note: p.Note, Confirm: word,
		Next: "nothing has been done. Tell the person you work for what would happen; if they agree, call " + tool + " with this confirm and nothing else, within ten minutes"}}, nil
}

// run does it, or only counts, and gives the last that was said.
func run(ctx context.Context, c *admin.Client, path string, what admin.Selection, dry bool) (last admin.Progress, err error) {
	what.DryRun = dry
	for p, err := range admin.Stream[admin.Progress](c.Post(ctx, path, what)) {
		if err != nil {
			return last, err
		}
		last = p
	}
	return last, nil
}
