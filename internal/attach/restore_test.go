package attach

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// furnish gives an API what the builders do not: models, validators, answers of its own,
// authorizers, CORS, and stage settings.
func (w *world) furnish(t fataler, api string, kind Kind) {
	t.Helper()
	if kind == HTTP {
		at := "/v2/apis/" + api
		w.call(t, "PATCH", at, map[string]any{"description": "shop", "corsConfiguration": map[string]any{"allowOrigins": []string{"https://shop.example.com"}, "maxAge": 5}}, nil)
		var auth struct{ AuthorizerID string }
		w.call(t, "POST", at+"/authorizers", map[string]any{"name": "jwt", "authorizerType": "JWT", "identitySource": []string{"$request.header.Authorization"},
			"jwtConfiguration": map[string]any{"audience": []string{"shop"}, "issuer": "https://id.example.com"}}, &auth)
		for _, id := range slices.Sorted(maps.Keys(w.HTTP(api).Routes)) {
			w.call(t, "PATCH", at+"/routes/"+id, map[string]any{"authorizationType": "JWT", "authorizerId": auth.AuthorizerID, "authorizationScopes": []string{"read"}}, nil)
			break
		}
		return
	}
	at := "/restapis/" + api
	w.call(t, "POST", at+"/models", map[string]any{"name": "Pet", "contentType": "application/json", "schema": `{"type":"object","title":"Pet"}`}, nil)
	var validator struct{ ID string }
	w.call(t, "POST", at+"/requestvalidators", map[string]any{"name": "all", "validateRequestBody": true, "validateRequestParameters": false}, &validator)
	w.call(t, "PUT", at+"/gatewayresponses/UNAUTHORIZED", map[string]any{"statusCode": "401", "responseTemplates": map[string]string{"application/json": `{"error":"who?"}`}}, nil)
	var auth struct{ ID string }
	w.call(t, "POST", at+"/authorizers", map[string]any{"name": "keys", "type": "TOKEN", "authorizerUri": w.InvokeARN(w.arn), "identitySource": "method.request.header.X-Key"}, &auth)
	a := w.REST(api)
	for _, id := range slices.Sorted(maps.Keys(a.Resources)) {
		for _, name := range slices.Sorted(maps.Keys(a.Resources[id].Methods)) {
			w.call(t, "PATCH", at+"/resources/"+id+"/methods/"+name, map[string]any{"patchOperations": []map[string]any{
				{"op": "replace", "path": "/requestValidatorId", "value": validator.ID}, {"op": "replace", "path": "/authorizationType", "value": "CUSTOM"},
				{"op": "replace", "path": "/authorizerId", "value": auth.ID}}}, nil)
			return
		}
	}
}

// deployAll leaves no edits undeployed.
func (w *world) deployAll(t fataler, api string, kind Kind) {
	t.Helper()
	for _, name := range w.stages(api, kind) {
		if kind == HTTP && w.HTTP(api).Stages[name].AutoDeploy {
			continue
		}
		if _, err := w.Deploy(api, name); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) stages(api string, kind Kind) []string {
	if kind == HTTP {
		return slices.Sorted(maps.Keys(w.HTTP(api).Stages))
	}
	return slices.Sorted(maps.Keys(w.REST(api).Stages))
}

// harms are what somebody may do to an API. Each picks its victim by n, and may find none.
var harms = map[Kind][]func(w *world, t fataler, api string, n int){
	REST: {
		func(w *world, _ fataler, api string, n int) { // a resource and all below it
			w.try("DELETE", "/restapis/"+api+"/resources/"+nth(w.REST(api).Resources, n), nil)
		},
		func(w *world, _ fataler, api string, n int) { w.try("DELETE", w.nthMethod(api, n), nil) },
		func(w *world, _ fataler, api string, n int) { w.try("DELETE", w.nthMethod(api, n)+"/integration", nil) },
		func(w *world, _ fataler, api string, n int) {
			w.try("PUT", w.nthMethod(api, n)+"/integration", map[string]any{"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "https://evil.example.com/"})
		},
		func(w *world, _ fataler, api string, n int) {
			w.try("DELETE", w.nthMethod(api, n)+"/responses/200", nil)
		},
		func(w *world, _ fataler, api string, n int) {
			w.try("PATCH", w.nthMethod(api, n), ops("replace", "/authorizationType", "NONE", "replace", "/authorizerId", "", "replace", "/requestValidatorId", ""))
		},
		func(w *world, _ fataler, api string, _ int) {
			for _, id := range slices.Sorted(maps.Keys(w.REST(api).Resources)) {
				w.try("POST", "/restapis/"+api+"/resources/"+id, map[string]any{"pathPart": "{additional}"})
			}
		},
		func(w *world, _ fataler, api string, n int) {
			w.try("DELETE", "/restapis/"+api+"/stages/"+nth(w.REST(api).Stages, n), nil)
		},
		func(w *world, _ fataler, api string, n int) {
			w.try("PATCH", "/restapis/"+api+"/stages/"+nth(w.REST(api).Stages, n), ops("replace", "/variables/host", "evil.example.com", "replace", "/variables/more", "x",
				"replace", "/*/*/throttling/rateLimit", "7", "replace", "/~1a~1{b}/GET/metrics/enabled", "true", "replace", "/tracingEnabled", "true", "replace", "/accessLogSettings/format", "$context.requestId"))
		},
		func(w *world, _ fataler, api string, n int) { _, _ = w.Deploy(api, nth(w.REST(api).Stages, n)) },
		func(w *world, _ fataler, api string, _ int) {
			w.try("PATCH", "/restapis/"+api, ops("replace", "/name", "hacked", "replace", "/policy", `{"Version":"2012-10-17","Statement":[]}`, "add", "/binaryMediaTypes/image~1gif", "", "replace", "/minimumCompressionSize", "3"))
		},
		func(w *world, _ fataler, api string, _ int) {
			w.EditREST(api, func(a *apitest.RestAPI) {
				a.Authorizers, a.Models, a.Validators, a.GatewayResponses = nil, nil, nil, nil
				a.Tags = map[string]string{"owner": "nobody"}
			})
		},
		func(w *world, _ fataler, api string, _ int) {
			w.try("PATCH", "/restapis/"+api+"/models/Pet", ops("replace", "/schema", "{}"))
			w.try("POST", "/restapis/"+api+"/models", map[string]any{"name": "Dog", "contentType": "application/json", "schema": "{}"})
			w.try("PUT", "/restapis/"+api+"/gatewayresponses/UNAUTHORIZED", map[string]any{"statusCode": "418"})
			for _, a := range w.REST(api).Authorizers {
				w.try("PATCH", "/restapis/"+api+"/authorizers/"+a.ID, ops("replace", "/identitySource", "method.request.header.Evil"))
			}
		},
	},
	HTTP: {
		func(w *world, _ fataler, api string, n int) {
			w.try("DELETE", "/v2/apis/"+api+"/routes/"+nth(w.HTTP(api).Routes, n), nil)
		},
		func(w *world, _ fataler, api string, n int) {
			w.try("PATCH", "/v2/apis/"+api+"/routes/"+nth(w.HTTP(api).Routes, n), map[string]any{"target": "", "authorizationType": "NONE", "authorizerId": "", "authorizationScopes": []string{}, "operationName": "evil"})
		},
		func(w *world, _ fataler, api string, n int) {
			id := nth(w.HTTP(api).Integrations, n)
			for route, r := range w.HTTP(api).Routes {
				if r.Target == "integrations/"+id {
					w.try("PATCH", "/v2/apis/"+api+"/routes/"+route, map[string]any{"target": ""})
				}
			}
			w.try("DELETE", "/v2/apis/"+api+"/integrations/"+id, nil)
		},
		func(w *world, _ fataler, api string, n int) {
			w.try("PATCH", "/v2/apis/"+api+"/integrations/"+nth(w.HTTP(api).Integrations, n), map[string]any{"timeoutInMillis": 77, "description": "evil",
				"requestParameters": map[string]any{"overwrite:path": "/evil", "append:header.evil": "1"}, "responseParameters": map[string]any{"404": map[string]any{"overwrite:statuscode": "200"}}})
		},
		func(w *world, _ fataler, api string, _ int) {
			w.try("POST", "/v2/apis/"+api+"/routes", map[string]any{"routeKey": "GET /additional", "target": ""})
		},
		func(w *world, _ fataler, api string, n int) {
			w.try("DELETE", "/v2/apis/"+api+"/stages/"+nth(w.HTTP(api).Stages, n), nil)
		},
		func(w *world, _ fataler, api string, n int) {
			w.try("PATCH", "/v2/apis/"+api+"/stages/"+nth(w.HTTP(api).Stages, n), map[string]any{"stageVariables": map[string]any{"host": "evil", "more": "1"}, "description": "evil",
				"accessLogSettings": map[string]any{"format": "x"}, "routeSettings": map[string]any{"GET /x": map[string]any{"throttlingBurstLimit": 1}}})
		},
		func(w *world, _ fataler, api string, n int) { _, _ = w.Deploy(api, nth(w.HTTP(api).Stages, n)) },
		func(w *world, _ fataler, api string, _ int) { w.try("DELETE", "/v2/apis/"+api+"/cors", nil) },
		func(w *world, _ fataler, api string, _ int) {
			w.try("PATCH", "/v2/apis/"+api, map[string]any{"name": "hacked", "version": "9", "corsConfiguration": map[string]any{"allowOrigins": []string{"*"}, "allowCredentials": true}})
		},
		func(w *world, _ fataler, api string, n int) {
			for id, r := range w.HTTP(api).Routes {
				if r.AuthorizerID != "" {
					w.try("PATCH", "/v2/apis/"+api+"/routes/"+id, map[string]any{"authorizationType": "NONE", "authorizerId": ""})
				}
			}
			w.try("DELETE", "/v2/apis/"+api+"/authorizers/"+nth(w.HTTP(api).Authorizers, n), nil)
		},
	},
}

// try makes a call as somebody else, and does not mind if it is refused.
func (w *world) try(method, path string, in any) {
	_, _ = w.Call(method, "/"+strings.TrimPrefix(path, "/"), in)
}

func ops(words ...string) map[string]any {
	var list []map[string]any
	for i := 0; i+2 < len(words); i += 3 {
		list = append(list, map[string]any{"op": words[i], "path": words[i+1], "value": words[i+2]})
	}
	return map[string]any{"patchOperations": list}
}

func nth[V any](m map[string]V, n int) string {
	if len(m) == 0 {
		return "none"
	}
	return slices.Sorted(maps.Keys(m))[n%len(m)]
}

func (w *world) nthMethod(api string, n int) string {
	all := map[string]bool{}
	for id, r := range w.REST(api).Resources {
		for name := range r.Methods {
			all["/restapis/"+api+"/resources/"+id+"/methods/"+name] = true
		}
	}
	return nth(all, n)
}

// content is the working copy and what all stages serve, as the fake knows it, with names in
// place of ids. It does not use the code that is tested.
// known are ids and names of before, which deployments may have still.
func (w *world) content(t fataler, api string, kind Kind, known []string) (out map[string]string, ids []string) {
	t.Helper()
	out, ids = map[string]string{}, known
	working := w.WorkingCopy(api)
	if kind == REST {
		a := w.REST(api)
		for _, r := range a.Resources {
			ids = append(ids, r.ID, "resource "+r.Path)
		}
		for _, x := range a.Authorizers {
			ids = append(ids, x.ID, "authorizer "+x.Name)
		}
		for _, x := range slices.Concat(a.Models, a.Validators) {
			ids = append(ids, x["id"].(string), "part "+x["name"].(string))
		}
		for name, st := range a.Stages {
			st.DeploymentID, st.CreatedDate, st.LastUpdatedDate = "", 0, 0
			if !st.CacheClusterEnabled {
				st.CacheClusterSize = "" // is left over when a cache is turned off
			}
			out["stage "+name] = string(must(json.Marshal(st)))
		}
		out["tags"] = fmt.Sprint(a.Tags)
	} else {
		a := w.HTTP(api)
		working = must(w.Call("GET", "/v2/apis/"+api+"/exports/OAS30?outputType=JSON", nil))
		for _, x := range a.Authorizers {
			ids = append(ids, x.ID, "authorizer "+x.Name)
		}
		for name, st := range a.Stages {
			st.DeploymentID, st.CreatedDate, st.LastUpdatedDate, st.LastDeploymentStatus, st.Managed = "", "", "", "", false
			if len(st.RouteSettings) == 0 {
				st.RouteSettings = nil
			}
			out["stage "+name] = string(must(json.Marshal(st)))
		}
		out["tags"] = fmt.Sprint(a.Tags)
	}
	names := strings.NewReplacer(append(ids, api, "API")...)
	lines := strings.Split(names.Replace(string(working)), "\n") // sorted: a list's order has no meaning
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], ",")
	}
	// A new API has its own; an export's version is the date, too, where the API has none.
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return strings.Contains(line, `"createdDate"`) || strings.Contains(line, `"version": "20`) && strings.HasSuffix(line, `UTC"`)
	})
	slices.Sort(lines)
	out["working copy"] = strings.Join(lines, "\n")
	for _, name := range w.stages(api, kind) {
		if text := w.Export(api, name); text != nil {
			out["export "+name] = names.Replace(string(must(CanonicalExport(text))))
		}
	}
	return out, ids
}

func same(t fataler, before, after map[string]string, when string) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(before)) {
		if before[k] != after[k] {
			t.Fatalf("%s: %s is not as it was:\n%s", when, k, apitest.Diff([]byte(strings.ReplaceAll(before[k], ",\"", ",\n\"")), []byte(strings.ReplaceAll(after[k], ",\"", ",\n\""))))
		}
	}
	for k := range after {
		if _, there := before[k]; !there {
			t.Fatalf("%s: %s was not there before", when, k)
		}
	}
}

func (w *world) backup(t fataler, api string) *Backup {
	t.Helper()
	b, err := w.clients.Backup(t.Context(), api, "tapway test", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), nil)
	if err != nil {
		t.Fatal(err)
	}
	var back Backup // as it is read from a file
	if err := json.Unmarshal([]byte(indented(b)), &back); err != nil {
		t.Fatal(err)
	}
	return &back
}

var pruning = RestoreOptions{Prune: true, Pause: time.Nanosecond}

// restore restores; an error is of the plan or of a step.
func (w *world) restore(t fataler, b *Backup, id string, o RestoreOptions) (*RestorePlan, error) {
	t.Helper()
	p, err := w.clients.PlanRestore(t.Context(), b, id, o, nil)
	if err != nil {
		return nil, err
	}
	return p, w.clients.Restore(t.Context(), p, nil)
}

// restored restores and proves without any fault, and finds nothing more to do.
func (w *world) restored(t fataler, b *Backup, id string) {
	t.Helper()
	p, err := w.restore(t, b, id, pruning)
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := w.clients.Prove(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for _, proof := range proofs {
		if !proof.Equal {
			t.Fatalf("stage %s is not as in the backup: %v", proof.Stage, proof.Differences)
		}
	}
	p, err = w.clients.PlanRestore(t.Context(), b, id, pruning, nil)
	if err != nil || len(p.Steps) > 0 {
		t.Fatalf("restored, and still to do: %+v, %v", p, err)
	}
}

// TestAnyAPIAnyHarm: whatever the API and what was done to it, and wherever restores were
// interrupted, at last it is as it was when the backup was taken.
func TestAnyAPIAnyHarm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		kind := rapid.SampledFrom([]Kind{REST, HTTP}).Draw(t, "kind")
		n := rapid.IntRange(1, 5).Draw(t, "routes")
		var api string
		if kind == REST {
			api = w.BuildREST(drawn{t}, n)
		} else {
			api = w.BuildHTTP(drawn{t}, n)
		}
		w.furnish(t, api, kind)
		if rapid.Bool().Draw(t, "deployed") {
			w.deployAll(t, api, kind)
		}
		b := w.backup(t, api)
		before, known := w.content(t, api, kind, nil)
		for range rapid.IntRange(1, 5).Draw(t, "harms") {
			i := rapid.IntRange(0, len(harms[kind])-1).Draw(t, "harm")
			harms[kind][i](w, t, api, rapid.IntRange(0, 9).Draw(t, "victim"))
		}
		// Old deployments name authorizers by id. With another id there must be a new one, which
		// is the same only if nothing waited to be deployed.
		p, err := w.clients.PlanRestore(t.Context(), b, api, pruning, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p.r.remade {
			for _, name := range w.stages(api, kind) {
				delete(before, "export "+name)
			}
		}
		for range rapid.IntRange(0, 2).Draw(t, "interruptions") {
			fault := rapid.SampledFrom([]*apitest.Fault{apitest.Cut, apitest.Lost, apitest.Broken, apitest.Refused}).Draw(t, "fault")
			w.Before = apitest.FailNth(rapid.IntRange(10, 40).Draw(t, "at"), fault, rapid.Bool().Draw(t, "once"))
			_, _ = w.restore(t, b, api, pruning) // what became of it, the next one finds out
			w.Before = nil
		}
		if p.r.remade {
			if _, err := w.restore(t, b, api, pruning); err != nil {
				t.Fatal(err)
			}
			after, _ := w.content(t, api, kind, known)
			maps.DeleteFunc(after, func(k, _ string) bool { return strings.HasPrefix(k, "export ") })
			maps.DeleteFunc(before, func(k, _ string) bool { return strings.HasPrefix(k, "export ") })
			same(t, before, after, "restored")
			return
		}
		w.restored(t, b, api)
		after, _ := w.content(t, api, kind, known)
		same(t, before, after, "restored")
	})
}

// TestRestoreInterruptedAtEveryCall: after everything was done to an API, and a restore died at
// any call, the next restore finishes it.
func TestRestoreInterruptedAtEveryCall(t *testing.T) {
	for _, kind := range []Kind{REST, HTTP} {
		for name, fault := range map[string]*apitest.Fault{"cut": apitest.Cut, "lost": apitest.Lost} {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				t.Parallel()
				for at, whole := 1, false; !whole; at++ {
					w := newWorld(t)
					api := w.build(kind, 3)
					w.furnish(t, api, kind)
					w.deployAll(t, api, kind)
					b := w.backup(t, api)
					before, known := w.content(t, api, kind, nil)
					for i, harm := range harms[kind] {
						harm(w, t, api, i)
					}
					w.Before = apitest.FailNth(at, fault, false)
					_, err := w.restore(t, b, api, pruning)
					w.Before = nil
					if whole = err == nil; whole && at < 12 {
						t.Fatalf("only %d calls", at)
					}
					w.restored(t, b, api)
					after, _ := w.content(t, api, kind, known)
					same(t, before, after, fmt.Sprint("interrupted at call ", at))
				}
			})
		}
	}
}

// TestRestoreTwins: of integrations that say the same, each route keeps its own, and a restore that is done has nothing left to do.
func TestRestoreTwins(t *testing.T) {
	w := newWorld(t)
	for range 8 {
		var api struct{ APIID string }
		w.call(t, "POST", "/v2/apis", map[string]any{"name": "twins", "protocolType": "HTTP"}, &api)
		at := "/v2/apis/" + api.APIID
		var remove []string
		for _, key := range []string{"GET /a", "GET /b", "GET /c"} {
			var in struct{ IntegrationID string }
			w.call(t, "POST", at+"/integrations", map[string]any{"integrationType": "HTTP_PROXY", "integrationMethod": "ANY", "payloadFormatVersion": "1.0", "integrationUri": "https://shop.example.com/"}, &in)
			var route struct{ RouteID string }
			w.call(t, "POST", at+"/routes", map[string]any{"routeKey": key, "target": "integrations/" + in.IntegrationID}, &route)
			remove = append([]string{at + "/routes/" + route.RouteID}, append(remove, at+"/integrations/"+in.IntegrationID)...)
		}
		b := w.backup(t, api.APIID)
		for _, path := range remove {
			w.call(t, "DELETE", path, nil, nil)
		}
		w.restored(t, b, api.APIID)
	}
}
