package attach

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/tapway/tapway/internal/route"
)

// Tappable says how calls of a route can be led through tapway.
type Tappable string

const (
	Yes        Tappable = "yes"       // by a function or by a URL
	ByFunction Tappable = "by lambda" // only by a function, as a Lambda function is
	ByURL      Tappable = "by url"    // only by changing the integration's URL
	No         Tappable = "no"
)

// Route is one route of an API and what can be done with it.
type Route struct {
	Key      string   `json:"route"` // "GET /users/{id}"
	Method   string   `json:"method"`
	Path     string   `json:"path"`
	Type     string   `json:"integration"` // HTTP, HTTP_PROXY, AWS, AWS_PROXY, MOCK; "" without one
	Backend  string   `json:"backend,omitempty"`
	Timeout  int      `json:"timeout_ms,omitempty"`
	Tappable Tappable `json:"tappable"`
	Reason   string   `json:"reason,omitempty"` // why not, or why only one way
	Notes    []string `json:"notes,omitempty"`  // what API Gateway does besides and goes on doing

	noLambda, noURL string // why not; "" if it can
	function        string // ARN of the Lambda function that it calls, stage variables put in; "" if none
	op              *operation
}

// Judge gives every route of the working copy, and what can be done with it in the stage that
// was read.
func (a *API) Judge() ([]Route, error) {
	ops, err := a.operations()
	if err != nil {
		return nil, err
	}
	s, _ := a.stage(a.Stage)
	routes := make([]Route, len(ops))
	for i := range ops {
		routes[i] = a.judge(&ops[i], &s)
	}
	return routes, nil
}

func (a *API) judge(op *operation, s *stage) Route {
	r := Route{Key: op.Key, Method: op.Method, Path: op.Path, op: op}
	text := func(key string) string { v, _ := op.Integration[key].(string); return v }
	r.Type, r.Backend = strings.ToUpper(text("type")), text("uri")
	doc := compact(map[string]any{"openapi": "3.0.1", "paths": map[string]any{
		exportPath(op.Path): map[string]any{methodKey(op.Method): op.object()},
	}})
	def, err := route.ReadOpenAPI(doc, route.OpenAPIOptions{StageVariables: s.vars(), APIID: a.ID, Stage: a.Stage, Functions: true})
	if err != nil {
		r.Tappable, r.Reason = No, err.Error()
		r.noLambda, r.noURL = r.Reason, r.Reason
		return r
	}
	read := def.Operations[0]
	r.Notes, r.function = read.Notes, read.Function
	if op.Integration != nil {
		r.Timeout = int(read.Timeout.Milliseconds())
		if op.integration.Timeout == 0 && a.Kind == HTTP {
			r.Timeout = 30000
		}
	}
	if read.URI != "" {
		r.Backend = read.URI
	}
	both := a.untouchable(op, s)
	r.noLambda, r.noURL = both, both
	if both == "" {
		r.noLambda = read.Reason
		if r.noLambda == "" {
			r.noLambda = noFunction(op)
		}
		r.noURL = a.noURL(op, s)
	}
	switch {
	case r.noLambda == "" && r.noURL == "":
		r.Tappable = Yes
	case r.noLambda == "":
		r.Tappable, r.Reason = ByFunction, r.noURL
	case r.noURL == "":
		r.Tappable, r.Reason = ByURL, r.noLambda
	default:
		r.Tappable, r.Reason = No, r.noLambda
	}
	return r
}

func exportPath(path string) string {
	if path == route.Default {
		return "/" + path
	}
	return path
}

// The settings of a REST API's integration that this version can put back.
var (
	knownIntegration = []string{"type", "httpMethod", "uri", "connectionType", "connectionId", "credentials", "requestParameters",
		"requestTemplates", "passthroughBehavior", "contentHandling", "timeoutInMillis", "cacheNamespace", "cacheKeyParameters",
		"integrationResponses", "tlsConfig", "responseTransferMode", "integrationTarget", "_links"}
	knownResponse = []string{"statusCode", "selectionPattern", "responseParameters", "responseTemplates", "contentHandling", "_links"}
	knownTLS      = []string{"insecureSkipVerification"}
)

// untouchable says why a route is left alone whatever the way, "" if it need not be.
func (a *API) untouchable(op *operation, s *stage) string {
	if s.ClientCertificateID != "" {
		return "the stage shows backends a client certificate, which tapway does not have"
	}
	if a.Kind == HTTP || len(op.raw) == 0 {
		return ""
	}
	if name := unknownSetting(op.raw); name != "" {
		return fmt.Sprintf("it has a setting %q that this version of tapway does not know and could not put back", name)
	}
	if target, _ := op.Integration["integrationTarget"].(string); target != "" {
		return "it goes to a load balancer inside a VPC (integrationTarget)"
	}
	return ""
}

func unknownSetting(raw json.RawMessage) string {
	in, err := object(raw)
	if err != nil {
		return "?"
	}
	for key, value := range in {
		if value != nil && !slices.Contains(knownIntegration, key) {
			return key
		}
	}
	if tls, ok := in["tlsConfig"].(map[string]any); ok {
		for key := range tls {
			if !slices.Contains(knownTLS, key) {
				return "tlsConfig." + key
			}
		}
	}
	responses, _ := in["integrationResponses"].(map[string]any)
	for status, v := range responses {
		r, _ := v.(map[string]any)
		for key := range r {
			if !slices.Contains(knownResponse, key) {
				return "integrationResponses." + status + "." + key
			}
		}
	}
	return ""
}

// noFunction says what a Lambda integration could not keep, beyond what package route says.
func noFunction(op *operation) string {
	if mode, _ := op.Integration["responseTransferMode"].(string); strings.EqualFold(mode, "STREAM") {
		return "it streams its response (responseTransferMode STREAM)"
	}
	if kind, _ := op.Integration["type"].(string); kind == "aws_proxy" {
		return "" // its mappings stay where they are
	}
	keys, _ := op.Integration["cacheKeyParameters"].([]any)
	for _, key := range keys {
		if s, _ := key.(string); strings.HasPrefix(s, "integration.") {
			return "its cache key is taken from a mapping (" + s + ")"
		}
	}
	return ""
}

// noURL says why the integration's URL cannot be changed to tapway's.
func (a *API) noURL(op *operation, s *stage) string {
	kind, _ := op.Integration["type"].(string)
	switch kind {
	case "http", "http_proxy":
	case "aws_proxy":
		return "it calls no URL but AWS"
	case "mock":
		return "API Gateway answers it by itself (MOCK)"
	default:
		return "it does not call a URL"
	}
	if c, _ := op.Integration["connectionType"].(string); c != "" && !strings.EqualFold(c, "INTERNET") {
		return "its backend is reached through a VPC link"
	}
	if _, _, err := splitURI(fmt.Sprint(op.Integration["uri"]), s.vars()); err != nil {
		return err.Error()
	}
	if a.Kind == HTTP && op.integration.TLS != nil && op.integration.TLS.ServerName != "" {
		return "it checks the backend's certificate for another name (serverNameToVerify)"
	}
	return ""
}

// splitURI parts an integration's URI into the origin, stage variables put in, and the rest,
// as it stands.
func splitURI(uri string, vars map[string]string) (origin, rest string, err error) {
	scheme, tail, ok := strings.Cut(uri, "://")
	if !ok {
		return "", "", fmt.Errorf("its URL has no scheme")
	}
	host := tail
	if i := strings.IndexAny(tail, "/?"); i >= 0 {
		host, rest = tail[:i], tail[i:]
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(host, "${stageVariables.")
		b.WriteString(before)
		if !found {
			break
		}
		name, end, closed := strings.Cut(after, "}")
		value, known := vars[name]
		if !closed || !known {
			return "", "", fmt.Errorf("its URI asks for stage variable %q, which is not given", name)
		}
		b.WriteString(value)
		host = end
	}
	host = b.String()
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || u.Host == "" || u.Host != host || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") || strings.ContainsAny(host, "{}") {
		return "", "", fmt.Errorf("its URL names no fixed host (%s)", uri)
	}
	return u.Scheme + "://" + host, rest, nil
}
