package egress

import "net/netip"

// Source says who gave the name that is to be dialled.
type Source uint8

const (
	// Stranger is whoever is not known to be the operator: a request, a document fetched from
	// elsewhere. Without rules only public addresses are dialled for them.
	Stranger Source = iota
	// Configured is the operator: a URL in the configuration or on the command line. Without
	// rules it is dialled wherever it leads, but a name not to link-local and metadata
	// addresses, which were hardly meant; the address itself may be configured.
	Configured
)

func (s Source) String() string {
	if s == Configured {
		return "configured"
	}
	return "stranger"
}

// Target is one address that might be dialled.
type Target struct {
	Host   string     // as it was given: a name, or the address itself (IPv6 without brackets)
	Addr   netip.Addr // what the name was resolved to
	Port   uint16
	Source Source
}

// Verdict is what a policy says of a target.
type Verdict struct {
	Allowed bool
	// Rule is the one that decided, as written, or AllowList, HostForm, Named or Default, or a
	// range that is denied by default: "default private", "default metadata" and so on.
	Rule string
}

// String is "allowed-by: 10.0.0.0/8" or "denied-by: default private".
func (v Verdict) String() string {
	if v.Allowed {
		return "allowed-by: " + v.Rule
	}
	return "denied-by: " + v.Rule
}

// The rules that need not be written, but for those of the default's ranges.
const (
	AllowList = "allow list" // something is allowed by rule, but not this
	HostForm  = "host form"  // no resolver is asked about such a name
	Named     = "configured" // the configuration names it, and nothing speaks against it
	Default   = "default"    // a stranger named it, and it is public
)

func denied(rule string) Verdict  { return Verdict{false, rule} }
func allowed(rule string) Verdict { return Verdict{true, rule} }

// Decide says whether t may be dialled. Names and addresses are judged apart, because neither is
// more specific than the other: a denial of one stands, whatever is said of the other.
func (p *Policy) Decide(t Target) Verdict {
	h, err := parseHost(t.Host)
	if err != nil {
		return denied(HostForm)
	}
	name := p.ofName(h.name, t.Port)
	if name != nil && name.deny {
		return denied(name.String())
	}
	// A name that is written out in allow is as good as one in the rest of the configuration.
	least := strangers
	if t.Source == Configured || name != nil && !name.wild {
		least = names
	}
	if t.Source == Configured && h.addr.IsValid() {
		least = names + 1
	}
	a := t.Addr.Unmap().WithZone("")
	allow, deny := p.judge(a, t.Port, least)
	for _, inner := range within(a) {
		if deny != "" {
			break
		}
		var also *entry
		also, deny = p.judge(inner, t.Port, least)
		if allow == nil && nat64.Contains(a) {
			allow = also
		}
	}
	switch {
	case deny != "":
		return denied(deny)
	case name != nil:
		return allowed(name.String())
	case allow != nil:
		return allowed(allow.String())
	case p != nil && p.closed:
		return denied(AllowList)
	case t.Source == Configured:
		return allowed(Named)
	}
	return allowed(Default)
}

// judge gives the rule that allows an address, or the name of the one that denies it, or neither.
// The default's ranges are rules too; one as specific from the configuration wins over them.
func (p *Policy) judge(a netip.Addr, port uint16, least reach) (allow *entry, deny string) {
	e := p.ofAddr(a, port)
	if e != nil && e.deny {
		return nil, e.String()
	}
	s := specialOf(a)
	if s.reach >= least && (e == nil || s.prefix.Bits() > e.prefix.Bits()) {
		return nil, s.rule
	}
	return e, ""
}

// specialOf gives the narrowest special range around an address; the zero special if there is none.
func specialOf(a netip.Addr) special {
	all := specials()
	for bits := a.BitLen(); bits > 0; bits-- {
		prefix, _ := a.Prefix(bits)
		if s, ok := all[prefix]; ok {
			return s
		}
	}
	return special{}
}

// Never tells whether a host that the configuration names can be dialled at no address, as far as
// that is known without resolving it, and what denies it.
func (p *Policy) Never(host string, port uint16) (Verdict, bool) {
	h, err := parseHost(host)
	switch {
	case err != nil:
		return denied(HostForm), true
	case h.addr.IsValid():
		v := p.Decide(Target{Host: host, Addr: h.addr, Port: port, Source: Configured})
		return v, !v.Allowed
	}
	if e := p.ofName(h.name, port); e != nil {
		if e.deny {
			return denied(e.String()), true
		}
		return Verdict{}, false
	}
	if p == nil || !p.closed {
		return Verdict{}, false
	}
	for _, r := range p.allow {
		if r.prefix.IsValid() && r.hasPort(port) {
			return Verdict{}, false
		}
	}
	return denied(AllowList), true
}
