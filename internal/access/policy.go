package access

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Action is one of API Gateway's execution service that a policy can speak of.
type Action uint8

const (
	Invoke          Action = iota // call the API
	InvalidateCache               // have a cached response made anew
	ManageConnections
	numActions
)

// String is the action as policies have it.
func (a Action) String() string {
	return [...]string{"execute-api:Invoke", "execute-api:InvalidateCache", "execute-api:ManageConnections"}[a]
}

// Policy is an API Gateway resource policy, evaluated as AWS does: an explicit Deny comes before
// an Allow, and what nothing allows is denied. It is immutable. Read one with ParsePolicy.
type Policy struct {
	statements []statement
	warnings   []string
	stages     []string // literal stages that resources name
	byMethod   bool     // a resource may name a method
}

// Warnings are what is allowed in a policy but may not do what its author thinks.
func (p *Policy) Warnings() []string { return p.warnings }

// Stages are the API stages that the policy's resources name without wildcards.
func (p *Policy) Stages() []string { return p.stages }

type statement struct {
	sid        string
	deny       bool
	everyone   bool     // Principal "*"
	principals []string // ARNs and accounts
	actions    [numActions]bool
	resources  []resource
	notThese   bool // NotResource
	conditions []condition
	denied     string // what a record says of a call that this statement denies
}

// resource is the part of an execute-api ARN that this gateway can compare: stage, method and
// path. Region, account and API are those of the API that the policy was attached to.
type resource struct {
	text    string
	pattern string // of stage/METHOD/path
	api     bool   // the pattern begins with the API, because a wildcard there may go further
}

// Verdict is what a policy says of a call, and which statement says so.
type Verdict struct {
	Allowed   bool
	Explicit  bool // a Deny denied it; otherwise nothing allowed it
	Statement int  // from 1, of the one that decided; 0: none
	Sid       string
}

func (v Verdict) String() string {
	name := "statement " + strconv.Itoa(v.Statement)
	if v.Sid != "" {
		name += " (" + v.Sid + ")"
	}
	switch {
	case v.Allowed:
		return "allowed by " + name
	case v.Explicit:
		return "denied by " + name
	}
	return "no statement allows it"
}

// Evaluate says whether a call may do an action, as Invoke. AWS knows one path; here a backend
// may make another of it, so a Deny counts when it takes any reading of the path, and an Allow
// has to be found for every one. So it is with the methods that a call asks for.
func (p *Policy) Evaluate(r *Request, action Action) Verdict {
	methods, ok := r.methods()
	if !ok {
		return Verdict{}
	}
	allowed := Verdict{}
	for i, method := range methods {
		v := p.evaluate(r, action, method)
		if !v.Allowed {
			return v
		}
		if i == 0 {
			allowed = v
		}
	}
	return allowed
}

func (p *Policy) evaluate(r *Request, action Action, method string) Verdict {
	paths, ok := r.Readings()
	if !ok {
		return Verdict{}
	}
	allowed := Verdict{}
	for i, path := range paths {
		v := p.one(r, action, method, path)
		if !v.Allowed {
			return v
		}
		if i == 0 {
			allowed = v
		}
	}
	return allowed
}

// allowsMethod reports whether a call would have been let pass with another method, by whom it was when it was.
func (p *Policy) allowsMethod(r *Request, method string) bool {
	caller := r.Caller
	r.Caller = Caller{} // the policy is asked before anybody has proved who he is
	defer func() { r.Caller = caller }()
	return p.evaluate(r, Invoke, method).Allowed
}

// nameRoom is how long the name of a resource may be without an allocation.
const nameRoom = 192

func (p *Policy) one(r *Request, action Action, method, path string) Verdict {
	var room [nameRoom]byte
	name := append(room[:0], apiName(r)...)
	name = append(name, '/')
	short := len(name)
	name = append(append(name, r.Stage...), '/')
	name = append(append(name, method...), '/')
	name = append(name, strings.TrimPrefix(path, "/")...)
	whole := string(name)
	out := Verdict{}
	for i := range p.statements {
		s := &p.statements[i]
		if out.Allowed && !s.deny || !s.applies(r, action, whole, whole[short:]) {
			continue
		}
		if s.deny {
			return Verdict{Explicit: true, Statement: i + 1, Sid: s.sid}
		}
		out = Verdict{Allowed: true, Statement: i + 1, Sid: s.sid}
	}
	return out
}

func (s *statement) applies(r *Request, action Action, whole, short string) bool {
	return s.meansCaller(r) && s.actions[action] && s.meansResource(whole, short) && s.conditionsHold(r)
}

func (s *statement) meansCaller(r *Request) bool {
	if s.everyone {
		return true
	}
	if r.Caller.ARN == "" {
		return false // only "*" means anonymous callers
	}
	return slices.ContainsFunc(s.principals, func(p string) bool {
		return p == r.Caller.ARN || r.Caller.Account != "" && (p == r.Caller.Account || strings.HasPrefix(p, "arn:") && strings.HasSuffix(p, ":iam::"+r.Caller.Account+":root"))
	})
}

func (s *statement) meansResource(whole, short string) bool {
	return slices.ContainsFunc(s.resources, func(res resource) bool {
		if res.api {
			return glob(res.pattern, whole)
		}
		return glob(res.pattern, short)
	}) != s.notThese
}

func (s *statement) conditionsHold(r *Request) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(r) {
			return false
		}
	}
	return true
}

func apiName(r *Request) string {
	if r.Call.API != nil && r.Call.API.ID != "" {
		return r.Call.API.ID
	}
	return "tapway"
}

// PolicyDecider asks a Policy.
type PolicyDecider struct {
	Policy *Policy
	Region string // in the refusal's ARN; "" is "local"
}

func (*PolicyDecider) Phase() Phase { return ResourcePolicy }
func (*PolicyDecider) Name() string { return "resource_policy" }

// Decide is Decider. A refusal is worded as AWS does (as measured in October 2026), with the
// account's number masked.
func (d *PolicyDecider) Decide(r *Request) *Refusal {
	v := d.Policy.Evaluate(r, Invoke)
	if r.Dry {
		r.Because("%s", v)
	}
	if v.Allowed {
		return nil
	}
	reason := "resource policy: no statement allows it"
	if v.Explicit {
		reason = d.Policy.statements[v.Statement-1].denied
	}
	r.refused = Refusal{Status: http.StatusForbidden, Type: "AccessDeniedException", Body: d.body(r, v), Reason: reason}
	return &r.refused
}

// shownPath is how much of a path a refusal repeats.
const shownPath = 1024

func (d *PolicyDecider) body(r *Request, v Verdict) string {
	user, region, path := "anonymous", d.Region, r.Path
	if r.Caller.ARN != "" {
		user = r.Caller.ARN
	}
	if region == "" {
		region = "local"
	}
	if len(path) > shownPath {
		path = path[:shownPath]
	}
	stage := r.Stage
	if stage == "" {
		stage = "$default"
	}
	var room [512]byte
	b := append(room[:0], `{"Message":"User: `...)
	b = appendEscaped(b, user)
	b = append(b, ` is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:`...)
	b = append(appendEscaped(b, region), ":********:"...)
	for _, part := range [...]string{apiName(r), stage, r.HTTP.Method} {
		b = append(appendEscaped(b, part), '/')
	}
	b = appendEscaped(b, strings.TrimPrefix(path, "/"))
	if v.Explicit {
		b = append(b, ` with an explicit deny in a resource-based policy`...)
	}
	return string(append(b, `"}`...))
}
