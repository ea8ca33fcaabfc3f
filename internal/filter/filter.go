// Package filter is the one filter language of tapway: capture rules, a destination's
// condition, tail, dead letters, export, replay and the console's search box all speak it.
//
//	status >= 500 && path startsWith "/api/"
//	duration > 250ms and not (method in [GET, HEAD])
//	client_ip in ["10.0.0.0/8", "::1"] || headers["user-agent"] contains "curl"
//	status in [4xx, 503] && time >= now-5m
//	body contains "order-4711"
//
// A comparison has its field on the left and literals on the right; what a literal may be
// follows from the field, so every type error is found when parsing. && binds tighter than
// ||, ! and not reach over the comparison that follows. Words for operators are read in
// any letter case. Text stands in double, single or back quotes; only back quotes leave
// backslashes alone. A field of text by itself is true when it is not empty. The empty
// expression takes everything.
//
// What a newcomer gets wrong: a header may stand several times, and a condition on it
// holds when any of its lines satisfies it, while != and the other negations hold when
// none does; with body it is the same for the two bodies. And a relative time (now-5m) is measured when matching, not when parsing.
package filter

import (
	"fmt"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/content"
)

// Limits of an expression, of its source and of its canonical text alike.
const (
	MaxLength = 8192 // bytes
	MaxDepth  = 64   // parentheses and negations within each other
)

// Filter is a parsed expression. It is safe for concurrent use; nil and the zero Filter
// take everything.
type Filter struct {
	root *node
	text string
}

// Error says what is wrong with an expression and where.
type Error struct {
	Column  int    // counted in characters from 1
	Message string // what was found and what was expected, without the column
}

func (e *Error) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Message) }

// Env is what a filter is asked about.
type Env struct {
	Meta        *tapway.Meta // required
	Destination string       // "" where no destination is in question
	Attempts    int          // attempts to deliver made so far

	// Header gives both headers. It is called only if a header field must be asked, at most
	// once per Match; nil stands for empty headers.
	Header func() (request, response tapway.Header)

	// Body gives both bodies as Bodies does. It is called only if a body must be asked, at most
	// once per Match; nil stands for none.
	Body func() (request, response []byte)

	Now time.Time // the moment that relative times start from; zero: the clock is asked
}

// EnvOf is what there is to ask about an exchange that is at hand as a whole.
func EnvOf(ex *tapway.Exchange) Env {
	return Env{Meta: &ex.Meta, Now: time.Now(),
		Header: func() (request, response tapway.Header) { return ex.RequestHeader, ex.ResponseHeader },
		Body:   func() (request, response []byte) { return Bodies(ex) },
	}
}

// maxBody bounds what a body may decode to; what is behind is not searched.
const maxBody = 32 << 20

// Bodies gives the bodies of an exchange as the body fields read them: without their content
// codings, up to 32 MiB. Of one that cannot be decoded it gives what was read until then.
func Bodies(ex *tapway.Exchange) (request, response []byte) {
	return plain(ex.RequestHeader, &ex.Request), plain(ex.ResponseHeader, &ex.Response)
}

func plain(h tapway.Header, b *tapway.Body) []byte {
	if b.Decoded || len(b.Bytes) == 0 || !h.Has("Content-Encoding") {
		return b.Bytes
	}
	var codings []string
	for _, f := range h {
		if strings.EqualFold(f.Name, "Content-Encoding") {
			codings = append(codings, f.Value)
		}
	}
	out, err := content.Decode(strings.Join(codings, ", "), b.Bytes, maxBody)
	if err != nil && len(out) == 0 {
		return b.Bytes // it may never have been coded
	}
	return out
}

// Parse reads an expression. Every error is an *Error.
func Parse(expr string) (*Filter, error) {
	p := parser{lexer: lexer{src: expr}}
	root, err := p.parse()
	if err != nil {
		return nil, err
	}
	f := &Filter{root: root}
	if root != nil {
		text := string(root.append(nil, false))
		if len(text) > MaxLength {
			return nil, &Error{1, fmt.Sprintf("the filter is longer than %d bytes when its strings are written out", MaxLength)}
		}
		f.text = text
		root.arrange()
	}
	return f, nil
}

// Match reports whether the filter takes e. It does not allocate unless a header or the
// text of an id is asked for.
func (f *Filter) Match(e *Env) bool {
	if f == nil || f.root == nil {
		return true
	}
	r := run{meta: e.Meta, env: e}
	return r.eval(f.root)
}

// String is the canonical text: parsing it gives an equivalent filter with the same text.
func (f *Filter) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

// NeedsHeaders reports whether Match may call Env.Header.
func (f *Filter) NeedsHeaders() bool { return f.Uses("headers") || f.Uses("response_headers") }

// NeedsBodies reports whether Match may call Env.Body.
func (f *Filter) NeedsBodies() bool {
	return f.Uses("body") || f.Uses("request_body") || f.Uses("response_body")
}

// Uses reports whether the expression names a field, so that a caller can refuse a field
// that means nothing where the filter stands ("destination" in a capture rule).
func (f *Filter) Uses(field string) bool {
	if f == nil || f.root == nil {
		return false
	}
	def := lookup(field)
	return def != nil && f.root.uses(def.id)
}
