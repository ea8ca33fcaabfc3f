package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"pgregory.net/rapid"
)

func TestSearchHints(t *testing.T) {
	at := func(d time.Duration) time.Time { return now.Add(d) }
	for _, tt := range []struct {
		expr         string
		min, max     int
		methods      []string
		prefix       string
		since, until time.Time
	}{
		{expr: "error"},
		{expr: "status == 404", min: 404, max: 404},
		{expr: "status != 404"},
		{expr: "status >= 500", min: 500},
		{expr: "status > 5xx", min: 600},
		{expr: "status > 404", min: 405},
		{expr: "status < 400", max: 399},
		{expr: "status <= 4xx", max: 499},
		{expr: "status < 1"},
		{expr: "status in [5xx, 404]", min: 404, max: 599},
		{expr: "status not in [5xx]"},
		{expr: "status >= 400 && status < 500", min: 400, max: 499},
		{expr: "status == 404 || status == 5xx", min: 404, max: 599},
		{expr: "status == 404 || error"},
		{expr: "!(status < 500 || method != GET)", min: 500, methods: []string{"GET"}},
		{expr: "method in [GET, POST] && method != GET", methods: []string{"GET", "POST"}},
		{expr: "method in [GET, POST] && method in [POST, PUT]", methods: []string{"POST"}},
		{expr: "method == POST || method == GET", methods: []string{"GET", "POST"}},
		{expr: "method startsWith 'P'"},
		{expr: "path == '/a/b'", prefix: "/a/b"},
		{expr: "path startsWith '/a' && path startsWith '/a/b'", prefix: "/a/b"},
		{expr: "path in ['/api/a', '/api/b']", prefix: "/api/"},
		{expr: "path startsWith '/api/a' or path == '/app'", prefix: "/ap"},
		{expr: "path contains '/a'"},
		{expr: "time >= now-5m", since: at(-5 * time.Minute)},
		{expr: "time > now-5m", since: at(-5*time.Minute + 1)},
		{expr: "time < now-5m", until: at(-5 * time.Minute)},
		{expr: "time <= now-5m", until: at(-5*time.Minute + 1)},
		{expr: "time == now", since: now, until: at(1)},
		{expr: "time != now"},
		{expr: "time >= -1h && time >= -5m && time < now && time < now+1h", since: at(-5 * time.Minute), until: now},
		{expr: "time >= -1h || time >= -5m", since: at(-time.Hour)},
		{expr: "time >= -1h || time < now"},
		{expr: "time < -1h || time < now", until: now},
		{expr: "time >= 1969-12-31 && time < 2262-01-01"},
		{expr: "time >= 1970-01-01", since: time.Unix(0, 0).UTC()},
	} {
		f, err := Parse(tt.expr)
		if err != nil {
			t.Errorf("%q: %v", tt.expr, err)
			continue
		}
		s := f.SearchAt(now)
		h := s.Hint
		if h.StatusMin != tt.min || h.StatusMax != tt.max || !slices.Equal(h.Methods, tt.methods) || h.PathPrefix != tt.prefix {
			t.Errorf("%q: hint %+v", tt.expr, h)
		}
		if !s.Since.Equal(tt.since) || !s.Until.Equal(tt.until) {
			t.Errorf("%q: since %v until %v", tt.expr, s.Since, s.Until)
		}
	}
}

func TestSearchReadsTheExchangeForHeaders(t *testing.T) {
	f, err := Parse(`status == 404 && headers["x-tag"] == "two"`)
	if err != nil {
		t.Fatal(err)
	}
	e := sample()
	reqHeader, respHeader := e.Header()
	loads := 0
	load := func() (*tapway.Exchange, error) {
		loads++
		return &tapway.Exchange{Meta: *e.Meta, RequestHeader: reqHeader, ResponseHeader: respHeader}, nil
	}
	match := f.Search().Match
	if !match(e.Meta, load) || loads != 1 {
		t.Errorf("not taken, or read %d times", loads)
	}
	other := *e.Meta
	other.Status = 200
	if match(&other, load) || loads != 1 {
		t.Errorf("taken, or read although the status decides: %d times", loads)
	}
	broken := func() (*tapway.Exchange, error) { return nil, errors.New("gone") }
	if match(e.Meta, broken) {
		t.Error("an exchange that cannot be read was taken")
	}
	not, err := Parse(`headers["x-tag"] != "two"`)
	if err != nil {
		t.Fatal(err)
	}
	if not.Search().Match(e.Meta, broken) {
		t.Error("an exchange that cannot be read was taken by a negation")
	}
}

// genExpr draws expressions around the values that genMeta draws.
func genExpr(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if depth > 0 {
			switch rapid.IntRange(0, 5).Draw(t, "shape") {
			case 0, 1:
				return genExpr(depth-1).Draw(t, "a") + " && " + genExpr(depth-1).Draw(t, "b")
			case 2:
				return genExpr(depth-1).Draw(t, "a") + " || " + genExpr(depth-1).Draw(t, "b")
			case 3:
				return "!(" + genExpr(depth-1).Draw(t, "a") + ")"
			case 4:
				return "(" + genExpr(depth-1).Draw(t, "a") + ")"
			}
		}
		order := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="}).Draw(t, "op")
		list := rapid.SampledFrom([]string{"in", "not in"}).Draw(t, "in")
		status := rapid.SampledFrom([]string{"0", "1", "200", "2xx", "404", "4xx", "5xx", "999"})
		path := rapid.SampledFrom([]string{`""`, `"/"`, `"/a"`, `"/a/b"`, `"/ab"`, `"/c"`})
		method := rapid.SampledFrom([]string{"GET", "POST", `""`, "PURGE"})
		moment := rapid.SampledFrom([]string{"now", "-1ns", "now+1ns", "-1h", "2026-11-20", "0001-01-01", "9999-12-31", "1970-01-01"})
		text := rapid.SampledFrom([]string{"== 'a'", "!= 'a'", "contains 'a'", "not contains 'a'", "in ['a', '']"})
		switch rapid.IntRange(0, 11).Draw(t, "leaf") {
		case 8:
			return rapid.SampledFrom([]string{"body ", "request_body ", "response_body ", "query ", "trace_id "}).Draw(t, "unindexed") + text.Draw(t, "text")
		case 9:
			return rapid.SampledFrom([]string{"error ", "from ", "route ", "client_ip startsWith 'a' || error "}).Draw(t, "indexed") + text.Draw(t, "text")
		case 10:
			return rapid.SampledFrom([]string{"duration ", "overhead "}).Draw(t, "time") + order + " 5ms"
		case 11:
			return rapid.SampledFrom([]string{"size ", "request_size ", "response_size "}).Draw(t, "size") + order + " 100"
		case 0:
			return "status " + order + " " + status.Draw(t, "v")
		case 1:
			return "status " + list + " [" + status.Draw(t, "v") + ", " + status.Draw(t, "w") + "]"
		case 2:
			return "method " + rapid.SampledFrom([]string{"==", "!="}).Draw(t, "eq") + " " + method.Draw(t, "v")
		case 3:
			return "method " + list + " [" + method.Draw(t, "v") + ", " + method.Draw(t, "w") + "]"
		case 4:
			return "path " + rapid.SampledFrom([]string{"==", "!=", "startsWith", "contains", "not startsWith", "matches"}).Draw(t, "text") + " " + path.Draw(t, "v")
		case 5:
			return "path " + list + " [" + path.Draw(t, "v") + ", " + path.Draw(t, "w") + "]"
		case 6:
			return `headers["x"] ` + rapid.SampledFrom([]string{"== 'a'", "!= 'a'", "contains 'a'"}).Draw(t, "header")
		default:
			return "time " + order + " " + moment.Draw(t, "v")
		}
	})
}

func genMeta() *rapid.Generator[*tapway.Meta] {
	return rapid.Custom(func(t *rapid.T) *tapway.Meta {
		moment := rapid.SampledFrom([]time.Time{now, now.Add(-1), now.Add(1), now.Add(-time.Hour), now.Add(-time.Hour - 1),
			time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), time.Unix(0, 0), time.Unix(0, -1), {}})
		word := rapid.SampledFrom([]string{"", "a", "b", "ab"})
		took := rapid.SampledFrom([]time.Duration{0, 5*time.Millisecond - 1, 5 * time.Millisecond, 5*time.Millisecond + 1})
		size := rapid.SampledFrom([]int64{0, 50, 99, 100, 101})
		return &tapway.Meta{
			Status: rapid.SampledFrom([]int{0, 1, 199, 200, 299, 300, 404, 500, 599, 600, 998, 999, 1000}).Draw(t, "status"),
			Method: rapid.SampledFrom([]string{"GET", "POST", "", "PURGE", "get"}).Draw(t, "method"),
			Path:   rapid.SampledFrom([]string{"", "/", "/a", "/a/b", "/ab", "/c"}).Draw(t, "path"),
			Time:   moment.Draw(t, "time"),
			Query:  word.Draw(t, "query"), TraceID: word.Draw(t, "trace"), Error: word.Draw(t, "error"), From: word.Draw(t, "from"), Route: word.Draw(t, "route"),
			ClientIP: word.Draw(t, "client"), Duration: took.Draw(t, "duration"), Overhead: took.Draw(t, "overhead"),
			RequestSize: size.Draw(t, "request"), ResponseSize: size.Draw(t, "response"),
		}
	})
}

// admits says what an engine that trusts the search's bounds would let through to Match.
func admits(s *tapway.Search, m *tapway.Meta) bool {
	h := s.Hint
	return (h.StatusMin == 0 || m.Status >= h.StatusMin) && (h.StatusMax == 0 || m.Status <= h.StatusMax) &&
		(h.Methods == nil || slices.Contains(h.Methods, m.Method)) && strings.HasPrefix(m.Path, h.PathPrefix) &&
		(s.Since.IsZero() || !m.Time.Before(s.Since)) && (s.Until.IsZero() || m.Time.Before(s.Until)) &&
		(s.Maybe == nil || s.Maybe(&tapway.Meta{Seq: m.Seq, Time: m.Time, Status: m.Status, Duration: m.Duration, RequestSize: m.RequestSize,
			ResponseSize: m.ResponseSize, Method: m.Method, Path: m.Path, From: m.From, Route: m.Route, ClientIP: m.ClientIP, Error: m.Error, Origin: m.Origin, Front: m.Front}))
}

func TestSearchNeverExcludesWhatMatchTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expr := genExpr(3).Draw(t, "expr")
		f, err := Parse(expr)
		if err != nil {
			t.Fatalf("%q: %v", expr, err)
		}
		s := f.SearchAt(now)
		m := genMeta().Draw(t, "meta")
		header := tapway.Header{{Name: "X", Value: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "header")}}
		word := rapid.SampledFrom([]string{"", "a", "b", "ba"})
		request, response := []byte(word.Draw(t, "request body")), []byte(word.Draw(t, "response body"))
		load := func() (*tapway.Exchange, error) {
			return &tapway.Exchange{Meta: *m, RequestHeader: header, Request: tapway.Body{Bytes: request}, Response: tapway.Body{Bytes: response}}, nil
		}
		env := &Env{Meta: m, Now: now, Header: func() (request, response tapway.Header) { return header, nil }, Body: func() ([]byte, []byte) { return request, response }}
		want := f.Match(env)
		if got := s.Match(m, load); got != want {
			t.Fatalf("%q: Search.Match %v, Match %v", expr, got, want)
		}
		if want && !admits(&s, m) {
			t.Fatalf("%q takes %+v, but its search passes over it: %+v", expr, m, s)
		}
		negated, err := Parse("!(" + expr + ")")
		if err != nil {
			t.Fatal(err)
		}
		if negated.Match(env) == want {
			t.Fatalf("%q and its negation %q agree on %+v", expr, negated, m)
		}
		again, err := Parse(f.String())
		if err != nil || again.String() != f.String() || again.Match(env) != want {
			t.Fatalf("%q: text %q is not equivalent (%v)", expr, f, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "status >= 500 && path startsWith '/api/'", "!(duration > 1h30m || size in [1.5KiB, 10MB])", "not not error",
		`client_ip not in ["10.0.0.0/8", "::1"] or headers["X-A"] =~ "(?i)^a+$"`, "time >= now-5m and time < 2026-11-20T10:00:00+01:00",
		"path == `a\\b` || query == \"\\xff\\u00e9\"", "status in [2xx,404,5xx]", `id == "0198c2f0-1111-7000-8000-00000000abcd"`,
		"method in [get, 'Post'] && front == rest", "duration > 1.000000001s && time > -2540400h", "!!((!(error)))", "a && ", "time<9999-12-31T23:59:59-01:00",
	} {
		f.Add(s, "POST", "/api/v1/users", 404, int64(250e6))
	}
	f.Fuzz(func(t *testing.T, expr, method, path string, status int, n int64) {
		one, err := Parse(expr)
		if err != nil {
			var fe *Error
			if !errors.As(err, &fe) || fe.Column < 1 || fe.Column > len(expr)+1 || fe.Message == "" {
				t.Fatalf("%q: bad error %#v", expr, err)
			}
			return
		}
		two, err := Parse(one.String())
		if err != nil {
			t.Fatalf("%q: its text %q does not parse: %v", expr, one, err)
		}
		if one.String() != two.String() {
			t.Fatalf("%q: text %q became %q", expr, one, two)
		}
		s := one.SearchAt(now)
		for i, m := range []*tapway.Meta{
			sample().Meta, {},
			{Method: method, Path: path, Query: method, Status: status, Duration: time.Duration(n), RequestSize: n, Time: now.Add(time.Duration(n)), ClientIP: path, Error: path, Route: method},
		} {
			e := sample()
			e.Meta = m
			want := one.Match(e)
			if two.Match(e) != want {
				t.Fatalf("%q and its text %q differ on %+v", expr, one, m)
			}
			if want && s.Match != nil && !admits(&s, m) {
				t.Fatalf("%q takes meta %d, but its search passes over it: %+v", expr, i, s)
			}
		}
	})
}

func ExampleParse() {
	f, err := Parse("status == 5xx and not (path startsWith '/health')")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f)
	fmt.Println(f.Match(&Env{Meta: &tapway.Meta{Status: 503, Path: "/api"}}))
	_, err = Parse("stauts == 404")
	fmt.Println(err)
	// Output:
	// status == 5xx && path not startsWith "/health"
	// true
	// column 1: unknown field "stauts"; did you mean "status"?
}

// What the index knows decides wherever it can: these never read a record.
func TestMaybeDecides(t *testing.T) {
	m := *sample().Meta
	for expr, want := range map[string]bool{
		"status == 404": true, "status == 500": false, "path contains '/nowhere'": false, "path contains '/v1/'": true,
		"duration > 250ms": false, "duration >= 250ms": true, "size == 1024": true, "size > 1KiB": false, "origin == cache": false, "front == rest": true,
		"client_ip in '10.0.0.0/8'": true, "client_ip in '11.0.0.0/8'": false, "time > now": false, "from endsWith '.com'": true, "error": false,
		"body contains 'x' && status == 500": false, "body contains 'x' && status == 404": true,
		"status == 500 || duration > 1h": false, "destination == 'siem'": false, "attempts > 0": false,
	} {
		f, err := Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		s := f.SearchAt(now)
		if s.Maybe == nil || s.Maybe(&m) != want {
			t.Errorf("%q: not %v", expr, want)
		}
	}
	for _, expr := range []string{"", "body contains 'x'", "trace_id || status == 500", "status == 500 || overhead > 1h", "overhead > 1s && query"} {
		f, err := Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		if f.SearchAt(now).Maybe != nil {
			t.Errorf("%q: the index is asked for nothing", expr)
		}
	}
	f, err := Parse("path contains '/nowhere' && duration > 1s && time > now-1h")
	if err != nil {
		t.Fatal(err)
	}
	maybe := f.SearchAt(now).Maybe
	if n := testing.AllocsPerRun(100, func() { maybe(&m) }); n != 0 {
		t.Errorf("%v allocations for a row", n)
	}
}
