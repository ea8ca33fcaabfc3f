package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// world is a Dialer whose resolver and network are made up.
type world struct {
	*Dialer
	mu     sync.Mutex
	names  map[string][]string                                                // addresses of names
	answer func(ctx context.Context, addr string) (net.Conn, error)           // nil: it connects
	lookup func(ctx context.Context, name string) (addrs []string, err error) // nil: names
	asked  []string                                                           // of the resolver
	dialed []string
	counts map[string]int
	log    bytes.Buffer
}

func newWorld(t testing.TB, r Rules, names map[string][]string) *world {
	p, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{names: names, counts: map[string]int{}}
	w.Dialer = &Dialer{
		Policy: p, Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observe: func(o Outcome, rule string) { w.counts[string(o)+" "+rule]++ },
		Resolve: func(ctx context.Context, name string) ([]netip.Addr, error) {
			w.asked = append(w.asked, name)
			list, err := w.names[name], error(nil)
			if w.lookup != nil {
				list, err = w.lookup(ctx, name)
			}
			var out []netip.Addr
			for _, text := range list {
				out = append(out, netip.MustParseAddr(text))
			}
			return out, err
		},
		Connect: func(ctx context.Context, _, addr string) (net.Conn, error) {
			w.mu.Lock()
			w.dialed = append(w.dialed, addr)
			w.mu.Unlock()
			if w.answer != nil {
				return w.answer(ctx, addr)
			}
			return &conn{addr: addr}, nil
		},
	}
	return w
}

// conn is a connection that knows where it goes.
type conn struct {
	net.Conn
	addr   string
	closed chan struct{}
}

func (c *conn) Close() error {
	if c.closed != nil {
		close(c.closed)
	}
	return nil
}

func (w *world) reach(t *testing.T, addr string, known Known) (string, error) {
	t.Helper()
	c, err := w.For(known)(t.Context(), "tcp", addr)
	if err != nil {
		return "", err
	}
	return c.(*conn).addr, nil
}

// TestRebinding: the address that was checked is the one that is dialled; a resolver that has
// another answer the next time is not asked again, and a new dial checks its new answer.
func TestRebinding(t *testing.T) {
	w := newWorld(t, Rules{}, nil)
	n := 0
	w.lookup = func(context.Context, string) ([]string, error) {
		n++
		if n == 1 {
			return []string{"93.184.216.34"}, nil
		}
		return []string{"10.0.0.1"}, nil
	}
	if at, err := w.reach(t, "rebind.example:443", nil); at != "93.184.216.34:443" || err != nil || n != 1 {
		t.Errorf("first: %s, %v, %d look-ups", at, err, n)
	}
	_, err := w.reach(t, "rebind.example:443", nil)
	var denied *DeniedError
	if !errors.As(err, &denied) || denied.DeniedBy() != "default private" || n != 2 {
		t.Errorf("second: %v, %d look-ups", err, n)
	}
	if want := []string{"93.184.216.34:443"}; !slices.Equal(w.dialed, want) {
		t.Errorf("dialled %v", w.dialed)
	}
	if err.Error() != "egress denied by default private: rebind.example:443 is 10.0.0.1" {
		t.Error(err)
	}
	if want := (map[string]int{"allowed default": 1, "denied default private": 1}); !maps.Equal(w.counts, want) {
		t.Errorf("counted %v", w.counts)
	}
}

func TestDial(t *testing.T) {
	names := map[string][]string{
		"public.example": {"8.8.8.8"}, "private.example": {"10.0.0.1"}, "both.example": {"10.0.0.1", "8.8.8.8", "10.0.0.1"},
		"meta.example": {"169.254.169.254"}, "mapped.example": {"::ffff:8.8.8.8"}, "six.example": {"2600::1"}, "worse.example": {"10.0.0.1", "127.0.0.1"},
	}
	configured := URLs("https://private.example/x?{y}", "http://META.example:8080", "http://[fe80::1]:80")
	for _, tt := range []struct {
		why, addr string
		rules     Rules
		want      string // where it goes, or the rule that denies
		counted   string
		asked     bool
	}{
		{"public", "public.example:80", Rules{}, "8.8.8.8:80", "allowed default", true},
		{"configured", "private.example:443", Rules{}, "10.0.0.1:443", "allowed configured", true},
		{"in other letters", "Private.Example:443", Rules{}, "", "", true}, // the made-up resolver has small ones only
		{"at another port it is a stranger's", "private.example:80", Rules{}, "default private", "denied default private", true},
		{"configured, but it leads to metadata", "meta.example:8080", Rules{}, "default metadata", "denied default metadata", true},
		{"mapped", "mapped.example:80", Rules{}, "8.8.8.8:80", "allowed default", true},
		{"IPv6", "six.example:80", Rules{}, "[2600::1]:80", "allowed default", true},
		{"an IPv6 address", "[2600::1]:80", Rules{}, "[2600::1]:80", "allowed default", false},
		{"a configured link-local address", "[fe80::1]:80", Rules{}, "[fe80::1]:80", "allowed configured", false},
		{"octal", "0177.0.0.1:80", Rules{}, "host form", "denied host form", false},
		{"one number", "2130706433:80", Rules{}, "host form", "denied host form", false},
		{"a denied name is not looked up", "public.example:80", Rules{Deny: []string{"*.example"}}, "*.example", "denied *.example", false},
		{"allowed ones of several addresses", "both.example:80", Rules{}, "8.8.8.8:80", "denied default private, allowed default", true},
		{"none of several", "worse.example:80", Rules{}, "default private", "denied default private, denied default loopback", true},
		{"report only", "private.example:80", Rules{ReportOnly: true}, "10.0.0.1:80", "would_deny default private", true},
		{"report only, a name", "private.example:80", Rules{ReportOnly: true, Deny: []string{"*.example"}}, "10.0.0.1:80", "would_deny *.example", true},
		{"report only, all addresses", "both.example:80", Rules{ReportOnly: true}, "10.0.0.1:80", "would_deny default private, allowed default", true},
	} {
		w := newWorld(t, tt.rules, names)
		if tt.want == "" {
			if _, err := w.reach(t, tt.addr, configured); err == nil {
				t.Errorf("%s: no error", tt.why)
			}
			continue
		}
		got, err := w.reach(t, tt.addr, configured)
		if denied, ok := errors.AsType[*DeniedError](err); ok {
			got, err = denied.DeniedBy(), nil
			if len(w.dialed) > 0 {
				t.Errorf("%s: dialled %v", tt.why, w.dialed)
			}
		}
		if got != tt.want || err != nil || (len(w.asked) > 0) != tt.asked {
			t.Errorf("%s: %q, %v, asked for %v; want %q", tt.why, got, err, w.asked, tt.want)
		}
		want := map[string]int{}
		for one := range strings.SplitSeq(tt.counted, ", ") {
			want[one]++
		}
		if !maps.Equal(w.counts, want) {
			t.Errorf("%s: counted %v, want %v", tt.why, w.counts, want)
		}
	}
}

// TestReportOnlyHostForm: even a host that is refused by its form is looked up.
func TestReportOnlyHostForm(t *testing.T) {
	w := newWorld(t, Rules{ReportOnly: true}, map[string][]string{"127.1": {"127.0.0.1"}})
	if at, err := w.reach(t, "127.1:80", nil); at != "127.0.0.1:80" || err != nil {
		t.Errorf("%s, %v", at, err)
	}
	if w.counts["would_deny host form"] != 1 {
		t.Error(w.counts)
	}
}

// TestTold: what no error tells is a warning once, and does not flood the log.
func TestTold(t *testing.T) {
	w := newWorld(t, Rules{}, map[string][]string{"both.example": {"10.0.0.1", "8.8.8.8"}})
	for range 3 {
		if _, err := w.reach(t, "both.example:80", nil); err != nil {
			t.Fatal(err)
		}
	}
	log := w.log.String()
	if strings.Count(log, "level=WARN") != 1 || strings.Count(log, "level=DEBUG") != 2 || !strings.Contains(log, `verdict="denied-by: default private" address=10.0.0.1`) {
		t.Error(log)
	}
	w = newWorld(t, Rules{ReportOnly: true}, map[string][]string{"a.example": {"10.0.0.1"}})
	for range 2 {
		if _, err := w.reach(t, "a.example:80", nil); err != nil {
			t.Fatal(err)
		}
	}
	if log := w.log.String(); strings.Count(log, "level=WARN msg=\"egress would be denied") != 1 || strings.Count(log, "level=DEBUG") != 1 {
		t.Error(log)
	}
	w = newWorld(t, Rules{}, map[string][]string{"a.example": {"10.0.0.1"}})
	if _, err := w.reach(t, "a.example:80", nil); err == nil || w.log.Len() > 0 {
		t.Errorf("a denial is an error, not a line in the log: %v, %s", err, w.log.String())
	}
}

func TestDialErrors(t *testing.T) {
	w := newWorld(t, Rules{}, nil)
	for _, tt := range []struct{ network, addr, says string }{
		{"tcp", "nothing", "missing port"},
		{"tcp", "a.example:https", "a port's number"},
		{"udp", "a.example:53", "want tcp"},
		{"tcp", "none.example:80", "no address"},
	} {
		_, err := w.DialContext(t.Context(), tt.network, tt.addr)
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s %s: %v", tt.network, tt.addr, err)
		}
	}
	lost := &net.DNSError{Err: "server misbehaving", Name: "x"}
	w.lookup = func(context.Context, string) ([]string, error) { return nil, lost }
	if _, err := w.DialContext(t.Context(), "tcp", "a.example:80"); !errors.Is(err, lost) {
		t.Error(err)
	}
	if len(w.counts) > 0 {
		t.Errorf("a name without addresses was counted: %v", w.counts)
	}
}

// TestRealDial goes over loopback with the standard library's resolver and dialer.
func TestRealDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} {
		at := net.JoinHostPort(host, port)
		c, err := new(Dialer).For(Operator)(t.Context(), "tcp", at)
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		if text, err := io.ReadAll(c); string(text) != "hello" || err != nil {
			t.Errorf("%s: %q, %v", at, text, err)
		}
		c.Close()
		if _, err := new(Dialer).DialContext(t.Context(), "tcp", at); !errors.As(err, new(*DeniedError)) {
			t.Errorf("%s for a stranger: %v", at, err)
		}
	}
}

func TestHostOf(t *testing.T) {
	for _, tt := range []struct {
		url, host string
		port      uint16
		ok        bool
	}{
		{"https://Api.Example/x", "api.example", 443, true},
		{"HTTP://a.example", "a.example", 80, true},
		{"http://a.example:8080?x", "a.example", 8080, true},
		{"https://[2001:DB8::1]:8443/{id}", "2001:db8::1", 8443, true},
		{"https://a.example#x", "a.example", 443, true},
		{"ftp://a.example", "", 0, false},
		{"a.example", "", 0, false},
		{"https://", "", 0, false},
		{"https://a.example:99999", "", 0, false},
		{"https://a b/", "", 0, false},
	} {
		if host, port, ok := HostOf(tt.url); host != tt.host || port != tt.port || ok != tt.ok {
			t.Errorf("%s: %s %d %v", tt.url, host, port, ok)
		}
	}
}

// TestRace: connections are raced as package net does it.
func TestRace(t *testing.T) {
	const six, four, four2 = "[2600::1]:80", "8.8.8.8:80", "9.9.9.9:80"
	down := errors.New("down")
	type step struct {
		after time.Duration // negative: hangs until its context ends
		err   error
	}
	for _, tt := range []struct {
		why     string
		steps   map[string]step
		within  time.Duration // of the context; 0: none
		want    string
		took    time.Duration
		fails   error
		dialled int
	}{
		{"the first family wins", map[string]step{six: {0, nil}}, 0, six, 0, nil, 1},
		{"it has a head start", map[string]step{six: {299 * time.Millisecond, nil}, four: {0, nil}}, 0, six, 299 * time.Millisecond, nil, 1},
		{"after which the other is tried", map[string]step{six: {-1, nil}, four: {time.Second, nil}}, 0, four, 1300 * time.Millisecond, nil, 2},
		{"the faster of both", map[string]step{six: {400 * time.Millisecond, nil}, four: {time.Second, nil}}, 0, six, 400 * time.Millisecond, nil, 2},
		{"a failure ends the head start", map[string]step{six: {10 * time.Millisecond, down}, four: {0, nil}}, 0, four, 10 * time.Millisecond, nil, 2},
		{"one after the other within a family", map[string]step{six: {0, down}, four: {5 * time.Millisecond, down}, four2: {0, nil}}, 0, four2, 5 * time.Millisecond, nil, 3},
		{"all fail: the first family's error", map[string]step{six: {time.Second, down}, four: {0, io.EOF}, four2: {0, io.EOF}}, 0, "", time.Second, down, 3},
		{"a share of the time for each", map[string]step{six: {0, down}, four: {-1, nil}, four2: {time.Second, nil}}, 10 * time.Second, four2, 6 * time.Second, nil, 3},
		{"but not less than two seconds", map[string]step{six: {0, down}, four: {-1, nil}, four2: {-1, nil}}, 3 * time.Second, "", 3 * time.Second, down, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Rules{}, map[string][]string{"a.example": {"2600::1", "8.8.8.8", "9.9.9.9"}})
			var open []*conn
			w.answer = func(ctx context.Context, addr string) (net.Conn, error) {
				s, ok := tt.steps[addr]
				if !ok || s.after < 0 {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				select {
				case <-time.After(s.after):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				if s.err != nil {
					return nil, s.err
				}
				c := &conn{addr: addr, closed: make(chan struct{})}
				w.mu.Lock()
				open = append(open, c)
				w.mu.Unlock()
				return c, nil
			}
			ctx := t.Context()
			if tt.within > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tt.within)
				defer cancel()
			}
			began := time.Now()
			c, err := w.DialContext(ctx, "tcp", "a.example:80")
			took := time.Since(began)
			got := ""
			if err == nil {
				got = c.(*conn).addr
			}
			if got != tt.want || !errors.Is(err, tt.fails) || took != tt.took || len(w.dialed) != tt.dialled {
				t.Errorf("%s: %q, %v after %v, dialled %v", tt.why, got, err, took, w.dialed)
			}
			synctest.Wait()
			for _, other := range open {
				if other != c {
					<-other.closed // a connection that came too late is closed
				}
			}
		})
	}
}

// TestLateConnection: both families connect at the same moment, and the one that is not used is
// closed.
func TestLateConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Rules{}, map[string][]string{"a.example": {"2600::1", "8.8.8.8"}})
		var conns []*conn
		w.answer = func(_ context.Context, addr string) (net.Conn, error) { // it does not listen to its context
			after := 200 * time.Millisecond
			if strings.HasPrefix(addr, "[") {
				after += headStart
			}
			time.Sleep(after)
			c := &conn{addr: addr, closed: make(chan struct{})}
			w.mu.Lock()
			conns = append(conns, c)
			w.mu.Unlock()
			return c, nil
		}
		c, err := w.DialContext(t.Context(), "tcp", "a.example:80")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(conns) != 2 {
			t.Fatalf("%d connections", len(conns))
		}
		for _, one := range conns {
			select {
			case <-one.closed:
				if one == c {
					t.Error("the winner is closed")
				}
			default:
				if one != c {
					t.Error("the loser is open")
				}
			}
		}
	})
}
