package filter

import (
	"fmt"
	"strings"

	nearest "github.com/tapway/tapway/internal/suggest"
)

type parser struct {
	lexer
	tok   token
	depth int
}

// parse reads the whole expression; the empty one is nil.
func (p *parser) parse() (*node, error) {
	if len(p.src) > MaxLength {
		return nil, p.errorAt(0, "the filter has %d bytes; at most %d are read", len(p.src), MaxLength)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokenEnd {
		return nil, nil
	}
	n, err := p.parseOr(false)
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokenEnd {
		return nil, p.unexpected()
	}
	return n, nil
}

// unexpected is the error for what follows a complete expression.
func (p *parser) unexpected() error {
	if p.tok.kind == tokenSymbol && p.tok.text == ")" {
		return p.errorAt(p.tok.pos, "this parenthesis closes none")
	}
	if p.tok.kind == tokenWord {
		if s := nearest.Closest(p.tok.text, []string{"and", "or"}); s != "" {
			return p.errorAt(p.tok.pos, "found %s; did you mean %q?", p.tok.describe(), s)
		}
	}
	return p.errorAt(p.tok.pos, "found %s, expected && or || or the end", p.tok.describe())
}

func (p *parser) advance() (err error) {
	p.tok, err = p.next()
	return err
}

func (p *parser) isWord(word string) bool {
	return p.tok.kind == tokenWord && strings.EqualFold(p.tok.text, word)
}

func (p *parser) isSymbol(s string) bool { return p.tok.kind == tokenSymbol && p.tok.text == s }

// parseOr reads a disjunction. Under a negation it gives the conjunction of the negated
// parts (De Morgan), and parseAnd the other way round.
func (p *parser) parseOr(neg bool) (*node, error) {
	return p.parseChain(neg, "||", "or", opOr, opAnd, p.parseAnd)
}

func (p *parser) parseAnd(neg bool) (*node, error) {
	return p.parseChain(neg, "&&", "and", opAnd, opOr, p.parseNot)
}

func (p *parser) parseChain(neg bool, symbol, word string, plain, negated op, part func(bool) (*node, error)) (*node, error) {
	var kids []*node
	for {
		k, err := part(neg)
		if err != nil {
			return nil, err
		}
		kids = append(kids, k)
		if !p.isSymbol(symbol) && !p.isWord(word) {
			break
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	if neg {
		return combine(negated, kids), nil
	}
	return combine(plain, kids), nil
}

func (p *parser) parseNot(neg bool) (*node, error) {
	paren := p.isSymbol("(")
	if !paren && !p.isSymbol("!") && !p.isWord("not") {
		return p.parseComparison(neg)
	}
	if p.depth++; p.depth > MaxDepth {
		return nil, p.errorAt(p.tok.pos, "the filter is nested deeper than %d", MaxDepth)
	}
	open := p.tok.pos
	if err := p.advance(); err != nil {
		return nil, err
	}
	if !paren {
		n, err := p.parseNot(!neg)
		p.depth--
		return n, err
	}
	n, err := p.parseOr(neg)
	if err != nil {
		return nil, err
	}
	if !p.isSymbol(")") {
		if p.tok.kind == tokenEnd {
			return nil, p.errorAt(open, "this parenthesis is not closed")
		}
		return nil, p.unexpected()
	}
	p.depth--
	return n, p.advance()
}

// parseComparison reads a field, or a field, an operator and its literals.
func (p *parser) parseComparison(neg bool) (*node, error) {
	n := &node{neg: neg}
	start := p.tok.pos
	if err := p.parseField(n); err != nil {
		return nil, err
	}
	opAt, found, err := p.parseOperator(n)
	if err != nil {
		return nil, err
	}
	if !found {
		if !n.field.kind.textual() {
			return nil, p.errorAt(start, "%s is a %s, not true or false; compare it, as in %s", n.field.name, n.field.kind, n.field.sample())
		}
		n.op = opExists
		return n, nil
	}
	switch n.op {
	case opLess, opLessEqual, opGreater, opGreaterEqual:
		if n.field.kind.textual() {
			return nil, p.errorAt(opAt, "%s has no order for `%s`; it takes %s", n.field.name, opText[n.op], n.field.kind.operators())
		}
		if n.neg {
			n.op, n.neg = inverse[n.op], false
		}
	case opContains, opStartsWith, opEndsWith, opMatches:
		if !n.field.kind.textual() {
			return nil, p.errorAt(opAt, "%s is a %s, which `%s` cannot read; it takes %s", n.field.name, n.field.kind, opText[n.op], n.field.kind.operators())
		}
	case opIn:
		if n.field.kind == kindTime {
			return nil, p.errorAt(opAt, "time takes no list; write time >= … && time < …")
		}
		return n, p.parseList(n)
	}
	if p.isSymbol("[") {
		return nil, p.errorAt(p.tok.pos, "`%s` takes one value; for a list use `in`", opText[n.op])
	}
	return n, p.parseValue(n)
}

func (p *parser) parseField(n *node) error {
	t := p.tok
	switch {
	case t.kind == tokenEnd:
		return p.errorAt(t.pos, "the filter ends where a field was expected, such as status or path")
	case t.kind == tokenString || t.kind == tokenNumber:
		return p.errorAt(t.pos, "found %s, expected a field; the field stands on the left, as in status == 404", t.describe())
	case t.kind != tokenWord:
		return p.errorAt(t.pos, "found %s, expected a field such as status or path", t.describe())
	}
	if n.field = lookup(t.text); n.field == nil {
		return p.errorAt(t.pos, "unknown field %q%s", shorten(t.text), suggestField(t.text))
	}
	if err := p.advance(); err != nil {
		return err
	}
	if n.field.kind != kindHeader {
		if p.isSymbol("[") {
			return p.errorAt(p.tok.pos, `%s has no parts; only headers["…"] and response_headers["…"] do`, n.field.name)
		}
		return nil
	}
	if !p.isSymbol("[") {
		return p.errorAt(p.tok.pos, `found %s, expected the header's name: %s["content-type"]`, p.tok.describe(), n.field.name)
	}
	if err := p.advance(); err != nil {
		return err
	}
	if p.tok.kind != tokenString {
		return p.errorAt(p.tok.pos, `found %s, expected a header's name in quotes: %s["content-type"]`, p.tok.describe(), n.field.name)
	}
	if !isHeaderName(p.tok.text) {
		return p.errorAt(p.tok.pos, "%s is not a header's name", p.tok.describe())
	}
	n.key = strings.ToLower(p.tok.text)
	if err := p.advance(); err != nil {
		return err
	}
	if !p.isSymbol("]") {
		return p.errorAt(p.tok.pos, "found %s, expected `]` after the header's name", p.tok.describe())
	}
	return p.advance()
}

// symbolOps and wordOps say which operator a token is; the bool is its negation.
var symbolOps = map[string]struct {
	op  op
	neg bool
}{
	"==": {opEqual, false}, "!=": {opEqual, true}, "<": {opLess, false}, "<=": {opLessEqual, false},
	">": {opGreater, false}, ">=": {opGreaterEqual, false}, "=~": {opMatches, false}, "!~": {opMatches, true},
}

var wordOps = map[string]op{"in": opIn, "contains": opContains, "startswith": opStartsWith, "endswith": opEndsWith, "matches": opMatches}

// parseOperator reads the operator if one follows, and says where it stands.
func (p *parser) parseOperator(n *node) (at int, found bool, err error) {
	at = p.tok.pos
	if p.tok.kind == tokenSymbol {
		o, ok := symbolOps[p.tok.text]
		if !ok {
			return at, false, nil
		}
		n.op, n.neg = o.op, n.neg != o.neg
		return at, true, p.advance()
	}
	if p.tok.kind == tokenString || p.tok.kind == tokenNumber {
		return at, false, p.errorAt(at, "found %s, expected an operator after %s: %s", p.tok.describe(), n.field.name, n.field.kind.operators())
	}
	if p.tok.kind != tokenWord || p.isWord("and") || p.isWord("or") {
		return at, false, nil
	}
	if p.isWord("not") {
		if err := p.advance(); err != nil {
			return at, false, err
		}
		n.neg = !n.neg
		if _, ok := wordOps[strings.ToLower(p.tok.text)]; !ok || p.tok.kind != tokenWord {
			return at, false, p.errorAt(p.tok.pos, "found %s, expected in, contains, startsWith, endsWith or matches after `not`", p.tok.describe())
		}
	}
	o, ok := wordOps[strings.ToLower(p.tok.text)]
	if !ok {
		return at, false, p.errorAt(at, "unknown operator %q%s", shorten(p.tok.text), suggestOperator(p.tok.text, n.field.kind))
	}
	n.op = o
	return at, true, p.advance()
}

func (p *parser) parseList(n *node) error {
	if !p.isSymbol("[") {
		if n.field.kind == kindIP && p.tok.kind == tokenString {
			return p.parseValue(n)
		}
		return p.errorAt(p.tok.pos, "found %s, expected a list: %s in [%s, …]", p.tok.describe(), n.field.name, strings.TrimPrefix(n.field.sample(), n.field.name+" == "))
	}
	open := p.tok.pos
	if err := p.advance(); err != nil {
		return err
	}
	if p.isSymbol("]") {
		return p.errorAt(open, "the list is empty")
	}
	for {
		if err := p.parseValue(n); err != nil {
			return err
		}
		switch {
		case p.isSymbol("]"):
			return p.advance()
		case p.isSymbol(","):
			if err := p.advance(); err != nil {
				return err
			}
		case p.tok.kind == tokenEnd:
			return p.errorAt(open, "this list is not closed")
		default:
			return p.errorAt(p.tok.pos, "found %s, expected a comma or `]`", p.tok.describe())
		}
	}
}

// sample is a comparison with the field, for messages.
func (d *fieldDef) sample() string {
	switch d.kind {
	case kindStatus:
		return d.name + " == 404"
	case kindCount:
		return d.name + " == 3"
	case kindSize:
		return d.name + " > 10KiB"
	case kindDuration:
		return d.name + " > 250ms"
	case kindTime:
		return d.name + " >= now-5m"
	case kindIP:
		return d.name + ` == "192.0.2.1"`
	case kindMethod:
		return d.name + " == GET"
	case kindID:
		return d.name + ` startsWith "0198c2f0"`
	case kindEnum:
		return fmt.Sprintf("%s == %s", d.name, d.values[0])
	case kindBody:
		return d.name + ` contains "abc"`
	}
	return d.name + ` == "abc"`
}

func isHeaderName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
