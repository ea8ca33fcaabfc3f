package admin

import (
	"net/http"
	"time"
)

// Keys is the answer to GET /api/v1/keys: who may call, and how much of it is used. Neither a
// key's value nor its hash is in it.
type Keys struct {
	Required bool   `json:"required"` // some call needs a key
	Accuracy string `json:"accuracy"` // by how much what is used may be wrong, in a sentence
	Keys     []Key  `json:"keys"`
	Plans    []Plan `json:"plans"`
}

// Key is one API key.
type Key struct {
	ID       string     `json:"id"` // of a key in the configuration its name
	Name     string     `json:"name"`
	Plan     string     `json:"plan,omitempty"`
	Source   string     `json:"source"` // "configuration" or "file"
	Created  *time.Time `json:"created,omitempty"`
	Revoked  *time.Time `json:"revoked,omitempty"`
	LastUsed *time.Time `json:"last_used,omitempty"` // when it was last shown; none: not that anybody knows
	Usage    *Usage     `json:"usage,omitempty"`     // none: no quota bounds it, and nothing is counted
}

// Usage is what is used of a quota in the present period.
type Usage struct {
	Limit  int64     `json:"limit"`
	Period string    `json:"period"` // DAY, WEEK or MONTH
	Used   int64     `json:"used"`
	Resets time.Time `json:"resets"` // when the next period begins
}

// Plan is what the keys of a usage plan may do, each for itself.
type Plan struct {
	Name   string      `json:"name"`
	Rate   *float64    `json:"rate,omitempty"` // calls per second on average; none: no bound
	Burst  int         `json:"burst,omitempty"`
	Quota  *Usage      `json:"quota,omitempty"` // used is that of all its keys together
	Routes []PlanRoute `json:"routes,omitempty"`
	Keys   int         `json:"keys"` // in force
}

// PlanRoute is a rate of its own for some calls.
type PlanRoute struct {
	Match string  `json:"match"`
	Rate  float64 `json:"rate"`
	Burst int     `json:"burst,omitempty"`
}

func (s *Server) keys(w http.ResponseWriter, r *http.Request) {
	if s.Keys == nil {
		writeError(w, http.StatusNotImplemented, "there is no running gateway here; `tapway keys usage` reads the data directory")
		return
	}
	keys, err := s.Keys(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, keys)
}
