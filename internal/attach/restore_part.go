package attach

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// patchOp is one operation of a PATCH of the REST API's management API, the only way there to
// change most things.
// https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html
type patchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value string `json:"value"`
}

// MarshalJSON leaves the value out where there is none to send.
func (p patchOp) MarshalJSON() ([]byte, error) {
	out := map[string]string{"op": p.Op, "path": p.Path}
	if p.Value != "" || p.Op == "replace" {
		out["value"] = p.Value
	}
	return json.Marshal(out)
}

type patchBody struct {
	Operations []patchOp `json:"patchOperations"`
}

// plain is a value as a patch has it.
func plain(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// keysOf are the members of two objects, sorted.
func keysOf(a, b map[string]any) []string {
	keys := maps.Clone(a)
	if keys == nil {
		keys = map[string]any{}
	}
	maps.Copy(keys, b)
	return slices.Sorted(maps.Keys(keys))
}

// patches lead from is to was: texts are replaced, members of lists added and removed.
func patches(was, is map[string]any) []patchOp {
	var ops []patchOp
	for _, name := range keysOf(was, is) {
		if len(diff(was[name], is[name], 1)) == 0 {
			continue
		}
		a, aok := was[name].([]any)
		b, bok := is[name].([]any)
		if !aok && !bok {
			ops = append(ops, patchOp{"replace", "/" + name, plain(was[name])})
			continue
		}
		for _, v := range a {
			if !slices.ContainsFunc(b, equals(v)) {
				ops = append(ops, patchOp{"add", "/" + name, plain(v)})
			}
		}
		for _, v := range b {
			if !slices.ContainsFunc(a, equals(v)) {
				ops = append(ops, patchOp{"remove", "/" + name, plain(v)})
			}
		}
	}
	return ops
}

func equals(v any) func(any) bool { return func(o any) bool { return plain(o) == plain(v) } }

// pair is a thing of the backup and the one that is there now; either may be nil.
type pair struct{ was, is map[string]any }

// pairs matches two lists, first by id, then by what each of alike in turn says of those left over.
func pairs(was, is []json.RawMessage, id string, alike ...func(was, is map[string]any) bool) ([]pair, error) {
	var out []pair
	old, err := objects(was)
	if err != nil {
		return nil, err
	}
	now, err := objects(is)
	if err != nil {
		return nil, err
	}
	take := func(w map[string]any, fits func(w, i map[string]any) bool) map[string]any {
		at := slices.IndexFunc(now, func(i map[string]any) bool { return fits(w, i) })
		if at < 0 {
			return nil
		}
		found := now[at]
		now = slices.Delete(now, at, at+1)
		return found
	}
	for _, w := range old {
		out = append(out, pair{w, take(w, func(w, i map[string]any) bool { return text(w, id) != "" && text(w, id) == text(i, id) })})
	}
	for _, fits := range alike {
		for i := range out {
			if out[i].is == nil {
				out[i].is = take(out[i].was, fits)
			}
		}
	}
	for _, i := range now {
		out = append(out, pair{nil, i})
	}
	return out, nil
}

func objects(list []json.RawMessage) ([]map[string]any, error) {
	var out []map[string]any
	for _, raw := range list {
		o, err := object(raw)
		if err != nil {
			return nil, fmt.Errorf("read what AWS shows: %w", err)
		}
		out = append(out, o)
	}
	return out, nil
}

// part is a kind of thing of which an API has a list.
type part struct{ path, word, id, key string }

var (
	restModel      = part{"models", "model", "id", "name"}
	restValidator  = part{"requestvalidators", "request validator", "id", "name"}
	restAuthorizer = part{"authorizers", "authorizer", "id", "name"}
	httpAuthorizer = part{"authorizers", "authorizer", "authorizerId", "name"}
)

// planPart makes and changes things of a list. What is to be removed is given back, for it may
// go only when nothing refers to it any more.
func (r *restorer) planPart(p part) (later func(), err error) {
	later = func() {}
	if r.was.Parts == nil {
		return later, nil
	}
	all, err := pairs(r.was.Parts[p.path], r.is.Parts[p.path], p.id, func(a, b map[string]any) bool { return text(a, p.key) == text(b, p.key) })
	if err != nil {
		return later, err
	}
	var extra []pair
	for _, t := range all {
		switch {
		case t.was == nil:
			extra = append(extra, t)
		case t.is == nil:
			r.makePart(p, t.was)
		default:
			r.changePart(p, t)
		}
	}
	return func() {
		for _, t := range extra {
			id := text(t.is, p.id)
			if p == restModel {
				id = text(t.is, "name")
			}
			r.extra(p.word+" "+text(t.is, p.key), r.remove(p.path, id))
		}
	}, nil
}

func (r *restorer) renamed(p part, old, now string) {
	if r.ids[old] = now; old != now && p.path == "authorizers" {
		r.remade = true
	}
}

func (r *restorer) makePart(p part, was map[string]any) {
	id := text(was, p.id)
	r.renamed(p, id, toBeMade)
	r.step("make", p.word+" "+text(was, p.key), nil, func(ctx context.Context) error {
		answer, err := r.ask(ctx, http.MethodPost, sendable(without(was, p.id)), p.path)
		if err != nil {
			return err
		}
		return r.learn(id, answer, p.id)
	})
}

// learn notes the id of what was made.
func (r *restorer) learn(old string, answer json.RawMessage, member string) error {
	made, err := object(answer)
	if err != nil || text(made, member) == "" {
		return fmt.Errorf("AWS answered without an id: %.100s", answer)
	}
	r.ids[old] = text(made, member)
	return nil
}

func (r *restorer) changePart(p part, t pair) {
	id := text(t.is, p.id)
	r.renamed(p, text(t.was, p.id), id)
	was, is := without(t.was, p.id), without(t.is, p.id)
	d := diff(was, is, 20)
	if len(d) == 0 {
		return
	}
	if p == restModel {
		id = text(t.was, "name") // models are found by name
	}
	r.step("change", p.word+" "+text(t.was, p.key), d, func(ctx context.Context) error {
		var body any = patchBody{patches(was, is)}
		if p == httpAuthorizer {
			body = sendable(overlay(was, is))
		}
		_, err := r.ask(ctx, http.MethodPatch, body, p.path, id)
		return err
	})
}

// overlay is was with an empty value for each member that only is has: so PATCH of an HTTP API
// takes away.
func overlay(was, is map[string]any) map[string]any {
	out := maps.Clone(was)
	for name, v := range is {
		old, there := was[name]
		switch v := v.(type) {
		case map[string]any:
			sub, _ := old.(map[string]any)
			if sub == nil {
				sub = map[string]any{}
			}
			out[name] = overlay(sub, v)
			if name == "responseParameters" {
				out[name] = responsesOver(sub, v)
			}
		case []any:
			if !there {
				out[name] = []any{}
			}
		case string:
			if !there {
				out[name] = ""
			}
		case bool:
			if !there {
				out[name] = false
			}
		}
	}
	return out
}

// responsesOver is overlay for a map of maps: a status that is to go is an empty map.
func responsesOver(was, is map[string]any) map[string]any {
	out := maps.Clone(was)
	for status, v := range is {
		old, there := was[status].(map[string]any)
		if now, ok := v.(map[string]any); ok && there {
			out[status] = overlay(old, now)
		} else if !there {
			out[status] = map[string]any{}
		}
	}
	return out
}

// planGatewayResponses puts a REST API's own answers back; those that AWS made up are left out.
func (r *restorer) planGatewayResponses() error {
	if r.was.Parts == nil {
		return nil
	}
	own := func(list []json.RawMessage) []json.RawMessage {
		return slices.DeleteFunc(slices.Clone(list), func(raw json.RawMessage) bool {
			var g struct{ DefaultResponse bool }
			return json.Unmarshal(raw, &g) == nil && g.DefaultResponse
		})
	}
	all, err := pairs(own(r.was.Parts["gatewayresponses"]), own(r.is.Parts["gatewayresponses"]), "responseType", func(_, _ map[string]any) bool { return false })
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.was == nil {
			kind := text(t.is, "responseType")
			r.extra("gateway response "+kind, r.remove("gatewayresponses", kind))
			continue
		}
		kind := text(t.was, "responseType")
		was := without(t.was, "responseType", "defaultResponse")
		put := func(ctx context.Context) error {
			_, err := r.ask(ctx, http.MethodPut, sendable(was), "gatewayresponses", kind)
			return err
		}
		if t.is == nil {
			r.step("make", "gateway response "+kind, nil, put)
		} else if d := diff(was, without(t.is, "responseType", "defaultResponse"), 20); len(d) > 0 {
			r.step("change", "gateway response "+kind, d, put)
		}
	}
	return nil
}
