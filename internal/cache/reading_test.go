package cache

import (
	"net/http"
	"testing"
	"time"
)

// TestUnderscores: CGI and WSGI backends take X_Lang for X-Lang. What somebody sends so spoils an answer for nobody else,
// whether the key or Vary has the header.
func TestUnderscores(t *testing.T) {
	says := func(vary string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			if vary != "" {
				rw.Header().Set("Vary", vary)
			}
			rw.Header().Set("Cache-Control", "max-age=60")
			lang := r.Header.Get("X-Lang")
			for _, name := range []string{"X_lang", "X_Lang", "X_LANG"} {
				if lines := r.Header[http.CanonicalHeaderKey(name)]; len(lines) > 0 {
					lang = lines[0]
				}
			}
			_, _ = rw.Write([]byte("lang=" + lang))
		}
	}
	for _, mode := range []Mode{APIGateway, RFC9111} {
		keyed := newWorld(t, Rule{Mode: mode, TTL: time.Minute, Whole: true, Headers: []string{"X-Lang"}}, says(""))
		varied := newWorld(t, Rule{Mode: mode, TTL: time.Minute, Whole: true}, says("X-Lang"))
		for _, w := range []*world{keyed, varied} {
			for _, spelled := range []string{"X_Lang: evil", "x_lang: evil", "X_LANG: evil"} {
				w.ask(t, "GET /a", spelled)
				if got := w.ask(t, "GET /a"); got.body != "lang=" {
					t.Errorf("mode %d, after %s: %q", mode, spelled, got.body)
				}
			}
		}
	}
}

// TestParametersByAnotherName: what PHP makes of a parameter's name, and what is decoded twice, counts as the name.
func TestParametersByAnotherName(t *testing.T) {
	w := newWorld(t, Rule{TTL: time.Minute, Query: []string{"page_size"}}, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = rw.Write([]byte(r.URL.RawQuery + r.RequestURI))
	})
	w.ask(t, "GET /a?page_size=1")
	for _, query := range []string{"page.size=9", "page%2Esize=9", "page+size=9", "page%20size=9", "page[size=9", "page%5Bsize=9", "page%255Fsize=9", "page_size%00x=9", "PAGE.SIZE=9", "%20page_size=9"} {
		target := "/a?page_size=1&" + query
		if got := w.ask(t, "GET "+target); got.Header.Get("Cache-Status") == "" || got.call.Origin == "cache" {
			t.Errorf("%s is answered from the cache", query)
		}
	}
	if got := w.ask(t, "GET /a?page_size=1&utm_source=x&pagesize=3"); got.call.Origin != "cache" {
		t.Error("others count, too")
	}
}

// TestSignedQueries: a caller may be known by many a parameter; with few in the key none of them shares an answer.
func TestSignedQueries(t *testing.T) {
	for _, name := range []string{"token", "access_token", "id_token", "auth_token", "api_key", "apikey", "api-key", "key", "sig", "signature", "jwt", "auth", "session_id", "sessionid", "sid", "password",
		"X-Amz-Signature", "X-Goog-Signature", "AWSAccessKeyId", "user[token]", "subscription-key", "user.token", "TOKEN", "t%6fken", "oauth_token"} {
		w := newWorld(t, Rule{TTL: time.Minute, Query: []string{"page"}}, func(rw http.ResponseWriter, r *http.Request) { _, _ = rw.Write([]byte(r.RequestURI)) })
		w.ask(t, "GET /a?page=1&"+name+"=alice")
		if got := w.ask(t, "GET /a?page=1&"+name+"=bob"); got.call.Origin == "cache" {
			t.Errorf("%s: bob gets alice's answer", name)
		}
		if got := w.ask(t, "GET /a?page=1"); got.call.Origin == "cache" {
			t.Errorf("%s: nobody gets alice's answer", name)
		}
	}
}

// TestDirectivesBadlyParted: what forbids keeping counts also where its neighbours are parted by ";" or blanks.
func TestDirectivesBadlyParted(t *testing.T) {
	for _, control := range []string{"private; max-age=60", "max-age=60; private", "no-store; max-age=60", "max-age=60 private", "private max-age=60", "max-age=60;no-store", "public, max-age=60; private", `max-age="60"; no-store`} {
		w := newWorld(t, rfc, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", control)
			rw.Header().Set("Etag", `"1"`)
		})
		w.ask(t, "GET /a")
		if s := w.Stats(); s.Stored != 0 {
			t.Errorf("%s: it is kept", control)
		}
	}
	w := newWorld(t, rfc, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "public; max-age=60")
	})
	w.ask(t, "GET /a")
	if got := w.ask(t, "GET /a"); got.call.Origin != "cache" {
		t.Error("what allows keeping does not count")
	}
}

// TestAge: what a cache before says of an answer's age counts, and what cannot be read is no youth.
func TestAge(t *testing.T) {
	for age, hit := range map[string]bool{"0": true, "59": true, "60": false, "59, 61": true, "61, 5": false, "a": false, "-1": false, "1.5": false, "": false, "99999999999999999999": false} {
		w := newWorld(t, rfc, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "max-age=60")
			rw.Header()["Age"] = []string{age}
		})
		w.ask(t, "GET /a")
		if got := w.ask(t, "GET /a"); (got.call.Origin == "cache") != hit {
			t.Errorf("Age: %q: %s", age, got.call.Origin)
		}
	}
}
