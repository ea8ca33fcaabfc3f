package lambdaapp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// storedTable is a route table as attach writes it, for backends at host.
func storedTable(host, version string) string {
	return fmt.Sprintf(`{"openapi": "3.0.1", "info": {"title": "shop", "version": "working copy"}, "x-tapway-stage-variables": {"version": %q},
		"paths": {"/users/{id}": {"get": {"x-amazon-apigateway-integration": {"type": "http_proxy", "httpMethod": "GET", "uri": "http://%s/${stageVariables.version}/people/{user}",
			"requestParameters": {"integration.request.path.user": "method.request.path.id"}}}}}}`, version, host)
}

// asked is the path that the backend was asked for last, "" if it was not.
func (w *world) asked() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.asks) == 0 {
		return ""
	}
	path := w.asks[len(w.asks)-1].URL.Path
	w.asks = nil
	return path
}

// A function that is attached to several APIs goes by the table of the one that calls.
func TestRoutesByAPI(t *testing.T) {
	w := newWorld(t)
	host := strings.TrimPrefix(w.env["TAPWAY_BACKEND"], "http://")
	w.put("routes/a1b2c3d4e5.json", storedTable(host, "v1"))
	f := w.start(Proxy, "TAPWAY_BACKEND=", "TAPWAY_ROUTES=s3://objects/routes/")
	call := func(front eventtest.Front, target string) (status int64) {
		t.Helper()
		event, err := front.Event(eventtest.Request{Target: target, Resource: "/users/{id}"})
		if err != nil {
			t.Fatal(err)
		}
		if front == eventtest.HTTP2 {
			event = replaced(t, event, map[string]any{"routeKey": "GET /users/{id}"})
		} else if front == eventtest.HTTP1 {
			event = replaced(t, event, map[string]any{"resource": "/users/{id}"})
		}
		result := f.Invoke(t.Context(), event)
		f.settled(t)
		if result.Err != nil || result.Error != nil {
			t.Fatalf("%v %v", result.Err, result.Error)
		}
		return gjson.GetBytes(result.Body, "statusCode").Int()
	}
	for _, front := range []eventtest.Front{eventtest.REST, eventtest.HTTP1, eventtest.HTTP2} {
		if status := call(front, "/users/7"); status != 200 || w.asked() != "/v1/people/7" {
			t.Errorf("%v: %d", front, status)
		}
	}
	if status := call(eventtest.REST, "/nowhere"); status != 502 || w.asked() != "" {
		t.Errorf("a path that does not fit the resource: %d", status)
	}
	if status := call(eventtest.FunctionURL, "/users/7"); status != 502 || w.asked() != "" {
		t.Errorf("a Function URL, which is no API: %d", status)
	}
	if !strings.Contains(f.log.String(), `"routes":1`) {
		t.Errorf("the log does not tell of the table: %s", f.log)
	}
}

// Where the configuration has routes too, calls of other APIs go by these.
func TestRoutesBesideOwn(t *testing.T) {
	w := newWorld(t)
	f := w.start(Proxy, "TAPWAY_ROUTES=s3://objects/routes/")
	event, err := eventtest.REST.Event(eventtest.Request{Target: "/a"})
	if err != nil {
		t.Fatal(err)
	}
	if result := f.Invoke(t.Context(), event); gjson.GetBytes(result.Body, "statusCode").Int() != 200 || w.asked() != "/a" {
		t.Errorf("%s", result.Body)
	}
	f.settled(t)
	if _, err := New(t.Context(), w.options(&function{log: new(buffer), metrics: new(buffer)}, Proxy, "TAPWAY_ROUTES=objects")); err == nil || !strings.Contains(err.Error(), "s3://BUCKET/PREFIX/") {
		t.Errorf("a place that is none: %v", err)
	}
}

// Calls of an export in the configuration go by their path; where that leads nowhere, by the route that API Gateway has
// chosen. A Lambda function is invoked for an API only, whose events it understands.
func TestExportByEvent(t *testing.T) {
	for _, inBucket := range []bool{true, false} {
		for _, tables := range []string{"TAPWAY_ROUTES=", "TAPWAY_ROUTES=s3://objects/routes/"} {
			exportByEvent(t, inBucket, tables)
		}
	}
}

func exportByEvent(t *testing.T, inBucket bool, tables string) {
	t.Helper()
	w := newWorld(t)
	backend := w.env["TAPWAY_BACKEND"]
	l := w.withLambda(replies(`{"statusCode":201,"body":"hello"}`))
	integration := func(path string) string {
		return fmt.Sprintf(`{"x-amazon-apigateway-integration":{"type":"http_proxy","payloadFormatVersion":"1.0","httpMethod":"ANY","uri":%q}}`, backend+path)
	}
	text := `{"openapi":"3.0.1","paths":{"/users/{id}":{"get":` + integration("/narrow/{id}") + `},"/{proxy+}":{"x-amazon-apigateway-any-method":` + integration("/wide/{proxy}") + `},
		"/orders":{"get":{"x-amazon-apigateway-integration":{` + httpFunction + `}}}}}`
	place := t.TempDir() + "/a.json"
	if inBucket {
		place = "s3://objects/exports/a.json"
		w.putObject("exports/a.json", []byte(text))
	} else {
		writeFile(t, place, text)
	}
	conf := t.TempDir() + "/tapway.yaml"
	writeFile(t, conf, "openapi: "+place+"\n")
	f := w.start(Proxy, tables, "TAPWAY_CONFIG="+conf)
	for _, c := range []struct {
		front                 eventtest.Front
		method, target, route string
		status                int64
		asked                 string
	}{
		{eventtest.HTTP2, "GET", "/users/7", "GET /users/{id}", 200, "/narrow/7"},
		{eventtest.HTTP2, "POST", "/users/7", "ANY /{proxy+}", 200, "/wide/users/7"},
		{eventtest.HTTP2, "GET", "/users/7", "ANY /{proxy+}", 200, "/narrow/7"}, // an API that passes everything on
		{eventtest.HTTP2, "POST", "/users/7", "$default", 403, ""},              // the export has no such route
		{eventtest.FunctionURL, "POST", "/users/7", "$default", 403, ""},
		{eventtest.HTTP2, "GET", "/orders", "GET /orders", 201, ""},
		{eventtest.FunctionURL, "GET", "/orders", "$default", 502, ""},
	} {
		event, err := c.front.Event(eventtest.Request{Method: c.method, Target: c.target})
		if err != nil {
			t.Fatal(err)
		}
		result := f.Invoke(t.Context(), replaced(t, event, map[string]any{"routeKey": c.route}))
		f.settled(t)
		if status := gjson.GetBytes(result.Body, "statusCode").Int(); status != c.status || w.asked() != c.asked {
			t.Errorf("%s, %s: %v %s %s by %s: %d %s", place, tables, c.front, c.method, c.target, c.route, status, result.Body)
		}
	}
	same(t, "invocations", l.count(), 1)
}
