package proxy

import (
	"strings"
)

// prefersHTML reports whether an Accept header asks for text/html more than for
// application/json (RFC 9110 §12.5.1), as browsers do. Without a header, and for "*/*", the
// answer is no.
func prefersHTML(accept []string) bool {
	html, json := preference{}, preference{}
	for _, line := range accept {
		for line != "" {
			var element string
			element, line = cutQuoted(line, ',')
			mediaRange, parameters := cutQuoted(element, ';')
			q, ok := quality(parameters)
			if !ok {
				continue
			}
			mediaRange = strings.Trim(mediaRange, " \t")
			html.take(mediaRange, q, "text/html", "text/*")
			json.take(mediaRange, q, "application/json", "application/*")
		}
	}
	return html.q > json.q
}

// preference is how much one media type is wanted, by the most specific range that names it.
type preference struct {
	specific int
	q        int // thousandths
}

func (p *preference) take(mediaRange string, q int, exact, family string) {
	specific := 0
	switch {
	case strings.EqualFold(mediaRange, exact):
		specific = 3
	case strings.EqualFold(mediaRange, family):
		specific = 2
	case mediaRange == "*/*":
		specific = 1
	}
	if specific > p.specific || specific > 0 && specific == p.specific && q > p.q {
		p.specific, p.q = specific, q
	}
}

// quality finds q among parameters, in thousandths; ok is false if it is malformed.
func quality(parameters string) (q int, ok bool) {
	for parameters != "" {
		var one string
		one, parameters = cutQuoted(parameters, ';')
		name, value, _ := strings.Cut(one, "=")
		if strings.EqualFold(strings.Trim(name, " \t"), "q") {
			return parseQ(strings.Trim(value, " \t"))
		}
	}
	return 1000, true
}

// parseQ reads a weight (RFC 9110 §12.4.2): 0 to 1 with up to three decimals.
func parseQ(s string) (int, bool) {
	whole, decimals, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(decimals) > 3 {
		return 0, false
	}
	q := int(whole[0] - '0')
	for i := range 3 {
		d := byte('0')
		if i < len(decimals) {
			d = decimals[i]
		}
		if d < '0' || d > '9' {
			return 0, false
		}
		q = q*10 + int(d-'0')
	}
	return q, q <= 1000
}

// cutQuoted is strings.Cut at the first sep that is not inside a quoted string.
func cutQuoted(s string, sep byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
