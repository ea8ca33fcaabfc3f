package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/record"
)

// Summary is an exchange as a list shows it.
type Summary struct {
	Seq          uint64    `json:"seq"`
	ID           string    `json:"id"`
	Time         time.Time `json:"time"`
	DurationMS   float64   `json:"duration_ms"`
	OverheadMS   float64   `json:"overhead_ms"`
	Method       string    `json:"method"`
	Path         string    `json:"path"`
	Query        string    `json:"query,omitempty"`
	Status       int       `json:"status"`
	Origin       string    `json:"origin"`
	Front        string    `json:"front"`
	From         string    `json:"from,omitempty"`
	Route        string    `json:"route,omitempty"`
	Proto        string    `json:"proto,omitempty"`
	ClientIP     string    `json:"client_ip,omitempty"`
	TraceID      string    `json:"trace_id,omitempty"`
	RequestSize  int64     `json:"request_size"`
	ResponseSize int64     `json:"response_size"`
	Error        string    `json:"error,omitempty"`
}

func summarize(m *tapway.Meta) Summary {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return Summary{
		Seq: m.Seq, ID: m.ID.String(), Time: m.Time, DurationMS: ms(m.Duration), OverheadMS: ms(m.Overhead),
		Method: m.Method, Path: m.Path, Query: m.Query, Status: m.Status, Origin: string(m.Origin), Front: string(m.Front),
		From: m.From, Route: m.Route, Proto: m.Proto, ClientIP: m.ClientIP, TraceID: m.TraceID,
		RequestSize: m.RequestSize, ResponseSize: m.ResponseSize, Error: m.Error,
	}
}

// exchange answers with one record; with ?states=1 with where it stands at each destination.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	id, err := tapway.ParseID(r.PathValue("id"))
	if err != nil {
		fail(w, &badInput{err.Error()})
		return
	}
	ex, err := s.history().Load(r.Context(), id)
	if err != nil {
		fail(w, err)
		return
	}
	if r.URL.Query().Get("states") == "1" {
		states, err := s.history().States(r.Context(), ex.Seq)
		if err != nil {
			fail(w, err)
			return
		}
		writeJSON(w, http.StatusOK, states)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(append(record.Append(nil, ex), '\n'))
}

// tail follows exchanges as they happen: summaries, or whole records with ?format=record.
// ?last=N begins with the N newest that match, and ?after=SEQ with all behind a position;
// either way nothing falls between what was there and what comes. Without a store there is
// nothing earlier.
func (s *Server) tail(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	search, err := parseSearch(url.Values{"filter": q["filter"], "after": q["after"], "limit": q["last"]})
	if err != nil {
		fail(w, err)
		return
	}
	f, err := filter.Parse(q.Get("filter"))
	if err != nil {
		fail(w, &badInput{"filter: " + err.Error()})
		return
	}
	show := func(out *lines, ex *tapway.Exchange) error {
		if q.Get("format") == "record" {
			return out.raw(record.Append(nil, ex), true)
		}
		return out.value(summarize(&ex.Meta), true)
	}
	follow := s.Follow
	out := &lines{w: w}
	switch {
	case s.Store != nil:
		stats, err := s.Store.Stats(r.Context())
		if err != nil {
			fail(w, err)
			return
		}
		from := stats.Last
		if q.Get("after") != "" {
			from = search.After
		}
		follow = func(ctx context.Context) iter.Seq2[*tapway.Exchange, error] { return s.Store.Follow(ctx, from) }
		if s.Live == nil {
			follow = nil // no process adds anything
		}
		search.Before = from + 1
	case follow == nil:
		fail(w, &impossible{"tail is not possible here: this process sees no calls"})
		return
	}
	out.raw(nil, true) // the head goes out now, so that the caller knows it is connected
	defer out.heartbeat(heartbeat)()
	if s.Store != nil && search.Limit > 0 && q.Get("after") == "" {
		if err := s.earlier(r.Context(), search, func(ex *tapway.Exchange) error { return show(out, ex) }); err != nil {
			out.end(err)
			return
		}
	}
	if follow == nil {
		return
	}
	for ex, err := range follow(r.Context()) {
		if err != nil {
			if r.Context().Err() == nil {
				out.end(err)
			}
			return
		}
		env := filter.EnvOf(ex)
		if f.Match(&env) && show(out, ex) != nil {
			return
		}
	}
}

// heartbeat is how often a quiet tail sends an empty line.
const heartbeat = 15 * time.Second

// earlier shows the newest exchanges of a search, oldest first.
func (s *Server) earlier(ctx context.Context, search tapway.Search, show func(*tapway.Exchange) error) error {
	var seqs []uint64
	for m, err := range s.Store.Search(ctx, search) {
		if err != nil {
			return err
		}
		seqs = append(seqs, m.Seq)
	}
	for _, seq := range slices.Backward(seqs) {
		ex, err := s.Store.LoadSeq(ctx, seq)
		if errors.Is(err, tapway.ErrNotFound) {
			continue // it left the history meanwhile
		}
		if err == nil {
			err = show(ex)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// matching loads what a search finds. Those that cannot be read are passed over and counted.
func (s *Server) matching(r *http.Request, search tapway.Search, damaged *int) iter.Seq2[*tapway.Exchange, error] {
	return func(yield func(*tapway.Exchange, error) bool) {
		for m, err := range s.history().Search(r.Context(), search) {
			if err != nil {
				yield(nil, err)
				return
			}
			ex, err := s.history().LoadSeq(r.Context(), m.Seq)
			if errors.Is(err, tapway.ErrNotFound) {
				continue // it left the history while the export ran
			}
			if err != nil && r.Context().Err() == nil && !errors.Is(err, tapway.ErrClosed) {
				*damaged++
				s.log().Error("a damaged record is not exported", "position", m.Seq, "err", err)
				continue
			}
			if !yield(ex, err) || err != nil {
				return
			}
		}
	}
}

// damage tells of records that could not be read; nil if there are none.
func damage(n int) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d records are damaged and left out; `tapway queue check` names the places", n)
}

// export writes whole records, oldest first, as NDJSON or HAR.
func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	search, err := parseSearch(q)
	if err != nil {
		fail(w, err)
		return
	}
	search.Oldest = true
	damaged := 0
	switch format := q.Get("format"); format {
	case "", "ndjson":
		out := &lines{w: w}
		var buf []byte
		for ex, err := range s.matching(r, search, &damaged) {
			if err == nil {
				buf = record.Append(buf[:0], ex)
				err = out.raw(buf, false)
			}
			if err != nil {
				out.end(err)
				return
			}
		}
		out.end(damage(damaged))
	case "har":
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		err := record.HAR(w, s.matching(r, search, &damaged))
		if err == nil && damaged > 0 {
			err = errors.Join(damage(damaged), http.NewResponseController(w).Flush()) // what there is, is whole
		}
		if err != nil {
			// The file is half written: break it off so that nobody takes it for whole.
			s.log().Error("export failed", "err", err)
			panic(http.ErrAbortHandler)
		}
	default:
		fail(w, &badInput{fmt.Sprintf("format: %q is neither ndjson nor har", format)})
	}
}
