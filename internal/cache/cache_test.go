package cache

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

func TestAPIGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, gateway, says(200, "Cache-Control: no-store", "Content-Type: text/plain", `Etag: "1"`))
		if got := w.ask(t, "GET /a"); got.body != "answer 1" || got.call.Origin != tapway.OriginBackend {
			t.Fatalf("first: %q by %s", got.body, got.call.Origin)
		}
		time.Sleep(300*time.Second - 1)
		got := w.ask(t, "GET /a")
		if got.body != "answer 1" || got.call.Origin != tapway.OriginCache || got.call.Route != "ANY /{proxy+}" || got.call.Backend != 0 {
			t.Fatalf("at the end of its time: %q by %+v", got.body, got.call)
		}
		if h := got.Header; h.Get("Content-Type") != "text/plain" || h.Get("Cache-Status") != "tapway; hit; ttl=0" || h.Get("Content-Length") != "8" {
			t.Errorf("header of a hit: %v", h)
		}
		if got := w.ask(t, "HEAD /a"); got.body != "" || got.Header.Get("Content-Length") != "8" || got.call.Origin != tapway.OriginCache {
			t.Errorf("HEAD: %q, %v by %s", got.body, got.Header, got.call.Origin)
		}
		if got := w.ask(t, "GET /a", `If-None-Match: W/"1"`); got.StatusCode != 304 || got.body != "" {
			t.Errorf("If-None-Match: %d %q", got.StatusCode, got.body)
		}
		time.Sleep(time.Nanosecond)
		if got := w.ask(t, "GET /a"); got.body != "answer 2" {
			t.Errorf("when its time is over: %q", got.body)
		}
		w.wantCalls(t, 2)
		if s := w.Stats(); s.Hits != 3 || s.Misses != 2 || s.Stored != 2 || s.Entries != 1 || s.Bytes == 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}

// TestKept: what is kept, and its neighbours that are not.
func TestKept(t *testing.T) {
	tests := []struct {
		name    string
		rule    Rule
		asked   string // one header of the request
		status  int
		headers []string
		kept    bool
	}{
		{"a 200", gateway, "", 200, nil, true},
		{"another status", gateway, "", 404, nil, false},
		{"a cookie is set", gateway, "", 200, []string{"Set-Cookie: a=b"}, false},
		{"private counts for nothing", gateway, "", 200, []string{"Cache-Control: private"}, true},
		{"Vary: *", gateway, "", 200, []string{"Vary: *"}, false},
		{"Vary is no name", gateway, "", 200, []string{"Vary: a b"}, false},
		{"a stream", gateway, "", 200, []string{"Content-Type: text/event-stream"}, false},
		{"trailers", gateway, "", 200, []string{"Trailer: X-Sum"}, false},
		{"no TTL", Rule{Whole: true}, "", 200, nil, false},
		{"Authorization", gateway, "Authorization: x", 200, nil, false},
		{"Cookie", gateway, "Cookie: x=y", 200, nil, false},
		{"API key", gateway, "X-Api-Key: x", 200, nil, false},
		{"a credential as CGI reads it", gateway, "X_Api_Key: x", 200, nil, false},
		{"a header of a family", gateway, "X-Auth-Request-Email: x", 200, nil, false},
		{"a client certificate's header", gateway, "X-SSL-Client-Cert: x", 200, nil, false},
		{"the name of a family alone", gateway, "X-Auth-Request: x", 200, nil, true},
		{"Authorization in the key", Rule{TTL: time.Hour, Headers: []string{"Authorization"}}, "Authorization: x", 200, nil, true},
		{"another credential than the one in the key", Rule{TTL: time.Hour, Headers: []string{"Authorization"}}, "Cookie: x", 200, nil, false},
		{"Authorization, shared", Rule{TTL: time.Hour, Callers: Shared}, "Authorization: x", 200, nil, true},
		{"Authorization, separate", Rule{TTL: time.Hour, Callers: Separate}, "Authorization: x", 200, nil, true},
		{"a token in a query that is not in the key", Rule{TTL: time.Hour}, "Query: access%5ftoken=1", 200, nil, false},

		{"nothing said", rfc, "", 200, nil, false},
		{"max-age", rfc, "", 200, []string{"Cache-Control: max-age=60"}, true},
		{"max-age=0", rfc, "", 200, []string{"Cache-Control: max-age=0"}, false},
		{"max-age twice", rfc, "", 200, []string{"Cache-Control: max-age=60, max-age=0"}, false},
		{"max-age that is no number", rfc, "", 200, []string{"Cache-Control: max-age=6x"}, false},
		{"max-age with quotes", rfc, "", 200, []string{`Cache-Control: MAX-AGE="60"`}, true},
		{"s-maxage=0 wins", rfc, "", 200, []string{"Cache-Control: max-age=60, s-maxage=0"}, false},
		{"no-store", rfc, "", 200, []string{"Cache-Control: max-age=60", "Cache-Control: no-store"}, false},
		{"no-store behind a quote never closed", rfc, "", 200, []string{`Cache-Control: max-age=60, x="y, no-store`}, false},
		{"private", rfc, "", 200, []string{"Cache-Control: max-age=60, private"}, false},
		{"private with fields", rfc, "", 200, []string{`Cache-Control: max-age=60, private="set-cookie"`}, false},
		{"no-cache", rfc, "", 200, []string{"Cache-Control: max-age=60, no-cache"}, false},
		{"Expires", rfc, "", 200, []string{"Date: Sat, 01 Jan 2000 00:00:00 GMT", "Expires: Sat, 01 Jan 2000 00:01:00 GMT"}, true},
		{"Expires in the past", rfc, "", 200, []string{"Date: Sat, 01 Jan 2000 00:00:00 GMT", "Expires: Sat, 01 Jan 2000 00:00:00 GMT"}, false},
		{"Expires: 0", rfc, "", 200, []string{"Expires: 0"}, false},
		{"old when it came", rfc, "", 200, []string{"Cache-Control: max-age=60", "Age: 60"}, false},
		{"not yet old", rfc, "", 200, []string{"Cache-Control: max-age=60", "Age: 58"}, true},
		{"404 with max-age", rfc, "", 404, []string{"Cache-Control: max-age=60"}, true},
		{"a part, with all of its bytes", rfc, "", 206, []string{"Cache-Control: max-age=60", "Content-Range: bytes 0-7/8"}, false},
		{"a 200 that is a part", rfc, "", 200, []string{"Cache-Control: max-age=60", "Content-Range: bytes 0-7/100"}, false},
		{"a 200 that is a part", gateway, "", 200, []string{"Content-Range: bytes 0-7/100"}, false},
		{"206", gateway, "", 206, nil, false},
		{"206", rfc, "", 206, []string{"Cache-Control: max-age=60"}, false},
		{"416 with max-age", rfc, "", 416, []string{"Cache-Control: max-age=60"}, false},
		{"405 with max-age", rfc, "", 405, []string{"Cache-Control: max-age=60"}, true},
		{"400 with max-age", rfc, "", 400, []string{"Cache-Control: max-age=60"}, false},
		{"429 with max-age", rfc, "", 429, []string{"Cache-Control: public, max-age=60"}, false},
		{"500 with max-age", rfc, "", 500, []string{"Cache-Control: max-age=60"}, false},
		{"500 with stale-if-error", rfc, "", 500, []string{"Cache-Control: public, max-age=60, stale-if-error=600"}, false},
		{"501 with max-age", rfc, "", 501, []string{"Cache-Control: public, max-age=60"}, false},
		{"502 of a Lambda function", rfc, "", 502, []string{"Cache-Control: public, max-age=60", "X-Amzn-Errortype: InternalServerErrorException"}, false},
		{"502 of a Lambda function", gateway, "", 502, nil, false},
		{"a Lambda function's error with 200", gateway, "", 200, []string{"X-Amz-Function-Error: Unhandled"}, false},
		{"a Lambda function's error with 200", rfc, "", 200, []string{"Cache-Control: max-age=60", "X-Amz-Function-Error: Handled"}, false},
		{"503 with Retry-After", rfc, "", 503, []string{"Cache-Control: max-age=60", "Retry-After: 60"}, false},
		{"599", rfc, "", 599, []string{"Cache-Control: max-age=60"}, false},
		{"Vary: *", rfc, "", 200, []string{"Cache-Control: max-age=60", "Vary: *"}, false},
		{"Vary: * among others", rfc, "", 200, []string{"Cache-Control: max-age=60", "Vary: Accept, *"}, false},
		{"Vary: * in another line", rfc, "", 200, []string{"Cache-Control: max-age=60", "Vary: Accept", "Vary: *"}, false},
		{"Vary by the client's address", rfc, "", 200, []string{"Cache-Control: max-age=60", "Vary: X-Forwarded-For"}, false},
		{"Vary by the client's address", gateway, "", 200, []string{"Vary: x-real-ip"}, false},
		{"Vary by the host", gateway, "", 200, []string{"Vary: X-Forwarded-Host, X-Forwarded-Proto"}, true},
		{"Vary with Content-Encoding", rfc, "", 200, []string{"Cache-Control: max-age=60", "Vary: Accept-Encoding", "Content-Encoding: gzip"}, true},
		{"cookie", rfc, "", 200, []string{"Cache-Control: max-age=60", "Set-Cookie: a=b"}, false},
		{"cookie, s-maxage", rfc, "", 200, []string{"Cache-Control: s-maxage=60", "Set-Cookie: a=b"}, false},
		{"cookie, public", rfc, "", 200, []string{"Cache-Control: public, max-age=60", "Set-Cookie: a=b"}, false},
		{"Authorization and max-age", rfc, "Authorization: x", 200, []string{"Cache-Control: max-age=60"}, false},
		{"Authorization and public", rfc, "Authorization: x", 200, []string{"Cache-Control: public, max-age=60"}, true},
		{"Authorization and s-maxage", rfc, "Authorization: x", 200, []string{"Cache-Control: s-maxage=60"}, true},
		{"the client says no-store", rfc, "Cache-Control: no-store", 200, []string{"Cache-Control: max-age=60"}, false},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, tt.rule, says(tt.status, tt.headers...))
			line := "GET /a"
			var headers []string
			if query, ok := strings.CutPrefix(tt.asked, "Query: "); ok {
				line += "?" + query
			} else if tt.asked != "" {
				headers = append(headers, tt.asked)
			}
			w.ask(t, line, headers...)
			time.Sleep(time.Second)
			second := w.ask(t, line, headers...)
			if kept := second.call.Origin == tapway.OriginCache; kept != tt.kept || kept == (w.calls.Load() == 2) {
				t.Errorf("%s: kept %v, want %v (%d calls, %v)", tt.name, kept, tt.kept, w.calls.Load(), second.Header)
			}
		})
	}
}

// TestPassed: calls that the cache neither answers nor learns from.
func TestPassed(t *testing.T) {
	for _, tt := range []struct{ line, header string }{
		{"GET /a", "Range: bytes=0-1"}, {"GET /a", `If-Match: "1"`}, {"GET /a", "If-Unmodified-Since: x"}, {"GET /a", `If-Range: "1"`},
		{"GET /a", "Upgrade: websocket"}, {"OPTIONS /a", ""}, {"get /a", ""}, {"GeT /a", ""}, {"POST /a", ""},
		{"GET /" + strings.Repeat("a", maxKey), ""}, {"GET /a", "Connection: X-Lang"}, {"GET /a", "Connection: keep-alive, x-lang"},
	} {
		w := newWorld(t, gateway, says(200))
		w.ask(t, "GET /a")
		w.ask(t, tt.line, tt.header)
		w.ask(t, tt.line, tt.header)
		w.wantCalls(t, 3)
		if s := w.Stats(); s.Entries != 1 {
			t.Errorf("%.20s %s: %d entries", tt.line, tt.header, s.Entries)
		}
	}
}

func TestGETWithBody(t *testing.T) {
	w := newWorld(t, gateway, says(200))
	w.ask(t, "GET /a")
	for _, length := range []int64{4, -1} {
		r := request(t, "GET /a")
		r.Body, r.ContentLength = http.MaxBytesReader(nil, http.NoBody, 1), length
		if got := w.do(r); got.call.Origin == tapway.OriginCache {
			t.Error("a GET with a body was answered from the cache")
		}
	}
	if got := w.ask(t, "GET /a"); got.body != "answer 1" {
		t.Errorf("a GET with a body changed the answer: %q", got.body)
	}
}

// TestPoisoning: two calls that a backend may answer differently never share an answer.
func TestPoisoning(t *testing.T) {
	some := Rule{TTL: time.Hour, Query: []string{"id"}, Headers: []string{"X-Lang"}}
	tests := []struct {
		name       string
		rule       Rule
		first, two []string // line and headers
		same       bool
	}{
		{"the same", gateway, []string{"GET /a?b=1"}, []string{"GET /a?b=1"}, true},
		{"host", gateway, []string{"GET /a", "Host: one"}, []string{"GET /a", "Host: two"}, false},
		{"X-Forwarded-Host", gateway, []string{"GET /a", "X-Forwarded-Host: evil"}, []string{"GET /a"}, false},
		{"X_Forwarded_Host", gateway, []string{"GET /a", "X_Forwarded_Host: evil"}, []string{"GET /a"}, false},
		{"X-Original-URL", gateway, []string{"GET /a", "X-Original-URL: /evil"}, []string{"GET /a"}, false},
		{"X-Rewrite-URL", gateway, []string{"GET /a", "X-Rewrite-URL: /evil"}, []string{"GET /a"}, false},
		{"X-Forwarded-Scheme", gateway, []string{"GET /a", "X-Forwarded-Scheme: nothttps"}, []string{"GET /a"}, false},
		{"X-HTTP-Method-Override", gateway, []string{"GET /a", "X-HTTP-Method-Override: POST"}, []string{"GET /a"}, false},
		{"Forwarded host", gateway, []string{"GET /a", "Forwarded: for=1.2.3.4;host=evil"}, []string{"GET /a"}, false},
		{"Forwarded for", gateway, []string{"GET /a", "Forwarded: for=1.2.3.4"}, []string{"GET /a"}, true},
		{"X-Forwarded-For", gateway, []string{"GET /a", "X-Forwarded-For: 1.2.3.4"}, []string{"GET /a"}, true},
		{"escapes", gateway, []string{"GET /a%2Fb"}, []string{"GET /a/b"}, false},
		{"letter case of the path", gateway, []string{"GET /A"}, []string{"GET /a"}, false},
		{"dot segments", gateway, []string{"GET /a/../b"}, []string{"GET /b"}, false},
		{"an empty query", gateway, []string{"GET /a?"}, []string{"GET /a"}, false},
		{"order of the query", gateway, []string{"GET /a?b=1&c=2"}, []string{"GET /a?c=2&b=1"}, false},
		{"path and query do not run together", gateway, []string{"GET /a?b"}, []string{"GET /a%3Fb"}, false},
		{"a parameter that does not count", some, []string{"GET /a?x=1"}, []string{"GET /a?x=2"}, true},
		{"one that does", some, []string{"GET /a?id=1"}, []string{"GET /a?id=2"}, false},
		{"twice", some, []string{"GET /a?id=1&id=2"}, []string{"GET /a?id=1"}, false},
		{"twice, other order", some, []string{"GET /a?id=1&id=2"}, []string{"GET /a?id=2&id=1"}, false},
		{"its name encoded", some, []string{"GET /a?i%64=2"}, []string{"GET /a"}, false},
		{"behind a semicolon", some, []string{"GET /a?x=1;id=2"}, []string{"GET /a?x=1"}, false},
		{"its name in capitals", some, []string{"GET /a?ID=2"}, []string{"GET /a"}, false},
		{"as a list", some, []string{"GET /a?id[]=2"}, []string{"GET /a"}, false},
		{"a name that cannot be decoded", some, []string{"GET /a?%zz=2"}, []string{"GET /a"}, false},
		{"a header that counts", some, []string{"GET /a", "X-Lang: de"}, []string{"GET /a", "X-Lang: fr"}, false},
		{"a header that is empty and one that is not there", some, []string{"GET /a", "X-Lang: "}, []string{"GET /a"}, false},
		{"two lines are not one", some, []string{"GET /a", "X-Lang: a", "X-Lang: b"}, []string{"GET /a", "X-Lang: ab"}, false},
		{"a header that does not count", some, []string{"GET /a", "X-Other: de"}, []string{"GET /a"}, true},
		{"separate callers", Rule{TTL: time.Hour, Callers: Separate}, []string{"GET /a", "Authorization: a"}, []string{"GET /a", "Authorization: b"}, false},
		{"a caller and nobody", Rule{TTL: time.Hour, Callers: Separate}, []string{"GET /a", "Authorization: a"}, []string{"GET /a"}, false},
		{"one's cookie is not another's token", Rule{TTL: time.Hour, Callers: Separate}, []string{"GET /a", "Authorization: a"}, []string{"GET /a", "Cookie: a"}, false},
		{"a Connection that names nothing", some, []string{"GET /a", "Connection: Keep-Alive, close"}, []string{"GET /a"}, true},
		{"shared callers", Rule{TTL: time.Hour, Callers: Shared}, []string{"GET /a", "Authorization: a"}, []string{"GET /a", "Authorization: b"}, true},
	}
	for _, tt := range tests {
		w := newWorld(t, tt.rule, says(200))
		w.ask(t, tt.first[0], tt.first[1:]...)
		got := w.ask(t, tt.two[0], tt.two[1:]...)
		if same := got.call.Origin == tapway.OriginCache; same != tt.same {
			t.Errorf("%s: shared %v, want %v", tt.name, same, tt.same)
		}
	}
}

// TestPublicOnly: an answer to somebody unknown is not given to those who say who they are,
// unless the backend calls it public.
func TestPublicOnly(t *testing.T) {
	w := newWorld(t, rfc, says(200, "Cache-Control: max-age=60"))
	w.ask(t, "GET /a")
	if got := w.ask(t, "GET /a", "Authorization: x"); got.body != "answer 2" {
		t.Errorf("got the anonymous answer: %q", got.body)
	}
	if got := w.ask(t, "GET /a"); got.body != "answer 1" {
		t.Errorf("the anonymous answer was replaced: %q", got.body)
	}
}

func TestLineEndsInHeaders(t *testing.T) {
	w := newWorld(t, rfc, says(200, "Cache-Control: max-age=60", "Vary: X-Lang"))
	w.ask(t, "GET /a", "X-Lang: de\r\nX-Other: 1")
	if got := w.ask(t, "GET /a", "X-Lang: de"); got.body != "answer 2" {
		t.Errorf("got the answer for another value: %q", got.body)
	}
}

func TestVary(t *testing.T) {
	w := newWorld(t, rfc, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "max-age=60")
		rw.Header().Set("Vary", "X-Lang")
		if r.Header.Get("X-Lang") == "de" {
			rw.Header().Set("Vary", "X-Lang, Accept")
		}
		_, _ = rw.Write([]byte(r.Header.Get("X-Lang") + r.Header.Get("Accept")))
	})
	for range 2 {
		for _, lang := range []string{"de", "fr"} {
			for _, accept := range []string{"a", "b"} {
				if got := w.ask(t, "GET /a", "X-Lang: "+lang, "Accept: "+accept); got.body != lang+accept {
					t.Errorf("%s%s: %q", lang, accept, got.body)
				}
			}
		}
	}
	w.wantCalls(t, 4)
	zipped := newWorld(t, gateway, says(200, "Content-Encoding: gzip"))
	zipped.ask(t, "GET /a", "Accept-Encoding: gzip")
	if got := zipped.ask(t, "GET /a"); got.call.Origin == tapway.OriginCache {
		t.Error("a compressed answer went to a client that had not asked for one")
	}
}
