package app

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/capture"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/redact"
)

// rules are what the capture does to an exchange; a reload swaps them.
type rules struct {
	current  atomic.Pointer[ruleSet]
	logCalls atomic.Bool
}

type ruleSet struct {
	redactor *redact.Redactor
	list     []rule
	logCalls bool
}

type rule struct {
	match  *filter.Filter
	sample float64 // share to keep
	bodies bool
}

func newRuleSet(c *config.Config) (*ruleSet, error) {
	set := &ruleSet{logCalls: c.Log.Calls}
	var err error
	if set.redactor, err = redact.New(c.Capture.Redact.Rules()); err != nil {
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

func (r *rules) set(c *config.Config) error {
	set, err := newRuleSet(c)
	if err == nil {
		r.swap(set)
	}
	return err
}

func (r *rules) swap(set *ruleSet) {
	r.current.Store(set)
	r.logCalls.Store(set.logCalls)
}

func (r *rules) redact(ex *tapway.Exchange) { r.current.Load().redactor.Apply(ex) }

// decide goes by the first rule that takes the exchange.
func (r *rules) decide(ex *tapway.Exchange) capture.Decision {
	list := r.current.Load().list
	if len(list) == 0 {
		return capture.Keep
	}
	env := filter.Env{Meta: &ex.Meta, Now: time.Now(), Header: func() (tapway.Header, tapway.Header) {
		return ex.RequestHeader, ex.ResponseHeader
	}}
	for i := range list {
		if !list[i].match.Match(&env) {
			continue
		}
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
