package route

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

var stage = Stage{APIID: "a1b2c3", Name: "prod", Variables: map[string]string{"key": "k 1", "empty": ""}}

func callRequest() *Request {
	id, err := tapway.ParseID("0198c2f0-1111-7000-8000-00000000abcd")
	if err != nil {
		panic(err)
	}
	return &Request{
		Method: "POST", Path: "/users/a%2Fb+c", Query: "p=1%2B1&q=x+y&q=z&empty=&p%61ge=9&flag", HasQuery: true, Host: "api.example.com:8443", Proto: "HTTP/1.1", ClientIP: "192.0.2.1",
		Header: http.Header{"User-Agent": {"curl/8"}, "X-Multi": {"one", "two/2"}, "X-Bad": {"a\r\nb"}, "Content-Type": {"text/plain"}},
		Call:   &tapway.Call{ID: id, Start: time.Date(2026, 11, 20, 10, 0, 0, 123e6, time.UTC)},
	}
}

// mapCall maps one parameter onto a backend that shows it.
func mapCall(t *testing.T, proxy bool, backend string, params map[string]string) (Target, error) {
	t.Helper()
	m, err := NewMapping(params, proxy, "", stage)
	if err != nil {
		t.Fatalf("%v: %v", params, err)
	}
	table := mustTable(t, Route{Method: Any, Template: "/users/{id}", Backend: backend, Mapping: m})
	req := callRequest()
	r, values, found := table.Match(req.Method, req.Path)
	if found != Found {
		t.Fatal(found)
	}
	return r.Target(req, values)
}

func headersOf(t Target) string {
	var lines []string
	for _, f := range t.SetHeader {
		lines = append(lines, f.Name+": "+f.Value)
	}
	return strings.Join(lines, "|")
}

func TestMappingSources(t *testing.T) {
	for _, tt := range []struct {
		from                string
		path, query, header string // "-": the parameter is left out
	}{
		{"method.request.path.id", "a%2Fb+c", "a%2Fb%2Bc", "a%2Fb+c"},
		{"method.request.querystring.p", "1+1", "1%2B1", "1+1"},
		{"method.request.querystring.q", "z", "z", "z"},
		{"method.request.multivaluequerystring.q", "z", "x+y&N=z", "x y,z"},
		{"method.request.querystring.page", "9", "9", "9"},
		{"method.request.querystring.empty", "", "", ""},
		{"method.request.querystring.flag", "", "", ""},
		{"method.request.querystring.none", "-", "-", "-"},
		{"method.request.header.User-Agent", "curl%2F8", "curl%2F8", "curl/8"},
		{"method.request.header.x-multi", "two%2F2", "two%2F2", "two/2"},
		{"method.request.multivalueheader.X-Multi", "one%2Ctwo%2F2", "one&N=two%2F2", "one,two/2"},
		{"method.request.header.X-Bad", "a%0D%0Ab", "a%0D%0Ab", "a  b"},
		{"method.request.header.none", "-", "-", "-"},
		{"stageVariables.key", "k%201", "k%201", "k 1"},
		{"stageVariables.empty", "", "", ""},
		{"context.stage", "prod", "prod", "prod"},
		{"context.apiId", "a1b2c3", "a1b2c3", "a1b2c3"},
		{"context.requestId", "0198c2f0-1111-7000-8000-00000000abcd", "0198c2f0-1111-7000-8000-00000000abcd", "0198c2f0-1111-7000-8000-00000000abcd"},
		{"context.httpMethod", "POST", "POST", "POST"},
		{"context.path", "%2Fprod%2Fusers%2Fa%252Fb+c", "%2Fprod%2Fusers%2Fa%252Fb%2Bc", "/prod/users/a%2Fb+c"},
		{"context.resourcePath", "%2Fusers%2F%7Bid%7D", "%2Fusers%2F%7Bid%7D", "/users/{id}"},
		{"context.protocol", "HTTP%2F1.1", "HTTP%2F1.1", "HTTP/1.1"},
		{"context.domainName", "api.example.com", "api.example.com", "api.example.com"},
		{"context.domainPrefix", "api", "api", "api"},
		{"context.requestTime", "20%2FNov%2F2026:10:00:00%20+0000", "20%2FNov%2F2026%3A10%3A00%3A00%20%2B0000", "20/Nov/2026:10:00:00 +0000"},
		{"context.requestTimeEpoch", "1795168800123", "1795168800123", "1795168800123"},
		{"context.identity.sourceIp", "192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"context.identity.userAgent", "curl%2F8", "curl%2F8", "curl/8"},
		{"'v1/a b'", "v1/a%20b", "v1%2Fa%20b", "v1/a b"},
		{"''", "", "", ""},
	} {
		got, err := mapCall(t, false, "http://h/{N}", map[string]string{"integration.request.path.N": tt.from})
		if tt.path == "-" {
			if !errors.Is(err, ErrTarget) {
				t.Errorf("path from %s: %v %v, want an error", tt.from, got.Path, err)
			}
		} else if err != nil || got.Path != "/"+tt.path {
			t.Errorf("path from %s: %s %v, want /%s", tt.from, got.Path, err, tt.path)
		}

		want := "N=" + tt.query
		if tt.query == "-" {
			want = ""
		}
		got, err = mapCall(t, false, "http://h/", map[string]string{"integration.request.querystring.N": tt.from})
		if err != nil || got.Query != want || got.HasQuery != (want != "") {
			t.Errorf("query from %s: %q %v, want %q", tt.from, got.Query, err, want)
		}

		got, err = mapCall(t, true, "http://h/", map[string]string{"integration.request.header.x-n": tt.from})
		want = "X-N: " + tt.header
		if tt.header == "-" {
			want = ""
		}
		if err != nil || headersOf(got) != want || got.OnlySet {
			t.Errorf("header from %s: %q %v, want %q", tt.from, headersOf(got), err, want)
		}
	}
}

func TestProxyMappingPassesTheRest(t *testing.T) {
	all := callRequest().Query
	for _, tt := range []struct {
		params  map[string]string
		backend string
		query   string
		headers string
	}{
		{nil, "http://h/x", all, ""},
		{nil, "http://h/x?own=1", "own=1&" + all, ""},
		{map[string]string{"integration.request.querystring.q": "method.request.querystring.q"}, "http://h/x", all, ""},
		{map[string]string{"integration.request.querystring.q": "method.request.multivaluequerystring.q"}, "http://h/x", all, ""},
		{map[string]string{"integration.request.querystring.page": "'7'"}, "http://h/x", "p=1%2B1&q=x+y&q=z&empty=&flag&page=7", ""},
		{map[string]string{"integration.request.querystring.q": "method.request.querystring.p"}, "http://h/x", "p=1%2B1&empty=&p%61ge=9&flag&q=1%2B1", ""},
		{map[string]string{"integration.request.querystring.a b": "'&'"}, "http://h/x?o", "o&" + all + "&a%20b=%26", ""},
		{map[string]string{"integration.request.querystring.q": "method.request.querystring.none"}, "http://h/x", all, ""},
		{map[string]string{"integration.request.header.X-Multi": "method.request.multivalueheader.X-Multi"}, "http://h/x", all, ""},
		{map[string]string{"integration.request.header.X-Multi": "method.request.header.X-Multi"}, "http://h/x", all, "X-Multi: two/2"},
		{map[string]string{"integration.request.header.Host": "'other'", "integration.request.header.b": "'2'"}, "http://h/x", all, "Host: other|B: 2"},
	} {
		got, err := mapCall(t, true, tt.backend, tt.params)
		if err != nil || got.Query != tt.query || headersOf(got) != tt.headers || got.OnlySet {
			t.Errorf("%v: %q %q %v\nwant %q %q", tt.params, got.Query, headersOf(got), err, tt.query, tt.headers)
		}
	}
}

func TestHTTPMappingSendsOnlyWhatIsMapped(t *testing.T) {
	got, err := mapCall(t, false, "http://h/x?own=1", map[string]string{
		"integration.request.querystring.q": "method.request.querystring.q", "integration.request.header.accept": "'text/html'",
	})
	if err != nil {
		t.Fatal(err)
	}
	if !got.OnlySet || got.Query != "own=1&q=z" {
		t.Errorf("%+v", got)
	}
	if h := headersOf(got); h != "Content-Type: text/plain|User-Agent: AmazonAPIGateway_a1b2c3|Accept: text/html" {
		t.Errorf("headers %q", h)
	}
	got, err = mapCall(t, false, "http://h/x", nil)
	if err != nil || got.HasQuery || got.Query != "" {
		t.Errorf("%+v %v", got, err)
	}
}

func TestMappingMethod(t *testing.T) {
	for method, want := range map[string]string{"": "POST", Any: "POST", "PUT": "PUT"} {
		m, err := NewMapping(nil, true, method, Stage{})
		if err != nil {
			t.Fatal(err)
		}
		table := mustTable(t, Route{Template: "/users/{id}", Backend: "http://h/", Mapping: m})
		r, params, _ := table.Match("POST", "/users/1")
		if got, err := r.Target(&Request{Method: "POST", Path: "/users/1"}, params); err != nil || got.Method != want {
			t.Errorf("%q: %s %v", method, got.Method, err)
		}
	}
}

func TestMappingErrors(t *testing.T) {
	for _, tt := range []struct{ to, from, want string }{
		{"integration.request.body.x", "'a'", "is not one of"},
		{"integration.request.header.", "'a'", "is not one of"},
		{"integration.request.header", "'a'", "is not one of"},
		{"integration.response.header.a", "'a'", "is not one of"},
		{"overwrite:path", "/x", "is not one of"},
		{"integration.request.header.a b", "'a'", "not a header's name"},
		{"integration.request.header.content-length", "'1'", "cannot be set"},
		{"integration.request.header.Transfer-Encoding", "'1'", "cannot be set"},
		{"integration.request.header.a", "'a\nb'", "control character"},
		{"integration.request.path.a/b", "'a'", "not a parameter's name"},
		{"integration.request.header.a", "method.request.body", "reads the body"},
		{"integration.request.header.a", "method.request.body.x", "reads the body"},
		{"integration.request.header.a", "method.request.cookie.x", "not a part of the request"},
		{"integration.request.header.a", "method.request.header", "not a part of the request"},
		{"integration.request.header.a", "context.authorizer.principalId", "context.authorizer.principalId is not known"},
		{"integration.request.header.a", "context.stage", "context.stage is not known"},
		{"integration.request.header.a", "stageVariables.none", `stage variable "none" is not given`},
		{"integration.request.header.a", "'a", "no 'literal'"},
		{"integration.request.header.a", "'", "no 'literal'"},
		{"integration.request.header.a", "", "no 'literal'"},
	} {
		_, err := NewMapping(map[string]string{tt.to: tt.from}, true, "", Stage{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s <- %s: %v, want …%s…", tt.to, tt.from, err, tt.want)
		}
	}
	m, err := NewMapping(map[string]string{"integration.request.path.x": "method.request.path.x"}, true, "", Stage{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewTable([]Route{{Template: "/{id}", Backend: "http://h/{x}", Mapping: m}}); err == nil || !strings.Contains(err.Error(), "which the template lacks") {
		t.Error(err)
	}
	m, err = NewMapping(nil, true, "", Stage{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewTable([]Route{{Template: "/{id}", Backend: "http://h/{id}", Mapping: m}}); err == nil || !strings.Contains(err.Error(), "the mapping has no parameters") {
		t.Error(err)
	}
}

func TestUnusedPathMappingMayBeEmpty(t *testing.T) {
	got, err := mapCall(t, true, "http://h/x", map[string]string{"integration.request.path.N": "method.request.querystring.none"})
	if err != nil || got.Path != "/x" {
		t.Errorf("%v %v", got.Path, err)
	}
}

func TestContextPathUnderABase(t *testing.T) {
	m, err := NewMapping(map[string]string{"integration.request.header.a": "context.path", "integration.request.header.b": "context.resourcePath"}, true, "",
		Stage{Name: "prod", Base: "/prod"})
	if err != nil {
		t.Fatal(err)
	}
	table := mustTable(t, Route{Template: "/prod/users", Backend: "http://h/", Mapping: m})
	r, params, _ := table.Match("GET", "/prod/users")
	got, err := r.Target(&Request{Method: "GET", Path: "/prod/users"}, params)
	if err != nil || headersOf(got) != "A: /prod/users|B: /users" {
		t.Errorf("%s %v", headersOf(got), err)
	}
}

func TestResponseMapping(t *testing.T) {
	m, err := newResponseMapping(map[string]*integrationResponse{
		"default": {StatusCode: "200", ResponseParameters: map[string]any{"method.response.header.Access-Control-Allow-Origin": "'*'"}},
		"4\\d{2}": {StatusCode: 400.0, ResponseParameters: map[string]any{
			"method.response.header.X-Reason": "integration.response.header.X-Error", "method.response.header.X-Error": "integration.response.header.none",
			"method.response.header.X-All": "integration.response.multivalueheader.X-Error"}},
		"503": answer("502"),
	}, Stage{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		status, want int
		header       string
	}{
		{200, 200, "Access-Control-Allow-Origin=*|Content-Type=text/plain"},
		{399, 200, "Access-Control-Allow-Origin=*|Content-Type=text/plain"},
		{400, 400, "Content-Type=text/plain|X-All=a,b|X-Reason=b"},
		{499, 400, "Content-Type=text/plain|X-All=a,b|X-Reason=b"},
		{500, 200, "Access-Control-Allow-Origin=*|Content-Type=text/plain"},
		{503, 502, "Content-Type=text/plain"},
	} {
		h := http.Header{"Content-Type": {"text/plain"}, "X-Error": {"a", "b"}, "Server": {"x"}, "Set-Cookie": {"a=b"}}
		status, ok := m.Apply(tt.status, h)
		var lines []string
		for name, v := range h {
			lines = append(lines, name+"="+strings.Join(v, ","))
		}
		slices.Sort(lines)
		if got := strings.Join(lines, "|"); !ok || status != tt.want || got != tt.header {
			t.Errorf("%d: %d %v %s, want %d %s", tt.status, status, ok, got, tt.want, tt.header)
		}
	}
	none, err := newResponseMapping(map[string]*integrationResponse{"2\\d\\d": answer("200")}, Stage{})
	if err != nil {
		t.Fatal(err)
	}
	if status, ok := none.Apply(404, http.Header{}); ok || status != 500 {
		t.Errorf("a status that no integration response takes: %d %v", status, ok)
	}
	var nothing *ResponseMapping
	if status, ok := nothing.Apply(404, http.Header{}); !ok || status != 404 {
		t.Errorf("the nil mapping: %d %v", status, ok)
	}
}

func answer(status string) *integrationResponse { return &integrationResponse{StatusCode: status} }

func TestResponseMappingErrors(t *testing.T) {
	params := func(to, from string) *integrationResponse {
		return &integrationResponse{StatusCode: "200", ResponseParameters: map[string]any{to: from}}
	}
	for _, tt := range []struct {
		pattern string
		r       *integrationResponse
		want    string
	}{
		{"default", nil, "not a status"},
		{"default", answer("abc"), "not a status"},
		{"default", answer("199"), "not a status"},
		{"default", answer("600"), "not a status"},
		{"(", answer("200"), "its pattern is not understood"},
		{"default", &integrationResponse{StatusCode: "200", ContentHandling: "CONVERT_TO_TEXT"}, "contentHandling CONVERT_TO_TEXT"},
		{"default", &integrationResponse{StatusCode: "200", ResponseTemplates: map[string]any{"text/html": "<html>"}}, "mapping template (VTL) for text/html"},
		{"default", params("method.response.header.A", "integration.response.body.x"), "reads the body"},
		{"default", params("method.response.header.A", "context.requestId"), "not known when the response comes"},
		{"default", params("method.response.body", "'a'"), "is not understood"},
		{"default", params("method.response.header.Connection", "'a'"), "cannot be set"},
	} {
		_, err := newResponseMapping(map[string]*integrationResponse{tt.pattern: tt.r}, Stage{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want …%s…", tt.r, err, tt.want)
		}
	}
	if _, err := newResponseMapping(nil, Stage{}); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("no integration response at all: %v", err)
	}
	if _, err := newResponseMapping(map[string]*integrationResponse{"default": {StatusCode: "200",
		ResponseTemplates: map[string]any{"application/json": nil, "text/plain": "__passthrough__", "a/b": ""}}}, Stage{}); err != nil {
		t.Errorf("templates that pass the body: %v", err)
	}
}

func FuzzMapping(f *testing.F) {
	f.Add("integration.request.path.x", "method.request.path.id", "a%2Fb", "a=b&c", "v")
	f.Add("integration.request.querystring.x", "method.request.multivaluequerystring.a", "5", "a=1&a=%zz&a", "v\r\n")
	f.Add("integration.request.header.x-y", "method.request.header.v", "5", "?", "v\x00w")
	f.Add("integration.request.header.Host", "method.request.querystring.a", "5", "a=%0d%0aX:%20y", "v")
	f.Add("integration.request.querystring.&", "context.identity.userAgent", "..", "&&=&", "#?&")
	f.Add("integration.request.path.x", "'/../?#'", "5", "", "")
	f.Fuzz(func(t *testing.T, to, from, id, query, header string) {
		for _, proxy := range []bool{false, true} {
			m, err := NewMapping(map[string]string{to: from}, proxy, "", stage)
			if err != nil {
				continue
			}
			backend := "http://h/a"
			for _, name := range m.pathNames() {
				backend += "/{" + name + "}?q={" + name + "}"
			}
			table, err := NewTable([]Route{{Template: "/{id}", Backend: backend, Mapping: m}})
			if err != nil {
				continue
			}
			r, params, found := table.Match("GET", "/"+id)
			if found != Found {
				continue
			}
			got, err := r.Target(&Request{Method: "GET", Path: "/" + id, Query: query, HasQuery: true, ClientIP: header,
				Header: http.Header{"V": {header}, "User-Agent": {header}}}, params)
			if err != nil {
				continue
			}
			if badPathByte(got.Path) >= 0 || badQuery(got.Query) || !strings.HasPrefix(got.Path, "/a") {
				t.Fatalf("%s <- %s: path %q query %q", to, from, got.Path, got.Query)
			}
			for _, h := range got.SetHeader {
				if !isToken(h.Name) || headerValue(h.Value) != h.Value {
					t.Fatalf("%s <- %s: header %q: %q", to, from, h.Name, h.Value)
				}
			}
			if n := strings.Count(got.Query, "&"); n > 2*strings.Count(query, "&")+2 {
				t.Fatalf("%s <- %s: query %q of %q has more pairs than were given", to, from, got.Query, query)
			}
		}
	})
}
