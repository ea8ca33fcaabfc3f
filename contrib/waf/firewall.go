package waf

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tapway/tapway/internal/access"
)

// Firewall is the rule "waf" of the gate. It stands last, because it costs most.
type Firewall struct {
	config     Config
	rules      *engine
	exclusions []exclusion
	held       *atomic.Int64 // bytes of bodies
	open       sync.Map      // *access.Request to *inspected, where responses are inspected
	log        *slog.Logger
}

type exclusion struct {
	path  string // without a slash at its end
	all   bool
	rules []ruleRange
}

// Memory counts what the bodies of calls under way take. It outlives a reload.
type Memory struct{ held atomic.Int64 }

// New reads the rules of c, which takes a moment. The error names the file and the line. log hears
// of every call that is refused or would be; nil is slog.Default().
func New(c Config, m *Memory, log *slog.Logger) (*Firewall, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.Default()
	}
	f := &Firewall{config: c, held: &m.held, log: log}
	for _, e := range c.Exclusions {
		one := exclusion{path: strings.TrimRight(e.Path, "/")}
		for _, text := range e.Rules {
			if text == "all" {
				one.all = true
				continue
			}
			r, err := parseRange(text)
			if err != nil {
				return nil, err
			}
			one.rules = append(one.rules, r)
		}
		f.exclusions = append(f.exclusions, one)
	}
	var err error
	f.rules, err = build(c)
	return f, err
}

// Phase is access.Decider.
func (*Firewall) Phase() access.Phase { return access.Filter }

// Name is access.Decider.
func (*Firewall) Name() string { return "waf" }

var notInspected = &access.Refusal{
	Status: http.StatusServiceUnavailable, Type: "ServiceUnavailableException", Body: `{"message":"Service Unavailable"}`, Reason: "waf: could not be inspected",
}

// Decide is access.Decider. It holds as much of the body as is inspected; all of it goes on.
func (f *Firewall) Decide(r *access.Request) *access.Refusal {
	off, all := f.excluded(r)
	if all {
		r.Because("calls of this path are not inspected")
		return nil
	}
	found, err := f.inspect(r, off)
	refusal := f.judge(r, found, err)
	if refusal != nil || r.Dry {
		f.End(r, false) // nobody else will
	}
	return refusal
}

func (f *Firewall) judge(r *access.Request, found *finding, err error) *access.Refusal {
	switch {
	case err != nil:
		refuse := f.config.Mode == Block && f.config.OnError == Refuse
		if !r.Dry {
			f.log.Error("waf", "id", r.Call.ID, "verdict", "not inspected", "refused", refuse, "err", err)
			r.Call.Error = notInspected.Reason
		}
		r.Because("it cannot be inspected: %v", err)
		if refuse {
			return notInspected
		}
	case found == nil:
		if r.Dry {
			r.Because("no rule, or too few")
		}
	case found.passes:
		r.Because("too few: %s: %s", found, strings.Join(found.messages, "; "))
	case f.config.Mode == Block:
		f.tell(r, found, "blocked")
		return access.Forbidden("waf: " + found.String())
	default:
		f.tell(r, found, "detected")
		if !r.Dry {
			r.Call.Error = "waf would block: " + found.String()
		}
	}
	return nil
}

// tell writes the one line about a call that is refused, or would be.
func (f *Firewall) tell(r *access.Request, found *finding, verdict string) {
	if r.Dry {
		r.Because("%s: %s", found, strings.Join(found.messages, "; "))
		return
	}
	f.log.Warn("waf", "id", r.Call.ID, "verdict", verdict, "client", r.Client, "rules", found.rules, "score", found.score,
		"messages", found.messages, "variables", found.variables)
}

// excluded gives the rules that are not asked about r; all: none is.
func (f *Firewall) excluded(r *access.Request) (off []ruleRange, all bool) {
	if len(f.exclusions) == 0 {
		return nil, false
	}
	readings, ok := r.Readings()
	if !ok {
		return nil, false
	}
	for i := range f.exclusions {
		if e := &f.exclusions[i]; e.takes(readings) {
			off, all = append(off, e.rules...), all || e.all
		}
	}
	return off, all
}

func (e *exclusion) takes(readings []string) bool {
	for _, path := range readings {
		rest, ok := strings.CutPrefix(path, e.path)
		if !ok || rest != "" && rest[0] != '/' {
			return false
		}
	}
	return true
}

// End is access.Holder: it ends the loan of a body's memory, and what is known of the call.
func (f *Firewall) End(r *access.Request, _ bool) {
	if open, ok := f.open.LoadAndDelete(r); ok {
		one := open.(*inspected)
		f.held.Add(-one.lent)
		f.closeTx(r, one.tx)
	}
	if b, ok := r.HTTP.Body.(*prefixed); ok {
		f.held.Add(-b.lent.Swap(0))
	}
}

// Rules is how many rules are in force.
func (f *Firewall) Rules() int { return f.rules.count }
