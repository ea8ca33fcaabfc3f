package capture

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/tapway/tapway"
)

// fronted runs one call that came through an AWS front and gives its record.
func fronted(t *testing.T, f *tapway.Facts, next http.HandlerFunc) *tapway.Exchange {
	t.Helper()
	q := newQueue(t)
	rec := &Recorder{Queue: q, Log: slog.New(slog.DiscardHandler)}
	r := httptest.NewRequest("GET", "/a", nil)
	if f != nil {
		r = r.WithContext(tapway.WithFacts(r.Context(), f))
	}
	func() {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}()
		rec.Wrap(next).ServeHTTP(httptest.NewRecorder(), r)
	}()
	return q.one(t)
}

// What a front has told is in the record, and in the Call that the stages see.
func TestFacts(t *testing.T) {
	f := &tapway.Facts{Front: tapway.FrontREST, API: &tapway.API{ID: "a1", Stage: "prod", RequestID: "r1"}, Fidelity: []string{tapway.FidelityQueryOrder}, Whole: true}
	ex := fronted(t, f, func(w http.ResponseWriter, r *http.Request) {
		if c := tapway.CallFrom(r.Context()); c.Front != f.Front || c.API != f.API || !slices.Equal(c.Fidelity, f.Fidelity) {
			t.Errorf("the call has %+v", c)
		}
		io.WriteString(w, "hello")
	})
	if ex.Front != tapway.FrontREST || *ex.API != *f.API || !slices.Equal(ex.Fidelity, f.Fidelity) || ex.Status != 200 || ex.Error != "" {
		t.Errorf("recorded %+v", ex)
	}
	if ex := fronted(t, nil, func(w http.ResponseWriter, r *http.Request) {}); ex.Front != tapway.FrontServer || ex.API != nil || ex.Fidelity != nil {
		t.Errorf("without facts: %+v", ex)
	}
}

// Where a front delivers whole responses only, the record has the status that the client gets.
func TestFrontsThatDeliverWholeResponses(t *testing.T) {
	broken := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hel")
		panic(http.ErrAbortHandler)
	}
	short := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "hel")
	}
	problem := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
		tapway.FactsFrom(r.Context()).Problem = "too large"
	}
	trailers := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "hello")
		w.Header().Set("X-Sum", "1")
	}
	tests := []struct {
		name      string
		next      http.HandlerFunc
		facts     *tapway.Facts
		status    int
		err, body string
		fidelity  []string
	}{
		{"broken, whole", broken, &tapway.Facts{Whole: true}, 502, errorBroken, "hel", nil},
		{"broken, streamed", broken, &tapway.Facts{}, 200, errorBroken, "hel", nil},
		{"broken, server", broken, nil, 200, errorBroken, "hel", nil},
		{"short, whole", short, &tapway.Facts{Whole: true}, 502, errorShort, "hel", nil},
		{"short, streamed", short, &tapway.Facts{}, 200, errorShort, "hel", nil},
		{"problem, whole", problem, &tapway.Facts{Whole: true}, 502, "too large", "hello", nil},
		{"problem, streamed", problem, &tapway.Facts{}, 502, "too large", "hello", nil},
		{"trailers", trailers, &tapway.Facts{Fidelity: []string{tapway.FidelityHeaderCase}}, 200, "", "hello", []string{tapway.FidelityHeaderCase, tapway.FidelityResponseTrailers}},
		{"trailers, server", trailers, nil, 200, "", "hello", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ex := fronted(t, tt.facts, tt.next)
			if ex.Status != tt.status || ex.Error != tt.err || string(ex.Response.Bytes) != tt.body || !slices.Equal(ex.Fidelity, tt.fidelity) {
				t.Errorf("recorded %d %q %q %v", ex.Status, ex.Error, ex.Response.Bytes, ex.Fidelity)
			}
		})
	}
}
