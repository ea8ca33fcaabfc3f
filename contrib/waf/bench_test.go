package waf

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
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
	var orders []string
	for n := range 92 { // no two alike
		orders = append(orders, fmt.Sprintf(`{"sku":"TEA-%04d","title":"Darjeeling flush %d","amount":%d,"price":%d.5,"note":"wrap it as gift number %d"}`, 7*n, n, n%9, n, 3*n))
	}
	items := `{"orders":[` + strings.Join(orders, ",") + `]}`
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

// cpuTime is what this process has used so far: other work on the machine is not in it.
func cpuTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkPrice is what the firewall adds to a call, in CPU time. Calls without it, in either mode,
// without the prefilter and with responses inspected take turns, so that a slow moment of the machine
// slows all alike.
func BenchmarkPrice(b *testing.B) {
	answer := []byte(`{"items":[` + strings.Repeat(`{"sku":"TEA-0042","title":"Darjeeling"},`, 26)[:1<<10-15] + `"{}"]}`)
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = w.Write(answer)
	})
	roles := []struct {
		name   string
		change func(*Config)
	}{
		{"plain", nil},
		{"detect", func(c *Config) { c.Mode = Detect }},
		{"block", func(c *Config) { c.Mode = Block }},
		{"block-no-prefilter", func(c *Config) { c.Mode, c.Prefilter = Block, false }},
		{"block-response", func(c *Config) { c.Mode, c.Response = Block, ResponseBody }},
	}
	handlers := make([]http.Handler, len(roles))
	for i, role := range roles {
		deciders := []access.Decider{&access.ClientAddress{}}
		if role.change != nil {
			c := Default()
			role.change(&c)
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
			took := make([]time.Duration, len(roles))
			for b.Loop() {
				for i, h := range handlers {
					r := call()
					began := cpuTime(b)
					h.ServeHTTP(&quietWriter{http.Header{}}, r)
					took[i] += cpuTime(b) - began
				}
			}
			for i, role := range roles {
				b.ReportMetric(float64(took[i].Microseconds())/float64(b.N), role.name+"-µs/call")
			}
			b.ReportMetric(0, "ns/op") // the sum says nothing
		})
	}
}
