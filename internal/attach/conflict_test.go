package attach

import (
	"slices"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// TestForceByURL: what is put back by force is the whole integration, not only what tapway
// had changed of it.
func TestForceByURL(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	before := w.snapshot(api, "prod")
	r, st := w.attached(t, api, "prod", viaURL())
	w.edit(api, "GET", "/pets/{id}", func(i *apitest.Integration) { i.TimeoutInMillis, i.Responses = 123, nil })
	_, err := r.Detach(t.Context(), st, DetachOptions{})
	fails(t, err, "timeoutInMillis: 29000, now 123")
	if strings.Contains(err.Error(), testSecret) {
		t.Errorf("the error shows the secret: %v", err)
	}
	detach(t, r, load(t, r), DetachOptions{Force: true})
	w.same(t, before, api, "prod", "forced")
}

// TestSomebodyPutItBackByHalf: the route as it was, but without its integration responses, is
// somebody's work unless a detach of ours was interrupted.
func TestSomebodyPutItBackByHalf(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	before := w.snapshot(api, "prod")
	r, st := w.attached(t, api, "prod", w.viaFunction())
	w.edit(api, "POST", "/orders", func(i *apitest.Integration) {
		i.Type, i.HTTPMethod, i.URI, i.TimeoutInMillis, i.ConnectionType, i.Responses = "HTTP_PROXY", "POST", "https://orders.example.com/v1/orders", 3000, "INTERNET", nil
	})
	_, err := r.Detach(t.Context(), st, DetachOptions{})
	fails(t, err, "POST /orders")
	st = load(t, r)
	st.Phase = Detaching
	detach(t, r, st, DetachOptions{})
	w.same(t, before, api, "prod", "detached")
}

// stock is an API of two routes with integration responses that differ from none; one calls a function
// by itself, and keeps its responses when it is led through tapway's.
func (w *world) stock(t fataler) string {
	t.Helper()
	var api struct{ ID, RootResourceID string }
	w.call(t, "POST", "/restapis", map[string]any{"name": "stock"}, &api)
	at := "/restapis/" + api.ID
	for part, integration := range map[string]map[string]any{
		"shelves": {"type": "AWS_PROXY", "httpMethod": "POST", "uri": "arn:aws:apigateway:" + w.Region + ":lambda:path/2015-03-31/functions/" + w.AddFunction("stock", false) + "/invocations"},
		"prices":  {"type": "HTTP", "httpMethod": "GET", "uri": "https://prices.example.com/v1/prices"},
	} {
		var r struct{ ID string }
		w.call(t, "POST", at+"/resources/"+api.RootResourceID, map[string]any{"pathPart": part}, &r)
		m := at + "/resources/" + r.ID + "/methods/GET"
		w.call(t, "PUT", m, map[string]any{"authorizationType": "NONE"}, nil)
		w.call(t, "PUT", m+"/integration", integration, nil)
		for status, pattern := range map[string]string{"200": "", "404": ".*missing.*"} {
			w.call(t, "PUT", m+"/responses/"+status, map[string]any{}, nil)
			w.call(t, "PUT", m+"/integration/responses/"+status, map[string]any{"selectionPattern": pattern, "responseTemplates": map[string]string{"application/json": "{}"}}, nil)
		}
	}
	w.deploy(t, api.ID, "prod")
	return api.ID
}

// TestSomebodyTookAResponse: an attached route without one of its integration responses is somebody's
// work too, and is put back by force.
func TestSomebodyTookAResponse(t *testing.T) {
	w := newWorld(t)
	api := w.stock(t)
	before := w.snapshot(api, "prod")
	r, st := w.attached(t, api, "prod", w.viaFunction())
	w.edit(api, "GET", "/shelves", func(i *apitest.Integration) { delete(i.Responses, "404") })
	_, err := r.Detach(t.Context(), st, DetachOptions{})
	fails(t, err, "GET /shelves")
	detach(t, r, load(t, r), DetachOptions{Force: true})
	w.same(t, before, api, "prod", "detached")
}

// TestForcedHalfway: what somebody put back without its integration responses is put back by force.
func TestForcedHalfway(t *testing.T) {
	w := newWorld(t)
	api := w.stock(t)
	before := w.snapshot(api, "prod")
	r, st := w.attached(t, api, "prod", viaURL())
	w.edit(api, "GET", "/prices", func(i *apitest.Integration) {
		i.URI, i.RequestParameters, i.Responses = "https://prices.example.com/v1/prices", nil, nil
	})
	_, err := r.Detach(t.Context(), st, DetachOptions{})
	fails(t, err, "GET /prices")
	detach(t, r, load(t, r), DetachOptions{Force: true})
	w.same(t, before, api, "prod", "detached")
}

// httpAPI has two routes with one integration, in a stage that deploys by itself or not.
func (w *world) httpAPI(t fataler, auto bool) string {
	t.Helper()
	var api struct{ APIID string }
	w.call(t, "POST", "/v2/apis", map[string]any{"name": "shop", "protocolType": "HTTP"}, &api)
	at := "/v2/apis/" + api.APIID
	var in struct{ IntegrationID string }
	w.call(t, "POST", at+"/integrations", map[string]any{"integrationType": "HTTP_PROXY", "integrationMethod": "ANY", "payloadFormatVersion": "1.0", "integrationUri": "https://shop.example.com/{proxy}"}, &in)
	for _, key := range []string{"ANY /a/{proxy+}", "GET /b/{proxy+}"} {
		w.call(t, "POST", at+"/routes", map[string]any{"routeKey": key, "target": "integrations/" + in.IntegrationID}, nil)
	}
	w.call(t, "POST", at+"/stages", map[string]any{"stageName": "prod", "autoDeploy": auto}, nil)
	if !auto {
		w.deploy(t, api.APIID, "prod")
	}
	return api.APIID
}

func TestHTTPAPI(t *testing.T) {
	for _, auto := range []bool{true, false} {
		for way, o := range map[string]Options{"function": {}, "url": viaURL()} {
			w := newWorld(t)
			if way == "function" {
				o = w.viaFunction()
			}
			api := w.httpAPI(t, auto)
			before := w.snapshot(api, "prod")
			r, st := w.attached(t, api, "prod", o)
			w.isAttached(t, st)
			if n := len(st.Integrations); n != 1 {
				t.Errorf("%d new integrations, want one that both routes share", n)
			}
			if s, err := r.Status(t.Context(), st); err != nil || !s.Good {
				t.Errorf("status: %+v, %v", s, err)
			}
			report := detach(t, r, st, DetachOptions{})
			if !report.Equal || len(report.Restored) != 2 || auto != (report.RolledBack == "") {
				t.Errorf("auto %t: %+v", auto, report)
			}
			w.same(t, before, api, "prod", "detached")
		}
	}
}

// TestHTTPAPIOthers: somebody repoints an attached route, or leads a route of their own to
// tapway's integration.
func TestHTTPAPIOthers(t *testing.T) {
	w := newWorld(t)
	api := w.httpAPI(t, true)
	before := w.snapshot(api, "prod")
	r, st := w.attached(t, api, "prod", w.viaFunction())
	at := "/v2/apis/" + api
	var theirs struct{ IntegrationID string }
	w.call(t, "POST", at+"/integrations", map[string]any{"integrationType": "HTTP_PROXY", "integrationMethod": "GET", "payloadFormatVersion": "1.0", "integrationUri": "https://theirs.example.com/"}, &theirs)
	route := st.Plan.Changes[1]
	w.call(t, "PATCH", at+"/routes/"+route.RouteID, map[string]any{"target": "integrations/" + theirs.IntegrationID}, nil)
	_, err := r.Detach(t.Context(), st, DetachOptions{})
	fails(t, err, route.Route+"\n    target: integrations/")

	var ours string
	for _, id := range st.Integrations {
		ours = id
	}
	var added struct{ RouteID string }
	w.call(t, "POST", at+"/routes", map[string]any{"routeKey": "GET /new", "target": "integrations/" + ours}, &added)
	if s, err := r.Status(t.Context(), load(t, r)); err != nil || !slices.Contains(s.Added, "GET /new") || s.Good {
		t.Errorf("status: %+v, %v", s, err)
	}
	_, err = r.Detach(t.Context(), load(t, r), DetachOptions{Force: true})
	fails(t, err, "somebody else has led GET /new to tapway's integration")
	w.call(t, "DELETE", at+"/routes/"+added.RouteID, nil, nil)

	report := detach(t, r, load(t, r), DetachOptions{KeepTheirs: true})
	if len(report.Kept) != 1 || report.Kept[0] != route.Route || report.Equal || !report.Proven {
		t.Errorf("report %+v", report)
	}
	if target := w.HTTP(api).Route(route.Route).Target; target != "integrations/"+theirs.IntegrationID {
		t.Errorf("theirs is %s", target)
	}
	w.call(t, "PATCH", at+"/routes/"+route.RouteID, map[string]any{"target": targetOf(route.Before)}, nil)
	w.call(t, "DELETE", at+"/integrations/"+theirs.IntegrationID, nil, nil)
	w.same(t, before, api, "prod", "detached, and theirs taken back")
}

// TestAlias: the permission and the integration are for the alias.
func TestAlias(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	for name, want := range map[string]string{"tapway": "", "tapway:live": "live", w.arn: "", w.arn + ":live": "live", "123456789012:function:tapway": "", "123456789012:function:tapway:7": "7"} {
		f, err := w.clients.FindFunction(t.Context(), name)
		if err != nil || f.ARN != w.arn || f.Qualifier != want || f.TimeoutMS != 30000 {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	if _, err := w.clients.FindFunction(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), `no function "nobody" in us-east-1`) {
		t.Errorf("error %v", err)
	}
	before := w.snapshot(api, "prod")
	o := w.viaFunction()
	o.Function.Qualifier = "live"
	r, st := w.attached(t, api, "prod", o)
	if live, _ := w.Resolve(api, "prod", "GET", "/pets/1"); live.Problem != "" || !strings.Contains(live.URI, w.arn+":live/") {
		t.Errorf("live: %+v", live)
	}
	detach(t, r, st, DetachOptions{})
	w.same(t, before, api, "prod", "detached")
}
