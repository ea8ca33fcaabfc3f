package apitest_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"github.com/tapway/tapway/internal/attach/apitest"
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

// TestPutIntegrationReplaces is what makes detaching hard: nothing that is not sent stays.
func TestPutIntegrationReplaces(t *testing.T) {
	w := newWorld(t)
	api, resource := w.pets()
	arn := w.AddFunction("tap", false)
	ok[*apigateway.PutIntegrationOutput](t)(w.v1.PutIntegration(t.Context(), &apigateway.PutIntegrationInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET"),
		Type: types.IntegrationTypeAwsProxy, IntegrationHttpMethod: aws.String("POST"), Uri: aws.String(w.InvokeARN(arn))}))
	m := w.REST(api).Method("GET", "/pets/{id}")
	i := m.Integration
	if len(i.Responses) != 0 || len(i.RequestParameters) != 0 || len(i.CacheKeyParameters) != 0 || i.ConnectionType != "" {
		t.Errorf("left of the old integration: %+v", i)
	}
	if len(m.Responses) != 1 || len(m.RequestParameters) != 1 {
		t.Errorf("the method's own declarations are gone: %+v", m)
	}
}

func TestIntegrationChecks(t *testing.T) {
	const bad = "BadRequestException"
	for _, tt := range []struct {
		name string
		in   apigateway.PutIntegrationInput
		want string
	}{
		{"mock", apigateway.PutIntegrationInput{Type: "MOCK"}, ""},
		{"no such type", apigateway.PutIntegrationInput{Type: "FTP"}, bad},
		{"HTTP without method", apigateway.PutIntegrationInput{Type: "HTTP", Uri: aws.String("https://x")}, bad},
		{"HTTP without URL", apigateway.PutIntegrationInput{Type: "HTTP", IntegrationHttpMethod: aws.String("GET"), Uri: aws.String("x")}, bad},
		{"function by its own ARN", apigateway.PutIntegrationInput{Type: "AWS_PROXY", IntegrationHttpMethod: aws.String("POST"), Uri: aws.String("arn:aws:lambda:us-east-1:123456789012:function:f")}, bad},
		{"AWS without action", apigateway.PutIntegrationInput{Type: "AWS", IntegrationHttpMethod: aws.String("POST"), Uri: aws.String("arn:aws:apigateway:us-east-1:sqs:x")}, bad},
		{"undeclared path parameter", apigateway.PutIntegrationInput{Type: "HTTP", IntegrationHttpMethod: aws.String("GET"), Uri: aws.String("https://x/{a}"),
			RequestParameters: map[string]string{"integration.request.path.a": "method.request.path.a"}}, bad},
		{"undeclared cache key", apigateway.PutIntegrationInput{Type: "HTTP", IntegrationHttpMethod: aws.String("GET"), Uri: aws.String("https://x"), CacheKeyParameters: []string{"method.request.header.a"}}, bad},
		{"passthrough", apigateway.PutIntegrationInput{Type: "MOCK", PassthroughBehavior: aws.String("SOMETIMES")}, bad},
		{"timeout 0", apigateway.PutIntegrationInput{Type: "MOCK", TimeoutInMillis: aws.Int32(0)}, bad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			api, resource := w.pets()
			before := w.Dump()
			tt.in.RestApiId, tt.in.ResourceId, tt.in.HttpMethod = &api, &resource, aws.String("GET")
			_, err := w.v1.PutIntegration(t.Context(), &tt.in)
			if code(err) != tt.want {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if d := apitest.Diff(before, w.Dump()); err != nil && d != "" {
				t.Errorf("a refused call changed the state:\n%s", d)
			}
		})
	}
}

func TestIntegrationResponseNeedsDeclaration(t *testing.T) {
	w := newWorld(t)
	api, resource := w.pets()
	put := func(status, header string) string {
		_, err := w.v1.PutIntegrationResponse(t.Context(), &apigateway.PutIntegrationResponseInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET"),
			StatusCode: &status, ResponseParameters: map[string]string{"method.response.header." + header: "'x'"}})
		return code(err)
	}
	if got := put("200", "X-Kind"); got != "" {
		t.Error(got)
	}
	if got := put("200", "X-Other"); got != "BadRequestException" {
		t.Errorf("undeclared header: %q", got)
	}
	if got := put("400", "X-Kind"); got != "NotFoundException" {
		t.Errorf("undeclared status: %q", got)
	}
	patched := ok[*apigateway.UpdateIntegrationResponseOutput](t)(w.v1.UpdateIntegrationResponse(t.Context(), &apigateway.UpdateIntegrationResponseInput{RestApiId: &api,
		ResourceId: &resource, HttpMethod: aws.String("GET"), StatusCode: aws.String("200"),
		PatchOperations: []types.PatchOperation{op("replace", "/selectionPattern", `2\d{2}`), op("add", "/responseTemplates/application~1json", "{}")}}))
	if *patched.SelectionPattern != `2\d{2}` || patched.ResponseTemplates["application/json"] != "{}" {
		t.Errorf("%+v", patched)
	}
	del := &apigateway.DeleteIntegrationResponseInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET"), StatusCode: aws.String("200")}
	ok[*apigateway.DeleteIntegrationResponseOutput](t)(w.v1.DeleteIntegrationResponse(t.Context(), del))
	if _, err := w.v1.DeleteIntegrationResponse(t.Context(), del); code(err) != "NotFoundException" {
		t.Errorf("second delete: %v", err)
	}
}

func TestResourcesComeInPages(t *testing.T) {
	w := newWorld(t)
	api := w.BuildREST(rand.New(rand.NewPCG(1, 1)), 60)
	want := len(w.REST(api).Resources)
	for _, limit := range []int32{1, 25, int32(want - 1), int32(want), int32(want + 1), 500} {
		seen, pages := map[string]int{}, 0
		p := apigateway.NewGetResourcesPaginator(w.v1, &apigateway.GetResourcesInput{RestApiId: &api, Limit: &limit, Embed: []string{"methods"}})
		for p.HasMorePages() {
			out := ok[*apigateway.GetResourcesOutput](t)(p.NextPage(t.Context()))
			if len(out.Items) > int(limit) {
				t.Fatalf("a page of %d with limit %d", len(out.Items), limit)
			}
			pages++
			for _, r := range out.Items {
				seen[*r.Path]++
				for _, m := range r.ResourceMethods {
					if m.MethodIntegration == nil {
						t.Errorf("%s has no integration in the list", *r.Path)
					}
				}
			}
		}
		if len(seen) != want || pages != (want+int(limit)-1)/int(limit) {
			t.Errorf("limit %d: %d resources in %d pages, want %d", limit, len(seen), pages, want)
		}
	}
	for _, limit := range []int32{0, 501} {
		if _, err := w.v1.GetResources(t.Context(), &apigateway.GetResourcesInput{RestApiId: &api, Limit: &limit}); code(err) != "BadRequestException" {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	if _, err := w.v1.GetResources(t.Context(), &apigateway.GetResourcesInput{RestApiId: &api, Position: aws.String("x")}); code(err) != "BadRequestException" {
		t.Errorf("a position of somebody else's: %v", err)
	}
	plain := ok[*apigateway.GetResourcesOutput](t)(w.v1.GetResources(t.Context(), &apigateway.GetResourcesInput{RestApiId: &api, Limit: aws.Int32(500)}))
	for _, r := range plain.Items {
		for _, m := range r.ResourceMethods {
			if m.HttpMethod != nil {
				t.Fatalf("%s shows its methods though nobody asked for them", *r.Path)
			}
		}
	}
}

func TestErrorsHaveAWSTypes(t *testing.T) {
	w := newWorld(t)
	api, resource := w.pets()
	_, err := w.v1.GetRestApi(t.Context(), &apigateway.GetRestApiInput{RestApiId: aws.String("nope")})
	if e := new(types.NotFoundException); !errors.As(err, &e) || !strings.Contains(*e.Message, "Invalid API identifier") {
		t.Errorf("GetRestApi: %v", err)
	}
	_, err = w.v1.PutMethod(t.Context(), &apigateway.PutMethodInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET"), AuthorizationType: aws.String("NONE")})
	if e := new(types.ConflictException); !errors.As(err, &e) {
		t.Errorf("PutMethod twice: %v", err)
	}
	_, err = w.v1.CreateResource(t.Context(), &apigateway.CreateResourceInput{RestApiId: &api, ParentId: &resource, PathPart: aws.String("a/b")})
	if e := new(types.BadRequestException); !errors.As(err, &e) {
		t.Errorf("CreateResource: %v", err)
	}
	w.MaxResources = len(w.REST(api).Resources)
	_, err = w.v1.CreateResource(t.Context(), &apigateway.CreateResourceInput{RestApiId: &api, ParentId: &resource, PathPart: aws.String("one-too-many")})
	if e := new(types.LimitExceededException); !errors.As(err, &e) {
		t.Errorf("CreateResource beyond the quota: %v", err)
	}
	_, err = w.v1.GetAccount(t.Context(), &apigateway.GetAccountInput{})
	if code(err) != "UnknownOperationException" {
		t.Errorf("a call that apitest does not know: %v", err)
	}
	if _, err := w.Call("PUT", "/restapis/"+api+"/resources/"+resource+"/methods/POST", map[string]any{"authorizationType": "NONE", "colour": "red"}); err == nil {
		t.Error("a member that apitest does not know was dropped")
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t)
	api, _ := w.pets()
	arn := aws.String("arn:aws:apigateway:us-east-1::/restapis/" + api)
	ok[*apigateway.TagResourceOutput](t)(w.v1.TagResource(t.Context(), &apigateway.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"tapway:state": "s3://bucket/key", "a": "b"}}))
	ok[*apigateway.UntagResourceOutput](t)(w.v1.UntagResource(t.Context(), &apigateway.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"a", "not-there"}}))
	got := ok[*apigateway.GetTagsOutput](t)(w.v1.GetTags(t.Context(), &apigateway.GetTagsInput{ResourceArn: arn}))
	if len(got.Tags) != 1 || got.Tags["tapway:state"] != "s3://bucket/key" {
		t.Errorf("tags: %v", got.Tags)
	}
	api2 := ok[*apigateway.GetRestApiOutput](t)(w.v1.GetRestApi(t.Context(), &apigateway.GetRestApiInput{RestApiId: &api}))
	if api2.Tags["tapway:state"] == "" {
		t.Errorf("GetRestApi without the tag: %v", api2.Tags)
	}
	if _, err := w.v1.TagResource(t.Context(), &apigateway.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"aws:x": "y"}}); code(err) != "BadRequestException" {
		t.Errorf("a tag of AWS's own: %v", err)
	}
	if _, err := w.v1.GetTags(t.Context(), &apigateway.GetTagsInput{ResourceArn: aws.String("arn:aws:apigateway:us-east-1::/restapis/nope")}); code(err) != "NotFoundException" {
		t.Errorf("tags of no API: %v", err)
	}
}

func TestWhatIsThereOrNot(t *testing.T) {
	w := newWorld(t)
	api, resource := w.pets()
	a := w.REST(api)
	_, err := w.v1.CreateResource(t.Context(), &apigateway.CreateResourceInput{RestApiId: &api, ParentId: &a.RootResourceID, PathPart: aws.String("pets")})
	if code(err) != "ConflictException" {
		t.Errorf("the same path twice: %v", err)
	}
	parent := a.Resources[resource].ParentID
	_, err = w.v1.CreateResource(t.Context(), &apigateway.CreateResourceInput{RestApiId: &api, ParentId: &parent, PathPart: aws.String("{other}")})
	if code(err) != "BadRequestException" {
		t.Errorf("two variables side by side: %v", err)
	}
	ok[*apigateway.CreateResourceOutput](t)(w.v1.CreateResource(t.Context(), &apigateway.CreateResourceInput{RestApiId: &api, ParentId: &parent, PathPart: aws.String("{rest+}")}))
	ok[*apigateway.DeleteIntegrationOutput](t)(w.v1.DeleteIntegration(t.Context(), &apigateway.DeleteIntegrationInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET")}))
	_, err = w.v1.GetIntegration(t.Context(), &apigateway.GetIntegrationInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET")})
	if code(err) != "NotFoundException" {
		t.Errorf("no integration: %v", err)
	}
	ok[*apigateway.DeleteResourceOutput](t)(w.v1.DeleteResource(t.Context(), &apigateway.DeleteResourceInput{RestApiId: &api, ResourceId: &parent}))
	if left := w.REST(api).Resources; len(left) != 1 {
		t.Errorf("children left after their parent was deleted: %v", left)
	}
}
