package apitest

import (
	"maps"
	"slices"
)

// Deployment is a copy of an API as it was.
type Deployment struct {
	ID          string `json:"id"`
	Description string `json:"description,omitempty"`
	CreatedDate int64  `json:"createdDate"`

	Snapshot *RestAPI `json:"-"` // without stages and deployments
	seq      int      // grows with every deployment
}

// snapshot copies what a deployment keeps of an API: everything but its tags.
func (a *RestAPI) snapshot() *RestAPI {
	c := *a
	c.BinaryMediaTypes = slices.Clone(a.BinaryMediaTypes)
	c.Resources = cloneEach(a.Resources, (*Resource).clone)
	c.Authorizers = slices.Clone(a.Authorizers)
	c.Tags, c.Stages, c.Deployments = nil, nil, nil
	return &c
}

// deployable says why the working copy cannot be deployed.
func (a *RestAPI) deployable() error {
	n := 0
	for _, r := range a.Resources {
		for _, m := range r.Methods {
			n++
			if m.Integration == nil {
				return refuse("No integration defined for method")
			}
		}
	}
	if n == 0 {
		return refuse("The REST API doesn't contain any methods")
	}
	return nil
}

func (s *Server) createDeployment(q *request) (any, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		StageName           string            `json:"stageName"`
		StageDescription    string            `json:"stageDescription"`
		Description         string            `json:"description"`
		CacheClusterEnabled *bool             `json:"cacheClusterEnabled"`
		CacheClusterSize    string            `json:"cacheClusterSize"`
		Variables           map[string]string `json:"variables"`
		CanarySettings      *CanarySettings   `json:"canarySettings"`
		TracingEnabled      *bool             `json:"tracingEnabled"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	if err := api.deployable(); err != nil {
		return nil, err
	}
	old := api.Stages[in.StageName]
	switch {
	case in.StageName != "" && !stageName.MatchString(in.StageName):
		return nil, refuse("Stage name only allows a-zA-Z0-9_-")
	case in.CanarySettings != nil && old == nil:
		return nil, refuse("Invalid deployment content specified. Non null and non empty stageName must be provided for canary deployment. Provided value is null or the stage does not exist")
	case in.StageName != "" && old == nil && s.MaxStages > 0 && len(api.Stages) >= s.MaxStages:
		return nil, exceeded("Maximum number of stages for this API has been reached.")
	}
	d := &Deployment{ID: s.idLocked(6), Description: in.Description, CreatedDate: s.stamp(), Snapshot: api.snapshot(), seq: s.ids}
	api.Deployments[d.ID] = d
	if in.StageName == "" {
		return d, nil
	}
	if old == nil {
		api.Stages[in.StageName] = &Stage{Name: in.StageName, DeploymentID: d.ID, Description: in.StageDescription, Variables: in.Variables,
			CacheClusterStatus: "NOT_AVAILABLE", MethodSettings: map[string]*MethodSetting{}, CreatedDate: d.CreatedDate, LastUpdatedDate: d.CreatedDate}
		old = api.Stages[in.StageName]
	} else if in.CanarySettings != nil {
		in.CanarySettings.DeploymentID = d.ID
		old.CanarySettings = in.CanarySettings
	} else {
		old.DeploymentID = d.ID
	}
	for k, v := range in.Variables {
		old.Variables = orEmpty(old.Variables)
		old.Variables[k] = v
	}
	if in.StageDescription != "" {
		old.Description = in.StageDescription
	}
	if in.TracingEnabled != nil {
		old.TracingEnabled = *in.TracingEnabled
	}
	if in.CacheClusterEnabled != nil {
		old.setCache(*in.CacheClusterEnabled)
	}
	if in.CacheClusterSize != "" {
		old.CacheClusterSize = in.CacheClusterSize
	}
	old.LastUpdatedDate = d.CreatedDate
	return d, nil
}

func (s *Server) deployment(q *request) (*RestAPI, *Deployment, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, nil, err
	}
	d := api.Deployments[q.PathValue("deployment")]
	if d == nil {
		return nil, nil, missing("Invalid Deployment identifier specified")
	}
	return api, d, nil
}

func (s *Server) getDeployment(q *request) (any, error) {
	_, d, err := s.deployment(q)
	if err != nil || !slices.Contains(q.URL.Query()["embed"], "apisummary") {
		return d, err
	}
	type methodSummary struct {
		AuthorizationType string `json:"authorizationType"`
		APIKeyRequired    bool   `json:"apiKeyRequired"`
	}
	summary := map[string]map[string]methodSummary{}
	for _, r := range d.Snapshot.Resources {
		for name, m := range r.Methods {
			if summary[r.Path] == nil {
				summary[r.Path] = map[string]methodSummary{}
			}
			summary[r.Path][name] = methodSummary{m.AuthorizationType, m.APIKeyRequired}
		}
	}
	return struct {
		*Deployment
		Summary map[string]map[string]methodSummary `json:"apiSummary"`
	}{d, summary}, nil
}

func (s *Server) getDeployments(q *request) (any, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	items, next, err := page(q, api.deploymentsByAge(), 25)
	return list{items, next}, err
}

// deploymentsByAge has the newest first.
func (a *RestAPI) deploymentsByAge() []*Deployment {
	return slices.SortedFunc(maps.Values(a.Deployments), func(x, y *Deployment) int { return y.seq - x.seq })
}

func (s *Server) deleteDeployment(q *request) (any, error) {
	api, d, err := s.deployment(q)
	if err != nil {
		return nil, err
	}
	for _, st := range api.Stages {
		if st.DeploymentID == d.ID || st.CanarySettings != nil && st.CanarySettings.DeploymentID == d.ID {
			return nil, refuse("Active stages pointing to this deployment must be moved or deleted")
		}
	}
	delete(api.Deployments, d.ID)
	return nil, nil
}

func (s *Server) updateDeployment(q *request) (any, error) {
	_, d, err := s.deployment(q)
	if err != nil {
		return nil, err
	}
	ops, err := q.patches()
	if err != nil {
		return nil, err
	}
	return d, applyPatches(ops, map[string]field{"/description": textField(&d.Description)})
}
