package egress

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Outcome is what became of a verdict when something was to be dialled. The values are those of
// metrics.
type Outcome string

const (
	Allowed   Outcome = "allowed"
	Denied    Outcome = "denied"
	WouldDeny Outcome = "would_deny" // denied under report_only: dialled all the same
)

// Dialer makes connections to where its policy lets it. The zero Dialer has the policy without
// rules and takes everybody for a stranger. It asks no proxy, whatever the environment says. It
// is safe for concurrent use and must not be copied or changed after the first call.
type Dialer struct {
	Policy *Policy

	// Observe is told of every dial, once for each outcome and rule among the addresses of its
	// name. It must be quick and safe for concurrent use. nil: nobody is.
	Observe func(o Outcome, rule string)

	// Log gets what the error of a dial does not tell: denials under report_only, and denied
	// addresses of a name that has allowed ones. Each is a warning once, and a debug line
	// afterwards. nil: slog.Default().
	Log *slog.Logger

	// Resolve gives the addresses of a name; nil: net.DefaultResolver.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)

	// Connect makes a connection to "ip:port"; nil: a net.Dialer's.
	Connect func(ctx context.Context, network, addr string) (net.Conn, error)

	mu   sync.Mutex
	told map[string]bool
}

// Known tells which hosts the configuration names; host is in lower case. nil: none.
type Known func(host string, port uint16) bool

// Operator is for what an operator asks for by hand: every host is named by the configuration.
func Operator(string, uint16) bool { return true }

// URLs is Known for the hosts of these URLs, http or https. What stands behind the host is not
// looked at, so a URL may hold placeholders there.
func URLs(list ...string) Known {
	known := map[string]bool{}
	for _, one := range list {
		if host, port, ok := HostOf(one); ok {
			known[net.JoinHostPort(host, strconv.Itoa(int(port)))] = true
		}
	}
	return func(host string, port uint16) bool {
		return known[net.JoinHostPort(host, strconv.Itoa(int(port)))]
	}
}

// HostOf gives host, in lower case and without brackets, and port of an http or https URL.
func HostOf(text string) (host string, port uint16, ok bool) {
	scheme, rest, _ := strings.Cut(text, "://")
	port = map[string]uint16{"http": 80, "https": 443}[strings.ToLower(scheme)]
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	u, err := url.Parse("http://" + rest)
	if err != nil || port == 0 || u.Hostname() == "" {
		return "", 0, false
	}
	if u.Port() != "" {
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return "", 0, false
		}
		port = uint16(n)
	}
	return strings.ToLower(u.Hostname()), port, true
}

// DeniedError says that nothing was dialled. Its text holds addresses: it is for the log, not
// for a client.
type DeniedError struct {
	Host    string
	Port    uint16
	Addrs   []netip.Addr // all of them denied; none when the name was not resolved
	Verdict Verdict      // of the first
}

func (e *DeniedError) Error() string {
	text := fmt.Sprintf("egress denied by %s: %s", e.Verdict.Rule, net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
	for i, a := range e.Addrs {
		switch {
		case a.String() == e.Host:
			continue
		case i == 0:
			text += " is "
		default:
			text += ", "
		}
		text += a.String()
	}
	return text
}

// DeniedBy is the rule alone, without an address that was resolved. Other packages find the
// error by this method.
func (e *DeniedError) DeniedBy() string { return e.Verdict.Rule }

// Ruling is the verdict on one address of a host; Addr is not valid if the host was not resolved.
type Ruling struct {
	Addr    netip.Addr
	Verdict Verdict
}

// Judge resolves a host and says what the policy makes of each of its addresses. Nothing is
// dialled, counted or logged. The error is the resolver's.
func (d *Dialer) Judge(ctx context.Context, host string, port uint16, from Source) ([]Ruling, error) {
	h, err := parseHost(host)
	if err != nil {
		return []Ruling{{Verdict: d.Policy.Decide(Target{Host: host})}}, nil
	}
	if e := d.Policy.ofName(h.name, port); e != nil && e.deny && !d.Policy.ReportOnly() {
		return []Ruling{{Verdict: denied(e.String())}}, nil // what its addresses are is nobody's business
	}
	addrs := []netip.Addr{h.addr}
	if !h.addr.IsValid() {
		if addrs, err = d.resolve(ctx, host); err != nil {
			return nil, err
		}
	}
	var out []Ruling
	for _, a := range addrs {
		a = a.Unmap()
		if !slices.ContainsFunc(out, func(r Ruling) bool { return r.Addr == a }) {
			out = append(out, Ruling{a, d.Policy.Decide(Target{Host: host, Addr: a, Port: port, Source: from})})
		}
	}
	return out, nil
}

func (d *Dialer) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	resolve := d.Resolve
	if resolve == nil {
		resolve = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	addrs, err := resolve(ctx, name)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no address", Name: name, IsNotFound: true}
	}
	return addrs, err
}

// DialContext connects to "host:port" for a stranger.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return d.dial(ctx, network, addr, nil)
}

// For is DialContext for those who have to do with the hosts that known tells of: these are the
// configuration's, all others a stranger's. An error is a *DeniedError or a *net.OpError.
func (d *Dialer) For(known Known) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return d.dial(ctx, network, addr, known)
	}
}

func (d *Dialer) dial(ctx context.Context, network, addr string, known Known) (net.Conn, error) {
	failed := func(err error) error { return &net.OpError{Op: "dial", Net: network, Err: err} }
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, failed(err)
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil || network != "tcp" {
		return nil, failed(&net.AddrError{Err: "want tcp and a port's number", Addr: network + " " + addr})
	}
	port, from := uint16(n), Stranger
	if known != nil && known(strings.ToLower(host), port) {
		from = Configured
	}
	rulings, err := d.Judge(ctx, host, port, from)
	if err != nil {
		return nil, failed(err)
	}
	usable, refusal := d.sift(host, port, rulings)
	if refusal != nil {
		return nil, refusal
	}
	if len(usable) == 0 { // report_only lets through even what could not be judged by address
		if usable, err = d.resolve(ctx, host); err != nil {
			return nil, failed(err)
		}
	}
	return d.connect(ctx, network, usable, port)
}

// sift tells of the rulings and gives the addresses to dial, or the error if that is none.
func (d *Dialer) sift(host string, port uint16, rulings []Ruling) ([]netip.Addr, *DeniedError) {
	var usable, refused []netip.Addr
	for i, r := range rulings {
		outcome := Allowed
		switch {
		case r.Verdict.Allowed:
		case d.Policy.ReportOnly():
			outcome = WouldDeny
		default:
			outcome = Denied
		}
		if d.Observe != nil && !slices.ContainsFunc(rulings[:i], func(before Ruling) bool { return before.Verdict == r.Verdict }) {
			d.Observe(outcome, r.Verdict.Rule)
		}
		switch {
		case outcome == Denied && r.Addr.IsValid():
			refused = append(refused, r.Addr)
		case outcome != Denied && r.Addr.IsValid():
			usable = append(usable, r.Addr)
		}
		if outcome == WouldDeny {
			d.tell("egress would be denied, but report_only lets it pass", host, port, r)
		}
	}
	if len(usable) == 0 && !d.Policy.ReportOnly() {
		return nil, &DeniedError{Host: host, Port: port, Addrs: refused, Verdict: rulings[0].Verdict}
	}
	for _, r := range rulings {
		if slices.Contains(refused, r.Addr) {
			d.tell("egress denied to one of the addresses of a name; the others are used", host, port, r)
		}
	}
	return usable, nil
}

// maxTold bounds what is remembered of warnings; names can come from strangers.
const maxTold = 1000

func (d *Dialer) tell(message, host string, port uint16, r Ruling) {
	key := fmt.Sprint(host, " ", port, " ", r)
	d.mu.Lock()
	level := slog.LevelDebug
	if !d.told[key] && len(d.told) < maxTold {
		if d.told == nil {
			d.told = map[string]bool{}
		}
		d.told[key], level = true, slog.LevelWarn
	}
	d.mu.Unlock()
	log := d.Log
	if log == nil {
		log = slog.Default()
	}
	attrs := []any{"host", host, "port", port, "verdict", r.Verdict.String()}
	if r.Addr.IsValid() {
		attrs = append(attrs, "address", r.Addr.String())
	}
	log.Log(context.Background(), level, message, attrs...)
}
