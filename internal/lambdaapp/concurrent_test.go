package lambdaapp

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
)

// With several invocations at a time every caller gets its own reply, and every record is of one call: its body, its response and its
// trace. Events, replies and frames are in memory that is used again.
func TestSeveralAtATime(t *testing.T) {
	const loops, calls = 8, 100
	for _, stream := range []string{"false", "true"} {
		w := newWorld(t)
		w.backend = func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			rw.Header().Set("Content-Type", "text/plain")
			_, _ = rw.Write(body)
		}
		f := &function{API: runtimetest.Config{Timeout: patient, Concurrency: loops}.Start(t), log: new(buffer), metrics: new(buffer)}
		app, err := New(t.Context(), w.options(f, Proxy, "TAPWAY_STREAM="+stream))
		if err != nil {
			t.Fatal(err)
		}
		w.proxy = f
		f.Go((&lambdaruntime.Runtime{API: f.Addr(), Handler: app, Log: app.Log, Concurrency: loops}).Run)
		var running sync.WaitGroup
		next := make(chan int)
		for range loops {
			running.Go(func() {
				for i := range next {
					body := fmt.Sprintf("<%d>%s</%d>", i, strings.Repeat(fmt.Sprint(i%10), i*97%5000), i)
					result := f.Do(t.Context(), runtimetest.Call{
						Event: urlEvent("POST", fmt.Sprintf("/call/%d", i), body, "content-type", "text/plain"), Timeout: patient, TraceID: fmt.Sprintf("Root=1-%08x-%024x;Parent=53995c3f42cd8ad8;Sampled=1", i, i),
					})
					if result.Err != nil || result.Error != nil || !strings.Contains(string(result.Body), body) {
						t.Errorf("call %d: %d bytes, %.300q … %q, %v, %v", i, len(result.Body), result.Body, result.Body[max(0, len(result.Body)-100):], result.Err, result.Error)
					}
				}
			})
		}
		for i := range calls {
			next <- i
		}
		close(next)
		running.Wait()
		f.settled(t)
		all := w.sqs.Messages("records")
		same(t, "records", len(all), calls)
		for _, m := range all {
			var i int
			rec := gjson.Parse(m.Body)
			if _, err := fmt.Sscanf(rec.Get("endpoint").String(), "/call/%d", &i); err != nil {
				t.Errorf("%.200s: %v", m.Body, err)
			}
			body := fmt.Sprintf("<%d>%s</%d>", i, strings.Repeat(fmt.Sprint(i%10), i*97%5000), i)
			if rec.Get("body").String() != body || rec.Get("response").String() != body || rec.Get("trace_id").String() != fmt.Sprintf("%08x%024x", i, i) {
				t.Errorf("call %d has the record %.300s", i, m.Body)
			}
		}
		w.mu.Lock()
		for _, r := range w.asks {
			var i int
			if _, err := fmt.Sscanf(r.URL.Path, "/call/%d", &i); err != nil || !strings.HasPrefix(r.Header.Get("X-Amzn-Trace-Id"), fmt.Sprintf("Root=1-%08x-%024x", i, i)) {
				t.Errorf("%s has the trace %q", r.URL.Path, r.Header.Get("X-Amzn-Trace-Id"))
			}
		}
		w.mu.Unlock()
		same(t, "captured", f.sums(t)["captured"], calls)
	}
}
