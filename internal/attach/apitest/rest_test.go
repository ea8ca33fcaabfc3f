package apitest_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

// pets makes the API of most tests: GET /pets/{id}, HTTP_PROXY, not deployed.
func (w *world) pets() (api, resource string) {
	t, ctx := w.t, w.t.Context()
	t.Helper()
	a := ok[*apigateway.CreateRestApiOutput](t)(w.v1.CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String("pets"),
		BinaryMediaTypes: []string{"image/png"}, Policy: aws.String(`{"Version":"2012-10-17","Statement":[]}`)}))
	pets := ok[*apigateway.CreateResourceOutput](t)(w.v1.CreateResource(ctx, &apigateway.CreateResourceInput{RestApiId: a.Id, ParentId: a.RootResourceId, PathPart: aws.String("pets")}))
	pet := ok[*apigateway.CreateResourceOutput](t)(w.v1.CreateResource(ctx, &apigateway.CreateResourceInput{RestApiId: a.Id, ParentId: pets.Id, PathPart: aws.String("{id}")}))
	ok[*apigateway.PutMethodOutput](t)(w.v1.PutMethod(ctx, &apigateway.PutMethodInput{RestApiId: a.Id, ResourceId: pet.Id, HttpMethod: aws.String("GET"),
		AuthorizationType: aws.String("NONE"), RequestParameters: map[string]bool{"method.request.path.id": true}}))
	ok[*apigateway.PutMethodResponseOutput](t)(w.v1.PutMethodResponse(ctx, &apigateway.PutMethodResponseInput{RestApiId: a.Id, ResourceId: pet.Id, HttpMethod: aws.String("GET"),
		StatusCode: aws.String("200"), ResponseParameters: map[string]bool{"method.response.header.X-Kind": false}, ResponseModels: map[string]string{"application/json": "Empty"}}))
	ok[*apigateway.PutIntegrationOutput](t)(w.v1.PutIntegration(ctx, &apigateway.PutIntegrationInput{RestApiId: a.Id, ResourceId: pet.Id, HttpMethod: aws.String("GET"),
		Type: types.IntegrationTypeHttpProxy, IntegrationHttpMethod: aws.String("GET"), Uri: aws.String("https://${stageVariables.host}/pets/{id}"),
		RequestParameters: map[string]string{"integration.request.path.id": "method.request.path.id"}, CacheKeyParameters: []string{"method.request.path.id"}}))
	ok[*apigateway.PutIntegrationResponseOutput](t)(w.v1.PutIntegrationResponse(ctx, &apigateway.PutIntegrationResponseInput{RestApiId: a.Id, ResourceId: pet.Id,
		HttpMethod: aws.String("GET"), StatusCode: aws.String("200"), ResponseParameters: map[string]string{"method.response.header.X-Kind": "'pet'"}}))
	return *a.Id, *pet.Id
}

func TestPutIntegrationFillsInDefaults(t *testing.T) {
	w := newWorld(t)
	api, resource := w.pets()
	i := ok[*apigateway.GetIntegrationOutput](t)(w.v1.GetIntegration(t.Context(), &apigateway.GetIntegrationInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET")}))
	if *i.CacheNamespace != resource || *i.PassthroughBehavior != "WHEN_NO_MATCH" || i.TimeoutInMillis != 29000 || i.ConnectionType != types.ConnectionTypeInternet {
		t.Errorf("defaults: %+v", i)
	}
	if len(i.IntegrationResponses) != 1 || *i.IntegrationResponses["200"].StatusCode != "200" {
		t.Errorf("integration responses: %+v", i.IntegrationResponses)
	}
}
