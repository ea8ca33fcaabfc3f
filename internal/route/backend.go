package route

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tapway/tapway"
)

// backend is a parsed backend URL.
type backend struct {
	scheme, host string
	join         bool   // the client's path is added to prefix
	prefix       string // without a slash at its end
	path         []part
	query        []part
	hasQuery     bool
	origins      []origin // of the values, by their place
}

// part is a piece of text, or a parameter by its place in the values.
type part struct {
	text  string
	param int // -1: text
}

// parseBackend reads r.Backend against the parameters that can fill it: those of the
// mapping, or without one those of the template.
func parseBackend(r *Route) (backend, error) {
	names, from := r.template.names(), "the template"
	if r.Mapping != nil {
		if err := r.Mapping.check(&r.template); err != nil {
			return backend{}, err
		}
		names, from = r.Mapping.pathNames(), "the mapping"
	}
	raw := r.Backend
	if raw == "" {
		return backend{}, errors.New("has no backend")
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "http" && scheme != "https" {
		return backend{}, errors.New("its backend is not a URL that begins with http:// or https://")
	}
	b := backend{scheme: scheme, origins: r.origins(names)}
	if strings.Contains(rest, "#") {
		return backend{}, errors.New("its backend has a fragment (#)")
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	b.hasQuery = hasQuery
	b.host = rest
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		b.host, rest = rest[:i], rest[i:]
	} else {
		rest = ""
	}
	if err := checkHost(b.host); err != nil {
		return backend{}, err
	}
	b.join = r.template.fallback || rest == "" && r.Mapping == nil
	parse := func(s string) ([]part, error) { return parseParts(s, names, from) }
	var err error
	if b.query, err = parse(query); err != nil {
		return backend{}, err
	}
	if b.join {
		if strings.ContainsAny(rest, "{}") {
			return backend{}, fmt.Errorf("its backend names a parameter, but a %s route has none: the whole path is added", Default)
		}
		b.prefix = strings.TrimSuffix(rest, "/")
		_, err = parse(b.prefix)
		return b, err
	}
	if rest == "" {
		rest = "/"
	}
	b.path, err = parse(rest)
	return b, err
}

// uses reports whether the i-th value has a place in the URL.
func (b *backend) uses(i int) bool {
	is := func(p part) bool { return p.param == i }
	return slices.ContainsFunc(b.path, is) || slices.ContainsFunc(b.query, is)
}

func checkHost(host string) error {
	if strings.ContainsAny(host, "{}") {
		return errors.New("its backend names a parameter in the host; a client must not choose the host")
	}
	if strings.Contains(host, "@") {
		return errors.New("its backend has a user or password before the host; send them as a header")
	}
	u, err := url.Parse("http://" + host + "/")
	if err != nil || u.Hostname() == "" || u.Host != host || strings.HasSuffix(host, ":") {
		return errors.New("its backend has no valid host and port")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("its backend's port %s is not one of 1 to 65535", port)
		}
	}
	return nil
}

// parseParts reads text with {names} in it.
func parseParts(s string, names []string, from string) ([]part, error) {
	var parts []part
	for s != "" {
		open := strings.IndexAny(s, "{}")
		text := s
		if open >= 0 {
			text = s[:open]
		}
		if badQuery(text) {
			return nil, errors.New("its backend holds a byte that stands percent-encoded in a URL")
		}
		if _, ok := decode(nil, text); !ok {
			return nil, errors.New("its backend has a % without two hex digits behind it")
		}
		if text != "" {
			parts = append(parts, part{text, -1})
		}
		if open < 0 {
			break
		}
		name, tail, ok := strings.Cut(s[open+1:], "}")
		if s[open] == '}' || !ok {
			return nil, errors.New("its backend has a brace without its partner")
		}
		i := slices.Index(names, name)
		if i < 0 {
			if base, plus := strings.CutSuffix(name, "+"); plus && slices.Contains(names, base) {
				return nil, fmt.Errorf("its backend names {%s}; in a backend write {%s}", name, base)
			}
			if len(names) == 0 {
				return nil, fmt.Errorf("its backend names {%s}, but %s has no parameters", name, from)
			}
			return nil, fmt.Errorf("its backend names {%s}; %s has {%s}", name, from, strings.Join(names, "}, {"))
		}
		parts = append(parts, part{"", i})
		s = tail
	}
	return parts, nil
}

// Request is a call as routes and their mappings see it. Mappings read all of it; a route
// without one only Method, Path, Query and HasQuery.
type Request struct {
	Method   string
	Path     string              // raw
	Query    string              // raw, without "?"
	HasQuery bool                // there was a "?", even with nothing behind it
	Header   map[string][]string // names in canonical form, as http.Header has them
	Host     string              // that the client asked for
	Proto    string              // "HTTP/1.1"
	ClientIP string
	Call     *tapway.Call // its ID and Start; nil: both unknown
}

// Target is what to ask of the backend.
type Target struct {
	Method   string
	Scheme   string // "http" or "https"
	Host     string // with the port, if the backend URL has one
	Path     string // raw, to be sent as it is: "/…", or "*" for OPTIONS * under a Default route
	Query    string // raw, to be sent as it is
	HasQuery bool   // send "?" even when Query is empty

	// SetHeader replaces the client's lines of the same names; Host may be among them.
	SetHeader []tapway.Field
	// RemoveHeader are the client's that are not sent, by canonical name.
	RemoveHeader []string
	// OnlySet says that no other header of the client is to be sent: those that belong to
	// the message itself, such as Content-Length, are the transport's.
	OnlySet bool
}

// ErrTarget is wrapped by the errors of Target.
var ErrTarget = errors.New("no backend request can be made of this call")

// Target says what to ask of the backend. r and params come from Match.
func (r *Route) Target(req *Request, params []tapway.PathParam) (Target, error) {
	t := Target{Method: req.Method, Scheme: r.backend.scheme, Host: r.backend.host, Query: req.Query, HasQuery: req.HasQuery || req.Query != ""}
	if r.Unsupported != "" {
		return t, fmt.Errorf("%w: %s", ErrTarget, r.Unsupported)
	}
	if badPathByte(req.Path) >= 0 || badQuery(req.Query) {
		return t, fmt.Errorf("%w: its path or query holds a byte that stands percent-encoded there", ErrTarget)
	}
	values := params
	if r.Mapping != nil {
		var whole []piece
		var err error
		if values, whole, err = r.Mapping.apply(&t, r, req, params); err != nil {
			return t, err
		}
		if whole != nil {
			return t, r.overwritePath(&t, whole, values)
		}
	}
	if err := r.checkPlace(req, values); err != nil {
		return t, err
	}
	b := &r.backend
	switch {
	case !b.join:
		t.Path = fill(b.path, values, false)
	case b.prefix == "" || req.Path == "*":
		t.Path = req.Path
	default:
		t.Path = b.prefix + req.Path
	}
	if b.hasQuery {
		own := fill(b.query, values, true)
		if own != "" && t.Query != "" {
			own += "&"
		}
		t.Query, t.HasQuery = own+t.Query, true
	}
	return t, nil
}

// overwritePath puts the path of pieces into t, in place of the backend URL's, whose query stays.
func (r *Route) overwritePath(t *Target, pieces []piece, values []tapway.PathParam) error {
	if err := inPlace(pieces); err != nil {
		return err
	}
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.text)
	}
	if t.Path = b.String(); !strings.HasPrefix(t.Path, "/") {
		t.Path = "/" + t.Path
	}
	if badPathByte(t.Path) >= 0 {
		return fmt.Errorf("%w: the mapped path holds a byte that stands percent-encoded there", ErrTarget)
	}
	if r.backend.hasQuery {
		own := fill(r.backend.query, values, true)
		if own != "" && t.Query != "" {
			own += "&"
		}
		t.Query, t.HasQuery = own+t.Query, true
	}
	return nil
}

// fill puts raw values into text. A value in a query has what would part it there encoded.
func fill(parts []part, values []tapway.PathParam, query bool) string {
	if len(parts) == 1 && parts[0].param < 0 {
		return parts[0].text
	}
	var b strings.Builder
	n := 0
	for _, p := range parts {
		if n += len(p.text); p.param >= 0 {
			n += len(values[p.param].Value)
		}
	}
	b.Grow(n)
	for _, p := range parts {
		switch {
		case p.param < 0:
			b.WriteString(p.text)
		case query:
			queryParting.WriteString(&b, values[p.param].Value)
		default:
			b.WriteString(values[p.param].Value)
		}
	}
	return b.String()
}

var queryParting = strings.NewReplacer("&", "%26", "+", "%2B", ";", "%3B", "=", "%3D")
