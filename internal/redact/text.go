package redact

import "bytes"

// textBody redacts what stands behind a rule's name and "=" or ":" in plain text, such as a log line,
// an INI file or YAML: what is in quotes, or else the rest of the line. Where nothing tells where a value ends, such as one that
// begins on another line, all that follows goes.
func (r *Redactor) textBody(in []byte, _ bool) ([]byte, error) {
	if utf16ish(in) {
		return nil, errUTF16
	}
	if !r.fields.in(in) {
		return in, nil
	}
	var cuts []cut
	for i := 0; i < len(in); {
		n := bytes.IndexAny(in[i:], "=:")
		if n < 0 {
			break
		}
		at := i + n
		if !hasPart(r.fields.names, keyBefore(in, at)) {
			i = at + 1
			continue
		}
		start, end := textValue(in, at)
		if start < 0 {
			if start = at + 1; start == len(in) {
				break
			}
			cuts = append(cuts, cut{start, len(in), " " + r.mark.replace(in[start:])})
			break
		}
		if by := r.mark.replace(in[start:end]); end > start && by != string(in[start:end]) {
			cuts = append(cuts, cut{start, end, by})
		}
		i = end
	}
	if cuts == nil {
		return in, nil
	}
	return apply(in, cuts), nil
}

// keyBefore is the word before the separator at place at, quoted or not.
func keyBefore(b []byte, at int) []byte {
	end := at
	for end > 0 && (b[end-1] == ' ' || b[end-1] == '\t') {
		end--
	}
	if end > 0 && (b[end-1] == '"' || b[end-1] == '\'') {
		end--
	}
	start := end
	for start > 0 && b[start-1] > ' ' && bytes.IndexByte([]byte("\"'`,;&?({<>=:|"), b[start-1]) < 0 {
		start--
	}
	return b[start:end]
}

// textValue finds the value behind the separator at place at, -1 if it cannot be told.
func textValue(b []byte, at int) (start, end int) {
	i := at + 1
	for i < len(b) && bytes.IndexByte([]byte(" \t=:>"), b[i]) >= 0 { // "=>" and ":=" are separators too
		i++
	}
	if i >= len(b) || bytes.IndexByte([]byte("\r\n|{[\\&*!"), b[i]) >= 0 && !bytes.HasPrefix(b[i:], []byte(Mark[:len(Mark)-1])) {
		return -1, -1 // on another line, or of several
	}
	if q := b[i]; q == '"' || q == '\'' || q == '`' {
		if i+2 < len(b) && b[i+1] == q && b[i+2] == q {
			return -1, -1 // three quotes: a text of lines
		}
		for j := i + 1; j < len(b); j++ {
			switch {
			case b[j] == '\\' || b[j] == q && j+1 < len(b) && b[j+1] == q && j > i+1: // YAML and SQL write a quote twice
				j++
			case b[j] == q:
				return i + 1, j
			}
		}
		return -1, -1
	}
	end, next := lineEnd(b, i)
	// What is indented deeper than the line goes on with it, in YAML.
	for indent := indentOf(b, at, " \t-"); next < len(b) && indentOf(b, next, " \t") > indent; {
		end, next = lineEnd(b, next)
	}
	return i, end
}

// indentOf counts the bytes of fill that the line around place at begins with.
func indentOf(b []byte, at int, fill string) int {
	start := at
	for start > 0 && b[start-1] != '\n' && b[start-1] != '\r' {
		start--
	}
	n := 0
	for start+n < len(b) && bytes.IndexByte([]byte(fill), b[start+n]) >= 0 {
		n++
	}
	return n
}
