package lambdaapp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/stages"
)

// shelf is a bucket for tables, and a clock.
type shelf struct {
	*tables
	objects map[string]string // key to text
	fault   error             // of every read
	denied  bool              // what is not there is forbidden, as without s3:ListBucket
	asked   []string          // keys, with "?" behind those asked with an ETag
	clock   time.Time
}

func newShelf(t *testing.T, others string) *shelf {
	t.Helper()
	c := config.Default()
	way := new(egress.Dialer)
	s := &shelf{objects: map[string]string{}, clock: time.Unix(1e9, 0)}
	own, err := stages.NoRoutes(c, way)
	if others != "" {
		c.Backend = others
		own, err = stages.NewRoutes(c, way)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.tables = &tables{
		bucket: "b", prefix: "routes/", others: own, alone: others == "", log: slog.New(slog.DiscardHandler), now: func() time.Time { return s.clock }, fetch: s.read,
		build: func(e stages.Export) (*stages.Routes, error) { return stages.NewAPIRoutes(c, way, e) },
	}
	return s
}

func (s *shelf) read(_ context.Context, bucket, key, etag string) ([]byte, string, error) {
	mark := ""
	if etag != "" {
		mark = "?"
	}
	s.asked = append(s.asked, strings.TrimPrefix(key, "routes/")+mark)
	text, ok := s.objects[key]
	switch {
	case s.fault != nil:
		return nil, "", s.fault
	case !ok && s.denied:
		return nil, "", errNotPermitted
	case !ok:
		return nil, "", tapway.ErrNotFound
	case etag == text:
		return nil, etag, errNotModified
	}
	return []byte(text), text, nil
}

// tableOf is a route table with GET routes to a host, which may hold a stage variable.
func tableOf(host string, paths ...string) string {
	var ops []string
	for _, path := range paths {
		ops = append(ops, fmt.Sprintf(`%q:{"get":{"x-amazon-apigateway-integration":{"type":"http_proxy","httpMethod":"GET","uri":"https://%s%s"}}}`, path, host, path))
	}
	return `{"openapi":"3.0.1","paths":{` + strings.Join(ops, ",") + `}}`
}

// call routes GET path as an invocation does, through to the end of its work after the reply. It gives
// where the call goes, or the status and the reason why not.
func (s *shelf) call(api, path, variables string) string {
	event := fmt.Sprintf(`{"resource":%q,"path":%q,"httpMethod":"GET","stageVariables":%s}`, path, path, variables)
	box := &outbox{event: []byte(event)}
	ctx := context.WithValue(context.Background(), outboxKey{}, box)
	facts := &tapway.Facts{Front: tapway.FrontREST, API: &tapway.API{ID: api, Stage: "prod"}}
	if api == "" {
		facts = &tapway.Facts{Front: tapway.FrontFunctionURL, API: &tapway.API{ID: "url", Stage: "$default"}}
	}
	r := httptest.NewRequest("GET", path, nil).WithContext(tapway.WithCall(tapway.WithFacts(ctx, facts), new(tapway.Call)))
	hop, refusal := s.Route(r, path, "", false)
	s.refresh(context.Background(), box)
	if refusal != nil {
		return fmt.Sprint(refusal.Status, " ", refusal.Reason)
	}
	return hop.Host + hop.Path
}

func (s *shelf) check(t *testing.T, what, got, want, asked string) {
	t.Helper()
	if all := strings.Join(s.asked, " "); got != want || all != asked {
		t.Errorf("%s: %s, asked for %q; want %s, %q", what, got, all, want, asked)
	}
	s.asked = nil
}

func TestTables(t *testing.T) {
	s := newShelf(t, "")
	s.objects["routes/one.json"] = tableOf("one.internal", "/a", "/b")
	s.objects["routes/two/prod.json"] = tableOf("two-prod.internal", "/a")
	s.objects["routes/two.json"] = tableOf("two.internal", "/a")
	s.check(t, "first call", s.call("one", "/a", "null"), "one.internal/a", "one/prod.json one.json")
	s.check(t, "second call", s.call("one", "/b", "null"), "one.internal/b", "")
	s.check(t, "the stage's own table", s.call("two", "/a", "null"), "two-prod.internal/a", "two/prod.json")
	s.check(t, "a route that is not there, right after reading", s.call("one", "/c", "null"), "502 the route is not in the route table", "")

	s.clock = s.clock.Add(tableAge - time.Nanosecond)
	s.check(t, "just young enough", s.call("one", "/a", "null"), "one.internal/a", "")
	s.clock = s.clock.Add(time.Nanosecond)
	s.objects["routes/one.json"] = tableOf("new.internal", "/a", "/c")
	s.check(t, "old: read after the reply", s.call("one", "/a", "null"), "one.internal/a", "one/prod.json one.json?")
	s.check(t, "the newer one", s.call("one", "/a", "null"), "new.internal/a", "")
	s.clock = s.clock.Add(tableAge)
	s.check(t, "unchanged", s.call("one", "/c", "null"), "new.internal/c", "one/prod.json one.json?")
	s.check(t, "unchanged, again", s.call("one", "/c", "null"), "new.internal/c", "")

	s.objects["routes/one.json"] = tableOf("newer.internal", "/d")
	s.clock = s.clock.Add(tablePause)
	s.check(t, "a route that the table lacks", s.call("one", "/d", "null"), "newer.internal/d", "one/prod.json one.json?")
	s.check(t, "a Function URL", s.call("", "/a", "null"), "502 no backend for this front", "")
}

// What is known stays, whatever happens to the bucket.
func TestTablesStale(t *testing.T) {
	for name, spoil := range map[string]func(*shelf){
		"down":    func(s *shelf) { s.fault = errors.New("connection refused") },
		"gone":    func(s *shelf) { clear(s.objects) },
		"denied":  func(s *shelf) { clear(s.objects); s.denied = true },
		"broken":  func(s *shelf) { s.objects["routes/one.json"] = `{"openapi":` },
		"useless": func(s *shelf) { s.objects["routes/one.json"] = `{"openapi":"3.0.1","paths":{"/a":{"get":{}}}}` },
	} {
		s := newShelf(t, "")
		s.objects["routes/one.json"] = tableOf("one.internal", "/a")
		s.call("one", "/a", "null")
		spoil(s)
		for range 3 {
			s.clock = s.clock.Add(tableAge)
			if got := s.call("one", "/a", "null"); got != "one.internal/a" {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
}

func TestTablesMissing(t *testing.T) {
	s := newShelf(t, "")
	s.check(t, "no table", s.call("one", "/a", "null"), "502 no route table for this API", "one/prod.json one.json")
	s.check(t, "at once again", s.call("one", "/a", "null"), "502 no route table for this API", "")
	s.clock = s.clock.Add(tablePause)
	s.objects["routes/one.json"] = tableOf("one.internal", "/a")
	s.check(t, "it was written", s.call("one", "/a", "null"), "one.internal/a", "one/prod.json one.json")

	s.fault = errors.New("connection refused")
	s.check(t, "S3 down", s.call("two", "/a", "null"), "502 the route table cannot be read", "two/prod.json two/prod.json")
	s.fault = nil
	s.objects["routes/two.json"] = tableOf("two.internal", "/a")
	s.clock = s.clock.Add(tablePause)
	s.check(t, "S3 up", s.call("two", "/a", "null"), "two.internal/a", "two/prod.json two.json")

	s.denied = true
	s.check(t, "denied", s.call("three", "/a", "null"), "502 the route table cannot be read", "three/prod.json three.json")
	s.objects["routes/four.json"] = tableOf("four.internal", "/a")
	s.check(t, "without s3:ListBucket", s.call("four", "/a", "null"), "four.internal/a", "four/prod.json four.json")
}

// An API without a table goes where the configuration says; one whose table cannot be read does not.
func TestTablesBesideBackend(t *testing.T) {
	s := newShelf(t, "https://rest.internal")
	s.objects["routes/one.json"] = tableOf("one.internal", "/a")
	s.check(t, "with", s.call("one", "/a", "null"), "one.internal/a", "one/prod.json one.json")
	s.check(t, "without", s.call("two", "/a", "null"), "rest.internal/a", "two/prod.json two.json")
	s.clock = s.clock.Add(tableAge - 1)
	s.check(t, "without, later", s.call("two", "/a", "null"), "rest.internal/a", "")
	s.clock = s.clock.Add(1)
	s.objects["routes/two.json"] = tableOf("two.internal", "/a")
	s.check(t, "the client does not wait", s.call("two", "/a", "null"), "rest.internal/a", "two/prod.json two.json")
	s.check(t, "it was attached", s.call("two", "/a", "null"), "two.internal/a", "")
	s.check(t, "a Function URL", s.call("", "/a", "null"), "rest.internal/a", "")
	s.fault = errors.New("connection refused")
	s.check(t, "not known", s.call("three", "/a", "null"), "502 the route table cannot be read", "three/prod.json three/prod.json")
}

// Stage variables are those of the call.
func TestTablesStageVariables(t *testing.T) {
	s := newShelf(t, "")
	s.objects["routes/one.json"] = tableOf("${stageVariables.host}", "/a")
	if got := s.call("one", "/a", `{"host":"blue.internal"}`); got != "blue.internal/a" {
		t.Error(got)
	}
	if got := s.call("one", "/a", `{"host":"green.internal"}`); got != "green.internal/a" {
		t.Error(got)
	}
	if got := s.call("one", "/a", `null`); got != "green.internal/a" { // no worse than before
		t.Error(got)
	}
}

// A table for all stages of an API: each call's own stage counts.
func TestTablesStage(t *testing.T) {
	s := newShelf(t, "")
	s.objects["routes/one.json"] = `{"openapi":"3.0.1","servers":[{"url":"https://one.execute-api.eu-west-1.amazonaws.com/{basePath}","variables":{"basePath":{"default":"test"}}}],
		"paths":{"/a":{"get":{"x-amazon-apigateway-integration":{"type":"http_proxy","httpMethod":"GET","uri":"https://h/{stage}","requestParameters":{"integration.request.path.stage":"context.stage"}}}}}}`
	if got := s.call("one", "/a", "null"); got != "h/prod" {
		t.Error(got)
	}
}

// An HTTP API decodes a path before the function sees it; its parameters still say what was meant.
func TestTablesHTTPAPI(t *testing.T) {
	s := newShelf(t, "")
	s.objects["routes/one.json"] = `{"openapi":"3.0.1","paths":{
		"/users/{id}":{"get":{"x-amazon-apigateway-integration":{"type":"http_proxy","httpMethod":"ANY","uri":"https://h/u/{id}","payloadFormatVersion":"1.0"}}},
		"/me":{"get":{"x-amazon-apigateway-integration":{"type":"http_proxy","httpMethod":"ANY","uri":"https://h/me","payloadFormatVersion":"1.0"}}},
		"/{proxy+}":{"x-amazon-apigateway-any-method":{"x-amazon-apigateway-integration":{"type":"http_proxy","httpMethod":"ANY","uri":"https://rest/{proxy}","payloadFormatVersion":"1.0"}}}}}`
	for _, tt := range []struct{ key, method, path, params, want string }{
		{"GET /users/{id}", "GET", "/users/7", `{"id":"7"}`, "h/u/7"},
		{"GET /users/{id}", "GET", "/users/a/b", `{"id":"a/b"}`, "h/u/a%2Fb"},
		{"GET /users/{id}", "GET", "/users/a/b", `{}`, "502 the path does not fit the route"},
		{"GET /me", "GET", "/", `{}`, "h/me"}, // it has no parameters, so nothing is in doubt
		// An HTTP API looks for a wider route when the closest one has not the method.
		{"ANY /{proxy+}", "POST", "/users/7", `{"proxy":"users/7"}`, "rest/users/7"},
	} {
		box := &outbox{event: []byte(fmt.Sprintf(`{"version":"2.0","routeKey":%q,"pathParameters":%s}`, tt.key, tt.params))}
		facts := &tapway.Facts{Front: tapway.FrontHTTP, API: &tapway.API{ID: "one", Stage: "$default"}}
		ctx := tapway.WithCall(tapway.WithFacts(context.WithValue(t.Context(), outboxKey{}, box), facts), new(tapway.Call))
		r := httptest.NewRequest(tt.method, tt.path, http.NoBody).WithContext(ctx)
		hop, refusal := s.Route(r, tt.path, "", false)
		got := hop.Host + hop.Path
		if refusal != nil {
			got = fmt.Sprint(refusal.Status, " ", refusal.Reason)
		}
		if got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.key, tt.path, got, tt.want)
		}
	}
}

// A REST API's parameters are encoded as the client had them, and are not encoded twice where the path does not fit.
func TestTablesRESTParameters(t *testing.T) {
	s := newShelf(t, "")
	s.objects["routes/one.json"] = `{"openapi":"3.0.1","paths":{
		"/users/{id}":{"get":{"x-amazon-apigateway-integration":{"type":"http_proxy","httpMethod":"GET","uri":"https://h/u/{id}","requestParameters":{"integration.request.path.id":"method.request.path.id"}}}},
		"/files/{proxy+}":{"get":{"x-amazon-apigateway-integration":{"type":"http_proxy","httpMethod":"GET","uri":"https://h/f/{proxy}","requestParameters":{"integration.request.path.proxy":"method.request.path.proxy"}}}}}}`
	for _, tt := range []struct{ resource, path, params, want string }{
		{"/users/{id}", "/users/a%20b", `{"id":"a%20b"}`, "h/u/a%20b"},
		{"/users/{id}", "/shop/users//a%20b", `{"id":"a%20b"}`, "h/u/a%20b"},
		{"/users/{id}", "/shop/users//a", `{"id":"a%2Fb%25"}`, "h/u/a%2Fb%25"},
		{"/users/{id}", "/shop/users//a", `{"id":"100%"}`, "h/u/100%25"},
		{"/files/{proxy+}", "/shop//files/a", `{"proxy":"a%2Fb/c%20d"}`, "h/f/a%2Fb/c%20d"},
	} {
		box := &outbox{event: []byte(fmt.Sprintf(`{"resource":%q,"httpMethod":"GET","pathParameters":%s}`, tt.resource, tt.params))}
		facts := &tapway.Facts{Front: tapway.FrontREST, API: &tapway.API{ID: "one", Stage: "prod"}}
		ctx := tapway.WithCall(tapway.WithFacts(context.WithValue(t.Context(), outboxKey{}, box), facts), new(tapway.Call))
		hop, refusal := s.Route(httptest.NewRequest("GET", tt.path, http.NoBody).WithContext(ctx), tt.path, "", false)
		got := hop.Host + hop.Path
		if refusal != nil {
			got = fmt.Sprint(refusal.Status, " ", refusal.Reason)
		}
		if got != tt.want {
			t.Errorf("%s, %s: %s, want %s", tt.path, tt.params, got, tt.want)
		}
	}
}
