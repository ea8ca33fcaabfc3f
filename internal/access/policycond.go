package access

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

func (r *policyReader) conditions(s *statement, n *node) *PolicyError {
	if n.kind != '{' {
		return wrong(n, "", "Condition: want an object, found %s", n.what())
	}
	for i := range n.fields {
		op := &n.fields[i]
		if op.value.kind != '{' || len(op.value.fields) == 0 {
			return wrong(&op.value, `write {"aws:SourceIp": …}`, "%s: found %s", op.name, op.value.what())
		}
		seen := map[string]bool{}
		for j := range op.value.fields {
			f := &op.value.fields[j]
			if seen[strings.ToLower(f.name)] {
				return &PolicyError{offset: f.offset, Message: fmt.Sprintf("%q stands here twice", f.name), Hint: "write its values as one list"}
			}
			seen[strings.ToLower(f.name)] = true
			c, bad := r.condition(op, f)
			if bad != nil {
				return bad
			}
			s.conditions = append(s.conditions, c)
		}
	}
	return nil
}

func (r *policyReader) condition(op, f *field) (condition, *PolicyError) {
	c := condition{operator: op.name, key: conditionKeyNamed(f.name)}
	if c.key == nil {
		hint := "known are " + strings.Join(keyNames(), ", ")
		return c, &PolicyError{offset: f.offset, Message: fmt.Sprintf("this gateway does not know the condition key %q", f.name), Hint: hint}
	}
	name := op.name
	if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		c.set, name = forAny, rest
	} else if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		c.set, name = forAll, rest
	}
	if name == "Null" && c.set == single {
		return r.nullCondition(c, f)
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	operator, ok := operators[name]
	if !ok {
		return c, &PolicyError{offset: op.offset, Message: fmt.Sprintf("this gateway does not know the condition operator %q", op.name), Hint: "known are " + strings.Join(operatorNames(), ", ") + ", each also with IfExists"}
	}
	if c.key.types&operator.types == 0 {
		return c, &PolicyError{offset: op.offset, Message: fmt.Sprintf("%s cannot compare %s", op.name, c.key.name), Hint: "the key's value is of another type"}
	}
	c.negated = operator.negated
	values, bad := r.values(&f.value, f.name)
	if bad != nil {
		return c, bad
	}
	if operator.build == nil {
		return r.ipCondition(c, values)
	}
	tests := make([]func(string) bool, len(values))
	for i, v := range values {
		test, err := operator.build(v.text)
		if err != nil {
			message, hint, _ := strings.Cut(err.Error(), "; ")
			return c, wrong(v, hint, "%s", message)
		}
		tests[i] = test
	}
	c.match = func(value string) bool {
		for _, test := range tests {
			if test(value) {
				return true
			}
		}
		return false
	}
	return c, nil
}

func (r *policyReader) nullCondition(c condition, f *field) (condition, *PolicyError) {
	values, bad := r.values(&f.value, f.name)
	if bad != nil {
		return c, bad
	}
	if _, err := boolean(values[0].text); err != nil || len(values) > 1 {
		return c, wrong(&f.value, `write "true" for a key that must be absent, "false" for one that must not`, "Null takes true or false")
	}
	c.null, c.want = true, strings.EqualFold(values[0].text, "true")
	return c, nil
}

func (r *policyReader) ipCondition(c condition, values []*node) (condition, *PolicyError) {
	var prefixes []netip.Prefix
	for _, v := range values {
		p, err := ParsePrefix(v.text)
		if err != nil {
			message, hint, _ := strings.Cut(err.Error(), "; ")
			return c, wrong(v, hint, "%s", message)
		}
		if p != p.Masked() {
			r.warn("%s has bits behind its prefix: it means %s", v.text, p.Masked())
		}
		prefixes = append(prefixes, p)
	}
	c.ips = NewSet(prefixes...)
	return c, nil
}

// values are those of a condition: a string, number or truth value, or an array of them.
func (r *policyReader) values(n *node, key string) ([]*node, *PolicyError) {
	items := []*node{n}
	if n.kind == '[' {
		items = nil
		for i := range n.items {
			items = append(items, &n.items[i])
		}
	}
	if len(items) == 0 {
		return nil, wrong(n, "an empty list never matches", "%s has no value", key)
	}
	for _, one := range items {
		if strings.IndexByte(`"b0`, one.kind) < 0 {
			return nil, wrong(one, "", "%s: want a string, found %s", key, one.what())
		}
		if bad := r.variable(one); bad != nil {
			return nil, bad
		}
	}
	return items, nil
}

func keyNames() (names []string) {
	for _, k := range conditionKeys {
		names = append(names, k.name)
	}
	return names
}

func operatorNames() []string {
	return append(slices.Sorted(maps.Keys(operators)), "Null")
}
