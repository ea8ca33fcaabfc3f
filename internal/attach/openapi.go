package attach

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// operation is one method of one path of the working copy, in the form an export has.
type operation struct {
	Key         string // "GET /users/{id}", as people write it
	Method      string // or ANY
	Path        string // "$default" for an HTTP API's default route
	Integration map[string]any
	Security    []string // names of what checks callers
	Validator   string

	// Where it is: resource and method of a REST API, route and integration of an HTTP API.
	ResourceID  string
	RouteID     string
	raw         json.RawMessage // the integration
	integration httpIntegration
	parameters  map[string]bool
}

const anyMethod = "x-amazon-apigateway-any-method"

func methodKey(method string) string {
	if method == "ANY" {
		return anyMethod
	}
	return strings.ToLower(method)
}

// operations gives the working copy's operations, by path, then method.
func (a *API) operations() ([]operation, error) {
	var ops []operation
	var err error
	if a.Kind == REST {
		ops, err = a.restOperations()
	} else {
		ops, err = a.httpOperations()
	}
	slices.SortFunc(ops, func(x, y operation) int {
		if c := strings.Compare(x.Path, y.Path); c != 0 {
			return c
		}
		return strings.Compare(x.Method, y.Method)
	})
	return ops, err
}

func (a *API) restOperations() ([]operation, error) {
	var ops []operation
	for _, raw := range a.Resources {
		var r resource
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("read a resource: %w", err)
		}
		for _, name := range slices.Sorted(maps.Keys(r.Methods)) {
			var m method
			if err := json.Unmarshal(r.Methods[name], &m); err != nil {
				return nil, fmt.Errorf("read method %s %s: %w", name, r.Path, err)
			}
			if string(m.Integration) == "null" {
				m.Integration = nil
			}
			op := operation{Key: name + " " + r.Path, Method: name, Path: r.Path, ResourceID: r.ID, raw: m.Integration, Validator: m.Validator, parameters: m.Parameters}
			switch m.Authorization {
			case "", "NONE":
			case "AWS_IAM":
				op.Security = append(op.Security, "sigv4")
			default:
				op.Security = append(op.Security, m.AuthorizerID)
			}
			if m.APIKey {
				op.Security = append(op.Security, "api_key")
			}
			if len(m.Integration) > 0 {
				in, err := object(m.Integration)
				if err != nil {
					return nil, fmt.Errorf("read the integration of %s: %w", op.Key, err)
				}
				op.Integration = exportForm(in)
			}
			ops = append(ops, op)
		}
	}
	return ops, nil
}

// exportForm turns an integration as GetIntegration shows it into that of an export.
func exportForm(in map[string]any) map[string]any {
	out, _ := prune(maps.Clone(in)).(map[string]any)
	if out == nil {
		return nil
	}
	lower := func(key string) {
		if s, ok := out[key].(string); ok {
			out[key] = strings.ToLower(s)
		}
	}
	lower("type")
	lower("passthroughBehavior")
	if responses, ok := out["integrationResponses"].(map[string]any); ok {
		delete(out, "integrationResponses")
		byPattern := map[string]any{}
		for status, v := range responses {
			r, ok := v.(map[string]any)
			if !ok {
				continue
			}
			r = maps.Clone(r)
			pattern, _ := r["selectionPattern"].(string)
			if pattern == "" {
				pattern = "default"
			}
			delete(r, "selectionPattern")
			if r["statusCode"] == nil {
				r["statusCode"] = status
			}
			byPattern[pattern] = r
		}
		out["responses"] = byPattern
	}
	return out
}

func (a *API) httpOperations() ([]operation, error) {
	integrations := map[string]json.RawMessage{}
	parsed := map[string]httpIntegration{}
	for _, raw := range a.Integrations {
		var in httpIntegration
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, fmt.Errorf("read an integration: %w", err)
		}
		integrations[in.ID], parsed[in.ID] = raw, in
	}
	var ops []operation
	for _, raw := range a.Routes {
		var r httpRoute
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("read a route: %w", err)
		}
		op := operation{Key: r.Key, RouteID: r.ID}
		op.Method, op.Path = keyParts(r.Key)
		switch r.Auth {
		case "", "NONE":
		case "AWS_IAM":
			op.Security = []string{"sigv4"}
		default:
			op.Security = []string{r.Authorizer}
		}
		if id, ok := strings.CutPrefix(r.Target, "integrations/"); ok && integrations[id] != nil {
			op.raw, op.integration = integrations[id], parsed[id]
			op.Integration = httpExportForm(op.integration)
		}
		ops = append(ops, op)
	}
	return ops, nil
}

func httpExportForm(in httpIntegration) map[string]any {
	out := map[string]any{"type": strings.ToLower(in.Type), "uri": in.URI, "payloadFormatVersion": in.PayloadFormat}
	if in.PayloadFormat == "" {
		out["payloadFormatVersion"] = "1.0"
	}
	for key, value := range map[string]string{"httpMethod": in.Method, "connectionType": in.ConnectionType, "connectionId": in.ConnectionID, "integrationSubtype": in.Subtype, "credentials": in.Credentials} {
		if value != "" {
			out[key] = value
		}
	}
	if in.Timeout > 0 {
		out["timeoutInMillis"] = in.Timeout
	}
	if len(in.RequestParameters) > 0 {
		out["requestParameters"] = in.RequestParameters
	}
	if len(in.ResponseParameters) > 0 {
		out["responseParameters"] = in.ResponseParameters
	}
	return out
}

// object is the operation in an OpenAPI document.
func (op *operation) object() map[string]any {
	o := map[string]any{"responses": map[string]any{}}
	if op.Integration != nil {
		o["x-amazon-apigateway-integration"] = op.Integration
	}
	if len(op.Security) > 0 {
		all := map[string]any{}
		for _, name := range op.Security {
			all[name] = []any{}
		}
		o["security"] = []any{all}
	}
	if op.Validator != "" {
		o["x-amazon-apigateway-request-validator"] = op.Validator
	}
	return o
}

// StageVariables is the member of a route table that has the stage's variables: an export leaves
// them out, and the proxy function must put them into the backends' URLs.
const StageVariables = "x-tapway-stage-variables"

// routeTable is the working copy as an OpenAPI document, from which tapway takes its routes
// (openapi: in tapway.yaml). It is not AWS's export: that is of what is deployed.
func (a *API) routeTable(ops []operation) json.RawMessage {
	paths := map[string]map[string]any{}
	for i := range ops {
		path := ops[i].Path
		if path == "$default" {
			path = "/$default"
		}
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][methodKey(ops[i].Method)] = ops[i].object()
	}
	server := map[string]any{"url": fmt.Sprintf("https://%s.execute-api.%s.%s", a.ID, a.Region, domainSuffix(a.Region))}
	if a.Stage != "" && a.Stage != "$default" {
		server = map[string]any{"url": server["url"].(string) + "/{basePath}", "variables": map[string]any{"basePath": map[string]any{"default": a.Stage}}}
	}
	table := map[string]any{
		"openapi": "3.0.1", "info": map[string]any{"title": a.Name, "version": "working copy"},
		"servers": []any{server}, "paths": paths,
	}
	if s, ok := a.stage(a.Stage); ok && len(s.vars()) > 0 {
		table[StageVariables] = s.vars()
	}
	return compact(table)
}

func domainSuffix(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

// partition is the first part of every ARN of a region.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
