package sharedcount

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
)

type quietWriter struct{ h http.Header }

func (q *quietWriter) Header() http.Header         { return q.h }
func (q *quietWriter) Write(p []byte) (int, error) { return len(p), nil }
func (q *quietWriter) WriteHeader(int)             {}

// BenchmarkRules is the price of a call that passes every rule that counts: ceiling, key, the key's rate, the
// gateway's, and the key's quota. shared counts with others, nearly always with a lease in hand; local does not.
func BenchmarkRules(b *testing.B) {
	quiet := slog.New(slog.DiscardHandler)
	local, err := access.OpenCounter("", quiet)
	if err != nil {
		b.Fatal(err)
	}
	for name, counter := range map[string]access.Counter{"local": local, "shared": &Counter{Store: new(fake), Log: quiet}} {
		b.Run(name, func(b *testing.B) {
			const value = "partner-0123456789abcdefghij"
			state := access.NewState(counter, time.Now())
			fast := access.Rate{PerSecond: 1e6, Burst: 1e6}
			plans := map[string]*access.UsagePlan{"gold": {Name: "gold", Rate: &fast, Quota: &access.Quota{Limit: 1 << 40, Period: access.Month}}}
			gate := new(access.Gate)
			gate.Set(access.NewChain(access.Options{}, &access.ClientAddress{},
				&access.Ceiling{Calls: access.NewBudget(state, "calls", "calls", 1<<40, quiet, nil)},
				&access.Keys{Default: access.Required, Plans: plans, Configured: access.KeySet{access.HashKey(value): access.NewClient("p", "p", "gold", state)}},
				&access.Plans{Plans: plans, State: state, Throttle: state.Throttle("gateway", fast)}))
			served, calls := 0, 0
			h := gate.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
			r := httptest.NewRequest("GET", "/", nil)
			r.RequestURI, r.RemoteAddr, r.Header = "/api/v1/users/573", "203.0.113.7:4711", http.Header{"X-Api-Key": {value}}
			r = r.WithContext(tapway.WithCall(r.Context(), new(tapway.Call)))
			w := &quietWriter{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				calls++
				h.ServeHTTP(w, r)
			}
			b.ReportMetric(float64(served)/float64(calls), "served/call")
		})
	}
}
