package attach

import (
	"slices"
	"strings"
	"testing"
)

// TestRestorePrunesAuthorizersLast: what a stage serves asks authorizers by their id, so one that is to go
// may only go when no stage serves what needs it any more.
func TestRestorePrunesAuthorizersLast(t *testing.T) {
	for _, kind := range []Kind{REST, HTTP} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			api := w.build(kind, 3)
			w.furnish(t, api, kind)
			w.deployAll(t, api, kind)
			b := w.backup(t, api)
			if kind == REST {
				at := "/restapis/" + api
				var made struct{ ID string }
				w.call(t, "POST", at+"/authorizers", map[string]any{"name": "new", "type": "TOKEN", "authorizerUri": w.InvokeARN(w.arn), "identitySource": "method.request.header.X-New"}, &made)
				w.call(t, "PATCH", w.nthMethod(api, 0), ops("replace", "/authorizationType", "CUSTOM", "replace", "/authorizerId", made.ID), nil)
			} else {
				at := "/v2/apis/" + api
				var made struct{ AuthorizerID string }
				w.call(t, "POST", at+"/authorizers", map[string]any{"name": "new", "authorizerType": "JWT", "identitySource": []string{"$request.header.Authorization"},
					"jwtConfiguration": map[string]any{"audience": []string{"new"}, "issuer": "https://id.example.com"}}, &made)
				w.call(t, "PATCH", at+"/routes/"+nth(w.HTTP(api).Routes, 0), map[string]any{"authorizationType": "JWT", "authorizerId": made.AuthorizerID}, nil)
			}
			w.deployAll(t, api, kind)
			p, err := w.clients.PlanRestore(t.Context(), b, api, pruning, nil)
			if err != nil {
				t.Fatal(err)
			}
			var steps []string
			for _, s := range p.Steps {
				steps = append(steps, s.Action+" "+s.What)
			}
			pruned := slices.Index(steps, "remove authorizer new")
			stage := slices.IndexFunc(steps, func(s string) bool { return strings.HasPrefix(s, "change deployment of stage") })
			if pruned < 0 || stage < 0 || pruned < stage {
				t.Fatalf("the authorizer goes at step %d, and the first stage is led away from it at step %d of %q", pruned, stage, steps)
			}
			w.restored(t, b, api)
		})
	}
}

// TestRestoreTurnsOff: what was off at the time of the backup is turned off again, though AWS does not show what is
// off; and while a stage deploys by itself, AWS refuses to point it to a deployment.
func TestRestoreTurnsOff(t *testing.T) {
	w := newWorld(t)
	api := w.build(HTTP, 3)
	w.deployAll(t, api, HTTP)
	name := ""
	for _, stage := range w.stages(api, HTTP) {
		if !w.HTTP(api).Stages[stage].AutoDeploy {
			name = stage
		}
	}
	if name == "" {
		t.Fatal("no stage that is deployed by hand")
	}
	b := w.backup(t, api)
	w.call(t, "PATCH", "/v2/apis/"+api+"/stages/"+name, map[string]any{"autoDeploy": true}, nil)
	w.restored(t, b, api)
	if w.HTTP(api).Stages[name].AutoDeploy {
		t.Fatalf("stage %s still deploys by itself", name)
	}
}

// TestRestoreTellsOfEdits: where a deployment is gone, the new one has what nobody had deployed, and the plan says so.
func TestRestoreTellsOfEdits(t *testing.T) {
	for _, edited := range []bool{true, false} {
		w := newWorld(t)
		api := w.pets(t)
		w.deployAll(t, api, REST)
		if edited {
			w.try("PUT", w.nthMethod(api, 0)+"/integration", map[string]any{"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "https://untested.example.com/"})
		}
		b := w.backup(t, api)
		old := w.REST(api).Stages["prod"].DeploymentID
		w.deployAll(t, api, REST)
		w.call(t, "DELETE", "/restapis/"+api+"/deployments/"+old, nil, nil)
		w.try("PUT", w.nthMethod(api, 0)+"/integration", map[string]any{"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "https://evil.example.com/"})
		p, err := w.clients.PlanRestore(t.Context(), b, api, pruning, nil)
		if err != nil || len(p.Steps) == 0 {
			t.Fatalf("%+v, %v", p, err)
		}
		if told := strings.Contains(strings.Join(p.Left, " "), "a new one makes live what was not deployed there"); told != edited || !edited && len(p.Left) > 0 {
			t.Errorf("edited: %v, and the plan says %q", edited, p.Left)
		}
	}
}
