package attach

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// verdict is what a route looks like compared with the saved state.
type verdict uint8

const (
	asBefore verdict = iota // untouched, or put back
	asAfter                 // attached
	partly                  // put back, but for some of its integration responses
	halfway                 // attached, but for some of its integration responses
	foreign                 // changed by somebody else
	missing                 // deleted by somebody else
)

// normal is an integration of a REST API with the defaults that AWS fills in, so that what
// was sent and what is shown compare equal.
func normal(raw json.RawMessage, resourceID string) (map[string]any, error) {
	in, err := object(raw)
	if err != nil {
		return nil, err
	}
	in, _ = prune(in).(map[string]any)
	if in == nil {
		in = map[string]any{}
	}
	for key, value := range map[string]string{"passthroughBehavior": "WHEN_NO_MATCH", "connectionType": "INTERNET", "cacheNamespace": resourceID, "responseTransferMode": "BUFFERED"} {
		if in[key] == nil {
			in[key] = value
		}
	}
	if in["timeoutInMillis"] == nil {
		in["timeoutInMillis"] = json.Number("29000")
	}
	if keys, ok := in["cacheKeyParameters"].([]any); ok {
		in["cacheKeyParameters"] = slices.SortedFunc(slices.Values(keys), func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	if tls, ok := in["tlsConfig"].(map[string]any); ok && tls["insecureSkipVerification"] == false {
		delete(in, "tlsConfig")
	}
	return in, nil
}

// compareREST judges an integration. now is nil when the method or its integration is gone.
func compareREST(c *Change, now json.RawMessage) (verdict, error) {
	if len(now) == 0 {
		return missing, nil
	}
	is, err := normal(now, c.ResourceID)
	if err != nil {
		return foreign, fmt.Errorf("%s: %w", c.Route, err)
	}
	before, err := normal(c.Before, c.ResourceID)
	if err != nil {
		return foreign, fmt.Errorf("%s: %w", c.Route, err)
	}
	after, err := normal(c.After, c.ResourceID)
	if err != nil {
		return foreign, fmt.Errorf("%s: %w", c.Route, err)
	}
	switch {
	case reflect.DeepEqual(is, before):
		return asBefore, nil
	case reflect.DeepEqual(is, after):
		return asAfter, nil
	}
	switch {
	case lacksResponses(is, before):
		return partly, nil
	case lacksResponses(is, after):
		return halfway, nil
	}
	return foreign, nil
}

// lacksResponses tells that an integration is what it is to be but for integration responses
// that are not there: a put makes the integration first, and then each of them.
func lacksResponses(is, want map[string]any) bool {
	bare := func(in map[string]any) map[string]any {
		in = maps.Clone(in)
		delete(in, "integrationResponses")
		return in
	}
	if !reflect.DeepEqual(bare(is), bare(want)) {
		return false
	}
	responses, _ := want["integrationResponses"].(map[string]any)
	have, _ := is["integrationResponses"].(map[string]any)
	for status, r := range have {
		if !reflect.DeepEqual(responses[status], r) {
			return false
		}
	}
	return true
}

// targetOf is the target in a change of an HTTP API's route.
func targetOf(raw json.RawMessage) string {
	var t struct{ Target string }
	if err := json.Unmarshal(raw, &t); err != nil {
		return ""
	}
	return t.Target
}

// compareHTTP judges a route by its target; id is our integration's, "" if it is not made yet.
func compareHTTP(c *Change, now json.RawMessage, id string) verdict {
	switch target := targetOf(now); {
	case len(now) == 0:
		return missing
	case target == targetOf(c.Before):
		return asBefore
	case id != "" && target == "integrations/"+id:
		return asAfter
	}
	return foreign
}

// current gives what a change's route is now, in the form of its Before; nil when it is gone.
func (a *API) current() (map[string]json.RawMessage, error) {
	ops, err := a.operations()
	if err != nil {
		return nil, err
	}
	out := map[string]json.RawMessage{}
	for _, op := range ops {
		if a.Kind == REST {
			out[op.ResourceID+" "+op.Method] = op.raw
		}
	}
	for _, raw := range a.Routes {
		var r httpRoute
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("read a route: %w", err)
		}
		out[r.ID] = compact(map[string]any{"target": r.Target})
	}
	return out, nil
}

// place is where current has a change's route.
func (c *Change) place() string {
	if c.RouteID != "" {
		return c.RouteID
	}
	return c.ResourceID + " " + c.Method
}

// judge compares one change with what is there.
func (s *State) judge(c *Change, now json.RawMessage) (verdict, error) {
	if s.Before.Kind == REST {
		return compareREST(c, now)
	}
	return compareHTTP(c, now, s.Integrations[c.Integration]), nil
}

func decodeIntegration(raw json.RawMessage) (httpIntegration, error) {
	var in httpIntegration
	if err := json.Unmarshal(raw, &in); err != nil {
		return in, fmt.Errorf("read an integration: %w", err)
	}
	return in, nil
}
