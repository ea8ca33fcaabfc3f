package apitest

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func (a *RestAPI) byPath() []*Resource {
	return slices.SortedFunc(maps.Values(a.Resources), func(x, y *Resource) int { return cmp.Compare(x.Path, y.Path) })
}

func (s *Server) getResources(q *request) (any, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	items, next, err := page(q, api.byPath(), 25)
	if err != nil {
		return nil, err
	}
	full := slices.Contains(q.URL.Query()["embed"], "methods")
	out := make([]any, len(items))
	for i, r := range items {
		out[i] = describe(r, full)
	}
	return list{out, next}, nil
}

// describe gives a resource with only the names of its methods, unless full is asked for.
func describe(r *Resource, full bool) any {
	if full || r.Methods == nil {
		return r
	}
	names := map[string]struct{}{}
	for m := range r.Methods {
		names[m] = struct{}{}
	}
	return struct {
		*Resource
		Methods map[string]struct{} `json:"resourceMethods,omitempty"`
	}{r, names}
}

func (s *Server) getResource(q *request) (any, error) {
	_, r, err := s.resource(q)
	if err != nil {
		return nil, err
	}
	return describe(r, slices.Contains(q.URL.Query()["embed"], "methods")), nil
}

var pathPart = regexp.MustCompile(`^([A-Za-z0-9._~:$*@!&'()+,;=%-]+|\{[A-Za-z0-9._:-]+\+?\})$`)

func (s *Server) createResource(q *request) (any, error) {
	api, parent, err := s.resource(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		PathPart string `json:"pathPart"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	if !pathPart.MatchString(in.PathPart) {
		return nil, refuse("Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning and the end")
	}
	if strings.HasSuffix(parent.PathPart, "+}") {
		return nil, refuse("Cannot create a child of a resource with a greedy path variable.")
	}
	isVariable := in.PathPart[0] == '{'
	for _, r := range api.Resources {
		if r.ParentID != parent.ID {
			continue
		}
		if r.PathPart == in.PathPart {
			return nil, conflict("Another resource with the same parent already has this name: %s", in.PathPart)
		}
		if isVariable && r.PathPart[0] == '{' && strings.HasSuffix(r.PathPart, "+}") == strings.HasSuffix(in.PathPart, "+}") {
			return nil, refuse("A sibling (%s) of this resource already has a variable path part -- only one is allowed", r.PathPart)
		}
	}
	if s.MaxResources > 0 && len(api.Resources) >= s.MaxResources {
		return nil, exceeded("Maximum number of resources for this API has been reached. Please contact AWS if you need additional resources.")
	}
	r := &Resource{ID: s.idLocked(6), ParentID: parent.ID, PathPart: in.PathPart, Path: strings.TrimSuffix(parent.Path, "/") + "/" + in.PathPart}
	api.Resources[r.ID] = r
	return r, nil
}

func (s *Server) deleteResource(q *request) (any, error) {
	api, r, err := s.resource(q)
	if err != nil {
		return nil, err
	}
	if r.ID == api.RootResourceID {
		return nil, refuse("Root resource cannot be deleted")
	}
	for id, other := range api.Resources {
		if other == r || strings.HasPrefix(other.Path, r.Path+"/") {
			delete(api.Resources, id)
		}
	}
	return nil, nil
}

func (s *Server) getMethod(q *request) (any, error) {
	_, m, err := s.method(q)
	return m, err
}

func (s *Server) putMethod(q *request) (any, error) {
	_, r, err := s.resource(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		AuthorizationType   string            `json:"authorizationType"`
		AuthorizerID        string            `json:"authorizerId"`
		APIKeyRequired      bool              `json:"apiKeyRequired"`
		OperationName       string            `json:"operationName"`
		RequestParameters   map[string]bool   `json:"requestParameters"`
		RequestModels       map[string]string `json:"requestModels"`
		RequestValidatorID  string            `json:"requestValidatorId"`
		AuthorizationScopes []string          `json:"authorizationScopes"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	name := q.PathValue("method")
	switch {
	case !slices.Contains(methods, name):
		return nil, refuse("Invalid HTTP method: %s", name)
	case !slices.Contains([]string{"NONE", "AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS"}, in.AuthorizationType):
		return nil, refuse("Invalid authorization type specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a valid authorizer.")
	case r.Methods[name] != nil:
		return nil, conflict("Method already exists for this resource")
	}
	for p := range in.RequestParameters {
		if !methodParameter.MatchString(p) {
			return nil, refuse("Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression specified: %s]", p)
		}
	}
	m := &Method{HTTPMethod: name, AuthorizationType: in.AuthorizationType, AuthorizerID: in.AuthorizerID, APIKeyRequired: in.APIKeyRequired,
		OperationName: in.OperationName, RequestParameters: in.RequestParameters, RequestModels: in.RequestModels,
		RequestValidatorID: in.RequestValidatorID, AuthorizationScopes: in.AuthorizationScopes}
	if r.Methods == nil {
		r.Methods = map[string]*Method{}
	}
	r.Methods[name] = m
	return m, nil
}

var methodParameter = regexp.MustCompile(`^method\.request\.(path|querystring|header)\.[^\s]+$`)

func (s *Server) updateMethod(q *request) (any, error) {
	r, m, err := s.method(q)
	if err != nil {
		return nil, err
	}
	ops, err := q.patches()
	if err != nil {
		return nil, err
	}
	c := m.clone()
	models := mapField(&c.RequestModels, "add replace remove")
	err = applyPatches(ops, map[string]field{
		"/apiKeyRequired":     boolField(&c.APIKeyRequired),
		"/authorizationType":  enumField(&c.AuthorizationType, "NONE", "AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS"),
		"/authorizerId":       textField(&c.AuthorizerID),
		"/operationName":      textField(&c.OperationName),
		"/requestValidatorId": textField(&c.RequestValidatorID),
		"/requestModels":      models,
		"/requestParameters": {ops: "add replace remove", keyed: true,
			set: func(k, v string) error {
				b, err := strconv.ParseBool(v)
				if err != nil || !methodParameter.MatchString(k) {
					return refuse("Invalid parameter specified: %s=%s", k, v)
				}
				if c.RequestParameters == nil {
					c.RequestParameters = map[string]bool{}
				}
				c.RequestParameters[k] = b
				return nil
			},
			remove: func(k string) error { delete(c.RequestParameters, k); return nil }},
	})
	if err != nil {
		return nil, err
	}
	r.Methods[m.HTTPMethod] = c
	return c, nil
}

func (s *Server) deleteMethod(q *request) (any, error) {
	r, m, err := s.method(q)
	if err != nil {
		return nil, err
	}
	delete(r.Methods, m.HTTPMethod)
	return nil, nil
}

func (s *Server) methodResponse(q *request) (*Method, *MethodResponse, error) {
	_, m, err := s.method(q)
	if err != nil {
		return nil, nil, err
	}
	r := m.Responses[q.PathValue("status")]
	if r == nil {
		return nil, nil, missing("Invalid Response status code specified")
	}
	return m, r, nil
}

func (s *Server) getMethodResponse(q *request) (any, error) {
	_, r, err := s.methodResponse(q)
	return r, err
}

func (s *Server) putMethodResponse(q *request) (any, error) {
	_, m, err := s.method(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		ResponseParameters map[string]bool   `json:"responseParameters"`
		ResponseModels     map[string]string `json:"responseModels"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	code := q.PathValue("status")
	if !statusCode.MatchString(code) {
		return nil, refuse("Invalid status code specified: %s", code)
	}
	if m.Responses[code] != nil {
		return nil, conflict("Response already exists for this resource")
	}
	if m.Responses == nil {
		m.Responses = map[string]*MethodResponse{}
	}
	m.Responses[code] = &MethodResponse{code, in.ResponseParameters, in.ResponseModels}
	return m.Responses[code], nil
}

var statusCode = regexp.MustCompile(`^[1-5]\d\d$`)

func (s *Server) deleteMethodResponse(q *request) (any, error) {
	m, r, err := s.methodResponse(q)
	if err != nil {
		return nil, err
	}
	delete(m.Responses, r.StatusCode)
	return nil, nil
}
