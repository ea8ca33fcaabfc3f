package apitest

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func (s *Server) getIntegration(q *request) (any, error) {
	_, _, i, err := s.integration(q)
	return i, err
}

// putIntegration replaces the whole integration: what is not sent is gone, the integration
// responses always.
func (s *Server) putIntegration(q *request) (any, error) {
	r, m, err := s.method(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		Type                 string            `json:"type"`
		HTTPMethod           string            `json:"httpMethod"`
		URI                  string            `json:"uri"`
		ConnectionType       string            `json:"connectionType"`
		ConnectionID         string            `json:"connectionId"`
		Credentials          string            `json:"credentials"`
		RequestParameters    map[string]string `json:"requestParameters"`
		RequestTemplates     map[string]string `json:"requestTemplates"`
		PassthroughBehavior  string            `json:"passthroughBehavior"`
		ContentHandling      string            `json:"contentHandling"`
		TimeoutInMillis      *int              `json:"timeoutInMillis"`
		CacheNamespace       string            `json:"cacheNamespace"`
		CacheKeyParameters   []string          `json:"cacheKeyParameters"`
		TLSConfig            *TLSConfig        `json:"tlsConfig"`
		ResponseTransferMode string            `json:"responseTransferMode"`
		IntegrationTarget    string            `json:"integrationTarget"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	i := &Integration{Type: in.Type, HTTPMethod: in.HTTPMethod, URI: in.URI, ConnectionType: in.ConnectionType, ConnectionID: in.ConnectionID,
		Credentials: in.Credentials, RequestParameters: in.RequestParameters, RequestTemplates: in.RequestTemplates,
		PassthroughBehavior: cmp.Or(in.PassthroughBehavior, "WHEN_NO_MATCH"), ContentHandling: in.ContentHandling, TimeoutInMillis: 29000,
		CacheNamespace: cmp.Or(in.CacheNamespace, r.ID), CacheKeyParameters: in.CacheKeyParameters, TLSConfig: in.TLSConfig,
		ResponseTransferMode: in.ResponseTransferMode, IntegrationTarget: in.IntegrationTarget}
	if in.TimeoutInMillis != nil {
		i.TimeoutInMillis = *in.TimeoutInMillis
	}
	i.fill()
	if err := s.checkIntegration(m, i); err != nil {
		return nil, err
	}
	m.Integration = i
	return i, nil
}

func (i *Integration) fill() {
	if i.CacheKeyParameters == nil {
		i.CacheKeyParameters = []string{} // AWS shows an empty list
	}
	if i.ConnectionType == "" && i.isHTTP() {
		i.ConnectionType = "INTERNET"
	}
}

func (i *Integration) isHTTP() bool { return i.Type == "HTTP" || i.Type == "HTTP_PROXY" }
func (i *Integration) isAWS() bool  { return i.Type == "AWS" || i.Type == "AWS_PROXY" }

func (s *Server) checkIntegration(m *Method, i *Integration) error {
	switch {
	case !i.isHTTP() && !i.isAWS() && i.Type != "MOCK":
		return refuse("Invalid integration type specified: %q", i.Type)
	case i.Type != "MOCK" && !slices.Contains(methods, i.HTTPMethod):
		return refuse("Enumeration value for HttpMethod must be non-empty")
	case i.isHTTP() && !strings.HasPrefix(i.URI, "http://") && !strings.HasPrefix(i.URI, "https://") && !strings.HasPrefix(i.URI, "${stageVariables."):
		return refuse("Invalid HTTP endpoint specified for URI")
	case i.isAWS() && !strings.HasPrefix(i.URI, "arn:aws:apigateway:"):
		return refuse("Invalid ARN specified in the request")
	case i.isAWS() && !awsURI.MatchString(i.URI):
		return refuse("AWS ARN for integration must contain path or action")
	case !slices.Contains([]string{"WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER"}, i.PassthroughBehavior):
		return refuse("Invalid passthrough behavior specified: %q", i.PassthroughBehavior)
	case !slices.Contains(contentHandlings, i.ContentHandling):
		return refuse("Invalid content handling specified: %q", i.ContentHandling)
	case !slices.Contains([]string{"", "INTERNET", "VPC_LINK"}, i.ConnectionType):
		return refuse("Invalid connection type specified: %q", i.ConnectionType)
	case i.ConnectionType == "VPC_LINK" && i.ConnectionID == "":
		return refuse("Connection ID is required for connection type VPC_LINK")
	case i.ConnectionType != "VPC_LINK" && i.ConnectionID != "":
		return refuse("Connection ID is only allowed for connection type VPC_LINK")
	case !slices.Contains([]string{"", "BUFFERED", "STREAM"}, i.ResponseTransferMode):
		return refuse("Invalid response transfer mode specified: %q", i.ResponseTransferMode)
	}
	longest := s.MaxTimeout
	if i.ResponseTransferMode == "STREAM" {
		longest = 900_000
	}
	if i.TimeoutInMillis < 50 || i.TimeoutInMillis > longest {
		return refuse("Timeout should be between 50 ms and %d ms", longest)
	}
	for to, from := range i.RequestParameters {
		if !integrationParameter.MatchString(to) || !m.declares(from) {
			return mappingError(to + "=" + from)
		}
	}
	for _, key := range i.CacheKeyParameters {
		if !m.declares(key) && !integrationParameter.MatchString(key) {
			return mappingError(key)
		}
	}
	return nil
}

var (
	awsURI               = regexp.MustCompile(`^arn:aws:apigateway:[^:]+:[^:]+:(path|action)/.+`)
	integrationParameter = regexp.MustCompile(`^integration\.request\.(path|querystring|header)\.\S+$`)
	contentHandlings     = []string{"", "CONVERT_TO_BINARY", "CONVERT_TO_TEXT"}
)

func mappingError(what string) error {
	return refuse("Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression parameter specified: %s]", what)
}

// declares says that a source of a mapping exists: a parameter that the method declares, a
// literal, or something of the context.
func (m *Method) declares(source string) bool {
	if name, ok := strings.CutPrefix(source, "method.request."); ok {
		if strings.HasPrefix(name, "body") {
			return true
		}
		source = strings.Replace(source, ".request.multivalue", ".request.", 1)
		_, declared := m.RequestParameters[source]
		return declared
	}
	return len(source) >= 2 && source[0] == '\'' && source[len(source)-1] == '\'' ||
		strings.HasPrefix(source, "context.") || strings.HasPrefix(source, "stageVariables.")
}

func (s *Server) updateIntegration(q *request) (any, error) {
	_, m, old, err := s.integration(q)
	if err != nil {
		return nil, err
	}
	ops, err := q.patches()
	if err != nil {
		return nil, err
	}
	i := old.clone()
	fields := map[string]field{
		"/uri":                  textField(&i.URI),
		"/httpMethod":           textField(&i.HTTPMethod),
		"/credentials":          textField(&i.Credentials),
		"/passthroughBehavior":  textField(&i.PassthroughBehavior),
		"/contentHandling":      textField(&i.ContentHandling),
		"/cacheNamespace":       textField(&i.CacheNamespace),
		"/connectionType":       textField(&i.ConnectionType),
		"/connectionId":         textField(&i.ConnectionID),
		"/integrationTarget":    textField(&i.IntegrationTarget),
		"/responseTransferMode": textField(&i.ResponseTransferMode),
		"/timeoutInMillis":      intField(&i.TimeoutInMillis),
		"/cacheKeyParameters":   setField(&i.CacheKeyParameters),
		"/requestParameters":    mapField(&i.RequestParameters, "add replace remove"),
		"/requestTemplates":     mapField(&i.RequestTemplates, "add replace remove"),
		"/tlsConfig/insecureSkipVerification": {ops: "replace", set: func(_, v string) error {
			b, err := strconv.ParseBool(v)
			if err != nil {
				return refuse("Invalid boolean value: %s", v)
			}
			i.TLSConfig = &TLSConfig{b}
			return nil
		}},
	}
	if err := applyPatches(ops, fields); err != nil {
		return nil, err
	}
	if err := s.checkIntegration(m, i); err != nil {
		return nil, err
	}
	m.Integration = i
	return i, nil
}

func (s *Server) deleteIntegration(q *request) (any, error) {
	_, m, _, err := s.integration(q)
	if err != nil {
		return nil, err
	}
	m.Integration = nil
	return nil, nil
}

func (s *Server) integrationResponse(q *request) (*Method, *IntegrationResponse, error) {
	_, m, i, err := s.integration(q)
	if err != nil {
		return nil, nil, err
	}
	r := i.Responses[q.PathValue("status")]
	if r == nil {
		return nil, nil, missing("Invalid Response status code specified")
	}
	return m, r, nil
}

func (s *Server) getIntegrationResponse(q *request) (any, error) {
	_, r, err := s.integrationResponse(q)
	return r, err
}

func (s *Server) putIntegrationResponse(q *request) (any, error) {
	_, m, i, err := s.integration(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		SelectionPattern   string            `json:"selectionPattern"`
		ResponseParameters map[string]string `json:"responseParameters"`
		ResponseTemplates  map[string]string `json:"responseTemplates"`
		ContentHandling    string            `json:"contentHandling"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	r := &IntegrationResponse{q.PathValue("status"), in.SelectionPattern, in.ResponseParameters, in.ResponseTemplates, in.ContentHandling}
	if err := checkIntegrationResponse(m, r); err != nil {
		return nil, err
	}
	if i.Responses == nil {
		i.Responses = map[string]*IntegrationResponse{}
	}
	i.Responses[r.StatusCode] = r
	return r, nil
}

// checkIntegrationResponse refuses what the method does not declare.
func checkIntegrationResponse(m *Method, r *IntegrationResponse) error {
	declared := m.Responses[r.StatusCode]
	if declared == nil {
		return missing("Invalid Response status code specified")
	}
	if !slices.Contains(contentHandlings, r.ContentHandling) {
		return refuse("Invalid content handling specified: %q", r.ContentHandling)
	}
	for to := range r.ResponseParameters {
		if _, ok := declared.ResponseParameters[to]; !ok {
			return mappingError(to)
		}
	}
	return nil
}

func (s *Server) updateIntegrationResponse(q *request) (any, error) {
	m, old, err := s.integrationResponse(q)
	if err != nil {
		return nil, err
	}
	ops, err := q.patches()
	if err != nil {
		return nil, err
	}
	r := old.clone()
	err = applyPatches(ops, map[string]field{
		"/selectionPattern":   textField(&r.SelectionPattern),
		"/contentHandling":    textField(&r.ContentHandling),
		"/responseParameters": mapField(&r.ResponseParameters, "add replace remove"),
		"/responseTemplates":  mapField(&r.ResponseTemplates, "add replace remove"),
	})
	if err == nil {
		err = checkIntegrationResponse(m, r)
	}
	if err != nil {
		return nil, err
	}
	m.Integration.Responses[r.StatusCode] = r
	return r, nil
}

func (s *Server) deleteIntegrationResponse(q *request) (any, error) {
	m, r, err := s.integrationResponse(q)
	if err != nil {
		return nil, err
	}
	delete(m.Integration.Responses, r.StatusCode)
	return nil, nil
}
