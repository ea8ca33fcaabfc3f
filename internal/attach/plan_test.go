package attach

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/attach/apitest"
	"github.com/tapway/tapway/internal/filter"
)

// restAPI is an API with one method with this integration, deployed as it is.
func restAPI(integration, stageMore string) *API {
	a := &API{Kind: REST, ID: "a1b2", Name: "test", Region: "eu-west-1", Account: "123456789012", Stage: "prod", Raw: []byte(`{}`),
		Stages:    jsons(`{"stageName":"prod","deploymentId":"d1","variables":{"host":"h.example.com"}` + stageMore + `}`),
		Resources: jsons(`{"id":"r1","path":"/x/{id}","resourceMethods":{"GET":{"httpMethod":"GET","authorizationType":"NONE","methodIntegration":` + integration + `}}}`)}
	ops, err := a.operations()
	if err != nil {
		panic(err)
	}
	a.Export = a.routeTable(ops)
	return a
}

func jsons(texts ...string) []rawJSON {
	out := make([]rawJSON, len(texts))
	for i, t := range texts {
		out[i] = rawJSON(t)
	}
	return out
}

// TestJudge: every kind of integration, with the first that is refused beside the last that
// is taken.
func TestJudge(t *testing.T) {
	http := func(more string) string {
		return `{"type":"HTTP_PROXY","httpMethod":"GET","uri":"https://b.example.com/x/{id}","requestParameters":{"integration.request.path.id":"method.request.path.id"}` + more + `}`
	}
	function := func(name string) string {
		return `{"type":"AWS_PROXY","httpMethod":"POST","uri":"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:1:function:` + name + `/invocations"}`
	}
	for _, c := range []struct {
		name, integration, stage string
		want                     Tappable
		says                     string
	}{
		{"HTTP_PROXY", http(""), "", Yes, ""},
		{"stage variable", strings.Replace(http(""), "b.example.com", "${stageVariables.host}", 1), "", Yes, ""},
		{"stage variable unknown", strings.Replace(http(""), "b.example.com", "${stageVariables.nope}", 1), "", No, `stage variable "nope"`},
		{"connectionType INTERNET", http(`,"connectionType":"INTERNET"`), "", Yes, ""},
		{"VPC link", http(`,"connectionType":"VPC_LINK","connectionId":"l1"`), "", No, "VPC link"},
		{"buffered", http(`,"responseTransferMode":"BUFFERED"`), "", Yes, ""},
		{"streamed", http(`,"responseTransferMode":"STREAM"`), "", ByURL, "streams"},
		{"cache key of the method", http(`,"cacheKeyParameters":["method.request.path.id"]`), "", Yes, ""},
		{"cache key of a mapping", http(`,"cacheKeyParameters":["integration.request.path.id"]`), "", ByURL, "cache key"},
		{"unknown setting", http(`,"newThing":1`), "", No, `"newThing"`},
		{"unknown setting that is not set", http(`,"newThing":null`), "", Yes, ""},
		{"unknown setting of a response", http(`,"integrationResponses":{"200":{"statusCode":"200","newThing":"x"}}`), "", No, "newThing"},
		{"unknown TLS setting", http(`,"tlsConfig":{"insecureSkipVerification":true,"pin":"x"}`), "", No, "tlsConfig.pin"},
		{"unverified", http(`,"tlsConfig":{"insecureSkipVerification":true}`), "", Yes, ""},
		{"load balancer", http(`,"integrationTarget":"arn:aws:elasticloadbalancing:x"`), "", No, "load balancer"},
		{"client certificate", http(""), `,"clientCertificateId":"c1"`, No, "client certificate"},
		{"template", `{"type":"HTTP","httpMethod":"GET","uri":"https://b.example.com/","requestTemplates":{"application/json":"#set($x=1)"}}`, "", ByURL, "template"},
		{"conversion", http(`,"contentHandling":"CONVERT_TO_TEXT"`), "", ByURL, "contentHandling"},
		{"lambda", function("f"), "", ByFunction, "no URL"},
		{"lambda's alias", function("f:live"), "", ByFunction, "no URL"},
		{"lambda by a stage variable", function("${stageVariables.host}"), "", No, "by its ARN"},
		{"lambda by a stage variable unknown", function("${stageVariables.nope}"), "", No, `stage variable "nope"`},
		{"lambda, cache key of a mapping", strings.Replace(function("f"), "}", `,"requestParameters":{"integration.request.path.id":"method.request.path.id"},"cacheKeyParameters":["integration.request.path.id"]}`, 1), "", ByFunction, "no URL"},
		{"lambda by a role", strings.Replace(function("f"), "}", `,"credentials":"arn:aws:iam::1:role/r"}`, 1), "", ByFunction, "no URL"},
		{"lambda by the caller", strings.Replace(function("f"), "}", `,"credentials":"arn:aws:iam::*:user/*"}`, 1), "", No, "caller's credentials"},
		{"lambda streamed", strings.Replace(function("f"), "/invocations", "/response-streaming-invocations", 1), "", No, "streams"},
		{"lambda by GET", strings.Replace(function("f"), "POST", "GET", 1), "", No, "with GET"},
		{"lambda, not a proxy", strings.Replace(function("f"), "AWS_PROXY", "AWS", 1), "", No, "Lambda"},
		{"service", `{"type":"AWS","httpMethod":"POST","uri":"arn:aws:apigateway:eu-west-1:sqs:path/1/q"}`, "", No, "AWS service"},
		{"mock", `{"type":"MOCK"}`, "", No, "MOCK"},
		{"none", `null`, "", No, "no integration"},
	} {
		routes, err := restAPI(c.integration, c.stage).Judge()
		if err != nil || len(routes) != 1 || routes[0].Tappable != c.want || !strings.Contains(routes[0].Reason, c.says) || (c.says == "") != (routes[0].Reason == "") {
			t.Errorf("%s: %+v, %v; want %s, %q", c.name, routes, err, c.want, c.says)
		}
	}
}

func codes(p *Plan) []string {
	var out []string
	for _, w := range p.Warnings {
		code := w.Code
		if w.Stops {
			code += "!"
		}
		out = append(out, code)
	}
	return out
}

func TestWarnings(t *testing.T) {
	const integration = `{"type":"HTTP_PROXY","httpMethod":"GET","uri":"https://b.example.com/"}`
	function := Options{Function: &Function{ARN: "arn:aws:lambda:eu-west-1:123456789012:function:tapway", TimeoutMS: 30000}}
	binary := func(a *API) { a.Raw = []byte(`{"binaryMediaTypes":["*/*"]}`) }
	for _, c := range []struct {
		name  string
		stage string
		edit  func(*API)
		o     Options
		want  []string
	}{
		{"nothing to say", "", binary, function, nil},
		{"no binary types", "", func(*API) {}, function, []string{"binary"}},
		{"by URL", "", func(*API) {}, viaURL(), []string{"public"}},
		{"cache", `,"cacheClusterEnabled":true`, binary, function, []string{"cache"}},
		{"cache of a method", `,"methodSettings":{"*/*":{"cachingEnabled":true}}`, binary, function, []string{"cache"}},
		{"canary", `,"canarySettings":{"deploymentId":"d2","percentTraffic":5}`, binary, function, []string{"canary!"}},
		{"function's timeout", "", binary, Options{Function: &Function{ARN: function.Function.ARN, TimeoutMS: 28999}}, []string{"timeout"}},
		{"attached", "", func(a *API) { binary(a); a.Tags = map[string]string{TagState: "s3://x/y"} }, function, []string{"attached!"}},
		{"CloudFormation", "", func(a *API) { binary(a); a.Tags = map[string]string{"aws:cloudformation:stack-name": "s"} }, function, []string{"owned"}},
		{"not deployed", "", func(a *API) { binary(a); a.Export = nil }, function, []string{"not-deployed!"}},
		{"other stages", "", func(a *API) { binary(a); a.Stages = append(a.Stages, jsons(`{"stageName":"dev"}`)...) }, function, []string{"stages"}},
		{"edits", "", func(a *API) {
			binary(a)
			a.Export = rawJSON(strings.Replace(string(a.Export), "b.example.com", "old.example.com", 1))
		}, function, []string{"undeployed-edits!"}},
		{"nothing left", "", binary, Options{Function: function.Function, Routes: must(filter.Parse("method == POST"))}, []string{"nothing!"}},
	} {
		a := restAPI(integration, c.stage)
		c.edit(a)
		p, err := MakePlan(a, c.o)
		if err != nil || !slices.Equal(codes(p), c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, codes(p), err, c.want)
		}
	}
}

func must[T any](v T, err error) T { // of a value that a test is made with
	if err != nil {
		panic(err)
	}
	return v
}

func TestOptionsRefused(t *testing.T) {
	a := restAPI(`{"type":"HTTP_PROXY","httpMethod":"GET","uri":"https://b.example.com/"}`, "")
	f := &Function{ARN: "arn:aws:lambda:eu-west-1:1:function:f"}
	for says, o := range map[string]Options{
		"--via":                 {},
		"say by which way":      {Function: f, URL: "https://x.example.com"},
		"https://":              {URL: "http://x.example.com", Secret: testSecret},
		"without a query":       {URL: "https://x.example.com/?a=b", Secret: testSecret},
		"at least 16":           {URL: "https://x.example.com", Secret: "0123456789abcde"},
		"letters or digits":     {URL: "https://x.example.com", Secret: "0123456789abcdef'"},
		"above 0 and below 100": {Function: f, CanaryPercent: 100},
		"status is known of a call, not of a route": {Function: f, Routes: must(filter.Parse("status == 200"))},
	} {
		if _, err := MakePlan(a, o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: error %v, want %q", o, err, says)
		}
	}
	if _, err := MakePlan(a, Options{URL: "https://x.example.com", Secret: "0123456789abcdef"}); err != nil {
		t.Error(err)
	}
	noStage := *a
	noStage.Stage = ""
	if _, err := MakePlan(&noStage, Options{Function: f}); err == nil || !strings.Contains(err.Error(), "--stage; there are: prod") {
		t.Error(err)
	}
}

// TestURLs: the backend's path and query stay as they are behind tapway's URL, and its
// configuration leads them back.
func TestURLs(t *testing.T) {
	integrations := []string{"https://a.example.com/v1/{id}?x=1", "https://a.example.com", "http://a.example.com:8080/", "https://b.example.com?y=2"}
	for n, want := range map[int][]string{
		2: {"https://t.example.com/v1/{id}?x=1", "https://t.example.com/"},
		4: {"https://t.example.com/a.example.com/v1/{id}?x=1", "https://t.example.com/a.example.com/", "https://t.example.com/a.example.com:8080/", "https://t.example.com/b.example.com/?y=2"},
	} {
		a := restAPI(`{"type":"HTTP_PROXY","httpMethod":"GET","uri":"https://z.example.com/"}`, "")
		a.Resources = nil
		for i, uri := range integrations[:n] {
			a.Resources = append(a.Resources, jsons(fmt.Sprintf(`{"id":"r%d","path":"/%d/{id}","resourceMethods":{"GET":{"methodIntegration":{"type":"HTTP_PROXY","httpMethod":"GET","uri":%q,"requestParameters":{"integration.request.path.id":"method.request.path.id"}}}}}`, i, i, uri))...)
		}
		p, err := MakePlan(a, Options{URL: "https://t.example.com/", Secret: testSecret})
		if err != nil || len(p.Changes) != n {
			t.Fatalf("%d changes, %v: %+v", len(p.Changes), err, p.Skipped)
		}
		for i, c := range p.Changes {
			in := must(object(c.After))
			params, _ := in["requestParameters"].(map[string]any)
			if in["uri"] != want[i] || params["integration.request.header."+SecretHeader] != "'"+testSecret+"'" || params["integration.request.path.id"] == nil {
				t.Errorf("%s becomes %s", integrations[i], c.After)
			}
		}
		config := p.ServerConfig()
		if n == 2 && config != "backend: https://a.example.com\n" || n == 4 && !strings.Contains(config, `{match: "ANY /a.example.com:8080/{proxy+}", backend: "http://a.example.com:8080/{proxy}"}`) {
			t.Errorf("configuration:\n%s", config)
		}
		if public := string(compact(p.Public())); strings.Contains(public, testSecret) || !strings.Contains(string(compact(p)), testSecret) {
			t.Error("the secret shows in the public plan, or is not in the real one")
		}
	}
}

// TestTimeouts: tapway has a second more than the backend, within what API Gateway grants.
func TestTimeouts(t *testing.T) {
	for old, want := range map[int]int{50: 1050, 28000: 29000, 28001: 29000, 29000: 29000, 60000: 60000} {
		a := restAPI(fmt.Sprintf(`{"type":"HTTP_PROXY","httpMethod":"GET","uri":"https://b.example.com/","timeoutInMillis":%d}`, old), "")
		p := must(MakePlan(a, Options{Function: &Function{ARN: "arn:aws:lambda:eu-west-1:1:function:f"}}))
		if got := fmt.Sprint(must(object(p.Changes[0].After))["timeoutInMillis"]); got != fmt.Sprint(want) {
			t.Errorf("%d ms becomes %s, want %d", old, got, want)
		}
	}
}

// TestNoFalseDrift: whatever is deployed as it is has no drift.
func TestNoFalseDrift(t *testing.T) {
	drifts := 0
	for seed := range uint64(60) {
		w := newWorld(t)
		var api string
		if seed%3 == 0 {
			api = w.BuildHTTP(&fixed{seed}, 5)
		} else {
			api = w.BuildREST(&fixed{seed}, 8)
		}
		a, err := w.clients.Read(t.Context(), api, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, stage := range a.stageNames() {
			drift, err := w.read(t, api, stage).Drift(nil)
			if err != nil {
				t.Fatal(err)
			}
			same := string(w.WorkingCopy(api)) == string(w.Deployed(api, stage))
			if same && len(drift) > 0 {
				t.Errorf("seed %d, stage %s: %v", seed, stage, drift)
			}
			if !same && len(drift) == 0 {
				t.Errorf("seed %d, stage %s: not seen:\n%s", seed, stage, apitest.Diff(w.Deployed(api, stage), w.WorkingCopy(api)))
			}
			drifts += len(drift)
		}
	}
	if drifts == 0 {
		t.Error("no API had drift: the test proves half")
	}
}
