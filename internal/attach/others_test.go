package attach

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// pets is a REST API with GET /pets/{id} and POST /orders, HTTP_PROXY both, and a MOCK, all
// deployed to stage prod.
func (w *world) pets(t fataler) string {
	t.Helper()
	var api struct{ ID, RootResourceID string }
	w.call(t, "POST", "/restapis", map[string]any{"name": "pets", "binaryMediaTypes": []string{"*/*"}}, &api)
	at := "/restapis/" + api.ID
	resource := func(parent, part string) string {
		var r struct{ ID string }
		w.call(t, "POST", at+"/resources/"+parent, map[string]any{"pathPart": part}, &r)
		return r.ID
	}
	method := func(id, name string, parameters map[string]bool, integration map[string]any) {
		m := at + "/resources/" + id + "/methods/" + name
		w.call(t, "PUT", m, map[string]any{"authorizationType": "NONE", "requestParameters": parameters}, nil)
		w.call(t, "PUT", m+"/responses/200", map[string]any{}, nil)
		w.call(t, "PUT", m+"/integration", integration, nil)
		w.call(t, "PUT", m+"/integration/responses/200", map[string]any{}, nil)
	}
	pet := resource(resource(api.RootResourceID, "pets"), "{id}")
	method(pet, "GET", map[string]bool{"method.request.path.id": true}, map[string]any{"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "https://pets.example.com/v1/{id}",
		"requestParameters": map[string]string{"integration.request.path.id": "method.request.path.id"}})
	method(resource(api.RootResourceID, "orders"), "POST", nil, map[string]any{"type": "HTTP_PROXY", "httpMethod": "POST", "uri": "https://orders.example.com/v1/orders", "timeoutInMillis": 3000})
	method(resource(api.RootResourceID, "health"), "GET", nil, map[string]any{"type": "MOCK", "requestTemplates": map[string]string{"application/json": `{"statusCode": 200}`}})
	w.deploy(t, api.ID, "prod")
	return api.ID
}

func (w *world) call(t fataler, method, path string, in, out any) {
	t.Helper()
	text, err := w.Call(method, path, in)
	if err == nil && out != nil {
		err = unmarshal(text, out)
	}
	if err != nil {
		t.Fatal(method, " ", path, ": ", err)
	}
}

func (w *world) deploy(t fataler, api, stage string) string {
	t.Helper()
	id, err := w.Deploy(api, stage)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// edit changes a method's integration in the working copy, as somebody else would.
func (w *world) edit(api, method, path string, change func(*apitest.Integration)) {
	w.EditREST(api, func(a *apitest.RestAPI) { change(a.Method(method, path).Integration) })
}

func fails(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("error %v, want it to say %q", err, says)
	}
}

// TestUndeployedEditsStop: an attach must not deploy what somebody else is still writing.
func TestUndeployedEditsStop(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	w.edit(api, "GET", "/health", func(i *apitest.Integration) { i.RequestTemplates["application/json"] = `{"statusCode": 500}` })
	a := w.read(t, api, "prod")
	o := w.viaFunction()
	o.IncludeDrift = false
	p := w.plan(t, a, o)
	stops := p.Stops()
	if len(stops) != 1 || stops[0].Code != "undeployed-edits" || stops[0].Flag != "--include-drift" || !strings.Contains(strings.Join(stops[0].More, ""), "GET /health") {
		t.Fatalf("stops: %+v", stops)
	}
	r := w.runner()
	w.Forget()
	fails(t, r.Attach(t.Context(), w.state(a, p, r)), "edits that are not deployed")
	for _, c := range w.Calls() {
		t.Errorf("it called %s all the same", c.Op)
	}
	before := w.snapshot(api, "prod")
	o.IncludeDrift = true
	r, st := w.attached(t, api, "prod", o)
	report := detach(t, r, st, DetachOptions{})
	if !report.Equal || report.RolledBack == "" {
		t.Errorf("report: %+v", report)
	}
	w.same(t, before, api, "prod", "detached") // the edit is there still, and not deployed still
}

// TestEditInTheMiddle: somebody edits another route, or deploys, while routes are being
// changed. The edit must neither go live nor be lost.
func TestEditInTheMiddle(t *testing.T) {
	for _, c := range []struct {
		name, op, says string
		do             func(t *testing.T, w *world, api string)
	}{
		{"edit", "PutIntegration", "somebody else has edited the API meanwhile", func(t *testing.T, w *world, api string) {
			w.edit(api, "GET", "/health", func(i *apitest.Integration) { i.PassthroughBehavior = "NEVER" })
		}},
		{"deploy", "PutIntegration", "somebody else has deployed to stage prod meanwhile", func(t *testing.T, w *world, api string) { w.deploy(t, api, "prod") }},
		{"attached route, before its turn", "TagResource", "GET /pets/{id} was changed by somebody else meanwhile", func(t *testing.T, w *world, api string) {
			w.edit(api, "GET", "/pets/{id}", func(i *apitest.Integration) { i.TimeoutInMillis = 500 })
		}},
		{"attached route, after its turn", "CreateDeployment", "is not attached in stage prod after all", func(t *testing.T, w *world, api string) {
			w.edit(api, "GET", "/pets/{id}", func(i *apitest.Integration) { i.Type, i.URI = "HTTP_PROXY", "https://theirs.example.com/" })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			api := w.pets(t)
			a := w.read(t, api, "prod")
			o := w.viaFunction()
			o.IncludeDrift = false
			p := w.plan(t, a, o)
			r := w.runner()
			done := false
			w.Before = func(op string, _ *http.Request) *apitest.Fault {
				if op == c.op && !done && c.do != nil {
					done = true
					c.do(t, w, api)
				}
				return nil
			}
			err := r.Attach(t.Context(), w.state(a, p, r))
			w.Before = nil
			if !isUndone(err) {
				t.Fatalf("error %v", err)
			}
			fails(t, err, c.says)
			theirs := strings.HasPrefix(c.name, "attached route")
			switch got := w.REST(api).Method("GET", "/pets/{id}").Integration; {
			case theirs && got.TimeoutInMillis != 500 && got.URI != "https://theirs.example.com/":
				t.Errorf("theirs is %+v", got)
			case !theirs && (got.Type != "HTTP_PROXY" || len(got.Responses) != 1):
				t.Errorf("the route is %+v", got)
			}
			if got := w.REST(api).Method("POST", "/orders").Integration; got.Type != "HTTP_PROXY" || len(got.Responses) != 1 {
				t.Errorf("the other route is %+v", got)
			}
			if len(w.Function("tapway").Policies[""]) > 0 || w.REST(api).Tags[TagState] != "" || load(t, r).Phase != Detached {
				t.Errorf("something is left of it")
			}
			if c.name == "edit" && w.REST(api).Method("GET", "/health").Integration.PassthroughBehavior != "NEVER" {
				t.Error("the edit is lost")
			}
			target, _ := w.Resolve(api, "prod", "GET", "/pets/1")
			if !strings.HasPrefix(target.URI, "https://pets.example.com/") {
				t.Errorf("live: %+v", target)
			}
		})
	}
}

// TestSomebodyChangedARoute: a detach does not overwrite what somebody else made of an
// attached route, unless it is told to.
func TestSomebodyChangedARoute(t *testing.T) {
	setup := func(t *testing.T) (*world, string, *Runner, *State, snapshot) {
		w := newWorld(t)
		api := w.pets(t)
		before := w.snapshot(api, "prod")
		r, st := w.attached(t, api, "prod", w.viaFunction())
		w.edit(api, "POST", "/orders", func(i *apitest.Integration) {
			i.Type, i.URI, i.HTTPMethod = "HTTP_PROXY", "https://new-orders.example.com/", "POST"
		})
		return w, api, r, st, before
	}
	t.Run("stop", func(t *testing.T) {
		w, _, r, st, _ := setup(t)
		now := w.Dump()
		_, err := r.Detach(t.Context(), st, DetachOptions{})
		var conflict *ConflictError
		if !errors.As(err, &conflict) || len(conflict.Conflicts) != 1 || conflict.Conflicts[0].Route != "POST /orders" {
			t.Fatalf("error %v", err)
		}
		fails(t, err, "new-orders.example.com")
		fails(t, err, "--keep-theirs")
		if d := apitest.Diff(now, w.Dump()); d != "" {
			t.Errorf("it changed something:\n%s", d)
		}
	})
	t.Run("keep theirs", func(t *testing.T) {
		w, api, r, st, before := setup(t)
		report := detach(t, r, st, DetachOptions{KeepTheirs: true})
		if len(report.Kept) != 1 || report.Kept[0] != "POST /orders" || len(report.Restored) != 1 {
			t.Errorf("report %+v", report)
		}
		if uri := w.REST(api).Method("POST", "/orders").Integration.URI; uri != "https://new-orders.example.com/" {
			t.Errorf("theirs is %s", uri)
		}
		if string(w.Export(api, "prod")) != string(before.export) {
			t.Error("what is deployed is not as before")
		}
	})
	t.Run("force", func(t *testing.T) {
		w, api, r, st, before := setup(t)
		detach(t, r, st, DetachOptions{Force: true})
		w.same(t, before, api, "prod", "forced")
	})
	t.Run("theirs needs tapway", func(t *testing.T) {
		w, api, r, st, _ := setup(t)
		w.edit(api, "POST", "/orders", func(i *apitest.Integration) { i.Type, i.URI, i.TimeoutInMillis = "AWS_PROXY", w.InvokeARN(w.arn), 777 })
		_, err := r.Detach(t.Context(), st, DetachOptions{KeepTheirs: true})
		fails(t, err, "still calls tapway")
	})
	t.Run("deleted", func(t *testing.T) {
		w, api, r, st, _ := setup(t)
		w.EditREST(api, func(a *apitest.RestAPI) {
			for _, res := range a.Resources {
				if res.Path == "/orders" {
					delete(res.Methods, "POST")
				}
			}
		})
		_, err := r.Detach(t.Context(), st, DetachOptions{})
		fails(t, err, "POST /orders: deleted")
		if report := detach(t, r, load(t, r), DetachOptions{KeepTheirs: true}); len(report.Kept) != 1 {
			t.Errorf("report %+v", report)
		}
	})
}

// TestDeployedSince: somebody deployed while tapway was attached, so the stage cannot be
// rolled back without taking their work off.
func TestDeployedSince(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	r, st := w.attached(t, api, "prod", w.viaFunction())
	w.edit(api, "GET", "/health", func(i *apitest.Integration) { i.PassthroughBehavior = "NEVER" })
	w.deploy(t, api, "prod")
	w.edit(api, "GET", "/health", func(i *apitest.Integration) { i.TimeoutInMillis = 100; i.RequestTemplates["text/plain"] = "" })
	_, err := r.Detach(t.Context(), st, DetachOptions{})
	fails(t, err, "--include-drift")
	w.edit(api, "GET", "/health", func(i *apitest.Integration) { i.TimeoutInMillis = 29000; delete(i.RequestTemplates, "text/plain") })
	report := detach(t, r, load(t, r), DetachOptions{})
	if report.Redeployed == "" || report.Equal || len(report.Others) == 0 {
		t.Errorf("report %+v", report)
	}
	live, _ := w.Resolve(api, "prod", "GET", "/pets/1")
	if !strings.HasPrefix(live.URI, "https://pets.example.com/") {
		t.Errorf("live: %+v", live)
	}
	if !strings.Contains(string(w.Export(api, "prod")), `"never"`) {
		t.Error("what somebody had deployed is not live any more")
	}
	if p := w.Function("tapway").Policies[""]; len(p) > 0 {
		t.Errorf("the permission is there still: %+v", p)
	}
}

// TestOtherStageLeadsToUs: a stage that somebody deployed while tapway was attached calls the
// function still; its permission must not go.
func TestOtherStageLeadsToUs(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	w.deploy(t, api, "dev")
	r, st := w.attached(t, api, "prod", w.viaFunction())
	w.deploy(t, api, "dev")
	report := detach(t, r, st, DetachOptions{})
	if len(report.Left) != 1 || !strings.Contains(report.Left[0], "stage dev") || !report.Equal {
		t.Fatalf("report %+v", report)
	}
	if live, _ := w.Resolve(api, "dev", "GET", "/pets/1"); live.Problem != "" {
		t.Fatalf("stage dev is broken: %+v", live)
	}
	w.deploy(t, api, "dev")
	if report = detach(t, r, load(t, r), DetachOptions{}); len(report.Left) != 0 || load(t, r).Phase != Detached {
		t.Errorf("report %+v", report)
	}
	if p := w.Function("tapway").Policies[""]; len(p) > 0 {
		t.Errorf("the permission is there still: %+v", p)
	}
}

// TestRecordedDeploymentGone: somebody tidied up and deleted the deployment to roll back to.
func TestRecordedDeploymentGone(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	before := w.Export(api, "prod")
	r, st := w.attached(t, api, "prod", w.viaFunction())
	w.call(t, "DELETE", "/restapis/"+api+"/deployments/"+st.deployment(), nil, nil)
	report := detach(t, r, st, DetachOptions{})
	was, err := CanonicalExport(before)
	if err != nil {
		t.Fatal(err)
	}
	is, err := CanonicalExport(w.Export(api, "prod"))
	if err != nil {
		t.Fatal(err)
	}
	if report.Redeployed == "" || !report.Equal || string(was) != string(is) {
		t.Errorf("report %+v", report)
	}
}

// TestAPIGone: there is nothing to restore, but the function's policy is to be tidied.
func TestAPIGone(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	r, st := w.attached(t, api, "prod", w.viaFunction())
	w.call(t, "DELETE", "/restapis/"+api, nil, nil)
	detach(t, r, st, DetachOptions{})
	if p := w.Function("tapway").Policies[""]; len(p) > 0 || load(t, r).Phase != Detached {
		t.Errorf("policy %+v, phase %s", p, load(t, r).Phase)
	}
}

// TestNeverBroken: at every call of an attach and of a detach, every attached route leads to
// its backend, or to the function, which may be invoked.
func TestNeverBroken(t *testing.T) {
	for _, kind := range []Kind{REST, HTTP} {
		w := newWorld(t)
		api, stage := w.example(t, kind)
		a := w.read(t, api, stage)
		p := w.plan(t, a, w.viaFunction())
		paths := map[string]apitest.Target{}
		for _, ch := range p.Changes {
			method, path := keyParts(ch.Route)
			path = strings.NewReplacer("{", "", "+}", "", "}", "").Replace(path)
			if path == "$default" {
				path = "/"
			}
			if method == "ANY" {
				method = "PATCH"
			}
			paths[method+" "+path], _ = w.Resolve(api, stage, method, path)
		}
		looked, tapped := 0, 0
		w.Before = func(op string, _ *http.Request) *apitest.Fault {
			for key, before := range paths {
				method, path := keyParts(key)
				now, ok := w.Resolve(api, stage, method, path)
				looked++
				switch {
				case !ok || now.Problem != "":
					t.Fatalf("before %s: %s is broken: %+v", op, key, now)
				case strings.Contains(now.URI, ":function:tapway"):
					tapped++
				case now.URI != before.URI:
					t.Fatalf("before %s: %s leads to %+v", op, key, now)
				}
			}
			return nil
		}
		r := w.runner()
		st := w.state(a, p, r)
		if err := r.Attach(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		detach(t, r, st, DetachOptions{})
		if tapped == 0 || tapped == looked {
			t.Errorf("%d of %d looks saw tapway", tapped, looked)
		}
	}
}
