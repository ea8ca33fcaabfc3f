package apitest_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzServer: no request makes the server panic or break its own state, and every refusal
// says what it is.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{
		"GET /restapis/A/resources?limit=2&embed=methods ",
		`PUT /restapis/A/resources/R/methods/GET/integration {"type":"MOCK","cacheKeyParameters":["'"]}`,
		`PATCH /restapis/A/resources/R/methods/GET/integration {"patchOperations":[{"op":"remove","path":"/requestParameters/x"}]}`,
		`PATCH /restapis/A/stages/prod {"patchOperations":[{"op":"replace","path":"/*/*/logging/loglevel","value":"INFO"},{"op":"copy","from":"/canarySettings/deploymentId","path":"/deploymentId"}]}`,
		`PATCH /restapis/A {"patchOperations":[{"op":"replace","path":"/policy","value":"{}"}]}`,
		`POST /restapis/A/deployments {"stageName":"prod","canarySettings":{"percentTraffic":1}}`,
		"GET /restapis/A/stages/prod/exports/oas30?extensions=integrations ",
		"DELETE /restapis/A/resources/R ",
		`PUT /tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Frestapis%2FA {"tags":{"a":"b"}}`,
		`POST /v2/apis {"name":"x","protocolType":"HTTP","target":"arn:x"}`,
		`POST /v2/apis/H/integrations {"integrationType":"HTTP_PROXY","responseParameters":{"200":{}}}`,
		`PATCH /v2/apis/H/stages/prod {"routeSettings":{"x":{}},"deploymentId":""}`,
		"GET /v2/apis/H/exports/OAS30?outputType=JSON ",
		`POST /2015-03-31/functions/users%3Alive/policy {"StatementId":"a","Action":"lambda:x","Principal":"p"}`,
	} {
		parts := strings.SplitN(seed, " ", 3)
		f.Add(parts[0], parts[1], parts[2])
	}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		w := newWorld(t)
		api := w.BuildREST(rand.New(rand.NewPCG(3, 3)), 3)
		h := w.BuildHTTP(rand.New(rand.NewPCG(4, 4)), 3)
		target = strings.NewReplacer("A", api, "H", h, "R", w.REST(api).RootResourceID).Replace(target)
		if _, err := url.ParseRequestURI(target); err != nil || !strings.HasPrefix(target, "/") || strings.ContainsAny(target, " \r\n") || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || method == "" {
			return
		}
		res := httptest.NewRecorder()
		w.ServeHTTP(res, httptest.NewRequest(method, target, strings.NewReader(body)))
		if res.Code >= 400 && (res.Header().Get("X-Amzn-Errortype") == "" || !json.Valid(res.Body.Bytes())) {
			t.Errorf("%d without a type: %s", res.Code, res.Body)
		}
		if res.Code == 500 {
			t.Errorf("the server is at fault: %s", res.Body)
		}
		if w.REST(api) == nil {
			return
		}
		for stage := range w.REST(api).Stages {
			if text := w.Export(api, stage); !json.Valid(text) {
				t.Errorf("export of %s: %s", stage, text)
			}
			w.Resolve(api, stage, "GET", target)
		}
		if !json.Valid(w.Dump()) || !json.Valid(w.Settled()) {
			t.Error(fmt.Sprint("no JSON: ", string(w.Dump())))
		}
	})
}
