package route

import (
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tapway/tapway"
)

// edit is one entry of an HTTP API's parameter mapping: "append:header.x-stage": "$context.stage". See
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html.
type edit struct {
	action string // append, overwrite or remove
	place  string // header, querystring, path or statuscode
	name   string
	value  []source // put together; nil for remove
}

// reservedHeaders are those that API Gateway lets no mapping touch, besides the families of reserved.
var reservedHeaders = []string{"authorization", "connection", "content-encoding", "content-length", "content-location", "forwarded", "host", "keep-alive",
	"origin", "proxy-authenticate", "proxy-authorization", "te", "trailer", "trailers", "transfer-encoding", "upgrade", "via",
	"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}

func reserved(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains(reservedHeaders, name) || strings.HasPrefix(name, "access-control-") || strings.HasPrefix(name, "apigw-") ||
		strings.HasPrefix(name, "x-amz-") || strings.HasPrefix(name, "x-amzn-")
}

// parseEdits reads a parameter mapping of requests or of responses. Nothing is mapped twice, so that their order
// has no meaning.
func parseEdits(params map[string]any, response bool, stage Stage) ([]edit, error) {
	var out []edit
	for _, key := range slices.Sorted(maps.Keys(params)) {
		text, ok := params[key].(string)
		e := edit{}
		var where string
		e.action, where, _ = strings.Cut(key, ":")
		e.place, e.name, _ = strings.Cut(where, ".")
		switch {
		case !ok:
			return nil, fmt.Errorf("the mapping %q is not text", key)
		case e.action != "append" && e.action != "overwrite" && e.action != "remove":
			return nil, fmt.Errorf("the mapping %q neither appends, overwrites nor removes", key)
		case e.place == "header" && isToken(e.name):
			if reserved(e.name) {
				return nil, fmt.Errorf("the mapping %q changes a header that cannot be mapped", key)
			}
			e.name = textproto.CanonicalMIMEHeaderKey(e.name)
		case e.place == "querystring" && e.name != "" && !response:
		case key == "overwrite:path" && !response, key == "overwrite:statuscode" && response:
		default:
			return nil, fmt.Errorf("the mapping %q is not understood", key)
		}
		if e.action != "remove" {
			var err error
			if e.value, err = parseEditValue(text, response, stage); err != nil {
				return nil, fmt.Errorf("the mapping %q: %w", key, err)
			}
		}
		if e.place == "statuscode" {
			if n, err := strconv.Atoi(text); err != nil || n < 200 || n > 599 {
				return nil, fmt.Errorf("the mapping %q: %q is not a status", key, text)
			}
		}
		if slices.ContainsFunc(out, func(other edit) bool { return other.place == e.place && other.name == e.name }) {
			return nil, fmt.Errorf("%s is mapped twice", strings.TrimSuffix(e.place+" "+e.name, " "))
		}
		out = append(out, e)
	}
	return out, nil
}

// parseEditValue reads "text", "$context.stage" or "a ${request.header.b} c".
func parseEditValue(text string, response bool, stage Stage) ([]source, error) {
	if name, ok := strings.CutPrefix(text, "$"); ok && !strings.HasPrefix(name, "{") {
		s, err := parseEditSource(name, response, stage)
		return []source{s}, err
	}
	value := []source{}
	for {
		before, rest, ok := strings.Cut(text, "${")
		if before != "" {
			if before != headerValue(before) {
				return nil, fmt.Errorf("it holds a control character")
			}
			value = append(value, source{fromLiteral, before})
		}
		if !ok {
			return value, nil
		}
		name, tail, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, fmt.Errorf("a ${ has no end")
		}
		s, err := parseEditSource(name, response, stage)
		if err != nil {
			return nil, err
		}
		value, text = append(value, s), tail
	}
}

// editContext are the context variables of an HTTP API that are known here.
var editContext = []string{"requestId", "httpMethod", "protocol", "domainName", "domainPrefix", "identity.sourceIp", "identity.userAgent", "routeKey"}

func parseEditSource(name string, response bool, stage Stage) (source, error) {
	where, rest, _ := strings.Cut(name, ".")
	switch where {
	case "stageVariables":
		return parseSource(name, stage)
	case "context":
		if rest == "stage" || rest == "apiId" {
			return parseSource(name, stage)
		}
		if response || !slices.Contains(editContext, rest) {
			return source{}, fmt.Errorf("$%s is not known here", name)
		}
		return source{fromContext, rest}, nil
	case "response":
		if part, header, _ := strings.Cut(rest, "."); response && part == "header" && isToken(header) {
			return source{fromHeaderAll, textproto.CanonicalMIMEHeaderKey(header)}, nil
		}
	case "request":
		part, param, named := strings.Cut(rest, ".")
		switch {
		case response:
		case part == "body":
			return source{}, fmt.Errorf("$%s reads the body, which passes unread here", name)
		case part == "path" && !named:
			return source{fromRequestPath, ""}, nil
		case part == "path" && isParamName(param):
			return source{fromPath, param}, nil
		case part == "querystring" && param != "":
			return source{fromQueryAll, param}, nil
		case part == "header" && isToken(param):
			return source{fromHeaderAll, textproto.CanonicalMIMEHeaderKey(param)}, nil
		}
	}
	return source{}, fmt.Errorf("$%s is no part of the request, response, context or stage that is known here", name)
}

// joined puts a value together, decoded. It gives false when it is one part of the request that is not there.
func (in *input) joined(value []source) (string, bool) {
	var b strings.Builder
	for _, s := range value {
		values, form := in.raw(s)
		if len(values) == 0 && len(value) == 1 {
			return "", false
		}
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			switch form {
			case fromQuery:
				v = queryDecode(v)
			case fromPath:
				if plain, err := url.PathUnescape(v); err == nil {
					v = plain
				}
			}
			b.WriteString(v)
		}
	}
	return b.String(), true
}

// edit changes query and headers of t, and gives the pieces of the path if that is overwritten.
func (m *Mapping) edit(t *Target, in *input) (path []piece) {
	for _, e := range m.edits {
		value, ok := "", true
		if e.action != "remove" {
			if e.place == "path" {
				path = in.pathPieces(e.value)
				continue
			}
			if value, ok = in.joined(e.value); !ok {
				continue
			}
		}
		if e.place == "querystring" {
			if e.action != "append" {
				t.Query = withoutKey(t.Query, e.name)
			}
			if e.action != "remove" {
				if t.Query != "" {
					t.Query += "&"
				}
				t.Query += queryEscape(e.name) + "=" + queryEscape(value)
			}
			t.HasQuery = t.Query != ""
			continue
		}
		if e.action == "remove" {
			t.RemoveHeader = append(t.RemoveHeader, e.name)
			continue
		}
		if e.action == "append" {
			for _, v := range in.req.Header[e.name] {
				t.SetHeader = append(t.SetHeader, tapway.Field{Name: e.name, Value: v})
			}
		}
		t.SetHeader = append(t.SetHeader, tapway.Field{Name: e.name, Value: headerValue(value)})
	}
	return path
}

// pathPieces is a path that is put together, each piece with its origin.
func (in *input) pathPieces(value []source) (out []piece) {
	greedy := ""
	if n := len(in.route.template.segments); n > 0 && in.route.template.segments[n-1].kind == greedySegment {
		greedy = in.route.template.segments[n-1].text
	}
	for _, s := range value {
		values, form := in.raw(s)
		if len(values) == 0 && len(value) == 1 {
			return nil
		}
		text := strings.Join(values, ",")
		switch {
		case s.kind == fromLiteral:
			out = append(out, piece{strings.ReplaceAll(url.PathEscape(text), "%2F", "/"), own})
		case s.kind == fromRequestPath, s.kind == fromPath && s.text == greedy:
			out = append(out, piece{text, several})
		case form == fromPath:
			out = append(out, piece{text, single})
		default:
			if form == fromQuery {
				text = queryDecode(text)
			}
			out = append(out, piece{url.PathEscape(text), single})
		}
	}
	return out
}

// applyEdits is Apply for an HTTP API.
func (m *ResponseMapping) applyEdits(status int, header http.Header) int {
	for _, e := range m.edits[strconv.Itoa(status)] {
		var b strings.Builder
		missing := false
		for _, s := range e.value {
			text := s.text
			if s.kind == fromHeaderAll {
				missing = len(e.value) == 1 && len(header[s.text]) == 0
				text = strings.Join(header[s.text], ",")
			}
			b.WriteString(text)
		}
		switch {
		case missing:
		case e.place == "statuscode":
			status, _ = strconv.Atoi(b.String())
		case e.action == "remove":
			delete(header, e.name)
		case e.action == "append":
			header[e.name] = append(header[e.name][:len(header[e.name]):len(header[e.name])], headerValue(b.String()))
		default:
			header[e.name] = []string{headerValue(b.String())}
		}
	}
	return status
}

// editResponses reads an HTTP API's responseParameters, by status; nil without any.
func editResponses(params map[string]any, stage Stage) (*ResponseMapping, error) {
	if len(params) == 0 {
		return nil, nil
	}
	m := &ResponseMapping{edits: map[string][]edit{}}
	for _, status := range slices.Sorted(maps.Keys(params)) {
		one, ok := params[status].(map[string]any)
		if n, err := strconv.Atoi(status); err != nil || n < 200 || n > 599 || !ok {
			return nil, fmt.Errorf("the response mapping %q is not understood", status)
		}
		edits, err := parseEdits(one, true, stage)
		if err != nil {
			return nil, fmt.Errorf("responses of status %s: %w", status, err)
		}
		m.edits[status] = edits
	}
	return m, nil
}
