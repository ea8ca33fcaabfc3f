package attach

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"pgregory.net/rapid"

	"github.com/tapway/tapway/internal/attach/apitest"
	"github.com/tapway/tapway/internal/route"
)

// tableOf reads a plan's route table as the proxy function does.
func tableOf(t fataler, p *Plan) (*route.Definition, *route.Table) {
	t.Helper()
	var more struct {
		Variables map[string]string `json:"x-tapway-stage-variables"`
	}
	if err := json.Unmarshal(p.RouteTable, &more); err != nil {
		t.Fatal(err)
	}
	d, err := route.ReadOpenAPI(p.RouteTable, route.OpenAPIOptions{StageVariables: more.Variables, APIID: p.API, Stage: p.Stage, Functions: true})
	if err != nil {
		t.Fatal(err)
	}
	table, err := route.NewTable(d.Routes())
	if err != nil {
		t.Fatal(err)
	}
	return d, table
}

// TestTableServesThePlan: what a plan leads to the function, the function can serve by its route
// table, and a call takes the route there that API Gateway took and names in its event.
func TestTableServesThePlan(t *testing.T) {
	served := 0
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		n := rapid.IntRange(1, 8).Draw(t, "routes")
		var api string
		if rapid.Bool().Draw(t, "REST") {
			api = w.BuildREST(drawn{t}, n)
		} else {
			api = w.BuildHTTP(drawn{t}, n)
		}
		a, err := w.clients.Read(t.Context(), api, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.stageNames()) == 0 {
			t.Skip("no stage")
		}
		a = w.read(t, api, rapid.SampledFrom(a.stageNames()).Draw(t, "stage"))
		p := w.plan(t, a, w.viaFunction())
		d, table := tableOf(t, p)
		planned := map[string]bool{}
		for _, c := range p.Changes {
			planned[c.Route] = true
		}
		for _, c := range p.Changes {
			method, path := keyParts(c.Route)
			found := table.Find(method, path)
			if found == nil {
				t.Errorf("%s is not in the table (%s)", c.Route, p.RouteTable)
				continue
			}
			op := d.Operations[found.Ref]
			if found.Unsupported != "" || !op.Tappable {
				t.Errorf("%s: the function cannot serve it: %s", c.Route, op.Reason)
			}
			served++
			for _, method := range []string{"GET", "POST", "PATCH"} {
				call := apitest.Concrete(path)
				if path == route.Default {
					call = "/any/thing"
				}
				to, ok := w.Resolve(api, a.Stage, method, call)
				if ok && planned[to.Route] {
					takes(t, table, &to, method, call)
				}
			}
		}
	})
	if served == 0 {
		t.Error("no plan had a route")
	}
}

// takes fails unless the table leads a call the way that API Gateway leads it. It gives 1 if by its path
// alone the call would have gone elsewhere.
func takes(t fataler, table *route.Table, to *apitest.Target, method, path string) int {
	t.Helper()
	named, template := keyParts(to.Route)
	found := table.Find(named, template)
	if found == nil || found.Name() != to.Route {
		t.Fatalf("%s %s takes %s, in the table %v", method, path, to.Route, found)
	}
	if _, ok := found.Params(path); !ok {
		t.Fatalf("%s %s takes %s, whose template does not take the path", method, path, to.Route)
	}
	if by, _, status := table.Match(method, path); status != route.Found || by != found {
		return 1
	}
	return 0
}

// TestTableOfHTTPAPI: an HTTP API looks for a wider route where the narrower one lacks the method, which a
// REST API does not do. The table has what either has chosen.
func TestTableOfHTTPAPI(t *testing.T) {
	w := newWorld(t)
	made, err := w.clients.HTTP.CreateApi(t.Context(), &apigatewayv2.CreateApiInput{Name: aws.String("shop"), ProtocolType: "HTTP"})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"GET /users/{id}", "GET /users/me", "DELETE /users/{id}", "ANY /users/{id}/cart", "ANY /{proxy+}"} {
		in, err := w.clients.HTTP.CreateIntegration(t.Context(), &apigatewayv2.CreateIntegrationInput{ApiId: made.ApiId, IntegrationType: "HTTP_PROXY",
			IntegrationMethod: aws.String("ANY"), IntegrationUri: aws.String("https://b.example.com/x"), PayloadFormatVersion: aws.String("1.0")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.clients.HTTP.CreateRoute(t.Context(), &apigatewayv2.CreateRouteInput{ApiId: made.ApiId, RouteKey: &key, Target: aws.String("integrations/" + *in.IntegrationId)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.clients.HTTP.CreateStage(t.Context(), &apigatewayv2.CreateStageInput{ApiId: made.ApiId, StageName: aws.String("$default"), AutoDeploy: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	_, table := tableOf(t, w.plan(t, w.read(t, *made.ApiId, "$default"), w.viaFunction()))
	for _, c := range []struct {
		method, path, route string
		wider               int
	}{
		{"GET", "/users/7", "GET /users/{id}", 0},
		{"GET", "/users/me", "GET /users/me", 0},
		{"DELETE", "/users/7", "DELETE /users/{id}", 0},
		{"POST", "/users/7", "ANY /{proxy+}", 1},
		{"POST", "/users/me", "ANY /{proxy+}", 1},
		{"DELETE", "/users/me", "DELETE /users/{id}", 1},
		{"POST", "/users/7/cart", "ANY /users/{id}/cart", 0},
		{"POST", "/users/7/orders", "ANY /{proxy+}", 0},
	} {
		to, ok := w.Resolve(*made.ApiId, "$default", c.method, c.path)
		if !ok || to.Route != c.route {
			t.Errorf("%s %s: API Gateway takes %q, want %s", c.method, c.path, to.Route, c.route)
			continue
		}
		if wider := takes(t, table, &to, c.method, c.path); wider != c.wider {
			t.Errorf("%s %s: by its path alone the call would go elsewhere: %d, want %d", c.method, c.path, wider, c.wider)
		}
	}
}
