package apitest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// exportHTTP gives a stage's deployment as OpenAPI 3 in JSON, or, without a stage, the
// routes as they are now.
func (s *Server) exportHTTP(q *request) (any, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	query := q.URL.Query()
	if t := q.PathValue("type"); t != "OAS30" {
		return nil, refuse("Invalid specification: apitest exports OAS30 only, not %q", t)
	}
	if t := query.Get("outputType"); t != "JSON" {
		return nil, refuse("Invalid outputType: apitest exports JSON only, not %q", t)
	}
	name := query.Get("stageName")
	if name != "" && api.Stages[name] == nil {
		return nil, missing("Unable to find Stage by name %s within API %s", name, api.ID)
	}
	if st := api.Stages[name]; st != nil && st.DeploymentID == "" {
		return nil, refuse("Stage %s has no deployment", name)
	}
	text := s.exportHTTPStage(api, name, query.Get("includeExtensions") != "false")
	return raw{text, http.Header{"Content-Type": {"application/octet-stream"}}}, nil
}

func (s *Server) exportHTTPStage(api *HTTPAPI, stage string, extensions bool) []byte {
	snap, version := api.HTTPSnapshot, api.CreatedDate
	if st := api.Stages[stage]; st != nil {
		d := api.Deployments[st.DeploymentID]
		snap = d.Snapshot
		if !s.StableVersion {
			version = d.CreatedDate
		}
	}
	if api.Version != "" {
		version = api.Version
	}
	info := object{"title": api.Name, "version": strings.NewReplacer("T", " ", "Z", "UTC").Replace(version)}
	put(info, "description", api.Description)
	base := ""
	if stage != "" && stage != "$default" {
		base = "/" + stage
	}
	doc := object{"openapi": "3.0.1", "info": info, "servers": []any{object{
		"url": api.Endpoint + "/{basePath}", "variables": object{"basePath": object{"default": base}}}}}
	paths := map[string]object{}
	for _, r := range sortedRoutes(snap.Routes) {
		key, path := "x-amazon-apigateway-any-method", "/$default"
		if method, rest, ok := strings.Cut(r.RouteKey, " "); ok {
			path = rest
			if method != "ANY" {
				key = strings.ToLower(method)
			}
		}
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path][key] = snap.exportRoute(r, extensions)
	}
	doc["paths"] = paths
	if extensions {
		doc["x-amazon-apigateway-importexport-version"] = "1.0"
		if len(api.CORS) > 0 {
			doc["x-amazon-apigateway-cors"] = api.CORS
		}
	}
	text, _ := json.MarshalIndent(doc, "", "  ") // maps of plain values always have a JSON form, with sorted keys
	return text
}

func (h HTTPSnapshot) exportRoute(r *HTTPRoute, extensions bool) object {
	op := object{"responses": object{"default": object{"description": "Default response for " + r.RouteKey}}}
	put(op, "operationId", r.OperationName)
	if r.AuthorizationType != "NONE" {
		op["security"] = []any{object{r.AuthorizationType + ":" + r.AuthorizerID: append([]string{}, r.AuthorizationScopes...)}}
	}
	if r.RouteKey == "$default" {
		op["isDefaultRoute"] = true
	}
	var parameters []any
	for segment := range strings.SplitSeq(r.RouteKey, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			name = strings.TrimSuffix(strings.TrimSuffix(name, "}"), "+")
			parameters = append(parameters, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	if i := h.Integrations[strings.TrimPrefix(r.Target, "integrations/")]; i != nil && extensions {
		op["x-amazon-apigateway-integration"] = i.export()
	}
	return op
}

func (i *HTTPIntegration) export() object {
	out := object{"type": strings.ToLower(i.Type), "timeoutInMillis": i.TimeoutInMillis, "connectionType": i.ConnectionType, "payloadFormatVersion": i.PayloadFormatVersion}
	put(out, "httpMethod", i.Method)
	put(out, "uri", i.URI)
	put(out, "subtype", i.Subtype)
	put(out, "connectionId", i.ConnectionID)
	put(out, "credentials", i.CredentialsARN)
	put(out, "description", i.Description)
	putMap(out, "requestParameters", i.RequestParameters)
	if i.TLSConfig != nil {
		out["tlsConfig"] = object{"serverNameToVerify": i.TLSConfig.ServerNameToVerify}
	}
	if len(i.ResponseParameters) > 0 {
		responses := object{}
		for _, code := range slices.Sorted(maps.Keys(i.ResponseParameters)) {
			responses[code] = i.ResponseParameters[code]
		}
		out["responseParameters"] = responses
	}
	return out
}
