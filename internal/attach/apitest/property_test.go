package apitest_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"pgregory.net/rapid"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// draws lets rapid decide what an API looks like.
type draws struct{ *rapid.T }

func (d draws) IntN(n int) int { return rapid.IntRange(0, n-1).Draw(d.T, "n") }

// TestEverythingCanBePutBack: what GetResources tells of an integration is enough to restore
// it with PutIntegration and PutIntegrationResponse, whatever the API looks like.
func TestEverythingCanBePutBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		api := w.BuildREST(draws{rt}, rapid.IntRange(1, 6).Draw(rt, "methods"))
		w.AddFunction("tap", false)
		before, working := w.Settled(), w.WorkingCopy(api)
		list := ok[*apigateway.GetResourcesOutput](t)(w.v1.GetResources(t.Context(), &apigateway.GetResourcesInput{RestApiId: &api, Limit: aws.Int32(500), Embed: []string{"methods"}}))
		if d := apitest.Diff(before, w.Settled()); d != "" {
			rt.Fatalf("reading changed the state:\n%s", d)
		}
		tapped := 0
		for _, r := range list.Items {
			for name, m := range r.ResourceMethods {
				w.tap(api, *r.Id, name)
				tapped++
				w.putBack(api, *r.Id, name, m.MethodIntegration)
			}
		}
		if d := apitest.Diff(working, w.WorkingCopy(api)); d != "" || tapped == 0 {
			rt.Fatalf("%d methods tapped and put back:\n%s", tapped, d)
		}
		if d := apitest.Diff(before, w.Settled()); d != "" {
			rt.Fatalf("all else:\n%s", d)
		}
	})
}

func (w *world) tap(api, resource, method string) {
	ok[*apigateway.PutIntegrationOutput](w.t)(w.v1.PutIntegration(w.t.Context(), &apigateway.PutIntegrationInput{RestApiId: &api, ResourceId: &resource, HttpMethod: &method,
		Type: types.IntegrationTypeAwsProxy, IntegrationHttpMethod: aws.String("POST"), Uri: aws.String(w.InvokeARN(w.Function("tap").ARN))}))
}

func (w *world) putBack(api, resource, method string, i *types.Integration) {
	ok[*apigateway.PutIntegrationOutput](w.t)(w.v1.PutIntegration(w.t.Context(), &apigateway.PutIntegrationInput{RestApiId: &api, ResourceId: &resource, HttpMethod: &method,
		Type: i.Type, IntegrationHttpMethod: i.HttpMethod, Uri: i.Uri, ConnectionType: i.ConnectionType, ConnectionId: i.ConnectionId, Credentials: i.Credentials,
		RequestParameters: i.RequestParameters, RequestTemplates: i.RequestTemplates, PassthroughBehavior: i.PassthroughBehavior, ContentHandling: i.ContentHandling,
		TimeoutInMillis: &i.TimeoutInMillis, CacheNamespace: i.CacheNamespace, CacheKeyParameters: i.CacheKeyParameters, TlsConfig: i.TlsConfig,
		ResponseTransferMode: i.ResponseTransferMode, IntegrationTarget: i.IntegrationTarget}))
	for code, r := range i.IntegrationResponses {
		ok[*apigateway.PutIntegrationResponseOutput](w.t)(w.v1.PutIntegrationResponse(w.t.Context(), &apigateway.PutIntegrationResponseInput{RestApiId: &api, ResourceId: &resource,
			HttpMethod: &method, StatusCode: &code, SelectionPattern: r.SelectionPattern, ResponseParameters: r.ResponseParameters, ResponseTemplates: r.ResponseTemplates, ContentHandling: r.ContentHandling}))
	}
}
