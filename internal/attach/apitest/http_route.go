package apitest

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

var routeKey = regexp.MustCompile(`^(\$default|(GET|PUT|POST|DELETE|PATCH|HEAD|OPTIONS|ANY) /\S*)$`)

func (s *Server) getRoutes(q *request) (any, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	return httpPage(q, sortedRoutes(api.Routes))
}

func (s *Server) route(q *request) (*HTTPAPI, *HTTPRoute, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, nil, err
	}
	r := api.Routes[q.PathValue("route")]
	if r == nil {
		return nil, nil, missing("Unable to find Route by ID %s within API %s", q.PathValue("route"), api.ID)
	}
	return api, r, nil
}

func (s *Server) getRoute(q *request) (any, error) {
	_, r, err := s.route(q)
	return r, err
}

// routeBody is what CreateRoute and UpdateRoute take; nil: not sent.
type routeBody struct {
	RouteKey            *string   `json:"routeKey"`
	Target              *string   `json:"target"`
	APIKeyRequired      *bool     `json:"apiKeyRequired"`
	AuthorizationType   *string   `json:"authorizationType"`
	AuthorizerID        *string   `json:"authorizerId"`
	AuthorizationScopes *[]string `json:"authorizationScopes"`
	OperationName       *string   `json:"operationName"`
}

func (in *routeBody) apply(r HTTPRoute) *HTTPRoute {
	assign(&r.RouteKey, in.RouteKey)
	assign(&r.Target, in.Target)
	assign(&r.APIKeyRequired, in.APIKeyRequired)
	assign(&r.AuthorizationType, in.AuthorizationType)
	assign(&r.AuthorizerID, in.AuthorizerID)
	assign(&r.AuthorizationScopes, in.AuthorizationScopes)
	assign(&r.OperationName, in.OperationName)
	return &r
}

func assign[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (a *HTTPAPI) checkRoute(r *HTTPRoute) error {
	if !routeKey.MatchString(r.RouteKey) {
		return refuse("The provided route key is not formatted properly for HTTP protocol. Format should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"")
	}
	if !slices.Contains([]string{"NONE", "AWS_IAM", "CUSTOM", "JWT"}, r.AuthorizationType) {
		return refuse("Invalid authorization type specified: %q", r.AuthorizationType)
	}
	if r.Target != "" {
		id, ok := strings.CutPrefix(r.Target, "integrations/")
		if !ok {
			return refuse("Invalid route target specified: %s", r.Target)
		}
		if a.Integrations[id] == nil {
			return refuse("Invalid integration identifier specified: %s", id)
		}
	}
	for _, other := range a.Routes {
		if other.ID != r.ID && other.RouteKey == r.RouteKey {
			return conflict("Route with key %s already exists for this API", r.RouteKey)
		}
	}
	return nil
}

func (s *Server) createRoute(q *request) (any, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	var in routeBody
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	r := in.apply(HTTPRoute{ID: s.idLocked(7), AuthorizationType: "NONE"})
	if err := api.checkRoute(r); err != nil {
		return nil, err
	}
	api.Routes[r.ID] = r
	s.autoDeploy(api)
	return r, nil
}

func (s *Server) updateRoute(q *request) (any, error) {
	api, old, err := s.route(q)
	if err != nil {
		return nil, err
	}
	var in routeBody
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	if old.Managed && in.RouteKey != nil && *in.RouteKey != old.RouteKey {
		return nil, refuse("Cannot update route key of a route that is managed by API Gateway")
	}
	r := in.apply(*old)
	if err := api.checkRoute(r); err != nil {
		return nil, err
	}
	api.Routes[r.ID] = r
	s.autoDeploy(api)
	return r, nil
}

func (s *Server) deleteRoute(q *request) (any, error) {
	api, r, err := s.route(q)
	if err != nil {
		return nil, err
	}
	if r.Managed {
		return nil, refuse("Cannot delete a route that is managed by API Gateway")
	}
	delete(api.Routes, r.ID)
	s.autoDeploy(api)
	return nil, nil
}

func (s *Server) getHTTPIntegrations(q *request) (any, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	return httpPage(q, sorted(api.Integrations))
}

func (s *Server) httpIntegration(q *request) (*HTTPAPI, *HTTPIntegration, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, nil, err
	}
	i := api.Integrations[q.PathValue("integration")]
	if i == nil {
		return nil, nil, missing("Unable to find Integration by ID %s within API %s", q.PathValue("integration"), api.ID)
	}
	return api, i, nil
}

func (s *Server) getHTTPIntegration(q *request) (any, error) {
	_, i, err := s.httpIntegration(q)
	return i, err
}

type integrationBody struct {
	Type                 *string                      `json:"integrationType"`
	Subtype              *string                      `json:"integrationSubtype"`
	Method               *string                      `json:"integrationMethod"`
	URI                  *string                      `json:"integrationUri"`
	ConnectionType       *string                      `json:"connectionType"`
	ConnectionID         *string                      `json:"connectionId"`
	CredentialsARN       *string                      `json:"credentialsArn"`
	Description          *string                      `json:"description"`
	PayloadFormatVersion *string                      `json:"payloadFormatVersion"`
	RequestParameters    map[string]string            `json:"requestParameters"`
	ResponseParameters   map[string]map[string]string `json:"responseParameters"`
	TimeoutInMillis      *int                         `json:"timeoutInMillis"`
	TLSConfig            *HTTPTLSConfig               `json:"tlsConfig"`
}

func (in *integrationBody) apply(i HTTPIntegration) *HTTPIntegration {
	assign(&i.Type, in.Type)
	assign(&i.Subtype, in.Subtype)
	assign(&i.Method, in.Method)
	assign(&i.URI, in.URI)
	assign(&i.ConnectionType, in.ConnectionType)
	assign(&i.ConnectionID, in.ConnectionID)
	assign(&i.CredentialsARN, in.CredentialsARN)
	assign(&i.Description, in.Description)
	assign(&i.PayloadFormatVersion, in.PayloadFormatVersion)
	assign(&i.TimeoutInMillis, in.TimeoutInMillis)
	i.RequestParameters = merge(i.RequestParameters, in.RequestParameters)
	if len(in.ResponseParameters) > 0 {
		merged := map[string]map[string]string{}
		for code, m := range i.ResponseParameters {
			merged[code] = m
		}
		for code, m := range in.ResponseParameters {
			if merged[code] = merge(merged[code], m); merged[code] == nil || len(m) == 0 {
				delete(merged, code)
			}
		}
		i.ResponseParameters = merged
	}
	if in.TLSConfig != nil {
		i.TLSConfig = in.TLSConfig
		if i.TLSConfig.ServerNameToVerify == "" {
			i.TLSConfig = nil
		}
	}
	return &i
}

func (i *HTTPIntegration) check() error {
	isLambda := strings.HasPrefix(i.URI, "arn:aws:lambda:") || strings.HasPrefix(i.URI, "arn:aws:apigateway:") && strings.Contains(i.URI, ":lambda:path/")
	switch {
	case i.Type != "HTTP_PROXY" && i.Type != "AWS_PROXY":
		return refuse("Integration type %q is not supported by HTTP APIs", i.Type)
	case i.Type == "AWS_PROXY" && i.Subtype == "" && !isLambda:
		return refuse("Invalid function ARN or invalid URI")
	case i.Type == "AWS_PROXY" && i.Subtype == "" && i.PayloadFormatVersion == "":
		return refuse("PayloadFormatVersion is a required parameter for the integration")
	case !slices.Contains([]string{"1.0", "2.0"}, i.PayloadFormatVersion):
		return refuse("Invalid payload format version specified: %q", i.PayloadFormatVersion)
	case i.Type == "HTTP_PROXY" && i.PayloadFormatVersion != "1.0":
		return refuse("Payload format version of an HTTP_PROXY integration must be 1.0")
	case i.Type == "HTTP_PROXY" && !slices.Contains(methods, i.Method):
		return refuse("HttpMethod is a required parameter for the integration")
	case i.Type == "HTTP_PROXY" && i.ConnectionType == "INTERNET" && !strings.HasPrefix(i.URI, "http://") && !strings.HasPrefix(i.URI, "https://"):
		return refuse("Invalid HTTP endpoint specified for URI")
	case i.ConnectionType != "INTERNET" && i.ConnectionType != "VPC_LINK":
		return refuse("Invalid connection type specified: %q", i.ConnectionType)
	case i.ConnectionType == "VPC_LINK" && i.ConnectionID == "":
		return refuse("ConnectionId is a required parameter for the integration")
	case i.TimeoutInMillis < 50 || i.TimeoutInMillis > 30000:
		return refuse("Timeout should be between 50 ms and 30000 ms")
	}
	return nil
}

func (s *Server) createHTTPIntegration(q *request) (any, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	var in integrationBody
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	start := HTTPIntegration{ID: s.idLocked(7), ConnectionType: "INTERNET", TimeoutInMillis: 30000}
	if in.Type != nil && *in.Type == "HTTP_PROXY" {
		start.PayloadFormatVersion = "1.0"
	}
	if in.Type != nil && *in.Type == "AWS_PROXY" {
		start.Method = http.MethodPost
	}
	i := in.apply(start)
	if i.Subtype != "" && i.PayloadFormatVersion == "" {
		i.PayloadFormatVersion = "1.0"
	}
	if err := i.check(); err != nil {
		return nil, err
	}
	api.Integrations[i.ID] = i
	s.autoDeploy(api)
	return i, nil
}

func (s *Server) updateHTTPIntegration(q *request) (any, error) {
	api, old, err := s.httpIntegration(q)
	if err != nil {
		return nil, err
	}
	var in integrationBody
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	i := in.apply(*old)
	if err := i.check(); err != nil {
		return nil, err
	}
	api.Integrations[i.ID] = i
	s.autoDeploy(api)
	return i, nil
}

func (s *Server) deleteHTTPIntegration(q *request) (any, error) {
	api, i, err := s.httpIntegration(q)
	if err != nil {
		return nil, err
	}
	if i.Managed {
		return nil, refuse("Cannot delete an integration that is managed by API Gateway")
	}
	for _, r := range sortedRoutes(api.Routes) {
		if r.Target == "integrations/"+i.ID {
			return nil, conflict("Cannot delete Integration '%s'. It is referenced by Route '%s'", i.ID, r.ID)
		}
	}
	delete(api.Integrations, i.ID)
	s.autoDeploy(api)
	return nil, nil
}
