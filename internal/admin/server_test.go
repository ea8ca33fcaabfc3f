package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// TestGuard: who gets in.
func TestGuard(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name, token, method, path, host string
		header                          map[string]string
		want                            int
	}{
		{"loopback", "", "GET", "/api/v1/queue", "localhost:9090", nil, 200},
		{"loopback by address", "", "GET", "/api/v1/queue", "127.0.0.1:9090", nil, 200},
		{"last loopback address", "", "GET", "/api/v1/queue", "127.255.255.255", nil, 200},
		{"first beyond loopback", "", "GET", "/api/v1/queue", "128.0.0.0", nil, 403},
		{"loopback IPv6", "", "GET", "/api/v1/queue", "[::1]:9090", nil, 200},
		{"beyond loopback IPv6", "", "GET", "/api/v1/queue", "[::2]:9090", nil, 403},
		{"DNS rebinding", "", "GET", "/api/v1/queue", "evil.example.com:9090", nil, 403},
		{"a name that begins like loopback", "", "GET", "/api/v1/queue", "127.0.0.1.evil.example.com", nil, 403},
		{"a name that begins like localhost", "", "GET", "/api/v1/queue", "localhost.evil.example.com", nil, 403},
		{"no host", "", "GET", "/api/v1/queue", "", nil, 403},
		{"another origin", "", "POST", "/reload", "localhost", map[string]string{"Origin": "https://evil.example.com"}, 403},
		{"another site", "", "POST", "/api/v1/deadletters/purge", "localhost", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"the same origin", "", "POST", "/reload", "localhost", map[string]string{"Origin": "http://localhost"}, 501},
		{"no browser", "", "POST", "/reload", "localhost", nil, 501},
		{"health needs nothing", "s3same", "GET", "/healthz", "evil.example.com", nil, 200},
		{"readiness needs nothing", "s3same", "GET", "/readyz", "evil.example.com", nil, 200},
		{"no token", "s3same", "GET", "/metrics", "localhost", nil, 401},
		{"the token", "s3same", "GET", "/metrics", "tapway.example.com", map[string]string{"Authorization": "Bearer s3same"}, 200},
		{"a part of it", "s3same", "GET", "/metrics", "localhost", map[string]string{"Authorization": "Bearer s3sam"}, 401},
		{"more than it", "s3same", "GET", "/metrics", "localhost", map[string]string{"Authorization": "Bearer s3samee"}, 401},
		{"without Bearer", "s3same", "GET", "/metrics", "localhost", map[string]string{"Authorization": "s3same"}, 401},
		{"the token does not excuse another origin", "s3same", "POST", "/reload", "localhost", map[string]string{"Authorization": "Bearer s3same", "Origin": "https://evil.example.com"}, 403},
		{"no such path", "", "GET", "/nowhere", "localhost", nil, 404},
		{"wrong method", "", "GET", "/reload", "localhost", nil, 405},
	} {
		w.server.Token = tapway.Secret(tt.token)
		r := httptest.NewRequest(tt.method, "http://x"+tt.path, nil)
		r.Host = tt.host
		for k, v := range tt.header {
			r.Header.Set(k, v)
		}
		rec := httptest.NewRecorder()
		w.server.Handler().ServeHTTP(rec, r)
		if rec.Code != tt.want {
			t.Errorf("%s: %d, want %d: %s", tt.name, rec.Code, tt.want, rec.Body)
		}
		if rec.Code == 401 && (rec.Header().Get("WWW-Authenticate") == "" || strings.Contains(rec.Body.String(), "s3same")) {
			t.Errorf("%s: %v %s", tt.name, rec.Header(), rec.Body)
		}
		if rec.Code/100 == 4 && tt.want != 404 && tt.want != 405 && !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%s is not told as JSON: %s", tt.name, rec.Body)
		}
	}
}

func TestHealth(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		health := func(path string) map[string]string {
			m, err := JSON[map[string]string](c.Get(t.Context(), path, nil))
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		if h := health("/healthz"); h["status"] != "ok" || h["version"] != "test" {
			t.Errorf("health %v", h)
		}
		if h := health("/readyz"); h["status"] != "ready" {
			t.Errorf("readiness %v", h)
		}
		w.server.Ready = func() (string, error) { return "the disk is full", nil }
		if h := health("/readyz"); h["warning"] != "the disk is full" {
			t.Errorf("readiness %v", h)
		}
		w.server.Ready = func() (string, error) { return "", errors.New("stopping") }
		body, err := c.Get(t.Context(), "/readyz", nil)
		refused(t, body, err, 503, "stopping")

		body, err = c.Post(t.Context(), "/reload", nil)
		refused(t, body, err, 501, "no running gateway")
		w.server.Reload = func() ([]string, error) { return []string{"listen"}, nil }
		if r, err := JSON[Reloaded](c.Post(t.Context(), "/reload", nil)); err != nil || r.Status != "reloaded" || r.Restart[0] != "listen" {
			t.Errorf("reload %+v, %v", r, err)
		}
		w.server.Reload = func() ([]string, error) { return nil, errors.New("tapway.yaml:1:1: no") }
		body, err = c.Post(t.Context(), "/reload", nil)
		refused(t, body, err, 422, "the old configuration stays in force: tapway.yaml:1:1: no")
		if text, err := c.Get(t.Context(), "/metrics", nil); err != nil {
			t.Error(err)
		} else if body, _ := io.ReadAll(text); string(body) != "up 1\n" {
			t.Errorf("metrics %q", body)
		} else {
			text.Close()
		}
	})
}

// TestSearch: order, filters, limits and pages.
func TestSearch(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.add("/1", "/2", "/fail", "/4", "/5")
		paths := func(q url.Values) string {
			var out []string
			for _, s := range list[Summary](t, c, "/api/v1/exchanges", q) {
				out = append(out, s.Path)
			}
			return strings.Join(out, " ")
		}
		for _, tt := range []struct{ query, want string }{
			{"", "/5 /4 /fail /2 /1"},
			{"oldest=1", "/1 /2 /fail /4 /5"},
			{"limit=2", "/5 /4"},
			{"limit=0", "/5 /4 /fail /2 /1"},
			{"limit=2&before=4", "/fail /2"},
			{"limit=2&before=2", "/1"},
			{"before=1", ""},
			{"oldest=1&limit=2&after=3", "/4 /5"},
			{"oldest=1&after=5", ""},
			{"filter=status+>=+500", "/fail"},
			{"filter=path+==+'/4'+||+status+==+500", "/4 /fail"},
			{`filter=headers["x-path"]+==+'/2'`, "/2"},
			{`filter=body+contains+"[]"&limit=1`, "/5"},
			{`filter=body+contains+"needle"`, ""},
			{`filter=request_body+==+"{}"+and+response_body+==+"[]"&oldest=1&wait=1m&limit=2`, "/1 /2"},
		} {
			q, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			if got := paths(q); got != tt.want {
				t.Errorf("%s: %q, want %q", tt.query, got, tt.want)
			}
		}
		for query, want := range map[string]string{
			"filter=stauts": `unknown field "stauts"`, "limit=-1": `limit: "-1"`, "limit=x": "limit:", "before=x": "before:", "after=-1": "after:",
			"limit=99999999999999999999": "limit:",
		} {
			q, _ := url.ParseQuery(query)
			for _, path := range []string{"/api/v1/exchanges", "/api/v1/export"} {
				body, err := c.Get(t.Context(), path, q)
				refused(t, body, err, 400, want)
			}
		}
		first := list[Summary](t, c, "/api/v1/exchanges", url.Values{"oldest": {"1"}, "limit": {"1"}})[0]
		if first.Seq != 1 || first.DurationMS != 12.345 || first.Query != "a=b" || first.ClientIP != "203.0.113.7" || first.Origin != "backend" || first.Front != "server" || first.From != "api.example.com" || first.ResponseSize != 2 {
			t.Errorf("summary %+v", first)
		}
	})
}

func TestExchange(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.kill("siem", "/1")
		s := list[Summary](t, c, "/api/v1/exchanges", nil)[0]
		rec, err := JSON[json.RawMessage](c.Get(t.Context(), "/api/v1/exchanges/"+s.ID, nil))
		if err != nil {
			t.Fatal(err)
		}
		recordtest.Validate(t, rec)
		states, err := JSON[[]tapway.DeliveryState](c.Get(t.Context(), "/api/v1/exchanges/"+s.ID, url.Values{"states": {"1"}}))
		if err != nil || len(states) != 1 || states[0].State != "dead" || states[0].Destination != "siem" {
			t.Errorf("states %+v, %v", states, err)
		}
		body, err := c.Get(t.Context(), "/api/v1/exchanges/x", nil)
		refused(t, body, err, 400, "not an exchange id")
		body, err = c.Get(t.Context(), "/api/v1/exchanges/0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d", nil)
		refused(t, body, err, 404, "not found")
	})
}

// TestExport: every NDJSON line is a valid record, and the archive is a HAR 1.2.
func TestExport(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.add("/1", "/fail", "/withheld", "/truncated", "/upgraded")
		read := func(q url.Values) []byte {
			t.Helper()
			body, err := c.Get(t.Context(), "/api/v1/export", q)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			text, err := io.ReadAll(body)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		lines := bytes.Split(bytes.TrimSuffix(read(nil), []byte("\n")), []byte("\n"))
		if len(lines) != 5 {
			t.Errorf("%d records", len(lines))
		}
		for _, line := range lines {
			recordtest.Validate(t, line)
		}
		if n := bytes.Count(read(url.Values{"limit": {"2"}, "format": {"ndjson"}}), []byte("\n")); n != 2 {
			t.Errorf("limit 2 gives %d", n)
		}
		var har struct {
			Log struct {
				Version string
				Creator struct{ Name, Version string }
				Entries []struct {
					StartedDateTime time.Time
					Time            float64
					Request         struct {
						Method, URL, HTTPVersion string
						Headers, QueryString     []struct{ Name, Value string }
						Cookies                  []any
						HeadersSize, BodySize    *int
					}
					Response struct {
						Status                int
						StatusText            *string
						Content               struct{ MimeType *string }
						RedirectURL           *string
						HeadersSize, BodySize *int
					}
					Cache   *struct{}
					Timings struct{ Send, Wait, Receive *float64 }
				}
			}
		}
		if err := json.Unmarshal(read(url.Values{"format": {"har"}}), &har); err != nil {
			t.Fatal(err)
		}
		if har.Log.Version != "1.2" || har.Log.Creator.Name != "tapway" || len(har.Log.Entries) != 5 {
			t.Errorf("HAR %+v", har.Log)
		}
		for _, e := range har.Log.Entries {
			if e.StartedDateTime.IsZero() || e.Time <= 0 || e.Request.URL == "" || e.Request.HTTPVersion == "" || e.Request.Headers == nil || e.Request.Cookies == nil ||
				len(e.Request.QueryString) != 1 || e.Request.HeadersSize == nil || e.Request.BodySize == nil || e.Response.StatusText == nil || e.Response.Content.MimeType == nil ||
				e.Response.RedirectURL == nil || e.Response.BodySize == nil || e.Cache == nil || e.Timings.Send == nil || e.Timings.Wait == nil || e.Timings.Receive == nil {
				t.Errorf("an entry lacks what HAR 1.2 requires: %+v", e)
			}
		}
		if len(read(url.Values{"filter": {"status == 418"}})) != 0 {
			t.Error("an export of nothing is not empty")
		}
		body, err := c.Get(t.Context(), "/api/v1/export", url.Values{"format": {"xml"}})
		refused(t, body, err, 400, "neither ndjson nor har")
	})
}

// brokenStore fails after some exchanges: its search ends, or the records cannot be read.
type brokenStore struct {
	tapway.Store
	after  atomic.Int64
	search bool
}

func (s *brokenStore) LoadSeq(ctx context.Context, seq uint64) (*tapway.Exchange, error) {
	if !s.search && s.after.Add(-1) < 0 {
		return nil, errors.New("the disk is on fire")
	}
	return s.Store.LoadSeq(ctx, seq)
}

func (s *brokenStore) Search(ctx context.Context, what tapway.Search) iter.Seq2[tapway.Meta, error] {
	return func(yield func(tapway.Meta, error) bool) {
		for m, err := range s.Store.Search(ctx, what) {
			if s.search && s.after.Add(-1) < 0 {
				yield(tapway.Meta{}, errors.New("the disk is on fire"))
				return
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// TestExportBreaksOff: an error in the middle is never taken for the end, and records that
// cannot be read do not keep the others from being exported.
func TestExportBreaksOff(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.add("/1", "/2", "/3")
		for _, search := range []bool{false, true} {
			broken := &brokenStore{Store: w.store, search: search}
			w.server.Store = broken
			want := "records are damaged and left out"
			if search {
				want = "the disk is on fire"
			}
			for _, after := range []int{0, 2} {
				broken.after.Store(int64(after))
				n := 0
				var last error
				for _, err := range Lines(c.Get(t.Context(), "/api/v1/export", nil)) {
					if err != nil {
						last = err
					} else {
						n++
					}
				}
				if n != after || last == nil || !strings.Contains(last.Error(), want) {
					t.Errorf("after %d: %d lines, then %v, want %s", after, n, last, want)
				}
				broken.after.Store(int64(after))
				body, err := c.Get(t.Context(), "/api/v1/export", url.Values{"format": {"har"}})
				if err == nil {
					_, err = io.ReadAll(body)
					body.Close()
				}
				if err == nil {
					t.Errorf("after %d: a broken HAR looks whole", after)
				}
			}
		}
	})
}

func TestQueueAndLedger(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.kill("siem", "/1", "/2")
		w.store.Drop("sampled")
		q, err := JSON[QueueState](c.Get(t.Context(), "/api/v1/queue", nil))
		if err != nil || q.Records != 2 || q.Destinations[0].Dead != 2 || len(q.Live) != 1 || q.Live[0].URL != "http://siem" {
			t.Errorf("queue %+v, %v", q, err)
		}
		l, err := JSON[LedgerState](c.Get(t.Context(), "/api/v1/ledger", nil))
		if err != nil || l.Calls != 3 || l.Stored != 2 || l.Dropped["sampled"] != 1 || l.Difference != 0 || l.Lines["siem"] != 0 {
			t.Errorf("ledger %+v, %v", l, err)
		}
		p := follow(t, c, "/api/v1/queue/check", nil)
		if p.Report == nil || p.Report.Records != 2 || len(p.Report.Damage) != 0 || p.Failed != 0 {
			t.Errorf("check %+v", p)
		}
		act := func(name, action string) (map[string]string, error) {
			return JSON[map[string]string](c.Post(t.Context(), "/api/v1/destinations/"+url.PathEscape(name)+"/"+action, nil))
		}
		for action, state := range map[string]string{"pause": "paused by an operator", "resume": "closed"} {
			if _, err := act("siem", action); err != nil || w.live.State().State != state {
				t.Errorf("%s: %v, then %s", action, err, w.live.State().State)
			}
		}
		for _, tt := range []struct {
			name, action, says string
			status             int
		}{
			{"siem", "forget", "is in use", 400}, {"siem", "explode", "is not an action", 400},
			{"nobody", "pause", "not found", 404}, {"nobody", "forget", "not found", 404}, {"a b/c", "resume", "not found", 404},
		} {
			_, err := act(tt.name, tt.action)
			refused(t, nil, err, tt.status, tt.says)
		}
		w.live.name = "other"
		if _, err := act("siem", "forget"); err != nil || w.line("siem").Dropped["forgotten"] != 2 {
			t.Errorf("forget: %v, then %+v", err, w.line("siem"))
		}
	})
}

// TestTail: what was there comes first, what comes follows, and a quiet stream beats.
func TestTail(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.add("/1", "/2", "/fail", "/4")
		for _, tt := range []struct{ query, want string }{
			{"", "/new1 /new2"}, {"last=2", "/fail /4 /new1 /new2"}, {"last=99", "/1 /2 /fail /4 /new1 /new2"},
			{"after=2", "/fail /4 /new1 /new2"}, {"after=0", "/1 /2 /fail /4 /new1 /new2"}, {"filter=status<500&last=1", "/4 /new1 /new2"},
			{"filter=status==500&last=5", "/fail"}, {"filter=path+startsWith+'/new'&last=5", "/new1 /new2"},
		} {
			w := newWorld(t)
			w.add("/1", "/2", "/fail", "/4")
			c := c
			if c.Base == "http://localhost" {
				c = Local(w.server)
			} else {
				s := httptest.NewServer(w.server.Handler())
				defer s.Close()
				c = &Client{Base: s.URL, HTTP: c.HTTP}
			}
			q, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			body, err := c.Get(ctx, "/api/v1/tail", q)
			if err != nil {
				t.Fatal(err)
			}
			w.add("/new1", "/new2")
			want := strings.Fields(tt.want)
			var got []string
			for s, err := range Stream[Summary](body, nil) {
				if err != nil {
					t.Errorf("%s: %v after %q", tt.query, err, got)
					break
				}
				if got = append(got, s.Path); len(got) == len(want) {
					break
				}
			}
			cancel()
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%s: %q, want %q", tt.query, got, tt.want)
			}
		}
		for query, says := range map[string]string{"filter=x": "unknown field", "last=-1": "limit", "after=x": "after"} {
			q, _ := url.ParseQuery(query)
			body, err := c.Get(t.Context(), "/api/v1/tail", q)
			refused(t, body, err, 400, says)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for line, err := range Lines(c.Get(ctx, "/api/v1/tail", url.Values{"format": {"record"}, "last": {"1"}})) {
			if err != nil {
				t.Fatal(err)
			}
			recordtest.Validate(t, line)
			break
		}
	})
}

// TestTailOffline: where no process adds anything a tail ends.
func TestTailOffline(t *testing.T) {
	w := newWorld(t)
	w.server.Live = nil
	w.add("/1", "/2")
	if got := list[Summary](t, Local(w.server), "/api/v1/tail", url.Values{"last": {"1"}}); len(got) != 1 || got[0].Path != "/2" {
		t.Errorf("got %+v", got)
	}
}

// TestHeartbeat: a quiet stream sends an empty line now and then, and stops when told.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := httptest.NewRecorder()
		out := &lines{w: rec}
		stop := out.heartbeat(heartbeat)
		time.Sleep(2*heartbeat + time.Second)
		synctest.Wait()
		stop()
		if rec.Body.String() != "\n\n" || !rec.Flushed {
			t.Errorf("in %v: %q", 2*heartbeat+time.Second, rec.Body)
		}
		if rec.Header().Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("header %v", rec.Header())
		}
	})
	var got []string
	for line, err := range Lines(io.NopCloser(strings.NewReader("\n{\"a\":1}\n\n\n{\"a\":2}\n{\"error\":\"no\"}\nmore")), nil) {
		if err != nil {
			got = append(got, "error "+err.Error())
		} else {
			got = append(got, string(line))
		}
	}
	if strings.Join(got, " ") != `{"a":1} {"a":2} error no` {
		t.Errorf("lines %q", got)
	}
}
