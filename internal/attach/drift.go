package attach

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Drift is what the working copy has that is not deployed in the stage, or the other way
// round: a deployment would make it live. Differences are by route; leave says which routes
// not to look at.
//
// Of a REST API there is no export of the working copy, so routes, their integrations,
// authorization and key are compared, and what else was edited (models, gateway responses,
// the resource policy) is not seen. cacheNamespace is left out: exports do not always tell it.
func (a *API) Drift(leave func(key string) bool) ([]Difference, error) {
	if a.Export == nil {
		return nil, nil
	}
	export, err := object(a.Export)
	if err != nil {
		return nil, fmt.Errorf("read the export: %w", err)
	}
	if a.Kind == HTTP {
		if s, _ := a.stage(a.Stage); s.AutoDeploy {
			return nil, nil
		}
		working, err := object(a.Working)
		if err != nil {
			return nil, fmt.Errorf("read the export of the working copy: %w", err)
		}
		return driftOf(exported(export, asIs), exported(working, asIs), leave), nil
	}
	ops, err := a.operations()
	if err != nil {
		return nil, err
	}
	working := map[string]any{}
	for i := range ops {
		working[ops[i].Key] = comparable(ops[i].object())
	}
	return driftOf(exported(export, comparable), working, leave), nil
}

func driftOf(deployed, working map[string]any, leave func(string) bool) []Difference {
	for key := range deployed {
		if leave != nil && leave(key) {
			delete(deployed, key)
		}
	}
	for key := range working {
		if leave != nil && leave(key) {
			delete(working, key)
		}
	}
	return diff(prune(deployed), prune(working), 50)
}

func asIs(op map[string]any) any { return op }

// exported gives an export's operations by "GET /users/{id}".
func exported(doc map[string]any, form func(map[string]any) any) map[string]any {
	out := map[string]any{}
	paths, _ := doc["paths"].(map[string]any)
	shared := map[string]any{}
	if components, ok := doc["components"].(map[string]any); ok {
		shared, _ = components["x-amazon-apigateway-integrations"].(map[string]any)
	}
	for path, v := range paths {
		item, _ := v.(map[string]any)
		for name, v := range item {
			op, ok := v.(map[string]any)
			if !ok || name == "parameters" {
				continue
			}
			if in, ok := op["x-amazon-apigateway-integration"].(map[string]any); ok {
				if ref, ok := in["$ref"].(string); ok {
					op = maps.Clone(op)
					op["x-amazon-apigateway-integration"] = shared[ref[strings.LastIndexByte(ref, '/')+1:]]
				}
			}
			method := strings.ToUpper(name)
			if name == anyMethod {
				method = "ANY"
			}
			key := method + " " + path
			if path == "/$default" {
				key = "$default"
			}
			out[key] = form(op)
		}
	}
	return out
}

// comparable is an operation as far as the working copy and an export both tell it, with the
// defaults that only one of them may show.
func comparable(op map[string]any) any {
	out := map[string]any{}
	var secured, key bool
	list, _ := op["security"].([]any)
	for _, v := range list {
		names, _ := v.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if name == "api_key" {
				key = true
			} else {
				secured = true
			}
		}
	}
	out["authorized"], out["apiKeyRequired"] = secured, key
	in, _ := op["x-amazon-apigateway-integration"].(map[string]any)
	if in, _ = prune(in).(map[string]any); in == nil {
		return out
	}
	in = maps.Clone(in)
	kind := strings.ToLower(fmt.Sprint(in["type"]))
	in["type"] = kind
	delete(in, "cacheNamespace")
	fallback := func(key, value string) {
		if in[key] == nil {
			in[key] = value
		}
		in[key] = strings.ToLower(fmt.Sprint(in[key]))
	}
	fallback("connectionType", "internet")
	fallback("passthroughBehavior", "when_no_match")
	fallback("timeoutInMillis", "29000")
	fallback("responseTransferMode", "buffered")
	if kind == "mock" {
		for _, name := range []string{"httpMethod", "uri", "connectionType"} {
			delete(in, name)
		}
	} else {
		fallback("httpMethod", "")
	}
	if keys, ok := in["cacheKeyParameters"].([]any); ok {
		in["cacheKeyParameters"] = slices.SortedFunc(slices.Values(keys), func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	out["integration"] = in
	return out
}
