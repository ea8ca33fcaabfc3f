package attach

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
)

// mark is the description of a deployment that a restore of this backup makes.
func (b *Backup) mark() string {
	return "tapway restore of the backup of " + b.Taken.Format(time.RFC3339)
}

// planStages compares stages. content is how many steps change what a deployment takes along.
func (r *restorer) planStages(ctx context.Context, content int) error {
	all, err := pairs(r.was.API.Stages, r.is.API.Stages, "stageName", func(_, _ map[string]any) bool { return false })
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.was == nil {
			name := text(t.is, "stageName")
			r.extra("stage "+name, r.remove("stages", name))
			continue
		}
		name := text(t.was, "stageName")
		if t.is == nil {
			if err := r.aboutEdits(name, text(t.was, "deploymentId")); err != nil {
				return err
			}
			r.makeStage(name, t.was)
			continue
		}
		if err := r.changeStage(ctx, name, t, content); err != nil {
			return err
		}
		r.planTags(name, texts(t.was["tags"]), texts(t.is["tags"]))
	}
	return nil
}

func texts(v any) map[string]string {
	out := map[string]string{}
	m, _ := v.(map[string]any)
	for k, e := range m {
		out[k] = plain(e)
	}
	return out
}

// has tells that a deployment of the backup is there and still works.
func (r *restorer) has(deployment string) bool {
	return !r.remade && slices.ContainsFunc(r.is.Parts["deployments"], func(raw json.RawMessage) bool {
		var d struct{ ID, DeploymentID string }
		return json.Unmarshal(raw, &d) == nil && d.ID+d.DeploymentID == deployment
	})
}

// deployment is the backup's, or a new one of what was put back, one for all stages.
func (r *restorer) deployment(ctx context.Context, old string) (id string, err error) {
	if r.has(old) {
		return old, nil
	}
	if r.deployed == "" {
		r.deployed, err = r.c.deploy(ctx, r.is.API, r.was.mark())
	}
	return r.deployed, err
}

// settingsOf are the settings of a stage that can be put back; the deployment is apart.
func settingsOf(kind Kind, o map[string]any) map[string]any {
	if kind == HTTP {
		return without(o, "stageName", "deploymentId", "tags", "createdDate", "lastUpdatedDate", "lastDeploymentStatusMessage", "apiGatewayManaged")
	}
	out := without(o, "stageName", "deploymentId", "tags", "createdDate", "lastUpdatedDate", "cacheClusterStatus", "webAclArn")
	if out["cacheClusterEnabled"] != true {
		delete(out, "cacheClusterSize")
	}
	return out
}

func (r *restorer) makeStage(name string, was map[string]any) {
	kind := r.was.API.Kind
	old := text(was, "deploymentId")
	r.step("make", "stage "+name, nil, func(ctx context.Context) error {
		in := settingsOf(kind, was)
		in["stageName"] = name
		if tags := ownTags(texts(was["tags"])); len(tags) > 0 {
			in["tags"] = tags
		}
		if kind == REST {
			in = only(in, func(key string) bool {
				return slices.Contains([]string{"stageName", "description", "variables", "cacheClusterEnabled", "cacheClusterSize", "documentationVersion", "tracingEnabled", "tags"}, key)
			})
		}
		if in["autoDeploy"] != true && old != "" {
			id, err := r.deployment(ctx, old)
			if err != nil {
				return err
			}
			in["deploymentId"] = id
		}
		answer, err := r.ask(ctx, http.MethodPost, in, "stages")
		if err != nil || kind == HTTP {
			return err
		}
		made, err := object(answer)
		if err != nil {
			return fmt.Errorf("read the stage: %w", err)
		}
		return r.patchStage(ctx, name, was, made)
	})
	r.aboutStage(name, was, nil)
}

// aboutEdits says what a stage would serve that it did not, where there must be a new deployment: what waited in the
// backup's working copy to be deployed. Of an HTTP API's working copy the backup has no export to see it by.
func (r *restorer) aboutEdits(name, old string) error {
	a := *r.was.API
	a.Stage, a.Export = name, r.was.Exports[name]
	if a.Kind != REST || old == "" || r.has(old) {
		return nil
	}
	edits, err := a.Drift(nil)
	if err != nil {
		return fmt.Errorf("compare stage %s with the backup's working copy: %w", name, err)
	}
	if len(edits) > 0 {
		r.left("stage %s: its deployment %s is gone, and a new one makes live what was not deployed there at the time of the backup: %s, such as %s",
			name, old, counted(len(edits), "difference"), strings.Replace(edits[0].String(), ", now ", ", edited to ", 1))
	}
	return nil
}

// aboutStage says what of a stage cannot be put back.
func (r *restorer) aboutStage(name string, was, is map[string]any) {
	if a, b := text(was, "webAclArn"), text(is, "webAclArn"); a != b {
		r.left("stage %s had the web ACL %q, now %q: AWS WAF associates them, not API Gateway", name, a, b)
	}
	canary, _ := was["canarySettings"].(map[string]any)
	if id := text(canary, "deploymentId"); id != "" && !r.has(id) {
		r.left("stage %s had a canary of deployment %s, which is gone: the canary is not put back", name, id)
	}
}

func (r *restorer) patchStage(ctx context.Context, name string, was, is map[string]any) error {
	ops := stagePatches(r.wanted(was), settingsOf(REST, is))
	if len(ops) == 0 {
		return nil
	}
	_, err := r.ask(ctx, http.MethodPatch, patchBody{ops}, "stages", name)
	return err
}

// wanted are the settings that a stage of the backup is to have; a canary without its
// deployment is none.
func (r *restorer) wanted(was map[string]any) map[string]any {
	out := settingsOf(r.was.API.Kind, was)
	if canary, ok := out["canarySettings"].(map[string]any); ok && !r.has(text(canary, "deploymentId")) {
		delete(out, "canarySettings")
	}
	return out
}

// changeStage compares a stage that is there.
func (r *restorer) changeStage(ctx context.Context, name string, t pair, content int) error {
	r.aboutStage(name, t.was, t.is)
	auto := t.was["autoDeploy"] == true
	if auto || t.is["autoDeploy"] == true {
		r.plan.Live = append(r.plan.Live, name)
	}
	was, is := r.wanted(t.was), settingsOf(r.was.API.Kind, t.is)
	if d := diff(was, is, 20); len(d) > 0 {
		r.step("change", "stage "+name, d, func(ctx context.Context) error { return r.setStage(ctx, name, t) })
	}
	old, now := text(t.was, "deploymentId"), text(t.is, "deploymentId")
	if auto || old == "" || old == now && !r.remade {
		return nil
	}
	what := "deployment of stage " + name
	d := []Difference{{"deploymentId", old, now}}
	if !r.has(old) {
		equal, err := r.servesTheSame(ctx, name)
		if err != nil {
			return err
		}
		switch {
		case equal && content == 0:
			return nil
		case content == 0 && r.isOurs(now):
			r.left("stage %s: its deployment %s is gone; what was deployed anew is not the same, see the proof", name, old)
			return nil
		}
		if err := r.aboutEdits(name, old); err != nil {
			return err
		}
		d[0].Before += " (gone, or of an authorizer that is; deployed anew)"
	}
	r.step("change", what, d, func(ctx context.Context) error {
		id, err := r.deployment(ctx, old)
		if err != nil {
			return err
		}
		a := *r.is.API
		a.Stage = name
		return r.c.point(ctx, &a, id)
	})
	return nil
}

// isOurs tells that a deployment was made by a restore of this backup.
func (r *restorer) isOurs(id string) bool {
	return slices.ContainsFunc(r.is.Parts["deployments"], func(raw json.RawMessage) bool {
		var d struct{ ID, DeploymentID, Description string }
		return json.Unmarshal(raw, &d) == nil && d.ID+d.DeploymentID == id && d.Description == r.was.mark()
	})
}

// servesTheSame tells that a stage's export is the backup's.
func (r *restorer) servesTheSame(ctx context.Context, name string) (bool, error) {
	if r.was.Exports[name] == nil {
		return false, nil
	}
	d, err := r.exportDiff(ctx, name)
	if notFound(err) {
		return false, nil
	}
	return err == nil && len(d) == 0, err
}

func (r *restorer) setStage(ctx context.Context, name string, t pair) error {
	if r.was.API.Kind == REST {
		return r.patchStage(ctx, name, t.was, t.is)
	}
	was, is := r.wanted(t.was), settingsOf(HTTP, t.is)
	if was["accessLogSettings"] == nil && is["accessLogSettings"] != nil {
		if err := r.remove("stages", name, "accesslogsettings")(ctx); err != nil {
			return err
		}
		delete(is, "accessLogSettings")
	}
	had, _ := was["routeSettings"].(map[string]any)
	has, _ := is["routeSettings"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(has)) {
		if had[key] == nil {
			if err := r.remove("stages", name, "routesettings", key)(ctx); err != nil {
				return err
			}
		}
	}
	delete(is, "routeSettings")
	_, err := r.ask(ctx, http.MethodPatch, overlay(was, is), "stages", name)
	return err
}

// methodSettingPaths are a method's settings as a stage shows them, and as it wants them changed.
var methodSettingPaths = map[string]string{
	"metricsEnabled": "metrics/enabled", "loggingLevel": "logging/loglevel", "dataTraceEnabled": "logging/dataTrace",
	"throttlingBurstLimit": "throttling/burstLimit", "throttlingRateLimit": "throttling/rateLimit",
	"cachingEnabled": "caching/enabled", "cacheTtlInSeconds": "caching/ttlInSeconds", "cacheDataEncrypted": "caching/dataEncrypted",
	"requireAuthorizationForCacheControl":    "caching/requireAuthorizationForCacheControl",
	"unauthorizedCacheControlHeaderStrategy": "caching/unauthorizedCacheControlHeaderStrategy",
}

// settingPath is the place of a method's settings: "/~1users~1{id}/GET" of "users/{id}/GET",
// and "/*/*" of "*/*". Some keys of AWS are escaped already.
func settingPath(key string) string {
	at := strings.LastIndexByte(key, '/')
	if at < 0 {
		return "/" + key
	}
	res, method := key[:at], key[at+1:]
	if res != "*" && !strings.HasPrefix(res, "~1") {
		res = "~1" + pointer(strings.TrimPrefix(res, "/"))
	}
	return "/" + res + "/" + method
}

// stagePatches lead a REST API's stage from is to was.
func stagePatches(was, is map[string]any) []patchOp {
	var ops []patchOp
	sub := func(o map[string]any, name string) map[string]any { m, _ := o[name].(map[string]any); return m }
	members := func(path string, a, b map[string]any) {
		for _, k := range keysOf(a, b) {
			if a[k] == nil {
				ops = append(ops, patchOp{Op: "remove", Path: path + pointer(k)})
			} else if !reflect.DeepEqual(a[k], b[k]) {
				ops = append(ops, patchOp{"replace", path + pointer(k), plain(a[k])})
			}
		}
	}
	for _, name := range keysOf(was, is) {
		a, b := sub(was, name), sub(is, name)
		switch name {
		case "variables":
			members("/variables/", a, b)
		case "methodSettings":
			for _, key := range keysOf(a, b) {
				if a[key] == nil {
					ops = append(ops, patchOp{Op: "remove", Path: settingPath(key)})
					continue
				}
				want, have := sub(a, key), sub(b, key)
				for _, k := range slices.Sorted(maps.Keys(want)) {
					if path := methodSettingPaths[k]; path != "" && !reflect.DeepEqual(want[k], have[k]) {
						ops = append(ops, patchOp{"replace", settingPath(key) + "/" + path, plain(want[k])})
					}
				}
			}
		case "accessLogSettings", "canarySettings":
			if a == nil {
				ops = append(ops, patchOp{Op: "remove", Path: "/" + name})
				continue
			}
			members("/"+name+"/", without(a, "stageVariableOverrides"), without(b, "stageVariableOverrides"))
			members("/"+name+"/stageVariableOverrides/", sub(a, "stageVariableOverrides"), sub(b, "stageVariableOverrides"))
		case "cacheClusterSize": // not without a cache
			if was[name] != nil && was[name] != is[name] {
				ops = append([]patchOp{{"replace", "/" + name, plain(was[name])}}, ops...)
			}
		default:
			if !reflect.DeepEqual(was[name], is[name]) {
				ops = append(ops, patchOp{"replace", "/" + name, plain(was[name])})
			}
		}
	}
	return ops
}
