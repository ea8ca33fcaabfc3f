package waf

import (
	"net/http"

	"github.com/tapway/tapway/internal/access"
)

// What the firewall decides about a call that somebody only asks about.
const (
	Passes       = "passes"
	Refuses      = "refuses"
	WouldRefuse  = "would refuse"  // detect mode
	Uninspected  = "not inspected" // an exclusion takes all rules off its path
	NotInspected = "cannot be inspected"
)

// Match is one rule that has matched.
type Match struct {
	ID      int    `json:"id"`
	Message string `json:"message"`
}

// Explanation is what the firewall decides about a call, and why.
type Explanation struct {
	Mode      string   `json:"mode"`
	Verdict   string   `json:"verdict"` // Passes, Refuses, WouldRefuse, Uninspected or NotInspected
	Status    int      `json:"status,omitempty"`
	Score     int      `json:"score"` // 0 also when a rule refuses by itself
	Threshold int      `json:"threshold"`
	Rules     []Match  `json:"rules"`               // also those that were too few
	Variables []string `json:"variables,omitempty"` // names of what has matched, such as "ARGS:q"
	Why       string   `json:"why,omitempty"`
}

// Explain tells what the firewall decides about in, whose body it reads. Nothing is sent,
// logged or counted. in must be as a server hands it over.
func (f *Firewall) Explain(in *http.Request) Explanation {
	e := &explainer{f: f, out: Explanation{Mode: f.config.Mode, Verdict: Passes, Threshold: f.config.Threshold, Rules: []Match{}}}
	_, refusal := access.NewChain(access.Options{}, &access.ClientAddress{}, e).Explain(in)
	if refusal != nil {
		e.out.Status = refusal.Status
		if e.out.Verdict == Passes { // it did not come to the firewall
			e.out.Verdict, e.out.Why = Refuses, refusal.Reason
		}
	}
	return e.out
}

// explainer is a Firewall that keeps what it finds.
type explainer struct {
	f   *Firewall
	out Explanation
}

// Phase is access.Decider.
func (*explainer) Phase() access.Phase { return access.Filter }

// Name is access.Decider.
func (*explainer) Name() string { return "waf" }

// Decide is access.Decider.
func (e *explainer) Decide(r *access.Request) *access.Refusal {
	off, all := e.f.excluded(r)
	if all {
		e.out.Verdict = Uninspected
		return nil
	}
	found, err := e.f.inspect(r, off)
	defer e.f.End(r, false)
	refusal := e.f.judge(r, found, err)
	switch {
	case err != nil:
		e.out.Verdict, e.out.Why = NotInspected, err.Error()
	case found == nil:
	case refusal != nil:
		e.out.Verdict = Refuses
	case !found.passes:
		e.out.Verdict = WouldRefuse
	}
	if found != nil {
		e.out.Score, e.out.Variables = found.score, found.variables
		for _, id := range found.rules {
			e.out.Rules = append(e.out.Rules, Match{id, e.f.rules.messages[id]})
		}
	}
	return refusal
}
