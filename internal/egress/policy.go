package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Rules are a policy as the configuration has it; each is in the form of [ParseRule].
type Rules struct {
	Allow      []string // not empty: what no rule allows is denied, whoever named it
	Deny       []string
	ReportOnly bool // denials are told and counted, and dialled all the same
}

// Policy decides. It does not change and is safe for concurrent use; nil is the policy without rules.
type Policy struct {
	addrs      table[netip.Prefix]
	exact      table[string]
	wild       table[string]
	lengths4   []int // of the prefixes there are, longest first
	lengths6   []int
	closed     bool // something is allowed by rule
	reportOnly bool
	allow      []Rule
}

// entry is a rule in its table.
type entry struct {
	Rule
	deny bool
}

type table[K comparable] map[K][]entry

// New makes a policy. The error names every rule that cannot be read.
func New(r Rules) (*Policy, error) {
	p := &Policy{addrs: table[netip.Prefix]{}, exact: table[string]{}, wild: table[string]{}, closed: len(r.Allow) > 0, reportOnly: r.ReportOnly}
	var errs []error
	for _, list := range []struct {
		key   string
		rules []string
		deny  bool
	}{{"allow", r.Allow, false}, {"deny", r.Deny, true}} {
		for _, text := range list.rules {
			rule, err := ParseRule(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", list.key, err))
				continue
			}
			p.add(entry{rule, list.deny})
		}
	}
	for _, t := range []table[string]{p.exact, p.wild} {
		t.sort()
	}
	p.addrs.sort()
	for prefix := range p.addrs {
		lengths := &p.lengths6
		if prefix.Addr().Is4() {
			lengths = &p.lengths4
		}
		if !slices.Contains(*lengths, prefix.Bits()) {
			*lengths = append(*lengths, prefix.Bits())
		}
	}
	for _, lengths := range [][]int{p.lengths4, p.lengths6} {
		slices.SortFunc(lengths, func(a, b int) int { return b - a })
	}
	return p, errors.Join(errs...)
}

func (p *Policy) add(e entry) {
	switch {
	case e.prefix.IsValid():
		p.addrs[e.prefix] = append(p.addrs[e.prefix], e)
	case e.wild:
		p.wild[e.name] = append(p.wild[e.name], e)
	default:
		p.exact[e.name] = append(p.exact[e.name], e)
	}
	if !e.deny {
		p.allow = append(p.allow, e.Rule)
	}
}

// sort puts the rule that decides first: the narrower range of ports, then deny.
func (t table[K]) sort() {
	for _, list := range t {
		slices.SortStableFunc(list, func(a, b entry) int { return a.rank() - b.rank() })
	}
}

func (e *entry) rank() int {
	if e.deny {
		return 2 * e.width()
	}
	return 2*e.width() + 1
}

// best gives the rule that decides among those of one key, or nil.
func (t table[K]) best(key K, port uint16) *entry {
	list := t[key]
	for i := range list {
		if list[i].hasPort(port) {
			return &list[i]
		}
	}
	return nil
}

// ofName gives the most specific rule that takes a name.
func (p *Policy) ofName(name string, port uint16) *entry {
	if p == nil || name == "" {
		return nil
	}
	if e := p.exact.best(name, port); e != nil {
		return e
	}
	for {
		_, parent, ok := strings.Cut(name, ".")
		if !ok {
			return nil
		}
		if e := p.wild.best(parent, port); e != nil {
			return e
		}
		name = parent
	}
}

// ofAddr gives the most specific rule that takes an address.
func (p *Policy) ofAddr(a netip.Addr, port uint16) *entry {
	if p == nil {
		return nil
	}
	lengths := p.lengths6
	if a.Is4() {
		lengths = p.lengths4
	}
	for _, bits := range lengths {
		prefix, _ := a.Prefix(bits)
		if e := p.addrs.best(prefix, port); e != nil {
			return e
		}
	}
	return nil
}

// ReportOnly tells whether denials are only to be told. It is a matter of the dialer's: Decide
// gives the same verdicts either way.
func (p *Policy) ReportOnly() bool { return p != nil && p.reportOnly }
