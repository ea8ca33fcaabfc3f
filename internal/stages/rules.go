package stages

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/capture"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/redact"
)

// Rules are what the capture does to an exchange; Set swaps them while calls are under way.
// The zero Rules must be Set before use.
type Rules struct{ current atomic.Pointer[RuleSet] }

// RuleSet is the rules of one configuration.
type RuleSet struct {
	redactor *redact.Redactor
	list     []rule
	logCalls bool
}

type rule struct {
	match  *filter.Filter
	sample float64 // share to keep
	bodies bool
}

// NewRuleSet reads what the configuration says of redaction and sampling.
func NewRuleSet(c *config.Config) (*RuleSet, error) {
	set := &RuleSet{logCalls: c.Log.Calls}
	var err error
	what := c.Capture.Redact.Rules()
	if len(c.Access.Secret) > 0 { // also without the built-in rules
		what.Headers = append(what.Headers, access.SecretHeader)
	}
	if set.redactor, err = redact.New(what); err != nil {
		return nil, err
	}
	for _, r := range c.Capture.Rules {
		f, err := filter.Parse(r.If)
		if err != nil {
			return nil, err
		}
		one := rule{match: f, sample: 1, bodies: true}
		if r.Sample != nil {
			one.sample = *r.Sample
		}
		if r.Bodies != nil {
			one.bodies = *r.Bodies
		}
		set.list = append(set.list, one)
	}
	return set, nil
}

// Set puts a set into force.
func (r *Rules) Set(set *RuleSet) { r.current.Store(set) }

// LogCalls reports whether every call is to be logged.
func (r *Rules) LogCalls() bool { return r.current.Load().logCalls }

// Redact is capture.Recorder's.
func (r *Rules) Redact(ex *tapway.Exchange) { r.current.Load().redactor.Apply(ex) }

// Decide is capture.Recorder's: it goes by the first rule that takes the exchange.
func (r *Rules) Decide(ex *tapway.Exchange) capture.Decision {
	list := r.current.Load().list
	if len(list) == 0 {
		return capture.Keep
	}
	env := filter.EnvOf(ex)
	for i := range list {
		if !list[i].match.Match(&env) {
			continue
		}
		// #nosec G404 -- a sample, not a secret
		if list[i].sample < 1 && rand.Float64() >= list[i].sample {
			return capture.Drop
		}
		if !list[i].bodies {
			return capture.NoBodies
		}
		return capture.Keep
	}
	return capture.Keep
}
