package stages

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/config"
)

// Access is what the rules of a configuration need besides it.
type Access struct {
	State *access.State    // outlives a reload
	Keys  *access.KeyFile  // keys made on the command line; nil: none
	Hooks *access.HookFile // GitHub's addresses; nil: the bundled ones

	// Client makes what fetches documents, such as an identity provider's keys; urls are those that
	// the configuration names. nil: nothing is fetched, and calls that need it are refused.
	Client func(urls ...string) *http.Client

	// Attached calls need no access.secret: they come through an API that invokes this function and
	// cannot send one. nil: there are none.
	Attached func(*http.Request) bool

	Price func(r *access.Request, took time.Duration) int64 // what a call costs, for limits.daily_cost; nil: that is not known here
	Near  func()                                            // is told when a ceiling is near; nil: nobody is

	Region  string // of AWS; "" outside
	Page    func(w http.ResponseWriter, r *http.Request, status int, message, reason string)
	Refused func(rule string)
	Log     *slog.Logger // hears what is odd in a policy; nil: nobody does

	// More makes rules that no configuration knows; they stand last in their phase. nil: none.
	More func() ([]access.Decider, error)
}

// Chain makes the rules of a configuration. Their order is access.NewChain's.
func (a Access) Chain(c *config.Config) (*access.Chain, error) {
	trusted, err := access.ParseSet(c.Access.TrustedProxies...)
	if err != nil {
		return nil, err
	}
	deciders := []access.Decider{&access.ClientAddress{Trusted: trusted, Forwarded: c.Access.ClientAddress == "forwarded"}}
	policy, err := c.Access.Policy()
	if err != nil {
		return nil, err
	}
	if policy != nil {
		deciders = append(deciders, &access.PolicyDecider{Policy: policy, Region: a.Region})
		for _, text := range policy.Warnings() {
			if a.Log != nil {
				a.Log.Warn("resource policy", "file", c.Access.ResourcePolicy, "warning", text)
			}
		}
	}
	if c.Limits.Calls > 0 || c.Limits.CallsPer > 0 {
		deciders = append(deciders, &access.Concurrency{Total: c.Limits.Calls, PerAddress: c.Limits.CallsPer, State: a.State})
	}
	if ceiling, err := a.ceiling(c); err != nil {
		return nil, err
	} else if ceiling != nil {
		deciders = append(deciders, ceiling)
	}
	if len(c.Access.Secret) > 0 {
		secret := access.NewSecret(c.Access.Secret...)
		secret.Exempt = a.Attached
		deciders = append(deciders, secret)
	}
	if a.Hooks == nil {
		if a.Hooks, err = access.OpenHookFile("", a.Log); err != nil {
			return nil, err
		}
	}
	rules, err := a.rules(c, a.Hooks)
	if err != nil {
		return nil, err
	}
	plans, err := usagePlans(c)
	if err != nil {
		return nil, err
	}
	methods := &access.Methods{
		Allowed: c.Access.Methods, Rules: rules, Policy: policy,
		Forms: &access.Bodies{Max: access.MaxForm, Total: int64(c.Access.BodyMemory), State: a.State, Status: bodyStatus},
	}
	callers, err := a.callers(c, rules)
	if err != nil {
		return nil, err
	}
	for _, d := range callers {
		if signed, ok := d.(*access.IAM); ok {
			methods.IAM = signed
		}
	}
	if keys := a.keys(c, rules, plans); c.Access.JWT != nil && c.Access.JWT.APIKey != "" {
		deciders = append(append(deciders, callers...), keys...) // the token has the key
	} else {
		deciders = append(append(deciders, keys...), callers...) // to look a key up costs least
	}
	if bounds := a.bounds(c, rules, plans); bounds != nil {
		deciders = append(deciders, bounds)
	}
	if methods.Needed() {
		deciders = append(deciders, methods)
	}
	if len(c.Proxy.FilteredPaths) > 0 {
		deciders = append(deciders, access.NewFilteredPaths(c.Proxy.FilteredPaths, c.Proxy.FilteredMessage))
	}
	if a.More != nil {
		more, err := a.More()
		if err != nil {
			return nil, err
		}
		deciders = append(deciders, more...)
	}
	o := access.Options{Page: a.Page, Stage: c.Access.APIStage, Refused: a.Refused}
	if len(c.Cache.Routes) > 0 {
		o.Invalidate = policy
	}
	return access.NewChain(o, deciders...), nil
}

// keys are the deciders that find out whose API key a call has.
func (a Access) keys(c *config.Config, rules *access.Rules, plans map[string]*access.UsagePlan) []access.Decider {
	need, asked := access.Off, false
	if c.Access.KeyRequired() {
		need, asked = access.Required, true
	}
	for _, r := range c.Access.Routes {
		asked = asked || r.APIKey == "required"
	}
	if !asked {
		return nil
	}
	set := make(access.KeySet, len(c.Access.APIKeys))
	for _, k := range c.Access.APIKeys {
		set[access.HashKey(k.Value.Reveal())] = access.NewClient(k.Name, k.Name, k.Plan, a.State)
	}
	return []access.Decider{&access.Keys{Default: need, Rules: rules, Configured: set, File: a.Keys, Plans: plans}}
}

// bounds is the decider of rates and quotas, nil when there are none.
func (a Access) bounds(c *config.Config, rules *access.Rules, plans map[string]*access.UsagePlan) access.Decider {
	if len(c.Access.Counts()) == 0 {
		return nil
	}
	p := &access.Plans{Plans: plans, Rules: rules, State: a.State}
	if t := c.Access.Throttle; t != nil {
		p.Throttle = a.State.Throttle("gateway", access.Rate{PerSecond: t.Rate, Burst: t.Burst})
	}
	return p
}

func (a Access) rules(c *config.Config, hooks *access.HookFile) (*access.Rules, error) {
	rules := new(access.Rules)
	for _, r := range c.Access.Routes {
		match, err := access.ParsePattern(r.Match)
		if err != nil {
			return nil, err
		}
		one := access.Rule{Match: match, Methods: r.Methods}
		switch r.APIKey {
		case "required":
			one.APIKey = access.Required
		case "off":
			one.APIKey = access.Off
		}
		if r.Throttle != nil {
			one.Throttle = a.State.Throttle("route "+r.Match, access.Rate{PerSecond: r.Throttle.Rate, Burst: r.Throttle.Burst})
		}
		one.Auth, one.Scopes = r.Auth(), r.Scopes
		if r.Webhook != nil {
			if one.Webhook, err = r.Webhook.Access(r.Match, hooks); err != nil {
				return nil, fmt.Errorf("access.routes: %s: %w", r.Match, err)
			}
		}
		rules.List = append(rules.List, one)
	}
	return rules, nil
}

func usagePlans(c *config.Config) (map[string]*access.UsagePlan, error) {
	plans := map[string]*access.UsagePlan{}
	for _, p := range c.Access.UsagePlans {
		plan := &access.UsagePlan{Name: p.Name}
		if p.Rate != nil {
			plan.Rate = &access.Rate{PerSecond: *p.Rate, Burst: p.Burst}
		}
		if p.Quota != nil {
			quota := p.Quota.Access()
			plan.Quota = &quota
		}
		for _, r := range p.Routes {
			match, err := access.ParsePattern(r.Match)
			if err != nil {
				return nil, err
			}
			plan.Routes = append(plan.Routes, access.PlanRoute{Match: match, Rate: access.Rate{PerSecond: r.Rate, Burst: r.Burst}})
		}
		plans[p.Name] = plan
	}
	return plans, nil
}
