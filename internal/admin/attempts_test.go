package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAttempts: ten at once and one each pause for an address, whoever else is wrong.
func TestAttempts(t *testing.T) {
	for _, way := range []string{"session", "bearer"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.server.Token = "s3same"
			w.server.Console = http.NotFoundHandler()
			counted := map[string]int{}
			w.server.LoginRefused = func(reason string) { counted[reason]++ }
			h := w.server.Handler()
			try := func(from, token string) *httptest.ResponseRecorder {
				r := httptest.NewRequest("GET", "/api/v1/queue", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				if way == "session" {
					r = httptest.NewRequest("POST", "/api/v1/session", strings.NewReader(`{"token":"`+token+`"}`))
				}
				r.Host, r.RemoteAddr = "localhost", from
				out := httptest.NewRecorder()
				h.ServeHTTP(out, r)
				return out
			}
			status := func(what, from, token string, want int) {
				t.Helper()
				if got := try(from, token); got.Code != want {
					t.Errorf("%s, %s: %d, want %d", way, what, got.Code, want)
				}
			}
			const eve, ada = "203.0.113.7:4711", "198.51.100.1:4711"
			for range 20 {
				status("right is free", eve, "s3same", 200)
			}
			for range triesPerAddress {
				status("wrong", eve, "guess", 401)
			}
			status("one more", eve, "guess", 429)
			if got := try(eve[:12]+"9999", "s3same"); got.Code != 429 || got.Header().Get("Retry-After") != "10" {
				t.Errorf("%s: the right one after them: %d, Retry-After %q", way, got.Code, got.Header().Get("Retry-After"))
			}
			status("another address", ada, "s3same", 200)
			time.Sleep(pausePerAddress - time.Millisecond)
			status("before the pause ends", eve, "s3same", 429)
			time.Sleep(time.Millisecond)
			status("after it", eve, "s3same", 200)
			if counted["wrong"] != triesPerAddress || counted["throttled"] != 3 {
				t.Errorf("%s: counted %v", way, counted)
			}
			// Strangers from everywhere use up all tries.
			for i := range triesInAll {
				try(fmt.Sprintf("192.0.2.%d:1", i), "guess")
			}
			status("an address that was wrong in all this", "192.0.2.1:1", "s3same", 429)
			status("one that was not", ada, "s3same", 200)
			status("one that was not, wrong", "198.51.100.2:1", "guess", 401)
			status("and again", "198.51.100.2:1", "guess", 429)
			status("an address of IPv6", "[2001:db8::1]:1", "guess", 401)
			status("its neighbour in the /64", "[2001:db8::ffff]:1", "guess", 429)
			status("the next /64", "[2001:db8:0:1::1]:1", "guess", 401)
			time.Sleep(triesPerAddress * pausePerAddress)
			status("later", "192.0.2.1:1", "s3same", 200)
		})
	}
}

// TestAttemptsFree: what guesses no token is not counted.
func TestAttemptsFree(t *testing.T) {
	w := newWorld(t)
	w.server.Token = "s3same"
	for range 3 * triesPerAddress {
		if rec := w.ask("GET", "/api/v1/queue", "", nil); rec.Code != http.StatusUnauthorized {
			t.Fatalf("without a token: %d", rec.Code)
		}
	}
}

// TestAttemptsBounded: strangers' addresses do not fill the memory.
func TestAttemptsBounded(t *testing.T) {
	var a attempts
	now := time.Now()
	for i := range maxAddresses + 10 {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		a.begin(netip.PrefixFrom(addr, 32), now)
	}
	if len(a.from) != maxAddresses {
		t.Errorf("%d addresses are remembered", len(a.from))
	}
	a.begin(netip.Prefix{}, now.Add(time.Hour))
	if len(a.from) != 1 {
		t.Errorf("%d addresses are remembered after their time", len(a.from))
	}
}
