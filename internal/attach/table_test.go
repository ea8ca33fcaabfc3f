package attach

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapway/tapway/internal/route"
)

// TestTableServesThePlan: what a plan leads to the function, the function can serve by its route
// table, and with the timeout that the backend had.
func TestTableServesThePlan(t *testing.T) {
	served := 0
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		n := rapid.IntRange(1, 8).Draw(t, "routes")
		var api string
		if rapid.Bool().Draw(t, "REST") {
			api = w.BuildREST(drawn{t}, n)
		} else {
			api = w.BuildHTTP(drawn{t}, n)
		}
		a, err := w.clients.Read(t.Context(), api, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.stageNames()) == 0 {
			t.Skip("no stage")
		}
		a = w.read(t, api, rapid.SampledFrom(a.stageNames()).Draw(t, "stage"))
		p := w.plan(t, a, w.viaFunction())
		var more struct {
			Variables map[string]string `json:"x-tapway-stage-variables"`
		}
		if err := json.Unmarshal(p.RouteTable, &more); err != nil {
			t.Fatal(err)
		}
		table, err := route.ReadOpenAPI(p.RouteTable, route.OpenAPIOptions{StageVariables: more.Variables})
		if err != nil {
			t.Fatal(err)
		}
		operations := map[string]*route.Operation{}
		for i := range table.Operations {
			op := &table.Operations[i]
			path := op.Path
			if path == "/$default" {
				path = "$default"
			}
			key := op.Method + " " + path
			if path == "$default" {
				key = path
			}
			operations[key] = op
		}
		for _, c := range p.Changes {
			op := operations[c.Route]
			switch {
			case op == nil:
				t.Errorf("%s is not in the table (%s)", c.Route, p.RouteTable)
			case !op.Tappable:
				t.Errorf("%s: the function cannot serve it: %s", c.Route, op.Reason)
			default:
				served++
			}
		}
	})
	if served == 0 {
		t.Error("no plan had a route")
	}
}
