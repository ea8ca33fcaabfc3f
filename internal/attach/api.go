package attach

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Kind is the type of an API.
type Kind string

const (
	REST Kind = "REST" // REST API, version 1
	HTTP Kind = "HTTP" // HTTP API, version 2
)

// TagState is the tag that says where an attached API's original state lies.
const TagState = "tapway:state"

// API is what was read of an API: the working copy, and of one stage what is deployed.
type API struct {
	Kind    Kind              `json:"kind"`
	ID      string            `json:"id"`
	Name    string            `json:"name"`
	Region  string            `json:"region"`
	Account string            `json:"account,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
	Stage   string            `json:"stage,omitempty"`

	// Everything as AWS sent it. Resources are those of a REST API with their methods,
	// Routes and Integrations those of an HTTP API.
	Raw          json.RawMessage   `json:"raw"`
	Stages       []json.RawMessage `json:"stages"`
	Resources    []json.RawMessage `json:"resources,omitempty"`
	Routes       []json.RawMessage `json:"routes,omitempty"`
	Integrations []json.RawMessage `json:"integrations,omitempty"`

	Export  json.RawMessage `json:"export,omitempty"`  // of Stage; nil without one, or when nothing is deployed
	Working json.RawMessage `json:"working,omitempty"` // export of an HTTP API's working copy
}

// stage is what we look at of a stage of either kind.
type stage struct {
	Name         string            `json:"stageName"`
	DeploymentID string            `json:"deploymentId"`
	AutoDeploy   bool              `json:"autoDeploy"`
	Variables    map[string]string `json:"variables"`
	StageVars    map[string]string `json:"stageVariables"` // an HTTP API's name for them

	CacheClusterEnabled bool   `json:"cacheClusterEnabled"`
	ClientCertificateID string `json:"clientCertificateId"`
	MethodSettings      map[string]struct {
		CachingEnabled bool `json:"cachingEnabled"`
	} `json:"methodSettings"`
	Canary *struct {
		DeploymentID string  `json:"deploymentId"`
		Percent      float64 `json:"percentTraffic"`
	} `json:"canarySettings"`
}

func (s *stage) vars() map[string]string {
	if len(s.StageVars) > 0 {
		return s.StageVars
	}
	return s.Variables
}

func decodeStage(raw json.RawMessage) (stage, error) {
	var s stage
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("read a stage: %w", err)
	}
	return s, nil
}

// stage finds a stage by its name.
func (a *API) stage(name string) (stage, bool) {
	for _, raw := range a.Stages {
		if s, err := decodeStage(raw); err == nil && s.Name == name {
			return s, true
		}
	}
	return stage{}, false
}

func (a *API) stageNames() []string {
	var names []string
	for _, raw := range a.Stages {
		if s, err := decodeStage(raw); err == nil {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names
}

// resource is a resource of a REST API.
type resource struct {
	ID      string                     `json:"id"`
	Path    string                     `json:"path"`
	Methods map[string]json.RawMessage `json:"resourceMethods"`
}

// method is what we look at of a method of a REST API.
type method struct {
	HTTPMethod    string                     `json:"httpMethod"`
	Authorization string                     `json:"authorizationType"`
	AuthorizerID  string                     `json:"authorizerId"`
	APIKey        bool                       `json:"apiKeyRequired"`
	Validator     string                     `json:"requestValidatorId"`
	Parameters    map[string]bool            `json:"requestParameters"`
	Models        map[string]string          `json:"requestModels"`
	Responses     map[string]json.RawMessage `json:"methodResponses"`
	Integration   json.RawMessage            `json:"methodIntegration"`
}

// httpRoute is what we look at of a route of an HTTP API.
type httpRoute struct {
	ID         string `json:"routeId"`
	Key        string `json:"routeKey"`
	Target     string `json:"target"`
	Managed    bool   `json:"apiGatewayManaged"`
	Auth       string `json:"authorizationType"`
	Authorizer string `json:"authorizerId"`
	APIKey     bool   `json:"apiKeyRequired"`
}

// httpIntegration is an integration of an HTTP API.
type httpIntegration struct {
	ID                 string                       `json:"integrationId,omitempty"`
	Description        string                       `json:"description,omitempty"`
	Type               string                       `json:"integrationType"`
	URI                string                       `json:"integrationUri"`
	Method             string                       `json:"integrationMethod,omitempty"`
	ConnectionType     string                       `json:"connectionType,omitempty"`
	ConnectionID       string                       `json:"connectionId,omitempty"`
	Credentials        string                       `json:"credentialsArn,omitempty"`
	Subtype            string                       `json:"integrationSubtype,omitempty"`
	PayloadFormat      string                       `json:"payloadFormatVersion,omitempty"`
	Timeout            int32                        `json:"timeoutInMillis,omitempty"`
	RequestParameters  map[string]string            `json:"requestParameters,omitempty"`
	ResponseParameters map[string]map[string]string `json:"responseParameters,omitempty"`
	TLS                *struct {
		ServerName string `json:"serverNameToVerify"`
	} `json:"tlsConfig,omitempty"`
}

// keyParts parts "GET /users/{id}"; "$default" is a path of its own.
func keyParts(key string) (method, path string) {
	method, path, ok := strings.Cut(key, " ")
	if !ok {
		return "ANY", key
	}
	return method, path
}
