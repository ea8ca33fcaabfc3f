package access

import (
	"net/http"

	"github.com/tapway/tapway"
)

// What a rule says of a call that somebody only asks about.
const (
	Passes   = "passes"
	Refuses  = "refuses"
	NotAsked = "not asked" // a rule before it has refused the call
	Absent   = "none"      // the phase has no rule
)

// Step is what one rule says of a call.
type Step struct {
	Phase   string `json:"phase"`
	Rule    string `json:"rule,omitempty"` // "" when the phase has none
	Verdict string `json:"verdict"`        // Passes, Refuses, NotAsked or Absent
	Why     string `json:"why,omitempty"`

	Refusal *Refusal `json:"-"` // with Refuses
}

// Explain asks the rules about a call, without any effect, and gives what each says in their
// order. The last error-free step decides nothing by itself: a call passes when none refuses it.
func (c *Chain) Explain(in *http.Request) (steps []Step, refusal *Refusal) {
	path, _, _, ok := tapway.Target(in)
	if !ok {
		f := &Refusal{Status: http.StatusBadRequest, Message: "The request target is malformed.", Reason: "malformed request target"}
		return []Step{{Phase: "request", Verdict: Refuses, Why: "the target is malformed; it never comes to the rules", Refusal: f}}, f
	}
	r := &Request{Dry: true}
	c.begin(r, in, path)
	next := 0
	for _, phase := range Phases() {
		found := false
		for ; next < len(c.deciders) && c.deciders[next].Phase() == phase; next++ {
			found = true
			step := Step{Phase: phase.String(), Rule: c.deciders[next].Name(), Verdict: NotAsked}
			if refusal == nil {
				r.because = ""
				refusal = c.deciders[next].Decide(r)
				step.Verdict, step.Why = Passes, r.because
				if refusal != nil {
					step.Verdict, step.Refusal = Refuses, refusal
				}
			}
			steps = append(steps, step)
		}
		if !found {
			steps = append(steps, Step{Phase: phase.String(), Verdict: Absent})
		}
	}
	return steps, refusal
}
