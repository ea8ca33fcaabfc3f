package apitest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	types2 "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/tapway/tapway/internal/mototest"
)

func TestAsMoto(t *testing.T) {
	ours, theirs := newWorld(t), newWorld(t)
	theirs.connect(mototest.Start(t), &http.Client{})
	ours.AddFunction("tap", false)
	theirs.motoFunction()
	for name, story := range map[string]func(*world) []string{"rest": restStory, "http": httpStory, "lambda": lambdaStory} {
		t.Run(name, func(t *testing.T) {
			a, b := story(ours), story(theirs)
			for i := range a {
				if i >= len(b) || a[i] != b[i] {
					t.Errorf("apitest: %s\nmoto:    %s", a[i], b[min(i, len(b)-1)])
				}
			}
			if len(a) < 8 {
				t.Errorf("the story has %d lines only", len(a))
			}
		})
	}
}

// motoFunction makes the function "tap" in moto, which wants a role for it.
func (w *world) motoFunction() {
	w.t.Helper()
	form := strings.NewReader("Action=CreateRole&Version=2010-05-08&RoleName=tap&AssumeRolePolicyDocument=%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D")
	req, err := http.NewRequest("POST", *w.conf.BaseEndpoint, form)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x")
	res := ok[*http.Response](w.t)(http.DefaultClient.Do(req))
	res.Body.Close()
	ok[*lambda.CreateFunctionOutput](w.t)(w.fn.CreateFunction(w.t.Context(), &lambda.CreateFunctionInput{FunctionName: aws.String("tap"), Role: aws.String("arn:aws:iam::123456789012:role/tap"),
		Runtime: lambdatypes.RuntimeProvidedal2023, Handler: aws.String("bootstrap"), Code: &lambdatypes.FunctionCode{ZipFile: []byte("PK\x05\x06" + strings.Repeat("\x00", 18))}}))
}

// line is what of an answer is compared.
func line(what string, err error, v ...any) string {
	if err != nil {
		return what + ": " + code(err)
	}
	text, _ := json.Marshal(v) // plain values
	return what + ": " + string(text)
}

func restStory(w *world) (out []string) {
	ctx := w.t.Context()
	_, err := w.v1.GetRestApi(ctx, &apigateway.GetRestApiInput{RestApiId: aws.String("nope")})
	out = append(out, line("no such API", err))
	a, err := w.v1.CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String("story"), Description: aws.String("d")})
	out = append(out, line("create API", err, a.Name, a.Description, a.ApiKeySource, a.DisableExecuteApiEndpoint, a.EndpointConfiguration.Types))
	res := func(parent *string, part string) *apigateway.CreateResourceOutput {
		r, err := w.v1.CreateResource(ctx, &apigateway.CreateResourceInput{RestApiId: a.Id, ParentId: parent, PathPart: &part})
		if err != nil {
			out = append(out, line("resource "+part, err))
			return nil
		}
		out = append(out, line("resource "+part, err, r.Path, r.PathPart, *r.ParentId == *parent))
		return r
	}
	pets := res(a.RootResourceId, "pets")
	pet := res(pets.Id, "{id}")
	res(a.RootResourceId, "a b")
	get := aws.String("GET")
	put := &apigateway.PutMethodInput{RestApiId: a.Id, ResourceId: pet.Id, HttpMethod: get, AuthorizationType: aws.String("NONE"), RequestParameters: map[string]bool{"method.request.path.id": true}}
	m, err := w.v1.PutMethod(ctx, put)
	out = append(out, line("method", err, m.HttpMethod, m.AuthorizationType, m.RequestParameters))
	_, err = w.v1.GetMethod(ctx, &apigateway.GetMethodInput{RestApiId: a.Id, ResourceId: pet.Id, HttpMethod: aws.String("PUT")})
	out = append(out, line("no such method", err))
	_, err = w.v1.PutMethodResponse(ctx, &apigateway.PutMethodResponseInput{RestApiId: a.Id, ResourceId: pet.Id, HttpMethod: get, StatusCode: aws.String("200")})
	out = append(out, line("method response", err))
	integrate := func(kind types.IntegrationType, method, uri string) {
		i, err := w.v1.PutIntegration(ctx, &apigateway.PutIntegrationInput{RestApiId: a.Id, ResourceId: pet.Id, HttpMethod: get, Type: kind, IntegrationHttpMethod: &method, Uri: &uri})
		if err != nil {
			out = append(out, line("integration", err))
			return
		}
		out = append(out, line("integration", err, i.Type, i.HttpMethod, i.Uri, len(i.IntegrationResponses)))
	}
	integrate("HTTP", "GET", "https://pets.example.com")
	r, err := w.v1.PutIntegrationResponse(ctx, &apigateway.PutIntegrationResponseInput{RestApiId: a.Id, ResourceId: pet.Id, HttpMethod: get, StatusCode: aws.String("200"), SelectionPattern: aws.String("2..")})
	out = append(out, line("integration response", err, r.StatusCode, r.SelectionPattern))
	_, err = w.v1.GetIntegrationResponse(ctx, &apigateway.GetIntegrationResponseInput{RestApiId: a.Id, ResourceId: pet.Id, HttpMethod: get, StatusCode: aws.String("404")})
	out = append(out, line("no such integration response", err))
	integrate("HTTP_PROXY", "POST", "https://other.example.com")
	integrate("HTTP", "GET", "pets.example.com")
	integrate("AWS", "POST", "arn:aws:apigateway:us-east-1:sqs:nothing")
	i, err := w.v1.GetIntegration(ctx, &apigateway.GetIntegrationInput{RestApiId: a.Id, ResourceId: pet.Id, HttpMethod: get})
	out = append(out, line("what is left", err, i.Type, i.HttpMethod, i.Uri, len(i.IntegrationResponses)))
	d, err := w.v1.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{RestApiId: a.Id, StageName: aws.String("prod"), Variables: map[string]string{"a": "b"}})
	out = append(out, line("deploy", err, d.Description))
	s, err := w.v1.GetStage(ctx, &apigateway.GetStageInput{RestApiId: a.Id, StageName: aws.String("prod")})
	out = append(out, line("stage", err, *s.DeploymentId == *d.Id, s.Variables, s.CacheClusterEnabled, s.TracingEnabled))
	_, err = w.v1.GetStage(ctx, &apigateway.GetStageInput{RestApiId: a.Id, StageName: aws.String("nope")})
	out = append(out, line("no such stage", err))
	_, err = w.v1.CreateStage(ctx, &apigateway.CreateStageInput{RestApiId: a.Id, StageName: aws.String("prod"), DeploymentId: d.Id})
	out = append(out, line("stage twice", err))
	_, err = w.v1.DeleteDeployment(ctx, &apigateway.DeleteDeploymentInput{RestApiId: a.Id, DeploymentId: d.Id})
	out = append(out, line("delete a deployment in use", err))
	s2, err := w.v1.UpdateStage(ctx, &apigateway.UpdateStageInput{RestApiId: a.Id, StageName: aws.String("prod"), PatchOperations: []types.PatchOperation{
		op("replace", "/description", "new"), op("replace", "/variables/a", "c"), op("replace", "/tracingEnabled", "true"), op("replace", "/*/*/logging/loglevel", "INFO")}})
	out = append(out, line("update stage", err, s2.Description, s2.Variables, s2.TracingEnabled, s2.MethodSettings["*/*"].LoggingLevel))
	return out
}

func httpStory(w *world) (out []string) {
	ctx := w.t.Context()
	a, err := w.v2.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: aws.String("story"), ProtocolType: types2.ProtocolTypeHttp, Tags: map[string]string{"a": "b"}})
	out = append(out, line("create", err, a.Name, a.ProtocolType, a.RouteSelectionExpression, a.ApiKeySelectionExpression, a.Tags, strings.TrimPrefix(*a.ApiEndpoint, "https://"+*a.ApiId)))
	_, err = w.v2.GetApi(ctx, &apigatewayv2.GetApiInput{ApiId: aws.String("nope")})
	out = append(out, line("no such API", err))
	i, err := w.v2.CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{ApiId: a.ApiId, IntegrationType: types2.IntegrationTypeHttpProxy, IntegrationMethod: aws.String("GET"),
		IntegrationUri: aws.String("https://x.example.com"), PayloadFormatVersion: aws.String("1.0"), RequestParameters: map[string]string{"overwrite:path": "/x"}})
	out = append(out, line("integration", err, i.IntegrationType, i.IntegrationMethod, i.IntegrationUri, i.TimeoutInMillis, i.PayloadFormatVersion, i.RequestParameters))
	_, err = w.v2.GetIntegration(ctx, &apigatewayv2.GetIntegrationInput{ApiId: a.ApiId, IntegrationId: aws.String("nope")})
	out = append(out, line("no such integration", err))
	u, err := w.v2.UpdateIntegration(ctx, &apigatewayv2.UpdateIntegrationInput{ApiId: a.ApiId, IntegrationId: i.IntegrationId, RequestParameters: map[string]string{"append:header.y": "z", "overwrite:path": ""}})
	out = append(out, line("update integration", err, u.IntegrationUri, u.RequestParameters))
	r, err := w.v2.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: a.ApiId, RouteKey: aws.String("GET /x/{id}"), Target: aws.String("integrations/" + *i.IntegrationId)})
	out = append(out, line("route", err, r.RouteKey, *r.Target == "integrations/"+*i.IntegrationId, r.AuthorizationType, r.ApiKeyRequired))
	_, err = w.v2.GetRoute(ctx, &apigatewayv2.GetRouteInput{ApiId: a.ApiId, RouteId: aws.String("nope")})
	out = append(out, line("no such route", err))
	ur, err := w.v2.UpdateRoute(ctx, &apigatewayv2.UpdateRouteInput{ApiId: a.ApiId, RouteId: r.RouteId, OperationName: aws.String("get")})
	out = append(out, line("update route", err, ur.OperationName, ur.RouteKey, *ur.Target == *r.Target))
	s, err := w.v2.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: a.ApiId, StageName: aws.String("prod"), StageVariables: map[string]string{"a": "b"}})
	out = append(out, line("stage", err, s.StageName, s.StageVariables))
	_, err = w.v2.GetStage(ctx, &apigatewayv2.GetStageInput{ApiId: a.ApiId, StageName: aws.String("nope")})
	out = append(out, line("no such stage", err))
	arn := aws.String(fmt.Sprintf("arn:aws:apigateway:us-east-1::/apis/%s", *a.ApiId))
	_, err = w.v2.TagResource(ctx, &apigatewayv2.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"c": "d"}})
	out = append(out, line("tag", err))
	tags, err := w.v2.GetTags(ctx, &apigatewayv2.GetTagsInput{ResourceArn: arn})
	out = append(out, line("tags", err, tags.Tags))
	_, err = w.v2.DeleteRoute(ctx, &apigatewayv2.DeleteRouteInput{ApiId: a.ApiId, RouteId: r.RouteId})
	out = append(out, line("delete route", err))
	_, err = w.v2.DeleteIntegration(ctx, &apigatewayv2.DeleteIntegrationInput{ApiId: a.ApiId, IntegrationId: i.IntegrationId})
	return append(out, line("delete integration", err))
}

func lambdaStory(w *world) (out []string) {
	ctx, name := w.t.Context(), aws.String("tap")
	f, err := w.fn.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: name})
	out = append(out, line("configuration", err, f.FunctionName, f.FunctionArn, f.Runtime, f.State))
	_, err = w.fn.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("nope")})
	out = append(out, line("no such function", err))
	_, err = w.fn.GetFunctionUrlConfig(ctx, &lambda.GetFunctionUrlConfigInput{FunctionName: name})
	out = append(out, line("no URL", err))
	_, err = w.fn.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: name})
	out = append(out, line("no policy", err))
	out = append(out, line("permit", w.permit("tap", "tapway-a", "arn:aws:execute-api:us-east-1:123456789012:a/*/*")))
	p, err := w.fn.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: f.FunctionArn})
	var policy any
	if err == nil {
		err = json.Unmarshal([]byte(*p.Policy), &policy)
	}
	out = append(out, line("policy", err, policy))
	_, err = w.fn.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: name, StatementId: aws.String("nope")})
	out = append(out, line("remove what is not there", err))
	_, err = w.fn.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: name, StatementId: aws.String("tapway-a")})
	return append(out, line("remove", err))
}
