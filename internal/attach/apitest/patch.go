package apitest

import (
	"slices"
	"strconv"
	"strings"
)

// patchOp is one member of patchOperations.
type patchOp struct {
	Op    string  `json:"op"`
	Path  string  `json:"path"`
	Value *string `json:"value"`
	From  string  `json:"from"`
}

type patchBody struct {
	PatchOperations []patchOp `json:"patchOperations"`
}

func (q *request) patches() ([]patchOp, error) {
	var in patchBody
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	for _, p := range in.PatchOperations {
		if !slices.Contains([]string{"add", "remove", "replace", "move", "copy", "test"}, p.Op) {
			return nil, refuse("Invalid patch operation specified. Must be one of: [add, remove, replace, move, copy, test]")
		}
	}
	return in.PatchOperations, nil
}

func (p patchOp) value() string {
	if p.Value == nil {
		return ""
	}
	return *p.Value
}

// segments splits a JSON pointer (RFC 6901).
func (p patchOp) segments() []string {
	parts := strings.Split(strings.TrimPrefix(p.Path, "/"), "/")
	for i, part := range parts {
		parts[i] = unescapePointer(part)
	}
	return parts
}

func unescapePointer(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~")
}

// field is a place that can be patched: what may be done there, and how. set gets the key
// below the place ("" for the place itself).
type field struct {
	ops    string // "add replace remove"
	keyed  bool   // the place is a map or set: one more segment names the member
	set    func(key, value string) error
	remove func(key string) error
}

// applyPatches finds every operation's place. paths is the list for the message.
func applyPatches(ops []patchOp, fields map[string]field) error {
	for _, p := range ops {
		f, key, ok := findField(p.segments(), fields)
		if !ok || !slices.Contains(strings.Fields(f.ops), p.Op) {
			return refuse("Invalid patch path  '%s' specified for op '%s'. Must be one of: [%s]", p.Path, p.Op, strings.Join(allowed(fields, p.Op), ", "))
		}
		if p.Op == "remove" {
			if err := f.remove(key); err != nil {
				return err
			}
			continue
		}
		if err := f.set(key, p.value()); err != nil {
			return err
		}
	}
	return nil
}

func findField(segments []string, fields map[string]field) (f field, key string, ok bool) {
	if f, ok := fields["/"+strings.Join(segments, "/")]; ok && !f.keyed {
		return f, "", true
	}
	last := len(segments) - 1
	if f, ok := fields["/"+strings.Join(segments[:last], "/")]; ok && f.keyed && segments[last] != "" {
		return f, segments[last], true
	}
	return field{}, "", false
}

func allowed(fields map[string]field, op string) []string {
	var out []string
	for path, f := range fields {
		if slices.Contains(strings.Fields(f.ops), op) {
			if f.keyed {
				path += "/{key}"
			}
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

func textField(p *string) field {
	return field{ops: "replace", set: func(_, v string) error { *p = v; return nil }}
}

func enumField(p *string, values ...string) field {
	return field{ops: "replace", set: func(_, v string) error {
		if !slices.Contains(values, v) {
			return refuse("Invalid value specified: %q is none of %s", v, strings.Join(values, ", "))
		}
		*p = v
		return nil
	}}
}

func boolField(p *bool) field {
	return field{ops: "replace", set: func(_, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return refuse("Invalid boolean value: %s", v)
		}
		*p = b
		return nil
	}}
}

func intField(p *int) field {
	return field{ops: "replace", set: func(_, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil {
			return refuse("Invalid integer value: %s", v)
		}
		*p = n
		return nil
	}}
}

func numberField(p *float64) field {
	return field{ops: "replace", set: func(_, v string) error {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return refuse("Invalid number: %s", v)
		}
		*p = n
		return nil
	}}
}

func mapField(p *map[string]string, ops string) field {
	return field{ops: ops, keyed: true,
		set: func(k, v string) error {
			if *p == nil {
				*p = map[string]string{}
			}
			(*p)[k] = v
			return nil
		},
		remove: func(k string) error {
			if _, ok := (*p)[k]; !ok {
				return missing("Invalid parameter name specified")
			}
			delete(*p, k)
			return nil
		}}
}

func setField(p *[]string) field {
	return field{ops: "add remove", keyed: true,
		set: func(k, _ string) error {
			if !slices.Contains(*p, k) {
				*p = append(*p, k)
			}
			return nil
		},
		remove: func(k string) error {
			i := slices.Index(*p, k)
			if i < 0 {
				return missing("Invalid parameter name specified")
			}
			*p = slices.Delete(*p, i, i+1)
			return nil
		}}
}
