package route

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

var exportOptions = OpenAPIOptions{StageVariables: map[string]string{"host": "users.example.com", "key": "k1"}}

func readExport(t testing.TB, name string, opts OpenAPIOptions) *Definition {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ReadOpenAPI(data, opts)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

func TestReadOpenAPI(t *testing.T) {
	for name, format := range map[string]string{"rest-oas30.json": "OpenAPI 3.0.1", "rest-swagger.json": "Swagger 2.0"} {
		d := readExport(t, name, exportOptions)
		if d.Title != "example" || d.Format != format || d.APIID != "a1b2c3d4e5" || d.Stage != "prod" || d.Host != "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com" {
			t.Errorf("%s: %+v", name, d)
		}
		want := []struct{ name, typ, uri, reason string }{
			{"GET /", "http_proxy", "https://users.example.com", ""},
			{"GET /images/{key}", "http_proxy", "https://images.example.com/{key}", "it converts the request body (contentHandling CONVERT_TO_BINARY)"},
			{"ANY /internal/{proxy+}", "http_proxy", "", "VPC link"},
			{"GET /legacy", "http_proxy", "", `stage variable "legacy", which is not given`},
			{"DELETE /orders", "http_proxy", "https://orders.example.com/orders", "method.request.body.order.id reads the body"},
			{"GET /orders", "aws", "", "it calls an AWS service"},
			{"PATCH /orders", "http", "https://orders.example.com/orders", "its response body is made by a mapping template (VTL) for application/json"},
			{"POST /orders", "aws_proxy", "", "it calls a Lambda function"},
			{"PUT /orders", "http", "https://orders.example.com/orders", "its request body is made by a mapping template (VTL)"},
			{"GET /pets", "http", "http://petstore.example.com/petstore/pets", ""},
			{"OPTIONS /pets", "mock", "", "(MOCK)"},
			{"GET /unmapped/{key}", "http_proxy", "https://images.example.com/{key}", "its backend names {key}, but the mapping has no parameters"},
			{"GET /users", "http_proxy", "https://users.example.com/v1/users?source=gateway", ""},
			{"POST /users", "http_proxy", "https://users.example.com/v1/users", ""},
			{"DELETE /users/{id}", "http_proxy", "https://users.example.com/v1/remove/{userId}", ""},
			{"GET /users/{id}", "http_proxy", "https://users.example.com/v1/users/{userId}", ""},
			{"ANY /{proxy+}", "http_proxy", "https://users.example.com/legacy/{proxy}", ""},
		}
		if len(d.Operations) != len(want) {
			t.Fatalf("%s: %d operations, want %d", name, len(d.Operations), len(want))
		}
		for i, w := range want {
			op := d.Operations[i]
			if op.Method+" "+op.Path != w.name || op.Type != w.typ || op.URI != w.uri || op.Tappable != (w.reason == "") || !strings.Contains(op.Reason, w.reason) || op.Tappable && op.Reason != "" {
				t.Errorf("%s: operation %d is %s %s (%s, %s) %v %q\nwant %+v", name, i, op.Method, op.Path, op.Type, op.URI, op.Tappable, op.Reason, w)
			}
		}
		users, proxy := d.Operations[12], d.Operations[16]
		if users.ID != "listUsers" || users.Timeout != 5*time.Second || users.ConnectionType != "INTERNET" || users.IntegrationMethod != "GET" {
			t.Errorf("%s: %+v", name, users)
		}
		if proxy.Timeout != DefaultTimeout || !proxy.InsecureSkipVerify {
			t.Errorf("%s: %+v", name, proxy)
		}
		if notes := strings.Join(d.Operations[13].Notes, "; "); notes != "callers are checked there by api_key; responses may be cached there" {
			t.Errorf("%s: notes %q", name, notes)
		}
	}
}

func TestExportedRoutesBehave(t *testing.T) {
	d := readExport(t, "rest-oas30.json", exportOptions)
	table := mustTable(t, d.Routes()...)
	for _, tt := range []struct {
		method, path, query string
		want                string // "method url", or the reason
		headers             string
	}{
		{"GET", "/", "", "GET https://users.example.com/", ""},
		{"GET", "/users", "p=2&x=%2F", "GET https://users.example.com/v1/users?source=gateway&p=2&x=%2F&page=2", "X-Caller: 192.0.2.1|X-Key: k1|X-Source: api gateway|X-Stage: prod"},
		{"GET", "/users", "", "GET https://users.example.com/v1/users?source=gateway", "X-Caller: 192.0.2.1|X-Key: k1|X-Source: api gateway|X-Stage: prod"},
		{"POST", "/users", "a", "POST https://users.example.com/v1/users?a", ""},
		{"PUT", "/users", "", "no method", ""},
		{"GET", "/users/a%2Fb", "", "GET https://users.example.com/v1/users/a%2Fb", ""},
		{"DELETE", "/users/5", "", "POST https://users.example.com/v1/remove/5", ""},
		{"GET", "/pets", "page=1&page=2&other=3", "GET http://petstore.example.com/petstore/pets?page=2", "Accept: application/json|Content-Type: application/json|User-Agent: AmazonAPIGateway_a1b2c3d4e5"},
		{"OPTIONS", "/pets", "", "MOCK", ""},
		{"POST", "/orders", "", "Lambda", ""},
		{"GET", "/else//where/", "?", "GET https://users.example.com/legacy/else//where/??", ""},
		{"PURGE", "/else", "", "PURGE https://users.example.com/legacy/else", ""},
	} {
		r, params, m := table.Match(tt.method, tt.path)
		got, headers := m.String(), ""
		if m == Found {
			to, err := r.Target(&Request{Method: tt.method, Path: tt.path, Query: tt.query, ClientIP: "192.0.2.1"}, params)
			got, headers = to.Method+" "+to.url(), headersOf(to)
			if err != nil {
				got, headers = err.Error(), ""
			}
			if op := d.Operations[r.Ref]; op.Path != r.Template {
				t.Errorf("%s: Ref leads to %s", r.Name(), op.Path)
			}
		}
		if got != tt.want && !(strings.Contains(got, tt.want) && !strings.Contains(tt.want, "://")) || headers != tt.headers {
			t.Errorf("%s %s?%s:\n got %s [%s]\nwant %s [%s]", tt.method, tt.path, tt.query, got, headers, tt.want, tt.headers)
		}
	}
	pets, _, _ := table.Match("GET", "/pets")
	h := http.Header{"Content-Type": {"application/json"}, "X-Error": {"nope"}}
	if status, ok := pets.Response.Apply(404, h); !ok || status != 400 || h.Get("X-Reason") != "nope" || h.Get("X-Error") != "" {
		t.Errorf("%d %v %v", status, ok, h)
	}
}

func TestBase(t *testing.T) {
	opts := exportOptions
	opts.Base = "/prod"
	table := mustTable(t, readExport(t, "rest-oas30.json", opts).Routes()...)
	for path, want := range map[string]string{"/prod": "GET /prod", "/prod/": "GET /prod", "/prod/users/5": "GET /prod/users/{id}", "/prod/x": "ANY /prod/{proxy+}", "/users": "", "/": ""} {
		r, _, m := table.Match("GET", path)
		if got := ""; m == Found {
			if got = r.Name(); got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		} else if want != "" {
			t.Errorf("%s: %v, want %s", path, m, want)
		}
	}
}

func TestHTTPAPIExport(t *testing.T) {
	d := readExport(t, "http-oas30.json", OpenAPIOptions{})
	if d.APIID != "f6g7h8" || d.Stage != "" {
		t.Errorf("%+v", d)
	}
	want := []struct{ name, reason string }{
		{"ANY /$default", "$default route of an HTTP API"}, {"GET /hello", "Lambda"}, {"POST /pets", ""}, {"GET /pets/{id}", ""}, {"GET /rewritten", ""},
	}
	for i, w := range want {
		if op := d.Operations[i]; op.Method+" "+op.Path != w.name || !strings.Contains(op.Reason, w.reason) || op.Tappable != (w.reason == "") {
			t.Errorf("operation %d: %s %s %q, want %+v", i, op.Method, op.Path, op.Reason, w)
		}
	}
	table := mustTable(t, d.Routes()...)
	for call, want := range map[string]string{"GET /pets/5": "GET https://pets.example.com/5", "POST /pets": "PUT https://pets.example.com/new"} {
		method, path, _ := strings.Cut(call, " ")
		r, params, m := table.Match(method, path)
		if m != Found {
			t.Fatalf("%s: %v", call, m)
		}
		if to, err := r.Target(&Request{Method: method, Path: path}, params); err != nil || to.Method+" "+to.url() != want {
			t.Errorf("%s: %s %s %v, want %s", call, to.Method, to.url(), err, want)
		}
	}
}

func TestReadOpenAPIErrors(t *testing.T) {
	op := func(path, key, body string) string {
		return `{"openapi":"3.0.1","paths":{"` + path + `":{"` + key + `":` + body + `}}}`
	}
	for _, tt := range []struct{ in, want string }{
		{"", "not JSON"},
		{"openapi: 3.0.1\n", "YAML is not read: export it with --accepts application/json"},
		{"[]", "not JSON"},
		{"{\n \"openapi\": 3,\n}", "line 3, column 1"},
		{`{"openapi":"3.0.1","paths":7}`, "line 1, column 28"},
		{`{}`, "neither OpenAPI 3"},
		{`{"swagger":"1.2"}`, "neither OpenAPI 3"},
		{`{"openapi":"3.0.1"}`, "has no operations"},
		{op("/a", "parameters", "[]"), "has no operations"},
		{op("/a", "get", "7"), `path "/a": GET:`},
		{op("/a//b", "get", "{}"), "empty segment"},
		{op("/a/{b+}/c", "get", "{}"), "must be the last segment"},
		{op("a", "get", "{}"), `does not begin with "/"`},
		{op("/a", "get", `{"x-amazon-apigateway-integration":7}`), "x-amazon-apigateway-integration"},
		{`{"openapi":"3.0.1","paths":{"/a":{"get":{},"GET":{}}}}`, "GET is there twice"},
	} {
		_, err := ReadOpenAPI([]byte(tt.in), OpenAPIOptions{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60s: %v, want …%s…", tt.in, err, tt.want)
		}
	}
	for _, base := range []string{"prod", "/", "/prod/", "/{x}"} {
		if _, err := ReadOpenAPI([]byte(op("/a", "get", "{}")), OpenAPIOptions{Base: base}); err == nil || !strings.Contains(err.Error(), "base path") {
			t.Errorf("base %q: %v", base, err)
		}
	}
}

func TestReasons(t *testing.T) {
	for _, tt := range []struct{ integration, want string }{
		{`{}`, "no integration"},
		{`{"$ref":"#/components/x"}`, "no integration"},
		{`{"type":"smoke"}`, `type "smoke" is not known`},
		{`{"type":"HTTP_PROXY"}`, "no backend"},
		{`{"type":"http_proxy","uri":"https://h/a"}`, ""},
		{`{"type":"HTTP_PROXY","uri":"https://h/a","connectionType":"INTERNET"}`, ""},
		{`{"type":"http_proxy","uri":"https://h/a","requestTemplates":{"application/json":"ignored"}}`, ""},
		{`{"type":"http_proxy","uri":"https://{id}/a","requestParameters":{"integration.request.path.id":"method.request.path.id"}}`, "must not choose the host"},
		{`{"type":"http_proxy","uri":"https://${stageVariables.x"}`, "without an end"},
		{`{"type":"http_proxy","uri":"https://h/a","httpMethod":"A B"}`, "not a method"},
		{`{"type":"http_proxy","uri":"https://h/a","requestParameters":{"integration.request.header.a":7}}`, "is not text"},
		{`{"type":"http_proxy","uri":"https://h/a","requestParameters":{"integration.request.header.a":"method.request.path.none"}}`, "which the template lacks"},
		{`{"type":"http","uri":"https://h/a"}`, "no integration response"},
		{`{"type":"http","uri":"https://h/a","responses":{"default":{"statusCode":"200"}}}`, ""},
		{`{"type":"http","uri":"https://h/a","responses":{"default":{"statusCode":"200"}},"passthroughBehavior":"never"}`, "NEVER"},
		{`{"type":"http","uri":"https://h/a","responses":{"default":{"statusCode":"200"}},"requestTemplates":{"a/b":"__passthrough__"}}`, ""},
		{`{"type":"http","uri":"https://h/a","responses":{"default":{"statusCode":"200","responseTemplates":{"a/b":{}}}}}`, "VTL"},
	} {
		d, err := ReadOpenAPI([]byte(`{"swagger":"2.0","paths":{"/{id}":{"post":{"x-amazon-apigateway-integration":`+tt.integration+`}}}}`), OpenAPIOptions{})
		if err != nil {
			t.Errorf("%s: %v", tt.integration, err)
			continue
		}
		if op := d.Operations[0]; op.Tappable != (tt.want == "") || !strings.Contains(op.Reason, tt.want) {
			t.Errorf("%s: %v %q, want %q", tt.integration, op.Tappable, op.Reason, tt.want)
		}
	}
}

func FuzzReadOpenAPI(f *testing.F) {
	for _, name := range []string{"rest-oas30.json", "rest-swagger.json", "http-oas30.json"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"swagger":"2.0","basePath":"/x","paths":{"/{id}":{"post":{"x-amazon-apigateway-integration":{"type":"http_proxy","uri":"https://h/${stageVariables.host}?a#"}}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ReadOpenAPI(data, exportOptions)
		if err != nil {
			return
		}
		for _, op := range d.Operations {
			if op.Tappable == (op.Reason != "") {
				t.Fatalf("%s %s: tappable %v, reason %q", op.Method, op.Path, op.Tappable, op.Reason)
			}
		}
		table, err := NewTable(d.Routes())
		if err != nil {
			return // two paths may take the same calls
		}
		for _, path := range []string{"/", "/users", "/users/5", "/a//b/"} {
			if r, params, m := table.Match("GET", path); m == Found {
				if to, err := r.Target(&Request{Method: "GET", Path: path}, params); err == nil && badPathByte(to.Path) >= 0 {
					t.Fatalf("%s: path %q", r.Name(), to.Path)
				}
			}
		}
	})
}
