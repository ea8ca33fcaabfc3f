package apitest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"github.com/tapway/tapway/internal/attach/apitest"
	"github.com/tapway/tapway/internal/route"
)

func (w *world) setURI(api, resource, uri string) {
	w.t.Helper()
	ok[*apigateway.UpdateIntegrationOutput](w.t)(w.v1.UpdateIntegration(w.t.Context(), &apigateway.UpdateIntegrationInput{RestApiId: &api, ResourceId: &resource,
		HttpMethod: aws.String("GET"), PatchOperations: []types.PatchOperation{op("replace", "/uri", uri)}}))
}

func (w *world) export(api, stage string) []byte {
	w.t.Helper()
	out := ok[*apigateway.GetExportOutput](w.t)(w.v1.GetExport(w.t.Context(), &apigateway.GetExportInput{RestApiId: &api, StageName: &stage, ExportType: aws.String("oas30"),
		Accepts: aws.String("application/json"), Parameters: map[string]string{"extensions": "integrations"}}))
	return out.Body
}

func (w *world) deploy(in apigateway.CreateDeploymentInput) string {
	w.t.Helper()
	return *ok[*apigateway.CreateDeploymentOutput](w.t)(w.v1.CreateDeployment(w.t.Context(), &in)).Id
}

// TestDeploymentIsACopy: what is edited is not served, what is served is not edited, and a
// stage can go back.
func TestDeploymentIsACopy(t *testing.T) {
	w := newWorld(t)
	w.StableVersion = true
	api, resource := w.pets()
	first := w.deploy(apigateway.CreateDeploymentInput{RestApiId: &api, StageName: aws.String("prod"), Variables: map[string]string{"host": "h1"}})
	before := w.export(api, "prod")

	w.setURI(api, resource, "https://tap.example.com/{id}")
	if d := apitest.Diff(before, w.export(api, "prod")); d != "" {
		t.Errorf("an edit shows in the export before it is deployed:\n%s", d)
	}
	if bytes.Equal(w.WorkingCopy(api), w.Deployed(api, "prod")) {
		t.Error("the undeployed edit is not seen")
	}
	second := w.deploy(apigateway.CreateDeploymentInput{RestApiId: &api, StageName: aws.String("prod")})
	if after := w.export(api, "prod"); !strings.Contains(string(after), "tap.example.com") {
		t.Errorf("the edit is not in the export after it was deployed:\n%s", after)
	}
	if v := w.REST(api).Stages["prod"].Variables["host"]; v != "h1" {
		t.Errorf("a deployment took the stage's variable: %q", v)
	}
	if !bytes.Equal(w.WorkingCopy(api), w.Deployed(api, "prod")) {
		t.Error("nothing waits to be deployed, but the copies differ")
	}
	ok[*apigateway.UpdateStageOutput](t)(w.v1.UpdateStage(t.Context(), &apigateway.UpdateStageInput{RestApiId: &api, StageName: aws.String("prod"),
		PatchOperations: []types.PatchOperation{op("replace", "/deploymentId", first)}}))
	if d := apitest.Diff(before, w.export(api, "prod")); d != "" {
		t.Errorf("after the rollback:\n%s", d)
	}
	_, err := w.v1.DeleteDeployment(t.Context(), &apigateway.DeleteDeploymentInput{RestApiId: &api, DeploymentId: &first})
	if code(err) != "BadRequestException" {
		t.Errorf("delete the deployment of a stage: %v", err)
	}
	ok[*apigateway.DeleteDeploymentOutput](t)(w.v1.DeleteDeployment(t.Context(), &apigateway.DeleteDeploymentInput{RestApiId: &api, DeploymentId: &second}))
	list := ok[*apigateway.GetDeploymentsOutput](t)(w.v1.GetDeployments(t.Context(), &apigateway.GetDeploymentsInput{RestApiId: &api}))
	if len(list.Items) != 1 || *list.Items[0].Id != first {
		t.Errorf("deployments: %+v", list.Items)
	}
	summary := ok[*apigateway.GetDeploymentOutput](t)(w.v1.GetDeployment(t.Context(), &apigateway.GetDeploymentInput{RestApiId: &api, DeploymentId: &first, Embed: []string{"apisummary"}}))
	if *summary.ApiSummary["/pets/{id}"]["GET"].AuthorizationType != "NONE" {
		t.Errorf("summary: %+v", summary.ApiSummary)
	}
}

// TestExportVersion: without a version of its own an API's export has the deployment's date.
func TestExportVersion(t *testing.T) {
	w := newWorld(t)
	api, _ := w.pets()
	clock := w.Now()
	w.Now = func() time.Time { clock = clock.Add(time.Hour); return clock }
	ok[string](t)(w.Deploy(api, "prod"))
	first := w.export(api, "prod")
	ok[string](t)(w.Deploy(api, "prod"))
	if bytes.Equal(first, w.export(api, "prod")) {
		t.Error("two deployments have one version")
	}
	if d := apitest.Diff(w.Settled(), w.Settled()); d != "" {
		t.Error(d)
	}
	w.StableVersion = true
	stable := w.export(api, "prod")
	ok[string](t)(w.Deploy(api, "prod"))
	if d := apitest.Diff(stable, w.export(api, "prod")); d != "" {
		t.Errorf("StableVersion:\n%s", d)
	}
}

func TestDeploymentNeedsIntegrations(t *testing.T) {
	w := newWorld(t)
	api, resource := w.pets()
	ok[*apigateway.DeleteIntegrationOutput](t)(w.v1.DeleteIntegration(t.Context(), &apigateway.DeleteIntegrationInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET")}))
	if _, err := w.Deploy(api, "prod"); err == nil || !strings.Contains(err.Error(), "No integration defined") {
		t.Errorf("a method without integration: %v", err)
	}
	ok[*apigateway.DeleteMethodOutput](t)(w.v1.DeleteMethod(t.Context(), &apigateway.DeleteMethodInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET")}))
	if _, err := w.Deploy(api, "prod"); err == nil || !strings.Contains(err.Error(), "any methods") {
		t.Errorf("no methods: %v", err)
	}
}

func TestCanary(t *testing.T) {
	w := newWorld(t)
	api, resource := w.pets()
	canary := &types.DeploymentCanarySettings{PercentTraffic: 10, StageVariableOverrides: map[string]string{"host": "canary.example.com"}}
	_, err := w.v1.CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: &api, StageName: aws.String("prod"), CanarySettings: canary})
	if code(err) != "BadRequestException" {
		t.Errorf("a canary without a stage: %v", err)
	}
	first := w.deploy(apigateway.CreateDeploymentInput{RestApiId: &api, StageName: aws.String("prod"), Variables: map[string]string{"host": "prod.example.com"}})
	w.setURI(api, resource, "https://${stageVariables.host}/tapped")
	second := w.deploy(apigateway.CreateDeploymentInput{RestApiId: &api, StageName: aws.String("prod"), CanarySettings: canary})
	st := w.REST(api).Stages["prod"]
	if st.DeploymentID != first || st.CanarySettings.DeploymentID != second {
		t.Fatalf("stage %s, canary %s; want %s, %s", st.DeploymentID, st.CanarySettings.DeploymentID, first, second)
	}
	base, _ := w.Resolve(api, "prod", "GET", "/pets/7")
	part, _ := w.ResolveCanary(api, "prod", "GET", "/pets/7")
	if base.URI != "https://prod.example.com/pets/{id}" || part.URI != "https://canary.example.com/tapped" {
		t.Errorf("base %s, canary %s", base.URI, part.URI)
	}
	ok[*apigateway.UpdateStageOutput](t)(w.v1.UpdateStage(t.Context(), &apigateway.UpdateStageInput{RestApiId: &api, StageName: aws.String("prod"),
		PatchOperations: []types.PatchOperation{{Op: "copy", From: aws.String("/canarySettings/deploymentId"), Path: aws.String("/deploymentId")}, op("remove", "/canarySettings", "")}}))
	promoted, _ := w.Resolve(api, "prod", "GET", "/pets/7")
	if _, has := w.ResolveCanary(api, "prod", "GET", "/pets/7"); has || promoted.URI != "https://prod.example.com/tapped" {
		t.Errorf("promoted: %s", promoted.URI)
	}
}

func TestExportShowsEverything(t *testing.T) {
	w := newWorld(t)
	api, resource := w.pets()
	w.EditREST(api, func(a *apitest.RestAPI) {
		m := a.Resources[resource].Methods["GET"]
		m.APIKeyRequired = true
		full := m.Integration
		*full = apitest.Integration{Type: "HTTP", HTTPMethod: "GET", URI: "https://u", ConnectionType: "VPC_LINK", ConnectionID: "link9", Credentials: "arn:aws:iam::1:role/r",
			RequestParameters: full.RequestParameters, RequestTemplates: map[string]string{"text/x": "tmpl"}, PassthroughBehavior: "NEVER", ContentHandling: "CONVERT_TO_TEXT",
			TimeoutInMillis: 1234, CacheNamespace: "ns7", CacheKeyParameters: []string{"method.request.path.id"}, TLSConfig: &apitest.TLSConfig{InsecureSkipVerification: true},
			ResponseTransferMode: "STREAM", IntegrationTarget: "target5", Responses: map[string]*apitest.IntegrationResponse{
				"200": {StatusCode: "200", ContentHandling: "CONVERT_TO_BINARY", ResponseTemplates: map[string]string{"a/b": "out"}}, "400": {StatusCode: "400", SelectionPattern: "4.."}}}
	})
	ok[string](t)(w.Deploy(api, "prod"))
	text := w.export(api, "prod")
	var doc struct {
		Paths map[string]map[string]map[string]any
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(doc.Paths["/pets/{id}"]["get"]["x-amazon-apigateway-integration"])
	for _, want := range []string{"type:http ", "httpMethod:GET", "uri:https://u", "connectionType:VPC_LINK", "connectionId:link9", "credentials:arn:aws:iam::1:role/r",
		"requestParameters:map[integration.request.path.id:method.request.path.id]", "requestTemplates:map[text/x:tmpl]", "passthroughBehavior:never", "contentHandling:CONVERT_TO_TEXT",
		"timeoutInMillis:1234", "cacheNamespace:ns7", "cacheKeyParameters:[method.request.path.id]", "tlsConfig:map[insecureSkipVerification:true]", "responseTransferMode:STREAM",
		"integrationTarget:target5", "responses:map[4..:map[statusCode:400] default:map[contentHandling:CONVERT_TO_BINARY responseTemplates:map[a/b:out] statusCode:200]]"} {
		if !strings.Contains(got, want) {
			t.Errorf("the integration lacks %s: %s", want, got)
		}
	}
	for _, want := range []string{`"x-amazon-apigateway-policy"`, `"image/png"`, `"api_key"`, `"X-Kind"`, `"in": "path"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the export lacks %s", want)
		}
	}
	if !bytes.Equal(text, w.export(api, "prod")) || !bytes.Equal(text, w.Export(api, "prod")) {
		t.Error("two exports differ")
	}
}

// TestExportIsReadable: the reader of real exports understands these, and both agree on
// where a call goes.
func TestExportIsReadable(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(t)
		r := rand.New(rand.NewPCG(seed, 7))
		for _, api := range []string{w.BuildREST(r, 20), w.BuildHTTP(r, 20)} {
			for _, stage := range []string{"prod", "$default"} {
				text := w.Export(api, stage)
				if text == nil {
					continue
				}
				def := ok[*route.Definition](t)(route.ReadOpenAPI(text, route.OpenAPIOptions{}))
				table := ok[*route.Table](t)(route.NewTable(def.Routes()))
				for _, o := range def.Operations {
					path := strings.NewReplacer("{", "", "}", "", "+", "").Replace(o.Path)
					method := strings.NewReplacer("ANY", "PATCH").Replace(o.Method)
					target, found := w.Resolve(api, stage, method, path)
					matched, _, how := table.Match(method, path)
					if !found || how != route.Found {
						t.Errorf("%s %s: found %v here, %v there", method, path, found, how)
					} else if theirs := def.Operations[matched.Ref]; target.Type != strings.ToUpper(theirs.Type) || target.Problem != "" {
						t.Errorf("%s %s goes to %+v here, %s there", method, path, target, theirs.URI)
					}
				}
			}
		}
	}
}

func TestLargeAPI(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(300, 300))
	api, h := w.BuildREST(r, 300), w.BuildHTTP(r, 300)
	if n := len(w.REST(api).Methods()); n != 300 {
		t.Errorf("%d methods", n)
	}
	if n := len(w.HTTP(h).Routes); n < 300 {
		t.Errorf("%d routes", n)
	}
	before := w.Dump()
	a := w.REST(api)
	for _, res := range a.Resources { // a copy is a copy
		for _, m := range res.Methods {
			m.Integration.URI = "changed"
		}
	}
	if !slices.Equal(before, w.Dump()) {
		t.Error("changing what REST returned changed the server")
	}
}
