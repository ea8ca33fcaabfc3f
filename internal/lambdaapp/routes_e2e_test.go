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
