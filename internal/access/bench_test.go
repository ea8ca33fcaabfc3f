package access

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// cidrs are n networks that do not touch.
func cidrs(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%d.%d.0.0/17", 11+i/200, i%200)
	}
	return out
}

// everything is a chain with all rules on: a policy of 200 networks, n API keys, a plan with rate
// and quota, a route's and the gateway's throttle, methods and filtered paths.
func everything(t testing.TB, n int) (*Chain, http.Header) {
	policy := mustPolicy(t, policyOf(allowAll, `{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*","Condition":{"IpAddress":{"aws:SourceIp":["`+strings.Join(cidrs(200), `","`)+`"]}}}`))
	keys, header := manyKeys(t, n)
	state := newState(t, time.Now())
	fast := Rate{PerSecond: maxRate, Burst: maxRate}
	keys.Plans["gold"].Rate, keys.Plans["gold"].Quota = &fast, &Quota{Limit: 1 << 60, Period: Month}
	rules := &Rules{List: []Rule{{Match: mustPattern(t, "GET /api/v1/users/{id}"), Throttle: state.Throttle("r", fast)}}}
	keys.Rules = rules
	return NewChain(Options{Stage: "prod"},
		&ClientAddress{Trusted: trusting(t, "10.0.0.0/8")}, &PolicyDecider{Policy: policy},
		&Concurrency{PerAddress: 100, Total: 1000, State: state}, keys,
		&Plans{Plans: keys.Plans, Rules: rules, Throttle: state.Throttle("all", fast), State: state},
		&Methods{Allowed: []string{"GET", "POST"}, Rules: rules, Policy: policy, Forms: &Bodies{Max: MaxForm, Total: 4 * MaxForm, State: state}}, NewFilteredPaths([]string{"/internal", "/admin", "/debug"}, ""),
	), header
}

type quietWriter struct{ h http.Header }

func (q *quietWriter) Header() http.Header         { return q.h }
func (q *quietWriter) Write(p []byte) (int, error) { return len(p), nil }
func (q *quietWriter) WriteHeader(int)             {}

func hotCall(header http.Header) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.RequestURI, r.RemoteAddr, r.Header = "/api/v1/users/573?expand=all", "203.0.113.7:4711", header
	return r.WithContext(tapway.WithCall(r.Context(), new(tapway.Call)))
}

// BenchmarkAllRules is the price of a call that passes every rule.
func BenchmarkAllRules(b *testing.B) {
	for _, n := range []int{10, 10000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			chain, header := everything(b, n)
			gate := new(Gate)
			gate.Set(chain)
			h := gate.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r, w := hotCall(header), &quietWriter{http.Header{}}
			h.ServeHTTP(w, r)
			b.ReportAllocs()
			end := reportCPU(b)
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
			end()
		})
	}
}

// BenchmarkAllRulesJSON is that of one with a JSON body of 1 KiB, which may ask for a method.
func BenchmarkAllRulesJSON(b *testing.B) {
	chain, header := everything(b, 10000)
	gate := new(Gate)
	gate.Set(chain)
	body := []byte(`{"name":"` + strings.Repeat("x", 900) + `","items":[{"id":1,"note":"a \"quoted\" one"}],"total":42.5,"currency":"EUR"}`)
	rest := make([]byte, 4<<10)
	h := gate.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for {
			if _, err := r.Body.Read(rest); err != nil {
				return
			}
		}
	}))
	r, w := hotCall(header), &quietWriter{http.Header{}}
	r.Method, r.ContentLength, r.Header["Content-Type"] = "POST", int64(len(body)), []string{"application/json"}
	src := &replay{src: http.NoBody}
	b.ReportAllocs()
	end := reportCPU(b)
	for b.Loop() {
		src.Reset(body)
		r.Body = src
		h.ServeHTTP(w, r)
	}
	end()
}

// BenchmarkRefused is the price of a call that is refused, by the rule that refuses it.
func BenchmarkRefused(b *testing.B) {
	for name, change := range map[string]func(r *http.Request){
		"policy": func(r *http.Request) { r.RemoteAddr = "11.0.0.1:1" },
		"key":    func(r *http.Request) { r.Header = http.Header{"X-Api-Key": {freeKey}} },
	} {
		b.Run(name, func(b *testing.B) {
			chain, header := everything(b, 10000)
			gate := new(Gate)
			gate.Set(chain)
			h := gate.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { b.Error("it passed") }))
			r, w := hotCall(header), &quietWriter{http.Header{}}
			change(r)
			b.ReportAllocs()
			end := reportCPU(b)
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
			end()
		})
	}
}

// BenchmarkSet is the price of asking a set of networks.
func BenchmarkSet(b *testing.B) {
	for _, n := range []int{2, 200, 20000} {
		b.Run(fmt.Sprintf("networks=%d", n), func(b *testing.B) {
			s, err := ParseSet(cidrs(n)...)
			if err != nil {
				b.Fatal(err)
			}
			inside, outside := netip.MustParseAddr("11.150.1.1"), netip.MustParseAddr("203.0.113.7")
			b.ReportAllocs()
			for b.Loop() {
				if s.Contains(outside) || n >= 200 && !s.Contains(inside) {
					b.Fatal("wrong")
				}
			}
		})
	}
}

// TestAllocations: the rules cost a call the same few allocations, however many keys there are.
func TestAllocations(t *testing.T) {
	var got [2]float64
	for i, n := range []int{10, 10000} {
		chain, header := everything(t, n)
		gate := new(Gate)
		gate.Set(chain)
		served := 0
		h := gate.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
		r, w := hotCall(header), &quietWriter{http.Header{}}
		got[i] = testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, r) })
		if served != 1001 {
			t.Errorf("%d of 1001 calls passed", served)
		}
	}
	if got[0] != got[1] || got[0] > 4 {
		t.Errorf("%v allocations with 10 keys, %v with 10,000", got[0], got[1])
	}
}
