package apitest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Rand gives a number from 0 to n-1. A *rand.Rand of math/rand/v2 is one; so is a rapid.T
// with a few lines around it, and then shrinking makes APIs smaller.
type Rand interface{ IntN(n int) int }

// BuildREST makes a REST API with n methods, of every kind that API Gateway has, deploys it
// to one to three stages and leaves, in half of the cases, edits behind that nobody has
// deployed. It gives the API's id. The functions its integrations invoke are made too.
func (s *Server) BuildREST(r Rand, n int) string {
	b := &builder{s: s, r: r}
	in := object{"name": fmt.Sprintf("rest-%d", b.r.IntN(1000)), "description": "built", "endpointConfiguration": object{"types": []string{"REGIONAL"}, "ipAddressType": "ipv4"},
		"tags": map[string]string{"team": b.pick("orders", "payments")}}
	if b.half() {
		in["binaryMediaTypes"] = []string{"image/png", "application/octet-stream"}
	}
	if b.half() {
		in["policy"] = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"*"}]}`
	}
	if b.half() {
		in["minimumCompressionSize"] = b.r.IntN(1000)
	}
	if b.half() {
		in["version"] = "1.0"
	}
	var api struct{ ID, RootResourceID string }
	b.call("POST", "/restapis", in, &api)
	b.api, b.parents = "/restapis/"+api.ID, []parent{{id: api.RootResourceID}}
	if b.half() {
		s.EditREST(api.ID, func(a *RestAPI) {
			a.Authorizers = []*Authorizer{{ID: "auth01", Name: "users", Type: "TOKEN", URI: s.InvokeARN("arn:aws:lambda:" + s.Region + ":" + s.Account + ":function:users"), IdentitySource: "method.request.header.Authorization"}}
		})
		b.authorizer = "auth01"
	}
	for len(b.methods) < max(1, n) {
		b.resource(max(1, n) - len(b.methods))
	}
	for i, stages := 0, 1+b.r.IntN(3); i < stages; i++ {
		b.stage([]string{"prod", "test", "dev"}[i])
	}
	if b.half() {
		m := b.methods[b.r.IntN(len(b.methods))]
		b.integration(m) // somebody's edit, not deployed
	}
	return api.ID
}

type parent struct {
	id, path string
	variable bool // has a child with a variable
}

type builtMethod struct {
	path   string // of the call
	name   string
	params []string // path parameters
	codes  []string
}

type builder struct {
	s          *Server
	r          Rand
	api        string
	authorizer string
	parents    []parent
	methods    []builtMethod
	names      int
}

func (b *builder) half() bool                { return b.r.IntN(2) == 0 }
func (b *builder) pick(of ...string) string  { return of[b.r.IntN(len(of))] }
func (b *builder) one(in int) bool           { return b.r.IntN(in) == 0 }
func (b *builder) name(prefix string) string { b.names++; return fmt.Sprint(prefix, b.names) }

// call makes a call that must succeed: a builder that API Gateway would refuse is wrong.
func (b *builder) call(method, path string, in, out any) {
	text, err := b.s.Call(method, path, in)
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		panic(fmt.Sprintf("apitest: build: %s %s %v: %v", method, path, in, err))
	}
}

// resource makes a resource below one that is there, with at most left methods.
func (b *builder) resource(left int) {
	at := b.r.IntN(len(b.parents))
	p := &b.parents[at]
	part := b.name(b.pick("users", "orders", "v1.", "a-b_"))
	kind := b.r.IntN(5)
	if p.variable && kind >= 3 {
		kind = 0
	}
	switch kind {
	case 3:
		part = "{" + b.name("id") + "}"
	case 4:
		part = "{" + b.name("proxy") + "+}"
	}
	p.variable = p.variable || kind >= 3
	var res struct{ ID, Path string }
	b.call("POST", b.api+"/resources/"+p.id, object{"pathPart": part}, &res)
	if kind != 4 {
		b.parents = append(b.parents, parent{id: res.ID, path: res.Path})
	}
	names := []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "ANY"}
	first, count := b.r.IntN(len(names)), min(left, b.r.IntN(4))
	for i := range count {
		m := builtMethod{path: b.api + "/resources/" + res.ID + "/methods/" + names[(first+i)%len(names)], name: names[(first+i)%len(names)]}
		for segment := range strings.SplitSeq(res.Path, "/") {
			if strings.HasPrefix(segment, "{") {
				m.params = append(m.params, strings.Trim(segment, "{+}"))
			}
		}
		b.method(&m)
		b.methods = append(b.methods, m)
	}
}

func (b *builder) method(m *builtMethod) {
	in := object{"authorizationType": "NONE", "apiKeyRequired": b.one(4)}
	if b.authorizer != "" && b.one(4) {
		in["authorizationType"], in["authorizerId"] = "CUSTOM", b.authorizer
	}
	parameters := map[string]bool{"method.request.querystring.page": b.half(), "method.request.header.Authorization": false}
	for _, p := range m.params {
		parameters["method.request.path."+p] = true
	}
	in["requestParameters"] = parameters
	if b.one(5) {
		in["operationName"] = b.name("operation")
	}
	if b.one(5) {
		in["requestModels"] = map[string]string{"application/json": "Pet"}
	}
	b.call("PUT", m.path, in, nil)
	m.codes = []string{"200", "400", "502"}[:1+b.r.IntN(3)]
	for _, code := range m.codes {
		b.call("PUT", m.path+"/responses/"+code, object{"responseParameters": map[string]bool{"method.response.header.X-Kind": false}, "responseModels": map[string]string{"application/json": "Empty"}}, nil)
	}
	b.integration(*m)
}

// integration puts an integration of some kind behind a method, with all that can go with
// it.
func (b *builder) integration(m builtMethod) {
	kind := b.pick("HTTP_PROXY", "HTTP_PROXY", "HTTP_PROXY", "HTTP", "AWS_PROXY", "AWS", "MOCK")
	in := object{"type": kind}
	switch kind {
	case "HTTP_PROXY", "HTTP":
		b.httpIntegration(m, in)
	case "AWS_PROXY":
		in["httpMethod"], in["uri"] = "POST", b.s.InvokeARN(b.function(b.pick("users", "orders")))
		if b.one(3) { // by a role instead of the function's own policy, and an alias that differs by stage
			in["credentials"], in["uri"] = "arn:aws:iam::"+b.s.Account+":role/to-users", b.s.InvokeARN(b.function("users")+":${stageVariables.link}")
		}
		if b.one(3) { // in no event, but parts of the cache's key
			in["requestParameters"] = map[string]string{"integration.request.querystring.p": "method.request.querystring.page"}
		}
	case "AWS":
		in["httpMethod"], in["uri"] = "POST", "arn:aws:apigateway:"+b.s.Region+":sqs:path/"+b.s.Account+"/orders"
		in["credentials"] = "arn:aws:iam::" + b.s.Account + ":role/to-sqs"
	}
	if kind == "HTTP" || kind == "AWS" || kind == "MOCK" {
		in["requestTemplates"] = map[string]string{"application/json": "#set($in = $input.path('$'))\n{\"statusCode\": 200, \"id\": \"$in.id\"}"}
		in["passthroughBehavior"] = b.pick("WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER")
	}
	if b.one(4) {
		in["timeoutInMillis"] = 50 + b.r.IntN(28951)
	}
	if b.one(6) {
		in["contentHandling"] = b.pick("CONVERT_TO_BINARY", "CONVERT_TO_TEXT")
	}
	if b.one(4) {
		in["cacheKeyParameters"], in["cacheNamespace"] = []string{"method.request.querystring.page"}, b.name("cache")
	}
	b.call("PUT", m.path+"/integration", in, nil)
	if kind == "AWS_PROXY" {
		if b.one(3) { // the console makes one, which has no effect
			b.call("PUT", m.path+"/integration/responses/200", object{"responseTemplates": map[string]any{"application/json": nil}}, nil)
		}
		return
	}
	for i, code := range m.codes {
		out := object{}
		if i > 0 {
			out["selectionPattern"] = code[:1] + `\d{2}`
		}
		if b.half() {
			out["responseParameters"] = map[string]string{"method.response.header.X-Kind": b.pick("'pet'", "integration.response.header.kind")}
		}
		if kind != "HTTP_PROXY" && b.half() {
			out["responseTemplates"] = map[string]string{"application/json": "{\"wrapped\": $input.json('$')}", "text/plain": ""}
		}
		b.call("PUT", m.path+"/integration/responses/"+code, out, nil)
	}
}

func (b *builder) httpIntegration(m builtMethod, in object) {
	in["httpMethod"] = b.pick("GET", "POST", "ANY", m.name)
	uri := b.pick("https://backend.example.com/v1", "https://${stageVariables.host}/v1", "http://${stageVariables.host}:8080")
	parameters := map[string]string{}
	for i, p := range m.params {
		name := p
		if b.half() {
			name = fmt.Sprint("renamed", i)
		}
		uri += "/{" + name + "}"
		parameters["integration.request.path."+name] = "method.request.path." + p
	}
	if b.one(3) {
		uri += "?source=gateway"
		parameters["integration.request.querystring.p"] = "method.request.querystring.page"
	}
	if b.one(3) {
		parameters["integration.request.header.X-Stage"] = b.pick("context.stage", "'fixed value'", "stageVariables.host", "method.request.header.Authorization")
	}
	in["uri"] = uri
	if len(parameters) > 0 {
		in["requestParameters"] = parameters
	}
	if b.one(5) {
		in["connectionType"], in["connectionId"] = "VPC_LINK", b.pick("link01", "${stageVariables.link}")
	}
	if b.one(6) {
		in["tlsConfig"] = object{"insecureSkipVerification": true}
	}
}

// function makes a function unless it is there, and lets the API invoke it.
func (b *builder) function(name string) string {
	f := b.s.Function(name)
	if f == nil {
		b.s.AddFunction(name, false)
		f = b.s.Function(name)
	}
	id := b.api[strings.LastIndexByte(b.api, '/')+1:]
	sid := "api-" + id
	if id != "" && !slices.ContainsFunc(f.Policies[""], func(st Statement) bool { return st.Sid == sid }) {
		b.call("POST", "/2015-03-31/functions/"+name+"/policy", object{"StatementId": sid, "Action": "lambda:InvokeFunction", "Principal": "apigateway.amazonaws.com",
			"SourceArn": "arn:aws:execute-api:" + b.s.Region + ":" + b.s.Account + ":" + id + "/*/*"}, nil)
	}
	return f.ARN
}

func (b *builder) stage(name string) {
	b.call("POST", b.api+"/deployments", object{"stageName": name, "description": "first",
		"variables": map[string]string{"host": name + ".example.com", "link": "link-" + name}}, nil)
	var ops []object
	if b.one(3) {
		ops = append(ops, object{"op": "replace", "path": "/*/*/logging/loglevel", "value": "ERROR"})
	}
	if b.one(3) {
		ops = append(ops, object{"op": "replace", "path": "/cacheClusterEnabled", "value": "true"}, object{"op": "replace", "path": "/*/*/caching/enabled", "value": "true"})
	}
	if b.one(3) {
		ops = append(ops, object{"op": "replace", "path": "/tracingEnabled", "value": "true"})
	}
	if ops != nil {
		b.call("PATCH", b.api+"/stages/"+name, object{"patchOperations": ops}, nil)
	}
	if b.one(4) { // this stage keeps an older state than the next one
		b.integration(b.methods[b.r.IntN(len(b.methods))])
	}
}

// BuildHTTP makes an HTTP API with n routes and gives its id: quick-created or not, with
// integrations shared by routes or not, with stages that deploy by themselves or not.
func (s *Server) BuildHTTP(r Rand, n int) string {
	b := &builder{s: s, r: r}
	in := object{"name": fmt.Sprintf("http-%d", b.r.IntN(1000)), "protocolType": "HTTP", "tags": map[string]string{"team": b.pick("orders", "payments")}}
	quick := b.one(3)
	if quick {
		in["target"] = b.pick("https://backend.example.com", b.function("users"))
	}
	var api struct{ APIID string }
	b.call("POST", "/v2/apis", in, &api)
	b.api = "/v2/apis/" + api.APIID
	b.function("users")
	var shared []string
	for i := range n {
		target := ""
		if len(shared) > 0 && b.one(3) {
			target = shared[b.r.IntN(len(shared))]
		} else {
			target = b.httpAPIIntegration()
			shared = append(shared, target)
		}
		key := b.pick("GET", "POST", "ANY") + " /" + b.name("r") + b.pick("", "/{id}", "/{proxy+}", "/x/{id}/y")
		if i == 0 && !quick && b.half() {
			key = "$default"
		}
		b.call("POST", b.api+"/routes", object{"routeKey": key, "target": "integrations/" + target}, nil)
	}
	if n == 0 && !quick {
		return api.APIID
	}
	if b.one(3) { // it takes what narrower routes have no method for
		b.call("POST", b.api+"/routes", object{"routeKey": "ANY /{proxy+}", "target": "integrations/" + b.httpAPIIntegration()}, nil)
	}
	for _, name := range []string{"$default", "prod"}[b.r.IntN(2):] {
		if quick && name == "$default" {
			continue
		}
		auto := b.half()
		b.call("POST", b.api+"/stages", object{"stageName": name, "autoDeploy": auto, "stageVariables": map[string]string{"host": name[1:] + ".example.com"}}, nil)
		if !auto {
			b.call("POST", b.api+"/deployments", object{"stageName": name}, nil)
		}
	}
	if b.half() { // somebody's edit, not deployed where stages do not deploy by themselves
		b.call("POST", b.api+"/routes", object{"routeKey": "GET /" + b.name("late"), "target": "integrations/" + b.httpAPIIntegration()}, nil)
	}
	return api.APIID
}

func (b *builder) httpAPIIntegration() string {
	in := object{"integrationType": "HTTP_PROXY", "integrationMethod": b.pick("ANY", "GET", "POST"), "payloadFormatVersion": "1.0",
		"integrationUri": b.pick("https://backend.example.com/{id}", "https://backend.example.com/v2", "https://${stageVariables.host}/v1")}
	switch {
	case b.one(4):
		in = object{"integrationType": "AWS_PROXY", "payloadFormatVersion": b.pick("1.0", "2.0"), "integrationUri": b.function(b.pick("users", "orders"))}
	case b.one(5):
		in["connectionType"], in["connectionId"] = "VPC_LINK", "vlink1"
		in["integrationUri"] = "arn:aws:elasticloadbalancing:" + b.s.Region + ":" + b.s.Account + ":listener/app/internal/1/2"
		in["tlsConfig"] = object{"serverNameToVerify": "internal.example.com"}
	}
	if b.one(3) {
		in["requestParameters"] = map[string]string{"overwrite:path": "/v2", "append:header.x-stage": "$context.stage"}
	}
	if b.one(4) {
		in["responseParameters"] = map[string]object{"500": {"append:header.x-error": "yes"}}
	}
	if b.one(4) {
		in["timeoutInMillis"] = 50 + b.r.IntN(29951)
	}
	var out struct{ IntegrationID string }
	b.call("POST", b.api+"/integrations", in, &out)
	return out.IntegrationID
}

// Methods lists a REST API's methods, "GET /users/{id}", sorted.
func (a *RestAPI) Methods() []string {
	var out []string
	for _, r := range a.Resources {
		for name := range r.Methods {
			out = append(out, name+" "+r.Path)
		}
	}
	slices.Sort(out)
	return out
}
