package top

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tapway/tapway/internal/content"
	"github.com/tapway/tapway/internal/terminal"
)

const (
	maxIndent = 64       // levels: what is deeper stays as it came
	maxHex    = 64 << 10 // bytes shown as such
)

// Lines is how a body is read best, without colours. The text is still a stranger's: see terminal.Clean.
func Lines(contentType string, b []byte) []string {
	var out []string
	for _, l := range pretty(contentType, b) {
		out = append(out, l.text())
	}
	return out
}

// pretty shows a body as its kind is read best: JSON indented, forms a field a line, text as it is, and what is
// no text in hexadecimal. The text is still a stranger's.
func pretty(contentType string, b []byte) []line {
	switch {
	case len(b) == 0:
		return []line{{{"The body is empty.", terminal.Dim}}}
	case !isText(b):
		return hexDump(b)
	}
	looksJSON := bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) || bytes.HasPrefix(bytes.TrimSpace(b), []byte("["))
	if content.IsJSON(contentType) || content.IsJSONLines(contentType) || looksJSON {
		if lines := prettyJSON(b); lines != nil {
			return lines
		}
	}
	if content.IsForm(contentType) {
		if lines := prettyForm(string(b)); lines != nil {
			return lines
		}
	}
	var out []line
	for text := range strings.SplitSeq(strings.TrimSuffix(string(b), "\n"), "\n") {
		out = append(out, plain(expandTabs(strings.TrimSuffix(text, "\r"))))
	}
	return out
}

// isText reports whether b is UTF-8, perhaps cut off in a character, with few control characters.
func isText(b []byte) bool {
	strange := 0
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return len(b)-i < utf8.UTFMax && !utf8.FullRune(b[i:]) && i > 0
		}
		if r == 0 {
			return false
		}
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			strange++
		}
		i += n
	}
	return strange*20 <= len(b) || strange <= 8
}

// prettyJSON is nil if b is no JSON, or JSON that is too deep to be indented.
func prettyJSON(b []byte) []line {
	if deeper(b, maxIndent) {
		return nil
	}
	var out []line
	dec := json.NewDecoder(bytes.NewReader(b))
	for { // JSON lines are several values
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			if err.Error() != "EOF" || len(out) == 0 {
				return nil
			}
			return out
		}
		var indented bytes.Buffer
		if json.Indent(&indented, v, "", "  ") != nil {
			return nil
		}
		for text := range strings.SplitSeq(indented.String(), "\n") {
			out = append(out, paintJSON(text))
		}
	}
}

func deeper(b []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// paintJSON gives a line of indented JSON its colours: the key, and what stands after it.
func paintJSON(text string) line {
	indent := len(text) - len(strings.TrimLeft(text, " "))
	rest := text[indent:]
	if !strings.HasPrefix(rest, `"`) {
		return line{{text[:indent], 0}, {rest, valueStyle(rest)}}
	}
	end := 1
	for end < len(rest) && rest[end] != '"' {
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	if end++; end+2 > len(rest) || rest[end] != ':' {
		return line{{text[:indent], 0}, {rest, valueStyle(rest)}}
	}
	return line{{text[:indent], 0}, {rest[:end], terminal.Cyan}, {": ", 0}, {rest[end+2:], valueStyle(rest[end+2:])}}
}

func valueStyle(value string) terminal.Style {
	switch {
	case strings.HasPrefix(value, `"[REDACTED`):
		return terminal.Dim
	case strings.HasPrefix(value, `"`):
		return terminal.Green
	case value == "" || strings.ContainsAny(value[:1], "{}[]"):
		return 0
	}
	return terminal.Yellow
}

func prettyForm(text string) []line {
	var out []line
	for pair := range strings.SplitSeq(strings.TrimSpace(text), "&") {
		name, value, _ := strings.Cut(pair, "=")
		for _, s := range []*string{&name, &value} {
			plain, err := url.QueryUnescape(*s)
			if err != nil {
				return nil
			}
			*s = plain
		}
		out = append(out, line{{name, terminal.Cyan}, {" = ", 0}, {value, 0}})
	}
	return out
}

func hexDump(b []byte) []line {
	shown := b[:min(len(b), maxHex)]
	var out []line
	for at := 0; at < len(shown); at += 16 {
		row := shown[at:min(at+16, len(shown))]
		var hex, text strings.Builder
		for i, c := range row {
			if i == 8 {
				hex.WriteByte(' ')
			}
			fmt.Fprintf(&hex, " %02x", c)
			if c < ' ' || c > '~' {
				c = '.'
			}
			text.WriteByte(c)
		}
		out = append(out, line{{fmt.Sprintf("%06x ", at), terminal.Dim}, {fmt.Sprintf("%-49s  ", hex.String()), 0}, {text.String(), terminal.Cyan}})
	}
	if len(b) > len(shown) {
		out = append(out, line{{fmt.Sprintf("… and %s more", terminal.Bytes(int64(len(b)-len(shown)))), terminal.Dim}})
	}
	return out
}

func expandTabs(s string) string {
	if !strings.Contains(s, "\t") {
		return s
	}
	var b strings.Builder
	column := 0
	for _, r := range s {
		if r != '\t' {
			b.WriteRune(r)
			column++
			continue
		}
		n := 8 - column%8
		b.WriteString(strings.Repeat(" ", n))
		column += n
	}
	return b.String()
}

// wrap breaks a line into lines of no more than width columns.
func wrap(l line, width int) []line {
	width = max(width, 2)
	if len(l) == 0 {
		return []line{nil}
	}
	var out []line
	var row line
	used := 0
	for _, p := range l {
		begin := 0
		for i, r := range p.text {
			w := terminal.Width(string(r))
			if used+w > width {
				row = append(row, part{p.text[begin:i], p.style})
				out, row, used, begin = append(out, row), nil, 0, i
			}
			used += w
		}
		row = append(row, part{p.text[begin:], p.style})
	}
	return append(out, row)
}
