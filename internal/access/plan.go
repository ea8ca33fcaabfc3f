package access

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// UsagePlan is what the API keys of a plan may use, each key for itself.
type UsagePlan struct {
	Name   string
	Rate   *Rate  // nil: no bound
	Quota  *Quota // nil: no bound
	Routes []PlanRoute
}

// PlanRoute puts a rate of its own in place of the plan's for the calls that a pattern takes; the
// first that takes a call counts. Each key has a bucket for each.
type PlanRoute struct {
	Match Pattern
	Rate  Rate
}

// Plans is the decider of rates and quotas. They are asked in API Gateway's order: the key's rate
// for the route, else the key's; the route's; the gateway's; and last the key's quota. A call
// that one of them refuses takes nothing from the others.
type Plans struct {
	Plans    map[string]*UsagePlan
	Rules    *Rules
	Throttle *Throttle // of all calls together; nil: no bound
	State    *State
}

func (*Plans) Phase() Phase { return Plan }
func (*Plans) Name() string { return "plan" }

// taken is a token that goes back if the call is refused after all.
type taken struct {
	bucket *bucket
	rate   Rate
	window int64 // in which other processes know of it too
}

// Decide is Decider.
func (p *Plans) Decide(r *Request) *Refusal {
	now := int64(r.Now.Sub(p.State.start))
	r.taken = r.takenRoom[:0]
	refusal := p.rates(r, now)
	if refusal == nil {
		refusal = p.quota(r)
	}
	if refusal != nil {
		p.giveBack(r)
		return refusal
	}
	if r.Dry && len(r.bounds) == 0 {
		r.Because("nothing bounds this call")
	} else if r.Dry {
		r.Because("bounded by %s", strings.Join(r.bounds, ", "))
	}
	return nil
}

// End is Holder.
func (p *Plans) End(r *Request, served bool) {
	if !served {
		p.giveBack(r)
	}
}

func (p *Plans) giveBack(r *Request) {
	for _, t := range r.taken {
		t.bucket.give(t.rate)
		if t.bucket.shared != nil {
			t.bucket.shared.Give(t.window)
		}
	}
	r.taken = r.taken[:0]
	if r.counted != 0 {
		r.key.used.tally.Give(r.counted)
		r.counted = 0
	}
}

func (p *Plans) plan(r *Request) *UsagePlan {
	if r.key == nil || r.key.Plan == "" {
		return nil
	}
	return p.Plans[r.key.Plan]
}

func (p *Plans) rates(r *Request, now int64) *Refusal {
	if plan := p.plan(r); plan != nil {
		if f := p.planRates(r, plan, now); f != nil {
			return f
		}
	}
	for _, rule := range p.Rules.of(r) {
		if rule == nil || rule.Throttle == nil {
			continue
		}
		if f := r.take("the rate of a route", "throttle: route", rule.Throttle.bucket, rule.Throttle.Rate, now); f != nil {
			if r.Dry {
				r.Because("the route %s has no token left (%s)", rule.Match, rule.Throttle.Rate)
			}
			return f
		}
	}
	if p.Throttle != nil {
		if f := r.take("the rate of the gateway", "throttle: gateway", p.Throttle.bucket, p.Throttle.Rate, now); f != nil {
			if r.Dry {
				r.Because("the gateway has no token left (%s)", p.Throttle.Rate)
			}
			return f
		}
	}
	return nil
}

// planRates takes a token of the key: where readings of the path differ, of every bucket that
// one of them leads to.
func (p *Plans) planRates(r *Request, plan *UsagePlan, now int64) *Refusal {
	whole := len(plan.Routes) == 0
	if !whole {
		var routes []int
		routes, whole = plan.routes(r)
		for _, i := range routes {
			one := &plan.Routes[i]
			if b := r.key.used.route(one.Match.text); !r.has(b) {
				if f := r.take("the key's rate for a route", "throttle: usage plan, route", b, one.Rate, now); f != nil {
					if r.Dry {
						r.Because("the key has no token left for %s (plan %q, %s)", one.Match, plan.Name, one.Rate)
					}
					return f
				}
			}
		}
	}
	if whole && plan.Rate != nil {
		if f := r.take("the key's rate", "throttle: usage plan", r.key.used.bucket, *plan.Rate, now); f != nil {
			if r.Dry {
				r.Because("the key has no token left (plan %q, %s)", plan.Name, *plan.Rate)
			}
			return f
		}
	}
	return nil
}

// routes gives the entries that a call leads to, by each reading of its path and each method that it asks for. whole: one leads
// to none.
func (u *UsagePlan) routes(r *Request) (list []int, whole bool) {
	paths, ok := r.foldedReadings()
	methods, few := r.methods()
	whole = !ok || !few
	for _, method := range methods {
		for _, path := range paths {
			if i := u.route(method, path); i < 0 {
				whole = true
			} else {
				list = append(list, i)
			}
		}
	}
	return list, whole
}

func (u *UsagePlan) route(method, path string) int {
	for i := range u.Routes {
		if u.Routes[i].Match.takes(method, path) {
			return i
		}
	}
	return -1
}

func (p *Plans) quota(r *Request) *Refusal {
	plan := p.plan(r)
	if plan == nil || plan.Quota == nil {
		return nil
	}
	start, end := plan.Quota.Window(r.Now)
	tally := r.key.used.tally
	if r.Dry {
		used := tally.Used(start.Unix())
		text := fmt.Sprintf("the quota of plan %q, of which %d of %s are used until %s", plan.Name, used, plan.Quota, end.Format(time.RFC3339))
		if used < plan.Quota.Limit {
			r.bounds = append(r.bounds, text)
			return nil
		}
		r.Because("used up: %s", text)
		return LimitExceeded("quota: usage plan", end.Sub(r.Now))
	}
	switch tally.Take(start.Unix(), end.Unix(), plan.Quota.Limit, &r.wait) {
	case Spent:
		return r.refused.limitExceeded("quota: usage plan", end.Sub(r.Now))
	case Unknown:
		return uncounted
	}
	r.counted = start.Unix()
	return nil
}

// uncounted answers a call that cannot be counted while what counts for all processes cannot be reached.
var uncounted = &Refusal{
	Status: http.StatusServiceUnavailable, Type: "ServiceUnavailableException", Body: unavailableBody,
	RetryAfter: time.Second, Reason: "counters: out of reach",
}

// take takes a token and remembers it: first this process's own, then, where there are others, one of those
// that all have together. what says in words which it is, reason to the record that it was empty.
func (r *Request) take(what, reason string, b *bucket, rate Rate, now int64) *Refusal {
	wait, ok := b.take(now, rate, r.Dry)
	if r.Dry {
		r.bounds = append(r.bounds, what+" ("+rate.String()+")")
	}
	if !ok {
		return r.refused.tooManyRequests(reason, wait)
	}
	if r.Dry {
		return nil
	}
	one := taken{bucket: b, rate: rate}
	if b.shared != nil {
		start, end, limit := rate.window(r.Now)
		verdict := b.shared.Take(start, end, limit, &r.wait)
		if verdict != Counted {
			b.give(rate)
		}
		switch verdict {
		case Spent:
			return r.refused.tooManyRequests(reason, time.Unix(end, 0).Sub(r.Now))
		case Unknown:
			return uncounted
		}
		one.window = start
	}
	r.taken = append(r.taken, one)
	return nil
}

func (r *Request) has(b *bucket) bool {
	for _, t := range r.taken {
		if t.bucket == b {
			return true
		}
	}
	return false
}
