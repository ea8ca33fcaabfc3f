package lambdaapp

import (
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

const partnerKey = "partner-0123456789abcdefghij"

// TestAccess: the rules hold on Lambda too, by the address and the stage that the front names, and
// a refusal leaves a record.
func TestAccess(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/policy.json", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:eu-west-1:123456789012:abc/prod/*"},
		{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*","Condition":{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}]}`)
	writeFile(t, dir+"/tapway.yaml", "access:\n  resource_policy: "+dir+"/policy.json\n  api_stage: prod\n  api_keys: [{name: partner, value: "+partnerKey+"}]\n")
	w := newWorld(t)
	f := w.start(Proxy, "TAPWAY_CONFIG="+dir+"/tapway.yaml")
	for i, tt := range []struct {
		ip, key string
		status  int
		body    string
		reason  string
	}{
		{"203.0.113.7", partnerKey, 200, "", ""},
		{"203.0.114.7", partnerKey, 403, "on resource: arn:aws:execute-api:" + sqstest.Region + ":********:a1b2c3d4e5/prod/GET/x with an explicit deny in a resource-based policy", "resource policy: denied by statement 2"},
		{"203.0.113.7", "", 403, `{"message":"Forbidden"}`, "api key: missing"},
	} {
		event := eventtest.Request{Target: "/x", ClientIP: tt.ip}
		if tt.key != "" {
			event.Header = append(event.Header, tapway.Field{Name: "X-Api-Key", Value: tt.key})
		}
		// What a client claims about itself counts for nothing.
		event.Header = append(event.Header, tapway.Field{Name: "X-Forwarded-For", Value: "203.0.113.9"})
		text, err := eventtest.REST.Event(event)
		if err != nil {
			t.Fatal(err)
		}
		result := f.Do(t.Context(), invocation(text, 10*time.Second))
		same(t, "status", gjson.GetBytes(result.Body, "statusCode").Int(), tt.status)
		if body := gjson.GetBytes(result.Body, "body").String(); !strings.Contains(body, tt.body) {
			t.Errorf("body %s", body)
		}
		f.settled(t)
		messages := w.sqs.Messages("records")
		if len(messages) != i+1 {
			t.Fatalf("%d records", len(messages))
		}
		rec := messages[i].Body
		same(t, "record's error", gjson.Get(rec, "error").String(), tt.reason)
		same(t, "record's client", gjson.Get(rec, "client_ip").String(), tt.ip)
		if strings.Contains(rec, partnerKey) {
			t.Error("the key is in the record")
		}
	}
	same(t, "calls of the backend", len(w.asks), 1)
}

// TestAccessInitErrors: what a function could not keep, it does not start with.
func TestAccessInitErrors(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"access: {throttle: {rate: 5}}\n":                                      "access.throttle: rates and quotas need a store that all execution environments share",
		"access: {usage_plans: [{name: a, quota: {limit: 1, period: DAY}}]}\n": "access.usage_plans[0]: rates and quotas",
		"access: {api_key: required}\n":                                        "set access.api_keys",
		"access: {iam: {credentials: [{name: a, access_key_id: AKIDA, secret_access_key: a-secret-of-sixteen}]}}\n": "",
		"access: {client_certificate: {subjects: CN=a}}\n":                                                          "",
		"access: {client_certificate: {alb: verify}}\n":                                                             "",
		"access: {client_certificate: {alb: passthrough}}\n":                                                        "access.client_certificate.alb: a load balancer in passthrough mode verifies no certificate",
		"access: {client_certificate: {truststore: nowhere.pem}}\n":                                                 "access.client_certificate.truststore",
		"access: {webhook: {provider: github, secret: a-shared-secret, addresses: github-hooks}}\n":                 "",
		"access: {jwt: {issuer: https://idp.example.com/, audience: api}}\n":                                        "",
		"limits: {daily_calls: 5}\n":                                                                                "limits.daily_calls: rates and quotas need a store that all execution environments share, and so do ceilings; set access.counters: dynamodb://TABLE",
		"limits: {daily_cost: 5}\n":                                                                                 "limits.daily_cost: rates",
		"limits: {daily_cost: 5}\naccess: {counters: \"dynamodb://counts\"}\n":                                      "",
		"access: {throttle: {rate: 5}, counters: \"dynamodb://counts/shop\"}\n":                                     "",
		"access: {throttle: {rate: 5}, counters: local}\n":                                                          "",
		"access: {usage_plans: [{name: a}], api_keys: [{name: p, value: " + partnerKey + "}]}\n":                    "",
	} {
		writeFile(t, dir+"/tapway.yaml", text)
		w := newWorld(t)
		_, err := New(t.Context(), w.options(&function{log: new(buffer), metrics: new(buffer)}, Proxy, "TAPWAY_CONFIG="+dir+"/tapway.yaml"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
