package route

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

func mustTable(t testing.TB, routes ...Route) *Table {
	t.Helper()
	table, err := NewTable(routes)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// at makes a route that goes to a backend without a path.
func at(t testing.TB, match string) Route {
	t.Helper()
	method, tmpl, err := ParseMatch(match)
	if err != nil {
		t.Fatal(err)
	}
	return Route{Method: method, Template: tmpl, Backend: "http://backend"}
}

func TestMatch(t *testing.T) {
	var routes []Route
	for _, m := range []string{
		"GET /", "GET /users", "POST /users", "GET /users/{id}", "ANY /users/{id}", "GET /users/me", "GET /users/{id}/files/{path+}",
		"GET /users/{uid}/orders/{oid}", "ANY /users/me/orders", "ANY /api/{proxy+}", "GET /api/v1/status", "GET /caf%C3%A9/menu", "GET /a%2Fb",
		"POST /only/post", "PUT /only/{x}", "ANY /{proxy+}",
	} {
		routes = append(routes, at(t, m))
	}
	table := mustTable(t, routes...)
	for _, tt := range []struct {
		method, path string
		want         string // the route's name; "" for NoPath, "-" for NoMethod
		params       string
	}{
		{"GET", "/", "GET /", ""},
		{"POST", "/", "-", ""},
		{"GET", "/users", "GET /users", ""},
		{"GET", "/users/", "GET /users", ""},
		{"PUT", "/users", "-", ""}, // the resource is chosen before the method
		{"GET", "/users/5", "GET /users/{id}", "id=5"},
		{"GET", "/users/5/", "GET /users/{id}", "id=5"},
		{"PUT", "/users/5", "ANY /users/{id}", "id=5"},
		{"GET", "/users//", "ANY /{proxy+}", "proxy=users//"},
		{"GET", "/users/a%2Fb", "GET /users/{id}", "id=a%2Fb"},
		{"GET", "/users/a;b=c", "GET /users/{id}", "id=a;b=c"},
		{"GET", "/users/me", "GET /users/me", ""},
		{"GET", "/users/m%65", "GET /users/me", ""},
		{"GET", "/users/%zz", "GET /users/{id}", "id=%zz"},
		{"GET", "/users/Me", "GET /users/{id}", "id=Me"},
		{"POST", "/users/me", "-", ""},
		{"GET", "/users/me/orders", "ANY /users/me/orders", ""},
		{"GET", "/users/me/orders/7", "GET /users/{uid}/orders/{oid}", "uid=me oid=7"}, // turns back from the static segment
		{"GET", "/users/5/orders/7", "GET /users/{uid}/orders/{oid}", "uid=5 oid=7"},
		{"GET", "/users/5/orders", "ANY /{proxy+}", "proxy=users/5/orders"},
		{"GET", "/users//orders/7", "ANY /{proxy+}", "proxy=users//orders/7"},
		{"GET", "/users/5/files/a//b/", "GET /users/{id}/files/{path+}", "id=5 path=a//b/"},
		{"GET", "/users/5/files/a%2Fb/c%20d", "GET /users/{id}/files/{path+}", "id=5 path=a%2Fb/c%20d"},
		{"GET", "/users/5/files/", "ANY /{proxy+}", "proxy=users/5/files/"},
		{"GET", "/users/5/files//", "GET /users/{id}/files/{path+}", "id=5 path=/"},
		{"GET", "/api/v1/status", "GET /api/v1/status", ""},
		{"GET", "/api/v1/stat", "ANY /api/{proxy+}", "proxy=v1/stat"},
		{"GET", "/api/v1", "ANY /api/{proxy+}", "proxy=v1"},
		{"GET", "/api/", "ANY /{proxy+}", "proxy=api/"},
		{"GET", "/api", "ANY /{proxy+}", "proxy=api"},
		{"GET", "/caf%C3%A9/menu", "GET /caf%C3%A9/menu", ""},
		{"GET", "/caf%c3%a9/menu", "GET /caf%C3%A9/menu", ""},
		{"GET", "/café/menu", "GET /caf%C3%A9/menu", ""},
		{"GET", "/a%2fb", "GET /a%2Fb", ""},
		{"GET", "/a/b", "ANY /{proxy+}", "proxy=a/b"},
		{"GET", "/only/post", "-", ""}, // although PUT /only/{x} would not help either
		{"PUT", "/only/post", "-", ""}, // although PUT /only/{x} takes the path
		{"PUT", "/only/put", "PUT /only/{x}", "x=put"},
		{"GET", "//", "ANY /{proxy+}", "proxy=/"},
		{"GET", "//users", "ANY /{proxy+}", "proxy=/users"},
		{"GET", "", "", ""},
		{"OPTIONS", "*", "", ""},
		{"GET", "users", "", ""},
	} {
		r, params, m := table.Match(tt.method, tt.path)
		got := ""
		switch m {
		case Found:
			got = r.Name()
		case NoMethod:
			got = "-"
		}
		if got != tt.want || paramText(params) != tt.params {
			t.Errorf("%s %s: %q %q, want %q %q", tt.method, tt.path, got, paramText(params), tt.want, tt.params)
		}
		if (r != nil) != (m == Found) {
			t.Errorf("%s %s: route %v with %v", tt.method, tt.path, r, m)
		}
	}
}

func paramText(params []tapway.PathParam) string {
	var words []string
	for _, p := range params {
		words = append(words, p.Name+"="+p.Value)
	}
	return strings.Join(words, " ")
}

func TestDefaultTakesWhatIsLeft(t *testing.T) {
	table := mustTable(t, at(t, "GET /users"), CatchAll("http://other"))
	for path, want := range map[string]string{"/users": "GET /users", "/": "$default", "/x//y/": "$default", "*": "$default"} {
		if r, _, m := table.Match("GET", path); m != Found || r.Name() != want {
			t.Errorf("%s: %v, want %s", path, m, want)
		}
	}
	if r, _, m := table.Match("DELETE", "/users"); m != Found || r.Name() != "$default" {
		t.Errorf("a method that the template lacks does not fall to $default: %v", m)
	}
	for _, path := range []string{"", "users", "http://h/users"} {
		if _, _, m := table.Match("GET", path); m != NoPath {
			t.Errorf("%q: %v", path, m)
		}
	}
}

func TestGreedyDoesNotTakeTheRoot(t *testing.T) {
	table := mustTable(t, at(t, "ANY /{proxy+}"))
	if _, _, m := table.Match("GET", "/"); m != NoPath {
		t.Errorf("/{proxy+} took /: %v", m)
	}
	if _, params, m := table.Match("GET", "/a"); m != Found || paramText(params) != "proxy=a" {
		t.Errorf("/a: %v %v", m, params)
	}
}

func TestParseMatch(t *testing.T) {
	for _, tt := range []struct{ in, method, tmpl string }{
		{"GET /users/{id}", "GET", "/users/{id}"},
		{"get /users", "GET", "/users"},
		{" ANY  /{proxy+} ", "ANY", "/{proxy+}"},
		{"any /", "ANY", "/"},
		{"/x", "ANY", "/x"},
		{"$default", "ANY", "$default"},
		{"ANY $default", "ANY", "$default"},
		{"PURGE /x", "PURGE", "/x"},
		{"GET /a.b_c-d:e~f!$&'()*+,;=@/%2F/é", "GET", "/a.b_c-d:e~f!$&'()*+,;=@/%2F/é"},
		{"GET /{a.b_c-d:e}", "GET", "/{a.b_c-d:e}"},
	} {
		method, tmpl, err := ParseMatch(tt.in)
		if err != nil || method != tt.method || tmpl != tt.tmpl {
			t.Errorf("%q: %q %q %v", tt.in, method, tmpl, err)
		}
	}
	for _, tt := range []struct{ in, want string }{
		{"", "needs a path"},
		{"GET", `begins with "/"; did you mean "/GET"?`},
		{"users", `did you mean "/users"?`},
		{"GET users", `path "users" does not begin with "/"`},
		{"GET /a b", "expected a method and a path"},
		{"* /a", "write ANY"},
		{"GE:T /a", `"GE:T" is not a method`},
		{"GET $default", "$default takes every method"},
		{"GET /a/", `ends with a slash; write "/a"`},
		{"GET /a//b", "empty segment"},
		{"GET //", "empty segment"},
		{"GET /{proxy+}/a", "must be the last segment"},
		{"GET /{a}/{a}", "{a} stands twice"},
		{"GET /{a}/{a+}", "{a} stands twice"},
		{"GET /a{b}", "takes a whole segment"},
		{"GET /{b}.json", "takes a whole segment"},
		{"GET /{a", "takes a whole segment"},
		{"GET /a}", "takes a whole segment"},
		{"GET /{{a}}", "takes a whole segment"},
		{"GET /{}", "letters, digits"},
		{"GET /{+}", "letters, digits"},
		{"GET /{a*}", "letters, digits"},
		{"GET /a?b", "percent-encoded"},
		{"GET /a#b", "percent-encoded"},
		{"GET /a%2", "two hex digits"},
		{"GET /a%g0", "two hex digits"},
	} {
		_, _, err := ParseMatch(tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want …%s…", tt.in, err, tt.want)
		}
	}
}

func TestNewTableErrors(t *testing.T) {
	b := "http://backend"
	for _, tt := range []struct {
		routes []Route
		want   string
	}{
		{[]Route{{Method: "GET", Template: "/a", Backend: b}, {Method: "GET", Template: "/a", Backend: b}}, `route "GET /a": is there twice`},
		{[]Route{{Template: "/a", Backend: b}, {Method: "ANY", Template: "/a", Backend: b}}, `route "ANY /a": is there twice`},
		{[]Route{{Method: "GET", Template: "/{a}", Backend: b}, {Method: "GET", Template: "/{b}", Backend: b}}, `route "GET /{b}": takes the same calls as "GET /{a}"`},
		{[]Route{{Method: "GET", Template: "/{a+}", Backend: b}, {Method: "GET", Template: "/{b+}", Backend: b}}, `takes the same calls as "GET /{a+}"`},
		{[]Route{{Method: "GET", Template: "/ab", Backend: b}, {Method: "GET", Template: "/a%62", Backend: b}}, `takes the same calls as "GET /ab"`},
		{[]Route{CatchAll(b), CatchAll(b)}, "is there twice"},
		{[]Route{{Template: "/a/", Backend: b}}, "ends with a slash"},
		{[]Route{{Template: "/a"}}, "has no backend"},
		{[]Route{{Template: "/a", Backend: "backend:80"}}, "http:// or https://"},
		{[]Route{{Template: "/a", Backend: "ftp://backend"}}, "http:// or https://"},
		{[]Route{{Template: "/a", Backend: "http://"}}, "no valid host"},
		{[]Route{{Template: "/a", Backend: "http://:80"}}, "no valid host"},
		{[]Route{{Template: "/a", Backend: "http://h:"}}, "no valid host"},
		{[]Route{{Template: "/a", Backend: "http://h:x"}}, "no valid host"},
		{[]Route{{Template: "/a", Backend: "http://h:65536"}}, "port 65536"},
		{[]Route{{Template: "/a", Backend: "http://h:0"}}, "port 0"},
		{[]Route{{Template: "/a", Backend: "http://user:pass@h"}}, "user or password"},
		{[]Route{{Template: "/{a}", Backend: "http://{a}/"}}, "must not choose the host"},
		{[]Route{{Template: "/a", Backend: "http://h/x#y"}}, "fragment"},
		{[]Route{{Template: "/a", Backend: "http://h/x y"}}, "percent-encoded"},
		{[]Route{{Template: "/a", Backend: "http://h/%2"}}, "two hex digits"},
		{[]Route{{Template: "/a", Backend: "http://h/{id}"}}, "{id}, but the template has no parameters"},
		{[]Route{{Template: "/{id}", Backend: "http://h/{uid}"}}, "names {uid}; the template has {id}"},
		{[]Route{{Template: "/{p+}", Backend: "http://h/{p+}"}}, "in a backend write {p}"},
		{[]Route{{Template: "/{id}", Backend: "http://h/{id"}}, "brace without its partner"},
		{[]Route{{Template: "/{id}", Backend: "http://h/id}"}}, "brace without its partner"},
		{[]Route{{Template: "/{id}", Backend: "http://h/?q={x}"}}, "names {x}"},
		{[]Route{CatchAll("http://h/{proxy}")}, "the whole path is added"},
	} {
		_, err := NewTable(tt.routes)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want …%s…", tt.routes, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "pass@") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
	_, err := NewTable([]Route{{Template: "/a/", Backend: b}, {Template: "/b"}})
	if err == nil || !strings.Contains(err.Error(), "/a/") || !strings.Contains(err.Error(), "/b") {
		t.Errorf("not every bad route is named: %v", err)
	}
	if all, ok := err.(interface{ Unwrap() []error }); !ok || len(all.Unwrap()) != 2 || all.Unwrap()[1].(*Error).Index != 1 {
		t.Errorf("the errors do not say which routes: %#v", err)
	}
	if _, err := NewTable([]Route{{Method: "GET", Template: "/{a}", Backend: b}, {Method: "PUT", Template: "/{b}", Backend: b}}); err != nil {
		t.Errorf("two names for one place under different methods: %v", err)
	}
}

func TestUnsupportedRouteHoldsItsPlace(t *testing.T) {
	table := mustTable(t, at(t, "ANY /{proxy+}"), Route{Method: "GET", Template: "/mock", Unsupported: "MOCK"})
	r, params, m := table.Match("GET", "/mock")
	if m != Found || r.Unsupported != "MOCK" {
		t.Fatalf("%v", m)
	}
	if _, err := r.Target(&Request{Method: "GET", Path: "/mock"}, params); err == nil {
		t.Error("a route that cannot be served has a target")
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("/users/{id}", "/users/a%2Fb")
	f.Add("/{proxy+}", "//a//")
	f.Add("/a/{b}/{c+}", "/a/x/y//z/")
	f.Add("/caf%C3%A9", "/café")
	f.Add("/", "/")
	f.Add("$default", "/x")
	f.Fuzz(func(t *testing.T, tmpl, path string) {
		if _, _, err := ParseMatch("GET " + tmpl); err != nil {
			if table, err := NewTable([]Route{{Method: "GET", Template: tmpl, Backend: "http://h"}}); err == nil && strings.Fields(tmpl) != nil && len(strings.Fields(tmpl)) == 1 && strings.TrimSpace(tmpl) == tmpl && tmpl != Default {
				t.Fatalf("%q is refused alone and taken in a table %v", tmpl, table)
			}
			return
		}
		tmpl = strings.TrimSpace(tmpl)
		table, err := NewTable([]Route{{Method: "GET", Template: tmpl, Backend: "http://h"}})
		if err != nil {
			t.Fatalf("%q: %v", tmpl, err)
		}
		r, params, m := table.Match("GET", path)
		if m != Found {
			return
		}
		// Putting the values back into the template gives the path, static segments and one
		// slash at the end apart.
		rest := strings.TrimPrefix(path, "/")
		for _, s := range r.template.segments {
			seg, tail, _ := strings.Cut(rest, "/")
			switch s.kind {
			case staticSegment:
				if text, ok := decode(nil, seg); !ok || string(text) != s.text {
					t.Fatalf("%q took %q: segment %q is not %q", tmpl, path, seg, s.text)
				}
			case paramSegment:
				if seg == "" || params[0] != (tapway.PathParam{Name: s.text, Value: seg}) {
					t.Fatalf("%q took %q: parameter %v, segment %q", tmpl, path, params[0], seg)
				}
				params = params[1:]
			case greedySegment:
				if rest == "" || params[0] != (tapway.PathParam{Name: s.text, Value: rest}) {
					t.Fatalf("%q took %q: parameter %v, rest %q", tmpl, path, params[0], rest)
				}
				params, tail = params[1:], ""
			}
			rest = tail
		}
		if len(params) != 0 || rest != "" {
			t.Fatalf("%q took %q: %v and %q are left", tmpl, path, params, rest)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	routes := []Route{at(b, "ANY /{proxy+}")}
	for i := range 33 {
		p := fmt.Sprintf("/api/v1/resource%d", i)
		routes = append(routes, at(b, "GET "+p), at(b, "GET "+p+"/{id}"), at(b, "GET "+p+"/{id}/items/{item}"))
	}
	table := mustTable(b, routes...)
	for _, path := range []string{"/api/v1/resource7", "/api/v1/resource31/4711", "/api/v1/resource31/4711/items/9", "/somewhere/else/entirely", "/api/v1/resource31/a%2Fb"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, m := table.Match("GET", path); m != Found {
					b.Fatal(m)
				}
			}
		})
	}
}
