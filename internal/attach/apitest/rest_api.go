package apitest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

func (s *Server) getRestAPIs(q *request) (any, error) {
	items, next, err := page(q, sorted(s.rest), 25)
	out := make([]any, len(items))
	for i, api := range items {
		out[i] = api.describe()
	}
	return list{out, next}, err
}

// describe shows the policy as AWS does: with a backslash before every quote.
func (a *RestAPI) describe() *RestAPI {
	c := *a
	c.Policy = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.Policy)
	return &c
}

func (s *Server) getRestAPI(q *request) (any, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	return api.describe(), nil
}

func (s *Server) createRestAPI(q *request) (any, error) {
	var in struct {
		Name                      string            `json:"name"`
		Description               string            `json:"description"`
		Version                   string            `json:"version"`
		BinaryMediaTypes          []string          `json:"binaryMediaTypes"`
		MinimumCompressionSize    *int              `json:"minimumCompressionSize"`
		APIKeySource              string            `json:"apiKeySource"`
		Endpoint                  *Endpoint         `json:"endpointConfiguration"`
		Policy                    string            `json:"policy"`
		Tags                      map[string]string `json:"tags"`
		DisableExecuteAPIEndpoint bool              `json:"disableExecuteApiEndpoint"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	if in.Name == "" {
		return nil, refuse("API name is required")
	}
	if err := checkPolicy(in.Policy); err != nil {
		return nil, err
	}
	api := &RestAPI{ID: s.idLocked(10), Name: in.Name, Description: in.Description, Version: in.Version, CreatedDate: s.stamp(),
		BinaryMediaTypes: in.BinaryMediaTypes, MinimumCompressionSize: in.MinimumCompressionSize, APIKeySource: in.APIKeySource,
		Endpoint: in.Endpoint, Policy: in.Policy, Tags: in.Tags, DisableExecuteAPIEndpoint: in.DisableExecuteAPIEndpoint,
		Resources: map[string]*Resource{}, Stages: map[string]*Stage{}, Deployments: map[string]*Deployment{}}
	if api.APIKeySource == "" {
		api.APIKeySource = "HEADER"
	}
	if api.Endpoint == nil {
		api.Endpoint = &Endpoint{Types: []string{"EDGE"}, IPAddressType: "ipv4"}
	}
	root := &Resource{ID: s.idLocked(10), Path: "/"}
	api.Resources[root.ID], api.RootResourceID = root, root.ID
	s.rest[api.ID] = api
	return api.describe(), nil
}

// checkPolicy is what API Gateway checks at once: the document must be JSON of at most 8192
// bytes.
func checkPolicy(policy string) error {
	if policy == "" {
		return nil
	}
	if len(policy) > 8192 {
		return exceeded("Resource policy size exceeded the limit of 8192 bytes")
	}
	if !json.Valid([]byte(policy)) {
		return refuse("Invalid policy document. Please check the policy syntax and ensure that Principals are valid.")
	}
	return nil
}

func (s *Server) updateRestAPI(q *request) (any, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	ops, err := q.patches()
	if err != nil {
		return nil, err
	}
	c := *api
	c.BinaryMediaTypes = slices.Clone(api.BinaryMediaTypes)
	media := setField(&c.BinaryMediaTypes)
	media.ops = "add remove replace"
	err = applyPatches(ops, map[string]field{
		"/name":                      textField(&c.Name),
		"/description":               textField(&c.Description),
		"/version":                   textField(&c.Version),
		"/binaryMediaTypes":          media,
		"/apiKeySource":              enumField(&c.APIKeySource, "HEADER", "AUTHORIZER"),
		"/disableExecuteApiEndpoint": boolField(&c.DisableExecuteAPIEndpoint),
		"/policy": {ops: "replace", set: func(_, v string) error {
			c.Policy = v
			return checkPolicy(v)
		}},
		"/minimumCompressionSize": {ops: "replace", set: func(_, v string) error {
			if v == "" || v == "null" {
				c.MinimumCompressionSize = nil
				return nil
			}
			n := 0
			c.MinimumCompressionSize = &n
			return intField(&n).set("", v)
		}},
	})
	if err != nil {
		return nil, err
	}
	*api = c
	return api.describe(), nil
}

func (s *Server) deleteRestAPI(q *request) (any, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	delete(s.rest, api.ID)
	return nil, nil
}

func (s *Server) getAuthorizers(q *request) (any, error) {
	api, err := s.restAPI(q)
	if err != nil {
		return nil, err
	}
	items, next, err := page(q, api.Authorizers, 25)
	return list{items, next}, err
}

func (s *Server) getUsagePlans(q *request) (any, error) {
	items, next, err := page(q, sorted(s.plans), 25)
	return list{items, next}, err
}

// AddUsagePlan makes a usage plan and gives its id.
func (s *Server) AddUsagePlan(name string, stages ...APIStage) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &UsagePlan{s.idLocked(6), name, stages}
	s.plans[p.ID] = p
	return p.ID
}

// taggedREST finds the tags of "arn:aws:apigateway:REGION::/restapis/ID" or of a stage
// below it.
func (s *Server) taggedREST(arn string) (*map[string]string, error) {
	path, ok := strings.CutPrefix(arn, "arn:aws:apigateway:"+s.Region+"::/restapis/")
	if !ok {
		return nil, refuse("Invalid ARN specified in the request: %s", arn)
	}
	id, rest, _ := strings.Cut(path, "/")
	api := s.rest[id]
	if api == nil {
		return nil, missing("Invalid API identifier specified %s:%s", s.Account, id)
	}
	if rest == "" {
		return &api.Tags, nil
	}
	name, ok := strings.CutPrefix(rest, "stages/")
	if !ok {
		return nil, refuse("Invalid ARN specified in the request: %s", arn)
	}
	stage := api.Stages[name]
	if stage == nil {
		return nil, missing("Invalid stage identifier specified")
	}
	return &stage.Tags, nil
}

func (s *Server) tagREST(q *request) (any, error) {
	tags, err := s.taggedREST(q.PathValue("arn"))
	if err != nil {
		return nil, err
	}
	return nil, addTags(q, tags)
}

func (s *Server) untagREST(q *request) (any, error) {
	tags, err := s.taggedREST(q.PathValue("arn"))
	if err != nil {
		return nil, err
	}
	return nil, removeTags(q, tags)
}

func (s *Server) getTagsREST(q *request) (any, error) {
	tags, err := s.taggedREST(q.PathValue("arn"))
	if err != nil {
		return nil, err
	}
	return map[string]any{"tags": orEmpty(*tags)}, nil
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func addTags(q *request, tags *map[string]string) error {
	var in struct {
		Tags map[string]string `json:"tags"`
	}
	if err := q.decode(&in); err != nil {
		return err
	}
	merged := maps.Clone(orEmpty(*tags))
	for k, v := range in.Tags {
		switch {
		case k == "" || len(k) > 128 || strings.HasPrefix(k, "aws:"):
			return refuse("Invalid tag key: %q", k)
		case len(v) > 256:
			return refuse("Invalid tag value for %q: longer than 256 characters", k)
		}
		merged[k] = v
	}
	if len(merged) > 50 {
		return refuse("Cannot have more than 50 tags")
	}
	*tags = merged
	return nil
}

func removeTags(q *request, tags *map[string]string) error {
	keys := q.URL.Query()["tagKeys"]
	if len(keys) == 0 {
		return refuse("tagKeys is required")
	}
	left := maps.Clone(orEmpty(*tags))
	for _, k := range keys {
		delete(left, k)
	}
	if len(left) == 0 {
		left = nil
	}
	*tags = left
	return nil
}
