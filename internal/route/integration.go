package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// reader turns the paths of a document into operations.
type reader struct {
	doc   *document
	opts  OpenAPIOptions
	stage Stage
}

type operationObject struct {
	OperationID string            `json:"operationId"`
	Security    *[]map[string]any `json:"security"`
	Validator   string            `json:"x-amazon-apigateway-request-validator"`
	Integration json.RawMessage   `json:"x-amazon-apigateway-integration"`
}

type integrationObject struct {
	Ref                  string                          `json:"$ref"`
	Type                 string                          `json:"type"`
	URI                  string                          `json:"uri"`
	HTTPMethod           string                          `json:"httpMethod"`
	ConnectionType       string                          `json:"connectionType"`
	TimeoutInMillis      float64                         `json:"timeoutInMillis"`
	Credentials          string                          `json:"credentials"`
	ResponseTransferMode string                          `json:"responseTransferMode"`
	PassthroughBehavior  string                          `json:"passthroughBehavior"`
	ContentHandling      string                          `json:"contentHandling"`
	PayloadFormatVersion any                             `json:"payloadFormatVersion"` // HTTP APIs only
	RequestParameters    map[string]any                  `json:"requestParameters"`
	RequestTemplates     map[string]any                  `json:"requestTemplates"`
	Responses            map[string]*integrationResponse `json:"responses"`
	ResponseParameters   map[string]any                  `json:"responseParameters"` // HTTP APIs only
	CacheKeyParameters   []any                           `json:"cacheKeyParameters"`
	TLSConfig            struct {
		InsecureSkipVerification bool `json:"insecureSkipVerification"`
	} `json:"tlsConfig"`
}

func (r *reader) path(path string) ([]Operation, error) {
	var item map[string]json.RawMessage
	if err := json.Unmarshal(r.doc.Paths[path], &item); err != nil {
		return nil, err
	}
	var ops []Operation
	for _, key := range slices.Sorted(maps.Keys(item)) {
		method, ok := methodKeys[strings.ToLower(key)]
		if !ok {
			continue // parameters, summary, extensions
		}
		op, err := r.operation(method, path, item[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
		ops = append(ops, op)
	}
	slices.SortStableFunc(ops, func(a, b Operation) int { return strings.Compare(a.Method, b.Method) })
	for i := 1; i < len(ops); i++ {
		if ops[i].Method == ops[i-1].Method {
			return nil, fmt.Errorf("%s is there twice", ops[i].Method)
		}
	}
	return ops, nil
}

func (r *reader) operation(method, path string, data json.RawMessage) (Operation, error) {
	op := Operation{Method: method, Path: path}
	var o operationObject
	if err := json.Unmarshal(data, &o); err != nil {
		return op, err
	}
	op.ID = o.OperationID
	op.Notes = r.notes(&o)
	op.route = Route{Method: method, Template: r.template(path)}
	if _, err := parseTemplate(method, op.route.Template); err != nil {
		return op, err
	}
	var in integrationObject
	if len(o.Integration) > 0 {
		if err := json.Unmarshal(o.Integration, &in); err != nil {
			return op, fmt.Errorf("x-amazon-apigateway-integration: %w", err)
		}
	}
	if name, ok := strings.CutPrefix(in.Ref, "#/components/x-amazon-apigateway-integrations/"); ok && r.doc.Components.Integrations[name] != nil {
		if err := json.Unmarshal(r.doc.Components.Integrations[name], &in); err != nil {
			return op, fmt.Errorf("integration %q: %w", name, err)
		}
	}
	op.Type = strings.ToLower(in.Type)
	op.IntegrationMethod = strings.ToUpper(in.HTTPMethod)
	op.ConnectionType = strings.ToUpper(in.ConnectionType)
	if op.ConnectionType == "" {
		op.ConnectionType = "INTERNET"
	}
	op.Timeout = DefaultTimeout
	if ms := in.TimeoutInMillis; ms > 0 && ms <= 1e9 {
		op.Timeout = time.Duration(ms * float64(time.Millisecond))
	}
	op.InsecureSkipVerify = in.TLSConfig.InsecureSkipVerification
	if len(in.CacheKeyParameters) > 0 {
		op.Notes = append(op.Notes, "responses may be cached there")
	}
	if err := r.tap(&op, &in); err != nil {
		op.Reason = err.Error()
		op.route = Route{Method: method, Template: op.route.Template, Unsupported: op.Reason}
	}
	op.Tappable = op.Reason == ""
	return op, nil
}

// template puts Base before a path. The root under a base is the base itself. A slash at
// the end has no meaning in a REST API.
func (r *reader) template(path string) string {
	if path == "/"+Default {
		return Default
	}
	if path != "/" {
		path = strings.TrimSuffix(path, "/")
	}
	if path == "/" && r.opts.Base != "" {
		path = ""
	}
	return r.opts.Base + path
}

func (r *reader) notes(o *operationObject) []string {
	security := r.doc.Security
	if o.Security != nil {
		security = *o.Security
	}
	names := map[string]bool{}
	for _, s := range security {
		for name := range s {
			names[name] = true
		}
	}
	var notes []string
	if len(names) > 0 {
		notes = append(notes, "callers are checked there by "+strings.Join(slices.Sorted(maps.Keys(names)), ", "))
	}
	if o.Validator != "" {
		notes = append(notes, "requests are validated there")
	}
	return notes
}

// tap makes op's route, or says why it cannot be reproduced.
func (r *reader) tap(op *Operation, in *integrationObject) error {
	switch op.Type {
	case "":
		return fmt.Errorf("it has no integration; export with the API Gateway extensions (parameters extensions=integrations)")
	case "aws_proxy", "aws":
		if op.Type == "aws_proxy" && r.opts.Functions && strings.Contains(in.URI, ":lambda:") {
			return r.tapFunction(op, in)
		}
		if strings.Contains(in.URI, ":lambda:") {
			return fmt.Errorf("it calls a Lambda function")
		}
		return fmt.Errorf("it calls an AWS service")
	case "mock":
		return fmt.Errorf("API Gateway answers it by itself (MOCK)")
	case "http", "http_proxy":
	default:
		return fmt.Errorf("its integration type %q is not known", in.Type)
	}
	if op.route.Template == Default {
		return fmt.Errorf("it is the %s route of an HTTP API; use a route of your own for it", Default)
	}
	if op.ConnectionType != "INTERNET" {
		return fmt.Errorf("its backend is reached through a VPC link, which is not there on this machine")
	}
	uri, err := expandStageVariables(in.URI, r.opts.StageVariables)
	if err != nil {
		return err
	}
	op.URI = uri
	if op.IntegrationMethod != "" && op.IntegrationMethod != Any && !isToken(op.IntegrationMethod) {
		return fmt.Errorf("%q is not a method", op.IntegrationMethod)
	}
	if op.Type == "http" {
		if err := r.tapHTTP(op, in); err != nil {
			return err
		}
	}
	if in.ContentHandling != "" {
		return fmt.Errorf("it converts the request body (contentHandling %s)", in.ContentHandling)
	}
	if err := r.mapRequest(op, in); err != nil {
		return err
	}
	op.route.Backend = withPath(uri)
	if _, err = NewTable([]Route{op.route}); err != nil {
		if bad, ok := errors.AsType[*Error](err); ok {
			err = bad.Err // the operation says already which route it is
		}
		return err
	}
	return nil
}

// tapHTTP looks at what only an HTTP integration has: templates, and mapped responses.
func (r *reader) tapHTTP(op *Operation, in *integrationObject) error {
	if err := checkTemplates(in.RequestTemplates); err != nil {
		return fmt.Errorf("its request %w", err)
	}
	if strings.EqualFold(in.PassthroughBehavior, "never") {
		return fmt.Errorf("it refuses every body that no mapping template takes (passthroughBehavior NEVER)")
	}
	var err error
	op.route.Response, err = newResponseMapping(in.Responses, r.stage)
	return err
}

// mapRequest reads requestParameters. In a REST API the URI's parameters are filled by
// mappings only; an HTTP API fills them by their names.
func (r *reader) mapRequest(op *Operation, in *integrationObject) error {
	if in.PayloadFormatVersion != nil {
		edits, err := parseEdits(in.RequestParameters, false, r.stage)
		if err != nil {
			return err
		}
		if len(edits) > 0 || op.IntegrationMethod != "" && op.IntegrationMethod != Any && op.IntegrationMethod != op.Method {
			op.route.Mapping = identityMapping(op, r.stage)
			op.route.Mapping.edits = edits
		}
		op.route.Response, err = editResponses(in.ResponseParameters, r.stage)
		return err
	}
	params := make(map[string]string, len(in.RequestParameters))
	for key, v := range in.RequestParameters {
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("the mapping to %q is not text", key)
		}
		params[key] = s
	}
	var err error
	op.route.Mapping, err = NewMapping(params, op.Type == "http_proxy", op.IntegrationMethod, r.stage)
	return err
}

// identityMapping changes the method only.
func identityMapping(op *Operation, stage Stage) *Mapping {
	m := &Mapping{Proxy: true, Method: op.IntegrationMethod, stage: stage}
	t, err := parseTemplate(op.Method, op.route.Template)
	if err != nil {
		return m
	}
	for _, name := range t.names() {
		m.path = append(m.path, mapped{name, source{fromPath, name}})
	}
	return m
}

// withPath gives a URL without a path the path that API Gateway sends: "/".
func withPath(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	authority, query, found := strings.Cut(rest, "?")
	if strings.Contains(authority, "/") || rest == "" {
		return uri
	}
	head := uri[:len(uri)-len(rest)] + authority + "/"
	if found {
		head += "?" + query
	}
	return head
}

// expandStageVariables puts stage variables in for ${stageVariables.name}.
func expandStageVariables(s string, vars map[string]string) (string, error) {
	const open = "${stageVariables."
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, open)
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, tail, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("its URI has a ${stageVariables.… without an end")
		}
		v, ok := vars[name]
		if !ok {
			return "", fmt.Errorf("its URI asks for stage variable %q, which is not given", name)
		}
		b.WriteString(v)
		s = tail
	}
}
