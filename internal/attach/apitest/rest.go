package apitest

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RestAPI is a REST API (v1). The members with names in JSON are those of AWS.
type RestAPI struct {
	ID                        string            `json:"id"`
	Name                      string            `json:"name"`
	Description               string            `json:"description,omitempty"`
	Version                   string            `json:"version,omitempty"`
	CreatedDate               int64             `json:"createdDate"`
	BinaryMediaTypes          []string          `json:"binaryMediaTypes,omitempty"`
	MinimumCompressionSize    *int              `json:"minimumCompressionSize,omitempty"`
	APIKeySource              string            `json:"apiKeySource,omitempty"`
	Endpoint                  *Endpoint         `json:"endpointConfiguration,omitempty"`
	Policy                    string            `json:"policy,omitempty"`
	Tags                      map[string]string `json:"tags,omitempty"`
	DisableExecuteAPIEndpoint bool              `json:"disableExecuteApiEndpoint"`
	RootResourceID            string            `json:"rootResourceId"`

	Resources   map[string]*Resource   `json:"-"` // the working copy, by id
	Stages      map[string]*Stage      `json:"-"` // by name
	Deployments map[string]*Deployment `json:"-"` // by id
	Authorizers []*Authorizer          `json:"-"`

	Models           []Part          `json:"-"`
	Validators       []Part          `json:"-"`
	GatewayResponses map[string]Part `json:"-"` // by type, without those that AWS has by itself
}

// Endpoint says how an API is reached.
type Endpoint struct {
	Types          []string `json:"types,omitempty"`
	IPAddressType  string   `json:"ipAddressType,omitempty"`
	VPCEndpointIDs []string `json:"vpcEndpointIds,omitempty"`
}

// Authorizer decides about calls.
type Authorizer struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`
	Type           string   `json:"type"`
	URI            string   `json:"authorizerUri,omitempty"`
	IdentitySource string   `json:"identitySource,omitempty"`
	ProviderARNs   []string `json:"providerARNs,omitempty"`
}

// Resource is a path with its methods.
type Resource struct {
	ID       string             `json:"id"`
	ParentID string             `json:"parentId,omitempty"`
	PathPart string             `json:"pathPart,omitempty"`
	Path     string             `json:"path"`
	Methods  map[string]*Method `json:"resourceMethods,omitempty"`
}

// Method is what a caller may do with a resource.
type Method struct {
	HTTPMethod          string                     `json:"httpMethod"`
	AuthorizationType   string                     `json:"authorizationType"`
	AuthorizerID        string                     `json:"authorizerId,omitempty"`
	APIKeyRequired      bool                       `json:"apiKeyRequired"`
	RequestValidatorID  string                     `json:"requestValidatorId,omitempty"`
	OperationName       string                     `json:"operationName,omitempty"`
	RequestParameters   map[string]bool            `json:"requestParameters,omitempty"`
	RequestModels       map[string]string          `json:"requestModels,omitempty"`
	AuthorizationScopes []string                   `json:"authorizationScopes,omitempty"`
	Responses           map[string]*MethodResponse `json:"methodResponses,omitempty"`
	Integration         *Integration               `json:"methodIntegration,omitempty"`
}

// MethodResponse declares what a method may answer.
type MethodResponse struct {
	StatusCode         string            `json:"statusCode"`
	ResponseParameters map[string]bool   `json:"responseParameters,omitempty"`
	ResponseModels     map[string]string `json:"responseModels,omitempty"`
}

// Integration is what stands behind a method.
type Integration struct {
	Type                 string                          `json:"type"`
	HTTPMethod           string                          `json:"httpMethod,omitempty"`
	URI                  string                          `json:"uri,omitempty"`
	ConnectionType       string                          `json:"connectionType,omitempty"`
	ConnectionID         string                          `json:"connectionId,omitempty"`
	Credentials          string                          `json:"credentials,omitempty"`
	RequestParameters    map[string]string               `json:"requestParameters,omitempty"`
	RequestTemplates     map[string]string               `json:"requestTemplates,omitempty"`
	PassthroughBehavior  string                          `json:"passthroughBehavior,omitempty"`
	ContentHandling      string                          `json:"contentHandling,omitempty"`
	TimeoutInMillis      int                             `json:"timeoutInMillis"`
	CacheNamespace       string                          `json:"cacheNamespace,omitempty"`
	CacheKeyParameters   []string                        `json:"cacheKeyParameters"`
	TLSConfig            *TLSConfig                      `json:"tlsConfig,omitempty"`
	ResponseTransferMode string                          `json:"responseTransferMode,omitempty"`
	IntegrationTarget    string                          `json:"integrationTarget,omitempty"`
	Responses            map[string]*IntegrationResponse `json:"integrationResponses,omitempty"`
}

// TLSConfig says how a backend's certificate is checked.
type TLSConfig struct {
	InsecureSkipVerification bool `json:"insecureSkipVerification"`
}

// IntegrationResponse makes a method response of what a backend answered.
type IntegrationResponse struct {
	StatusCode         string            `json:"statusCode"`
	SelectionPattern   string            `json:"selectionPattern,omitempty"`
	ResponseParameters map[string]string `json:"responseParameters,omitempty"`
	ResponseTemplates  map[string]string `json:"responseTemplates,omitempty"`
	ContentHandling    string            `json:"contentHandling,omitempty"`
}

// UsagePlan is listed; the fake has no call that makes one: see [Server.AddUsagePlan].
type UsagePlan struct {
	ID     string     `json:"id"`
	Name   string     `json:"name"`
	Stages []APIStage `json:"apiStages,omitempty"`
}

// APIStage names a stage of an API.
type APIStage struct {
	APIID string `json:"apiId"`
	Stage string `json:"stage"`
}

func (r *Resource) clone() *Resource {
	c := *r
	c.Methods = cloneEach(r.Methods, (*Method).clone)
	return &c
}

func (m *Method) clone() *Method {
	c := *m
	c.RequestParameters, c.RequestModels = maps.Clone(m.RequestParameters), maps.Clone(m.RequestModels)
	c.AuthorizationScopes = slices.Clone(m.AuthorizationScopes)
	c.Responses = cloneEach(m.Responses, func(r *MethodResponse) *MethodResponse {
		return &MethodResponse{r.StatusCode, maps.Clone(r.ResponseParameters), maps.Clone(r.ResponseModels)}
	})
	c.Integration = m.Integration.clone()
	return &c
}

func (i *Integration) clone() *Integration {
	if i == nil {
		return nil
	}
	c := *i
	c.RequestParameters, c.RequestTemplates = maps.Clone(i.RequestParameters), maps.Clone(i.RequestTemplates)
	c.CacheKeyParameters = slices.Clone(i.CacheKeyParameters)
	if i.TLSConfig != nil {
		t := *i.TLSConfig
		c.TLSConfig = &t
	}
	c.Responses = cloneEach(i.Responses, (*IntegrationResponse).clone)
	return &c
}

func (r *IntegrationResponse) clone() *IntegrationResponse {
	c := *r
	c.ResponseParameters, c.ResponseTemplates = maps.Clone(r.ResponseParameters), maps.Clone(r.ResponseTemplates)
	return &c
}

func cloneEach[K comparable, V any](m map[K]V, clone func(V) V) map[K]V {
	if m == nil {
		return nil
	}
	c := make(map[K]V, len(m))
	for k, v := range m {
		c[k] = clone(v)
	}
	return c
}

// restAPI finds the API that a request names.
func (s *Server) restAPI(q *request) (*RestAPI, error) {
	id := q.PathValue("api")
	api := s.rest[id]
	if api == nil {
		return nil, missing("Invalid API identifier specified %s:%s", s.Account, id)
	}
	return api, nil
}

func (s *Server) resource(q *request) (*RestAPI, *Resource, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, nil, err
	}
	r := api.Resources[q.PathValue("resource")]
	if r == nil {
		return nil, nil, missing("Invalid Resource identifier specified")
	}
	return api, r, nil
}

func (s *Server) method(q *request) (*Resource, *Method, error) {
	_, r, err := s.resource(q)
	if err != nil {
		return nil, nil, err
	}
	m := r.Methods[q.PathValue("method")]
	if m == nil {
		return nil, nil, missing("Invalid Method identifier specified")
	}
	return r, m, nil
}

func (s *Server) integration(q *request) (*Resource, *Method, *Integration, error) {
	r, m, err := s.method(q)
	if err != nil {
		return nil, nil, nil, err
	}
	if m.Integration == nil {
		return nil, nil, nil, missing("Invalid Integration identifier specified")
	}
	return r, m, m.Integration, nil
}

// page cuts a list by the query's limit and position. All of v1's lists are cut so.
func page[T any](q *request, all []T, normal int) ([]T, string, error) {
	limit := normal
	if text := q.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 500 {
			return nil, "", refuse("Invalid limit value: %s", text)
		}
		limit = n
	}
	return cut(all, limit, q.URL.Query().Get("position"))
}

// cut gives limit items from position on, and the next position, "" at the end. A position
// is opaque to clients.
func cut[T any](all []T, limit int, position string) ([]T, string, error) {
	start := 0
	if position != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(position, "p"))
		if err != nil || n < 0 || n > len(all) || position[0] != 'p' {
			return nil, "", refuse("Invalid position parameter specified")
		}
		start = n
	}
	end := min(len(all), start+limit)
	if end == len(all) {
		return all[start:], "", nil
	}
	return all[start:end], "p" + strconv.Itoa(end), nil
}

type list struct {
	Item     any    `json:"item"`
	Position string `json:"position,omitempty"`
}

func sorted[K ~string, V any](m map[K]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

func (s *Server) stamp() int64 { return s.Now().Unix() }

func isoTime(t int64) string { return time.Unix(t, 0).UTC().Format(time.RFC3339) }

// restOperations are the calls for APIs, resources, methods and integrations.
var restOperations = []operation{
	{"GetRestApis", "GET /restapis", 200, (*Server).getRestAPIs},
	{"CreateRestApi", "POST /restapis", 201, (*Server).createRestAPI},
	{"GetRestApi", "GET /restapis/{api}", 200, (*Server).getRestAPI},
	{"UpdateRestApi", "PATCH /restapis/{api}", 200, (*Server).updateRestAPI},
	{"DeleteRestApi", "DELETE /restapis/{api}", 202, (*Server).deleteRestAPI},
	{"GetAuthorizers", "GET /restapis/{api}/authorizers", 200, (*Server).getAuthorizers},
	{"GetUsagePlans", "GET /usageplans", 200, (*Server).getUsagePlans},
	{"TagResource", "PUT /tags/{arn}", 204, (*Server).tagREST},
	{"UntagResource", "DELETE /tags/{arn}", 204, (*Server).untagREST},
	{"GetTags", "GET /tags/{arn}", 200, (*Server).getTagsREST},
	{"GetResources", "GET /restapis/{api}/resources", 200, (*Server).getResources},
	{"GetResource", "GET /restapis/{api}/resources/{resource}", 200, (*Server).getResource},
	{"CreateResource", "POST /restapis/{api}/resources/{resource}", 201, (*Server).createResource},
	{"DeleteResource", "DELETE /restapis/{api}/resources/{resource}", 202, (*Server).deleteResource},
	{"GetMethod", "GET " + methodPath, 200, (*Server).getMethod},
	{"PutMethod", "PUT " + methodPath, 201, (*Server).putMethod},
	{"UpdateMethod", "PATCH " + methodPath, 200, (*Server).updateMethod},
	{"DeleteMethod", "DELETE " + methodPath, 204, (*Server).deleteMethod},
	{"PutMethodResponse", "PUT " + methodPath + "/responses/{status}", 201, (*Server).putMethodResponse},
	{"GetMethodResponse", "GET " + methodPath + "/responses/{status}", 200, (*Server).getMethodResponse},
	{"DeleteMethodResponse", "DELETE " + methodPath + "/responses/{status}", 204, (*Server).deleteMethodResponse},
	{"GetIntegration", "GET " + methodPath + "/integration", 200, (*Server).getIntegration},
	{"PutIntegration", "PUT " + methodPath + "/integration", 201, (*Server).putIntegration},
	{"UpdateIntegration", "PATCH " + methodPath + "/integration", 200, (*Server).updateIntegration},
	{"DeleteIntegration", "DELETE " + methodPath + "/integration", 204, (*Server).deleteIntegration},
	{"PutIntegrationResponse", "PUT " + methodPath + "/integration/responses/{status}", 201, (*Server).putIntegrationResponse},
	{"GetIntegrationResponse", "GET " + methodPath + "/integration/responses/{status}", 200, (*Server).getIntegrationResponse},
	{"UpdateIntegrationResponse", "PATCH " + methodPath + "/integration/responses/{status}", 200, (*Server).updateIntegrationResponse},
	{"DeleteIntegrationResponse", "DELETE " + methodPath + "/integration/responses/{status}", 204, (*Server).deleteIntegrationResponse},
}

const methodPath = "/restapis/{api}/resources/{resource}/methods/{method}"

var methods = []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodPatch, http.MethodHead, http.MethodOptions, "ANY"}
