package route

import (
	"fmt"
	"maps"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tapway/tapway"
)

// Mapping is the requestParameters of an HTTP or HTTP_PROXY integration.
type Mapping struct {
	// Proxy is HTTP_PROXY: what is not mapped passes as it is. Otherwise only what is mapped
	// is sent, with the body, its Content-Type and an Accept of application/json.
	Proxy bool
	// Method is what the backend is asked with; "" or Any: what the client asked with.
	Method string

	stage  Stage
	path   []mapped
	query  []mapped
	header []mapped
	edits  []edit // an HTTP API's
}

// Stage is what an API stage knows. The zero Stage knows nothing: a mapping that asks for
// it is refused.
type Stage struct {
	APIID     string
	Name      string
	Base      string // what templates begin with that the definition's paths do not: "/prod"; "" for nothing
	Variables map[string]string
}

// mapped is one parameter sent to the backend and where its value comes from.
type mapped struct {
	name string
	from source
}

type sourceKind uint8

const (
	fromLiteral sourceKind = iota
	fromPath
	fromQuery
	fromQueryAll
	fromHeader
	fromHeaderAll
	fromContext
	fromRequestPath // the whole of it
)

type source struct {
	kind sourceKind
	text string // the literal, or the name
}

// contextVariables are those that one machine knows, requestId being the exchange's id unless the
// call came through API Gateway. context.stage and context.apiId are known too, when the
// definition says them.
var contextVariables = map[string]func(r *Route, req *Request) string{
	"requestId":          requestID,
	"routeKey":           func(r *Route, _ *Request) string { return r.Name() },
	"httpMethod":         func(_ *Route, req *Request) string { return req.Method },
	"resourcePath":       func(r *Route, _ *Request) string { return strings.TrimPrefix(r.Template, r.Mapping.stage.Base) },
	"path":               contextPath,
	"protocol":           func(_ *Route, req *Request) string { return req.Proto },
	"domainName":         func(_ *Route, req *Request) string { return domainName(req.Host) },
	"domainPrefix":       func(_ *Route, req *Request) string { p, _, _ := strings.Cut(domainName(req.Host), "."); return p },
	"requestTime":        func(_ *Route, req *Request) string { return req.Call.Start.UTC().Format("02/Jan/2006:15:04:05 -0700") },
	"requestTimeEpoch":   func(_ *Route, req *Request) string { return strconv.FormatInt(req.Call.Start.UnixMilli(), 10) },
	"identity.sourceIp":  func(_ *Route, req *Request) string { return req.ClientIP },
	"identity.userAgent": func(_ *Route, req *Request) string { return last(req.Header["User-Agent"]) },
}

func requestID(_ *Route, req *Request) string {
	if api := req.Call.API; api != nil && api.RequestID != "" {
		return api.RequestID
	}
	return req.Call.ID.String()
}

// contextPath begins with the API stage, as API Gateway's does.
func contextPath(r *Route, req *Request) string {
	if s := r.Mapping.stage; s.Name != "" && s.Base == "" {
		return "/" + s.Name + req.Path
	}
	return req.Path
}

func domainName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

// NewMapping reads requestParameters: "integration.request.path.id" to
// "method.request.path.userId" and so on. An error says what cannot be reproduced.
func NewMapping(params map[string]string, proxy bool, method string, stage Stage) (*Mapping, error) {
	m := &Mapping{Proxy: proxy, Method: method, stage: stage}
	for _, key := range slices.Sorted(maps.Keys(params)) {
		rest, ok := strings.CutPrefix(key, "integration.request.")
		where, name, named := strings.Cut(rest, ".")
		if !ok || !named || name == "" {
			return nil, fmt.Errorf("the mapping to %q is not one of integration.request.path, .querystring and .header", key)
		}
		from, err := parseSource(params[key], stage)
		if err != nil {
			return nil, fmt.Errorf("the mapping to %s: %w", key, err)
		}
		switch where {
		case "path":
			if !isParamName(name) {
				return nil, fmt.Errorf("the mapping to %q: not a parameter's name", key)
			}
			m.path = append(m.path, mapped{name, from})
		case "querystring", "multivaluequerystring":
			m.query = append(m.query, mapped{name, from})
		case "header", "multivalueheader":
			if err := checkHeader(name, from); err != nil {
				return nil, fmt.Errorf("the mapping to %q: %w", key, err)
			}
			m.header = append(m.header, mapped{textproto.CanonicalMIMEHeaderKey(name), from})
		default:
			return nil, fmt.Errorf("the mapping to %q is not one of integration.request.path, .querystring and .header", key)
		}
	}
	return m, nil
}

// messageHeaders belong to the transport; API Gateway fails the call that maps one.
var messageHeaders = []string{"Connection", "Content-Length", "Expect", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func checkHeader(name string, from source) error {
	if !isToken(name) {
		return fmt.Errorf("%q is not a header's name", name)
	}
	if slices.Contains(messageHeaders, textproto.CanonicalMIMEHeaderKey(name)) {
		return fmt.Errorf("%s cannot be set", name)
	}
	if from.kind == fromLiteral && from.text != headerValue(from.text) {
		return fmt.Errorf("the literal holds a control character")
	}
	return nil
}

// parseSource reads the right side of a mapping. What the stage knows becomes a literal.
func parseSource(expr string, stage Stage) (source, error) {
	if name, ok := strings.CutPrefix(expr, "method.request."); ok {
		where, name, _ := strings.Cut(name, ".")
		kind, ok := map[string]sourceKind{"path": fromPath, "querystring": fromQuery, "multivaluequerystring": fromQueryAll,
			"header": fromHeader, "multivalueheader": fromHeaderAll}[where]
		if where == "body" {
			return source{}, fmt.Errorf("%s reads the body, which passes unread here", expr)
		}
		if !ok || name == "" {
			return source{}, fmt.Errorf("%q is not a part of the request", expr)
		}
		if kind == fromHeader || kind == fromHeaderAll {
			name = textproto.CanonicalMIMEHeaderKey(name)
		}
		return source{kind, name}, nil
	}
	if name, ok := strings.CutPrefix(expr, "stageVariables."); ok {
		v, ok := stage.Variables[name]
		if !ok {
			return source{}, fmt.Errorf("stage variable %q is not given", name)
		}
		return source{fromLiteral, v}, nil
	}
	if name, ok := strings.CutPrefix(expr, "context."); ok {
		if known := map[string]string{"stage": stage.Name, "apiId": stage.APIID}[name]; known != "" {
			return source{fromLiteral, known}, nil
		}
		if contextVariables[name] == nil || name == "routeKey" {
			return source{}, fmt.Errorf("context.%s is not known outside API Gateway", name)
		}
		return source{fromContext, name}, nil
	}
	if n := len(expr); n >= 2 && expr[0] == '\'' && expr[n-1] == '\'' {
		return source{fromLiteral, expr[1 : n-1]}, nil
	}
	return source{}, fmt.Errorf("%q is no part of the request, context or stage, and no 'literal'", expr)
}

// pathNames lists the path parameters the mapping gives, in the order apply gives them.
func (m *Mapping) pathNames() []string {
	out := make([]string, len(m.path))
	for i := range m.path {
		out[i] = m.path[i].name
	}
	return out
}

// check compares the mapping with the template it stands under.
func (m *Mapping) check(t *template) error {
	for _, list := range [][]mapped{m.path, m.query, m.header} {
		for _, p := range list {
			if p.from.kind == fromPath && !slices.Contains(t.names(), p.from.text) {
				return fmt.Errorf("its mapping reads method.request.path.%s, which the template lacks", p.from.text)
			}
		}
	}
	for _, e := range m.edits {
		for _, s := range e.value {
			if s.kind == fromPath && !slices.Contains(t.names(), s.text) {
				return fmt.Errorf("its mapping reads $request.path.%s, which the template lacks", s.text)
			}
		}
	}
	return nil
}

// apply fills t's method, query and headers, and gives the values for the backend's path, and the whole
// path when the mapping overwrites it.
func (m *Mapping) apply(t *Target, r *Route, req *Request, params []tapway.PathParam) (path []tapway.PathParam, whole []piece, err error) {
	if req.Call == nil {
		known := *req
		known.Call = new(tapway.Call)
		req = &known
	}
	if m.Method != "" && m.Method != Any {
		t.Method = m.Method
	}
	in := input{route: r, req: req, params: params}
	values := make([]tapway.PathParam, len(m.path))
	for i, p := range m.path {
		v, ok := in.pathValue(p.from)
		if !ok && r.backend.uses(i) {
			return nil, nil, fmt.Errorf("%w: nothing gives the value of {%s}", ErrTarget, p.name)
		}
		values[i] = tapway.PathParam{Name: p.name, Value: v}
	}
	m.applyQuery(t, &in)
	t.OnlySet = !m.Proxy
	if t.OnlySet {
		t.SetHeader = m.ownHeaders(req)
	}
	for _, p := range m.header {
		v, ok := in.headerValue(p.from)
		if !ok || m.Proxy && p.from == (source{fromHeaderAll, p.name}) {
			continue
		}
		t.SetHeader = slices.DeleteFunc(t.SetHeader, func(f tapway.Field) bool { return f.Name == p.name })
		t.SetHeader = append(t.SetHeader, tapway.Field{Name: p.name, Value: v})
	}
	if len(m.edits) > 0 {
		whole = m.edit(t, &in)
	}
	return values, whole, nil
}

// ownHeaders are what API Gateway sends by itself with an HTTP integration.
func (m *Mapping) ownHeaders(req *Request) []tapway.Field {
	contentType := last(req.Header["Content-Type"])
	if contentType == "" {
		contentType = "application/json"
	}
	return []tapway.Field{{Name: "Accept", Value: "application/json"}, {Name: "Content-Type", Value: contentType},
		{Name: "User-Agent", Value: strings.TrimSuffix("AmazonAPIGateway_"+m.stage.APIID, "_")}}
}

// applyQuery adds the mapped query parameters. Under Proxy they replace the client's of the
// same names; what is mapped onto itself stays byte for byte where it was.
func (m *Mapping) applyQuery(t *Target, in *input) {
	var added []string
	query := ""
	if m.Proxy {
		query = t.Query
	}
	for _, p := range m.query {
		values, ok := in.queryValues(p.from)
		self := p.from == source{fromQuery, p.name} || p.from == source{fromQueryAll, p.name}
		if !ok || m.Proxy && self {
			continue
		}
		query = withoutKey(query, p.name)
		key := queryEscape(p.name)
		for _, v := range values {
			added = append(added, key+"="+v)
		}
	}
	if query != "" && len(added) > 0 {
		added = append([]string{query}, added...)
	} else if query != "" {
		added = []string{query}
	}
	t.Query = strings.Join(added, "&")
	t.HasQuery = t.Query != "" || m.Proxy && t.HasQuery
}

// withoutKey takes the pairs of one name out of a raw query and leaves the others alone.
func withoutKey(query, name string) string {
	var kept []string
	found := false
	for pair := range strings.SplitSeq(query, "&") {
		if key, _, _ := strings.Cut(pair, "="); pair != "" && queryDecode(key) == name {
			found = true
			continue
		}
		kept = append(kept, pair)
	}
	if !found {
		return query
	}
	return strings.Join(kept, "&")
}

// input looks up sources in one call.
type input struct {
	route  *Route
	req    *Request
	params []tapway.PathParam
}

// raw gives a source's values and how they are written: percent-encoded for a path, as in
// a query, or plain.
func (in *input) raw(s source) (values []string, form sourceKind) {
	switch s.kind {
	case fromPath:
		for _, p := range in.params {
			if p.Name == s.text {
				values = append(values, p.Value)
			}
		}
		return values, fromPath
	case fromQuery, fromQueryAll:
		for pair := range strings.SplitSeq(in.req.Query, "&") {
			if key, v, _ := strings.Cut(pair, "="); pair != "" && queryDecode(key) == s.text {
				values = append(values, v)
			}
		}
		if s.kind == fromQuery && len(values) > 1 {
			values = values[len(values)-1:]
		}
		return values, fromQuery
	case fromHeader:
		if v := in.req.Header[s.text]; len(v) > 0 {
			values = v[len(v)-1:]
		}
	case fromHeaderAll:
		values = in.req.Header[s.text]
	case fromRequestPath:
		return []string{in.req.Path}, fromPath
	case fromContext:
		if v := contextVariables[s.text](in.route, in.req); v != "" {
			values = []string{v}
		}
	default:
		values = []string{s.text}
	}
	return values, fromLiteral
}

func (in *input) pathValue(s source) (string, bool) {
	values, form := in.raw(s)
	if len(values) == 0 {
		return "", false
	}
	switch {
	case form == fromPath:
		return values[0], true
	case form == fromQuery:
		return url.PathEscape(queryDecode(last(values))), true
	case s.kind == fromLiteral: // a literal may stand for several segments
		return strings.ReplaceAll(url.PathEscape(s.text), "%2F", "/"), true
	}
	return url.PathEscape(strings.Join(values, ",")), true
}

func (in *input) queryValues(s source) ([]string, bool) {
	values, form := in.raw(s)
	if len(values) == 0 {
		return nil, false
	}
	out := make([]string, len(values))
	for i, v := range values {
		switch form {
		case fromPath:
			out[i] = queryParting.Replace(v)
		case fromQuery:
			out[i] = v
		default:
			out[i] = queryEscape(v)
		}
	}
	return out, true
}

func (in *input) headerValue(s source) (string, bool) {
	values, form := in.raw(s)
	if len(values) == 0 {
		return "", false
	}
	out := make([]string, len(values))
	for i, v := range values {
		switch form {
		case fromPath:
			out[i] = v
		case fromQuery:
			out[i] = queryDecode(v)
		default:
			out[i] = v
		}
		out[i] = headerValue(out[i])
	}
	return strings.Join(out, ","), true
}

// headerValue puts a space for every control character: no value can start a new line.
func headerValue(s string) string {
	control := func(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }
	for i := range len(s) {
		if control(s[i]) {
			b := []byte(s)
			for j := range b {
				if control(b[j]) {
					b[j] = ' '
				}
			}
			return string(b)
		}
	}
	return s
}

// queryDecode undoes a query's encoding; what is broken stays as it is.
func queryDecode(s string) string {
	if v, err := url.QueryUnescape(s); err == nil {
		return v
	}
	return s
}

func queryEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
