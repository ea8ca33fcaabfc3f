package apitest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// hello makes an HTTP API with GET /hello, which goes to hello.example.com.
func (w *world) hello() (api, route, integration string) {
	t, ctx := w.t, w.t.Context()
	t.Helper()
	a := ok[*apigatewayv2.CreateApiOutput](t)(w.v2.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: aws.String("hello"), ProtocolType: types.ProtocolTypeHttp}))
	i := ok[*apigatewayv2.CreateIntegrationOutput](t)(w.v2.CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{ApiId: a.ApiId, IntegrationType: types.IntegrationTypeHttpProxy,
		IntegrationMethod: aws.String("GET"), IntegrationUri: aws.String("https://hello.example.com"), RequestParameters: map[string]string{"overwrite:path": "/v2", "append:header.x": "y"}}))
	r := ok[*apigatewayv2.CreateRouteOutput](t)(w.v2.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: a.ApiId, RouteKey: aws.String("GET /hello"), Target: aws.String("integrations/" + *i.IntegrationId)}))
	return *a.ApiId, *r.RouteId, *i.IntegrationId
}

func (w *world) tapIntegration(api string) string {
	w.t.Helper()
	out := ok[*apigatewayv2.CreateIntegrationOutput](w.t)(w.v2.CreateIntegration(w.t.Context(), &apigatewayv2.CreateIntegrationInput{ApiId: &api, IntegrationType: types.IntegrationTypeAwsProxy,
		IntegrationUri: aws.String(w.AddFunction("tap", false)), PayloadFormatVersion: aws.String("2.0")}))
	return *out.IntegrationId
}

func (w *world) point(api, route, integration string) error {
	_, err := w.v2.UpdateRoute(w.t.Context(), &apigatewayv2.UpdateRouteInput{ApiId: &api, RouteId: &route, Target: aws.String("integrations/" + integration)})
	return err
}

func TestHTTPIntegrationDefaults(t *testing.T) {
	w := newWorld(t)
	api, _, integration := w.hello()
	i := ok[*apigatewayv2.GetIntegrationOutput](t)(w.v2.GetIntegration(t.Context(), &apigatewayv2.GetIntegrationInput{ApiId: &api, IntegrationId: &integration}))
	if i.ConnectionType != types.ConnectionTypeInternet || *i.TimeoutInMillis != 30000 || *i.PayloadFormatVersion != "1.0" {
		t.Errorf("%+v", i)
	}
	ok[*apigatewayv2.UpdateIntegrationOutput](t)(w.v2.UpdateIntegration(t.Context(), &apigatewayv2.UpdateIntegrationInput{ApiId: &api, IntegrationId: &integration,
		RequestParameters: map[string]string{"append:header.x": "", "append:header.z": "1"}}))
	if got := w.HTTP(api).Integrations[integration].RequestParameters; len(got) != 2 || got["append:header.z"] != "1" || got["overwrite:path"] != "/v2" {
		t.Errorf("an empty value removes, others stay: %v", got)
	}
}

func TestHTTPChecks(t *testing.T) {
	const bad = "BadRequestException"
	w := newWorld(t)
	api, _, integration := w.hello()
	arn := w.AddFunction("f", false)
	for _, tt := range []struct {
		name string
		in   apigatewayv2.CreateIntegrationInput
		want string
	}{
		{"function", apigatewayv2.CreateIntegrationInput{IntegrationType: "AWS_PROXY", IntegrationUri: &arn, PayloadFormatVersion: aws.String("2.0")}, ""},
		{"function without payload version", apigatewayv2.CreateIntegrationInput{IntegrationType: "AWS_PROXY", IntegrationUri: &arn}, bad},
		{"function that is none", apigatewayv2.CreateIntegrationInput{IntegrationType: "AWS_PROXY", IntegrationUri: aws.String("https://x"), PayloadFormatVersion: aws.String("2.0")}, bad},
		{"URL without method", apigatewayv2.CreateIntegrationInput{IntegrationType: "HTTP_PROXY", IntegrationUri: aws.String("https://x")}, bad},
		{"URL with payload version 2.0", apigatewayv2.CreateIntegrationInput{IntegrationType: "HTTP_PROXY", IntegrationMethod: aws.String("GET"), IntegrationUri: aws.String("https://x"), PayloadFormatVersion: aws.String("2.0")}, bad},
		{"link without id", apigatewayv2.CreateIntegrationInput{IntegrationType: "HTTP_PROXY", IntegrationMethod: aws.String("GET"), IntegrationUri: aws.String("arn:x"), ConnectionType: "VPC_LINK"}, bad},
		{"longest timeout", apigatewayv2.CreateIntegrationInput{IntegrationType: "AWS_PROXY", IntegrationUri: &arn, PayloadFormatVersion: aws.String("2.0"), TimeoutInMillis: aws.Int32(30000)}, ""},
		{"above it", apigatewayv2.CreateIntegrationInput{IntegrationType: "AWS_PROXY", IntegrationUri: &arn, PayloadFormatVersion: aws.String("2.0"), TimeoutInMillis: aws.Int32(30001)}, bad},
		{"MOCK", apigatewayv2.CreateIntegrationInput{IntegrationType: "MOCK"}, bad},
	} {
		tt.in.ApiId = &api
		if _, err := w.v2.CreateIntegration(t.Context(), &tt.in); code(err) != tt.want {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	for _, tt := range []struct{ key, target, want string }{
		{"POST /hello", "integrations/" + integration, ""},
		{"$default", "integrations/" + integration, ""},
		{"GET /hello", "integrations/" + integration, "ConflictException"},
		{"FETCH /hello", "integrations/" + integration, bad},
		{"/hello", "integrations/" + integration, bad},
		{"PUT /hello", "integrations/nope", bad},
		{"PUT /hello", integration, bad},
	} {
		_, err := w.v2.CreateRoute(t.Context(), &apigatewayv2.CreateRouteInput{ApiId: &api, RouteKey: &tt.key, Target: &tt.target})
		if code(err) != tt.want {
			t.Errorf("route %q to %q: error %v, want %q", tt.key, tt.target, err, tt.want)
		}
	}
}

func TestIntegrationInUseStays(t *testing.T) {
	w := newWorld(t)
	api, route, old := w.hello()
	tap := w.tapIntegration(api)
	if err := w.point(api, route, tap); err != nil {
		t.Fatal(err)
	}
	del := func(id string) error {
		_, err := w.v2.DeleteIntegration(t.Context(), &apigatewayv2.DeleteIntegrationInput{ApiId: &api, IntegrationId: &id})
		return err
	}
	if err := del(tap); code(err) != "ConflictException" || !strings.Contains(err.Error(), route) {
		t.Errorf("delete an integration in use: %v", err)
	}
	if err := w.point(api, route, old); err != nil {
		t.Fatal(err)
	}
	if err := del(tap); err != nil {
		t.Error(err)
	}
	if got := code(del(tap)); got != "NotFoundException" {
		t.Errorf("second delete: %q", got)
	}
}

func TestHTTPStages(t *testing.T) {
	w := newWorld(t)
	api, route, old := w.hello()
	tap := w.tapIntegration(api)
	for name, auto := range map[string]bool{"auto": true, "manual": false} {
		ok[*apigatewayv2.CreateStageOutput](t)(w.v2.CreateStage(t.Context(), &apigatewayv2.CreateStageInput{ApiId: &api, StageName: &name, AutoDeploy: &auto}))
	}
	first := ok[string](t)(w.Deploy(api, "manual"))
	if err := w.point(api, route, tap); err != nil {
		t.Fatal(err)
	}
	kind := func(stage string) string { target, _ := w.Resolve(api, stage, "GET", "/hello"); return target.Type }
	if kind("auto") != "AWS_PROXY" || kind("manual") != "HTTP_PROXY" {
		t.Errorf("auto %s, manual %s", kind("auto"), kind("manual"))
	}
	ok[string](t)(w.Deploy(api, "manual"))
	if kind("manual") != "AWS_PROXY" {
		t.Errorf("manual after deployment: %s", kind("manual"))
	}
	ok[*apigatewayv2.UpdateStageOutput](t)(w.v2.UpdateStage(t.Context(), &apigatewayv2.UpdateStageInput{ApiId: &api, StageName: aws.String("manual"), DeploymentId: &first}))
	if kind("manual") != "HTTP_PROXY" {
		t.Errorf("manual after rollback: %s", kind("manual"))
	}
	if _, err := w.Deploy(api, "auto"); err == nil {
		t.Error("deployed to a stage that does it by itself")
	}
	if _, err := w.v2.UpdateStage(t.Context(), &apigatewayv2.UpdateStageInput{ApiId: &api, StageName: aws.String("auto"), DeploymentId: &first}); code(err) != "BadRequestException" {
		t.Errorf("gave a deployment to a stage that deploys by itself: %v", err)
	}
	if err := w.point(api, route, old); err != nil {
		t.Fatal(err)
	}
	if kind("auto") != "HTTP_PROXY" {
		t.Errorf("auto after the way back: %s", kind("auto"))
	}
}

func TestQuickCreate(t *testing.T) {
	w := newWorld(t)
	a := ok[*apigatewayv2.CreateApiOutput](t)(w.v2.CreateApi(t.Context(), &apigatewayv2.CreateApiInput{Name: aws.String("q"), ProtocolType: types.ProtocolTypeHttp, Target: aws.String("https://q.example.com")}))
	routes := ok[*apigatewayv2.GetRoutesOutput](t)(w.v2.GetRoutes(t.Context(), &apigatewayv2.GetRoutesInput{ApiId: a.ApiId}))
	r := routes.Items[0]
	if len(routes.Items) != 1 || !*r.ApiGatewayManaged || *r.RouteKey != "$default" {
		t.Fatalf("routes: %+v", routes.Items)
	}
	managed := strings.TrimPrefix(*r.Target, "integrations/")
	tap := w.tapIntegration(*a.ApiId)
	if err := w.point(*a.ApiId, *r.RouteId, tap); err != nil {
		t.Errorf("point a managed route elsewhere: %v", err)
	}
	if target, _ := w.Resolve(*a.ApiId, "$default", "GET", "/any/thing"); target.Type != "AWS_PROXY" || target.Problem == "" {
		t.Errorf("%+v: the function has no permission yet", target)
	}
	for what, err := range map[string]error{
		"delete the route":       second(w.v2.DeleteRoute(t.Context(), &apigatewayv2.DeleteRouteInput{ApiId: a.ApiId, RouteId: r.RouteId})),
		"rename the route":       second(w.v2.UpdateRoute(t.Context(), &apigatewayv2.UpdateRouteInput{ApiId: a.ApiId, RouteId: r.RouteId, RouteKey: aws.String("GET /x")})),
		"delete the integration": second(w.v2.DeleteIntegration(t.Context(), &apigatewayv2.DeleteIntegrationInput{ApiId: a.ApiId, IntegrationId: &managed})),
		"update the stage":       second(w.v2.UpdateStage(t.Context(), &apigatewayv2.UpdateStageInput{ApiId: a.ApiId, StageName: aws.String("$default"), Description: aws.String("x")})),
	} {
		if code(err) != "BadRequestException" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestHTTPListsComeInPages(t *testing.T) {
	w := newWorld(t)
	api := w.BuildHTTP(rand.New(rand.NewPCG(5, 5)), 30)
	want := len(w.HTTP(api).Routes)
	seen := map[string]bool{}
	in := &apigatewayv2.GetRoutesInput{ApiId: &api, MaxResults: aws.String("7")}
	pages := 0
	for {
		out := ok[*apigatewayv2.GetRoutesOutput](t)(w.v2.GetRoutes(t.Context(), in))
		for _, r := range out.Items {
			seen[*r.RouteKey] = true
		}
		pages++
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if len(seen) != want || pages != (want+6)/7 {
		t.Errorf("%d routes in %d pages, want %d", len(seen), pages, want)
	}
}

func TestExportHTTP(t *testing.T) {
	w := newWorld(t)
	api, route, _ := w.hello()
	ok[*apigatewayv2.CreateStageOutput](t)(w.v2.CreateStage(t.Context(), &apigatewayv2.CreateStageInput{ApiId: &api, StageName: aws.String("prod")}))
	ok[string](t)(w.Deploy(api, "prod"))
	export := func(stage *string) []byte {
		t.Helper()
		return ok[*apigatewayv2.ExportApiOutput](t)(w.v2.ExportApi(t.Context(), &apigatewayv2.ExportApiInput{ApiId: &api, OutputType: aws.String("JSON"), Specification: aws.String("OAS30"), StageName: stage})).Body
	}
	before := export(aws.String("prod"))
	if err := w.point(api, route, w.tapIntegration(api)); err != nil {
		t.Fatal(err)
	}
	if d := apitest.Diff(before, export(aws.String("prod"))); d != "" {
		t.Errorf("an edit shows in the stage's export:\n%s", d)
	}
	if now := export(nil); !bytes.Contains(now, []byte("function:tap")) || bytes.Contains(now, []byte("hello.example.com")) {
		t.Errorf("the export without a stage does not show the edit:\n%s", now)
	}
	if !bytes.Contains(before, []byte(`"overwrite:path": "/v2"`)) {
		t.Errorf("the mapping is missing:\n%s", before)
	}
}

func TestHTTPTags(t *testing.T) {
	w := newWorld(t)
	api, _, _ := w.hello()
	arn := aws.String(fmt.Sprintf("arn:aws:apigateway:us-east-1::/apis/%s", api))
	ok[*apigatewayv2.TagResourceOutput](t)(w.v2.TagResource(t.Context(), &apigatewayv2.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"tapway:state": "x", "b": "c"}}))
	ok[*apigatewayv2.UntagResourceOutput](t)(w.v2.UntagResource(t.Context(), &apigatewayv2.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"b"}}))
	if tags := ok[*apigatewayv2.GetTagsOutput](t)(w.v2.GetTags(t.Context(), &apigatewayv2.GetTagsInput{ResourceArn: arn})).Tags; len(tags) != 1 || tags["tapway:state"] != "x" {
		t.Errorf("tags: %v", tags)
	}
}
