package cache

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// TestNeverStaleNorForeign: whatever is asked, in whatever order and at once, an answer is the
// one for that host, path, language and caller, not older than the backend lets it be, and not
func TestNeverStaleNorForeign(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var mu sync.Mutex
			version := map[string]int{} // of a place
			rule := rfc
			w := newWorld(t, rule, func(rw http.ResponseWriter, r *http.Request) {
				where := r.Host + r.RequestURI
				mu.Lock()
				if r.Method == http.MethodPost {
					version[where]++
				}
				v := version[where]
				mu.Unlock()
				time.Sleep(time.Duration(len(r.RequestURI)) * 100 * time.Millisecond)
				age, public := len(r.RequestURI)*2, ""
				if strings.HasSuffix(r.RequestURI, "c") {
					public = "public, "
				}
				rw.Header().Set("Cache-Control", public+"max-age="+strconv.Itoa(age))
				rw.Header().Set("Vary", "X-Lang")
				who := r.Header.Get("Authorization")
				if public != "" {
					who = "all"
				}
				fmt.Fprintf(rw, "%s %s %s %d %d %d", where, r.Header.Get("X-Lang")+"-", who+"-", v, time.Since(start), age)
			}, func(s *Settings) { s.Memory = 8 << 10 })
			random := rand.New(rand.NewPCG(seed, 1))
			var calls sync.WaitGroup
			for range 400 {
				host, path := []string{"one", "two"}[random.IntN(2)], "/"+[]string{"a", "bb", "ccc", "c"}[random.IntN(4)]
				lang, who := []string{"", "de", "fr"}[random.IntN(3)], []string{"", "", "ann", "bob"}[random.IntN(4)]
				method := "GET"
				if random.IntN(20) == 0 {
					method = "POST"
				}
				calls.Go(func() {
					headers := []string{"Host: " + host}
					if lang != "" {
						headers = append(headers, "X-Lang: "+lang)
					}
					if who != "" {
						headers = append(headers, "Authorization: "+who)
					}
					began := time.Since(start)
					got := w.ask(t, method+" "+path, headers...)
					if method == "POST" {
						return
					}
					var where, l, c string
					var v, made, age int
					if _, err := fmt.Sscanf(got.body, "%s %s %s %d %d %d", &where, &l, &c, &v, &made, &age); err != nil {
						t.Fatalf("%q: %v", got.body, err)
					}
					if strings.HasSuffix(path, "c") {
						who = "all"
					}
					if where != host+path || l != lang+"-" || c != who+"-" {
						t.Errorf("seed %d: asked for %s%s %s %s, got %q", seed, host, path, lang, who, got.body)
					}
					if got.call.Origin == tapway.OriginCache && (began-time.Duration(made) >= time.Duration(age+1)*time.Second) {
						t.Errorf("seed %d: made at %v, asked for at %v, good for %ds", seed, time.Duration(made), began, age)
					}
				})
				time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
			}
			calls.Wait()
			synctest.Wait()
			if w.store.fixed != 0 {
				t.Errorf("seed %d: %d bytes are booked by nobody", seed, w.store.fixed)
			}
			if s := w.Stats(); s.Hits < 20 || s.Evicted == 0 {
				t.Errorf("seed %d: the traffic proves little: %+v", seed, s)
			}
		})
	}
}

func FuzzCacheControl(f *testing.F) {
	f.Add("max-age=60, public", "no-store")
	f.Add(`private="a, b", s-maxage="1"`, `x="\", no-store`)
	f.Fuzz(func(t *testing.T, a, b string) {
		both, one := parseResponse([]string{a, b}), parseResponse([]string{a})
		if one.noStore && !both.noStore || one.private && !both.private || one.noCache && !both.noCache {
			t.Errorf("%q takes back what %q forbids", b, a)
		}
		for _, d := range []time.Duration{both.maxAge, both.sMaxAge, both.staleError, both.staleRevalidate} {
			if d < unset || d > maxSeconds*time.Second {
				t.Errorf("%q, %q: %v", a, b, d)
			}
		}
		if one.maxAge != unset && both.maxAge > one.maxAge {
			t.Errorf("%q makes %q longer", b, a)
		}
		if plain := parseResponse([]string{a + ", no-store"}); !plain.noStore && strings.Count(a, `"`) == 0 {
			t.Errorf("no-store behind %q is lost", a)
		}
		parseRequest(http.Header{"Cache-Control": {a, b}})
	})
}

func FuzzVary(f *testing.F) {
	f.Add("Accept, Accept-Encoding", "*")
	f.Add(", ,a b", "accept,ACCEPT")
	f.Fuzz(func(t *testing.T, a, b string) {
		names, ok := parseVary([]string{a, b})
		if _, alone := parseVary([]string{a}); ok && !alone {
			t.Errorf("%q is fine with %q and not alone", a, b)
		}
		for i, name := range names {
			if ok && (!isToken(name) || name == "*" || i > 0 && names[i-1] >= name) {
				t.Errorf("%q, %q: %q", a, b, names)
			}
		}
	})
}

func BenchmarkHit(b *testing.B) {
	rule := gateway
	c := New(Settings{Match: func(*http.Request, string) (Route, bool) { return Route{Rule: &rule}, true }, Memory: 1 << 20, MaxEntry: 1 << 16})
	defer c.Close()
	h := c.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tapway.CallFrom(r.Context()).Origin = tapway.OriginBackend
		_, _ = w.Write(make([]byte, 1024))
	}))
	r, _ := http.NewRequest("GET", "http://api.test/catalog/books?page=2", nil)
	r = r.WithContext(tapway.WithCall(b.Context(), new(tapway.Call)))
	w := discard{http.Header{}}
	h.ServeHTTP(w, r)
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
	if s := c.Stats(); s.Misses != 1 {
		b.Fatal(s)
	}
}
