package apitest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
)

// Part is a thing of a list below an API that is kept as it was sent: a model, a request
// validator, a gateway response.
type Part = map[string]any

// partKind says what the calls of a list take. The first member is the name, which no two
// things share, except where AWS gives an id that does.
type partKind struct {
	path   string
	byName bool // the path's last segment is the name, not the id
	fields []string
	patch  []string
	inUse  func(a *RestAPI, p Part) bool
}

var modelKind = partKind{path: "models", byName: true, fields: []string{"name", "description", "schema", "contentType"}, patch: []string{"/description", "/schema"},
	inUse: func(a *RestAPI, p Part) bool {
		return a.anyMethod(func(m *Method) bool {
			for _, name := range m.RequestModels {
				if name == p["name"] {
					return true
				}
			}
			return false
		})
	}}

var validatorKind = partKind{path: "requestvalidators", fields: []string{"name", "validateRequestBody", "validateRequestParameters"},
	patch: []string{"/name", "/validateRequestBody", "/validateRequestParameters"},
	inUse: func(a *RestAPI, p Part) bool {
		return a.anyMethod(func(m *Method) bool { return m.RequestValidatorID == p["id"] })
	}}

func (a *RestAPI) anyMethod(is func(*Method) bool) bool {
	for _, r := range a.Resources {
		for _, m := range r.Methods {
			if is(m) {
				return true
			}
		}
	}
	return false
}

func (k partKind) of(a *RestAPI) *[]Part {
	if k.path == "models" {
		return &a.Models
	}
	return &a.Validators
}

func (k partKind) operations(word string) []operation {
	at := "/restapis/{api}/" + k.path
	return []operation{
		{"Get" + word + "s", "GET " + at, 200, k.list},
		{"Create" + word, "POST " + at, 201, k.create},
		{"Update" + word, "PATCH " + at + "/{part}", 200, k.update},
		{"Delete" + word, "DELETE " + at + "/{part}", 202, k.delete},
	}
}

func (k partKind) list(s *Server, q *request) (any, error) {
	a, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	items, next, err := page(q, *k.of(a), 25)
	return list{items, next}, err
}

func (k partKind) create(s *Server, q *request) (any, error) {
	a, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	in := Part{}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	for name := range in {
		if !slices.Contains(k.fields, name) {
			return nil, refuse("apitest: %s take no %q", k.path, name)
		}
	}
	all := k.of(a)
	if k.byName && slices.ContainsFunc(*all, func(p Part) bool { return p["name"] == in["name"] }) {
		return nil, conflict("Model name already exists for this REST API")
	}
	in["id"] = s.idLocked(6)
	*all = append(slices.Clone(*all), in)
	return in, nil
}

func (k partKind) find(s *Server, q *request) (*RestAPI, int, error) {
	a, err := s.restAPI(q)
	if err != nil {
		return nil, 0, err
	}
	key := "id"
	if k.byName {
		key = "name"
	}
	at := slices.IndexFunc(*k.of(a), func(p Part) bool { return p[key] == q.PathValue("part") })
	if at < 0 {
		return nil, 0, missing("Invalid identifier specified in %s", k.path)
	}
	return a, at, nil
}

func (k partKind) update(s *Server, q *request) (any, error) {
	a, at, err := k.find(s, q)
	if err != nil {
		return nil, err
	}
	ops, err := q.patches()
	if err != nil {
		return nil, err
	}
	all := slices.Clone(*k.of(a)) // a deployment keeps the old ones
	c := Part{}
	for name, v := range all[at] {
		c[name] = v
	}
	for _, op := range ops {
		if op.Op != "replace" || !slices.Contains(k.patch, op.Path) {
			return nil, refuse("Invalid patch path  '%s' specified for op '%s'. Must be one of: %v", op.Path, op.Op, k.patch)
		}
		c[op.Path[1:]] = op.value()
		if _, isBool := all[at][op.Path[1:]].(bool); isBool {
			c[op.Path[1:]] = op.value() == "true"
		}
	}
	all[at] = c
	*k.of(a) = all
	return c, nil
}

func (k partKind) delete(s *Server, q *request) (any, error) {
	a, at, err := k.find(s, q)
	if err != nil {
		return nil, err
	}
	all := *k.of(a)
	if k.inUse(a, all[at]) {
		return nil, conflict("Cannot delete from %s: it is referenced in a method", k.path)
	}
	*k.of(a) = slices.Delete(slices.Clone(all), at, at+1)
	return nil, nil
}

var restPartOperations = slices.Concat(modelKind.operations("Model"), validatorKind.operations("RequestValidator"), []operation{
	{"CreateAuthorizer", "POST /restapis/{api}/authorizers", 201, (*Server).createAuthorizer},
	{"UpdateAuthorizer", "PATCH /restapis/{api}/authorizers/{part}", 200, (*Server).updateAuthorizer},
	{"DeleteAuthorizer", "DELETE /restapis/{api}/authorizers/{part}", 202, (*Server).deleteAuthorizer},
	{"GetGatewayResponses", "GET /restapis/{api}/gatewayresponses", 200, (*Server).getGatewayResponses},
	{"PutGatewayResponse", "PUT /restapis/{api}/gatewayresponses/{part}", 201, (*Server).putGatewayResponse},
	{"DeleteGatewayResponse", "DELETE /restapis/{api}/gatewayresponses/{part}", 202, (*Server).deleteGatewayResponse},
})

func (s *Server) createAuthorizer(q *request) (any, error) {
	a, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	var in Authorizer
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	switch {
	case in.ID != "":
		return nil, refuse("apitest: an authorizer's id cannot be chosen")
	case !slices.Contains([]string{"TOKEN", "REQUEST", "COGNITO_USER_POOLS"}, in.Type):
		return nil, refuse("Invalid authorizer type specified: %q", in.Type)
	case slices.ContainsFunc(a.Authorizers, func(o *Authorizer) bool { return o.Name == in.Name }):
		return nil, conflict("Authorizer name must be unique. Authorizer %s already exists in this RestApi.", in.Name)
	}
	in.ID = s.idLocked(6)
	a.Authorizers = append(slices.Clone(a.Authorizers), &in)
	return &in, nil
}

func (s *Server) authorizer(q *request) (*RestAPI, int, error) {
	a, err := s.restAPI(q)
	if err != nil {
		return nil, 0, err
	}
	at := slices.IndexFunc(a.Authorizers, func(o *Authorizer) bool { return o.ID == q.PathValue("part") })
	if at < 0 {
		return nil, 0, missing("Invalid Authorizer identifier specified")
	}
	return a, at, nil
}

func (s *Server) updateAuthorizer(q *request) (any, error) {
	a, at, err := s.authorizer(q)
	if err != nil {
		return nil, err
	}
	ops, err := q.patches()
	if err != nil {
		return nil, err
	}
	c := *a.Authorizers[at]
	if err := applyPatches(ops, map[string]field{"/name": textField(&c.Name), "/authorizerUri": textField(&c.URI), "/identitySource": textField(&c.IdentitySource),
		"/type": enumField(&c.Type, "TOKEN", "REQUEST", "COGNITO_USER_POOLS")}); err != nil {
		return nil, err
	}
	a.Authorizers = slices.Clone(a.Authorizers)
	a.Authorizers[at] = &c
	return &c, nil
}

func (s *Server) deleteAuthorizer(q *request) (any, error) {
	a, at, err := s.authorizer(q)
	if err != nil {
		return nil, err
	}
	if a.anyMethod(func(m *Method) bool { return m.AuthorizerID == a.Authorizers[at].ID }) {
		return nil, conflict("Cannot delete authorizer '%s', is referenced in method", a.Authorizers[at].ID)
	}
	a.Authorizers = slices.Delete(slices.Clone(a.Authorizers), at, at+1)
	return nil, nil
}

// getGatewayResponses shows those that were put, and one of those that AWS has by itself.
func (s *Server) getGatewayResponses(q *request) (any, error) {
	a, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	all := []Part{{"responseType": "THROTTLED", "statusCode": "429", "defaultResponse": true,
		"responseTemplates": object{"application/json": `{"message":$context.error.messageString}`}}}
	all = append(all, sorted(a.GatewayResponses)...)
	items, next, err := page(q, all, 25)
	return list{items, next}, err
}

func (s *Server) putGatewayResponse(q *request) (any, error) {
	a, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		StatusCode string            `json:"statusCode"`
		Parameters map[string]string `json:"responseParameters"`
		Templates  map[string]string `json:"responseTemplates"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	kind := q.PathValue("part")
	all := map[string]Part{}
	for k, v := range a.GatewayResponses {
		all[k] = v
	}
	all[kind] = Part{"responseType": kind, "statusCode": in.StatusCode, "responseParameters": in.Parameters, "responseTemplates": in.Templates, "defaultResponse": false}
	a.GatewayResponses = all
	return all[kind], nil
}

func (s *Server) deleteGatewayResponse(q *request) (any, error) {
	a, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	kind := q.PathValue("part")
	if a.GatewayResponses[kind] == nil {
		return nil, missing("Invalid gateway response type specified")
	}
	all := map[string]Part{}
	for k, v := range a.GatewayResponses {
		if k != kind {
			all[k] = v
		}
	}
	a.GatewayResponses = all
	return nil, nil
}

// Mapping leads a path of a custom domain to a stage.
type Mapping struct {
	ID     string `json:"apiMappingId"`
	APIID  string `json:"apiId"`
	Key    string `json:"apiMappingKey,omitempty"`
	Stage  string `json:"stage"`
	domain string
}

// AddMapping makes a custom domain, unless it is there, and a mapping of it.
func (s *Server) AddMapping(domain, key, api, stage string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mappings = append(s.mappings, Mapping{s.idLocked(6), api, key, stage, domain})
}

// AddVPCLink makes a VPC link with security groups; an HTTP API's integrations name it by its
// id.
func (s *Server) AddVPCLink(id string, groups ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links[id] = groups
}

var httpPartOperations = []operation{
	{"UpdateApi", "PATCH /v2/apis/{api}", 200, (*Server).updateHTTPAPI},
	{"DeleteCorsConfiguration", "DELETE /v2/apis/{api}/cors", 204, (*Server).deleteCORS},
	{"GetAuthorizers", "GET /v2/apis/{api}/authorizers", 200, (*Server).getHTTPAuthorizers},
	{"CreateAuthorizer", "POST /v2/apis/{api}/authorizers", 201, (*Server).createHTTPAuthorizer},
	{"UpdateAuthorizer", "PATCH /v2/apis/{api}/authorizers/{part}", 200, (*Server).updateHTTPAuthorizer},
	{"DeleteAuthorizer", "DELETE /v2/apis/{api}/authorizers/{part}", 204, (*Server).deleteHTTPAuthorizer},
	{"DeleteAccessLogSettings", "DELETE /v2/apis/{api}/stages/{stage}/accesslogsettings", 204, (*Server).deleteAccessLog},
	{"DeleteRouteSettings", "DELETE /v2/apis/{api}/stages/{stage}/routesettings/{route}", 204, (*Server).deleteRouteSettings},
	{"GetDomainNames", "GET /v2/domainnames", 200, func(s *Server, q *request) (any, error) {
		names := []object{}
		for _, m := range s.mappings {
			if !slices.ContainsFunc(names, func(o object) bool { return o["domainName"] == m.domain }) {
				names = append(names, object{"domainName": m.domain})
			}
		}
		return httpPage(q, names)
	}},
	{"GetApiMappings", "GET /v2/domainnames/{domain}/apimappings", 200, func(s *Server, q *request) (any, error) {
		return httpPage(q, slices.DeleteFunc(slices.Clone(s.mappings), func(m Mapping) bool { return m.domain != q.PathValue("domain") }))
	}},
	{"GetVpcLink", "GET /v2/vpclinks/{link}", 200, func(s *Server, q *request) (any, error) {
		groups, ok := s.links[q.PathValue("link")]
		if !ok {
			return nil, missing("Unable to find VpcLink by ID %s", q.PathValue("link"))
		}
		return object{"vpcLinkId": q.PathValue("link"), "securityGroupIds": groups}, nil
	}},
}

func (s *Server) updateHTTPAPI(q *request) (any, error) {
	a, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		Name            *string         `json:"name"`
		Description     *string         `json:"description"`
		Version         *string         `json:"version"`
		CORS            json.RawMessage `json:"corsConfiguration"`
		KeySelection    *string         `json:"apiKeySelectionExpression"`
		RouteSelection  *string         `json:"routeSelectionExpression"`
		DisableEndpoint *bool           `json:"disableExecuteApiEndpoint"`
		IPAddressType   *string         `json:"ipAddressType"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	assign(&a.Name, in.Name)
	assign(&a.Description, in.Description)
	assign(&a.Version, in.Version)
	assign(&a.APIKeySelection, in.KeySelection)
	assign(&a.RouteSelectionExpression, in.RouteSelection)
	assign(&a.DisableExecuteEndpoint, in.DisableEndpoint)
	assign(&a.IPAddressType, in.IPAddressType)
	if in.CORS != nil {
		a.CORS = in.CORS
	}
	s.autoDeploy(a)
	return a, nil
}

func (s *Server) deleteCORS(q *request) (any, error) {
	a, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	a.CORS = nil
	s.autoDeploy(a)
	return nil, nil
}

// HTTPAuthorizer decides about calls of an HTTP API's routes.
type HTTPAuthorizer struct {
	ID             string          `json:"authorizerId,omitempty"`
	Name           string          `json:"name"`
	Type           string          `json:"authorizerType"`
	URI            string          `json:"authorizerUri,omitempty"`
	IdentitySource []string        `json:"identitySource,omitempty"`
	JWT            json.RawMessage `json:"jwtConfiguration,omitempty"`
}

func (s *Server) getHTTPAuthorizers(q *request) (any, error) {
	a, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	return httpPage(q, sorted(a.Authorizers))
}

func (s *Server) createHTTPAuthorizer(q *request) (any, error) {
	a, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	var in HTTPAuthorizer
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	for _, other := range a.Authorizers {
		if other.Name == in.Name {
			return nil, conflict("Authorizer name must be unique. Authorizer %s already exists in this API.", in.Name)
		}
	}
	if in.ID != "" || in.Type != "JWT" && in.Type != "REQUEST" {
		return nil, refuse("Invalid authorizer: %s", cmp.Or(in.Type, in.ID))
	}
	in.ID = s.idLocked(6)
	a.Authorizers[in.ID] = &in
	return &in, nil
}

func (s *Server) httpAuthorizer(q *request) (*HTTPAPI, *HTTPAuthorizer, error) {
	a, err := s.httpAPI(q)
	if err != nil {
		return nil, nil, err
	}
	found := a.Authorizers[q.PathValue("part")]
	if found == nil {
		return nil, nil, missing("Unable to find Authorizer by ID %s", q.PathValue("part"))
	}
	return a, found, nil
}

func (s *Server) updateHTTPAuthorizer(q *request) (any, error) {
	a, old, err := s.httpAuthorizer(q)
	if err != nil {
		return nil, err
	}
	c := *old
	if err := q.decode(&c); err != nil {
		return nil, err
	}
	c.ID = old.ID
	a.Authorizers[c.ID] = &c
	s.autoDeploy(a)
	return &c, nil
}

func (s *Server) deleteHTTPAuthorizer(q *request) (any, error) {
	a, old, err := s.httpAuthorizer(q)
	if err != nil {
		return nil, err
	}
	for _, r := range a.Routes {
		if r.AuthorizerID == old.ID {
			return nil, &Error{http.StatusConflict, "ConflictException", "Cannot delete the authorizer: a route refers to it"}
		}
	}
	delete(a.Authorizers, old.ID)
	return nil, nil
}

func (s *Server) deleteAccessLog(q *request) (any, error) {
	a, st, err := s.httpStage(q)
	if err != nil {
		return nil, err
	}
	c := *st
	c.AccessLogSettings = nil
	a.Stages[c.Name] = &c
	return nil, nil
}

func (s *Server) deleteRouteSettings(q *request) (any, error) {
	a, st, err := s.httpStage(q)
	if err != nil {
		return nil, err
	}
	c := *st
	c.RouteSettings = map[string]json.RawMessage{}
	for k, v := range st.RouteSettings {
		if k != q.PathValue("route") {
			c.RouteSettings[k] = v
		}
	}
	a.Stages[c.Name] = &c
	return nil, nil
}
