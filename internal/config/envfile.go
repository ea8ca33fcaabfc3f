package config

import "strings"

// EnvFile reads a file of variables as systemd reads an EnvironmentFile (systemd.exec(5)), so that a
// command can see what the service sees. What systemd would pass over is a problem here. Of two
// values of a variable the last one counts.
func EnvFile(name string, text []byte) (map[string]string, Problems) {
	r := envReader{file: name, text: strings.ReplaceAll(string(text), "\r\n", "\n"), line: 1, values: map[string]string{}}
	r.text = strings.TrimPrefix(r.text, "\ufeff")
	for r.text != "" {
		r.entry()
	}
	return r.values, r.problems
}

type envReader struct {
	file, text string // text is what is left
	line       int
	values     map[string]string
	problems   Problems
}

// cut takes the next byte off.
func (r *envReader) cut() byte {
	c := r.text[0]
	if r.text = r.text[1:]; c == '\n' {
		r.line++
	}
	return c
}

// restOfLine takes everything up to the line's end off, and that end; a backslash before it joins the
// next line to this one.
func (r *envReader) restOfLine() string {
	var out strings.Builder
	for r.text != "" {
		c := r.cut()
		switch {
		case c == '\n':
			return out.String()
		case c == '\\' && strings.HasPrefix(r.text, "\n"):
			r.cut()
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// entry reads one variable, or what stands instead of it.
func (r *envReader) entry() {
	r.text = strings.TrimLeft(r.text, " \t")
	at := r.line
	fail := func(message, hint string) {
		r.problems = append(r.problems, Problem{File: r.file, Line: at, Column: 1, Message: message, Hint: hint})
	}
	i := strings.IndexAny(r.text, "=\n")
	switch {
	case r.text == "":
		return
	case r.text[0] == '\n':
		r.cut()
		return
	case r.text[0] == '#', r.text[0] == ';':
		r.restOfLine()
		return
	case i < 0 || r.text[i] == '\n':
		r.restOfLine()
		fail("there is no = in this line", "write NAME=value")
		return
	}
	key := strings.TrimRight(r.text[:i], " \t")
	r.text = r.text[i+1:]
	value, closed := r.value()
	switch {
	case strings.HasPrefix(key, "export "):
		fail("systemd passes over a line that begins with export", "remove that word")
	case !made(key, letters+"0123456789_", 1, 1<<10) || key[0] >= '0' && key[0] <= '9':
		fail("what stands before the = is not the name of a variable", "use letters, digits and _")
	case !closed:
		fail(key+": the quotation mark is not closed", "")
	default:
		r.values[key] = value
	}
}

// value reads what stands behind the =, to the line's end. In '…' a backslash is a backslash, and
// elsewhere it takes the next character as it is. A quote within a word is a character like others.
func (r *envReader) value() (value string, closed bool) {
	var out strings.Builder
	word, keep := false, 0 // up to keep what came is no trailing space
	for r.text != "" {
		c := r.cut()
		switch {
		case c == '\n':
			return out.String()[:keep], true
		case !word && (c == '\'' || c == '"'):
			if !r.quoted(c, &out) {
				return "", false
			}
			keep = out.Len()
		case c == '\\' && r.text != "":
			if c = r.cut(); c != '\n' {
				out.WriteByte(c)
			}
			word, keep = true, out.Len()
		case c == ' ' || c == '\t':
			if word {
				out.WriteByte(c)
			}
		default:
			out.WriteByte(c)
			word, keep = true, out.Len()
		}
	}
	return out.String()[:keep], true
}

// quoted reads to the closing quote.
func (r *envReader) quoted(quote byte, out *strings.Builder) bool {
	for r.text != "" {
		c := r.cut()
		switch {
		case c == quote:
			return true
		case c == '\\' && quote == '"' && r.text != "":
			switch next := r.cut(); {
			case strings.IndexByte("\"\\`$", next) >= 0:
				out.WriteByte(next)
			case next != '\n':
				out.WriteString("\\" + string(next))
			}
		default:
			out.WriteByte(c)
		}
	}
	return false
}
