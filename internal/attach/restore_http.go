package attach

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
)

// planHTTP compares an HTTP API. Where a stage deploys by itself each step is live at once, so
// what a route needs is made before it, and removed after it.
func (r *restorer) planHTTP(ctx context.Context) error {
	pruneAuthorizers, err := r.planPart(httpAuthorizer)
	if err != nil {
		return err
	}
	pruneIntegrations, err := r.planIntegrations()
	if err != nil {
		return err
	}
	if err := r.planRoutes(); err != nil {
		return err
	}
	content := len(r.plan.Steps)
	if err := r.planHTTPHead(); err != nil {
		return err
	}
	r.planTags("", r.was.API.Tags, r.is.API.Tags)
	if err := r.planStages(ctx, content); err != nil {
		return err
	}
	pruneIntegrations() // no stage serves what needs them any more
	pruneAuthorizers()
	return nil
}

var (
	integrationsOwn = []string{"integrationId", "apiGatewayManaged", "integrationResponseSelectionExpression"}
	routesOwn       = []string{"routeId", "apiGatewayManaged", "routeResponseSelectionExpression"}
)

// planIntegrations matches integrations by id, and else by what they say: one that a restore
// made has another id. Of several that say the same, the one is meant that a route leads to now.
func (r *restorer) planIntegrations() (later func(), err error) {
	alike := func(a, b map[string]any) bool {
		return reflect.DeepEqual(without(a, integrationsOwn...), without(b, integrationsOwn...))
	}
	was, err := targets(r.was.API.Routes)
	if err != nil {
		return nil, err
	}
	is, err := targets(r.is.API.Routes)
	if err != nil {
		return nil, err
	}
	inPlace := map[[2]string]bool{} // the target of a route in the backup, and its target now
	for key, target := range was {
		inPlace[[2]string{target, is[key]}] = true
	}
	all, err := pairs(r.was.API.Integrations, r.is.API.Integrations, "integrationId", func(a, b map[string]any) bool {
		return inPlace[[2]string{"integrations/" + text(a, "integrationId"), "integrations/" + text(b, "integrationId")}] && alike(a, b)
	}, alike)
	if err != nil {
		return nil, err
	}
	var extra []string
	for _, t := range all {
		was, is := without(t.was, integrationsOwn...), without(t.is, integrationsOwn...)
		old, now := text(t.was, "integrationId"), text(t.is, "integrationId")
		switch {
		case t.was == nil:
			extra = append(extra, now)
		case t.is == nil:
			r.ids[old] = toBeMade
			r.step("make", "integration "+old+" ("+text(was, "integrationUri")+")", nil, func(ctx context.Context) error {
				answer, err := r.ask(ctx, http.MethodPost, sendable(was), "integrations")
				if err != nil {
					return err
				}
				return r.learn(old, answer, "integrationId")
			})
		default:
			r.ids[old] = now
			if d := diff(was, is, 20); len(d) > 0 {
				r.step("change", "integration "+now, d, func(ctx context.Context) error {
					_, err := r.ask(ctx, http.MethodPatch, sendable(overlay(was, is)), "integrations", now)
					return err
				})
			}
		}
	}
	return func() {
		for _, id := range extra {
			r.extra("integration "+id, r.remove("integrations", id))
		}
	}, nil
}

// targets gives where each route leads to, by its key.
func targets(routes []json.RawMessage) (map[string]string, error) {
	all, err := objects(routes)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, route := range all {
		out[text(route, "routeKey")] = text(route, "target")
	}
	return out, nil
}

func (r *restorer) planRoutes() error {
	all, err := pairs(r.was.API.Routes, r.is.API.Routes, "routeKey", func(_, _ map[string]any) bool { return false })
	if err != nil {
		return err
	}
	var extra []pair
	for _, t := range all {
		was, is := without(t.was, routesOwn...), without(t.is, routesOwn...)
		key, id := text(t.was, "routeKey"), text(t.is, "routeId")
		switch {
		case t.was == nil:
			extra = append(extra, t)
		case t.is == nil:
			r.step("make", "route "+key, nil, func(ctx context.Context) error {
				_, err := r.ask(ctx, http.MethodPost, r.now(was), "routes")
				return err
			})
		default:
			if d := diff(r.now(was), any(is), 20); len(d) > 0 {
				r.step("change", "route "+key, d, func(ctx context.Context) error {
					want, _ := r.now(was).(map[string]any)
					body := overlay(want, is)
					delete(body, "routeKey") // the same, and a managed route refuses it
					_, err := r.ask(ctx, http.MethodPatch, body, "routes", id)
					return err
				})
			}
		}
	}
	for _, t := range extra {
		r.extra("route "+text(t.is, "routeKey"), r.remove("routes", text(t.is, "routeId")))
	}
	return nil
}

// planHTTPHead compares the HTTP API's own settings, CORS among them.
func (r *restorer) planHTTPHead() error {
	was, err := object(r.was.API.Raw)
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	is, err := object(r.is.API.Raw)
	if err != nil {
		return fmt.Errorf("read the API: %w", err)
	}
	own := []string{"apiId", "apiEndpoint", "apiGatewayManaged", "createdDate", "tags", "protocolType", "importInfo", "warnings"}
	was, is = without(was, own...), without(is, own...)
	d := diff(was, is, 20)
	if len(d) == 0 {
		return nil
	}
	r.step("change", "the API's settings", d, func(ctx context.Context) error {
		now := maps.Clone(is)
		if was["corsConfiguration"] == nil && is["corsConfiguration"] != nil {
			if err := r.remove("cors")(ctx); err != nil {
				return err
			}
			delete(now, "corsConfiguration")
		}
		body := overlay(was, now)
		if slices.ContainsFunc(keysOf(was, now), func(k string) bool { return len(diff(was[k], now[k], 1)) > 0 }) {
			if cors := was["corsConfiguration"]; cors != nil {
				body["corsConfiguration"] = cors // it is replaced as a whole
			}
			_, err := r.ask(ctx, http.MethodPatch, body)
			return err
		}
		return nil
	})
	return nil
}
