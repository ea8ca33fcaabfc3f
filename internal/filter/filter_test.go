package filter

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

var now = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func sample() *Env {
	id, err := tapway.ParseID("0198c2f0-1111-7000-8000-00000000abcd")
	if err != nil {
		panic(err)
	}
	return &Env{
		Meta: &tapway.Meta{
			ID: id, Time: now.Add(-5 * time.Minute), Duration: 250 * time.Millisecond, Overhead: 200 * time.Microsecond,
			Front: tapway.FrontREST, Origin: tapway.OriginBackend, From: "api.example.com", Method: "POST",
			Path: "/api/v1/users", Query: "a=b&a=c", Route: "POST /api/v1/users", ClientIP: "10.1.2.3", Status: 404,
			TraceID: "0af7651916cd43dd8448eb211c80319c", RequestSize: 1000, ResponseSize: 24,
		},
		Destination: "siem", Attempts: 3, Now: now,
		Header: func() (request, response tapway.Header) {
			return tapway.Header{{Name: "User-Agent", Value: "curl/8.5"}, {Name: "X-Tag", Value: "one"}, {Name: "X-Tag", Value: "two"}, {Name: "X-Empty", Value: ""}},
				tapway.Header{{Name: "Content-Type", Value: "text/html"}}
		},
		Body: func() (request, response []byte) { return []byte(`{"order":4711}`), []byte("<h1>Not found</h1>") },
	}
}

var matchTests = []struct {
	expr string
	want bool
}{
	{"", true},
	{" \t\n", true},
	{`body contains "4711"`, true},
	{`body contains "Not found"`, true},
	{`body contains "not found"`, false},
	{`body matches "(?i)not +found"`, true},
	{`body not contains "4711"`, false},
	{`body not contains "4712"`, true},
	{`body == ""`, false},
	{"body", true},
	{"!body", false},
	{`request_body contains "Not found"`, false},
	{`request_body startsWith "{"`, true},
	{`response_body endsWith "</h1>"`, true},
	{`response_body in ["a", "<h1>Not found</h1>"]`, true},
	{"status == 404", true},
	{"status != 404", false},
	{"status < 404", false},
	{"status <= 404", true},
	{"status < 405", true},
	{"status > 403", true},
	{"status > 404", false},
	{"status >= 405", false},
	{"status == 4xx", true},
	{"status == 4XX", true},
	{"status != 4xx", false},
	{"status == 5xx", false},
	{"status < 4xx", false},
	{"status < 5xx", true},
	{"status <= 4xx", true},
	{"status <= 3xx", false},
	{"status > 4xx", false},
	{"status > 3xx", true},
	{"status >= 4xx", true},
	{"status >= 5xx", false},
	{"status in [2xx, 404]", true},
	{"status in [2xx, 405]", false},
	{"status not in [2xx, 405]", true},
	{"not status in [404]", false},
	{"!status == 404", false},

	{"method == POST", true},
	{"method == 'post'", true},
	{`method in [GET, "HEAD"]`, false},
	{"method in [GET, POST]", true},
	{"method != GET", true},
	{"method startsWith 'P'", true},
	{"method startsWith 'p'", false},
	{"method == PURGE", false},

	{`path startsWith "/api/"`, true},
	{`path startswith "/api/"`, true},
	{`path startsWith "/apis"`, false},
	{`path endsWith "/users"`, true},
	{`path endsWith "/user"`, false},
	{`path contains "v1"`, true},
	{`path not contains "v1"`, false},
	{"path matches `^/api/v\\d+/`", true},
	{`path matches "^/api/v\\d+/"`, true},
	{`path =~ "^/v"`, false},
	{`path !~ "^/v"`, true},
	{`path not matches "users$"`, false},
	{`path == "/api\u002fv1/users"`, true},
	{`path == '/api\x2fv1/users'`, true},
	{`path == "\"" || path == '\'' || path == "\'"`, false},
	{"query == `a=b&a=c`", true},
	{`route == "POST /api/v1/users"`, true},
	{`from endsWith ".example.com"`, true},

	{"error", false},
	{"!error", true},
	{"not error", true},
	{"route", true},
	{`error == ""`, true},
	{"client_ip", true},

	{"duration == 250ms", true},
	{"duration > 249ms", true},
	{"duration > 250ms", false},
	{"duration >= 0.25s", true},
	{"duration < 1m30s", true},
	{"duration < 251000us", true},
	{"duration < 250001µs", true},
	{"duration > 0", true},
	{"duration in [250ms, 1s]", true},
	{"overhead <= 200us", true},
	{"overhead < 200us", false},

	{"size == 1KiB", true},
	{"size == 1.024KB", true},
	{"size == 1024", true},
	{"size == 1024B", true},
	{"size > 1KB", true},
	{"size > 1KiB", false},
	{"size < 1025", true},
	{"request_size == 1kb", true},
	{"response_size == 24", true},
	{"size < 8388607TiB", true},

	{`time >= now-5m`, true},
	{`time > now-5m`, false},
	{`time >= -5m`, true},
	{`time >= -4m59.999s`, false},
	{`time < now`, true},
	{`time < now - 5m`, false},
	{`time < now+1h`, true},
	{`time >= "2026-11-20T09:55:00Z"`, true},
	{`time > "2026-11-20T09:55:00Z"`, false},
	{`time == 2026-11-20T09:55:00Z`, true},
	{`time == 2026-11-20T10:55:00+01:00`, true},
	{`time != 2026-11-20T09:55`, false},
	{`time > 2026-11-20`, true},
	{`time >= 2026-11-21`, false},

	{`client_ip == "10.1.2.3"`, true},
	{`client_ip == "::ffff:10.1.2.3"`, true},
	{`client_ip == "10.1.2.4"`, false},
	{`client_ip in "10.0.0.0/8"`, true},
	{`client_ip in "11.0.0.0/8"`, false},
	{`client_ip in "::ffff:10.0.0.0/104"`, true},
	{`client_ip not in ["192.168.0.0/16", "10.1.2.4"]`, true},
	{`client_ip in ["192.168.0.0/16", "10.1.2.3"]`, true},
	{`client_ip in ["2001:db8::/32", "10.1.2.0/31"]`, false},
	{`client_ip in ["10.1.2.2/31"]`, true},
	{`client_ip startsWith "10.1."`, true},
	{`client_ip == ""`, false},
	{`client_ip in ["", "10.1.2.3"]`, true},

	{"front == rest && origin == backend", true},
	{`front == "alb"`, false},
	{"origin in [gateway, cache]", false},
	{`id == "0198C2F0-1111-7000-8000-00000000ABCD"`, true},
	{`id == ""`, false},
	{`id startsWith "0198c2f0"`, true},
	{`trace_id contains "eb21"`, true},
	{`destination == "siem" and attempts >= 3`, true},
	{"attempts > 3", false},

	{`headers["user-agent"] contains "curl"`, true},
	{`headers['USER-AGENT'] startsWith "curl/"`, true},
	{`request_headers["user-agent"]`, true},
	{`headers["content-type"]`, false},
	{`response_headers["content-type"] == "text/html"`, true},
	{`headers["x-tag"] == "one"`, true},
	{`headers["x-tag"] == "two"`, true},
	{`headers["x-tag"] != "two"`, false},
	{`headers["x-tag"] != "three"`, true},
	{`headers["x-tag"] in ["three", "two"]`, true},
	{`headers["x-tag"] not in ["three", "four"]`, true},
	{`headers["x-empty"]`, false},
	{`headers["x-none"] == ""`, true},
	{`!headers["x-none"]`, true},
	{`headers["x-none"] != "a"`, true},

	{"status == 404 && method == GET", false},
	{"status == 404 && method == GET || path", true},
	{"status == 404 && (method == GET || path)", true},
	{"status == 500 or status == 404 and method == POST", true},
	{"(status == 500 or status == 404) and method == GET", false},
	{"!(status == 500 || method == GET)", true},
	{"!(status == 404 && method == GET)", true},
	{"!(status == 404 && method == POST)", false},
	{"not (status < 400 or not (path contains 'v1'))", true},
	{"NOT error AND status == 404", true},
	{"!!route", true},
	{"not not error", false},
	{"!(duration > 1s)", true},
	{"!(duration < 250ms)", true},
	{"!(duration >= 250ms)", false},
	{"!(status <= 4xx)", false},
	{"!(status > 4xx)", true},
}

func TestMatch(t *testing.T) {
	for _, tt := range matchTests {
		f, err := Parse(tt.expr)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.expr, err)
			continue
		}
		if got := f.Match(sample()); got != tt.want {
			t.Errorf("%q: got %v, want %v", tt.expr, got, tt.want)
		}
		again, err := Parse(f.String())
		if err != nil {
			t.Errorf("%q: its text %q does not parse: %v", tt.expr, f, err)
			continue
		}
		if again.String() != f.String() {
			t.Errorf("%q: text %q became %q", tt.expr, f, again)
		}
		if got := again.Match(sample()); got != tt.want {
			t.Errorf("%q: its text %q gives %v, want %v", tt.expr, f, got, tt.want)
		}
	}
}

func TestString(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{"", ""},
		{"status==404", "status == 404"},
		{"(((status==404)))", "status == 404"},
		{"method in [get,'Post']", `method in ["GET", "POST"]`},
		{"a_b", ""},
		{"!(path startsWith 'a')", `path not startsWith "a"`},
		{"!(error && status == 200)", "!error || status != 200"},
		{"!(status < 400 || duration >= 1s) && route", "status >= 400 && duration < 1s && route"},
		{"(error || route) && query", "(error || route) && query"},
		{"error || (route && query)", "error || route && query"},
		{"duration > 90s", "duration > 1m30s"},
		{"duration > 24h", "duration > 1d"},
		{"duration > 0", "duration > 0s"},
		{"size > 10240", "size > 10KiB"},
		{"size > 10000", "size > 10KB"},
		{"size > 10001", "size > 10001"},
		{"size > 0", "size > 0"},
		{"time > -90s", "time > now-1m30s"},
		{"time > now+0s", "time > now"},
		{"time > 2026-11-20", `time > "2026-11-20T00:00:00Z"`},
		{`client_ip == "::FFFF:1.2.3.4"`, `client_ip == "1.2.3.4"`},
		{`client_ip in "10.0.0.0/8"`, `client_ip in ["10.0.0.0/8"]`},
		{`request_headers["X-A"] =~ 'b'`, `headers["x-a"] matches "b"`},
		{"path == '\\x00\\xff'", `path == "\x00\xff"`},
		{"status in [2xx, 404]", "status in [2xx, 404]"},
	} {
		f, err := Parse(tt.expr)
		if tt.expr == "a_b" {
			if err == nil {
				t.Errorf("%q parsed", tt.expr)
			}
			continue
		}
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.expr, err)
			continue
		}
		if f.String() != tt.want {
			t.Errorf("%q: text %q, want %q", tt.expr, f, tt.want)
		}
	}
}

var errorTests = []struct {
	expr   string
	column int
	want   string // what the message must say
}{
	{"stauts == 404", 1, `unknown field "stauts"; did you mean "status"?`},
	{"status == 404 && metod == GET", 18, `did you mean "method"?`},
	{`path == "äöü" && pth`, 18, `did you mean "path"?`},
	{"endpoint == 'x'", 1, `did you mean "path"?`},
	{"zzz", 1, `unknown field "zzz"; there are method, path`},
	{"status", 1, "status is a number, not true or false; compare it, as in status == 404"},
	{"!duration", 2, "duration is a duration, not true or false"},
	{"status = 404", 8, "unknown operator `=`; did you mean `==`?"},
	{"status <> 404", 8, "did you mean `!=`?"},
	{"error & route", 7, "did you mean `&&`?"},
	{"error | route", 7, "did you mean `||`?"},
	{"path ~ 'a'", 6, "did you mean `=~`?"},
	{"path startWith 'a'", 6, `unknown operator "startWith"; did you mean "startsWith"?`},
	{"path like 'a'", 6, `did you mean "contains"?`},
	{"status 404", 8, "expected an operator after status: == !="},
	{"error adn route", 7, `did you mean "and"?`},
	{"status == 404 adn route", 15, `did you mean "and"?`},
	{"status == 404 500", 15, "found `500`, expected && or || or the end"},
	{"status == ", 11, "the filter ends where a number such as 404 or a class such as 5xx was expected"},
	{"status == '404'", 11, "leave the quotes away: 404"},
	{"status == abc", 11, "found `abc`, expected a number such as 404"},
	{"status == 1000", 11, "found `1000`, expected a number"},
	{"status == 999 && status == 6xx", 28, "found `6xx`, expected a number"},
	{"status == -1", 11, "status is never negative"},
	{"status == path", 11, "not with another field"},
	{"status contains '4'", 8, "status is a number, which `contains` cannot read"},
	{"path < 'a'", 6, "path has no order for `<`"},
	{"path == /api", 9, "found '/'"},
	{"path == api", 9, `did you mean "api"?`},
	{"path == 404", 9, "found `404`, expected text in quotes"},
	{"path in 'a'", 9, `expected a list: path in ["abc", …]`},
	{"path in []", 9, "the list is empty"},
	{"path in ['a'", 9, "this list is not closed"},
	{"path in ['a' 'b']", 14, "expected a comma or `]`"},
	{"path in ['a',]", 14, "found `]`, expected text"},
	{"path == ['a']", 9, "for a list use `in`"},
	{"path == 'a", 9, "has no closing '"},
	{"path == `a", 9, "has no closing `"},
	{`path == "\d"`, 10, "unknown escape `\\d`; write `\\\\d`"},
	{`path == "a\`, 9, "has no closing"},
	{`path == “a”`, 9, "straight quotes"},
	{"path matches '('", 14, "not a regular expression: missing closing )"},
	{"duration > 5", 12, "without a unit; did you mean 5ms or 5s?"},
	{"duration > 5x", 12, "found `5x`, expected a duration"},
	{"duration > 106752d", 12, "expected a duration"},
	{"duration > '5s'", 12, "leave the quotes away: 5s"},
	{"size > 5XB", 8, "expected a size such as"},
	{"size > 8388608TiB", 8, "expected a size such as"},
	{"time > 5m", 8, "did you mean now-5m?"},
	{"time > 'yesterday'", 8, `found "yesterday", expected a time`},
	{"time > now-x", 12, "found `x`, expected a duration"},
	{"time > abc", 8, "expected a time"},
	{"time in [now]", 6, "time takes no list"},
	{"time", 1, "compare it, as in time >= now-5m"},
	{"client_ip == '10.0.0.0/8'", 14, `is a range; write client_ip in "10.0.0.0/8"`},
	{"client_ip == '10.0.0'", 14, "is not an address"},
	{"client_ip in '10.0.0.0/33'", 14, "is not a range"},
	{"client_ip in '10.0.0.1/8'", 14, `did you mean "10.0.0.0/8"?`},
	{"client_ip in '::ffff:0:0/95'", 14, "both IPv4 and IPv6"},
	{"client_ip == 'fe80::1%eth0'", 14, "is not an address"},
	{"front == rset", 10, `front is never "rset"; did you mean "rest"?`},
	{"id == '123'", 7, "for a part of one use startsWith"},
	{"headers == 'a'", 9, `expected the header's name: headers["content-type"]`},
	{"headers", 8, "found the end, expected the header's name"},
	{"headers[a]", 9, "expected a header's name in quotes"},
	{"headers['a b']", 9, "is not a header's name"},
	{"headers['']", 9, "is not a header's name"},
	{"headers['a'", 12, "expected `]`"},
	{"path['a']", 5, "path has no parts"},
	{"(status == 404", 1, "this parenthesis is not closed"},
	{"status == 404)", 14, "this parenthesis closes none"},
	{"()", 2, "found `)`, expected a field"},
	{"&& error", 1, "found `&&`, expected a field"},
	{"error &&", 9, "the filter ends where a field was expected"},
	{"404 == status", 1, "the field stands on the left"},
	{"path not == 'a'", 10, "after `not`"},
	{"error # x", 7, "found '#'"},
	{strings.Repeat("(", MaxDepth+1) + "error", MaxDepth + 1, "nested deeper than 64"},
	{strings.Repeat("!", MaxDepth+1) + "error", MaxDepth + 1, "nested deeper than 64"},
	{"path == '" + strings.Repeat("a", MaxLength) + "'", 1, "at most 8192 are read"},
	{"path == '" + strings.Repeat("\x01", MaxLength/2) + "'", 1, "longer than 8192 bytes when its strings are written out"},
}

func TestErrors(t *testing.T) {
	for _, tt := range errorTests {
		_, err := Parse(tt.expr)
		var fe *Error
		if !errors.As(err, &fe) {
			t.Errorf("Parse(%.60q): got %v, want an *Error", tt.expr, err)
			continue
		}
		if fe.Column != tt.column || !strings.Contains(fe.Message, tt.want) {
			t.Errorf("Parse(%.60q):\n got column %d: %s\nwant column %d: …%s…", tt.expr, fe.Column, fe.Message, tt.column, tt.want)
		}
	}
}

func TestDepthLimitInside(t *testing.T) {
	for _, expr := range []string{
		strings.Repeat("(", MaxDepth) + "error" + strings.Repeat(")", MaxDepth),
		strings.Repeat("!", MaxDepth) + "error",
		strings.TrimSuffix(strings.Repeat("error || ", 900), " || "),
	} {
		f, err := Parse(expr)
		if err != nil {
			t.Fatalf("%.40q: %v", expr, err)
		}
		if _, err := Parse(f.String()); err != nil {
			t.Errorf("%.40q: its text does not parse: %v", expr, err)
		}
	}
}

func TestHeaderIsAskedLastAndOnce(t *testing.T) {
	for _, tt := range []struct {
		expr  string
		calls int
	}{
		{`headers["a"] == "b" && status == 200`, 0},
		{`headers["a"] == "b" || status == 404`, 0},
		{`(headers["a"] || headers["b"]) && path == "/other"`, 0},
		{`!headers["a"] && !response_headers["b"] && status == 404`, 1},
		{"status == 404", 0},
	} {
		f, err := Parse(tt.expr)
		if err != nil {
			t.Fatal(err)
		}
		e := sample()
		calls := 0
		e.Header = func() (request, response tapway.Header) { calls++; return nil, nil }
		f.Match(e)
		if calls != tt.calls {
			t.Errorf("%q: headers read %d times, want %d", tt.expr, calls, tt.calls)
		}
	}
}

func TestNilHeaderMeansEmpty(t *testing.T) {
	f, err := Parse(`headers["a"] == "" && !response_headers["b"]`)
	if err != nil {
		t.Fatal(err)
	}
	if !f.Match(&Env{Meta: &tapway.Meta{}}) {
		t.Error("a nil Header did not count as empty headers")
	}
}

func TestNilBodyMeansNone(t *testing.T) {
	f, err := Parse(`body == "" && !request_body && response_body not contains "a"`)
	if err != nil {
		t.Fatal(err)
	}
	if !f.Match(&Env{Meta: &tapway.Meta{}}) {
		t.Error("a nil Body did not count as no bodies")
	}
}

// One body alone decides: the other, which there is not, is no empty text beside it.
func TestOneBody(t *testing.T) {
	for expr, want := range map[string]bool{`body == ""`: false, `body == "a"`: true, `body != "a"`: false, "body": true, `body not startsWith "a"`: false} {
		f, err := Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range []func() (request, response []byte){
			func() (request, response []byte) { return []byte("a"), nil },
			func() (request, response []byte) { return nil, []byte("a") },
		} {
			if got := f.Match(&Env{Meta: &tapway.Meta{}, Body: body}); got != want {
				t.Errorf("%s: %v", expr, got)
			}
		}
	}
}

// Bodies are read without their content codings; what is not coded as it says is read as it is.
func TestBodies(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	io.WriteString(w, "the text")
	w.Close()
	gz := tapway.Header{{Name: "content-encoding", Value: "gzip"}}
	for _, tt := range []struct {
		name string
		h    tapway.Header
		b    tapway.Body
		want string
	}{
		{"none", gz, tapway.Body{}, ""},
		{"plain", nil, tapway.Body{Bytes: []byte("the text")}, "the text"},
		{"gzip", gz, tapway.Body{Bytes: zipped.Bytes()}, "the text"},
		{"decoded by redaction", gz, tapway.Body{Bytes: []byte("the text"), Decoded: true}, "the text"},
		{"cut off", gz, tapway.Body{Bytes: zipped.Bytes()[:zipped.Len()-6], Truncated: true}, "the text"},
		{"not what it says", gz, tapway.Body{Bytes: []byte("the text")}, "the text"},
		{"unknown", tapway.Header{{Name: "Content-Encoding", Value: "rot13"}}, tapway.Body{Bytes: []byte("gur grkg")}, "gur grkg"},
	} {
		request, response := Bodies(&tapway.Exchange{RequestHeader: tt.h, Request: tt.b, ResponseHeader: tt.h, Response: tt.b})
		if string(request) != tt.want || string(response) != tt.want {
			t.Errorf("%s: %q and %q, want %q", tt.name, request, response, tt.want)
		}
	}
}

func TestNilFilter(t *testing.T) {
	var f *Filter
	if !f.Match(sample()) || f.String() != "" || f.NeedsHeaders() || f.Uses("status") || f.Search().Match != nil {
		t.Error("the nil filter does not take everything")
	}
	if zero := new(Filter); !zero.Match(sample()) || zero.Search().Match != nil {
		t.Error("the zero filter does not take everything")
	}
}

func TestUses(t *testing.T) {
	f, err := Parse(`!(destination == "a" || headers["x"])`)
	if err != nil {
		t.Fatal(err)
	}
	if !f.Uses("destination") || !f.Uses("headers") || !f.Uses("request_headers") || !f.NeedsHeaders() {
		t.Error("a field in use is not reported")
	}
	if f.Uses("status") || f.Uses("response_headers") || f.Uses("nonsense") {
		t.Error("a field not in use is reported")
	}
}

func TestRelativeTimeWithoutNowAsksTheClock(t *testing.T) {
	f, err := Parse("time > now-1m")
	if err != nil {
		t.Fatal(err)
	}
	if !f.Match(&Env{Meta: &tapway.Meta{Time: time.Now()}}) {
		t.Error("an exchange of this moment is not in the last minute")
	}
	if f.Match(&Env{Meta: &tapway.Meta{Time: time.Now().Add(-2 * time.Minute)}}) {
		t.Error("an exchange two minutes old is in the last minute")
	}
}

func TestEveryFieldHasADescriptionThatParses(t *testing.T) {
	for _, field := range Fields() {
		if field.Help == "" || field.Type == "" || len(field.Operators) == 0 {
			t.Errorf("%s is not described: %+v", field.Name, field)
		}
		def := lookup(field.Name)
		expr := def.sample()
		if def.kind == kindHeader {
			expr = strings.Replace(expr, field.Name, field.Name+`["a"]`, 1)
		}
		f, err := Parse(expr)
		if err != nil {
			t.Errorf("the sample of %s: %v", field.Name, err)
			continue
		}
		f.Match(sample()) // must not panic: every field has a value
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	for _, expr := range []string{
		"status >= 500 && duration > 1s || size > 1MB",
		`path startsWith "/api/" && method in [GET, POST] && client_ip in ["10.0.0.0/8"] && time > now-1h`,
		`id == "0198c2f0-1111-7000-8000-00000000abcd" && path matches "^/api/v1/[a-z]+$"`,
	} {
		f, err := Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		e := sample()
		if n := testing.AllocsPerRun(100, func() { f.Match(e) }); n != 0 {
			t.Errorf("%q: %v allocations", expr, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for name, expr := range map[string]string{
		"status": "status >= 500",
		"scalar": `status < 500 && path startsWith "/api/" && duration > 100ms && method in [GET, POST]`,
		"cidr":   `client_ip in ["192.168.0.0/16", "10.0.0.0/8"]`,
		"regexp": `path matches "^/api/v[0-9]+/users"`,
		"header": `headers["x-tag"] == "two"`,
	} {
		f, err := Parse(expr)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			e := sample()
			h, _ := e.Header()
			e.Header = func() (request, response tapway.Header) { return h, nil }
			b.ReportAllocs()
			for b.Loop() {
				if f.Match(e) == (name == "status") {
					b.Fatal("wrong answer")
				}
			}
		})
	}
}
