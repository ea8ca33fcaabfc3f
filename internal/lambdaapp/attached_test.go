package lambdaapp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/attach/apitest"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// put writes an object into the world's bucket.
func (w *world) putObject(key string, text []byte) {
	w.t.Helper()
	if _, err := w.s3.PutObject("objects", key, map[string]string{}, bytes.NewReader(text), int64(len(text)), nil); err != nil {
		w.t.Fatal(err)
	}
}

// requests are those that the backend got so far.
func (w *world) requests() []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asks)
}

// attachable reads an API that a fake API Gateway has, and plans an attachment to a function.
func attachable(t *testing.T, s *apitest.Server, id, stage string) *attach.Plan {
	t.Helper()
	c, err := attach.NewClients(aws.Config{Region: s.Region, BaseEndpoint: aws.String("http://apitest.invalid"), HTTPClient: s.Client(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}, nil, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Read(t.Context(), id, stage, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.Account = s.Account
	p, err := attach.MakePlan(a, attach.Options{Function: &attach.Function{ARN: s.AddFunction("tapway", false)}, IncludeDrift: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// event is a copy of an event with some members replaced.
func replaced(t *testing.T, event []byte, members map[string]any) []byte {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(event, &e); err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		at := e
		for head, rest, more := strings.Cut(name, "."); more; head, rest, more = strings.Cut(name, ".") {
			at, name = at[head].(map[string]any), rest
		}
		at[name] = value
	}
	out, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// seen is a request as a backend saw it.
type seen struct {
	method, path string
	query        url.Values
	header       http.Header
}

// attachedCall is one call of one route, and what API Gateway itself would have asked of the backend.
type attachedCall struct {
	kind       attach.Kind
	stage      string
	vars       map[string]string
	key        string // "GET /users/{id}"
	method     string
	template   string
	path       string
	values     map[string]string // of the parameters, raw
	definition gjson.Result      // the integration
}

func newAttachedCall(p *attach.Plan, route string, vars map[string]string) *attachedCall {
	c := &attachedCall{kind: p.Kind, stage: p.Stage, vars: vars, key: route, values: map[string]string{}}
	c.method, c.template, _ = strings.Cut(route, " ")
	if route == "$default" {
		c.method, c.template = "ANY", "/$default"
	}
	operation := strings.ToLower(c.method)
	if c.method == "ANY" {
		operation, c.method = "x-amazon-apigateway-any-method", "PATCH"
	}
	var segments []string
	for i, part := range strings.Split(c.template, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name, greedy := strings.CutSuffix(strings.TrimSuffix(name, "}"), "+")
			part = fmt.Sprintf("v%%20%d", i)
			if greedy {
				part += "/more/x"
			}
			c.values[name] = part
		}
		segments = append(segments, part)
	}
	if c.path = strings.Join(segments, "/"); route == "$default" {
		c.path = "/any/thing"
	}
	var table map[string]map[string]map[string]map[string]json.RawMessage
	if err := json.Unmarshal(mustPaths(p.RouteTable), &table); err != nil {
		panic(err)
	}
	c.definition = gjson.ParseBytes(table["paths"][c.template][operation]["x-amazon-apigateway-integration"])
	return c
}

func mustPaths(table []byte) []byte {
	return []byte(`{"paths":` + gjson.GetBytes(table, "paths").Raw + `}`)
}

// source is what a mapping's right side stands for, as it stands in a header.
func (c *attachedCall) source(expr string) string {
	switch {
	case expr == "context.stage" || expr == "$context.stage":
		return c.stage
	case strings.HasPrefix(expr, "stageVariables."):
		return c.vars[strings.TrimPrefix(expr, "stageVariables.")]
	case strings.HasPrefix(expr, "method.request.path."):
		return c.values[strings.TrimPrefix(expr, "method.request.path.")]
	case expr == "method.request.querystring.page":
		return "2"
	case expr == "method.request.header.Authorization":
		return "Bearer hunter2"
	}
	return strings.Trim(expr, "'")
}

// want is what API Gateway would have asked.
func (c *attachedCall) want() seen {
	uri := c.definition.Get("uri").String()
	for name, value := range c.vars {
		uri = strings.ReplaceAll(uri, "${stageVariables."+name+"}", value)
	}
	_, rest, _ := strings.Cut(uri, "://")
	rest, static, _ := strings.Cut(rest, "?")
	_, path, _ := strings.Cut(rest, "/")
	path = "/" + path
	out := seen{method: c.definition.Get("httpMethod").String(), query: url.Values{"page": {"2"}, "q": {"a b", "c"}}, header: http.Header{"X-Client": {"yes"}}}
	if out.method == "ANY" || out.method == "" {
		out.method = c.method
	}
	if name, value, ok := strings.Cut(static, "="); ok {
		out.query.Set(name, value)
	}
	if c.kind == attach.HTTP {
		for name, value := range c.values {
			path = strings.ReplaceAll(path, "{"+name+"}", value)
		}
	}
	c.definition.Get("requestParameters").ForEach(func(key, expr gjson.Result) bool {
		value := c.source(expr.String())
		where, name, _ := strings.Cut(strings.TrimPrefix(key.String(), "integration.request."), ".")
		switch where {
		case "path":
			path = strings.ReplaceAll(path, "{"+name+"}", value)
		case "overwrite:path":
			path = value
		case "querystring":
			out.query.Set(name, value)
		case "header", "append:header":
			out.header.Set(name, value)
		default:
			panic("no oracle for " + key.String())
		}
		return true
	})
	out.path = path
	return out
}

// event is what API Gateway invokes the function with.
func (c *attachedCall) event(t *testing.T, id string) (eventtest.Front, eventtest.Request, []byte) {
	t.Helper()
	r := eventtest.Request{Method: c.method, Target: c.path + "?page=2&q=a%20b&q=c", Stage: c.stage, Resource: c.template,
		Header: []tapway.Field{{Name: "Authorization", Value: "Bearer hunter2"}, {Name: "X-Client", Value: "yes"}}}
	front, members := eventtest.REST, map[string]any{"stageVariables": c.vars, "requestContext.apiId": id}
	if c.kind == attach.HTTP {
		params := map[string]string{}
		for name, value := range c.values {
			params[name], _ = url.PathUnescape(value)
		}
		front = eventtest.HTTP2
		maps.Copy(members, map[string]any{"routeKey": c.key, "requestContext.routeKey": c.key, "pathParameters": params})
	}
	event, err := front.Event(r)
	if err != nil {
		t.Fatal(err)
	}
	return front, r, replaced(t, event, members)
}

// Every route that attach leads to a function is served from the table that it writes: the backend is asked
// what API Gateway would have asked it.
func TestAttachedAPIs(t *testing.T) {
	w := newWorld(t)
	got := make(chan seen, 1)
	backend := w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		got <- seen{r.Method, r.URL.EscapedPath(), r.URL.Query(), r.Header}
		io.WriteString(rw, "hello")
	}))
	vars := map[string]string{"host": strings.TrimPrefix(backend, "http://"), "link": "none"}
	here := strings.NewReplacer("https://backend.example.com", backend, "https://${stageVariables.host}", "http://${stageVariables.host}", "http://${stageVariables.host}:8080", "http://${stageVariables.host}")
	f := w.start(Proxy, "TAPWAY_BACKEND=", "TAPWAY_ROUTES=s3://objects/routes/")
	routes := map[attach.Kind]int{}
	for seed := range uint64(24) {
		s := apitest.New()
		r := rand.New(rand.NewPCG(seed, 1))
		id, stage := s.BuildREST(r, 12), "prod"
		if seed%2 == 1 {
			id = s.BuildHTTP(r, 12)
		}
		p := attachable(t, s, id, stage)
		id = fmt.Sprint(id, seed)
		p.RouteTable = []byte(here.Replace(string(p.RouteTable)))
		w.putObject("routes/"+id+".json", p.RouteTable)
		for _, change := range p.Changes {
			c := newAttachedCall(p, change.Route, vars)
			if c.definition.Get("type").String() == "aws_proxy" {
				continue // TestFunctionsOfAttachedAPIs
			}
			routes[p.Kind]++
			front, request, event := c.event(t, id)
			result := f.Invoke(t.Context(), event)
			if result.Err != nil || result.Error != nil {
				t.Fatalf("seed %d %s: %v %v", seed, change.Route, result.Err, result.Error)
			}
			resp, err := front.Response(request, result.Body)
			if err != nil || resp.Status != 200 {
				t.Errorf("seed %d %s: %v %+v", seed, change.Route, err, resp)
				continue
			}
			select {
			case is := <-got:
				sameAsked(t, fmt.Sprintf("seed %d %s, %s", seed, change.Route, c.definition.Raw), is, c.want())
			case <-time.After(10 * time.Second):
				t.Fatalf("seed %d %s: the backend was not asked", seed, change.Route)
			}
			f.settled(t)
		}
	}
	if routes[attach.REST] < 20 || routes[attach.HTTP] < 20 {
		t.Errorf("only %v routes were tried", routes)
	}
	for _, m := range w.sqs.Messages("records") {
		if rec := gjson.Parse(m.Body); rec.Get("origin").String() != "backend" || rec.Get("route").String() == "" {
			t.Errorf("record: %s", m.Body)
		}
	}
}

func sameAsked(t *testing.T, what string, is, want seen) {
	t.Helper()
	if is.method != want.method || is.path != want.path {
		t.Errorf("%s:\nthe backend is asked %s %s, want %s %s", what, is.method, is.path, want.method, want.path)
	}
	if !maps.EqualFunc(is.query, want.query, slices.Equal) {
		t.Errorf("%s:\nthe query is %v, want %v", what, is.query, want.query)
	}
	for name, values := range want.header {
		if !slices.Equal(is.header[name], values) {
			t.Errorf("%s:\n%s is %q, want %q", what, name, is.header[name], values)
		}
	}
}

// Without a table, or without S3, the client gets a clean answer, there is a record, and the log says what
// is missing.
func TestNoRouteTable(t *testing.T) {
	w := newWorld(t)
	f := w.start(Proxy, "TAPWAY_BACKEND=", "TAPWAY_ROUTES=s3://objects/routes/")
	request := eventtest.Request{Target: "/a", Resource: "/a"}
	event, err := eventtest.REST.Event(request)
	if err != nil {
		t.Fatal(err)
	}
	result := f.Invoke(t.Context(), event)
	f.settled(t)
	resp, err := eventtest.REST.Response(request, result.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != 502 || !strings.Contains(string(resp.Body), "route table is missing") {
		t.Errorf("without a table: %d %s", resp.Status, resp.Body)
	}
	rec := gjson.Parse(w.sqs.Messages("records")[0].Body)
	same(t, "record", strings.Join([]string{rec.Get("status").String(), rec.Get("origin").String(), rec.Get("error").String()}, " "), "502 gateway no route table for this API")
	if log := f.log.String(); !strings.Contains(log, "tapway attach") || !strings.Contains(log, "s3://objects/routes/") {
		t.Errorf("the log does not say what is missing: %s", log)
	}
	// This one has no bucket when it starts.
	broken := newWorld(t)
	broken.s3Fault = func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/routes/") {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	g := broken.start(Proxy, "TAPWAY_BACKEND=", "TAPWAY_ROUTES=s3://objects/routes/")
	result = g.Invoke(t.Context(), event)
	g.settled(t)
	resp, err = eventtest.REST.Response(request, result.Body)
	if err != nil || resp.Status != 502 || !strings.Contains(string(resp.Body), "cannot be read") {
		t.Errorf("S3 down: %v %+v", err, resp)
	}
	rec = gjson.Parse(broken.sqs.Messages("records")[0].Body)
	same(t, "record", strings.Join([]string{rec.Get("status").String(), rec.Get("origin").String(), rec.Get("error").String()}, " "), "502 gateway the route table cannot be read")
}

// openapi: s3://… is read when the function starts.
func TestExportInS3(t *testing.T) {
	w := newWorld(t)
	conf := t.TempDir() + "/tapway.yaml"
	writeFile(t, conf, "openapi: s3://objects/exports/a.json\nstage_variables: {host: "+strings.TrimPrefix(w.env["TAPWAY_BACKEND"], "http://")+"}\n")
	f := &function{log: new(buffer), metrics: new(buffer)}
	if _, err := New(t.Context(), w.options(f, Proxy, "TAPWAY_BACKEND=", "TAPWAY_CONFIG="+conf)); err == nil || !strings.Contains(err.Error(), "s3://objects/exports/a.json") || !strings.Contains(err.Error(), "put it there") {
		t.Errorf("an export that is not there: %v", err)
	}
	w.putObject("exports/a.json", []byte(strings.ReplaceAll(tableOf("${stageVariables.host}", "/a"), "https:", "http:")))
	g := w.start(Proxy, "TAPWAY_BACKEND=", "TAPWAY_CONFIG="+conf)
	for target, want := range map[string]int{"/a": 200, "/b": 403} {
		result := g.Invoke(t.Context(), urlEvent("GET", target, ""))
		same(t, target, gjson.GetBytes(result.Body, "statusCode").Int(), want)
		g.settled(t)
	}
}

// A Function URL is open to everybody who has the secret. An attached API cannot send one, and need not: only the
// function's permission lets it in. Any other API is as anybody.
func TestSecretOnLambda(t *testing.T) {
	const secret = "0123456789abcdef-hunter2"
	w := newWorld(t)
	w.putObject("routes/a1b2c3d4e5/prod.json", []byte(strings.ReplaceAll(tableOf("H", "/a"), "https://H", w.env["TAPWAY_BACKEND"])))
	f := w.start(Proxy, "TAPWAY_ROUTES=s3://objects/routes/", "TAPWAY_SECRET="+secret)
	rest := func(stage string) []byte {
		event, err := eventtest.REST.Event(eventtest.Request{Target: "/a", Resource: "/a", Stage: stage, Header: []tapway.Field{{Name: "x-tapway-secret", Value: "of a stranger"}}})
		if err != nil {
			t.Fatal(err)
		}
		return event
	}
	for _, tt := range []struct {
		name   string
		event  []byte
		status int
		reason string
	}{
		{"URL without", urlEvent("GET", "/a", ""), 403, "secret: missing"},
		{"URL with another", urlEvent("GET", "/a", "", "x-tapway-secret", secret[1:]), 403, "secret: wrong"},
		{"URL", urlEvent("GET", "/a", "", "x-tapway-secret", secret), 200, ""},
		{"attached API", rest("prod"), 200, ""},
		{"API without a table", rest("test"), 403, "secret: wrong"},
	} {
		asks, records := len(w.requests()), len(w.sqs.Messages("records"))
		result := f.Invoke(t.Context(), tt.event)
		same(t, tt.name, gjson.GetBytes(result.Body, "statusCode").Int(), tt.status)
		f.settled(t)
		requests := w.requests()
		same(t, tt.name+": the backend was asked", len(requests) > asks, tt.status == 200)
		if tt.status == 200 && requests[asks].Header.Get("X-Tapway-Secret") != "" {
			t.Errorf("%s: the backend got the secret", tt.name)
		}
		messages := w.sqs.Messages("records")
		if len(messages) != records+1 {
			t.Fatalf("%s: %d records", tt.name, len(messages)-records)
		}
		found := false
		for _, m := range messages {
			found = found || gjson.Get(m.Body, "error").String() == tt.reason && gjson.Get(m.Body, "status").Int() == int64(tt.status)
			if strings.Contains(m.Body, "hunter2") || strings.Contains(m.Body, "stranger") {
				t.Errorf("%s: %s", tt.name, m.Body)
			}
		}
		if !found {
			t.Errorf("%s: no record has %q", tt.name, tt.reason)
		}
	}
}
