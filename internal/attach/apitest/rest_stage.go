package apitest

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Stage is where a deployment can be called.
type Stage struct {
	Name                string                    `json:"stageName"`
	DeploymentID        string                    `json:"deploymentId"`
	Description         string                    `json:"description,omitempty"`
	ClientCertificateID string                    `json:"clientCertificateId,omitempty"`
	CacheClusterEnabled bool                      `json:"cacheClusterEnabled"`
	CacheClusterSize    string                    `json:"cacheClusterSize,omitempty"`
	CacheClusterStatus  string                    `json:"cacheClusterStatus"`
	MethodSettings      map[string]*MethodSetting `json:"methodSettings"` // by "users/{id}/GET" or "*/*"
	Variables           map[string]string         `json:"variables,omitempty"`
	DocumentationVer    string                    `json:"documentationVersion,omitempty"`
	AccessLogSettings   *AccessLogSettings        `json:"accessLogSettings,omitempty"`
	CanarySettings      *CanarySettings           `json:"canarySettings,omitempty"`
	TracingEnabled      bool                      `json:"tracingEnabled"`
	WebACLARN           string                    `json:"webAclArn,omitempty"`
	Tags                map[string]string         `json:"tags,omitempty"`
	CreatedDate         int64                     `json:"createdDate"`
	LastUpdatedDate     int64                     `json:"lastUpdatedDate"`
}

// MethodSetting is what a stage does with the calls of a method.
type MethodSetting struct {
	MetricsEnabled                         bool    `json:"metricsEnabled"`
	LoggingLevel                           string  `json:"loggingLevel,omitempty"`
	DataTraceEnabled                       bool    `json:"dataTraceEnabled"`
	ThrottlingBurstLimit                   int     `json:"throttlingBurstLimit"`
	ThrottlingRateLimit                    float64 `json:"throttlingRateLimit"`
	CachingEnabled                         bool    `json:"cachingEnabled"`
	CacheTTLInSeconds                      int     `json:"cacheTtlInSeconds"`
	CacheDataEncrypted                     bool    `json:"cacheDataEncrypted"`
	RequireAuthorizationForCacheControl    bool    `json:"requireAuthorizationForCacheControl"`
	UnauthorizedCacheControlHeaderStrategy string  `json:"unauthorizedCacheControlHeaderStrategy"`
}

// AccessLogSettings says where a stage's access log goes.
type AccessLogSettings struct {
	Format         string `json:"format,omitempty"`
	DestinationARN string `json:"destinationArn,omitempty"`
}

// CanarySettings sends a part of a stage's calls to another deployment.
type CanarySettings struct {
	PercentTraffic         float64           `json:"percentTraffic"`
	DeploymentID           string            `json:"deploymentId,omitempty"`
	StageVariableOverrides map[string]string `json:"stageVariableOverrides,omitempty"`
	UseStageCache          bool              `json:"useStageCache"`
}

func (st *Stage) clone() *Stage {
	c := *st
	c.Variables, c.Tags = maps.Clone(st.Variables), maps.Clone(st.Tags)
	c.MethodSettings = cloneEach(st.MethodSettings, func(m *MethodSetting) *MethodSetting { n := *m; return &n })
	if st.AccessLogSettings != nil {
		a := *st.AccessLogSettings
		c.AccessLogSettings = &a
	}
	if st.CanarySettings != nil {
		n := *st.CanarySettings
		n.StageVariableOverrides = maps.Clone(n.StageVariableOverrides)
		c.CanarySettings = &n
	}
	return &c
}

func (st *Stage) setCache(on bool) {
	st.CacheClusterEnabled, st.CacheClusterStatus = on, "NOT_AVAILABLE"
	if on {
		st.CacheClusterStatus = "AVAILABLE"
		if st.CacheClusterSize == "" {
			st.CacheClusterSize = "0.5"
		}
	}
}

var stageName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// restStageOperations are the calls for deployments, stages and exports.
var restStageOperations = []operation{
	{"CreateDeployment", "POST /restapis/{api}/deployments", 201, (*Server).createDeployment},
	{"GetDeployments", "GET /restapis/{api}/deployments", 200, (*Server).getDeployments},
	{"GetDeployment", "GET /restapis/{api}/deployments/{deployment}", 200, (*Server).getDeployment},
	{"UpdateDeployment", "PATCH /restapis/{api}/deployments/{deployment}", 200, (*Server).updateDeployment},
	{"DeleteDeployment", "DELETE /restapis/{api}/deployments/{deployment}", 202, (*Server).deleteDeployment},
	{"GetStages", "GET /restapis/{api}/stages", 200, (*Server).getStages},
	{"CreateStage", "POST /restapis/{api}/stages", 201, (*Server).createStage},
	{"GetStage", "GET /restapis/{api}/stages/{stage}", 200, (*Server).getStage},
	{"UpdateStage", "PATCH /restapis/{api}/stages/{stage}", 200, (*Server).updateStage},
	{"DeleteStage", "DELETE /restapis/{api}/stages/{stage}", 202, (*Server).deleteStage},
	{"GetExport", "GET /restapis/{api}/stages/{stage}/exports/{type}", 200, (*Server).getExport},
}

func (s *Server) stage(q *request) (*RestAPI, *Stage, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, nil, err
	}
	st := api.Stages[q.PathValue("stage")]
	if st == nil {
		return nil, nil, missing("Invalid stage identifier specified")
	}
	return api, st, nil
}

func (s *Server) getStage(q *request) (any, error) {
	_, st, err := s.stage(q)
	return st, err
}

func (s *Server) getStages(q *request) (any, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	id := q.URL.Query().Get("deploymentId")
	out := []*Stage{}
	for _, st := range sorted(api.Stages) {
		if id == "" || st.DeploymentID == id {
			out = append(out, st)
		}
	}
	return list{Item: out}, nil
}

func (s *Server) createStage(q *request) (any, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		Name                string            `json:"stageName"`
		DeploymentID        string            `json:"deploymentId"`
		Description         string            `json:"description"`
		CacheClusterEnabled bool              `json:"cacheClusterEnabled"`
		CacheClusterSize    string            `json:"cacheClusterSize"`
		Variables           map[string]string `json:"variables"`
		DocumentationVer    string            `json:"documentationVersion"`
		CanarySettings      *CanarySettings   `json:"canarySettings"`
		TracingEnabled      bool              `json:"tracingEnabled"`
		Tags                map[string]string `json:"tags"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	switch {
	case !stageName.MatchString(in.Name):
		return nil, refuse("Stage name only allows a-zA-Z0-9_-")
	case api.Stages[in.Name] != nil:
		return nil, conflict("Stage already exists")
	case api.Deployments[in.DeploymentID] == nil:
		return nil, refuse("Deployment id does not exist")
	case s.MaxStages > 0 && len(api.Stages) >= s.MaxStages:
		return nil, exceeded("Maximum number of stages for this API has been reached.")
	}
	st := &Stage{Name: in.Name, DeploymentID: in.DeploymentID, Description: in.Description, CacheClusterSize: in.CacheClusterSize,
		Variables: in.Variables, DocumentationVer: in.DocumentationVer, CanarySettings: in.CanarySettings, TracingEnabled: in.TracingEnabled,
		Tags: in.Tags, MethodSettings: map[string]*MethodSetting{}, CreatedDate: s.stamp(), LastUpdatedDate: s.stamp()}
	st.setCache(in.CacheClusterEnabled)
	if c := st.CanarySettings; c != nil && api.Deployments[c.DeploymentID] == nil {
		return nil, refuse("Deployment id does not exist")
	}
	api.Stages[st.Name] = st
	return st, nil
}

func (s *Server) deleteStage(q *request) (any, error) {
	api, st, err := s.stage(q)
	if err != nil {
		return nil, err
	}
	delete(api.Stages, st.Name)
	return nil, nil
}

func (s *Server) updateStage(q *request) (any, error) {
	api, old, err := s.stage(q)
	if err != nil {
		return nil, err
	}
	ops, err := q.patches()
	if err != nil {
		return nil, err
	}
	st := old.clone()
	for _, p := range ops { // one by one: a copy sees what came before it
		if err := st.patch(api, p); err != nil {
			return nil, err
		}
	}
	if c := st.CanarySettings; c != nil && c.DeploymentID == "" {
		c.DeploymentID = st.DeploymentID
	}
	st.LastUpdatedDate = s.stamp()
	api.Stages[st.Name] = st
	return st, nil
}

func (st *Stage) patch(api *RestAPI, p patchOp) error {
	switch {
	case p.Op == "copy":
		return st.promote(p)
	case p.Op == "remove" && p.Path == "/canarySettings":
		if st.CanarySettings == nil {
			return refuse("Cannot remove canary settings: the stage has none")
		}
		st.CanarySettings = nil
		return nil
	case p.Op == "remove" && p.Path == "/accessLogSettings":
		st.AccessLogSettings = nil
		return nil
	case strings.HasPrefix(p.Path, "/canarySettings/"):
		if st.CanarySettings == nil {
			st.CanarySettings = &CanarySettings{}
		}
		return applyPatches([]patchOp{p}, st.CanarySettings.fields(api))
	case strings.HasPrefix(p.Path, "/accessLogSettings/"):
		if st.AccessLogSettings == nil {
			st.AccessLogSettings = &AccessLogSettings{}
		}
		return applyPatches([]patchOp{p}, map[string]field{
			"/accessLogSettings/format":         textField(&st.AccessLogSettings.Format),
			"/accessLogSettings/destinationArn": textField(&st.AccessLogSettings.DestinationARN)})
	}
	if done, err := st.patchMethod(p); done {
		return err
	}
	return applyPatches([]patchOp{p}, st.fields(api))
}

func (st *Stage) fields(api *RestAPI) map[string]field {
	return map[string]field{
		"/deploymentId":         deploymentField(api, &st.DeploymentID),
		"/description":          textField(&st.Description),
		"/clientCertificateId":  textField(&st.ClientCertificateID),
		"/documentationVersion": textField(&st.DocumentationVer),
		"/cacheClusterSize":     textField(&st.CacheClusterSize),
		"/tracingEnabled":       boolField(&st.TracingEnabled),
		"/variables":            mapField(&st.Variables, "replace remove"),
		"/cacheClusterEnabled": {ops: "replace", set: func(_, v string) error {
			st.setCache(v == "true")
			return nil
		}},
	}
}

func (c *CanarySettings) fields(api *RestAPI) map[string]field {
	percent := numberField(&c.PercentTraffic)
	return map[string]field{
		"/canarySettings/deploymentId":           deploymentField(api, &c.DeploymentID),
		"/canarySettings/useStageCache":          boolField(&c.UseStageCache),
		"/canarySettings/stageVariableOverrides": mapField(&c.StageVariableOverrides, "replace remove"),
		"/canarySettings/percentTraffic": {ops: "replace", set: func(k, v string) error {
			if err := percent.set(k, v); err != nil {
				return err
			}
			if c.PercentTraffic < 0 || c.PercentTraffic > 100 {
				return refuse("Canary percent traffic must be between 0.0 and 100.0")
			}
			return nil
		}},
	}
}

func deploymentField(api *RestAPI, p *string) field {
	return field{ops: "replace", set: func(_, v string) error {
		if api.Deployments[v] == nil {
			return refuse("Deployment id does not exist")
		}
		*p = v
		return nil
	}}
}

// promote makes the canary's deployment or variables the stage's own.
func (st *Stage) promote(p patchOp) error {
	c := st.CanarySettings
	switch {
	case c == nil:
		return refuse("Promotion not available: the stage has no canary")
	case p.From == "/canarySettings/deploymentId" && p.Path == "/deploymentId":
		st.DeploymentID = c.DeploymentID
	case p.From == "/canarySettings/stageVariableOverrides" && p.Path == "/variables":
		for k, v := range c.StageVariableOverrides {
			st.Variables = orEmpty(st.Variables)
			st.Variables[k] = v
		}
	default:
		return refuse("Invalid copy operation with path: %s and from %s. Valid copy:path are [/deploymentId, /variables] and valid copy:from are [/canarySettings/deploymentId, /canarySettings/stageVariableOverrides]", p.Path, p.From)
	}
	return nil
}

// patchMethod changes the settings of a method: "/~1users~1{id}/GET/caching/enabled". A
// slash of the path may also be left as it is.
func (st *Stage) patchMethod(p patchOp) (done bool, err error) {
	parts := p.segments()
	if n := len(parts); p.Op == "remove" && n >= 2 && (slices.Contains(methods, parts[n-1]) || parts[n-1] == "*") {
		key := settingKey(parts)
		if st.MethodSettings[key] == nil {
			return true, missing("Invalid method setting path: %s", p.Path)
		}
		delete(st.MethodSettings, key)
		return true, nil
	}
	if len(parts) < 4 {
		return false, nil
	}
	n := len(parts) - 2
	key := settingKey(parts[:n])
	m := &MethodSetting{ThrottlingBurstLimit: 5000, ThrottlingRateLimit: 10000, CacheTTLInSeconds: 300,
		RequireAuthorizationForCacheControl: true, UnauthorizedCacheControlHeaderStrategy: "SUCCEED_WITH_RESPONSE_HEADER", LoggingLevel: "OFF"}
	if old := st.MethodSettings[key]; old != nil {
		m = old
	}
	err = applyPatches([]patchOp{{Op: p.Op, Path: "/" + strings.Join(parts[n:], "/"), Value: p.Value}}, map[string]field{
		"/metrics/enabled":                             boolField(&m.MetricsEnabled),
		"/logging/loglevel":                            enumField(&m.LoggingLevel, "OFF", "ERROR", "INFO"),
		"/logging/dataTrace":                           boolField(&m.DataTraceEnabled),
		"/throttling/burstLimit":                       intField(&m.ThrottlingBurstLimit),
		"/throttling/rateLimit":                        numberField(&m.ThrottlingRateLimit),
		"/caching/enabled":                             boolField(&m.CachingEnabled),
		"/caching/ttlInSeconds":                        intField(&m.CacheTTLInSeconds),
		"/caching/dataEncrypted":                       boolField(&m.CacheDataEncrypted),
		"/caching/requireAuthorizationForCacheControl": boolField(&m.RequireAuthorizationForCacheControl),
		"/caching/unauthorizedCacheControlHeaderStrategy": enumField(&m.UnauthorizedCacheControlHeaderStrategy,
			"FAIL_WITH_403", "SUCCEED_WITH_RESPONSE_HEADER", "SUCCEED_WITHOUT_RESPONSE_HEADER"),
	})
	if err == nil {
		st.MethodSettings[key] = m
	}
	return true, err
}

// settingKey joins a path's segments and a method: "users/{id}/GET", "*/*".
func settingKey(parts []string) string {
	return strings.TrimPrefix(strings.Join(parts, "/"), "/")
}
