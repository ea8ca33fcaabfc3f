package route

import (
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ResponseMapping is what an HTTP integration (not HTTP_PROXY) makes of its backend's
// response: the status by its integration responses, and only the headers they map; or what an
// HTTP API's parameter mapping changes. The body passes as it is.
type ResponseMapping struct {
	cases []responseCase
	edits map[string][]edit // an HTTP API's, by status; nil: it is not one's
}

type responseCase struct {
	pattern *regexp.Regexp // nil: the default, last
	status  int
	headers []mapped
}

// messageResponse are the headers without which the body cannot be read.
var messageResponse = []string{"Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Trailer"}

// Apply changes the header as API Gateway would and gives the status for the client. It
// gives false when no integration response takes the backend's status: API Gateway then
// answers 500 {"message": "Internal server error"} itself. A nil mapping changes nothing.
func (m *ResponseMapping) Apply(status int, header http.Header) (int, bool) {
	if m == nil {
		return status, true
	}
	if m.edits != nil {
		return m.applyEdits(status, header), true
	}
	text := strconv.Itoa(status)
	for _, c := range m.cases {
		if c.pattern != nil && !c.pattern.MatchString(text) {
			continue
		}
		values := make([][]string, len(c.headers))
		for i, h := range c.headers {
			switch old := header[h.from.text]; h.from.kind {
			case fromHeader:
				values[i] = old[max(len(old)-1, 0):]
			case fromHeaderAll:
				values[i] = slices.Clone(old)
			default:
				values[i] = []string{h.from.text}
			}
		}
		maps.DeleteFunc(header, func(name string, _ []string) bool { return !slices.Contains(messageResponse, name) })
		for i, h := range c.headers {
			if len(values[i]) > 0 {
				header[h.name] = values[i]
			}
		}
		return c.status, true
	}
	return http.StatusInternalServerError, false
}

// integrationResponse is one of an export's x-amazon-apigateway-integration.responses.
type integrationResponse struct {
	StatusCode         any            `json:"statusCode"`
	ResponseParameters map[string]any `json:"responseParameters"`
	ResponseTemplates  map[string]any `json:"responseTemplates"`
	ContentHandling    string         `json:"contentHandling"`
}

func newResponseMapping(responses map[string]*integrationResponse, stage Stage) (*ResponseMapping, error) {
	m := new(ResponseMapping)
	var fallback []responseCase
	for _, pattern := range slices.Sorted(maps.Keys(responses)) {
		r := responses[pattern]
		if r == nil {
			r = new(integrationResponse)
		}
		c, err := r.parse(stage)
		if err != nil {
			return nil, fmt.Errorf("the integration response %q: %w", pattern, err)
		}
		if pattern == "default" || pattern == "" {
			fallback = append(fallback, c)
			continue
		}
		if c.pattern, err = regexp.Compile("^(?:" + pattern + ")$"); err != nil {
			return nil, fmt.Errorf("the integration response %q: its pattern is not understood", pattern)
		}
		m.cases = append(m.cases, c)
	}
	if m.cases = append(m.cases, fallback...); len(m.cases) == 0 {
		return nil, fmt.Errorf("it has no integration response, so that API Gateway answers every call with 500")
	}
	return m, nil
}

func (r *integrationResponse) parse(stage Stage) (c responseCase, err error) {
	if c.status, err = strconv.Atoi(fmt.Sprint(r.StatusCode)); err != nil || c.status < 200 || c.status > 599 {
		return c, fmt.Errorf("statusCode %v is not a status", r.StatusCode)
	}
	if err := checkTemplates(r.ResponseTemplates); err != nil {
		return c, fmt.Errorf("its response %w", err)
	}
	if r.ContentHandling != "" {
		return c, fmt.Errorf("it converts the body (contentHandling %s)", r.ContentHandling)
	}
	for _, key := range slices.Sorted(maps.Keys(r.ResponseParameters)) {
		name, ok := strings.CutPrefix(key, "method.response.header.")
		expr, text := r.ResponseParameters[key].(string)
		if !ok || !text || !isToken(name) {
			return c, fmt.Errorf("the mapping to %q is not understood", key)
		}
		from, err := parseResponseSource(expr, stage)
		if err == nil {
			err = checkHeader(name, from)
		}
		if err != nil {
			return c, fmt.Errorf("the mapping to %s: %w", key, err)
		}
		c.headers = append(c.headers, mapped{textproto.CanonicalMIMEHeaderKey(name), from})
	}
	return c, nil
}

func parseResponseSource(expr string, stage Stage) (source, error) {
	if name, ok := strings.CutPrefix(expr, "integration.response.header."); ok {
		return source{fromHeader, textproto.CanonicalMIMEHeaderKey(name)}, nil
	}
	if name, ok := strings.CutPrefix(expr, "integration.response.multivalueheader."); ok {
		return source{fromHeaderAll, textproto.CanonicalMIMEHeaderKey(name)}, nil
	}
	if strings.HasPrefix(expr, "integration.response.body") {
		return source{}, fmt.Errorf("%s reads the body, which passes unread here", expr)
	}
	from, err := parseSource(expr, stage)
	if err == nil && from.kind != fromLiteral {
		err = fmt.Errorf("%s is not known when the response comes", expr)
	}
	return from, err
}

// checkTemplates refuses mapping templates (VTL) other than those that pass the body on.
func checkTemplates(templates map[string]any) error {
	for _, contentType := range slices.Sorted(maps.Keys(templates)) {
		if text, ok := templates[contentType].(string); templates[contentType] != nil && (!ok || text != "" && text != "__passthrough__") {
			return fmt.Errorf("body is made by a mapping template (VTL) for %s", contentType)
		}
	}
	return nil
}
