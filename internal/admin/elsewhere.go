package admin

import (
	"context"
	"iter"
	"net/http"

	"github.com/tapway/tapway"
)

// History is where exchanges that have passed can be found. A tapway.Store is one.
type History interface {
	// Search walks them, newest first unless s.Oldest.
	Search(ctx context.Context, s tapway.Search) iter.Seq2[tapway.Meta, error]

	// Load reads one; tapway.ErrNotFound when it is not (or no longer) there.
	Load(ctx context.Context, id tapway.ID) (*tapway.Exchange, error)

	// LoadSeq is Load by position, for what Search or Load gave.
	LoadSeq(ctx context.Context, seq uint64) (*tapway.Exchange, error)

	// States tells, per destination, what became of what Load gave.
	States(ctx context.Context, seq uint64) ([]tapway.DeliveryState, error)
}

// Elsewhere is a tap that this process is no part of, such as one deployed on AWS: what a Server
// without a Store answers in place of what only a running process knows.
type Elsewhere struct {
	Name    string  // of the installation
	Where   string  // such as "AWS eu-west-1"
	History History // nil: none can be had

	// Notes say by view ("traffic", "overview", "routes", "keys", "alarms", "delivery") what there is to
	// know of it here, or why there is nothing.
	Notes map[string]string

	// Queue, Ledger and Alarms answer GET /api/v1/queue, /ledger and /alarms.
	Queue, Ledger, Alarms http.HandlerFunc

	// Charts answers GET /api/v1/charts with figures of its own kind; nil: there are none.
	Charts http.HandlerFunc
}

// PlaceElsewhere is Elsewhere for the console.
type PlaceElsewhere struct {
	Name  string            `json:"name"`
	Where string            `json:"where"`
	Notes map[string]string `json:"notes"`
}

// either is own unless the tap is elsewhere.
func (s *Server) either(own http.HandlerFunc, elsewhere func(*Elsewhere) http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.Elsewhere != nil {
			elsewhere(s.Elsewhere)(w, r)
			return
		}
		own(w, r)
	}
}

// history is where exchanges are found; nil: nowhere.
func (s *Server) history() History {
	switch {
	case s.Store != nil:
		return s.Store
	case s.Elsewhere != nil && s.Elsewhere.History != nil:
		return s.Elsewhere.History
	}
	return nil
}

// past refuses what only a history can tell.
func (s *Server) past(what string, do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.history() == nil {
			writeError(w, http.StatusNotImplemented, what+" is not possible here: "+noHistory)
			return
		}
		do(w, r)
	}
}
