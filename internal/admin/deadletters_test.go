package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/queue/diskqueue"
)

func TestDeadLetters(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.kill("siem", "/1", "/2", "/fail")
		w.kill("lake", "/4")
		paths := func(q url.Values) string {
			var out []string
			for _, d := range list[DeadLetter](t, c, "/api/v1/deadletters", q) {
				out = append(out, d.Destination+d.Exchange.Path)
				if d.Reason != "422 Unprocessable Entity" || d.Status != 422 || d.Attempts != 1 || d.Died.IsZero() || d.FirstAttempt.IsZero() {
					t.Errorf("dead letter %+v", d)
				}
			}
			return strings.Join(out, " ")
		}
		for _, tt := range []struct{ query, want string }{
			{"", "siem/1 siem/2 siem/fail lake/4"}, {"destination=siem", "siem/1 siem/2 siem/fail"}, {"destination=lake", "lake/4"},
			{"limit=1&destination=siem", "siem/1"}, {"filter=status==500", "siem/fail"}, {"filter=destination=='lake'", "lake/4"},
			{`filter=headers["x-path"]=='/2'`, "siem/2"}, {"filter=attempts>1", ""},
		} {
			q, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			got := paths(q)
			if tt.query == "" { // the order among destinations is not promised
				for _, one := range strings.Fields(tt.want) {
					if !strings.Contains(got, one) {
						t.Errorf("%s is not in %q", one, got)
					}
				}
			} else if got != tt.want {
				t.Errorf("%s: %q, want %q", tt.query, got, tt.want)
			}
		}
		for query, says := range map[string]string{"filter=x": "unknown field", "limit=x": "limit:", "limit=-1": "limit:"} {
			q, _ := url.ParseQuery(query)
			body, err := c.Get(t.Context(), "/api/v1/deadletters", q)
			refused(t, body, err, 400, says)
		}
	})
}

// TestResolve: redrive and purge count first, act on what was asked for, and keep the ledger.
func TestResolve(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.kill("siem", "/1", "/2", "/3", "/4", "/5", "/6")
		redrive, purge := "/api/v1/deadletters/redrive", "/api/v1/deadletters/purge"
		id := list[DeadLetter](t, c, "/api/v1/deadletters", url.Values{"filter": {"path == '/1'"}})[0].Exchange.ID

		if p := follow(t, c, redrive, Selection{DryRun: true}); p.Matched != 6 || p.OK != 0 || w.line("siem").Dead != 6 {
			t.Errorf("dry run %+v", p)
		}
		if p := follow(t, c, redrive, Selection{IDs: []string{strings.ToUpper(id)}}); p.Matched != 1 || p.OK != 1 || w.line("siem").Queued != 1 {
			t.Errorf("redrive by id %+v, %+v", p, w.line("siem"))
		}
		if p := follow(t, c, redrive, Selection{IDs: []string{id}, Filter: "path == '/2'"}); p.Matched != 0 {
			t.Errorf("an id and a filter that do not meet: %+v", p)
		}
		if p := follow(t, c, purge, Selection{Destination: "siem", Filter: "path == '/2'"}); p.OK != 1 || w.line("siem").Dropped["purged"] != 1 {
			t.Errorf("purge %+v, %+v", p, w.line("siem"))
		}
		w.refuse = true
		if p := follow(t, c, redrive, Selection{To: "http://other/in", Filter: "path == '/3'"}); p.Failed != 1 || p.OK != 0 || p.Error != "http://other/in: 503 Service Unavailable" || w.line("siem").Dead != 4 {
			t.Errorf("redrive to one that refuses: %+v, %+v", p, w.line("siem"))
		}
		w.refuse = false
		if p := follow(t, c, redrive, Selection{To: "http://other/in", Filter: "path == '/3'"}); p.OK != 1 || len(w.delivered) != 1 || w.delivered[0] != "http://other/in /3" || w.line("siem").Delivered != 1 {
			t.Errorf("redrive elsewhere: %+v, %q, %+v", p, w.delivered, w.line("siem"))
		}
		if p := follow(t, c, redrive, Selection{}); p.Matched != 3 || p.OK != 3 || w.line("siem").Dead != 0 {
			t.Errorf("redrive all: %+v", p)
		}
		if p := follow(t, c, purge, Selection{}); p.Matched != 0 {
			t.Errorf("purge nothing: %+v", p)
		}
		body, err := c.Post(t.Context(), purge, Selection{To: "http://other/in"})
		refused(t, body, err, 400, "only redrive can deliver to another URL")
		body, err = c.Post(t.Context(), redrive, Selection{Destination: "nobody"})
		refused(t, body, err, 404, "not found")
	})
}

func TestReplay(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.add("/1", "/fail", "/withheld", "/truncated", "/upgraded")
		id := list[Summary](t, c, "/api/v1/exchanges", url.Values{"filter": {"path == '/1'"}})[0].ID
		const path = "/api/v1/replay"
		if p := follow(t, c, path, Selection{To: "http://other", Filter: "status > 0", DryRun: true}); p.Matched != 5 || len(w.resent) != 0 {
			t.Errorf("dry run %+v %q", p, w.resent)
		}
		if p := follow(t, c, path, Selection{To: "http://other", Filter: "status > 0"}); p.OK != 2 || p.Skipped != 3 || p.Failed != 0 || strings.Join(w.resent, ",") != "http://other GET /1,http://other GET /fail" {
			t.Errorf("replay %+v %q", p, w.resent)
		}
		if p := follow(t, c, path, Selection{To: "http://other", IDs: []string{id}}); p.OK != 1 {
			t.Errorf("by id %+v", p)
		}
		if p := follow(t, c, path, Selection{To: "http://other", IDs: []string{id}, Filter: "status == 500"}); p.Matched != 0 {
			t.Errorf("by id and filter %+v", p)
		}
		if p := follow(t, c, path, Selection{To: "http://other/in", Filter: "status > 0", Record: true}); p.OK != 5 || len(w.delivered) != 5 {
			t.Errorf("records %+v %q", p, w.delivered)
		}
		w.refuse = true
		if p := follow(t, c, path, Selection{To: "http://other", Filter: "path == '/1'"}); p.Failed != 1 || p.Error != "refused" {
			t.Errorf("refused %+v", p)
		}
		for says, sel := range map[string]Selection{
			"to: say which URL": {Filter: "status > 0"}, "say which exchanges": {To: "http://other"}, "unknown field": {To: "http://other", Filter: "x"},
			"to: cannot be used": {To: "http://unusable", Filter: "status > 0"}, "user name or password": {To: "http://u:p@other", Filter: "status > 0"},
		} {
			body, err := c.Post(t.Context(), path, sel)
			refused(t, body, err, 400, says)
		}
		body, err := c.Post(t.Context(), path, Selection{To: "http://other", IDs: []string{"0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d"}})
		refused(t, body, err, 404, "not found")
		w.server.Resend, w.server.Deliver = nil, nil
		for _, sel := range []Selection{{To: "http://other", Filter: "status > 0"}, {To: "http://other", Filter: "status > 0", Record: true}} {
			body, err := c.Post(t.Context(), path, sel)
			refused(t, body, err, 400, "not possible here")
		}
	})
}

// TestSelection: only one JSON object with known keys will do; nothing is done by mistake.
func TestSelection(t *testing.T) {
	w := newWorld(t)
	w.kill("siem", "/1")
	for body, says := range map[string]string{
		"": "EOF", "null": "null where an object was expected", "[]": "cannot unmarshal", "{": "unexpected EOF", "{}{}": "something follows", "{} x": "something follows",
		`{"filtr":"x"}`: `unknown field \"filtr\"`, `{"filter":1}`: "cannot unmarshal", `{"filter":"status >"}`: "filter: column", `{"ids":["x"]}`: "not an exchange id",
		`{"rate":-1}`: "rate:", `{"rate":0.0009}`: "rate:", `{"rate":1e999}`: "cannot unmarshal", `{"to":"x"}`: "to: not a URL", `{"to":"ftp://x"}`: "to: not a URL", `{"to":"http://"}`: "to: not a URL",
		`{"filter":"` + strings.Repeat("(", 1000) + `"}`: "filter:", `{"filter":"` + strings.Repeat("x", 17<<20) + `"}`: "too large",
	} {
		r := httptest.NewRequest("POST", "http://localhost/api/v1/deadletters/purge", strings.NewReader(body))
		rec := httptest.NewRecorder()
		w.server.Handler().ServeHTTP(rec, r)
		if rec.Code != 400 || !strings.Contains(rec.Body.String(), says) {
			t.Errorf("%.40s: %d %.200s, want %s", body, rec.Code, rec.Body, says)
		}
	}
	if w.line("siem").Dead != 1 {
		t.Error("something was purged")
	}
}

// TestPace: no second sees more than the rate, and what was late is not made up for.
func TestPace(t *testing.T) {
	for _, tt := range []struct {
		rate  float64
		n     int
		least time.Duration // the whole may not be over before
		most  time.Duration
	}{
		{0, 10_000, 0, 0}, {1, 5, 4 * time.Second, 4 * time.Second}, {0.001, 2, 1000 * time.Second, 1000 * time.Second},
		{100, 1000, 9900 * time.Millisecond, 10 * time.Second}, {5000, 20_000, 3900 * time.Millisecond, 4 * time.Second}, {1e300, 1000, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, began := newPace(tt.rate), time.Now()
			for left := tt.n; left > 0; {
				n := min(left, p.batch)
				if err := p.wait(t.Context(), n); err != nil {
					t.Fatal(err)
				}
				left -= n
			}
			if took := time.Since(began); took < tt.least || took > tt.most {
				t.Errorf("%d at %v a second took %v, want %v to %v", tt.n, tt.rate, took, tt.least, tt.most)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPace(1)
		p.wait(t.Context(), 1)
		time.Sleep(time.Minute) // a slow destination
		began := time.Now()
		for range 3 {
			p.wait(t.Context(), 1)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("three after a pause took %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if p.wait(ctx, 1) == nil {
			t.Error("it waits for one who has gone")
		}
	})
}

// TestGone: whoever goes in the middle leaves the rest undone.
func TestGone(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.kill("siem", "/1", "/2", "/3")
		ctx, cancel := context.WithCancel(t.Context())
		body, err := c.Post(ctx, "/api/v1/deadletters/redrive", Selection{Rate: minRate})
		if err != nil {
			t.Fatal(err)
		}
		for p, err := range Stream[Progress](body, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if p.OK == 1 {
				break // which closes the answer
			}
		}
		cancel()
		if l := w.line("siem"); l.Dead != 2 || l.Queued != 1 {
			t.Errorf("ledger %+v", l)
		}
	})
}

// What was delivered elsewhere before whoever asked has gone is no dead letter any more: the next
// redrive would deliver it again.
func TestGoneDuringRedriveTo(t *testing.T) {
	w := newWorld(t)
	w.kill("siem", "/1", "/2", "/3", "/4", "/5")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.server.Deliver = func(ctx context.Context, to string, batch []tapway.Message) ([]tapway.Outcome, error) {
		if ctx.Err() != nil {
			return []tapway.Outcome{{Verdict: tapway.Released, Reason: "interrupted"}}, nil
		}
		out, err := w.deliver(ctx, to, batch)
		if len(w.delivered) == 3 {
			cancel()
		}
		return out, err
	}
	every, err := filter.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	p, err := storeLetters{w.server}.resolve(ctx, &job{
		Selection: Selection{To: "http://other/in"}, what: "redrive", filter: every, report: func(Progress) error { return nil },
	})
	if err != nil || p.OK != 3 || p.Failed != 0 || p.Done {
		t.Errorf("progress %+v, %v", p, err)
	}
	if l := w.line("siem"); l.Dead != 2 || l.Delivered != 3 {
		t.Errorf("ledger %+v", l)
	}
}

// FuzzSelection: no body and no query makes the server panic or answer 500, and what cannot
// be read changes nothing.
func FuzzSelection(f *testing.F) {
	for _, body := range []string{`{}`, `{"filter":"status >= 500","rate":10,"dry_run":true}`, `{"ids":["0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d"]}`, `{"to":"http://x","record":true}`, `null`, `[]`, `{"rate":1e-320}`} {
		f.Add(body, "filter=status>1&limit=3&before=2&after=1&oldest=1&format=har")
	}
	f.Add(`{"destination":"\u0000"}`, "limit=-1&last=5&destination=%00&states=1&filter=time>-1h")
	store, err := diskqueue.Open(f.TempDir(), diskqueue.Options{MaxBytes: -1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { store.Close() })
	handler := (&Server{Store: store, Log: slog.New(slog.DiscardHandler)}).Handler()
	ask := func(t *testing.T, r *http.Request) {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		if rec.Code >= 500 {
			t.Errorf("%s %s: %d %s", r.Method, r.URL, rec.Code, rec.Body)
		}
	}
	f.Fuzz(func(t *testing.T, body, query string) {
		for _, path := range []string{"deadletters/purge", "deadletters/redrive", "replay"} {
			r := httptest.NewRequest("POST", "http://localhost/api/v1/"+path, strings.NewReader(body))
			ask(t, r)
		}
		for _, path := range []string{"exchanges", "export", "deadletters", "tail", "exchanges/0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d"} {
			r := httptest.NewRequest("GET", "http://localhost/api/v1/"+path, nil)
			r.URL.RawQuery = query
			ask(t, r)
		}
	})
}
