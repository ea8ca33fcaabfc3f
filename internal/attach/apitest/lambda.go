package apitest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Function is a Lambda function, as far as others look at it.
type Function struct {
	Name        string
	ARN         string
	Role        string
	Runtime     string
	MemorySize  int // MB
	Timeout     int // seconds
	Environment map[string]string
	Tags        map[string]string
	URL         *FunctionURL
	Policies    map[string][]Statement // by qualifier; "" for the function itself
	Revision    string
}

// FunctionURL is a function's own address.
type FunctionURL struct {
	URL        string `json:"FunctionUrl"`
	AuthType   string // NONE or AWS_IAM
	InvokeMode string // BUFFERED or RESPONSE_STREAM
}

// Statement is one permission of a function's policy.
type Statement struct {
	Sid       string
	Effect    string
	Principal any
	Action    string
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

// MaxPolicy is the size in bytes that a function's policy may have.
const MaxPolicy = 20480

var lambdaOperations = []operation{
	{"GetFunction", "GET /2015-03-31/functions/{function}", 200, (*Server).getFunction},
	{"GetFunctionConfiguration", "GET /2015-03-31/functions/{function}/configuration", 200, (*Server).getFunctionConfiguration},
	{"UpdateFunctionConfiguration", "PUT /2015-03-31/functions/{function}/configuration", 200, (*Server).updateFunctionConfiguration},
	{"GetFunctionUrlConfig", "GET /2021-10-31/functions/{function}/url", 200, (*Server).getFunctionURL},
	{"GetPolicy", "GET /2015-03-31/functions/{function}/policy", 200, (*Server).getPolicy},
	{"AddPermission", "POST /2015-03-31/functions/{function}/policy", 201, (*Server).addPermission},
	{"RemovePermission", "DELETE /2015-03-31/functions/{function}/policy/{statement}", 204, (*Server).removePermission},
}

// AddFunction makes a function and gives its ARN. url says whether it has a Function URL.
func (s *Server) AddFunction(name string, url bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &Function{Name: name, ARN: "arn:aws:lambda:" + s.Region + ":" + s.Account + ":function:" + name, Runtime: "provided.al2023",
		Role: "arn:aws:iam::" + s.Account + ":role/" + name, MemorySize: 512, Timeout: 30, Policies: map[string][]Statement{}, Revision: s.revisionLocked()}
	if url {
		f.URL = &FunctionURL{"https://" + s.idLocked(32) + ".lambda-url." + s.Region + ".on.aws/", "NONE", "BUFFERED"}
	}
	s.functions[name] = f
	return f.ARN
}

// InvokeARN is the URI of an integration that invokes a function.
func (s *Server) InvokeARN(functionARN string) string {
	return "arn:aws:apigateway:" + s.Region + ":lambda:path/2015-03-31/functions/" + functionARN + "/invocations"
}

func (s *Server) revisionLocked() string {
	id := s.idLocked(32)
	return fmt.Sprintf("%s-%s-%s-%s-%s", id[:8], id[8:12], id[12:16], id[16:20], id[20:])
}

// function finds a function by its name, its ARN or a part of it, and the qualifier.
func (s *Server) function(q *request) (*Function, string, error) {
	given := q.PathValue("function")
	name := given
	if _, after, ok := strings.Cut(given, "function:"); ok {
		name = after
	}
	name, qualifier, _ := strings.Cut(name, ":")
	if v := q.URL.Query().Get("Qualifier"); v != "" {
		qualifier = v
	}
	f := s.functions[name]
	if f == nil {
		return nil, "", lambdaMissing("Function not found: arn:aws:lambda:%s:%s:function:%s", s.Region, s.Account, name)
	}
	return f, qualifier, nil
}

func lambdaMissing(format string, args ...any) error {
	return &Error{http.StatusNotFound, "ResourceNotFoundException", fmt.Sprintf(format, args...)}
}

func (f *Function) configuration() object {
	c := object{"FunctionName": f.Name, "FunctionArn": f.ARN, "Runtime": f.Runtime, "Role": f.Role, "Handler": "bootstrap", "MemorySize": f.MemorySize,
		"Timeout": f.Timeout, "Version": "$LATEST", "State": "Active", "LastUpdateStatus": "Successful", "PackageType": "Zip",
		"Architectures": []string{"arm64"}, "RevisionId": f.Revision, "LastModified": "2026-11-20T10:00:00.000+0000"}
	if len(f.Environment) > 0 {
		c["Environment"] = object{"Variables": f.Environment}
	}
	return c
}

func (s *Server) getFunction(q *request) (any, error) {
	f, _, err := s.function(q)
	if err != nil {
		return nil, err
	}
	return object{"Configuration": f.configuration(), "Code": object{"RepositoryType": "S3", "Location": "https://example.com/code.zip"}, "Tags": orEmpty(f.Tags)}, nil
}

func (s *Server) getFunctionConfiguration(q *request) (any, error) {
	f, _, err := s.function(q)
	if err != nil {
		return nil, err
	}
	return f.configuration(), nil
}

func (s *Server) updateFunctionConfiguration(q *request) (any, error) {
	f, _, err := s.function(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		MemorySize, Timeout *int
		Environment         *struct{ Variables map[string]string }
		RevisionID          string `json:"RevisionId"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	if err := f.checkRevision(in.RevisionID); err != nil {
		return nil, err
	}
	if in.Environment != nil {
		text, _ := json.Marshal(in.Environment.Variables) // a map of strings always has a JSON form
		if len(text) > 4096 {
			return nil, &Error{http.StatusBadRequest, "InvalidParameterValueException", "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit."}
		}
		f.Environment = in.Environment.Variables
	}
	assign(&f.MemorySize, in.MemorySize)
	assign(&f.Timeout, in.Timeout)
	f.Revision = s.revisionLocked()
	return f.configuration(), nil
}

func (s *Server) getFunctionURL(q *request) (any, error) {
	f, _, err := s.function(q)
	if err != nil {
		return nil, err
	}
	if f.URL == nil {
		return nil, lambdaMissing("The resource you requested does not exist.")
	}
	return struct {
		*FunctionURL
		ARN              string `json:"FunctionArn"`
		CreationTime     string
		LastModifiedTime string
	}{f.URL, f.ARN, "2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"}, nil
}

func (f *Function) checkRevision(id string) error {
	if id != "" && id != f.Revision {
		return &Error{http.StatusPreconditionFailed, "PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"}
	}
	return nil
}

func policyText(statements []Statement) string {
	text, _ := json.Marshal(struct { // plain values
		Version   string
		ID        string `json:"Id"`
		Statement []Statement
	}{"2012-10-17", "default", statements})
	return string(text)
}

func (s *Server) getPolicy(q *request) (any, error) {
	f, qualifier, err := s.function(q)
	if err != nil {
		return nil, err
	}
	if len(f.Policies[qualifier]) == 0 {
		return nil, lambdaMissing("The resource you requested does not exist.")
	}
	return object{"Policy": policyText(f.Policies[qualifier]), "RevisionId": f.Revision}, nil
}

var statementID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

func (s *Server) addPermission(q *request) (any, error) {
	f, qualifier, err := s.function(q)
	if err != nil {
		return nil, err
	}
	var in struct {
		StatementID           string `json:"StatementId"`
		Action                string
		Principal             string
		SourceARN             string `json:"SourceArn"`
		SourceAccount         string
		PrincipalOrgID        string
		FunctionURLAuthType   string `json:"FunctionUrlAuthType"`
		InvokedViaFunctionURL *bool  `json:"InvokedViaFunctionUrl"`
		RevisionID            string `json:"RevisionId"`
	}
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	if err := f.checkRevision(in.RevisionID); err != nil {
		return nil, err
	}
	if !statementID.MatchString(in.StatementID) || !strings.HasPrefix(in.Action, "lambda:") || in.Principal == "" {
		return nil, &Error{http.StatusBadRequest, "InvalidParameterValueException", "StatementId, Action and Principal are needed, and a statement id has letters, digits, - and _ only"}
	}
	have := f.Policies[qualifier]
	if slices.ContainsFunc(have, func(st Statement) bool { return st.Sid == in.StatementID }) {
		return nil, &Error{http.StatusConflict, "ResourceConflictException", fmt.Sprintf("The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", in.StatementID)}
	}
	st := Statement{Sid: in.StatementID, Effect: "Allow", Principal: s.principal(in.Principal), Action: in.Action, Resource: f.ARN, Condition: map[string]map[string]string{}}
	if qualifier != "" {
		st.Resource += ":" + qualifier
	}
	condition := func(operator, key, value string) {
		if value != "" {
			if st.Condition[operator] == nil {
				st.Condition[operator] = map[string]string{}
			}
			st.Condition[operator][key] = value
		}
	}
	condition("ArnLike", "AWS:SourceArn", in.SourceARN)
	condition("StringEquals", "AWS:SourceAccount", in.SourceAccount)
	condition("StringEquals", "aws:PrincipalOrgID", in.PrincipalOrgID)
	condition("StringEquals", "lambda:FunctionUrlAuthType", in.FunctionURLAuthType)
	if in.InvokedViaFunctionURL != nil {
		condition("Bool", "lambda:InvokedViaFunctionUrl", fmt.Sprint(*in.InvokedViaFunctionURL))
	}
	after := append(slices.Clone(have), st)
	if n := len(policyText(after)); n > MaxPolicy {
		return nil, &Error{http.StatusBadRequest, "PolicyLengthExceededException", fmt.Sprintf("The final policy size (%d) is bigger than the limit (%d).", n, MaxPolicy)}
	}
	f.Policies[qualifier], f.Revision = after, s.revisionLocked()
	text, _ := json.Marshal(st) // plain values
	return object{"Statement": string(text)}, nil
}

func (s *Server) principal(p string) any {
	switch {
	case p == "*":
		return p
	case strings.HasSuffix(p, ".amazonaws.com"):
		return map[string]string{"Service": p}
	case strings.HasPrefix(p, "arn:"):
		return map[string]string{"AWS": p}
	}
	return map[string]string{"AWS": "arn:aws:iam::" + p + ":root"}
}

func (s *Server) removePermission(q *request) (any, error) {
	f, qualifier, err := s.function(q)
	if err != nil {
		return nil, err
	}
	if err := f.checkRevision(q.URL.Query().Get("RevisionId")); err != nil {
		return nil, err
	}
	id := q.PathValue("statement")
	i := slices.IndexFunc(f.Policies[qualifier], func(st Statement) bool { return st.Sid == id })
	if i < 0 {
		return nil, lambdaMissing("Statement %s is not found in resource policy.", id)
	}
	f.Policies[qualifier] = slices.Delete(slices.Clone(f.Policies[qualifier]), i, i+1)
	if len(f.Policies[qualifier]) == 0 {
		delete(f.Policies, qualifier)
	}
	f.Revision = s.revisionLocked()
	return nil, nil
}

func (f *Function) clone() *Function {
	c := *f
	c.Environment, c.Tags = maps.Clone(f.Environment), maps.Clone(f.Tags)
	c.Policies = cloneEach(f.Policies, func(list []Statement) []Statement { return slices.Clone(list) })
	return &c
}
