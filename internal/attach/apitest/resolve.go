package apitest

import (
	"maps"
	"net/http"
	"strings"
)

// Target is where API Gateway sends a call.
type Target struct {
	Route      string // "GET /users/{id}" as in the API
	Type       string // HTTP, HTTP_PROXY, AWS, AWS_PROXY, MOCK
	URI        string // stage variables put in
	Deployment string
	Parameters map[string]string // of the request, as the integration has them: "integration.request.header.x", "overwrite:header.x"

	// Problem says why API Gateway answers 500 instead: a function that is not there or that
	// it may not invoke. "" is no problem.
	Problem string
}

// Resolve says where a call to a stage goes; ok is false where API Gateway would refuse it.
// path is what follows the stage.
func (s *Server) Resolve(api, stage, method, path string) (t Target, ok bool) {
	return s.resolve(api, stage, method, path, false)
}

// ResolveCanary is Resolve for the calls that a stage's canary gets.
func (s *Server) ResolveCanary(api, stage, method, path string) (t Target, ok bool) {
	return s.resolve(api, stage, method, path, true)
}

func (s *Server) resolve(api, stage, method, path string, canary bool) (Target, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.rest[api]; a != nil && a.Stages[stage] != nil {
		st := a.Stages[stage]
		id, variables := st.DeploymentID, orEmpty(st.Variables)
		if canary {
			if st.CanarySettings == nil {
				return Target{}, false
			}
			id = st.CanarySettings.DeploymentID
			variables = merge(variables, st.CanarySettings.StageVariableOverrides)
		}
		t, i := a.Deployments[id].resolve(method, path, variables)
		if i == nil {
			return Target{}, false
		}
		name, template, _ := strings.Cut(t.Route, " ")
		t.Problem = s.invocable(t.URI, i.Credentials, s.source(api, stage, name, template))
		if i.Type == "AWS_PROXY" && i.HTTPMethod != http.MethodPost {
			t.Problem = "a function is invoked with POST, not " + i.HTTPMethod
		}
		return t, true
	}
	if a := s.http[api]; a != nil && a.Stages[stage] != nil && !canary {
		st := a.Stages[stage]
		t, i := a.Deployments[st.DeploymentID].resolve(method, path, st.StageVariables)
		if i == nil {
			return Target{}, false
		}
		name, template, ok := strings.Cut(t.Route, " ")
		if !ok {
			name, template = "", "$default"
		}
		t.Problem = s.invocable(t.URI, i.CredentialsARN, s.source(api, stage, name, template))
		return t, true
	}
	return Target{}, false
}

// resolve finds the resource first, then its method: a resource without the method does not
// leave the call to a wider one.
func (d *Deployment) resolve(method, path string, variables map[string]string) (Target, *Integration) {
	if d == nil {
		return Target{}, nil
	}
	var best *Resource
	rank := ""
	for _, r := range d.Snapshot.Resources {
		if key, ok := fit(r.Path, path); ok && len(r.Methods) > 0 && (best == nil || key < rank) {
			best, rank = r, key
		}
	}
	if best == nil {
		return Target{}, nil
	}
	m := best.Methods[method]
	if m == nil {
		m = best.Methods["ANY"]
	}
	if m == nil || m.Integration == nil {
		return Target{}, nil
	}
	return Target{Route: m.HTTPMethod + " " + best.Path, Type: m.Integration.Type, URI: fill(m.Integration.URI, variables), Deployment: d.ID,
		Parameters: maps.Clone(m.Integration.RequestParameters)}, m.Integration
}

func (d *HTTPDeployment) resolve(method, path string, variables map[string]string) (Target, *HTTPIntegration) {
	if d == nil {
		return Target{}, nil
	}
	var best *HTTPRoute
	rank := ""
	for _, r := range d.Snapshot.Routes {
		key := "9"
		if name, template, ok := strings.Cut(r.RouteKey, " "); ok {
			fits := false
			if key, fits = fit(template, path); !fits || name != method && name != "ANY" {
				continue
			}
			if name == "ANY" {
				key += "9"
			}
		}
		if best == nil || key < rank {
			best, rank = r, key
		}
	}
	if best == nil {
		return Target{}, nil
	}
	i := d.Snapshot.Integrations[strings.TrimPrefix(best.Target, "integrations/")]
	if i == nil {
		return Target{}, nil
	}
	return Target{Route: best.RouteKey, Type: i.Type, URI: fill(i.URI, variables), Deployment: d.ID, Parameters: maps.Clone(i.RequestParameters)}, i
}

// fit says whether a path fits a template. Of two templates that fit, the one with the
// smaller rank wins: at the first segment where they differ a static one comes before a
// parameter, and that before a greedy one.
func fit(template, path string) (rank string, ok bool) {
	want, have := segmentsOf(template), segmentsOf(path)
	for i, w := range want {
		switch {
		case strings.HasSuffix(w, "+}"):
			return rank + "2", len(have) > i
		case i >= len(have):
			return "", false
		case strings.HasPrefix(w, "{"):
			if have[i] == "" {
				return "", false
			}
			rank += "1"
		case w == have[i]:
			rank += "0"
		default:
			return "", false
		}
	}
	return rank, len(have) == len(want)
}

func segmentsOf(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

func fill(uri string, variables map[string]string) string {
	for k, v := range variables {
		uri = strings.ReplaceAll(uri, "${stageVariables."+k+"}", v)
	}
	return uri
}

// Concrete is a path that fits a template: parameters get a value, a greedy one two segments.
func Concrete(template string) string {
	parts := strings.Split(template, "/")
	for i, part := range parts {
		switch {
		case strings.HasSuffix(part, "+}"):
			parts[i] = "a/b"
		case strings.HasPrefix(part, "{"):
			parts[i] = "7"
		}
	}
	return strings.Join(parts, "/")
}
