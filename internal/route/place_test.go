package route

import (
	"errors"
	"net/url"
	"path"
	"strings"
	"testing"
)

// What stands in a path parameter stays in its place, as the most eager backend reads it.
func TestPlace(t *testing.T) {
	const passes, refused = true, false
	for _, tt := range []struct {
		match, backend, path string
		ok                   bool
	}{
		// One segment: no dot segment, in no spelling.
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/..", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/.", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/...", passes},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/..a", passes},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/a..", passes},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/%2e%2e", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/.%2E", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/%2e", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/%2e%2e%2fadmin", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/..%2Fadmin", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/a%2f..%2f..%2fadmin", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/a%2f..", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/a%2F.", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", `/users/..\admin`, refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/..%5cadmin", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/..;a=b", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/..%3B", refused},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/a;..", passes},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/group%2Fproject", passes}, // an encoded slash alone
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/a.b%2fc.d", passes},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/%zz.%2", passes},
		{"GET /users/{id}", "https://h/v1/users/{id}", "/users/%252e%252e", passes}, // decoded once it is no dot
		{"GET /{a}/{b}", "https://h/{b}/x/{a}", "/../x", refused},
		{"GET /{a}/{b}", "https://h/{b}/x/{a}", "/x/..", refused},
		{"GET /{a}/{b}", "https://h/{a}{b}", "/./.", refused}, // made of two
		{"GET /{a}/{b}", "https://h/{a}-{b}", "/./.", passes},
		{"GET /{a}", "https://h/{a}.json", "/.", passes},
		{"GET /{a}", "https://h/.{a}", "/.", refused},
		{"GET /{a}", "https://h/x?y={a}", "/..", passes}, // not in the path
		{"GET /{a}", "https://h/../{a}", "/x.y", passes}, // the configuration's own

		// The client's path as it is: the template is what holds it.
		{"GET /users/{id}", "https://h", "/users/..", refused},
		{"GET /users/{id}", "https://h", "/users/a.b", passes},
		{"GET /users/{id}/x", "https://h", "/users/%2e%2e/x", refused},
		{"ANY /public/{proxy+}", "https://h", "/public/../admin", refused},
		{"ANY /public/{proxy+}", "https://h", "/public/a/../b", passes},
		{"ANY /public/{proxy+}", "https://h", "/public/a/../../admin", refused},

		// A greedy one may move within its place, and at the root as it likes.
		{"ANY /{proxy+}", "https://h", "/../x/./y", passes},
		{"ANY /{proxy+}", "https://h/{proxy}", "/../../x", passes},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/a/./b/../c", passes},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/a/..", passes},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/..", refused},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/../app2", refused},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/a/../../b", refused},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/a%2f..%2f..%2fb", refused},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "//../b", refused}, // the empty segment may be merged
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/a//../../b", refused},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/.../b", passes},
		{"ANY /{proxy+}", "https://h/app/x{proxy}", "/../y", passes}, // "x.." is a name
		{"ANY /{proxy+}", "https://h/app/{proxy}/end", "/a/../..", refused},
		{"ANY /x/{id}/{proxy+}", "https://h/{id}/{proxy}", "/x/1/../2", refused},
		// What is a slash to some is a letter to others: who sees one name there climbs further with as many "..".
		{"ANY /{proxy+}", "https://h/app/{proxy}", `/a\b/..`, passes},
		{"ANY /{proxy+}", "https://h/app/{proxy}", `/a\b/../..`, refused},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/a%5Cb/../..", refused},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/a%2fb/..", passes},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/a%2fb/../..", refused},
		{"ANY /{proxy+}", "https://h/app/{proxy}", "/a%2fb%2fc/x/../..", passes},
		{"ANY /{proxy+}", "https://h/app/{proxy}", `/a%2fb\c/../../x`, refused},
		{"ANY /{proxy+}", "https://h/app/{proxy}", `/a\..\..\b`, refused}, // and who sees three there

		// A whole path behind a prefix.
		{"$default", "https://h", "/../x", passes},
		{"$default", "https://h/base", "/../x", refused},
		{"$default", "https://h/base", "/a/../x", passes},
		{"$default", "https://h/base", "/a/%2e%2e/../x", refused},
		{"$default", "https://h/base", "*", passes},
	} {
		r := at(t, tt.match)
		r.Backend = tt.backend
		found, params, m := mustTable(t, r).Match("GET", tt.path)
		if m != Found {
			t.Errorf("%s does not take %s", tt.match, tt.path)
			continue
		}
		_, err := found.Target(&Request{Method: "GET", Path: tt.path}, params)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrPlace) || err != nil && !errors.Is(err, ErrTarget) {
			t.Errorf("%s -> %s, %s: %v", tt.match, tt.backend, tt.path, err)
		}
	}
}

// A mapped value is one of one segment, unless it is the greedy parameter itself.
func TestPlaceOfMapped(t *testing.T) {
	for _, tt := range []struct {
		from, path, query string
		ok                bool
	}{
		{"method.request.querystring.q", "/a", "q=x", true},
		{"method.request.querystring.q", "/a", "q=..", false},
		{"method.request.querystring.q", "/a", "q=%2e%2e%2fadmin", false},
		{"method.request.querystring.q", "/a", "q=a/../b", false},
		{"method.request.querystring.q", "/a", "q=a/b.c", true},
		{"method.request.path.proxy", "/a/../b", "", true},
		{"method.request.path.proxy", "/a/../../b", "", false},
	} {
		mapping, err := NewMapping(map[string]string{"integration.request.path.x": tt.from}, true, Any, Stage{})
		if err != nil {
			t.Fatal(err)
		}
		r := at(t, "ANY /{proxy+}")
		r.Backend, r.Mapping = "https://h/app/{x}", mapping
		found, params, _ := mustTable(t, r).Match("GET", tt.path)
		target, err := found.Target(&Request{Method: "GET", Path: tt.path, Query: tt.query, HasQuery: tt.query != ""}, params)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrPlace) {
			t.Errorf("%s, %s?%s: %s, %v", tt.from, tt.path, tt.query, target.Path, err)
		}
	}
}

// Whatever a client sends, a backend that decodes and then resolves stays below the place.
func FuzzPlace(f *testing.F) {
	for _, s := range []string{"a", "..", "%2e%2e%2f", "a/../..", "a//../x", `..\`, "..;x/..", "%2", "%%2e"} {
		f.Add(s)
	}
	one := mustTable(f, Route{Method: "GET", Template: "/u/{id}", Backend: "https://h/v1/u/{id}/end"})
	all := mustTable(f, Route{Method: "GET", Template: "/u/{p+}", Backend: "https://h/v1/u/{p}"})
	f.Fuzz(func(t *testing.T, s string) {
		for _, table := range []*Table{one, all} {
			r, params, m := table.Match("GET", "/u/"+s)
			if m != Found {
				continue
			}
			target, err := r.Target(&Request{Method: "GET", Path: "/u/" + s}, params)
			if err != nil {
				continue
			}
			text := target.Path
			if decoded, err := url.PathUnescape(text); err == nil {
				text = decoded
			}
			dots := strings.NewReplacer("%2e", ".", "%2E", ".").Replace(target.Path) // as RFC 3986 has it: %2F is no slash
			for _, slashes := range []string{text, strings.ReplaceAll(text, `\`, "/"), dots, strings.ReplaceAll(dots, `\`, "/")} {
				clean := path.Clean(slashes)
				if clean != "/v1/u" && !strings.HasPrefix(clean, "/v1/u/") {
					t.Errorf("%q reaches %q", s, clean)
				}
				if table == one && !strings.HasSuffix(clean, "/end") {
					t.Errorf("%q reaches %q", s, clean)
				}
			}
		}
	})
}
