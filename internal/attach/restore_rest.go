package attach

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// planREST compares a REST API's working copy and stages. Nothing of the working copy is live
// before a stage is, and stages come last.
func (r *restorer) planREST(ctx context.Context) error {
	if err := r.planHead(); err != nil {
		return err
	}
	var later []func()
	for _, p := range []part{restModel, restValidator, restAuthorizer} {
		prune, err := r.planPart(p)
		if err != nil {
			return err
		}
		later = append(later, prune)
	}
	if err := r.planGatewayResponses(); err != nil {
		return err
	}
	if err := r.planResources(); err != nil {
		return err
	}
	pruneModels, pruneValidators, pruneAuthorizers := later[0], later[1], later[2]
	pruneValidators()
	pruneModels()
	content := len(r.plan.Steps)
	r.planTags("", r.was.API.Tags, r.is.API.Tags)
	if err := r.planStages(ctx, content); err != nil {
		return err
	}
	pruneAuthorizers() // a deployment has no copies of them
	return nil
}

// policyOf is a REST API's resource policy as a document; AWS shows it with a backslash before
// every quote.
func policyOf(o map[string]any) (doc any, policy string, err error) {
	if policy = text(o, "policy"); policy == "" {
		return nil, "", nil
	}
	if !json.Valid([]byte(policy)) {
		if policy, err = strconv.Unquote(`"` + policy + `"`); err != nil {
			return nil, "", fmt.Errorf("read the resource policy: %w", err)
		}
	}
	if doc, err = generic([]byte(policy)); err != nil {
		return nil, "", fmt.Errorf("read the resource policy: %w", err)
	}
	return doc, policy, nil
}

// planHead compares the REST API's own settings.
func (r *restorer) planHead() error {
	was, err := object(r.was.API.Raw)
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	is, err := object(r.is.API.Raw)
	if err != nil {
		return fmt.Errorf("read the API: %w", err)
	}
	var d []Difference
	var ops []patchOp
	for _, name := range []string{"name", "description", "version", "apiKeySource", "minimumCompressionSize", "disableExecuteApiEndpoint"} {
		if one := diff(prune(was[name]), prune(is[name]), 1); len(one) > 0 {
			one[0].Path = name
			d, ops = append(d, one...), append(ops, patchOp{"replace", "/" + name, plain(was[name])})
		}
	}
	media := func(o map[string]any) map[string]any {
		list, _ := o["binaryMediaTypes"].([]any)
		return map[string]any{"binaryMediaTypes": list}
	}
	for _, op := range patches(media(was), media(is)) {
		d = append(d, Difference{Path: "binaryMediaTypes", Before: map[string]string{"add": op.Value}[op.Op], After: map[string]string{"remove": op.Value}[op.Op]})
		ops = append(ops, patchOp{Op: op.Op, Path: op.Path + "/" + pointer(op.Value)})
	}
	doc, policy, err := policyOf(was)
	if err != nil {
		return err
	}
	now, _, err := policyOf(is)
	if err != nil {
		return err
	}
	if one := diff(doc, now, 3); len(one) > 0 {
		for i := range one {
			one[i].Path = strings.TrimSuffix("policy."+one[i].Path, ".")
		}
		d, ops = append(d, one...), append(ops, patchOp{"replace", "/policy", policy})
	}
	a, _ := was["endpointConfiguration"].(map[string]any)
	b, _ := is["endpointConfiguration"].(map[string]any)
	for _, op := range patches(without(a, "types"), without(b, "types")) {
		d = append(d, Difference{Path: "endpointConfiguration" + strings.ReplaceAll(op.Path, "/", "."), Before: op.Value})
		op.Path = "/endpointConfiguration" + op.Path
		ops = append(ops, op)
	}
	if one := diff(prune(a["types"]), prune(b["types"]), 1); len(one) > 0 {
		r.left("the endpoint type was changed (%s, now %s): change it back by hand, for that moves the API's addresses", one[0].Before, one[0].After)
	}
	if len(ops) > 0 {
		r.step("change", "the API's settings", d, func(ctx context.Context) error {
			_, err := r.ask(ctx, http.MethodPatch, patchBody{ops})
			return err
		})
	}
	return nil
}

// ownTags are the tags that are the user's: neither AWS's nor tapway's.
func ownTags(tags map[string]string) map[string]string {
	out := maps.Clone(tags)
	if out == nil {
		out = map[string]string{}
	}
	maps.DeleteFunc(out, func(k, _ string) bool { return k == TagState || k == TagRestored || strings.HasPrefix(k, "aws:") })
	return out
}

// planTags compares the tags of the API, or of the stage below it.
func (r *restorer) planTags(stage string, was, is map[string]string) {
	was, is = ownTags(was), ownTags(is)
	a := r.is.API
	path, kind, what, verb := []string{"tags"}, "restapis", "tags of the API", http.MethodPut
	if a.Kind == HTTP {
		path, kind, verb = []string{"v2", "tags"}, "apis", http.MethodPost
	}
	arn := fmt.Sprintf("arn:%s:apigateway:%s::/%s/%s", partition(a.Region), a.Region, kind, a.ID)
	if stage != "" {
		arn, what = arn+"/stages/"+stage, "tags of stage "+stage
	}
	path = append(path, arn)
	set := map[string]string{}
	var d []Difference
	for _, k := range slices.Sorted(maps.Keys(was)) {
		if v, there := is[k]; !there || v != was[k] {
			set[k], d = was[k], append(d, Difference{k, was[k], v})
		}
	}
	if len(set) > 0 {
		r.step("change", what, d, func(ctx context.Context) error {
			_, err := r.c.ask(ctx, verb, path, nil, map[string]any{"tags": set})
			return err
		})
	}
	for _, k := range slices.Sorted(maps.Keys(is)) {
		if _, there := was[k]; !there {
			r.extra(fmt.Sprintf("tag %s (%s)", k, what), func(ctx context.Context) error {
				_, err := r.c.ask(ctx, http.MethodDelete, path, map[string][]string{"tagKeys": {k}}, nil)
				return err
			})
		}
	}
}

// restResource is a resource with what is needed to make it again.
type restResource struct {
	resource
	ParentID string `json:"parentId"`
	PathPart string `json:"pathPart"`
}

func restResources(list []json.RawMessage) (map[string]restResource, error) {
	out := map[string]restResource{}
	for _, raw := range list {
		var res restResource
		if err := json.Unmarshal(raw, &res); err != nil {
			return nil, fmt.Errorf("read a resource: %w", err)
		}
		out[res.Path] = res
	}
	return out, nil
}

// byDepth sorts paths so that parents come before children.
func byDepth(all map[string]restResource) []string {
	return slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return strings.Compare(strings.ReplaceAll(a, "/", "\x00"), strings.ReplaceAll(b, "/", "\x00")) // "/a/b" before "/a-b"
	})
}

func (r *restorer) planResources() error {
	was, err := restResources(r.was.API.Resources)
	if err != nil {
		return err
	}
	is, err := restResources(r.is.API.Resources)
	if err != nil {
		return err
	}
	gone := ""
	for _, path := range byDepth(is) { // first, for they may stand in the way
		if _, there := was[path]; there || gone != "" && strings.HasPrefix(path, gone+"/") {
			continue
		}
		gone = path
		r.extra("resource "+path+" with all below it", r.remove("resources", is[path].ID))
	}
	blocked := ""
	for _, path := range byDepth(was) {
		w := was[path]
		if i, there := is[path]; there {
			r.ids[w.ID] = i.ID
		} else {
			if blocked != "" && strings.HasPrefix(path, blocked+"/") {
				continue
			}
			if rival := inTheWay(w, was, is); rival != "" && !r.o.Prune {
				r.left("resource %s cannot be made beside %s, which is not in the backup: restore with --prune", path, rival)
				blocked = path
				continue
			}
			r.makeResource(w)
		}
		if err := r.planMethods(w, is[path]); err != nil {
			return err
		}
	}
	return nil
}

// inTheWay finds a resource that is not in the backup and whose variable takes the place of w's.
func inTheWay(w restResource, was, is map[string]restResource) string {
	if !strings.HasPrefix(w.PathPart, "{") {
		return ""
	}
	parent := strings.TrimSuffix(w.Path, w.PathPart)
	for _, path := range byDepth(is) {
		part, ok := strings.CutPrefix(path, parent)
		if _, known := was[path]; ok && !known && strings.HasPrefix(part, "{") && !strings.Contains(part, "/") &&
			strings.HasSuffix(part, "+}") == strings.HasSuffix(w.PathPart, "+}") {
			return path
		}
	}
	return ""
}

func (r *restorer) makeResource(w restResource) {
	r.ids[w.ID] = toBeMade
	r.step("make", "resource "+w.Path, nil, func(ctx context.Context) error {
		answer, err := r.ask(ctx, http.MethodPost, map[string]any{"pathPart": w.PathPart}, "resources", r.ids[w.ParentID])
		if err != nil {
			return err
		}
		return r.learn(w.ID, answer, "id")
	})
}

// planMethods compares the methods of a resource; is has none when it is to be made.
func (r *restorer) planMethods(was, is restResource) error {
	for _, name := range slices.Sorted(maps.Keys(is.Methods)) {
		if _, there := was.Methods[name]; !there {
			r.extra("method "+name+" "+was.Path, r.remove("resources", is.ID, "methods", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was.Methods)) {
		w, err := object(was.Methods[name])
		if err != nil {
			return fmt.Errorf("read method %s %s: %w", name, was.Path, err)
		}
		what := "method " + name + " " + was.Path
		now, there := is.Methods[name]
		if !there {
			r.step("make", what, nil, func(ctx context.Context) error { return r.putMethod(ctx, was.ID, name, w) })
			continue
		}
		i, err := object(now)
		if err != nil {
			return fmt.Errorf("read %s: %w", what, err)
		}
		if d := diff(r.now(without(w, "methodIntegration")), any(without(i, "methodIntegration")), 20); len(d) > 0 {
			d = append(d, r.integrationDiff(w, i, is.ID)...)
			r.step("change", what, d, func(ctx context.Context) error {
				// The working copy is not live, so that making it anew harms nobody.
				if err := r.remove("resources", is.ID, "methods", name)(ctx); err != nil {
					return err
				}
				return r.putMethod(ctx, was.ID, name, w)
			})
		} else if d := r.integrationDiff(w, i, is.ID); len(d) > 0 {
			r.step("change", "integration of "+name+" "+was.Path, d, func(ctx context.Context) error {
				if w["methodIntegration"] == nil {
					return r.remove("resources", is.ID, "methods", name, "integration")(ctx)
				}
				return r.putMethodIntegration(ctx, is.ID, name, w)
			})
		}
	}
	return nil
}

func (r *restorer) integrationDiff(was, is map[string]any, resourceID string) []Difference {
	form := func(v any) any {
		if v = prune(v); v == nil {
			return nil
		}
		n, err := normal(compact(v), resourceID)
		if err != nil {
			return err.Error()
		}
		return n
	}
	return diff(form(r.now(was["methodIntegration"])), form(is["methodIntegration"]), 20)
}

// putMethod makes a method with all below it.
func (r *restorer) putMethod(ctx context.Context, oldResource, name string, was map[string]any) error {
	at := []string{"resources", r.ids[oldResource], "methods", name}
	if _, err := r.ask(ctx, http.MethodPut, r.now(sendable(without(was, "httpMethod", "methodResponses", "methodIntegration"))), at...); err != nil {
		return err
	}
	responses, _ := was["methodResponses"].(map[string]any)
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		one, _ := responses[status].(map[string]any)
		if _, err := r.ask(ctx, http.MethodPut, sendable(without(one, "statusCode")), append(slices.Clone(at), "responses", status)...); err != nil {
			return err
		}
	}
	if was["methodIntegration"] == nil {
		return nil
	}
	return r.putMethodIntegration(ctx, r.ids[oldResource], name, was)
}

func (r *restorer) putMethodIntegration(ctx context.Context, resourceID, name string, was map[string]any) error {
	at := []string{"resources", resourceID, "methods", name, "integration"}
	in, _ := r.now(was["methodIntegration"]).(map[string]any)
	if _, err := r.ask(ctx, http.MethodPut, sendable(without(in, "integrationResponses")), at...); err != nil {
		return err
	}
	responses, _ := in["integrationResponses"].(map[string]any)
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		one, _ := responses[status].(map[string]any)
		if _, err := r.ask(ctx, http.MethodPut, sendable(without(one, "statusCode")), append(slices.Clone(at), "responses", status)...); err != nil {
			return err
		}
	}
	return nil
}
