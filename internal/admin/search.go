package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
)

// parseSearch reads filter, limit, before, after and oldest.
func parseSearch(q url.Values) (tapway.Search, error) {
	f, err := filter.Parse(q.Get("filter"))
	if err != nil {
		return tapway.Search{}, &badInput{"filter: " + err.Error()}
	}
	s := f.Search()
	s.Oldest = q.Get("oldest") == "1"
	for name, to := range map[string]*uint64{"before": &s.Before, "after": &s.After} {
		if text := q.Get(name); text != "" {
			if *to, err = strconv.ParseUint(text, 10, 64); err != nil {
				return s, &badInput{fmt.Sprintf("%s: %q is not a position", name, text)}
			}
		}
	}
	s.Limit, err = parseLimit(q.Get("limit"))
	return s, err
}

// Searched is a line of a search that is asked with progress=1, under the name "progress": how
// far the search is. The last line is one of these, with Ended.
type Searched struct {
	Searched uint64 `json:"searched"`
	Total    uint64 `json:"total"`
	Ended    bool   `json:"ended,omitempty"`
	// At is where the search is: who leaves it goes on there with before= (oldest=1: after=).
	At uint64 `json:"at,omitempty"`
	// Next is where to go on with before= (oldest=1: after=) when the search has ended before
	// everything was looked at; 0 otherwise.
	Next uint64 `json:"next,omitempty"`
}

// FoundLine is one line of a search: a record, or how far it is.
type FoundLine struct {
	Summary
	Progress *Searched `json:"progress,omitempty"`
}

// search streams summaries as they are found. With wait=DURATION it ends after that time; with
// progress=1 lines between them tell how far it is, and the last where to go on.
func (s *Server) search(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	search, err := parseSearch(q)
	if err != nil {
		fail(w, err)
		return
	}
	ctx := r.Context()
	if text := q.Get("wait"); text != "" {
		wait, err := time.ParseDuration(text)
		if err != nil || wait <= 0 {
			fail(w, &badInput{fmt.Sprintf("wait: %q is not a duration such as 2s", text)})
			return
		}
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, wait)
		defer stop()
	}
	out := &lines{w: w}
	tell := q.Get("progress") == "1"
	var at tapway.SearchProgress
	search.Progress = func(p tapway.SearchProgress) {
		if at = p; tell {
			out.value(progressLine{Searched{Searched: p.Searched, Total: p.Total, At: p.Position}}, true) // its error comes again with the next line
		} else {
			out.flush()
		}
	}
	found, cut := 0, false
	for m, err := range s.history().Search(ctx, search) {
		if err == nil {
			found++
			err = out.value(summarize(&m), false)
		} else if errors.Is(err, context.DeadlineExceeded) && r.Context().Err() == nil {
			cut, err = true, nil
		}
		if err != nil {
			out.end(err)
			return
		}
	}
	if tell {
		end := Searched{Searched: at.Searched, Total: at.Total, Ended: true}
		if cut || search.Limit > 0 && found == search.Limit {
			end.Next = at.Position
		}
		out.value(progressLine{end}, true)
	}
	out.end(nil)
}

type progressLine struct {
	Progress Searched `json:"progress"`
}
