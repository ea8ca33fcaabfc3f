package apitest_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// TestRestLife reads, changes and deletes everything of a REST API once.
func TestRestLife(t *testing.T) {
	w, ctx, get := newWorld(t), t.Context(), aws.String("GET")
	api, resource := w.pets()
	plan := w.AddUsagePlan("gold", apitest.APIStage{APIID: api, Stage: "prod"})
	w.EditREST(api, func(a *apitest.RestAPI) {
		a.Authorizers = []*apitest.Authorizer{{ID: "auth01", Name: "users", Type: "TOKEN", IdentitySource: "method.request.header.Authorization"}}
	})
	first := w.deploy(apigateway.CreateDeploymentInput{RestApiId: &api, Description: aws.String("first")})
	newest := w.deploy(apigateway.CreateDeploymentInput{RestApiId: &api, Description: aws.String("newest")})
	ok[*apigateway.CreateStageOutput](t)(w.v1.CreateStage(ctx, &apigateway.CreateStageInput{RestApiId: &api, StageName: aws.String("prod"), DeploymentId: &first, Tags: map[string]string{"a": "b"}}))

	apis := ok[*apigateway.GetRestApisOutput](t)(w.v1.GetRestApis(ctx, &apigateway.GetRestApisInput{}))
	if len(apis.Items) != 1 || time.Since(*apis.Items[0].CreatedDate) > time.Minute {
		t.Errorf("APIs: %+v", apis.Items)
	}
	if r := ok[*apigateway.GetResourceOutput](t)(w.v1.GetResource(ctx, &apigateway.GetResourceInput{RestApiId: &api, ResourceId: &resource})); *r.Path != "/pets/{id}" || len(r.ResourceMethods) != 1 {
		t.Errorf("resource: %+v", r)
	}
	stages := ok[*apigateway.GetStagesOutput](t)(w.v1.GetStages(ctx, &apigateway.GetStagesInput{RestApiId: &api}))
	if len(stages.Item) != 1 || *stages.Item[0].DeploymentId != first || stages.Item[0].LastUpdatedDate == nil {
		t.Errorf("stages: %+v", stages.Item)
	}
	if other := ok[*apigateway.GetStagesOutput](t)(w.v1.GetStages(ctx, &apigateway.GetStagesInput{RestApiId: &api, DeploymentId: &newest})); len(other.Item) != 0 {
		t.Errorf("stages of a deployment that has none: %+v", other.Item)
	}
	if d := ok[*apigateway.GetDeploymentsOutput](t)(w.v1.GetDeployments(ctx, &apigateway.GetDeploymentsInput{RestApiId: &api})); len(d.Items) != 2 || *d.Items[0].Id != newest {
		t.Errorf("deployments, newest first: %+v", d.Items)
	}
	if d := ok[*apigateway.UpdateDeploymentOutput](t)(w.v1.UpdateDeployment(ctx, &apigateway.UpdateDeploymentInput{RestApiId: &api, DeploymentId: &first,
		PatchOperations: []types.PatchOperation{op("replace", "/description", "kept")}})); *d.Description != "kept" {
		t.Errorf("deployment: %+v", d)
	}
	if p := ok[*apigateway.GetUsagePlansOutput](t)(w.v1.GetUsagePlans(ctx, &apigateway.GetUsagePlansInput{})); *p.Items[0].Id != plan || *p.Items[0].ApiStages[0].Stage != "prod" {
		t.Errorf("usage plans: %+v", p.Items)
	}
	if a := ok[*apigateway.GetAuthorizersOutput](t)(w.v1.GetAuthorizers(ctx, &apigateway.GetAuthorizersInput{RestApiId: &api})); *a.Items[0].Name != "users" {
		t.Errorf("authorizers: %+v", a.Items)
	}
	m := ok[*apigateway.UpdateMethodOutput](t)(w.v1.UpdateMethod(ctx, &apigateway.UpdateMethodInput{RestApiId: &api, ResourceId: &resource, HttpMethod: get, PatchOperations: []types.PatchOperation{
		op("replace", "/apiKeyRequired", "true"), op("add", "/requestParameters/method.request.header.X", "false")}}))
	if !*m.ApiKeyRequired || len(m.RequestParameters) != 2 || m.MethodIntegration == nil {
		t.Errorf("method: %+v", m)
	}
	if got := ok[*apigateway.GetMethodOutput](t)(w.v1.GetMethod(ctx, &apigateway.GetMethodInput{RestApiId: &api, ResourceId: &resource, HttpMethod: get})); !*got.ApiKeyRequired || len(got.MethodResponses) != 1 {
		t.Errorf("method: %+v", got)
	}
	if r := ok[*apigateway.GetMethodResponseOutput](t)(w.v1.GetMethodResponse(ctx, &apigateway.GetMethodResponseInput{RestApiId: &api, ResourceId: &resource, HttpMethod: get, StatusCode: aws.String("200")})); len(r.ResponseParameters) != 1 {
		t.Errorf("method response: %+v", r)
	}
	ok[*apigateway.DeleteMethodResponseOutput](t)(w.v1.DeleteMethodResponse(ctx, &apigateway.DeleteMethodResponseInput{RestApiId: &api, ResourceId: &resource, HttpMethod: get, StatusCode: aws.String("200")}))
	ok[*apigateway.DeleteStageOutput](t)(w.v1.DeleteStage(ctx, &apigateway.DeleteStageInput{RestApiId: &api, StageName: aws.String("prod")}))
	ok[*apigateway.DeleteDeploymentOutput](t)(w.v1.DeleteDeployment(ctx, &apigateway.DeleteDeploymentInput{RestApiId: &api, DeploymentId: &first}))
	ok[*apigateway.DeleteRestApiOutput](t)(w.v1.DeleteRestApi(ctx, &apigateway.DeleteRestApiInput{RestApiId: &api}))
	if w.REST(api) != nil || w.Export(api, "prod") != nil || w.WorkingCopy(api) != nil {
		t.Error("a deleted API is still there")
	}
}

// TestHTTPLife does the same for an HTTP API.
func TestHTTPLife(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	api, route, integration := w.hello()
	ok[*apigatewayv2.CreateStageOutput](t)(w.v2.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: &api, StageName: aws.String("prod"), StageVariables: map[string]string{"a": "1", "b": "2"}}))
	first := ok[string](t)(w.Deploy(api, "prod"))
	newest := ok[string](t)(w.Deploy(api, "prod"))
	if a := ok[*apigatewayv2.GetApisOutput](t)(w.v2.GetApis(ctx, &apigatewayv2.GetApisInput{})); len(a.Items) != 1 || *a.Items[0].ApiId != api {
		t.Errorf("APIs: %+v", a.Items)
	}
	if a := ok[*apigatewayv2.GetApiOutput](t)(w.v2.GetApi(ctx, &apigatewayv2.GetApiInput{ApiId: &api})); time.Since(*a.CreatedDate) > time.Minute {
		t.Errorf("API: %+v", a)
	}
	if r := ok[*apigatewayv2.GetRouteOutput](t)(w.v2.GetRoute(ctx, &apigatewayv2.GetRouteInput{ApiId: &api, RouteId: &route})); *r.RouteKey != "GET /hello" {
		t.Errorf("route: %+v", r)
	}
	if i := ok[*apigatewayv2.GetIntegrationsOutput](t)(w.v2.GetIntegrations(ctx, &apigatewayv2.GetIntegrationsInput{ApiId: &api})); len(i.Items) != 1 || *i.Items[0].IntegrationId != integration {
		t.Errorf("integrations: %+v", i.Items)
	}
	if d := ok[*apigatewayv2.GetDeploymentsOutput](t)(w.v2.GetDeployments(ctx, &apigatewayv2.GetDeploymentsInput{ApiId: &api})); len(d.Items) != 2 || *d.Items[0].DeploymentId != newest {
		t.Errorf("deployments, newest first: %+v", d.Items)
	}
	if d := ok[*apigatewayv2.GetDeploymentOutput](t)(w.v2.GetDeployment(ctx, &apigatewayv2.GetDeploymentInput{ApiId: &api, DeploymentId: &first})); *d.AutoDeployed {
		t.Errorf("deployment: %+v", d)
	}
	ok[*apigatewayv2.UpdateStageOutput](t)(w.v2.UpdateStage(ctx, &apigatewayv2.UpdateStageInput{ApiId: &api, StageName: aws.String("prod"), Description: aws.String("new"), StageVariables: map[string]string{"a": "", "c": "3"}}))
	st := ok[*apigatewayv2.GetStageOutput](t)(w.v2.GetStage(ctx, &apigatewayv2.GetStageInput{ApiId: &api, StageName: aws.String("prod")}))
	if *st.Description != "new" || len(st.StageVariables) != 2 || st.StageVariables["c"] != "3" || *st.DeploymentId != newest {
		t.Errorf("stage: %+v", st)
	}
	if _, err := w.v2.DeleteDeployment(ctx, &apigatewayv2.DeleteDeploymentInput{ApiId: &api, DeploymentId: &newest}); code(err) != "BadRequestException" {
		t.Errorf("delete the deployment of a stage: %v", err)
	}
	ok[*apigatewayv2.DeleteDeploymentOutput](t)(w.v2.DeleteDeployment(ctx, &apigatewayv2.DeleteDeploymentInput{ApiId: &api, DeploymentId: &first}))
	if s := ok[*apigatewayv2.GetStagesOutput](t)(w.v2.GetStages(ctx, &apigatewayv2.GetStagesInput{ApiId: &api})); len(s.Items) != 1 {
		t.Errorf("stages: %+v", s.Items)
	}
	ok[*apigatewayv2.DeleteRouteOutput](t)(w.v2.DeleteRoute(ctx, &apigatewayv2.DeleteRouteInput{ApiId: &api, RouteId: &route}))
	if _, err := w.Deploy(api, "prod"); err == nil {
		t.Error("deployed an API without routes")
	}
	ok[*apigatewayv2.DeleteStageOutput](t)(w.v2.DeleteStage(ctx, &apigatewayv2.DeleteStageInput{ApiId: &api, StageName: aws.String("prod")}))
	ok[*apigatewayv2.DeleteApiOutput](t)(w.v2.DeleteApi(ctx, &apigatewayv2.DeleteApiInput{ApiId: &api}))
	if w.HTTP(api) != nil {
		t.Error("a deleted API is still there")
	}
}

// TestRevisions: a change that names an old revision is refused.
func TestRevisions(t *testing.T) {
	w := newWorld(t)
	w.AddFunction("tap", false)
	old := w.Function("tap").Revision
	if err := w.permit("tap", "a", "arn"); err != nil {
		t.Fatal(err)
	}
	remove := &lambda.RemovePermissionInput{FunctionName: aws.String("tap"), StatementId: aws.String("a"), RevisionId: &old}
	if _, err := w.fn.RemovePermission(t.Context(), remove); code(err) != "PreconditionFailedException" {
		t.Errorf("an old revision: %v", err)
	}
	now := ok[*lambda.GetFunctionConfigurationOutput](t)(w.fn.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("tap")}))
	remove.RevisionId = now.RevisionId
	ok[*lambda.RemovePermissionOutput](t)(w.fn.RemovePermission(t.Context(), remove))
}

// TestSettled: what a change leaves behind for good is not in it, what it changed is.
func TestSettled(t *testing.T) {
	w := newWorld(t)
	api, resource := w.pets()
	h, route, old := w.hello()
	ok[string](t)(w.Deploy(api, "prod"))
	ok[*apigatewayv2.CreateStageOutput](t)(w.v2.CreateStage(t.Context(), &apigatewayv2.CreateStageInput{ApiId: &h, StageName: aws.String("prod"), AutoDeploy: aws.Bool(true)}))
	tap := w.tapIntegration(h)
	dump, settled := w.Dump(), w.Settled()

	w.setURI(api, resource, "https://tap.example.com")
	ok[string](t)(w.Deploy(api, "prod"))
	if err := w.point(h, route, tap); err != nil {
		t.Fatal(err)
	}
	if err := w.permit("tap", "a", "arn"); err != nil {
		t.Fatal(err)
	}
	d := apitest.Diff(settled, w.Settled())
	if d == "" {
		t.Error("a change does not show")
	}
	w.setURI(api, resource, "https://${stageVariables.host}/pets/{id}")
	if w.Deployed(api, "prod") == nil || apitest.Diff(settled, w.Settled()) == "" {
		t.Error("put back, but not deployed: the stage still differs")
	}
	ok[string](t)(w.Deploy(api, "prod"))
	if err := w.point(h, route, old); err != nil {
		t.Fatal(err)
	}
	ok[*lambda.RemovePermissionOutput](t)(w.fn.RemovePermission(t.Context(), &lambda.RemovePermissionInput{FunctionName: aws.String("tap"), StatementId: aws.String("a")}))
	if d := apitest.Diff(settled, w.Settled()); d != "" {
		t.Errorf("all is put back, and yet:\n%s", d)
	}
	if apitest.Diff(dump, w.Dump()) == "" {
		t.Error("Dump does not show the deployments that came and stayed")
	}
}
