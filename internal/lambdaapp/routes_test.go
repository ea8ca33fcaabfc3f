package lambdaapp

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"github.com/tidwall/gjson"
)

// table is a route table as attach writes it, for backends at host.
func table(host, version string) string {
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
	w.put("routes/a1b2c3d4e5.json", table(host, "v1"))
	f := w.start(Proxy, "TAPWAY_BACKEND=", "TAPWAY_ROUTES=s3://objects/routes/")
	call := func(front eventtest.Front, target string) (status int64) {
		t.Helper()
		event, err := front.Event(eventtest.Request{Target: target, Resource: "/users/{id}"})
		if err != nil {
			t.Fatal(err)
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
	if status := call(eventtest.REST, "/nowhere"); status != 403 || w.asked() != "" {
		t.Errorf("a path that the API does not have: %d", status)
	}
	if status := call(eventtest.FunctionURL, "/users/7"); status != 502 || w.asked() != "" {
		t.Errorf("a Function URL, which is no API: %d", status)
	}
	if !strings.Contains(f.log.String(), `"routes":1`) {
		t.Errorf("the log does not tell of the table: %s", f.log)
	}
}

// What was read stays in force while the bucket is away, and is replaced after the reply.
func TestRoutesRefresh(t *testing.T) {
	w := newWorld(t)
	host := strings.TrimPrefix(w.env["TAPWAY_BACKEND"], "http://")
	down, reads := false, 0
	w.s3Fault = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == "GET" {
			reads++
		}
		if down {
			rw.WriteHeader(http.StatusForbidden)
		}
		return down
	}
	f := &function{log: new(buffer), metrics: new(buffer)}
	app, err := New(t.Context(), w.options(f, Proxy, "TAPWAY_BACKEND=", "TAPWAY_ROUTES=s3://objects/routes/"))
	if err != nil {
		t.Fatal(err)
	}
	p := app.handler.(*proxyFunction)
	now := time.Now()
	p.routes.now = func() time.Time { return now }
	get := func() (path, problem string) {
		r, _ := http.NewRequest("GET", "http://api/users/7", nil)
		c := &tapway.Call{Front: tapway.FrontREST, API: &tapway.API{ID: "a1b2c3d4e5", Stage: "prod"}}
		hop, refusal := p.routes.Route(r.WithContext(tapway.WithCall(t.Context(), c)), "/users/7", "", false)
		if refusal != nil {
			return "", refusal.Reason
		}
		return hop.Path, ""
	}
	want := func(what, path, problem string, read int) {
		t.Helper()
		gotPath, gotProblem := get()
		if gotPath != path || !strings.Contains(gotProblem, problem) || (problem == "") != (gotProblem == "") || reads != read {
			t.Errorf("%s: %q, %q after %d reads; want %q, %q after %d", what, gotPath, gotProblem, reads, path, problem, read)
		}
	}
	want("no table", "", "there is none for API a1b2c3d4e5", 1)
	w.put("routes/a1b2c3d4e5.json", table(host, "v1"))
	want("no table, just looked", "", "there is none", 1)
	now = now.Add(tableRetry)
	want("a table", "/v1/people/7", "", 2)
	w.put("routes/a1b2c3d4e5.json", table(host, "v2"))
	now = now.Add(tableAge - time.Nanosecond)
	p.routes.refresh(t.Context())
	want("not yet a minute old", "/v1/people/7", "", 2)
	now = now.Add(time.Nanosecond)
	want("a call does not look", "/v1/people/7", "", 2)
	p.routes.refresh(t.Context())
	want("after a minute", "/v2/people/7", "", 3)
	for what, text := range map[string]string{"broken": "{", "no route that can be served": `{"openapi": "3.0.1", "paths": {}}`} {
		w.put("routes/a1b2c3d4e5.json", text)
		reads, now = 0, now.Add(tableAge)
		p.routes.refresh(t.Context())
		want(what, "/v2/people/7", "", 1)
	}
	down, reads, now = true, 0, now.Add(tableAge)
	p.routes.refresh(t.Context())
	want("the bucket is away", "/v2/people/7", "", 2)
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
