package apitest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

type object = map[string]any

// getExport gives what a stage's deployment serves as OpenAPI 3, in JSON. The working copy
// has no export.
func (s *Server) getExport(q *request) (any, error) {
	api, st, err := s.stage(q)
	if err != nil {
		return nil, err
	}
	if t := q.PathValue("type"); t != "oas30" {
		return nil, refuse("Invalid export type specified: apitest exports oas30 only, not %q", t)
	}
	if accept := q.Header.Get("Accept"); accept != "" && !strings.Contains(accept, "json") && accept != "*/*" {
		return nil, refuse("apitest exports application/json only, not %q", accept)
	}
	extensions := strings.Split(q.URL.Query().Get("extensions"), ",")
	full := slices.Contains(extensions, "apigateway")
	text := s.exportREST(api, st, full || slices.Contains(extensions, "integrations"), full || slices.Contains(extensions, "authorizers"))
	return raw{text, http.Header{"Content-Type": {"application/octet-stream"}, "Content-Disposition": {`attachment; filename="oas30.json"`}}}, nil
}

func (s *Server) exportREST(api *RestAPI, st *Stage, integrations, authorizers bool) []byte {
	d := api.Deployments[st.DeploymentID]
	snap := d.Snapshot
	version := snap.Version
	if version == "" {
		version = isoTime(d.CreatedDate)
		if s.StableVersion {
			version = isoTime(api.CreatedDate)
		}
	}
	info := object{"title": snap.Name, "version": version}
	put(info, "description", snap.Description)
	doc := object{"openapi": "3.0.1", "info": info, "servers": []any{object{
		"url":       "https://" + api.ID + ".execute-api." + s.Region + ".amazonaws.com/{basePath}",
		"variables": object{"basePath": object{"default": "/" + st.Name}}}}}
	schemes, schemas, paths := object{}, object{}, object{}
	for _, r := range snap.Resources {
		if len(r.Methods) == 0 {
			continue
		}
		ops := object{}
		for name, m := range r.Methods {
			key := strings.ToLower(name)
			if name == "ANY" {
				key = "x-amazon-apigateway-any-method"
			}
			ops[key] = snap.exportMethod(m, schemes, schemas, integrations, authorizers)
		}
		paths[r.Path] = ops
	}
	doc["paths"] = paths
	components := object{}
	if len(schemas) > 0 {
		components["schemas"] = schemas
	}
	if len(schemes) > 0 {
		components["securitySchemes"] = schemes
	}
	doc["components"] = components
	if integrations {
		snap.exportSettings(doc)
	}
	text, _ := json.MarshalIndent(doc, "", "  ") // maps of plain values always have a JSON form, with sorted keys
	return text
}

func (a *RestAPI) exportSettings(doc object) {
	if len(a.BinaryMediaTypes) > 0 {
		doc["x-amazon-apigateway-binary-media-types"] = a.BinaryMediaTypes
	}
	if a.MinimumCompressionSize != nil {
		doc["x-amazon-apigateway-minimum-compression-size"] = *a.MinimumCompressionSize
	}
	if a.Policy != "" {
		doc["x-amazon-apigateway-policy"] = json.RawMessage(a.Policy)
	}
	if a.APIKeySource == "AUTHORIZER" {
		doc["x-amazon-apigateway-api-key-source"] = a.APIKeySource
	}
	if len(a.GatewayResponses) > 0 {
		doc["x-amazon-apigateway-gateway-responses"] = a.GatewayResponses
	}
	if a.DisableExecuteAPIEndpoint {
		doc["x-amazon-apigateway-endpoint-configuration"] = object{"disableExecuteApiEndpoint": true}
	}
}

func (a *RestAPI) exportMethod(m *Method, schemes, schemas object, integrations, authorizers bool) object {
	op := object{}
	put(op, "operationId", m.OperationName)
	var parameters []any
	for _, name := range slices.Sorted(maps.Keys(m.RequestParameters)) {
		parts := strings.SplitN(name, ".", 4)
		in := strings.NewReplacer("querystring", "query").Replace(parts[2])
		p := object{"name": parts[3], "in": in, "schema": object{"type": "string"}}
		if m.RequestParameters[name] || in == "path" {
			p["required"] = true
		}
		parameters = append(parameters, p)
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	if len(m.RequestModels) > 0 {
		op["requestBody"] = object{"content": a.modelContent(m.RequestModels, schemas), "required": true}
	}
	if len(m.Responses) > 0 {
		responses := object{}
		for code, r := range m.Responses {
			out := object{"description": code + " response", "content": a.modelContent(r.ResponseModels, schemas)}
			headers := object{}
			for name := range r.ResponseParameters {
				headers[strings.TrimPrefix(name, "method.response.header.")] = object{"schema": object{"type": "string"}}
			}
			if len(headers) > 0 {
				out["headers"] = headers
			}
			responses[code] = out
		}
		op["responses"] = responses
	}
	var security []any
	if m.APIKeyRequired {
		schemes["api_key"] = object{"type": "apiKey", "name": "x-api-key", "in": "header"}
		security = append(security, object{"api_key": []any{}})
	}
	if name, scheme := a.securityScheme(m, authorizers); name != "" {
		schemes[name] = scheme
		security = append(security, object{name: append([]string{}, m.AuthorizationScopes...)})
	}
	if security != nil {
		op["security"] = security
	}
	for _, v := range a.Validators { // exports have the name
		if v["id"] == m.RequestValidatorID {
			op["x-amazon-apigateway-request-validator"] = v["name"]
		}
	}
	if integrations && m.Integration != nil {
		op["x-amazon-apigateway-integration"] = m.Integration.export()
	}
	return op
}

func (a *RestAPI) modelContent(models map[string]string, schemas object) object {
	content := object{}
	for media, model := range models {
		schemas[model] = object{"title": model + " Schema", "type": "object"}
		for _, p := range a.Models {
			if schema, ok := p["schema"].(string); ok && p["name"] == model && json.Valid([]byte(schema)) {
				schemas[model] = json.RawMessage(schema)
			}
		}
		content[media] = object{"schema": object{"$ref": "#/components/schemas/" + model}}
	}
	return content
}

// securityScheme is what guards a method besides an API key; "" for nothing.
func (a *RestAPI) securityScheme(m *Method, details bool) (string, object) {
	if m.AuthorizationType == "AWS_IAM" {
		return "sigv4", object{"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4"}
	}
	for _, auth := range a.Authorizers {
		if auth.ID != m.AuthorizerID {
			continue
		}
		header := auth.IdentitySource[strings.LastIndexByte(auth.IdentitySource, '.')+1:]
		scheme := object{"type": "apiKey", "name": header, "in": "header", "x-amazon-apigateway-authtype": "custom"}
		if details {
			extension := object{"type": strings.ToLower(auth.Type)}
			put(extension, "authorizerUri", auth.URI)
			if len(auth.ProviderARNs) > 0 {
				extension["providerARNs"] = auth.ProviderARNs
			}
			scheme["x-amazon-apigateway-authorizer"] = extension
		}
		return auth.Name, scheme
	}
	return "", nil
}

// export is the extension x-amazon-apigateway-integration.
func (i *Integration) export() object {
	out := object{"type": strings.ToLower(i.Type), "passthroughBehavior": strings.ToLower(i.PassthroughBehavior), "timeoutInMillis": i.TimeoutInMillis}
	put(out, "httpMethod", i.HTTPMethod)
	put(out, "uri", i.URI)
	put(out, "connectionType", i.ConnectionType)
	put(out, "connectionId", i.ConnectionID)
	put(out, "credentials", i.Credentials)
	put(out, "contentHandling", i.ContentHandling)
	put(out, "cacheNamespace", i.CacheNamespace)
	put(out, "responseTransferMode", i.ResponseTransferMode)
	put(out, "integrationTarget", i.IntegrationTarget)
	putMap(out, "requestParameters", i.RequestParameters)
	putMap(out, "requestTemplates", i.RequestTemplates)
	if len(i.CacheKeyParameters) > 0 {
		out["cacheKeyParameters"] = i.CacheKeyParameters
	}
	if i.TLSConfig != nil {
		out["tlsConfig"] = object{"insecureSkipVerification": i.TLSConfig.InsecureSkipVerification}
	}
	if len(i.Responses) > 0 {
		responses := object{}
		for _, code := range slices.Sorted(maps.Keys(i.Responses)) {
			r := i.Responses[code]
			one := object{"statusCode": code}
			putMap(one, "responseParameters", r.ResponseParameters)
			putMap(one, "responseTemplates", r.ResponseTemplates)
			put(one, "contentHandling", r.ContentHandling)
			key := r.SelectionPattern
			if key == "" {
				key = "default"
			}
			if responses[key] != nil { // two responses with one pattern; both are shown
				key += "#" + code
			}
			responses[key] = one
		}
		out["responses"] = responses
	}
	return out
}

func put(o object, name, value string) {
	if value != "" {
		o[name] = value
	}
}

func putMap(o object, name string, value map[string]string) {
	if len(value) > 0 {
		o[name] = value
	}
}
