package access

import (
	"fmt"
	"slices"
	"strings"
)

// PolicySize is how large a resource policy API Gateway takes, in bytes.
const PolicySize = 8192

// maxPolicySize is how large tapway reads one.
const maxPolicySize = 1 << 20

// ParsePolicy reads a resource policy as API Gateway exports it. The error is a *PolicyError:
// whatever this gateway could not carry out exactly (operators and keys it does not know, policy
// variables, NotPrincipal) is one, because to ignore it would be an open door.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > maxPolicySize {
		return nil, &PolicyError{Line: 1, Column: 1, Message: fmt.Sprintf("the policy has %d bytes; at most %d are read", len(text), maxPolicySize)}
	}
	root, bad := readJSON(text)
	r := policyReader{policy: new(Policy)}
	if bad == nil {
		bad = r.document(&root)
	}
	if bad != nil {
		return nil, bad.place(text)
	}
	if len(text) > PolicySize {
		r.warn("the policy has %d bytes: API Gateway takes %d at most", len(text), PolicySize)
	}
	return r.policy, nil
}

type policyReader struct {
	policy    *Policy
	variables bool // this version has policy variables
}

func (r *policyReader) warn(format string, args ...any) {
	r.policy.warnings = append(r.policy.warnings, fmt.Sprintf(format, args...))
}

func wrong(n *node, hint, format string, args ...any) *PolicyError {
	return &PolicyError{offset: n.offset, Message: fmt.Sprintf(format, args...), Hint: hint}
}

func (r *policyReader) document(root *node) *PolicyError {
	if root.kind != '{' {
		return wrong(root, `a policy is {"Version": …, "Statement": […]}`, "want an object, found %s", root.what())
	}
	var statements *node
	for i := range root.fields {
		f := &root.fields[i]
		switch f.name {
		case "Version":
			switch f.value.text {
			case "2012-10-17":
				r.variables = true
			case "2008-10-17":
			default:
				return wrong(&f.value, `write "2012-10-17"`, "%q is no version of the policy language", f.value.text)
			}
		case "Id":
		case "Statement":
			statements = &f.value
		default:
			return &PolicyError{offset: f.offset, Message: fmt.Sprintf("%q is no element of a policy", f.name), Hint: "a policy has Version, Id and Statement"}
		}
	}
	switch {
	case statements == nil:
		return wrong(root, "without one, everything is denied", "the policy has no Statement")
	case statements.kind == '{':
		return r.statement(statements)
	case statements.kind != '[':
		return wrong(statements, "", "Statement: want an array, found %s", statements.what())
	case len(statements.items) == 0:
		return wrong(statements, "without one, everything is denied", "Statement is empty")
	}
	for i := range statements.items {
		if bad := r.statement(&statements.items[i]); bad != nil {
			return bad
		}
	}
	if !slices.ContainsFunc(r.policy.statements, func(s statement) bool { return !s.deny && s.everyone }) {
		r.warn("no statement allows anonymous callers (Principal \"*\"): every call without an AWS identity is denied")
	}
	return nil
}

func (r *policyReader) statement(n *node) *PolicyError {
	if n.kind != '{' {
		return wrong(n, "", "a statement: want an object, found %s", n.what())
	}
	s := statement{}
	has := map[string]bool{}
	for i := range n.fields {
		f := &n.fields[i]
		has[f.name] = true
		var bad *PolicyError
		switch v := &f.value; f.name {
		case "Sid":
			if v.kind != '"' {
				return wrong(v, "", "Sid: want a string, found %s", v.what())
			}
			s.sid = v.text
		case "Effect":
			if v.text != "Allow" && v.text != "Deny" || v.kind != '"' {
				return wrong(v, `write "Allow" or "Deny"`, "%q is no Effect", v.text)
			}
			s.deny = v.text == "Deny"
		case "Principal":
			bad = r.principal(&s, v)
		case "NotPrincipal":
			return &PolicyError{offset: f.offset, Message: "NotPrincipal is not carried out: who else it means cannot be told without AWS", Hint: `write Principal "*" with a condition on aws:PrincipalArn`}
		case "Action", "NotAction":
			bad = r.actions(&s, v, f.name == "NotAction")
		case "Resource", "NotResource":
			s.notThese = f.name == "NotResource"
			bad = r.resources(&s, v)
		case "Condition":
			bad = r.conditions(&s, v)
		default:
			bad = &PolicyError{offset: f.offset, Message: fmt.Sprintf("%q is no element of a statement", f.name), Hint: "letter case counts"}
		}
		if bad != nil {
			return bad
		}
	}
	for _, name := range []string{"Effect", "Principal"} {
		if !has[name] {
			return wrong(n, "", "the statement has no %s", name)
		}
	}
	for _, name := range []string{"Action", "Resource"} {
		if has[name] == has["Not"+name] {
			return wrong(n, "", "the statement needs one of %s and Not%[1]s", name)
		}
	}
	s.denied = "resource policy: " + Verdict{Explicit: true, Statement: len(r.policy.statements) + 1, Sid: s.sid}.String()
	r.policy.statements = append(r.policy.statements, s)
	return nil
}

func (r *policyReader) principal(s *statement, n *node) *PolicyError {
	if n.kind == '"' {
		if n.text != "*" {
			return wrong(n, `write "*" or {"AWS": "arn:…"}`, "%q is no Principal", n.text)
		}
		s.everyone = true
		return nil
	}
	if n.kind != '{' || len(n.fields) == 0 {
		return wrong(n, `write "*" or {"AWS": "arn:…"}`, "Principal: found %s", n.what())
	}
	for i := range n.fields {
		f := &n.fields[i]
		switch f.name {
		case "AWS":
			list, bad := r.texts(&f.value, "Principal")
			if bad != nil {
				return bad
			}
			for _, one := range list {
				switch {
				case one.text == "*":
					s.everyone = true
				case !strings.HasPrefix(one.text, "arn:") && strings.Trim(one.text, "0123456789") != "" || wild(one.text):
					return wrong(one, "write an ARN, or an account's 12 digits", "%q is no AWS principal", one.text)
				default:
					s.principals = append(s.principals, one.text)
				}
			}
		case "Service", "Federated", "CanonicalUser":
			if _, bad := r.texts(&f.value, "Principal"); bad != nil {
				return bad
			}
		default:
			return &PolicyError{offset: f.offset, Message: fmt.Sprintf("%q is no kind of principal", f.name), Hint: "write AWS"}
		}
		if f.name != "AWS" {
			r.warn("statement %d: a %s principal never calls this gateway: that part of the statement means nobody", len(r.policy.statements)+1, f.name)
		}
	}
	if !s.everyone && len(s.principals) > 0 {
		r.warn("statement %d means AWS principals, never anonymous callers: it counts only for calls that prove an AWS identity", len(r.policy.statements)+1)
	}
	return nil
}

func (r *policyReader) actions(s *statement, n *node, not bool) *PolicyError {
	list, bad := r.texts(n, "Action")
	if bad != nil {
		return bad
	}
	for _, one := range list {
		known := false
		for a := range numActions {
			if glob(strings.ToLower(one.text), strings.ToLower(a.String())) {
				known, s.actions[a] = true, true
			}
		}
		if !known {
			return wrong(one, "write execute-api:Invoke", "%q is no action of API Gateway's execution service", one.text)
		}
	}
	for a := range s.actions {
		s.actions[a] = s.actions[a] != not
	}
	if !s.actions[Invoke] {
		r.warn("statement %d does not mean execute-api:Invoke: it decides about no call", len(r.policy.statements)+1)
	}
	return nil
}

func (r *policyReader) resources(s *statement, n *node) *PolicyError {
	list, bad := r.texts(n, "Resource")
	if bad != nil {
		return bad
	}
	for _, one := range list {
		res, hint := readResource(one.text)
		if hint != "" {
			return wrong(one, hint, "%q is no resource of API Gateway's execution service", one.text)
		}
		if stage, rest, ok := strings.Cut(res.pattern, "/"); ok && !res.api && !wild(stage) && rest != "" && !slices.Contains(r.policy.stages, stage) {
			r.policy.stages = append(r.policy.stages, stage)
		}
		r.policy.byMethod = r.policy.byMethod || res.byMethod()
		s.resources = append(s.resources, res)
	}
	return nil
}

// byMethod reports whether a resource may take one method and not another: anything but wildcards stands behind the stage.
func (res *resource) byMethod() bool {
	pattern := res.pattern
	if res.api {
		_, pattern, _ = strings.Cut(pattern, "/")
	}
	stage, behind, _ := strings.Cut(pattern, "/")
	if wild(stage) && stage != "*" { // it may go on into the method
		return true
	}
	if method, path, ok := strings.Cut(behind, "/"); ok && method == "*" && strings.Trim(path, "*?/") == path {
		behind = "" // one method is as good as another
	}
	return strings.Trim(behind, "*?/") != ""
}

// readResource reads "execute-api:/stage/METHOD/path", a whole ARN or "*". hint says what to write
// instead.
func readResource(text string) (res resource, hint string) {
	res.text = text
	const write = "write execute-api:/stage/METHOD/path, or arn:aws:execute-api:region:account:api/stage/METHOD/path"
	if text == "*" {
		res.pattern = "*"
		return res, ""
	}
	if short, ok := strings.CutPrefix(text, "execute-api:"); ok {
		path, ok := strings.CutPrefix(short, "/")
		if res.pattern = path; !ok && path != "*" || path == "" {
			return res, write
		}
		return res, ""
	}
	parts := strings.SplitN(text, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || !glob(parts[2], "execute-api") || parts[5] == "" {
		return res, write
	}
	api, path, ok := strings.Cut(parts[5], "/")
	switch {
	case wild(api):
		res.pattern, res.api = parts[5], true
	case !ok || path == "":
		return res, "behind the API's name there must be /stage/METHOD/path, or /*"
	default:
		res.pattern = path
	}
	return res, ""
}

// texts reads a string, or an array of them.
func (r *policyReader) texts(n *node, what string) ([]*node, *PolicyError) {
	items := []*node{n}
	if n.kind == '[' {
		items = nil
		for i := range n.items {
			items = append(items, &n.items[i])
		}
		if len(items) == 0 {
			return nil, wrong(n, "an empty list never matches", "%s is empty", what)
		}
	}
	for _, one := range items {
		if one.kind != '"' {
			return nil, wrong(one, "", "%s: want a string, found %s", what, one.what())
		}
		if bad := r.variable(one); bad != nil {
			return nil, bad
		}
	}
	return items, nil
}

// variable refuses ${…}, which version 2012-10-17 replaces.
func (r *policyReader) variable(n *node) *PolicyError {
	if r.variables && strings.Contains(n.text, "${") {
		return wrong(n, "write the value itself", "policy variables are not carried out")
	}
	return nil
}
