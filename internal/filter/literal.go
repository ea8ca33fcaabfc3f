package filter

import (
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// parseValue reads one literal of the field's kind and adds it to n.
func (p *parser) parseValue(n *node) error {
	t := p.tok
	if t.kind == tokenEnd {
		return p.errorAt(t.pos, "the filter ends where %s was expected", n.field.kind.example())
	}
	if n.field.kind == kindTime {
		return p.parseMoment(n)
	}
	if t.kind == tokenSymbol {
		if t.text == "-" {
			return p.errorAt(t.pos, "%s is never negative", n.field.name)
		}
		return p.wanted(n, t)
	}
	var err error
	if n.field.kind.textual() {
		err = p.textValue(n, t)
	} else {
		err = p.numberValue(n, t)
	}
	if err != nil {
		return err
	}
	return p.advance()
}

// wanted is the error for a literal of the wrong type.
func (p *parser) wanted(n *node, t token) error {
	hint := ""
	if t.kind == tokenWord && lookup(t.text) != nil {
		hint = "; a field is compared with a literal, not with another field"
	}
	return p.errorAt(t.pos, "found %s, expected %s%s", t.describe(), n.field.kind.example(), hint)
}

func (p *parser) textValue(n *node, t token) error {
	kind := n.field.kind
	whole := n.op == opEqual || n.op == opIn // the literal is a whole value, not a part of one
	s := t.text
	if t.kind != tokenString {
		if t.kind != tokenWord || !whole || kind != kindMethod && kind != kindEnum {
			if t.kind == tokenWord && lookup(t.text) == nil {
				return p.errorAt(t.pos, "found %s, expected %s; did you mean %q?", t.describe(), kind.example(), shorten(t.text))
			}
			return p.wanted(n, t)
		}
	}
	switch {
	case n.op == opMatches:
		re, err := regexp.Compile(s)
		if err != nil {
			return p.errorAt(t.pos, "not a regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		n.re = re
	case whole && kind == kindIP:
		w, err := parseNetwork(s)
		if err != "" || n.op == opEqual && w.prefix.IsValid() && !w.single {
			if err == "" {
				err = "is a range; write client_ip in " + strconv.Quote(s)
			}
			return p.errorAt(t.pos, "%q %s", shorten(s), err)
		}
		n.nets = append(n.nets, w)
		return nil
	case whole && kind == kindEnum && s != "" && !slices.Contains(n.field.values, s):
		return p.errorAt(t.pos, "%s is never %q%s", n.field.name, shorten(s), suggest(s, n.field.values))
	case whole && kind == kindMethod:
		s = methodName(s)
	case whole && kind == kindID && s != "":
		id, err := tapway.ParseID(s)
		if err != nil {
			return p.errorAt(t.pos, "%q is not an id; for a part of one use startsWith", shorten(s))
		}
		s = id.String()
	}
	n.texts = append(n.texts, s)
	return nil
}

// methodName puts a usual method in capitals: methods are case-sensitive (RFC 9110 §9.1),
// and a filter for "get" would silently find nothing.
func methodName(s string) string {
	for _, m := range [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"} {
		if strings.EqualFold(s, m) {
			return m
		}
	}
	return s
}

// parseNetwork reads an address or a range; "" is "no address known". problem is "" or
// what is wrong, to stand behind the text.
func parseNetwork(s string) (w network, problem string) {
	if s == "" {
		return network{single: true}, ""
	}
	if strings.Contains(s, "/") {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return w, `is not a range of addresses such as "10.0.0.0/8"`
		}
		if prefix.Addr().Is4In6() {
			if prefix.Bits() < 96 {
				return w, "is a range that holds both IPv4 and IPv6 addresses"
			}
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		if prefix != prefix.Masked() {
			return w, "has bits beyond its length; did you mean " + strconv.Quote(prefix.Masked().String()) + "?"
		}
		return network{prefix: prefix}, ""
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return w, `is not an address such as "192.0.2.1" or "2001:db8::1"`
	}
	addr = addr.Unmap()
	return network{netip.PrefixFrom(addr, addr.BitLen()), true}, ""
}

func (p *parser) numberValue(n *node, t token) error {
	if t.kind != tokenNumber {
		if _, ok := n.number(t.text); ok && t.kind == tokenString {
			return p.errorAt(t.pos, "found text, expected %s; leave the quotes away: %s", n.field.kind.example(), t.text)
		}
		return p.wanted(n, t)
	}
	v, ok := n.number(t.text)
	if !ok {
		if _, err := strconv.ParseFloat(t.text, 64); err == nil && n.field.kind == kindDuration {
			return p.errorAt(t.pos, "found %s without a unit; did you mean %sms or %ss?", t.describe(), t.text, t.text)
		}
		return p.wanted(n, t)
	}
	n.ranges = append(n.ranges, v)
	return nil
}

// number reads a literal of an ordered kind.
func (n *node) number(s string) (span, bool) {
	var v int64
	ok := false
	switch n.field.kind {
	case kindStatus:
		if len(s) == 3 && '1' <= s[0] && s[0] <= '5' && strings.EqualFold(s[1:], "xx") {
			v = int64(s[0]-'0') * 100
			return span{v, v + 99}, true
		}
		v, ok = plainNumber(s, 999)
	case kindCount:
		v, ok = plainNumber(s, math.MaxInt32)
	case kindSize:
		v, ok = parseSize(s)
	case kindDuration:
		var d time.Duration
		d, ok = parseDuration(s)
		v = int64(d)
	}
	return span{v, v}, ok
}

func plainNumber(s string, most int64) (int64, bool) {
	v, err := strconv.ParseUint(s, 10, 63)
	return int64(v), err == nil && int64(v) <= most
}

// parseSize reads 512, 10KiB, 1.5MB; a bare number counts bytes.
func parseSize(s string) (int64, bool) {
	num, name := splitUnit(s)
	if name == "" {
		return plainNumber(s, math.MaxInt64)
	}
	for _, u := range sizeUnits {
		if strings.EqualFold(name, u.name) {
			return scale(num, u.size)
		}
	}
	return 0, false
}

// parseDuration reads 250ms, 1m30s, 1.5h, 7d, and 0.
func parseDuration(s string) (time.Duration, bool) {
	if s == "0" {
		return 0, true
	}
	var sum int64
	for s != "" {
		num, rest := splitUnit(s)
		end := 0
		for end < len(rest) && !isDigit(rest[end]) && rest[end] != '.' {
			end++
		}
		name := rest[:end]
		if name == "µs" || name == "μs" {
			name = "us"
		}
		i := slices.IndexFunc(durationUnits, func(u unit) bool { return u.name == name })
		if i < 0 {
			return 0, false
		}
		v, ok := scale(num, durationUnits[i].size)
		if !ok || v > math.MaxInt64-sum {
			return 0, false
		}
		sum += v
		s = rest[end:]
	}
	return time.Duration(sum), true
}

// splitUnit parts "1.5MB" into "1.5" and "MB".
func splitUnit(s string) (num, unit string) {
	i := 0
	for i < len(s) && (isDigit(s[i]) || s[i] == '.') {
		i++
	}
	return s[:i], s[i:]
}

// scale multiplies a decimal number, cutting what is below one.
func scale(num string, unit int64) (int64, bool) {
	whole, frac, dotted := strings.Cut(num, ".")
	v, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || int64(v) > math.MaxInt64/unit || dotted && frac == "" {
		return 0, false
	}
	sum := int64(v) * unit
	if dotted {
		f, err := strconv.ParseFloat("0."+frac, 64)
		if err != nil || f >= 1 {
			return 0, false
		}
		part := int64(math.Round(f * float64(unit)))
		if part > math.MaxInt64-sum {
			return 0, false
		}
		sum += part
	}
	return sum, true
}

// parseMoment reads now, now-5m, -5m, or a date and time, in quotes or not.
func (p *parser) parseMoment(n *node) error {
	t := p.tok
	n.at = moment{}
	if t.kind == tokenString || t.kind == tokenNumber {
		fixed, ok := parseTime(t.text)
		if !ok {
			if d, err := parseDuration(t.text); err && d > 0 {
				return p.errorAt(t.pos, "found %s, expected a time; did you mean now-%s?", t.describe(), shorten(t.text))
			}
			return p.wanted(n, t)
		}
		n.at.fixed = fixed
		return p.advance()
	}
	n.at.relative = true
	if p.isWord("now") {
		if err := p.advance(); err != nil {
			return err
		}
		if !p.isSymbol("-") && !p.isSymbol("+") {
			return nil
		}
	}
	if !p.isSymbol("-") && !p.isSymbol("+") {
		return p.wanted(n, t)
	}
	back := p.tok.text == "-"
	if err := p.advance(); err != nil {
		return err
	}
	d, ok := parseDuration(p.tok.text)
	if !ok || p.tok.kind != tokenNumber {
		return p.errorAt(p.tok.pos, "found %s, expected a duration such as 5m", p.tok.describe())
	}
	if back {
		d = -d
	}
	n.at.offset = d
	return p.advance()
}

// timeLayouts are RFC 3339 and what is left of it when the end is cut off, read as UTC.
var timeLayouts = [...]string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"}

func parseTime(s string) (time.Time, bool) {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			t = t.UTC()
			return t, t.Year() >= 1 && t.Year() <= 9999
		}
	}
	return time.Time{}, false
}
