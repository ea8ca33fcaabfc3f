package admin

import (
	"net/http"
	"time"

	"github.com/tapway/tapway/internal/series"
)

// Charts is the answer to GET /api/v1/charts.
type Charts struct {
	Step   string         `json:"step"`   // "10s", "1m", "5m" or "1h"
	Total  series.Point   `json:"total"`  // of all points, percentiles included
	Points []series.Point `json:"points"` // oldest first; steps without calls are there too
}

// charts tells what came in ?from= to ?to= (RFC 3339; the last quarter of an hour without them) in
// steps of ?step=; without it the finest that gives a readable number of points.
func (s *Server) charts(w http.ResponseWriter, r *http.Request) {
	if s.Series == nil {
		writeError(w, http.StatusNotImplemented, "there is no running gateway here, and so no charts: the gateway's own console has them")
		return
	}
	now := time.Now()
	q := r.URL.Query()
	to, err := moment(q.Get("to"), now)
	if err != nil {
		fail(w, &badInput{"to: " + err.Error()})
		return
	}
	from, err := moment(q.Get("from"), to.Add(-15*time.Minute))
	if err != nil {
		fail(w, &badInput{"from: " + err.Error()})
		return
	}
	if !from.Before(to) {
		fail(w, &badInput{"from must be before to"})
		return
	}
	step := series.StepFor(from, to, now)
	if text := q.Get("step"); text != "" {
		if step, err = series.ParseStep(text); err != nil {
			fail(w, &badInput{"step: " + err.Error()})
			return
		}
	}
	total, points := s.Series.Points(from, to, step, now)
	writeJSON(w, http.StatusOK, Charts{Step: step.String(), Total: total, Points: points})
}

func moment(text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	return time.Parse(time.RFC3339, text)
}
