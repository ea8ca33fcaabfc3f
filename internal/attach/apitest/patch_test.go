package apitest_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"github.com/tapway/tapway/internal/attach/apitest"
)

func op(o types.Op, path, value string) types.PatchOperation {
	return types.PatchOperation{Op: o, Path: &path, Value: &value}
}

func TestUpdateIntegration(t *testing.T) {
	const bad, none = "BadRequestException", "NotFoundException"
	for _, tt := range []struct {
		name string
		ops  []types.PatchOperation
		want string // error code
		is   func(*apitest.Integration) bool
	}{
		{"uri", []types.PatchOperation{op("replace", "/uri", "https://tap.example.com/x")}, "", func(i *apitest.Integration) bool {
			return i.URI == "https://tap.example.com/x" && len(i.Responses) == 1 && len(i.RequestParameters) == 1
		}},
		{"type is refused", []types.PatchOperation{op("replace", "/type", "AWS_PROXY")}, bad, func(i *apitest.Integration) bool { return i.Type == "HTTP_PROXY" }},
		{"nothing of a refused patch stays", []types.PatchOperation{op("replace", "/uri", "https://x"), op("replace", "/type", "AWS")}, bad,
			func(i *apitest.Integration) bool { return i.URI == "https://${stageVariables.host}/pets/{id}" }},
		{"add to uri", []types.PatchOperation{op("add", "/uri", "https://x")}, bad, nil},
		{"remove uri", []types.PatchOperation{op("remove", "/uri", "")}, bad, nil},
		{"header", []types.PatchOperation{op("add", "/requestParameters/integration.request.header.X-Key", "'secret'")}, "", func(i *apitest.Integration) bool {
			return i.RequestParameters["integration.request.header.X-Key"] == "'secret'" && len(i.RequestParameters) == 2
		}},
		{"header from an undeclared one", []types.PatchOperation{op("add", "/requestParameters/integration.request.header.X-Key", "method.request.header.X-Key")}, bad, nil},
		{"remove a parameter", []types.PatchOperation{op("remove", "/requestParameters/integration.request.path.id", "")}, "", func(i *apitest.Integration) bool { return len(i.RequestParameters) == 0 }},
		{"remove a parameter that is not there", []types.PatchOperation{op("remove", "/requestParameters/integration.request.path.no", "")}, none, nil},
		{"template with an escaped slash", []types.PatchOperation{op("add", "/requestTemplates/application~1json", "{}")}, "", func(i *apitest.Integration) bool { return i.RequestTemplates["application/json"] == "{}" }},
		{"template without escape", []types.PatchOperation{op("add", "/requestTemplates/application/json", "{}")}, bad, nil},
		{"tilde", []types.PatchOperation{op("add", "/requestTemplates/a~01b", "{}")}, "", func(i *apitest.Integration) bool { return i.RequestTemplates["a~1b"] == "{}" }},
		{"cache key goes", []types.PatchOperation{op("remove", "/cacheKeyParameters/method.request.path.id", "")}, "", func(i *apitest.Integration) bool { return len(i.CacheKeyParameters) == 0 }},
		{"shortest timeout", []types.PatchOperation{op("replace", "/timeoutInMillis", "50")}, "", func(i *apitest.Integration) bool { return i.TimeoutInMillis == 50 }},
		{"below it", []types.PatchOperation{op("replace", "/timeoutInMillis", "49")}, bad, nil},
		{"longest timeout", []types.PatchOperation{op("replace", "/timeoutInMillis", "29000")}, "", func(i *apitest.Integration) bool { return i.TimeoutInMillis == 29000 }},
		{"above it", []types.PatchOperation{op("replace", "/timeoutInMillis", "29001")}, bad, nil},
		{"longest timeout of a stream", []types.PatchOperation{op("replace", "/responseTransferMode", "STREAM"), op("replace", "/timeoutInMillis", "900000")}, "",
			func(i *apitest.Integration) bool { return i.TimeoutInMillis == 900000 }},
		{"TLS", []types.PatchOperation{op("replace", "/tlsConfig/insecureSkipVerification", "true")}, "", func(i *apitest.Integration) bool { return i.TLSConfig.InsecureSkipVerification }},
		{"link without id", []types.PatchOperation{op("replace", "/connectionType", "VPC_LINK")}, bad, nil},
		{"link", []types.PatchOperation{op("replace", "/connectionType", "VPC_LINK"), op("replace", "/connectionId", "link01")}, "", func(i *apitest.Integration) bool { return i.ConnectionID == "link01" }},
		{"integration responses", []types.PatchOperation{op("replace", "/integrationResponses", "")}, bad, nil},
		{"no such op", []types.PatchOperation{op("swap", "/uri", "")}, bad, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			api, resource := w.pets()
			_, err := w.v1.UpdateIntegration(t.Context(), &apigateway.UpdateIntegrationInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET"), PatchOperations: tt.ops})
			if code(err) != tt.want {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if i := w.REST(api).Method("GET", "/pets/{id}").Integration; tt.is != nil && !tt.is(i) {
				t.Errorf("integration: %+v", i)
			}
		})
	}
}

func TestUpdateStage(t *testing.T) {
	const bad = "BadRequestException"
	for _, tt := range []struct {
		name string
		ops  []types.PatchOperation
		want string
		is   func(*apitest.Stage) bool
	}{
		{"variable", []types.PatchOperation{op("replace", "/variables/host", "h")}, "", func(s *apitest.Stage) bool { return s.Variables["host"] == "h" }},
		{"remove a variable", []types.PatchOperation{op("replace", "/variables/host", "h"), op("remove", "/variables/host", "")}, "", func(s *apitest.Stage) bool { return len(s.Variables) == 0 }},
		{"no such deployment", []types.PatchOperation{op("replace", "/deploymentId", "nope")}, bad, nil},
		{"setting of a method", []types.PatchOperation{op("replace", "/~1pets~1{id}/GET/logging/loglevel", "INFO")}, "", func(s *apitest.Stage) bool {
			return s.MethodSettings["pets/{id}/GET"].LoggingLevel == "INFO" && s.MethodSettings["pets/{id}/GET"].ThrottlingBurstLimit == 5000
		}},
		{"setting of all methods", []types.PatchOperation{op("replace", "/*/*/throttling/rateLimit", "12.5")}, "", func(s *apitest.Stage) bool { return s.MethodSettings["*/*"].ThrottlingRateLimit == 12.5 }},
		{"setting of the root", []types.PatchOperation{op("replace", "/~1/GET/caching/enabled", "true")}, "", func(s *apitest.Stage) bool { return s.MethodSettings["/GET"].CachingEnabled }},
		{"remove a setting", []types.PatchOperation{op("replace", "/~1pets/GET/metrics/enabled", "true"), op("remove", "/~1pets/GET", "")}, "", func(s *apitest.Stage) bool { return len(s.MethodSettings) == 0 }},
		{"no such setting", []types.PatchOperation{op("replace", "/*/*/logging/level", "INFO")}, bad, nil},
		{"no such level", []types.PatchOperation{op("replace", "/*/*/logging/loglevel", "DEBUG")}, bad, nil},
		{"canary", []types.PatchOperation{op("replace", "/canarySettings/percentTraffic", "10"), op("replace", "/canarySettings/stageVariableOverrides/host", "c")}, "",
			func(s *apitest.Stage) bool {
				return s.CanarySettings.PercentTraffic == 10 && s.CanarySettings.StageVariableOverrides["host"] == "c"
			}},
		{"canary of more than all", []types.PatchOperation{op("replace", "/canarySettings/percentTraffic", "100.1")}, bad, nil},
		{"canary promoted", []types.PatchOperation{op("replace", "/canarySettings/stageVariableOverrides/host", "c"),
			{Op: "copy", From: aws.String("/canarySettings/stageVariableOverrides"), Path: aws.String("/variables")}, op("remove", "/canarySettings", "")}, "",
			func(s *apitest.Stage) bool { return s.Variables["host"] == "c" && s.CanarySettings == nil }},
		{"nothing to promote", []types.PatchOperation{{Op: "copy", From: aws.String("/canarySettings/deploymentId"), Path: aws.String("/deploymentId")}}, bad, nil},
		{"cache", []types.PatchOperation{op("replace", "/cacheClusterEnabled", "true")}, "", func(s *apitest.Stage) bool { return s.CacheClusterStatus == "AVAILABLE" && s.CacheClusterSize == "0.5" }},
		{"access log", []types.PatchOperation{op("replace", "/accessLogSettings/format", "$context.requestId")}, "", func(s *apitest.Stage) bool { return s.AccessLogSettings.Format == "$context.requestId" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			api, _ := w.pets()
			ok[string](t)(w.Deploy(api, "prod"))
			before := w.Dump()
			_, err := w.v1.UpdateStage(t.Context(), &apigateway.UpdateStageInput{RestApiId: &api, StageName: aws.String("prod"), PatchOperations: tt.ops})
			if code(err) != tt.want {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if err != nil {
				if d := apitest.Diff(before, w.Dump()); d != "" {
					t.Errorf("a refused patch changed the state:\n%s", d)
				}
			} else if !tt.is(w.REST(api).Stages["prod"]) {
				t.Errorf("stage: %+v", w.REST(api).Stages["prod"])
			}
		})
	}
}

func TestUpdateRestAPI(t *testing.T) {
	w := newWorld(t)
	api, _ := w.pets()
	out := ok[*apigateway.UpdateRestApiOutput](t)(w.v1.UpdateRestApi(t.Context(), &apigateway.UpdateRestApiInput{RestApiId: &api, PatchOperations: []types.PatchOperation{
		op("add", "/binaryMediaTypes/application~1octet-stream", ""), op("remove", "/binaryMediaTypes/image~1png", ""),
		op("replace", "/minimumCompressionSize", "10"), op("replace", "/policy", `{"Statement":"é"}`)}}))
	if len(out.BinaryMediaTypes) != 1 || out.BinaryMediaTypes[0] != "application/octet-stream" || *out.MinimumCompressionSize != 10 {
		t.Errorf("%+v", out)
	}
	if *out.Policy != `{\"Statement\":\"é\"}` {
		t.Errorf("policy %s: AWS puts a backslash before every quote", *out.Policy)
	}
	for _, policy := range []string{"{", `"` + string(make([]byte, 8192)) + `"`} {
		if _, err := w.v1.UpdateRestApi(t.Context(), &apigateway.UpdateRestApiInput{RestApiId: &api, PatchOperations: []types.PatchOperation{op("replace", "/policy", policy)}}); err == nil {
			t.Errorf("a policy of %d bytes was taken", len(policy))
		}
	}
}
