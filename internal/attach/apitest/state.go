package apitest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// REST gives a copy of a REST API; nil if there is none.
func (s *Server) REST(id string) *RestAPI {
	s.mu.Lock()
	defer s.mu.Unlock()
	api := s.rest[id]
	if api == nil {
		return nil
	}
	c := api.snapshot()
	c.Tags = maps.Clone(api.Tags)
	c.Stages = cloneEach(api.Stages, (*Stage).clone)
	c.Deployments = maps.Clone(api.Deployments)
	return c
}

// EditREST changes a REST API's working copy behind everybody's back. edit must not call the
// server.
func (s *Server) EditREST(id string, edit func(*RestAPI)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	edit(s.rest[id])
}

// Method finds a method of the working copy; nil if there is none.
func (a *RestAPI) Method(method, path string) *Method {
	for _, r := range a.Resources {
		if r.Path == path {
			return r.Methods[method]
		}
	}
	return nil
}

// HTTP gives a copy of an HTTP API; nil if there is none. Its routes, integrations and
// deployments are shared: look, do not touch.
func (s *Server) HTTP(id string) *HTTPAPI {
	s.mu.Lock()
	defer s.mu.Unlock()
	api := s.http[id]
	if api == nil {
		return nil
	}
	c := *api
	c.HTTPSnapshot, c.Tags = api.snapshot(), maps.Clone(api.Tags)
	c.Stages = cloneEach(api.Stages, func(st *HTTPStage) *HTTPStage { n := *st; return &n })
	c.Deployments = maps.Clone(api.Deployments)
	return &c
}

// Route finds a route by its key, "GET /users"; nil if there is none.
func (h HTTPSnapshot) Route(key string) *HTTPRoute {
	for _, r := range h.Routes {
		if r.RouteKey == key {
			return r
		}
	}
	return nil
}

// Function gives a copy of a function; nil if there is none.
func (s *Server) Function(name string) *Function {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.functions[name]; f != nil {
		return f.clone()
	}
	return nil
}

// Deploy deploys an API of either kind to a stage as somebody else would, and gives the
// deployment's id.
func (s *Server) Deploy(api, stage string) (string, error) {
	path := "/restapis/" + api + "/deployments"
	s.mu.Lock()
	if s.http[api] != nil {
		path = "/v2/apis/" + api + "/deployments"
	}
	s.mu.Unlock()
	text, err := s.Call("POST", path, object{"stageName": stage})
	if err != nil {
		return "", fmt.Errorf("deploy %s to %s: %w", api, stage, err)
	}
	var out struct{ ID, DeploymentID string }
	if err := json.Unmarshal(text, &out); err != nil {
		return "", fmt.Errorf("deploy %s to %s: %w", api, stage, err)
	}
	return out.ID + out.DeploymentID, nil
}

// Export is what GetExport (with extensions=integrations) or ExportApi gives for a stage;
// nil if there is no such stage or nothing deployed to it.
func (s *Server) Export(api, stage string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.rest[api]; a != nil && a.Stages[stage] != nil {
		return s.exportREST(a, a.Stages[stage], true, true)
	}
	if a := s.http[api]; a != nil && a.Stages[stage] != nil && a.Stages[stage].DeploymentID != "" {
		return s.exportHTTPStage(a, stage, true)
	}
	return nil
}

// WorkingCopy is all that can be edited of an API, without stages and tags, as JSON; nil if
// there is no such API. It equals [Server.Deployed] when nothing waits to be deployed.
func (s *Server) WorkingCopy(api string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.rest[api]; a != nil {
		return indent(a.state())
	}
	if a := s.http[api]; a != nil {
		return indent(a.HTTPSnapshot.state())
	}
	return nil
}

// Deployed is the snapshot behind a stage, in the form of WorkingCopy.
func (s *Server) Deployed(api, stage string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.rest[api]; a != nil && a.Stages[stage] != nil {
		return indent(a.Deployments[a.Stages[stage].DeploymentID].Snapshot.state())
	}
	if a := s.http[api]; a != nil && a.Stages[stage] != nil && a.Deployments[a.Stages[stage].DeploymentID] != nil {
		return indent(a.Deployments[a.Stages[stage].DeploymentID].Snapshot.state())
	}
	return nil
}

// Dump is the complete state as JSON, always the same for the same state: all APIs with
// their stages, tags and deployments, all functions with their policies.
func (s *Server) Dump() []byte { return s.dump(true) }

// Settled is Dump without what a change that was taken back leaves behind for good: the
// list of deployments, their ids and dates, and the functions' revisions. Each stage shows
// the content of its deployment instead.
func (s *Server) Settled() []byte { return s.dump(false) }

func (s *Server) dump(history bool) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest, http, functions := object{}, object{}, object{}
	for id, a := range s.rest {
		rest[id] = a.dump(history)
	}
	for id, a := range s.http {
		http[id] = a.dump(history)
	}
	for name, f := range s.functions {
		c := f.clone()
		if !history {
			c.Revision = ""
		}
		functions[name] = c
	}
	return indent(object{"restapis": rest, "apis": http, "functions": functions, "usageplans": s.plans})
}

func (a *RestAPI) state() object {
	plain := *a
	plain.Tags = nil
	resources := object{}
	for _, r := range a.Resources {
		resources[r.Path] = r
	}
	return object{"api": plain, "resources": resources, "authorizers": a.Authorizers, "models": a.Models, "requestvalidators": a.Validators, "gatewayresponses": a.GatewayResponses}
}

func (a *RestAPI) dump(history bool) object {
	out := a.state()
	out["tags"] = orEmpty(a.Tags)
	stages := object{}
	for name, st := range a.Stages {
		c := st.clone()
		one := object{"stage": c, "content": a.content(st.DeploymentID)}
		if c.CanarySettings != nil {
			one["canary"] = a.content(c.CanarySettings.DeploymentID)
		}
		if !history {
			c.DeploymentID, c.LastUpdatedDate = "", 0
			if c.CanarySettings != nil {
				c.CanarySettings.DeploymentID = ""
			}
		}
		stages[name] = one
	}
	out["stages"] = stages
	if history {
		deployments := object{}
		for id, d := range a.Deployments {
			deployments[id] = object{"deployment": d, "content": d.Snapshot.state()}
		}
		out["deployments"] = deployments
	}
	return out
}

func (a *RestAPI) content(deployment string) any {
	if d := a.Deployments[deployment]; d != nil {
		return d.Snapshot.state()
	}
	return nil
}

func (h HTTPSnapshot) state() object {
	return object{"routes": sortedRoutes(h.Routes), "integrations": h.Integrations}
}

func (a *HTTPAPI) dump(history bool) object {
	plain := *a
	out := a.HTTPSnapshot.state()
	out["api"] = plain
	stages := object{}
	for name, st := range a.Stages {
		c := *st
		one := object{}
		if d := a.Deployments[st.DeploymentID]; d != nil {
			one["content"] = d.Snapshot.state()
		}
		if !history {
			c.DeploymentID, c.LastUpdatedDate, c.LastDeploymentStatus = "", "", ""
		}
		one["stage"] = c
		stages[name] = one
	}
	out["stages"] = stages
	if history {
		deployments := object{}
		for id, d := range a.Deployments {
			deployments[id] = object{"deployment": d, "content": d.Snapshot.state()}
		}
		out["deployments"] = deployments
	}
	return out
}

func indent(v any) []byte {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		panic(fmt.Sprintf("apitest: %v", err)) // only a policy or a CORS rule that is no JSON, and those are checked
	}
	return text
}

// Diff shows the lines in which two texts differ, each with the nearest line above that is
// indented less, at most 40 of them; "" if they are equal.
func Diff(before, after []byte) string {
	if string(before) == string(after) {
		return ""
	}
	a, b := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	start := 0
	for start < min(len(a), len(b)) && a[start] == b[start] {
		start++
	}
	enda, endb := len(a), len(b)
	for enda > start && endb > start && a[enda-1] == b[endb-1] {
		enda, endb = enda-1, endb-1
	}
	var out []string
	for _, line := range a[max(0, start-3):start] {
		out = append(out, "  "+line)
	}
	out = append(out, marked("- ", a[start:enda], 20)...)
	out = append(out, marked("+ ", b[start:endb], 20)...)
	return strings.Join(out, "\n")
}

func marked(mark string, lines []string, most int) []string {
	lines = slices.Clone(lines)
	more := ""
	if len(lines) > most {
		more = fmt.Sprintf("%s… and %d more lines", mark, len(lines)-most)
		lines = lines[:most]
	}
	for i := range lines {
		lines[i] = mark + lines[i]
	}
	if more != "" {
		lines = append(lines, more)
	}
	return lines
}
