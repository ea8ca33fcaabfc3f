package apitest

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// HTTPAPI is an HTTP API (v2). Its routes, integrations and snapshots are replaced when they
// change, never altered, so that a deployment can share them.
type HTTPAPI struct {
	ID                       string            `json:"apiId"`
	Endpoint                 string            `json:"apiEndpoint"`
	Managed                  bool              `json:"apiGatewayManaged,omitempty"`
	Name                     string            `json:"name"`
	Description              string            `json:"description,omitempty"`
	Version                  string            `json:"version,omitempty"`
	ProtocolType             string            `json:"protocolType"`
	APIKeySelection          string            `json:"apiKeySelectionExpression"`
	RouteSelectionExpression string            `json:"routeSelectionExpression"`
	CORS                     json.RawMessage   `json:"corsConfiguration,omitempty"`
	DisableExecuteEndpoint   bool              `json:"disableExecuteApiEndpoint"`
	IPAddressType            string            `json:"ipAddressType,omitempty"`
	Tags                     map[string]string `json:"tags,omitempty"`
	CreatedDate              string            `json:"createdDate"`

	Authorizers  map[string]*HTTPAuthorizer `json:"-"` // by id
	HTTPSnapshot `json:"-"`
	Stages       map[string]*HTTPStage      `json:"-"`
	Deployments  map[string]*HTTPDeployment `json:"-"`
}

// HTTPSnapshot is what a deployment of an HTTP API keeps.
type HTTPSnapshot struct {
	Routes       map[string]*HTTPRoute       // by id
	Integrations map[string]*HTTPIntegration // by id
}

// HTTPRoute is a route of an HTTP API.
type HTTPRoute struct {
	ID                  string   `json:"routeId"`
	Managed             bool     `json:"apiGatewayManaged,omitempty"`
	RouteKey            string   `json:"routeKey"`
	Target              string   `json:"target,omitempty"` // "integrations/ID"
	APIKeyRequired      bool     `json:"apiKeyRequired"`
	AuthorizationType   string   `json:"authorizationType"`
	AuthorizerID        string   `json:"authorizerId,omitempty"`
	AuthorizationScopes []string `json:"authorizationScopes,omitempty"`
	OperationName       string   `json:"operationName,omitempty"`
}

// HTTPIntegration is an integration of an HTTP API.
type HTTPIntegration struct {
	ID                   string                       `json:"integrationId"`
	Managed              bool                         `json:"apiGatewayManaged,omitempty"`
	Type                 string                       `json:"integrationType"`
	Subtype              string                       `json:"integrationSubtype,omitempty"`
	Method               string                       `json:"integrationMethod,omitempty"`
	URI                  string                       `json:"integrationUri,omitempty"`
	ConnectionType       string                       `json:"connectionType"`
	ConnectionID         string                       `json:"connectionId,omitempty"`
	CredentialsARN       string                       `json:"credentialsArn,omitempty"`
	Description          string                       `json:"description,omitempty"`
	PayloadFormatVersion string                       `json:"payloadFormatVersion"`
	RequestParameters    map[string]string            `json:"requestParameters,omitempty"`
	ResponseParameters   map[string]map[string]string `json:"responseParameters,omitempty"`
	TimeoutInMillis      int                          `json:"timeoutInMillis"`
	TLSConfig            *HTTPTLSConfig               `json:"tlsConfig,omitempty"`
}

// HTTPTLSConfig names the server whose certificate is expected.
type HTTPTLSConfig struct {
	ServerNameToVerify string `json:"serverNameToVerify,omitempty"`
}

// HTTPStage is a stage of an HTTP API.
type HTTPStage struct {
	Name                 string                     `json:"stageName"`
	Managed              bool                       `json:"apiGatewayManaged,omitempty"`
	AutoDeploy           bool                       `json:"autoDeploy,omitempty"` // AWS leaves it out when it is off
	DeploymentID         string                     `json:"deploymentId,omitempty"`
	Description          string                     `json:"description,omitempty"`
	StageVariables       map[string]string          `json:"stageVariables,omitempty"`
	DefaultRouteSettings json.RawMessage            `json:"defaultRouteSettings,omitempty"`
	RouteSettings        map[string]json.RawMessage `json:"routeSettings,omitempty"`
	AccessLogSettings    *AccessLogSettings         `json:"accessLogSettings,omitempty"`
	LastDeploymentStatus string                     `json:"lastDeploymentStatusMessage,omitempty"`
	Tags                 map[string]string          `json:"tags,omitempty"`
	CreatedDate          string                     `json:"createdDate"`
	LastUpdatedDate      string                     `json:"lastUpdatedDate"`
}

// HTTPDeployment is a copy of an HTTP API's routes and integrations.
type HTTPDeployment struct {
	ID           string `json:"deploymentId"`
	AutoDeployed bool   `json:"autoDeployed"`
	Description  string `json:"description,omitempty"`
	Status       string `json:"deploymentStatus"`
	CreatedDate  string `json:"createdDate"`

	Snapshot HTTPSnapshot `json:"-"`
	seq      int          // grows with every deployment
}

func (a *HTTPAPI) snapshot() HTTPSnapshot {
	return HTTPSnapshot{maps.Clone(a.Routes), maps.Clone(a.Integrations)}
}

var httpOperations = []operation{
	{"GetApis", "GET /v2/apis", 200, (*Server).getHTTPAPIs},
	{"CreateApi", "POST /v2/apis", 201, (*Server).createHTTPAPI},
	{"GetApi", "GET /v2/apis/{api}", 200, (*Server).getHTTPAPI},
	{"DeleteApi", "DELETE /v2/apis/{api}", 204, (*Server).deleteHTTPAPI},
	{"TagResource", "POST /v2/tags/{arn}", 201, (*Server).tagHTTP},
	{"UntagResource", "DELETE /v2/tags/{arn}", 204, (*Server).untagHTTP},
	{"GetTags", "GET /v2/tags/{arn}", 200, (*Server).getTagsHTTP},
	{"GetRoutes", "GET /v2/apis/{api}/routes", 200, (*Server).getRoutes},
	{"CreateRoute", "POST /v2/apis/{api}/routes", 201, (*Server).createRoute},
	{"GetRoute", "GET /v2/apis/{api}/routes/{route}", 200, (*Server).getRoute},
	{"UpdateRoute", "PATCH /v2/apis/{api}/routes/{route}", 200, (*Server).updateRoute},
	{"DeleteRoute", "DELETE /v2/apis/{api}/routes/{route}", 204, (*Server).deleteRoute},
	{"GetIntegrations", "GET /v2/apis/{api}/integrations", 200, (*Server).getHTTPIntegrations},
	{"CreateIntegration", "POST /v2/apis/{api}/integrations", 201, (*Server).createHTTPIntegration},
	{"GetIntegration", "GET /v2/apis/{api}/integrations/{integration}", 200, (*Server).getHTTPIntegration},
	{"UpdateIntegration", "PATCH /v2/apis/{api}/integrations/{integration}", 200, (*Server).updateHTTPIntegration},
	{"DeleteIntegration", "DELETE /v2/apis/{api}/integrations/{integration}", 204, (*Server).deleteHTTPIntegration},
	{"GetStages", "GET /v2/apis/{api}/stages", 200, (*Server).getHTTPStages},
	{"CreateStage", "POST /v2/apis/{api}/stages", 201, (*Server).createHTTPStage},
	{"GetStage", "GET /v2/apis/{api}/stages/{stage}", 200, (*Server).getHTTPStage},
	{"UpdateStage", "PATCH /v2/apis/{api}/stages/{stage}", 200, (*Server).updateHTTPStage},
	{"DeleteStage", "DELETE /v2/apis/{api}/stages/{stage}", 204, (*Server).deleteHTTPStage},
	{"GetDeployments", "GET /v2/apis/{api}/deployments", 200, (*Server).getHTTPDeployments},
	{"CreateDeployment", "POST /v2/apis/{api}/deployments", 201, (*Server).createHTTPDeployment},
	{"GetDeployment", "GET /v2/apis/{api}/deployments/{deployment}", 200, (*Server).getHTTPDeployment},
	{"DeleteDeployment", "DELETE /v2/apis/{api}/deployments/{deployment}", 204, (*Server).deleteHTTPDeployment},
	{"ExportApi", "GET /v2/apis/{api}/exports/{type}", 200, (*Server).exportHTTP},
}

func (s *Server) httpAPI(q *request) (*HTTPAPI, error) {
	api := s.http[q.PathValue("api")]
	if api == nil {
		return nil, missing("Invalid API identifier specified %s:%s", s.Account, q.PathValue("api"))
	}
	return api, nil
}

type httpList struct {
	Items     any    `json:"items"`
	NextToken string `json:"nextToken,omitempty"`
}

// httpPage cuts a list by maxResults and nextToken.
func httpPage[T any](q *request, all []T) (any, error) {
	limit := 100
	if text := q.URL.Query().Get("maxResults"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, refuse("Invalid maxResults value: %s", text)
		}
		limit = min(n, 500)
	}
	items, next, err := cut(all, limit, q.URL.Query().Get("nextToken"))
	return httpList{items, next}, err
}

func (s *Server) getHTTPAPIs(q *request) (any, error) { return httpPage(q, sorted(s.http)) }

func (s *Server) getHTTPAPI(q *request) (any, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	return api, nil
}

func (s *Server) deleteHTTPAPI(q *request) (any, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	delete(s.http, api.ID)
	return nil, nil
}

func (s *Server) createHTTPAPI(q *request) (any, error) {
	var in struct {
		Name                     string            `json:"name"`
		ProtocolType             string            `json:"protocolType"`
		Description              string            `json:"description"`
		Version                  string            `json:"version"`
		APIKeySelection          string            `json:"apiKeySelectionExpression"`
		RouteSelectionExpression string            `json:"routeSelectionExpression"`
		CORS                     json.RawMessage   `json:"corsConfiguration"`
		DisableSchemaValidation  bool              `json:"disableSchemaValidation"`
		DisableExecuteEndpoint   bool              `json:"disableExecuteApiEndpoint"`
		IPAddressType            string            `json:"ipAddressType"`
		Tags                     map[string]string `json:"tags"`
		RouteKey                 string            `json:"routeKey"`
		Target                   string            `json:"target"`
		CredentialsARN           string            `json:"credentialsArn"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	switch {
	case in.Name == "":
		return nil, refuse("API name is required")
	case in.ProtocolType != "HTTP":
		return nil, refuse("apitest has no APIs of protocol type %q", in.ProtocolType)
	case in.RouteKey != "" && in.Target == "":
		return nil, refuse("Target must be specified when routeKey is")
	}
	api := &HTTPAPI{ID: s.idLocked(10), Name: in.Name, Description: in.Description, Version: in.Version, ProtocolType: in.ProtocolType,
		APIKeySelection: "$request.header.x-api-key", RouteSelectionExpression: "$request.method $request.path", CORS: in.CORS,
		DisableExecuteEndpoint: in.DisableExecuteEndpoint, IPAddressType: in.IPAddressType, Tags: in.Tags, CreatedDate: isoTime(s.stamp()),
		Stages: map[string]*HTTPStage{}, Deployments: map[string]*HTTPDeployment{}, Authorizers: map[string]*HTTPAuthorizer{},
		HTTPSnapshot: HTTPSnapshot{Routes: map[string]*HTTPRoute{}, Integrations: map[string]*HTTPIntegration{}}}
	if api.IPAddressType == "" {
		api.IPAddressType = "ipv4"
	}
	api.Endpoint = "https://" + api.ID + ".execute-api." + s.Region + ".amazonaws.com"
	if in.Target != "" {
		if err := s.quickCreate(api, in.RouteKey, in.Target, in.CredentialsARN); err != nil {
			return nil, err
		}
	}
	s.http[api.ID] = api
	return api, nil
}

// quickCreate makes the integration, route and stage that API Gateway then calls managed.
func (s *Server) quickCreate(api *HTTPAPI, key, target, credentials string) error {
	i := &HTTPIntegration{ID: s.idLocked(7), Managed: true, Type: "HTTP_PROXY", Method: "ANY", URI: target, CredentialsARN: credentials,
		ConnectionType: "INTERNET", PayloadFormatVersion: "1.0", TimeoutInMillis: 30000}
	if strings.HasPrefix(target, "arn:") {
		i.Type, i.Method, i.PayloadFormatVersion = "AWS_PROXY", "POST", "2.0"
	}
	if err := i.check(); err != nil {
		return err
	}
	if key == "" {
		key = "$default"
	}
	if !routeKey.MatchString(key) {
		return refuse("The provided route key is not formatted properly for HTTP protocol. Format should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"")
	}
	r := &HTTPRoute{ID: s.idLocked(7), Managed: true, RouteKey: key, Target: "integrations/" + i.ID, AuthorizationType: "NONE"}
	api.Integrations[i.ID], api.Routes[r.ID] = i, r
	now := isoTime(s.stamp())
	api.Stages["$default"] = &HTTPStage{Name: "$default", Managed: true, AutoDeploy: true, CreatedDate: now, LastUpdatedDate: now}
	s.autoDeploy(api)
	return nil
}

// taggedHTTP finds the tags of "arn:aws:apigateway:REGION::/apis/ID" or of a stage below it.
func (s *Server) taggedHTTP(arn string) (*map[string]string, error) {
	path, ok := strings.CutPrefix(arn, "arn:aws:apigateway:"+s.Region+"::/apis/")
	if !ok {
		return nil, refuse("Invalid resource ARN specified in the request: %s", arn)
	}
	id, rest, _ := strings.Cut(path, "/")
	api := s.http[id]
	if api == nil {
		return nil, missing("Invalid API identifier specified %s:%s", s.Account, id)
	}
	if rest == "" {
		return &api.Tags, nil
	}
	stage := api.Stages[strings.TrimPrefix(rest, "stages/")]
	if stage == nil {
		return nil, missing("Invalid stage identifier specified")
	}
	return &stage.Tags, nil
}

func (s *Server) tagHTTP(q *request) (any, error) {
	tags, err := s.taggedHTTP(q.PathValue("arn"))
	if err != nil {
		return nil, err
	}
	return object{}, addTags(q, tags)
}

func (s *Server) untagHTTP(q *request) (any, error) {
	tags, err := s.taggedHTTP(q.PathValue("arn"))
	if err != nil {
		return nil, err
	}
	return nil, removeTags(q, tags)
}

func (s *Server) getTagsHTTP(q *request) (any, error) {
	tags, err := s.taggedHTTP(q.PathValue("arn"))
	if err != nil {
		return nil, err
	}
	return object{"tags": orEmpty(*tags)}, nil
}

// merge changes a map as PATCH does in v2: an empty value removes its key, keys not sent
// stay.
func merge(old, sent map[string]string) map[string]string {
	out := maps.Clone(orEmpty(old))
	for k, v := range sent {
		if v == "" {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func sortedRoutes(m map[string]*HTTPRoute) []*HTTPRoute {
	return slices.SortedFunc(maps.Values(m), func(a, b *HTTPRoute) int { return strings.Compare(a.RouteKey, b.RouteKey) })
}
