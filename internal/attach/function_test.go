package attach

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/attach/apitest"
)

const tapARN = "arn:aws:lambda:eu-west-1:123456789012:function:tapway"

// functionAPI is a REST API with a method for each function, which the last part of an ARN names.
func functionAPI(names ...string) *API {
	a := restAPI(`null`, "")
	a.Resources = nil
	for i, name := range names {
		a.Resources = append(a.Resources, jsons(fmt.Sprintf(`{"id":"r%d","path":"/%d","resourceMethods":{"GET":{"httpMethod":"GET","authorizationType":"NONE","methodIntegration":{
			"type":"AWS_PROXY","httpMethod":"POST","credentials":"arn:aws:iam::123456789012:role/r","timeoutInMillis":5000,"cacheNamespace":"n","contentHandling":null,
			"requestParameters":{"integration.request.querystring.p":"method.request.querystring.page"},
			"uri":"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:%s/invocations"}}}}`, i, i, name))...)
	}
	return a
}

// TestFunctionPlan: only where the integration leads changes, and the plan says whom the proxy function
// will invoke. It never leads tapway to itself.
func TestFunctionPlan(t *testing.T) {
	a := functionAPI("123456789012:function:users", "123456789012:function:users", "123456789012:function:users:live", "999999999999:function:users", "123456789012:function:tapway", "123456789012:function:tapway:old", "123456789012:function:tapway2")
	p, err := MakePlan(a, Options{Function: &Function{ARN: tapARN, Qualifier: "live", TimeoutMS: 30000}})
	if err != nil {
		t.Fatal(err)
	}
	const at = "arn:aws:lambda:eu-west-1:"
	if want := []string{at + "123456789012:function:tapway2", at + "123456789012:function:users", at + "123456789012:function:users:live", at + "999999999999:function:users"}; !slices.Equal(p.Invokes, want) {
		t.Errorf("invokes %v, want %v", p.Invokes, want)
	}
	var kept []string
	for _, s := range p.Skipped {
		kept = append(kept, s.Route)
		if !strings.Contains(s.Reason, "would call itself") {
			t.Errorf("%s: %s", s.Route, s.Reason)
		}
	}
	if !slices.Equal(kept, []string{"GET /4", "GET /5"}) {
		t.Errorf("kept %v, want tapway's own two", kept)
	}
	if !slices.ContainsFunc(p.Stops(), func(w Warning) bool { return w.Code == "tapped" && slices.Equal(w.More, kept) && w.Flag == "" }) {
		t.Errorf("the route table would lead those two to tapway itself, and nothing stops it: %+v", p.Stops())
	}
	before, after := must(object(p.Changes[0].Before)), must(object(p.Changes[0].After))
	for key, want := range map[string]string{
		"uri": "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/" + tapARN + ":live/invocations", "timeoutInMillis": "6000", "credentials": "<nil>",
	} {
		if fmt.Sprint(after[key]) != want {
			t.Errorf("%s is %v, want %s", key, after[key], want)
		}
		delete(before, key)
		delete(after, key)
	}
	if !bytes.Equal(compact(before), compact(after)) {
		t.Errorf("more than that has changed: %s, before %s", compact(after), compact(before))
	}
	more := map[string][]string{}
	for _, w := range p.Warnings {
		more[w.Code] = w.More
		if w.Code == "invoke" && (!w.Stops || w.Flag != "--may-invoke") {
			t.Errorf("nobody has said that it may, and it does not stop: %+v", w)
		}
	}
	allowed := must(MakePlan(a, Options{Function: &Function{ARN: tapARN}, MayInvoke: true}))
	if slices.ContainsFunc(allowed.Stops(), func(w Warning) bool { return w.Code == "invoke" }) || !slices.Equal(allowed.Invokes, p.Invokes) {
		t.Errorf("allowed, and yet: %+v", allowed.Stops())
	}
	if !slices.Equal(more["invoke"], p.Invokes) || !slices.Equal(more["other-account"], []string{at + "999999999999:function:users"}) {
		t.Errorf("warnings: %v", more)
	}
	for _, form := range []string{"terraform", "cloudformation"} {
		var out bytes.Buffer
		if err := Emit(&out, form, p); err != nil || !strings.Contains(out.String(), "#   "+at+"123456789012:function:users:live\n") {
			t.Errorf("%s does not tell whom the role must be allowed to invoke (%v):\n%s", form, err, out.String())
		}
	}
	byURL := must(MakePlan(a, viaURL()))
	if len(byURL.Changes) > 0 || !strings.Contains(byURL.Skipped[0].Reason, "--via lambda:… can tap it") {
		t.Errorf("by URL: %+v", byURL.Skipped)
	}
}

// TestFunctionPayload: a tapped function of an HTTP API goes on getting the events that it understands.
func TestFunctionPayload(t *testing.T) {
	a := &API{Kind: HTTP, ID: "a1", Region: "eu-west-1", Account: "123456789012", Stage: "prod", Stages: jsons(`{"stageName":"prod"}`)}
	for i, more := range []string{`"payloadFormatVersion":"1.0"`, `"payloadFormatVersion":"2.0"`, `"timeoutInMillis":5000`} {
		a.Integrations = append(a.Integrations, jsons(fmt.Sprintf(`{"integrationId":"i%d","integrationType":"AWS_PROXY","integrationUri":"arn:aws:lambda:eu-west-1:123456789012:function:users",%s}`, i, more))...)
		a.Routes = append(a.Routes, jsons(fmt.Sprintf(`{"routeId":"r%d","routeKey":"GET /%d","target":"integrations/i%d"}`, i, i, i))...)
	}
	a.Integrations = append(a.Integrations, jsons(`{"integrationId":"i3","integrationType":"HTTP_PROXY","integrationMethod":"GET","integrationUri":"https://b.example.com","payloadFormatVersion":"1.0"}`)...)
	a.Routes = append(a.Routes, jsons(`{"routeId":"r3","routeKey":"GET /3","target":"integrations/i3"}`)...)
	p, err := MakePlan(a, Options{Function: &Function{ARN: tapARN, TimeoutMS: 40000}})
	if err != nil || len(p.Changes) != 4 {
		t.Fatalf("%v: %+v", err, p)
	}
	for i, want := range []string{"1.0 30000", "2.0 30000", "1.0 6000", "2.0 30000"} {
		in := must(decodeIntegration(p.Integrations[p.Changes[i].Integration]))
		if got := fmt.Sprint(in.PayloadFormat, " ", in.Timeout); got != want || in.URI != tapARN {
			t.Errorf("%s: %s to %s, want %s", p.Changes[i].Route, got, in.URI, want)
		}
	}
}

// TestURLLoop: what leads to tapway's URL already stays as it is; its neighbours do not.
func TestURLLoop(t *testing.T) {
	for uri, loops := range map[string]bool{
		"https://tapway.example.com/in":           true,
		"https://tapway.example.com/in/users/x":   true,
		"https://TAPWAY.example.com:443/in?a=b":   true,
		"https://tapway.example.com/inn":          false,
		"https://tapway.example.com/":             false,
		"https://tapway.example.com:8443/in":      false,
		"http://tapway.example.com/in":            false,
		"https://tapway.example.com.evil.test/in": false,
	} {
		a := restAPI(fmt.Sprintf(`{"type":"HTTP_PROXY","httpMethod":"GET","uri":%q}`, uri), "")
		p := must(MakePlan(a, viaURL()))
		if looped := len(p.Skipped) == 1 && strings.Contains(p.Skipped[0].Reason, "would call itself"); looped != loops || len(p.Changes)+len(p.Skipped) != 1 {
			t.Errorf("%s: %+v, want a loop: %v", uri, p.Skipped, loops)
		}
	}
}

// TestFunctionDetached: an API of Lambda functions only, attached and detached.
func TestFunctionDetached(t *testing.T) {
	w := newWorld(t)
	tapped := 0
	for seed := range uint64(40) {
		api := w.BuildHTTP(&fixed{seed}, 6)
		if seed%2 == 0 {
			api = w.BuildREST(&fixed{seed}, 6)
		}
		a := w.read(t, api, "prod")
		p := w.plan(t, a, w.viaFunction())
		if len(p.Stops()) > 0 || len(p.Invokes) == 0 {
			continue
		}
		before := w.snapshot(api, "prod")
		r, st := w.attached(t, api, "prod", w.viaFunction())
		w.isAttached(t, st)
		for _, c := range st.Plan.Changes {
			if strings.Contains(c.From, "function:") {
				tapped++
				w.answers(t, api, c.Route)
			}
		}
		detach(t, r, load(t, r), DetachOptions{})
		w.same(t, before, api, "prod", "detached")
	}
	if tapped < 10 {
		t.Errorf("only %d functions were tapped", tapped)
	}
}

// answers fails unless API Gateway may call tapway for a route.
func (w *world) answers(t fataler, api, key string) {
	t.Helper()
	method, path := keyParts(key)
	if method == "" || method == "ANY" {
		method = "PATCH"
	}
	if path == "$default" {
		path = "/any/thing"
	}
	to, ok := w.Resolve(api, "prod", method, apitest.Concrete(path))
	if ok && to.Route == key && (to.Problem != "" || to.Type != "AWS_PROXY" || !strings.Contains(to.URI, w.arn)) {
		t.Fatalf("%s: %+v", key, to)
	}
}
