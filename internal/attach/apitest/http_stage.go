package apitest

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
)

// autoDeploy gives every stage that deploys by itself what the API is now.
func (s *Server) autoDeploy(api *HTTPAPI) {
	for _, st := range sorted(api.Stages) {
		if st.AutoDeploy {
			d := s.newHTTPDeployment(api, "Automatic deployment triggered by changes to the Api configuration", true)
			st.DeploymentID, st.LastUpdatedDate = d.ID, d.CreatedDate
			st.LastDeploymentStatus = "Successfully deployed stage with deployment ID '" + d.ID + "'"
		}
	}
}

func (s *Server) newHTTPDeployment(api *HTTPAPI, description string, auto bool) *HTTPDeployment {
	d := &HTTPDeployment{ID: s.idLocked(6), AutoDeployed: auto, Description: description, Status: "DEPLOYED", CreatedDate: isoTime(s.stamp()), Snapshot: api.snapshot(), seq: s.ids}
	api.Deployments[d.ID] = d
	return d
}

func (s *Server) httpStage(q *request) (*HTTPAPI, *HTTPStage, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, nil, err
	}
	st := api.Stages[q.PathValue("stage")]
	if st == nil {
		return nil, nil, missing("Unable to find Stage by name %s within API %s", q.PathValue("stage"), api.ID)
	}
	return api, st, nil
}

func (s *Server) getHTTPStage(q *request) (any, error) {
	_, st, err := s.httpStage(q)
	return st, err
}

func (s *Server) getHTTPStages(q *request) (any, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	return httpPage(q, sorted(api.Stages))
}

type stageBody struct {
	Name                 *string                    `json:"stageName"`
	AutoDeploy           *bool                      `json:"autoDeploy"`
	DeploymentID         *string                    `json:"deploymentId"`
	Description          *string                    `json:"description"`
	StageVariables       map[string]string          `json:"stageVariables"`
	DefaultRouteSettings json.RawMessage            `json:"defaultRouteSettings"`
	RouteSettings        map[string]json.RawMessage `json:"routeSettings"`
	AccessLogSettings    *AccessLogSettings         `json:"accessLogSettings"`
	Tags                 map[string]string          `json:"tags"`
}

func (in *stageBody) apply(st HTTPStage) *HTTPStage {
	assign(&st.Description, in.Description)
	assign(&st.AutoDeploy, in.AutoDeploy)
	assign(&st.DeploymentID, in.DeploymentID)
	st.StageVariables = merge(st.StageVariables, in.StageVariables)
	if in.DefaultRouteSettings != nil {
		st.DefaultRouteSettings = in.DefaultRouteSettings
	}
	if in.RouteSettings != nil {
		st.RouteSettings = maps.Clone(st.RouteSettings)
		if st.RouteSettings == nil {
			st.RouteSettings = map[string]json.RawMessage{}
		}
		maps.Copy(st.RouteSettings, in.RouteSettings)
	}
	if in.AccessLogSettings != nil {
		st.AccessLogSettings = in.AccessLogSettings
	}
	return &st
}

var httpStageName = regexp.MustCompile(`^(\$default|[A-Za-z0-9_-]{1,128})$`)

func (a *HTTPAPI) checkStage(st *HTTPStage, in *stageBody) error {
	if in.DeploymentID == nil || *in.DeploymentID == "" {
		return nil
	}
	if st.AutoDeploy {
		return refuse("Deployment ID cannot be set on stage because AutoDeploy is enabled")
	}
	if a.Deployments[*in.DeploymentID] == nil {
		return missing("Unable to find Deployment by ID %s within API %s", *in.DeploymentID, a.ID)
	}
	return nil
}

func (s *Server) createHTTPStage(q *request) (any, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	var in stageBody
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	if in.Name == nil || !httpStageName.MatchString(*in.Name) {
		return nil, refuse("Stage name only allows a-zA-Z0-9_- or $default")
	}
	if api.Stages[*in.Name] != nil {
		return nil, conflict("Stage already exists")
	}
	now := isoTime(s.stamp())
	st := in.apply(HTTPStage{Name: *in.Name, Tags: in.Tags, CreatedDate: now, LastUpdatedDate: now})
	if err := api.checkStage(st, &in); err != nil {
		return nil, err
	}
	api.Stages[st.Name] = st
	if st.AutoDeploy {
		s.autoDeploy(api)
	}
	return st, nil
}

func (s *Server) updateHTTPStage(q *request) (any, error) {
	api, old, err := s.httpStage(q)
	if err != nil {
		return nil, err
	}
	var in stageBody
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	if old.Managed {
		return nil, refuse("Cannot update a stage that is managed by API Gateway")
	}
	st := in.apply(*old)
	if err := api.checkStage(st, &in); err != nil {
		return nil, err
	}
	st.LastUpdatedDate = isoTime(s.stamp())
	api.Stages[st.Name] = st
	if st.AutoDeploy && !old.AutoDeploy {
		s.autoDeploy(api)
	}
	return st, nil
}

func (s *Server) deleteHTTPStage(q *request) (any, error) {
	api, st, err := s.httpStage(q)
	if err != nil {
		return nil, err
	}
	delete(api.Stages, st.Name)
	return nil, nil
}

func (s *Server) getHTTPDeployments(q *request) (any, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	newest := slices.SortedFunc(maps.Values(api.Deployments), func(a, b *HTTPDeployment) int { return b.seq - a.seq })
	return httpPage(q, newest)
}

func (s *Server) httpDeployment(q *request) (*HTTPAPI, *HTTPDeployment, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, nil, err
	}
	d := api.Deployments[q.PathValue("deployment")]
	if d == nil {
		return nil, nil, missing("Unable to find Deployment by ID %s within API %s", q.PathValue("deployment"), api.ID)
	}
	return api, d, nil
}

func (s *Server) getHTTPDeployment(q *request) (any, error) {
	_, d, err := s.httpDeployment(q)
	return d, err
}

func (s *Server) deleteHTTPDeployment(q *request) (any, error) {
	api, d, err := s.httpDeployment(q)
	if err != nil {
		return nil, err
	}
	for _, st := range api.Stages {
		if st.DeploymentID == d.ID {
			return nil, refuse("Active stages pointing to this deployment must be moved or deleted")
		}
	}
	delete(api.Deployments, d.ID)
	return nil, nil
}

func (s *Server) createHTTPDeployment(q *request) (any, error) {
	api, err := s.httpAPI(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		Description string `json:"description"`
		StageName   string `json:"stageName"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	if len(api.Routes) == 0 {
		return nil, refuse("At least one route is required before deploying the Api.")
	}
	st := api.Stages[in.StageName]
	switch {
	case in.StageName != "" && st == nil:
		return nil, missing("Unable to find Stage by name %s within API %s", in.StageName, api.ID)
	case st != nil && st.AutoDeploy:
		return nil, refuse("Deployment cannot be created on stage '%s' because AutoDeploy is enabled", in.StageName)
	}
	d := s.newHTTPDeployment(api, in.Description, false)
	if st != nil {
		st.DeploymentID, st.LastUpdatedDate = d.ID, d.CreatedDate
		st.LastDeploymentStatus = "Successfully deployed stage with deployment ID '" + d.ID + "'"
	}
	return d, nil
}
