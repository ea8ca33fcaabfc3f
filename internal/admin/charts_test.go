package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/series"
)

func (w *world) get(path string) (int, string) {
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "localhost"
	w.server.Handler().ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

// TestCharts: what was counted is told in the step asked for, or in one that can be read; what
// cannot be asked is said.
func TestCharts(t *testing.T) {
	w := newWorld(t)
	if status, body := w.get("/api/v1/charts"); status != 501 {
		t.Errorf("without a gateway: %d %s", status, body)
	}
	s, err := series.Open("", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.server.Series = s
	s.Add(series.Call{Status: 200, Took: 20 * time.Millisecond, In: 3, Out: 4})
	s.Add(series.Call{Status: 503, Took: 40 * time.Millisecond})
	ago := func(d time.Duration) string { return url.QueryEscape(time.Now().Add(-d).Format(time.RFC3339)) }
	for _, tt := range []struct {
		query, step string
		points      int // at least, and at most one more
	}{
		{"", "10s", 90}, {"?step=1m", "1m", 15}, {"?step=1h", "1h", 1}, {"?from=" + ago(time.Hour), "10s", 360}, {"?from=" + ago(6*time.Hour), "1m", 360},
		{"?from=" + ago(20*time.Hour), "5m", 240}, {"?from=" + ago(24*30*time.Hour), "1h", 720},
	} {
		status, body := w.get("/api/v1/charts" + tt.query)
		var got Charts
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
			t.Errorf("%s: %d %s", tt.query, status, body)
			continue
		}
		sum := series.Point{}
		for _, p := range got.Points {
			sum.Calls, sum.Errors5xx, sum.BytesIn, sum.BytesOut = sum.Calls+p.Calls, sum.Errors5xx+p.Errors5xx, sum.BytesIn+p.BytesIn, sum.BytesOut+p.BytesOut
		}
		if got.Step != tt.step || len(got.Points) < tt.points || len(got.Points) > tt.points+1 || sum != (series.Point{Calls: 2, Errors5xx: 1, BytesIn: 3, BytesOut: 4}) {
			t.Errorf("%s: step %s, %d points, in all %+v", tt.query, got.Step, len(got.Points), sum)
		}
	}
	for _, bad := range []string{"?step=2m", "?from=yesterday", "?to=1", "?from=" + ago(0) + "&to=" + ago(time.Minute)} {
		if status, body := w.get("/api/v1/charts" + bad); status != 400 {
			t.Errorf("%s: %d %s", bad, status, body)
		}
	}
}

// TestKeys: the keys are told as the gateway gives them, and an error is one.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	if status, body := w.get("/api/v1/keys"); status != 501 {
		t.Errorf("without a gateway: %d %s", status, body)
	}
	w.server.Keys = func(context.Context) (*Keys, error) {
		return &Keys{Keys: []Key{{ID: "k1", Name: "partner", Source: "file"}}, Plans: []Plan{}}, nil
	}
	if status, body := w.get("/api/v1/keys"); status != 200 || body != `{"required":false,"accuracy":"","keys":[{"id":"k1","name":"partner","source":"file"}],"plans":[]}`+"\n" {
		t.Errorf("%d %s", status, body)
	}
	w.server.Keys = func(context.Context) (*Keys, error) { return nil, errors.New("read the API keys: damaged") }
	if status, _ := w.get("/api/v1/keys"); status != 500 {
		t.Errorf("an error is answered %d", status)
	}
}
