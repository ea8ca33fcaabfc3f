package filter

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // letters, digits, _: a field, a word operator, a bare value
	tokenNumber           // anything that begins with a digit: 200, 5xx, 1m30s, 2026-11-20T10:00:00Z
	tokenString           // text holds the value, without quotes and escapes
	tokenSymbol           // == ( [ …
)

type token struct {
	kind tokenKind
	text string
	pos  int // byte offset
}

// describe names a token in an error message.
func (t token) describe() string {
	switch t.kind {
	case tokenEnd:
		return "the end"
	case tokenString:
		return strconv.Quote(shorten(t.text))
	}
	return "`" + shorten(t.text) + "`"
}

func shorten(s string) string {
	if len(s) <= 40 {
		return s
	}
	n := 37
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

type lexer struct {
	src string
	pos int
}

// errorAt makes an Error whose column counts characters up to a byte offset.
func (l *lexer) errorAt(pos int, format string, args ...any) error {
	return &Error{Column: 1 + utf8.RuneCountInString(l.src[:pos]), Message: fmt.Sprintf(format, args...)}
}

var symbols = [...]string{"==", "!=", "<=", ">=", "&&", "||", "=~", "!~", "<", ">", "!", "(", ")", "[", "]", ",", "-", "+"}

// wrongSymbols are spellings from other languages.
var wrongSymbols = [...][2]string{{"<>", "!="}, {"=", "=="}, {"&", "&&"}, {"|", "||"}, {"~", "=~"}}

func (l *lexer) next() (token, error) {
	for l.pos < len(l.src) && strings.IndexByte(" \t\r\n", l.src[l.pos]) >= 0 {
		l.pos++
	}
	start := l.pos
	if start == len(l.src) {
		return token{tokenEnd, "", start}, nil
	}
	switch c := l.src[start]; {
	case c == '"' || c == '\'' || c == '`':
		return l.quoted(c)
	case isDigit(c):
		return l.number(), nil
	case isLetter(c):
		for l.pos < len(l.src) && (isLetter(l.src[l.pos]) || isDigit(l.src[l.pos])) {
			l.pos++
		}
		return token{tokenWord, l.src[start:l.pos], start}, nil
	}
	rest := l.src[start:]
	if strings.HasPrefix(rest, "<>") {
		return token{}, l.errorAt(start, "unknown operator `<>`; did you mean `!=`?")
	}
	for _, s := range symbols {
		if strings.HasPrefix(rest, s) {
			l.pos += len(s)
			return token{tokenSymbol, s, start}, nil
		}
	}
	for _, w := range wrongSymbols {
		if strings.HasPrefix(rest, w[0]) {
			return token{}, l.errorAt(start, "unknown operator `%s`; did you mean `%s`?", w[0], w[1])
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	if strings.ContainsRune("“”„‘’«»", r) {
		return token{}, l.errorAt(start, "found %q; text stands in straight quotes: \"abc\"", r)
	}
	return token{}, l.errorAt(start, "found %q, which means nothing here", r)
}

// number takes everything that can belong to a literal beginning with a digit. A dash, plus
// or colon belongs to it only where it reads as a date: nothing here is ever subtracted.
func (l *lexer) number() token {
	start := l.pos
	date := len(l.src) >= start+5 && l.src[start+4] == '-'
	for i := 1; date && i < 4; i++ {
		date = isDigit(l.src[start+i])
	}
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		if !isDigit(c) && !isLetter(c) && c != '.' && (!date || c != '-' && c != ':' && c != '+') {
			r, n := utf8.DecodeRuneInString(l.src[l.pos:])
			if r == utf8.RuneError || !unicode.IsLetter(r) { // µs
				break
			}
			l.pos += n
			continue
		}
		l.pos++
	}
	return token{tokenNumber, l.src[start:l.pos], start}
}

func (l *lexer) quoted(quote byte) (token, error) {
	start := l.pos
	rest := l.src[start+1:]
	if end := strings.IndexByte(rest, quote); end >= 0 && (quote == '`' || strings.IndexByte(rest[:end], '\\') < 0) {
		l.pos = start + 1 + end + 1
		return token{tokenString, rest[:end], start}, nil
	}
	var b []byte
	for len(rest) > 0 && quote != '`' {
		switch {
		case rest[0] == quote:
			l.pos = len(l.src) - len(rest) + 1
			return token{tokenString, string(b), start}, nil
		case rest[0] != '\\':
			b = append(b, rest[0])
			rest = rest[1:]
			continue
		case len(rest) > 1 && (rest[1] == '"' || rest[1] == '\'' || rest[1] == '`'):
			b = append(b, rest[1])
			rest = rest[2:]
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			at := len(l.src) - len(rest)
			if len(rest) < 2 {
				break
			}
			c, _ := utf8.DecodeRuneInString(rest[1:])
			return token{}, l.errorAt(at, "unknown escape `\\%c`; write `\\\\%c`, or put the text in backquotes", c, c)
		}
		if multibyte {
			b = utf8.AppendRune(b, r)
		} else {
			b = append(b, byte(r))
		}
		rest = tail
	}
	return token{}, l.errorAt(start, "the text that begins here has no closing %c", quote)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }
