package access

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// spy is a decider that writes down what is asked of it.
type spy struct {
	phase  Phase
	name   string
	refuse *Refusal
	log    *[]string
}

func (s *spy) Phase() Phase { return s.phase }
func (s *spy) Name() string { return s.name }
func (s *spy) Decide(r *Request) *Refusal {
	*s.log = append(*s.log, s.name)
	return s.refuse
}

type holdingSpy struct{ spy }

func (s *holdingSpy) End(_ *Request, served bool) {
	*s.log = append(*s.log, fmt.Sprintf("%s ends %v", s.name, served))
}

// TestOrder: phases decide the order, not the place in the list; what was taken is ended in the
// opposite order, once.
func TestOrder(t *testing.T) {
	var log []string
	hold := func(p Phase, name string, f *Refusal) Decider {
		return &holdingSpy{spy{p, name, f, &log}}
	}
	plain := func(p Phase, name string) Decider { return &spy{p, name, nil, &log} }
	w := newWorld(t, hold(Filter, "f", nil), hold(Plan, "p", nil), plain(Authentication, "a2"), plain(Authentication, "a3"), hold(Limits, "l", nil), plain(ResourcePolicy, "r"))
	w.get(t, "/x")
	if got := strings.Join(log, ", "); got != "r, l, a2, a3, p, f, f ends true, p ends true, l ends true" {
		t.Error(got)
	}
	log = nil
	teapot := &Refusal{Status: 418, Message: "no", Reason: "teapot", Header: http.Header{"Www-Authenticate": {"Bearer"}}, RetryAfter: 1500 * time.Millisecond}
	w.rules(hold(Plan, "p", teapot), hold(Limits, "l", nil), hold(Filter, "f", nil))
	res := w.get(t, "/x")
	if got := strings.Join(log, ", "); got != "l, p, l ends false" {
		t.Error(got)
	}
	if res.status != 418 || res.body != `{"message":"no"}` || res.header.Get("WWW-Authenticate") != "Bearer" || res.header.Get("Retry-After") != "2" || w.call.Error != "teapot" {
		t.Errorf("%+v %+v", res, w.call)
	}
	log = nil
	w.rules(hold(Limits, "l", nil))
	w.serve = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("panicked with %v", p)
			}
		}()
		w.get(t, "/x")
	}()
	if got := strings.Join(log, ", "); got != "l, l ends true" {
		t.Error(got)
	}
}

// TestMalformedTarget: what is no target goes on to the proxy, which refuses it, and meets no rule
// that would read a path out of it.
func TestMalformedTarget(t *testing.T) {
	var log []string
	w := newWorld(t, &spy{Limits, "l", nil, &log})
	for _, target := range []string{"*", "host:443", "ftp://x/y"} {
		w.get(t, target)
	}
	if w.served != 3 || len(log) != 0 {
		t.Errorf("%d served, %v", w.served, log)
	}
	w.do(t, "OPTIONS", "*")
	if w.served != 4 || len(log) != 1 {
		t.Errorf("OPTIONS *: %v", log)
	}
}

func TestConcurrency(t *testing.T) {
	state := newState(t, time.Now())
	w := newWorld(t, &Concurrency{PerAddress: 2, Total: 3, State: state})
	inside := func(from string, then func()) answer {
		w.from, w.serve = from, func(http.ResponseWriter, *http.Request) { then() }
		return w.get(t, "/x")
	}
	refusedAs := func(from string, status int, reason string) {
		t.Helper()
		w.from, w.serve = from, nil
		res := w.get(t, "/x")
		if res.status != status || w.call.Error != reason || (res.header.Get("Retry-After") == "1") != (status != 200) {
			t.Errorf("%s: %d %q %v", from, res.status, w.call.Error, res.header)
		}
	}
	const a, b, c = "203.0.113.7:1", "[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1"
	inside(a, func() {
		inside(a, func() {
			refusedAs(a, 429, "limits: calls of this address")
			inside(b, func() {
				refusedAs(c, 503, "limits: calls in all")
			})
			refusedAs(c, 200, "")
		})
	})
	inside(b, func() {
		inside("[2001:db8:0:1:ffff::2]:9", func() { // the same /64
			refusedAs("[2001:db8:0:1:8000::3]:7", 429, "limits: calls of this address")
			refusedAs(c, 200, "")
		})
	})
	if n := state.places.total.Load(); n != 0 {
		t.Errorf("%d calls are still under way", n)
	}
	for i := range state.places.shards {
		if n := len(state.places.shards[i].n); n != 0 {
			t.Errorf("%d addresses are still remembered", n)
		}
	}
}

func TestMethods(t *testing.T) {
	rules := &Rules{List: []Rule{{Match: mustPattern(t, "/orders/{id}"), Methods: []string{"GET", "POST", "DELETE"}}, {Match: mustPattern(t, "/any"), APIKey: Off}}}
	w := newWorld(t, &Methods{Allowed: []string{"GET", "POST"}, Rules: rules})
	for _, tt := range []struct {
		method, path string
		headers      []string
		status       int
	}{
		{"GET", "/x", nil, 200},
		{"POST", "/x", nil, 200},
		{"DELETE", "/x", nil, 403},
		{"HEAD", "/x", nil, 403},
		{"get", "/x", nil, 403},
		{"DELETE", "/any", nil, 403},
		{"DELETE", "/orders/1", nil, 200},
		{"DELETE", "/Orders/1/", nil, 200},
		{"DELETE", "/orders/1/2", nil, 403},
		{"DELETE", "/orders", nil, 403},
		{"DELETE", "/orders/1/..", nil, 403}, // it may be /orders
		{"DELETE", "//orders/1", nil, 403},   // or not /orders/1
		{"PATCH", "/orders/1", nil, 403},
		{"POST", "/x", []string{"X-HTTP-Method-Override", "DELETE"}, 403},
		{"POST", "/x", []string{"X-HTTP-Method", "delete"}, 403},
		{"POST", "/x", []string{"X-Method-Override", "GET"}, 200},
	} {
		res := w.do(t, tt.method, tt.path, tt.headers...)
		if res.status != tt.status {
			t.Errorf("%s %s %q: %d", tt.method, tt.path, tt.headers, res.status)
		}
		if res.status == 403 && (res.body != `{"message":"Missing Authentication Token"}` && tt.method != "HEAD" || w.call.Error != "method not allowed") {
			t.Errorf("%s %q", res.body, w.call.Error)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern, method, path string
		want                  bool
	}{
		{"/users", "GET", "/users", true},
		{"/users", "GET", "/users/", true},
		{"/users", "GET", "/users/1", false},
		{"/users", "GET", "/user", false},
		{"get /users", "GET", "/users", true},
		{"GET /users", "POST", "/users", false},
		{"ANY /users", "PURGE", "/users", true},
		{"GET /Users/{Id}", "GET", "/users/7", true},
		{"/users/{id}", "GET", "/users/", false},
		{"/users/{id}", "GET", "/users", false},
		{"/users/{id}/x", "GET", "/users/1/x", true},
		{"/users/{id}/x", "GET", "/users/1/y", false},
		{"/users/{id}/x", "GET", "/users/1", false},
		{"/files/{path+}", "GET", "/files/a/b", true},
		{"/files/{path+}", "GET", "/files", false},
		{"/{proxy+}", "GET", "/", true},
		{"/{proxy+}", "GET", "/a/b", true},
		{"/", "GET", "/", true},
		{"/", "GET", "/x", false},
		{"$default", "GET", "/x", true},
		{"$default", "OPTIONS", "*", true},
		{"/{proxy+}", "OPTIONS", "*", false},
		{"/a%20b", "GET", "/a b", true},
	} {
		p := mustPattern(t, tt.pattern)
		if got := p.takes(tt.method, tt.path); got != tt.want {
			t.Errorf("%s takes %s %s: %v", tt.pattern, tt.method, tt.path, got)
		}
	}
	for _, bad := range []string{"", "users", "GET", "GET users", "GET /a /b", "/{", "/{}", "/a{b}", "/{a+}/b", "/{a}b"} {
		if _, err := ParsePattern(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestExplain: what it tells is what happens, and it changes nothing.
func TestExplain(t *testing.T) {
	s := newShop(t)
	chain := s.gate.chain.Load()
	ask := func(path, key string) ([]Step, *Refusal) {
		r, _ := http.NewRequest("GET", "http://x/", nil)
		r.RequestURI, r.RemoteAddr = path, s.from
		if key != "" {
			r.Header.Set("X-Api-Key", key)
		}
		return chain.Explain(r)
	}
	line := func(steps []Step) string {
		var out []string
		for _, s := range steps {
			out = append(out, s.Rule+" "+s.Verdict)
		}
		return strings.Join(out, ", ")
	}
	for range 10 {
		steps, f := ask("/a", goldKey)
		if f != nil || line(steps) != "address passes,  none,  none, api_key passes, plan passes, filtered_paths passes" {
			t.Fatalf("%v %+v", f, steps)
		}
		if !strings.Contains(steps[4].Why, `0 of 5 per DAY are used until 2026-11-21T00:00:00Z`) || !strings.Contains(steps[3].Why, `"gold"'s`) || strings.Contains(fmt.Sprint(steps), goldKey) {
			t.Errorf("%+v", steps)
		}
	}
	steps, f := ask("/a", "")
	if f == nil || f.Reason != "api key: missing" || line(steps) != "address passes,  none,  none, api_key refuses, plan not asked, filtered_paths not asked" {
		t.Errorf("%v %s", f, line(steps))
	}
	steps, f = ask("/Internal;x/y", freeKey)
	if f == nil || f.Status != 403 || !strings.Contains(steps[len(steps)-1].Why, `can be read as "/internal/y"`) {
		t.Errorf("%v %+v", f, steps)
	}
	steps, f = ask("no target", "")
	if f == nil || f.Status != 400 || len(steps) != 1 {
		t.Errorf("%v %+v", f, steps)
	}
	for range 2 {
		if res := s.get(t, "/a", "X-Api-Key", goldKey); res.status != 200 {
			t.Errorf("explaining took a token: %s", s.call.Error)
		}
	}
	if s.used() != 2 {
		t.Errorf("%d are counted", s.used())
	}
}

// TestSet: the compiled set agrees with asking every network.
func TestSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addr := rapid.Custom(func(t *rapid.T) netip.Addr {
			if rapid.Bool().Draw(t, "v6") {
				b := [16]byte{0x20, 0x01, 0x0d, 0xb8, 4: rapid.Byte().Draw(t, "a") & 3, 15: rapid.Byte().Draw(t, "b")}
				if rapid.Bool().Draw(t, "mapped") {
					b = [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: rapid.Byte().Draw(t, "b")}
				}
				return netip.AddrFrom16(b)
			}
			return netip.AddrFrom4([4]byte{rapid.SampledFrom([]byte{0, 10, 11, 255}).Draw(t, "a"), 0, rapid.Byte().Draw(t, "b") & 3, rapid.Byte().Draw(t, "c")})
		})
		prefixes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) netip.Prefix {
			a := addr.Draw(t, "addr")
			return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
		}), 0, 12).Draw(t, "networks")
		s := NewSet(prefixes...)
		for _, a := range rapid.SliceOfN(addr, 1, 20).Draw(t, "asked") {
			want := false
			for _, p := range prefixes {
				if p.Addr().Is4In6() && p.Bits() >= 96 {
					p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
				}
				want = want || p.Contains(a.Unmap())
			}
			if got := s.Contains(a); got != want {
				t.Errorf("%s in %v: %v", a, prefixes, got)
			}
		}
	})
	if s, err := ParseSet("0.0.0.0/0", "::/0"); err != nil || !s.Contains(netip.MustParseAddr("255.255.255.255")) || !s.Contains(netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")) || s.Contains(netip.Addr{}) {
		t.Error("everything is not everything")
	}
	if (*Set)(nil).Contains(netip.MustParseAddr("::1")) || !(*Set)(nil).Empty() {
		t.Error("nothing is something")
	}
}

// TestTime: the call's slip says how long the rules took, of a call that passes and of one that is refused;
// without rules there is nothing to say.
func TestTime(t *testing.T) {
	var log []string
	for _, tt := range []struct {
		name  string
		rules []Decider
		want  time.Duration
	}{
		{"no rules", nil, 0},
		{"passed", []Decider{&spy{phase: Plan, name: "p", log: &log}}, time.Millisecond},
		{"refused", []Decider{&spy{phase: Plan, name: "p", refuse: &Refusal{Status: 403}, log: &log}}, time.Millisecond},
	} {
		w, now := newWorld(t), time.Now()
		w.gate.Set(NewChain(Options{Now: func() time.Time { now = now.Add(time.Millisecond); return now }}, tt.rules...))
		if w.get(t, "/x"); w.call.Access != tt.want {
			t.Errorf("%s: %v", tt.name, w.call.Access)
		}
	}
}

// TestOwnClock: without a clock of its own a Chain takes the time of the call, and the machine's for how long its rules took.
func TestOwnClock(t *testing.T) {
	for _, refuse := range []*Refusal{nil, {Status: 403, Body: "{}"}} {
		var log []string
		w := newWorld(t)
		w.gate.Set(NewChain(Options{}, &spy{phase: Plan, name: "p", refuse: refuse, log: &log}))
		want := 200
		if refuse != nil {
			want = refuse.Status
		}
		if res := w.get(t, "/x"); res.status != want || w.call.Access < 0 || w.call.Access > time.Since(w.call.Start) {
			t.Errorf("%d, %v of %v", res.status, w.call.Access, time.Since(w.call.Start))
		}
	}
}
