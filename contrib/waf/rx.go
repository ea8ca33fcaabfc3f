package waf

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"rsc.io/binaryregexp"
)

// The rules' @rx is ours: Coraza asks package regexp, which takes most of the time that a long value takes. Verdicts and captures
// are the same. SecRxPreFilter switches it.
func init() { plugins.RegisterOperator("rx", newRx) }

// finder is package regexp's, or package binaryregexp's, which takes bytes for what they are.
type finder interface {
	MatchString(text string) bool
	FindStringSubmatchIndex(text string) []int
}

type rx struct {
	expr finder
	fast *dfa // nil: none
}

func newRx(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	make := func() (any, error) { return compileRx(o.Arguments, o.RxPreFilterEnabled) }
	if o.Memoizer == nil {
		one, err := compileRx(o.Arguments, o.RxPreFilterEnabled)
		return one, err
	}
	one, err := o.Memoizer.Do(fmt.Sprintf("tapway rx %v %s", o.RxPreFilterEnabled, o.Arguments), make)
	if err != nil {
		return nil, err
	}
	return one.(*rx), nil
}

// compileRx reads an expression as Coraza does: "." takes line feeds too, and ^ and $ are of lines, but not where bytes beyond
// ASCII are meant by themselves.
func compileRx(expr string, fast bool) (*rx, error) {
	one := new(rx)
	if !utf8.ValidString(byteEscape.ReplaceAllStringFunc(expr, unescapeByte)) {
		compiled, err := binaryregexp.Compile(expr)
		if err != nil {
			return nil, err
		}
		one.expr = compiled
	} else {
		expr = "(?sm)" + expr
		compiled, err := regexp.Compile(expr)
		if err != nil {
			return nil, err
		}
		one.expr = compiled
	}
	if fast {
		one.fast = newDFA(expr)
	}
	return one, nil
}

var byteEscape = regexp.MustCompile(`\\x(?:[0-9a-fA-F]{2}|\{[0-9a-fA-F]{2}\})`)

func unescapeByte(escape string) string {
	n, _ := strconv.ParseUint(strings.Trim(escape, `\x{}`), 16, 8) // the expression has seen to it
	return string([]byte{byte(n)})
}

// maxCaptures is how many groups a rule can speak of.
const maxCaptures = 9

// Evaluate is plugintypes.Operator.
func (o *rx) Evaluate(tx plugintypes.TransactionState, text string) bool {
	if o.fast != nil {
		if matched, known := o.fast.match(text); known && (!matched || !tx.Capturing()) {
			return matched
		}
	}
	if !tx.Capturing() {
		return o.expr.MatchString(text)
	}
	found := o.expr.FindStringSubmatchIndex(text)
	for i := 0; i < len(found)/2 && i < maxCaptures; i++ {
		group := ""
		if found[2*i] >= 0 {
			group = text[found[2*i]:found[2*i+1]]
		}
		tx.CaptureField(i, group)
	}
	return found != nil
}
