package route

import (
	"errors"
	"fmt"
	"testing"
)

func (t Target) url() string {
	s := t.Scheme + "://" + t.Host + t.Path
	if t.HasQuery {
		s += "?" + t.Query
	}
	return s
}

func TestTarget(t *testing.T) {
	for _, tt := range []struct {
		match, backend, path, query string // a query that begins with "?" was sent
		want                        string
	}{
		// A backend without a path passes the client's path on.
		{"ANY /{proxy+}", "http://h:8080", "/a//b/%2f%2F/c%20d;e/", "?a=1&a=2&b", "http://h:8080/a//b/%2f%2F/c%20d;e/?a=1&a=2&b"},
		{"GET /users/{id}", "https://h", "/users/5/", "", "https://h/users/5/"},
		{"GET /users", "https://h", "/us%65rs", "", "https://h/us%65rs"},
		{"ANY /{proxy+}", "HTTPS://h?x=1", "/a", "?y", "https://h/a?x=1&y"},
		{"ANY /{proxy+}", "http://[::1]:80", "/a", "", "http://[::1]:80/a"},

		// One with a path is a template.
		{"GET /users/{id}", "https://h/", "/users/5", "", "https://h/"},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/5", "", "https://h/v1/users/5"},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/5/", "", "https://h/v1/users/5"},
		{"GET /users/{id}", "https://h/v1/users/{id}/", "/users/a%2Fb%20c", "", "https://h/v1/users/a%2Fb%20c/"},
		{"GET /users/{id}", "https://h/{id}/{id}.json", "/users/5", "", "https://h/5/5.json"},
		{"GET /{a}/{b}", "https://h/{b}/{a}", "/1/2", "", "https://h/2/1"},
		{"GET /{a}", "https://h//x//{a}", "/1", "", "https://h//x//1"},
		{"ANY /{proxy+}", "https://h/{proxy}", "//a//b/", "", "https://h//a//b/"},
		{"ANY /{proxy+}", "https://h/base/{proxy}", "/a%2fb/", "?q=%2F+%20;", "https://h/base/a%2fb/?q=%2F+%20;"},
		{"GET /users", "https://h/v1/a%20b", "/users", "?", "https://h/v1/a%20b?"},

		// The backend's own query comes first.
		{"GET /a", "https://h/b?x=1", "/a", "", "https://h/b?x=1"},
		{"GET /a", "https://h/b?x=1", "/a", "?", "https://h/b?x=1"},
		{"GET /a", "https://h/b?x=1", "/a", "?x=2", "https://h/b?x=1&x=2"},
		{"GET /a", "https://h/b?", "/a", "?x=2", "https://h/b?x=2"},
		{"GET /a", "https://h/b?", "/a", "", "https://h/b?"},
		{"GET /{a}", "https://h/b?x={a}&y", "/p%26&q=1+2;r", "", "https://h/b?x=p%26%26q%3D1%2B2%3Br&y"},
		{"GET /a", "https://h/b", "/a", "?x=a?b", "https://h/b?x=a?b"},

		// A catch-all joins without cleaning.
		{"$default", "https://h/base", "/a//b/", "", "https://h/base/a//b/"},
		{"$default", "https://h/base/", "/a", "", "https://h/base/a"},
		{"$default", "https://h/base", "/", "", "https://h/base/"},
		{"$default", "https://h/base", "//", "", "https://h/base//"},
		{"$default", "https://h/", "/", "", "https://h/"},
		{"$default", "https://h", "/", "?", "https://h/?"},
		{"$default", "https://h/base?k=v", "/a", "?x", "https://h/base/a?k=v&x"},
		{"$default", "https://h/base", "*", "", "https://h*"},
	} {
		r := at(t, tt.match)
		r.Backend = tt.backend
		table := mustTable(t, r)
		found, params, m := table.Match("GET", tt.path)
		if m != Found {
			t.Errorf("%s does not take %s", tt.match, tt.path)
			continue
		}
		req := &Request{Method: "GET", Path: tt.path}
		if tt.query != "" {
			req.Query, req.HasQuery = tt.query[1:], true
		}
		got, err := found.Target(req, params)
		if err != nil || got.url() != tt.want || got.Method != "GET" || got.OnlySet || got.SetHeader != nil {
			t.Errorf("%s -> %s, %s%s:\n got %s %v\nwant %s", tt.match, tt.backend, tt.path, tt.query, got.url(), err, tt.want)
		}
	}
}

func TestTargetRefusesWhatWouldInject(t *testing.T) {
	table := mustTable(t, CatchAll("http://h"))
	for _, req := range []Request{
		{Path: "/a?b"}, {Path: "/a#b"}, {Path: "/a b"}, {Path: "/a\r\nX: y"}, {Path: "/a", Query: "a#b"}, {Path: "/a", Query: "a b"}, {Path: "/a", Query: "a\n"},
	} {
		r, params, m := table.Match("GET", req.Path)
		if m != Found {
			t.Fatal(m)
		}
		if _, err := r.Target(&req, params); !errors.Is(err, ErrTarget) {
			t.Errorf("%q %q: %v", req.Path, req.Query, err)
		}
	}
}

func BenchmarkTarget(b *testing.B) {
	for _, tt := range []struct{ match, backend, path string }{
		{"$default", "http://h", "/api/v1/users/5"},
		{"$default", "http://h/base", "/api/v1/users/5"},
		{"GET /users/{id}", "http://h/v1/users/{id}", "/users/5"},
	} {
		r := at(b, tt.match)
		r.Backend = tt.backend
		table := mustTable(b, r)
		b.Run(tt.backend, func(b *testing.B) {
			req := &Request{Method: "GET", Path: tt.path, Query: "a=b", HasQuery: true}
			b.ReportAllocs()
			for b.Loop() {
				r, params, _ := table.Match("GET", tt.path)
				if _, err := r.Target(req, params); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func ExampleTable_Match() {
	table, err := NewTable([]Route{
		{Method: "GET", Template: "/users/{id}", Backend: "https://users.internal/v1/users/{id}"},
		{Method: Any, Template: "/{proxy+}", Backend: "https://legacy.internal/{proxy}"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/users/a%2Fb", "/old//things/"} {
		r, params, _ := table.Match("GET", path)
		to, _ := r.Target(&Request{Method: "GET", Path: path}, params)
		fmt.Println(r.Name(), "->", to.Scheme+"://"+to.Host+to.Path)
	}
	_, _, m := table.Match("POST", "/users/5")
	fmt.Println(m)
	// Output:
	// GET /users/{id} -> https://users.internal/v1/users/a%2Fb
	// ANY /{proxy+} -> https://legacy.internal/old//things/
	// no method
}
