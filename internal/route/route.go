// Package route knows API Gateway's path templates and parameter mappings, and reads its
// OpenAPI exports: it says which route takes a call, and what exactly to ask of the backend.
//
// Everything works on the raw path, percent-encoded as the client sent it; nothing is
// decoded, cleaned or encoded again on its way to the backend. What a newcomer gets wrong:
// the resource is chosen by the path alone, most specific first, and only then is its
// method looked up. A path whose best template lacks the method does not fall back to a
// wider template; API Gateway answers it 403 "Missing Authentication Token". Only a $default
// route takes what is left, such calls included. And since nothing is cleaned, a parameter's
// value may be "..": a backend that resolves it sees another path than the template says.
package route

import (
	"fmt"
	"strings"

	"github.com/tapway/tapway"
)

// Any is the method of a route that takes all methods no other route of its template takes.
const Any = "ANY"

// Default is the template that takes every path no other template takes, "/" included.
const Default = "$default"

// Route leads from a method and path template to a backend.
type Route struct {
	Method   string // a method, or Any
	Template string // "/users/{id}", "/files/{path+}", or Default

	// Backend is the URL asked, http or https. Its path and query may name parameters of the
	// template, {id}, which are put in raw. A URL without a path ("https://host") passes the
	// client's path on as sent; so does every URL of a Default route, behind its own path.
	Backend string

	Mapping  *Mapping         // nil: parameters by their own names, query and headers as they are
	Response *ResponseMapping // nil: the backend's response as it is

	// Function is the ARN of the Lambda function to invoke, in place of a Backend. Target knows nothing of it:
	// the caller invokes it with the event that it has.
	Function string

	// Unsupported says why the route cannot be served, "" if it can. Such a route needs no
	// Backend; it keeps its calls from falling to a wider template.
	Unsupported string

	Ref int // free for the caller: where the route's timeout and TLS settings are

	template template
	backend  backend
}

// Name is the route as records show it: "GET /users/{id}", or "$default".
func (r *Route) Name() string { return r.template.name }

// CatchAll is the route of a gateway with a single backend: every method and path goes
// there, behind the path the backend URL has itself.
func CatchAll(backend string) Route {
	return Route{Method: Any, Template: Default, Backend: backend}
}

// ParseMatch reads "GET /users/{id}", "ANY /{proxy+}", "/users" (any method) or "$default".
func ParseMatch(s string) (method, tmpl string, err error) {
	words := strings.Fields(s)
	switch len(words) {
	case 0:
		return "", "", fmt.Errorf(`a route needs a path, such as "GET /users/{id}"`)
	case 1:
		method, tmpl = Any, words[0]
		if !strings.HasPrefix(tmpl, "/") && tmpl != Default {
			return "", "", fmt.Errorf(`route %q: a path begins with "/"; did you mean %q?`, s, "/"+tmpl)
		}
	case 2:
		method, tmpl = words[0], words[1]
	default:
		return "", "", fmt.Errorf(`route %q: expected a method and a path, such as "GET /users/{id}"`, s)
	}
	if method, err = parseMethod(method); err != nil {
		return "", "", fmt.Errorf("route %q: %w", s, err)
	}
	if _, err := parseTemplate(method, tmpl); err != nil {
		return "", "", fmt.Errorf("route %q: %w", s, err)
	}
	return method, tmpl, nil
}

// parseMethod reads a method. The usual ones are taken in any letter case, since they are
// case-sensitive on the wire (RFC 9110 §9.1) and "get" would never match.
func parseMethod(s string) (string, error) {
	for _, m := range [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", Any} {
		if strings.EqualFold(s, m) {
			return m, nil
		}
	}
	if s == "*" {
		return "", fmt.Errorf(`method "*": write %s for all methods`, Any)
	}
	if !isToken(s) {
		return "", fmt.Errorf("%q is not a method", s)
	}
	return s, nil
}

// isToken reports whether s is a token (RFC 9110 §5.6.2): a method or a header's name.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// params cuts the values of the template's parameters out of a path that it matches.
func (r *Route) params(rest string) []tapway.PathParam {
	if r.template.params == 0 {
		return nil
	}
	out := make([]tapway.PathParam, 0, r.template.params)
	for _, s := range r.template.segments {
		if s.kind == greedySegment {
			return append(out, tapway.PathParam{Name: s.text, Value: rest})
		}
		value, tail, _ := strings.Cut(rest, "/")
		if s.kind == paramSegment {
			out = append(out, tapway.PathParam{Name: s.text, Value: value})
		}
		rest = tail
	}
	return out
}
