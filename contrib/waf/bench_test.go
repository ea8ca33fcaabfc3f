package waf

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/access"
)

// quietWriter is a response that goes nowhere.
type quietWriter struct{ header http.Header }

func (w *quietWriter) Header() http.Header         { return w.header }
func (w *quietWriter) Write(p []byte) (int, error) { return len(p), nil }
func (*quietWriter) WriteHeader(int)               {}

// benchCalls are a GET that is answered with 1 KiB, and POSTs of 10 KiB of JSON: in one text, and in
// some 450 small values, because rules are asked about each value.
func benchCalls() map[string]func() *http.Request {
	order := `{"sku":"TEA-0042","title":"Darjeeling first flush","amount":3,"price":12.5,"note":"please wrap it as a gift"}`
	items := `{"orders":[` + strings.Repeat(order+",", (10<<10)/(len(order)+1)-1) + order + `]}`
	text := `{"text":"` + strings.Repeat("wrap it as a gift, ", (10<<10)/19) + `"}`
	common := func(r *http.Request) *http.Request {
		r.Host = "api.example.com"
		r.Header.Set("User-Agent", "shop-app/3.1")
		r.Header.Set("Accept", "application/json")
		r.Header.Set("Authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln")
		return r
	}
	post := func(body string) *http.Request {
		r := common(httptest.NewRequest("POST", "/orders", strings.NewReader(body)))
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	return map[string]func() *http.Request{
		"GET 1 KiB": func() *http.Request {
			return common(httptest.NewRequest("GET", "/orders/42?page=2&sort=created_at", nil))
		},
		"POST 10 KiB, one value":  func() *http.Request { return post(text) },
		"POST 10 KiB, 450 values": func() *http.Request { return post(items) },
	}
}

// BenchmarkPrice is what the firewall adds to a call, in CPU time. A plain call, one in detect mode
// and one in block mode take turns, so that a slow moment of the machine slows all three alike.
func BenchmarkPrice(b *testing.B) {
	answer := []byte(strings.Repeat("x", 1<<10))
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(answer)
	})
	roles := []struct{ name, mode string }{{"plain", ""}, {"detect", Detect}, {"block", Block}}
	handlers := make([]http.Handler, len(roles))
	for i, role := range roles {
		deciders := []access.Decider{&access.ClientAddress{}}
		if role.mode != "" {
			c := Default()
			c.Mode = role.mode
			f, err := New(c, new(Memory), slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			deciders = append(deciders, f)
		}
		gate := new(access.Gate)
		gate.Set(access.NewChain(access.Options{}, deciders...))
		handlers[i] = gate.Wrap(backend)
	}
	for name, call := range benchCalls() {
		b.Run(name, func(b *testing.B) {
			var took [3]time.Duration
			for b.Loop() {
				for i, h := range handlers {
					r := call()
					began := time.Now()
					h.ServeHTTP(&quietWriter{http.Header{}}, r)
					took[i] += time.Since(began)
				}
			}
			for i, role := range roles {
				b.ReportMetric(float64(took[i].Microseconds())/float64(b.N), role.name+"-µs/call")
			}
			b.ReportMetric(0, "ns/op") // the sum of the three says nothing
		})
	}
}
