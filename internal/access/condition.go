package access

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// condition is one operator on one key with the values it is compared to.
type condition struct {
	operator string // as it was written, for explain
	key      *conditionKey
	negated  bool // the operator asks that nothing matches
	ifExists bool // holds when the key is not there
	set      quantifier
	null     bool // Null; want says whether the key must be absent
	want     bool

	match func(value string) bool // some value of the policy takes this one
	ips   *Set                    // instead of match, for addresses
}

type quantifier uint8

const (
	single quantifier = iota
	forAny            // ForAnyValue: some value of the call must match; none: does not hold
	forAll            // ForAllValues: every value of the call must match; none: holds
)

// holds evaluates a condition as IAM does. Each key has one value in a call or none; without
// one, an operator that asks for a match does not hold and one that asks for none does.
func (c *condition) holds(r *Request) bool {
	if c.ips != nil {
		addr, there := r.sourceIP(c.key.vpc)
		return c.verdict(there, there && c.ips.Contains(addr))
	}
	value, there := c.key.value(r)
	if c.null {
		return there != c.want
	}
	return c.verdict(there, there && c.match(value))
}

func (c *condition) verdict(there, matched bool) bool {
	switch {
	case there:
		return matched != c.negated
	case c.ifExists, c.set == forAll:
		return true
	case c.set == forAny:
		return false
	}
	return c.negated
}

// keyType is what values of a key are.
type keyType uint8

const (
	stringKey keyType = 1 << iota
	ipKey
	boolKey
	dateKey
	numberKey
	arnKey
)

// conditionKey is where a key's value comes from.
type conditionKey struct {
	name  string
	types keyType
	vpc   bool // the address is the one inside the VPC
	value func(r *Request) (string, bool)
}

// conditionKeys are the keys that this gateway knows a call's value of, or knows that it has
// none. (API Gateway has more; a policy with one of those is refused when it is read.)
var conditionKeys = []*conditionKey{
	{name: "aws:SourceIp", types: ipKey | stringKey, value: func(r *Request) (string, bool) { return addrText(r.sourceIP(false)) }},
	{name: "aws:VpcSourceIp", types: ipKey | stringKey, vpc: true, value: func(r *Request) (string, bool) { return addrText(r.sourceIP(true)) }},
	{name: "aws:SourceVpc", types: stringKey, value: func(r *Request) (string, bool) { return r.fact(func(f *tapway.Facts) string { return f.VPC }) }},
	{name: "aws:SourceVpce", types: stringKey, value: func(r *Request) (string, bool) {
		return r.fact(func(f *tapway.Facts) string { return f.VPCEndpoint })
	}},
	{name: "aws:UserAgent", types: stringKey, value: header("User-Agent")},
	{name: "aws:Referer", types: stringKey, value: header("Referer")},
	{name: "aws:CurrentTime", types: dateKey | stringKey, value: func(r *Request) (string, bool) {
		return r.Now.UTC().Format(time.RFC3339), true
	}},
	{name: "aws:EpochTime", types: dateKey | numberKey | stringKey, value: func(r *Request) (string, bool) {
		return strconv.FormatInt(r.Now.Unix(), 10), true
	}},
	{name: "aws:SecureTransport", types: boolKey | stringKey, value: func(r *Request) (string, bool) { return strconv.FormatBool(r.Secure), true }},
	{name: "aws:PrincipalArn", types: arnKey | stringKey, value: func(r *Request) (string, bool) { return r.Caller.ARN, r.Caller.ARN != "" }},
	{name: "aws:PrincipalAccount", types: stringKey, value: func(r *Request) (string, bool) { return r.Caller.Account, r.Caller.Account != "" }},
}

// sourceIP is the client's address as one of the two keys has it: a call through a VPC endpoint
// has aws:VpcSourceIp and no aws:SourceIp, any other the other way round.
func (r *Request) sourceIP(vpc bool) (netip.Addr, bool) {
	private := r.facts != nil && r.facts.VPCEndpoint != ""
	return r.Client, r.Client.IsValid() && private == vpc
}

func (r *Request) fact(of func(*tapway.Facts) string) (string, bool) {
	if r.facts == nil {
		return "", false
	}
	value := of(r.facts)
	return value, value != ""
}

func addrText(addr netip.Addr, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	return addr.String(), true
}

func header(name string) func(r *Request) (string, bool) {
	return func(r *Request) (string, bool) {
		lines := r.HTTP.Header[name]
		if len(lines) == 0 {
			return "", false
		}
		return strings.Join(lines, ","), true
	}
}

// conditionKeyNamed finds a key in any letter case, as IAM does.
func conditionKeyNamed(name string) *conditionKey {
	for _, k := range conditionKeys {
		if strings.EqualFold(k.name, name) {
			return k
		}
	}
	return nil
}

// operators are those of IAM for the types there are, without their prefixes and "IfExists".
// build makes the test of one value of the policy.
var operators = map[string]struct {
	types   keyType
	negated bool
	build   func(want string) (func(value string) bool, error)
}{
	"StringEquals":              {types: stringKey, build: exactly},
	"StringNotEquals":           {types: stringKey, negated: true, build: exactly},
	"StringEqualsIgnoreCase":    {types: stringKey, build: ignoringCase},
	"StringNotEqualsIgnoreCase": {types: stringKey, negated: true, build: ignoringCase},
	"StringLike":                {types: stringKey, build: like},
	"StringNotLike":             {types: stringKey, negated: true, build: like},

	"ArnEquals":    {types: arnKey, build: arnLike},
	"ArnNotEquals": {types: arnKey, negated: true, build: arnLike},
	"ArnLike":      {types: arnKey, build: arnLike},
	"ArnNotLike":   {types: arnKey, negated: true, build: arnLike},

	"Bool": {types: boolKey, build: boolean},

	"DateEquals":            {types: dateKey, build: date(func(c int) bool { return c == 0 })},
	"DateNotEquals":         {types: dateKey, negated: true, build: date(func(c int) bool { return c == 0 })},
	"DateLessThan":          {types: dateKey, build: date(func(c int) bool { return c < 0 })},
	"DateLessThanEquals":    {types: dateKey, build: date(func(c int) bool { return c <= 0 })},
	"DateGreaterThan":       {types: dateKey, build: date(func(c int) bool { return c > 0 })},
	"DateGreaterThanEquals": {types: dateKey, build: date(func(c int) bool { return c >= 0 })},

	"NumericEquals":            {types: numberKey, build: number(func(c int) bool { return c == 0 })},
	"NumericNotEquals":         {types: numberKey, negated: true, build: number(func(c int) bool { return c == 0 })},
	"NumericLessThan":          {types: numberKey, build: number(func(c int) bool { return c < 0 })},
	"NumericLessThanEquals":    {types: numberKey, build: number(func(c int) bool { return c <= 0 })},
	"NumericGreaterThan":       {types: numberKey, build: number(func(c int) bool { return c > 0 })},
	"NumericGreaterThanEquals": {types: numberKey, build: number(func(c int) bool { return c >= 0 })},

	"IpAddress":    {types: ipKey},
	"NotIpAddress": {types: ipKey, negated: true},
}

func exactly(want string) (func(string) bool, error) {
	return func(value string) bool { return value == want }, nil
}

func ignoringCase(want string) (func(string) bool, error) {
	return func(value string) bool { return strings.EqualFold(value, want) }, nil
}

func like(want string) (func(string) bool, error) {
	return func(value string) bool { return glob(want, value) }, nil
}

func arnLike(want string) (func(string) bool, error) {
	if strings.Count(want, ":") < 5 || !strings.HasPrefix(want, "arn:") {
		return nil, fmt.Errorf("%q is no ARN; write arn:partition:service:region:account:resource, with * and ? in its parts", want)
	}
	return func(value string) bool { return arnGlob(want, value) }, nil
}

func boolean(want string) (func(string) bool, error) {
	if !strings.EqualFold(want, "true") && !strings.EqualFold(want, "false") {
		return nil, fmt.Errorf("%q is neither true nor false", want)
	}
	return func(value string) bool { return strings.EqualFold(value, want) }, nil
}

func date(holds func(int) bool) func(string) (func(string) bool, error) {
	return func(want string) (func(string) bool, error) {
		at, err := parseDate(want)
		if err != nil {
			return nil, err
		}
		return func(value string) bool {
			now, err := parseDate(value)
			return err == nil && holds(now.Compare(at))
		}, nil
	}
}

// dateForms are those of the W3C's profile of ISO 8601 that IAM takes.
var dateForms = []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02", "2006-01", "2006"}

// parseDate reads a date, or seconds since 1970. A year alone has four digits.
func parseDate(s string) (time.Time, error) {
	if len(s) != 4 {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return time.Unix(n, 0), nil
		}
	}
	for _, form := range dateForms {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a date; write 2026-11-20T10:00:00Z", s)
}

func number(holds func(int) bool) func(string) (func(string) bool, error) {
	return func(want string) (func(string) bool, error) {
		n, err := parseNumber(want)
		if err != nil {
			return nil, err
		}
		return func(value string) bool {
			v, err := parseNumber(value)
			switch {
			case err != nil:
				return false
			case v < n:
				return holds(-1)
			case v > n:
				return holds(1)
			}
			return holds(0)
		}, nil
	}
}

func parseNumber(s string) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n != n || strings.ContainsAny(s, "xXpP_iInN") {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return n, nil
}
