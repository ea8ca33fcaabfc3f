package attach

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestReadPages: an API whose lists come in several pages is read whole.
func TestReadPages(t *testing.T) {
	w := newWorld(t)
	api := w.BuildREST(&fixed{3}, 900)
	w.Forget()
	a := w.read(t, api, "prod")
	if n := w.Count("GetResources"); n < 2 || len(a.Resources) <= 500 {
		t.Errorf("%d pages with %d resources: the test proves nothing", n, len(a.Resources))
	}
	routes, err := a.Judge()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, r := range routes {
		keys = append(keys, r.Key)
	}
	slices.Sort(keys)
	if want := w.REST(api).Methods(); !slices.Equal(keys, want) {
		t.Errorf("%d routes, want %d", len(keys), len(want))
	}
	all, err := w.clients.deployments(t.Context(), a)
	if err != nil || len(all) != len(w.REST(api).Deployments) {
		t.Errorf("%d deployments, %v", len(all), err)
	}

	api = w.BuildHTTP(&fixed{4}, 250)
	for range 120 {
		w.call(t, "POST", "/v2/apis/"+api+"/deployments", map[string]any{}, nil)
	}
	w.Forget()
	a, err = w.clients.Read(t.Context(), api, "", nil)
	if err != nil || len(a.Routes) != len(w.HTTP(api).Routes) || len(a.Integrations) != len(w.HTTP(api).Integrations) {
		t.Errorf("%d routes, %d integrations, %v", len(a.Routes), len(a.Integrations), err)
	}
	if all, err = w.clients.deployments(t.Context(), a); err != nil || len(all) != len(w.HTTP(api).Deployments) {
		t.Errorf("%d deployments, %v", len(all), err)
	}
	if w.Count("GetRoutes") < 2 || w.Count("GetDeployments") < 2 {
		t.Errorf("%d and %d pages: the test proves nothing", w.Count("GetRoutes"), w.Count("GetDeployments"))
	}
}

func TestReadRefused(t *testing.T) {
	w := newWorld(t)
	if _, err := w.clients.Read(t.Context(), "nope", "", nil); !errors.Is(err, ErrNoAPI) || !strings.Contains(err.Error(), "us-east-1") {
		t.Errorf("no API: %v", err)
	}
	api := w.pets(t)
	w.deploy(t, api, "dev")
	a, err := w.clients.Read(t.Context(), api, "", nil)
	if err != nil || a.Stage != "" || a.Export != nil {
		t.Errorf("two stages and none named: %+v, %v", a, err)
	}
	if _, err := w.clients.Read(t.Context(), api, "nope", nil); err == nil || !strings.Contains(err.Error(), "its stages: dev, prod") {
		t.Errorf("a stage that is not there: %v", err)
	}
	if a, err := w.clients.Read(t.Context(), api, "dev", nil); err != nil || a.Stage != "dev" || a.Export == nil {
		t.Errorf("a stage: %v", err)
	}
}

// TestCanonicalExport: only the order of keys and a moment in info.version do not count.
func TestCanonicalExport(t *testing.T) {
	const export = `{"openapi":"3.0.1","info":{"title":"t","version":"%s"},"paths":{"/b":{},"/a":{"get":{"n":12345678901234567890}}}}`
	canon := func(text string) string { return string(must(CanonicalExport([]byte(text)))) }
	base := canon(fmt.Sprintf(export, "2026-11-20T10:00:00Z"))
	for version, same := range map[string]bool{"2025-01-01T00:00:00Z": true, "2026-11-20 10:00:00UTC": true, "1.0": false, "2026-11-20": false, "": false} {
		if got := canon(fmt.Sprintf(export, version)) == base; got != same {
			t.Errorf("version %q: equal is %t", version, got)
		}
	}
	if canon(`{"paths":{"/a":{"get":{"n":12345678901234567890}},"/b":{}},"info":{"version":"2026-11-20T10:00:01Z","title":"t"},"openapi":"3.0.1"}`) != base {
		t.Error("the order of keys counts")
	}
	if canon(strings.Replace(fmt.Sprintf(export, "2026-11-20T10:00:00Z"), "890}", "891}", 1)) == base {
		t.Error("the last digit of a number does not count")
	}
	if _, err := CanonicalExport([]byte("[]")); err == nil {
		t.Error("a list is taken for an export")
	}
}
