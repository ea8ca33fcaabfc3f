package access

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

func newState(t testing.TB, now time.Time) *State {
	t.Helper()
	c, err := OpenCounter("", quiet)
	if err != nil {
		t.Fatal(err)
	}
	return NewState(c, now)
}

func mustPattern(t testing.TB, text string) Pattern {
	t.Helper()
	p, err := ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	goldKey   = "gold-0123456789abcdefghij"
	freeKey   = "free-0123456789abcdefghij"
	orphanKey = "orphan-0123456789abcdefghij"
)

// shop is a gateway with plans: gold may 2 calls at once, 1 a second, 5 a day, and on /slow 1 at
// once; free has no bounds of its own.
type shop struct {
	*world
	state *State
	keys  *Keys
	plans *Plans
}

func newShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{world: newWorld(t)}
	s.now = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	s.state = newState(t, s.now)
	plans := map[string]*UsagePlan{"gold": {
		Name: "gold", Rate: &Rate{PerSecond: 1, Burst: 2}, Quota: &Quota{Limit: 5, Period: Day},
		Routes: []PlanRoute{{mustPattern(t, "GET /slow/{x}"), Rate{PerSecond: 0.1, Burst: 1}}},
	}}
	rules := &Rules{List: []Rule{
		{Match: mustPattern(t, "ANY /public/{proxy+}"), APIKey: Off},
		{Match: mustPattern(t, "POST /orders"), Throttle: s.state.Throttle("orders", Rate{PerSecond: 1, Burst: 1})},
	}}
	s.keys = &Keys{Default: Required, Rules: rules, Plans: plans, Configured: KeySet{
		HashKey(goldKey): NewClient("gold", "gold", "gold", s.state), HashKey(freeKey): NewClient("free", "free", "", s.state),
		HashKey(orphanKey): NewClient("orphan", "orphan", "platinum", s.state),
	}}
	s.plans = &Plans{Plans: plans, Rules: rules, State: s.state}
	s.rules(s.keys, s.plans, NewFilteredPaths([]string{"/internal"}, ""))
	return s
}

func (s *shop) used() int64 {
	start, _ := (Quota{Period: Day}).Window(s.now)
	return s.keys.Configured[HashKey(goldKey)].used.tally.Used(start.Unix())
}

func TestKeys(t *testing.T) {
	s := newShop(t)
	for _, tt := range []struct {
		path    string
		headers []string
		status  int
		reason  string
	}{
		{"/x", nil, 403, "api key: missing"},
		{"/x", []string{"X-Api-Key", ""}, 403, "api key: missing"},
		{"/x", []string{"X-Api-Key", freeKey}, 200, ""},
		{"/x", []string{"x-api-key", freeKey}, 200, ""},
		{"/x", []string{"X-Api-Key", freeKey + "x"}, 403, "api key: unknown"},
		{"/x", []string{"X-Api-Key", freeKey[:len(freeKey)-1]}, 403, "api key: unknown"},
		{"/x", []string{"X-Api-Key", strings.ToUpper(freeKey)}, 403, "api key: unknown"},
		{"/x", []string{"X-Api-Key", strings.Repeat("k", 10000)}, 403, "api key: unknown"},
		{"/x", []string{"X-Api-Key", orphanKey}, 403, "api key: its usage plan is not configured"},
		{"/x", []string{"Authorization", freeKey}, 403, "api key: missing"},
		{"/public/x", nil, 200, ""},
		{"/PUBLIC/x", nil, 200, ""},
		{"/publicx", nil, 403, "api key: missing"},
		{"/public/../x", nil, 403, "api key: missing"}, // the backend may take it for /x
		{"/public/%2e%2e/x", nil, 403, "api key: missing"},
		{"/x/../public/y", nil, 403, "api key: missing"}, // and this one not for /public/y
		{"//public/x", nil, 403, "api key: missing"},
		{"/public/%2525252525", nil, 403, "api key: missing"},
	} {
		res := s.get(t, tt.path, tt.headers...)
		if res.status != tt.status || s.call.Error != tt.reason {
			t.Errorf("%s %q: %d %q, want %d %q", tt.path, tt.headers, res.status, s.call.Error, tt.status, tt.reason)
		}
		if tt.status == 403 && (res.body != `{"message":"Forbidden"}` || res.header.Get("x-amzn-ErrorType") != "ForbiddenException") {
			t.Errorf("%s: %s %v", tt.path, res.body, res.header)
		}
	}
}

// TestKeyTwice: which of two keys counts would be anybody's choice, the backend's too.
func TestKeyTwice(t *testing.T) {
	s := newShop(t)
	for _, keys := range [][]string{{goldKey, goldKey}, {goldKey, "x"}, {"x", goldKey}, {"", goldKey}, {goldKey, ""}} {
		res := s.get(t, "/x", "X-Api-Key", keys[0], "X-Api-Key", keys[1])
		if res.status != 403 || s.call.Error != "api key: there more than once" || s.used() != 0 {
			t.Errorf("%q: %d %s", keys, res.status, s.call.Error)
		}
	}
	for _, key := range []string{goldKey + ", " + goldKey, " " + goldKey, goldKey + "\t", strings.ToUpper(goldKey), goldKey[1:], strings.Repeat("k", MaxKey+1)} {
		if res := s.get(t, "/x?x-api-key="+goldKey, "X-Api-Key", key); res.status != 403 || s.call.Error != "api key: unknown" {
			t.Errorf("%q: %d %s", key, res.status, s.call.Error)
		}
	}
	if res := s.get(t, "/x?x-api-key="+goldKey); res.status != 403 || s.call.Error != "api key: missing" {
		t.Errorf("a key in the query: %d %s", res.status, s.call.Error)
	}
	if res := s.get(t, "/x", "X-Api-Key", goldKey); res.status != 200 || s.used() != 1 {
		t.Errorf("once: %d, %d counted", res.status, s.used())
	}
}

// TestKeyRequiredOnRoutes: where no key is asked for, a rule can ask for one, in whatever spelling
// the path comes.
func TestKeyRequiredOnRoutes(t *testing.T) {
	s := newShop(t)
	s.keys.Default = Off
	s.keys.Rules = &Rules{List: []Rule{{Match: mustPattern(t, "GET /private/open"), APIKey: Off}, {Match: mustPattern(t, "ANY /private/{proxy+}"), APIKey: Required}}}
	for path, want := range map[string]int{
		"/x": 200, "/private": 200, "/private/x": 403, "/Private/x": 403, "//private//x": 403, "/x/../private/y": 403, "/%70rivate/x": 403,
		"/private;a/x": 403, `/private\x`: 403, "/private/open": 200, "/private/./open": 403, "/private/%6Fpen": 403, "/%252525252525": 403,
	} {
		if res := s.get(t, path); res.status != want {
			t.Errorf("%s: %d, want %d", path, res.status, want)
		}
	}
}

// TestPlan: the burst at once, then the rate; refused calls reach no backend and count nowhere.
func TestPlan(t *testing.T) {
	s := newShop(t)
	want := func(status int, reason, path string) {
		t.Helper()
		before := s.served
		res := s.get(t, path, "X-Api-Key", goldKey)
		if res.status != status || s.call.Error != reason || (s.served > before) != (status == 200) {
			t.Errorf("%s at %s: %d %q, %d served", path, s.now.Format(time.TimeOnly), res.status, s.call.Error, s.served-before)
		}
		if reason != "" && strings.HasPrefix(reason, "throttle") && (res.body != `{"message":"Too Many Requests"}` || res.header.Get("x-amzn-ErrorType") != "TooManyRequestsException" || res.header.Get("Retry-After") == "") {
			t.Errorf("%s %v", res.body, res.header)
		}
	}
	want(200, "", "/a")
	want(200, "", "/a")
	want(429, "throttle: usage plan", "/a")
	if got := s.get(t, "/a", "X-Api-Key", freeKey); got.status != 200 {
		t.Errorf("another key: %d", got.status)
	}
	s.now = s.now.Add(999 * time.Millisecond)
	want(429, "throttle: usage plan", "/a")
	s.now = s.now.Add(time.Millisecond)
	want(200, "", "/a")
	want(429, "throttle: usage plan", "/a")
	want(200, "", "/slow/1") // its own bucket
	want(429, "throttle: usage plan, route", "/slow/2")
	want(429, "throttle: usage plan, route", "/SLOW/2")
	want(429, "throttle: usage plan, route", "/slow/%32")
	s.now = s.now.Add(time.Minute)
	if s.used() != 4 {
		t.Errorf("%d calls counted, want the 4 that were served", s.used())
	}
	want(403, "filtered path", "/internal/x") // refused behind the plan: everything goes back
	if s.used() != 4 {
		t.Errorf("%d calls counted after a filtered one", s.used())
	}
	want(200, "", "/a")
	res := s.get(t, "/a", "X-Api-Key", goldKey)
	if res.status != 429 || res.body != `{"message":"Limit Exceeded"}` || res.header.Get("x-amzn-ErrorType") != "LimitExceededException" || s.call.Error != "quota: usage plan" {
		t.Errorf("%+v %q", res, s.call.Error)
	}
	if got, want := res.header.Get("Retry-After"), "50339"; got != want { // until midnight
		t.Errorf("Retry-After %s, want %s", got, want)
	}
	s.now = time.Date(2026, 11, 20, 23, 59, 59, 999999999, time.UTC)
	want(429, "quota: usage plan", "/a")
	want(429, "quota: usage plan", "/a")
	want(429, "quota: usage plan", "/a") // nor did these take tokens
	s.now = s.now.Add(1)
	want(200, "", "/a")
	if s.used() != 1 {
		t.Errorf("%d counted on the new day", s.used())
	}
}

// TestPlanOrder: a call that a later bound refuses takes nothing from an earlier one.
func TestPlanOrder(t *testing.T) {
	s := newShop(t)
	post := func(key string) (int, string) {
		res := s.do(t, "POST", "/orders", "X-Api-Key", key)
		return res.status, s.call.Error
	}
	if status, reason := post(freeKey); status != 200 {
		t.Fatal(status, reason)
	}
	for range 5 { // gold has tokens, the route has none
		if status, reason := post(goldKey); status != 429 || reason != "throttle: route" {
			t.Errorf("%d %q", status, reason)
		}
	}
	for range 2 {
		if res := s.get(t, "/a", "X-Api-Key", goldKey); res.status != 200 {
			t.Errorf("the key's tokens were taken by calls that were refused: %s", s.call.Error)
		}
	}
	s.plans.Throttle = s.state.Throttle("gateway", Rate{PerSecond: 1, Burst: 1})
	s.now = s.now.Add(time.Minute)
	if status, reason := post(freeKey); status != 200 {
		t.Errorf("%d %q", status, reason)
	}
	s.now = s.now.Add(500 * time.Millisecond)
	if res := s.get(t, "/a", "X-Api-Key", freeKey); res.status != 429 || s.call.Error != "throttle: gateway" || res.header.Get("Retry-After") != "1" {
		t.Errorf("%d %q %v", res.status, s.call.Error, res.header)
	}
	s.now = s.now.Add(500 * time.Millisecond)
	if res := s.get(t, "/public/x"); res.status != 200 { // anonymous calls count for the gateway too
		t.Errorf("%d %q", res.status, s.call.Error)
	}
	if res := s.get(t, "/public/x"); res.status != 429 {
		t.Errorf("%d %q", res.status, s.call.Error)
	}
}

func TestQuotaWindows(t *testing.T) {
	at := func(s string) time.Time {
		out, err := time.Parse("2006-01-02 15:04:05", s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, tt := range []struct {
		quota           Quota
		now, start, end string
	}{
		{Quota{Period: Day}, "2026-11-20 00:00:00", "2026-11-20", "2026-11-21"},
		{Quota{Period: Day}, "2026-11-20 23:59:59", "2026-11-20", "2026-11-21"},
		{Quota{Period: Week}, "2026-11-22 00:00:00", "2026-11-22", "2026-11-29"}, // a Sunday
		{Quota{Period: Week}, "2026-11-21 23:59:59", "2026-11-15", "2026-11-22"},
		{Quota{Period: Week, Offset: 1}, "2026-11-22 23:59:59", "2026-11-16", "2026-11-23"},
		{Quota{Period: Week, Offset: 1}, "2026-11-23 00:00:00", "2026-11-23", "2026-11-30"},
		{Quota{Period: Week, Offset: 6}, "2026-11-20 12:00:00", "2026-11-14", "2026-11-21"},
		{Quota{Period: Week, Offset: 6}, "2026-11-21 00:00:00", "2026-11-21", "2026-11-28"},
		{Quota{Period: Month}, "2026-11-01 00:00:00", "2026-11-01", "2026-12-01"},
		{Quota{Period: Month}, "2026-10-31 23:59:59", "2026-10-01", "2026-11-01"},
		{Quota{Period: Month, Offset: 27}, "2027-02-27 23:59:59", "2027-01-28", "2027-02-28"},
		{Quota{Period: Month, Offset: 27}, "2027-02-28 00:00:00", "2027-02-28", "2027-03-28"},
		{Quota{Period: Month, Offset: 14}, "2027-01-14 23:59:59", "2026-12-15", "2027-01-15"},
	} {
		now := at(tt.now)
		start, end := tt.quota.Window(now)
		if start.Format(time.DateOnly) != tt.start || end.Format(time.DateOnly) != tt.end || now.Before(start) || !now.Before(end) {
			t.Errorf("%+v at %s: %s to %s", tt.quota, tt.now, start, end)
		}
		elsewhere, _ := tt.quota.Window(now.In(time.FixedZone("", 9*3600)))
		if !elsewhere.Equal(start) {
			t.Errorf("%+v at %s depends on the time zone", tt.quota, tt.now)
		}
	}
	for _, bad := range []Quota{{0, Day, 0}, {1, "day", 0}, {1, Day, 1}, {1, Week, 7}, {1, Week, -1}, {1, Month, 28}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	for _, good := range []Quota{{1, Day, 0}, {1, Week, 6}, {1, Month, 27}} {
		if err := good.Check(); err != nil {
			t.Error(err)
		}
	}
}

// TestBucketsTogether: however many ask at once, a bucket gives what it holds, and a quota too.
func TestBucketsTogether(t *testing.T) {
	b, c := new(bucket), new(localTally)
	var wg sync.WaitGroup
	var mu sync.Mutex
	tokens, counted := 0, 0
	for range 8 {
		wg.Go(func() {
			for range 200 {
				_, ok := b.take(0, Rate{PerSecond: 10, Burst: 50}, false)
				took := c.Take(1, 2, 70, new(Wait)) == Counted
				mu.Lock()
				if ok {
					tokens++
				}
				if took {
					counted++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if tokens != 50 || counted != 70 {
		t.Errorf("%d tokens of 50, %d counts of 70", tokens, counted)
	}
}

// TestCounterOutlivesProcess: what was counted is there after a kill, but for the last second,
// and wholly after an orderly end.
func TestCounterOutlivesProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "usage.json")
	start := time.Now().Add(-time.Hour).Unix()
	take := func(c *LocalCounter, n int) {
		for range n {
			c.Tally("k").Take(start, start+86400, 1000, new(Wait))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		start = time.Now().Add(-time.Hour).Unix()
		c, err := OpenCounter(file, quiet)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		take(c, 3)
		time.Sleep(FlushEvery)
		synctest.Wait()
		take(c, 4) // not written yet
		killed, err := OpenCounter(file, quiet)
		if err != nil || killed.Tally("k").Used(start) != 3 {
			t.Errorf("after a kill: %v, %v", killed, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		again, err := OpenCounter(file, quiet)
		if err != nil || again.Tally("k").Used(start) != 7 || again.Tally("other").Used(start) != 0 {
			t.Errorf("after an end: %v, %v", again, err)
		}
		if again.Tally("k").Take(start, start+86400, 7, new(Wait)) != Spent || again.Tally("k").Take(start, start+86400, 8, new(Wait)) != Counted {
			t.Error("the quota is not what it was")
		}
		if again.Tally("k").Take(start-86400, start, 8, new(Wait)) != Spent {
			t.Error("a clock that was set back gives the quota anew")
		}
	})
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCounter(file, quiet); err == nil || !strings.Contains(err.Error(), "remove it to begin all quotas anew") {
		t.Errorf("a broken file: %v", err)
	}
	if info, err := os.ReadDir(filepath.Dir(file)); err != nil || len(info) != 1 {
		t.Errorf("left behind: %v %v", info, err)
	}
}

// TestKeyFile: made, in force, revoked, and never anywhere in clear.
func TestKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	record, value, err := CreateKey(file, "partner", "gold", "", now)
	if err != nil || CheckKey(value) != nil || len(value) != 40 {
		t.Fatal(record, err)
	}
	if _, _, err := CreateKey(file, "partner", "", "", now); err == nil || !strings.Contains(err.Error(), `there is an API key "partner" already`) {
		t.Errorf("the name twice: %v", err)
	}
	if _, _, err := CreateKey(file, "other", "", value, now); err == nil || strings.Contains(err.Error(), value) {
		t.Errorf("the value twice: %v", err)
	}
	if _, _, err := CreateKey(file, "other", "", "short", now); err == nil {
		t.Error("a short key is taken")
	}
	text, err := os.ReadFile(file)
	if err != nil || bytes.Contains(text, []byte(value)) || !bytes.Contains(text, []byte(record.SHA256)) {
		t.Errorf("%s %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	s := newShop(t)
	if s.keys.File, err = OpenKeyFile(file, s.state, quiet); err != nil {
		t.Fatal(err)
	}
	if res := s.get(t, "/x", "X-Api-Key", value); res.status != 200 {
		t.Errorf("%d %s", res.status, s.call.Error)
	}
	if _, err := RevokeKey(file, "nobody", now); err == nil {
		t.Error("revoked nobody")
	}
	if _, err := RevokeKey(file, "partner", now); err != nil {
		t.Fatal(err)
	}
	if err := s.keys.File.Reload(); err != nil {
		t.Fatal(err)
	}
	if res := s.get(t, "/x", "X-Api-Key", value); res.status != 403 || s.call.Error != "api key: unknown" {
		t.Errorf("revoked: %d %s", res.status, s.call.Error)
	}
	if _, _, err := CreateKey(file, "partner", "", "", now); err != nil { // the name is free again
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte(`{"version":1,"keys":[{"id":"x","sha256":"zz"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	before := s.keys.File.Len()
	if err := s.keys.File.Reload(); err == nil || !strings.Contains(err.Error(), "key x: sha256 is not 64 hex digits") || s.keys.File.Len() != before {
		t.Errorf("%v", err)
	}
}

// TestKeyFileTogether: two who change the file at once lose nothing.
func TestKeyFileTogether(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			if _, _, err := CreateKey(file, name, "", "", time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if keys, err := ReadKeys(file); err != nil || len(keys) != 4 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// TestKeysAllocateNothing: finding a key costs the same among ten as among ten thousand.
func TestKeysAllocateNothing(t *testing.T) {
	for _, n := range []int{10, 10000} {
		k, header := manyKeys(t, n)
		r := &Request{HTTP: &http.Request{Method: "GET", Header: header}, Path: "/x"}
		if refusal := k.Decide(r); refusal != nil {
			t.Fatal(refusal.Reason)
		}
		if got := testing.AllocsPerRun(100, func() { k.Decide(r) }); got != 0 {
			t.Errorf("%d keys: %v allocations", n, got)
		}
	}
}

func manyKeys(t testing.TB, n int) (*Keys, http.Header) {
	s := newState(t, time.Now())
	set := KeySet{}
	for i := range n {
		value := goldKey + strings.Repeat("x", i%10) + time.Duration(i).String()
		set[HashKey(value)] = NewClient(value, value, "gold", s)
	}
	set[HashKey(goldKey)] = NewClient("gold", "gold", "gold", s)
	return &Keys{Default: Required, Configured: set, Plans: map[string]*UsagePlan{"gold": {Name: "gold"}}}, http.Header{"X-Api-Key": {goldKey}}
}
