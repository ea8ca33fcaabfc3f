package attach

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/filter"
)

// SecretHeader carries the secret that tells tapway at a public URL that a call comes from
// the API it is attached to (access.secret in its configuration).
const SecretHeader = access.SecretHeader

// Options is what a plan is made with.
type Options struct {
	// Function is the proxy function calls go to; or URL where tapway is reached. One of both.
	Function *Function
	URL      string        // https, without a query; its path is put before every other
	Secret   tapway.Secret // of SecretHeader; required with URL

	Routes        *filter.Filter // over method, path and route; nil takes every route
	MayInvoke     bool           // the role of Function may invoke the Lambda functions behind the routes, whichever they are
	IncludeDrift  bool           // deploy what others have edited and not deployed
	CanaryPercent float64        // of a REST API's calls that go through tapway at first; 0: all
}

// Function is tapway's proxy function.
type Function struct {
	ARN       string `json:"arn"`       // without a qualifier
	Qualifier string `json:"qualifier"` // alias or version; "" for none
	TimeoutMS int    `json:"timeout_ms,omitempty"`
}

// qualified is the ARN that is called.
func (f *Function) qualified() string {
	if f.Qualifier == "" {
		return f.ARN
	}
	return f.ARN + ":" + f.Qualifier
}

// Plan is what an attach would do. It is complete: it can be shown, kept, and carried out.
type Plan struct {
	Kind    Kind     `json:"kind"`
	API     string   `json:"api"`
	Name    string   `json:"name"`
	Region  string   `json:"region"`
	Stage   string   `json:"stage"`
	Via     string   `json:"via"` // "lambda:ARN" or "url:https://…"
	Canary  float64  `json:"canary_percent,omitempty"`
	Changes []Change `json:"changes"`

	// Integrations are new ones of an HTTP API, by the name that changes use for them.
	Integrations map[string]json.RawMessage `json:"integrations,omitempty"`
	Permission   *Permission                `json:"permission,omitempty"`

	Skipped  []Skipped `json:"skipped,omitempty"`
	Warnings []Warning `json:"warnings,omitempty"`

	// Backends is what the tapway at the URL needs in its configuration: where calls go.
	Backends []Backend `json:"backends,omitempty"`
	// Invokes are the Lambda functions behind the routes: what the role of the proxy function must
	// be allowed to invoke (lambda:InvokeFunction), each with its alias or version, if it is called by one.
	Invokes []string `json:"invokes,omitempty"`
	// RouteTable is what the proxy function needs: an OpenAPI document for openapi:.
	RouteTable json.RawMessage `json:"route_table,omitempty"`
}

// Change is what becomes of one route.
type Change struct {
	Route      string `json:"route"` // "GET /users/{id}"
	ResourceID string `json:"resource_id,omitempty"`
	Method     string `json:"method,omitempty"`
	RouteID    string `json:"route_id,omitempty"`

	From string `json:"from"` // what people know it by: "HTTP_PROXY https://users.internal/{id}"
	To   string `json:"to"`

	// Before and After are the integration of a REST API as GetIntegration shows it. Of an
	// HTTP API's route they are its target; Integration names the new one, whose id AWS gives.
	Before      json.RawMessage `json:"before"`
	After       json.RawMessage `json:"after,omitempty"`
	Integration string          `json:"integration,omitempty"`
}

// Permission is the statement that lets the API call the function.
type Permission struct {
	Function  Function `json:"function"`
	Statement string   `json:"statement"`
	SourceARN string   `json:"source_arn"`
}

// Skipped is a route that stays as it is.
type Skipped struct {
	Route  string `json:"route"`
	Reason string `json:"reason"`
}

// Warning is something to know before one says yes. One that stops must be answered with
// the flag it names; without a flag there is no way round it.
type Warning struct {
	Code  string   `json:"code"`
	Text  string   `json:"text"`
	More  []string `json:"more,omitempty"`
	Stops bool     `json:"stops,omitempty"`
	Flag  string   `json:"flag,omitempty"`
}

// Backend says where the tapway at the URL is to send what arrives below a path.
type Backend struct {
	Prefix             string `json:"prefix"` // "" for everything
	Origin             string `json:"origin"` // "https://users.internal"
	InsecureSkipVerify bool   `json:"insecure_skip_verify,omitempty"`
}

// Stops gives the warnings that stand in the way.
func (p *Plan) Stops() []Warning {
	return slices.Collect(func(yield func(Warning) bool) {
		for _, w := range p.Warnings {
			if w.Stops && !yield(w) {
				return
			}
		}
	})
}

// Public is the plan without secrets, for eyes and files.
func (p *Plan) Public() *Plan {
	out := *p
	out.Changes = slices.Clone(p.Changes)
	for i := range out.Changes {
		out.Changes[i].After = hide(out.Changes[i].After)
	}
	out.Integrations = maps.Clone(p.Integrations)
	for key, v := range out.Integrations {
		out.Integrations[key] = hide(v)
	}
	return &out
}

// hide puts [secret] where the secret header's value stands.
func hide(raw json.RawMessage) json.RawMessage {
	doc, err := object(raw)
	if err != nil {
		return raw
	}
	params, _ := doc["requestParameters"].(map[string]any)
	for key := range params {
		if isSecret(key) {
			params[key] = "[secret]"
		}
	}
	return compact(doc)
}

// isSecret reports whether a request parameter sets the secret header:
// integration.request.header.NAME in a REST API, overwrite:header.NAME in an HTTP API.
func isSecret(parameter string) bool {
	return strings.HasSuffix(strings.ToLower(parameter), "header."+strings.ToLower(SecretHeader))
}

// MakePlan says what an attach to the stage that was read would do. It changes nothing and
// asks nobody. An error is a mistake in the options; what stands in the way is a warning.
func MakePlan(a *API, o Options) (*Plan, error) {
	if err := o.check(a); err != nil {
		return nil, err
	}
	routes, err := a.Judge()
	if err != nil {
		return nil, err
	}
	p := &Plan{Kind: a.Kind, API: a.ID, Name: a.Name, Region: a.Region, Stage: a.Stage, Canary: o.CanaryPercent, Changes: []Change{}}
	if o.Function != nil {
		p.Via = "lambda:" + o.Function.qualified()
	} else {
		p.Via = "url:" + o.URL
	}
	s, _ := a.stage(a.Stage)
	m := maker{api: a, stage: &s, options: &o, plan: p}
	m.choose(routes)
	if o.Function != nil {
		m.toFunction()
	} else {
		m.toURL()
	}
	if err := m.warn(); err != nil {
		return nil, err
	}
	return p, nil
}

func (o *Options) check(a *API) error {
	switch {
	case a.Stage == "":
		return fmt.Errorf("say which stage to attach to with --stage; there are: %s", listed(a.stageNames()))
	case (o.Function == nil) == (o.URL == ""):
		return fmt.Errorf("say by which way with --via: lambda:FUNCTION or url:https://…")
	case o.CanaryPercent != 0 && a.Kind == HTTP:
		return fmt.Errorf("an HTTP API has no canary; use --routes to begin with a few routes")
	case o.CanaryPercent < 0 || o.CanaryPercent >= 100:
		return fmt.Errorf("--canary: want a percentage above 0 and below 100")
	}
	for _, field := range []string{"status", "duration", "size", "client_ip", "query", "from", "headers", "response_headers", "body", "request_body", "response_body", "time", "error", "origin", "front", "destination", "id"} {
		if o.Routes.Uses(field) {
			return fmt.Errorf("--routes: %s is known of a call, not of a route; use method, path and route", field)
		}
	}
	if o.URL == "" {
		return nil
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(o.URL, "{}$'") {
		return fmt.Errorf("--via url: want an https:// URL without a query, such as url:https://tapway.example.com")
	}
	if len(o.Secret) < 16 || strings.ContainsFunc(string(o.Secret), func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`'"\${}`, r) }) {
		return fmt.Errorf("the secret for %s needs at least 16 letters or digits", SecretHeader)
	}
	return nil
}

// maker fills a plan.
type maker struct {
	api     *API
	stage   *stage
	options *Options
	plan    *Plan
	chosen  []Route
	tapped  []string // routes that lead to Options.Function already
}

func (m *maker) choose(routes []Route) {
	for _, r := range routes {
		why := r.noURL
		if m.options.Function != nil {
			why = r.noLambda
			if why != "" && r.noURL == "" {
				why += "; --via url:… can tap it"
			}
		} else if why != "" && r.noLambda == "" {
			why += "; --via lambda:… can tap it"
		}
		if why == "" {
			if why = m.loop(&r); why != "" && m.options.Function != nil {
				m.tapped = append(m.tapped, r.Key)
			}
		}
		env := filter.Env{Meta: &tapway.Meta{Method: r.Method, Path: r.Path, Route: r.Key}}
		switch {
		case why != "":
			m.plan.Skipped = append(m.plan.Skipped, Skipped{r.Key, why})
		case !m.options.Routes.Match(&env):
			m.plan.Skipped = append(m.plan.Skipped, Skipped{r.Key, "--routes leaves it out"})
		default:
			m.chosen = append(m.chosen, r)
		}
	}
}

// loop says that a route leads to tapway already: led there once more, it would call itself without an end.
func (m *maker) loop(r *Route) string {
	const why = "it leads to this tapway already; tapped once more it would call itself"
	if f := m.options.Function; f != nil {
		if r.function != "" && unqualified(r.function) == unqualified(f.ARN) {
			return why
		}
		return ""
	}
	origin, rest, err := splitURI(fmt.Sprint(r.op.Integration["uri"]), m.stage.vars())
	own, err2 := url.Parse(m.options.URL)
	is, err3 := url.Parse(origin)
	if err != nil || err2 != nil || err3 != nil || !strings.EqualFold(is.Hostname(), own.Hostname()) || portOf(is) != portOf(own) {
		return ""
	}
	path, _, _ := strings.Cut(rest, "?")
	if strings.HasPrefix(strings.TrimSuffix(path, "/")+"/", strings.TrimSuffix(own.Path, "/")+"/") {
		return why
	}
	return ""
}

// unqualified is a function's ARN without alias or version.
func unqualified(arn string) string {
	if parts := strings.SplitN(arn, ":", 8); len(parts) == 8 {
		return strings.Join(parts[:7], ":")
	}
	return arn
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// change begins the change of a route.
func (m *maker) change(r *Route) Change {
	c := Change{Route: r.Key, From: strings.TrimSpace(r.Type + " " + fmt.Sprint(r.op.Integration["uri"]))}
	if m.api.Kind == REST {
		c.ResourceID, c.Method, c.Before = r.op.ResourceID, r.Method, r.op.raw
		return c
	}
	c.RouteID = r.op.RouteID
	c.Before = compact(map[string]any{"target": "integrations/" + r.op.integration.ID})
	return c
}

// timeout gives tapway a second more than the backend has, so that it is tapway who answers
// a late backend and records it. At most what API Gateway grants, or what was granted to it.
func (m *maker) timeout(r *Route) int {
	most := 29000
	if m.api.Kind == HTTP {
		most = 30000
	}
	return min(r.Timeout+1000, max(most, r.Timeout))
}

func (m *maker) toFunction() {
	a, f := m.api, m.options.Function
	part := partition(a.Region)
	m.plan.Permission = &Permission{
		Function: *f, Statement: "tapway-" + a.ID,
		SourceARN: fmt.Sprintf("arn:%s:execute-api:%s:%s:%s/*/*", part, a.Region, a.Account, a.ID),
	}
	uri := fmt.Sprintf("arn:%s:apigateway:%s:lambda:path/2015-03-31/functions/%s/invocations", part, a.Region, f.qualified())
	ops, _ := a.operations()
	m.plan.RouteTable = a.routeTable(ops)
	for i := range m.chosen {
		r := &m.chosen[i]
		c := m.change(r)
		c.To = "AWS_PROXY " + f.qualified()
		payload := "2.0"
		if r.function != "" {
			m.plan.Invokes = append(m.plan.Invokes, r.function)
			if v := r.op.Integration["payloadFormatVersion"]; v != nil {
				payload = fmt.Sprint(v) // what its function understands
			}
		}
		switch {
		case a.Kind == REST && r.function != "": // only where it leads changes; who may call it there is the function's to say
			after, _ := object(r.op.raw)
			delete(after, "credentials")
			after["uri"], after["timeoutInMillis"] = uri, m.timeout(r)
			c.After = compact(after)
		case a.Kind == REST:
			after := map[string]any{"type": "AWS_PROXY", "httpMethod": "POST", "uri": uri, "passthroughBehavior": "WHEN_NO_MATCH", "timeoutInMillis": m.timeout(r)}
			for _, key := range []string{"cacheNamespace", "cacheKeyParameters"} {
				if v := r.op.Integration[key]; v != nil {
					after[key] = v
				}
			}
			c.After = compact(after)
		default:
			c.Integration = fmt.Sprintf("function %d ms", m.timeout(r))
			if payload != "2.0" {
				c.Integration += ", payload " + payload
			}
			m.integration(c.Integration, httpIntegration{
				Type: "AWS_PROXY", URI: f.qualified(), Method: "POST", ConnectionType: "INTERNET", PayloadFormat: payload, Timeout: int32(m.timeout(r)),
			})
		}
		m.plan.Changes = append(m.plan.Changes, c)
	}
	slices.Sort(m.plan.Invokes)
	m.plan.Invokes = slices.Compact(m.plan.Invokes)
}

func (m *maker) integration(name string, in httpIntegration) {
	if m.plan.Integrations == nil {
		m.plan.Integrations = map[string]json.RawMessage{}
	}
	m.plan.Integrations[name] = compact(in)
}

func (m *maker) toURL() {
	origins := m.origins()
	for i := range m.chosen {
		r := &m.chosen[i]
		c := m.change(r)
		origin, rest, _ := splitURI(fmt.Sprint(r.op.Integration["uri"]), m.stage.vars())
		if !strings.HasPrefix(rest, "/") {
			rest = "/" + rest
		}
		uri := strings.TrimSuffix(m.options.URL, "/") + origins[origin+skipVerify(r)] + rest
		c.To = r.Type + " " + uri
		if m.api.Kind == REST {
			after, _ := object(r.op.raw)
			params, _ := after["requestParameters"].(map[string]any)
			params = maps.Clone(params)
			if params == nil {
				params = map[string]any{}
			}
			params["integration.request.header."+SecretHeader] = "'" + string(m.options.Secret) + "'"
			after["uri"], after["requestParameters"] = uri, params
			c.After = compact(after)
		} else {
			in := r.op.integration
			c.Integration = "copy of " + in.ID
			in.ID, in.Description, in.URI = "", "", uri
			in.RequestParameters = maps.Clone(in.RequestParameters)
			if in.RequestParameters == nil {
				in.RequestParameters = map[string]string{}
			}
			in.RequestParameters["overwrite:header."+SecretHeader] = string(m.options.Secret)
			m.integration(c.Integration, in)
		}
		m.plan.Changes = append(m.plan.Changes, c)
	}
}

func skipVerify(r *Route) string {
	tls, _ := r.op.Integration["tlsConfig"].(map[string]any)
	if skip, _ := tls["insecureSkipVerification"].(bool); skip {
		return " unverified"
	}
	return ""
}

// origins gives each backend its path at tapway: none if there is one backend only, else
// its host.
func (m *maker) origins() map[string]string {
	found := map[string]Backend{}
	for i := range m.chosen {
		r := &m.chosen[i]
		origin, _, _ := splitURI(fmt.Sprint(r.op.Integration["uri"]), m.stage.vars())
		found[origin+skipVerify(r)] = Backend{Origin: origin, InsecureSkipVerify: skipVerify(r) != ""}
	}
	out, taken := map[string]string{}, map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		b := found[key]
		if len(found) > 1 {
			_, host, _ := strings.Cut(b.Origin, "://")
			b.Prefix = "/" + host
			for n := 2; taken[b.Prefix]; n++ {
				b.Prefix = fmt.Sprintf("/%s-%d", host, n)
			}
		}
		taken[b.Prefix] = true
		out[key] = b.Prefix
		m.plan.Backends = append(m.plan.Backends, b)
	}
	return out
}
