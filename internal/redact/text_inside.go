package redact

import "bytes"

// Texts hold fields of their own: a form in a string of JSON, a connection string, a line of a log, a
// document of GraphQL. assignments and graphQL find the values in them that go. They are for strings
// within something that is read by its own rules; a body of plain text is textBody's.

// nameTest says whether a name's value goes.
type nameTest func(name []byte) bool

func (m *memberNames) part(name []byte) bool {
	if m.has(name) {
		return true
	}
	if i := bytes.LastIndexAny(name, ".["); i >= 0 {
		return m.has(bytes.Trim(name[i+1:], "]"))
	}
	return false
}

// assignments redacts what stands behind "name=" in a text, up to a blank or "&", or in quotes. It gives
// the text itself when there is nothing.
func assignments(text []byte, goes nameTest, mark marker) []byte {
	var cuts []cut
	for i := 0; i < len(text); {
		n := bytes.IndexByte(text[i:], '=')
		if n < 0 {
			break
		}
		at := i + n
		i = at + 1
		name := keyBefore(text, at)
		if decoded, ok := decodeParam(string(name)); ok {
			name = []byte(decoded)
		}
		if i == len(text) || !goes(trimSpace(name)) {
			continue
		}
		start, end := i, i
		if q := text[i]; q == '"' || q == '\'' {
			start = i + 1
			end = start
			for end < len(text) && text[end] != q {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			end = min(end, len(text))
		} else {
			for end < len(text) && text[end] > ' ' && text[end] != '&' {
				end++
			}
		}
		if by := mark.replace(paramValue(string(text[start:end]))); end > start && by != string(text[start:end]) {
			cuts = append(cuts, cut{start, end, by})
		}
		i = end
	}
	if cuts == nil {
		return text
	}
	return apply(text, cuts)
}

// looksGraphQL reports whether a text begins as a GraphQL document does.
func looksGraphQL(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n,")
	for len(text) > 0 && text[0] == '#' {
		_, next := lineEnd(text, 0)
		text = bytes.TrimLeft(text[next:], " \t\r\n,")
	}
	if len(text) > 0 && text[0] == '{' {
		return true
	}
	for _, word := range [...]string{"query", "mutation", "subscription", "fragment"} {
		if bytes.HasPrefix(text, []byte(word)) && len(text) > len(word) && !wordByte(text[len(word)]) {
			return true
		}
	}
	return false
}

// graphQL redacts the values that a document gives to arguments and input fields by their names: strings,
// numbers, lists and objects. Variables and other names stay. It gives the text itself when there are none.
func graphQL(text []byte, goes nameTest, mark marker) []byte {
	var cuts []cut
	for i := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = graphQLString(text, i)
			continue
		case '#':
			_, i = lineEnd(text, i)
			continue
		case ':':
		default:
			i++
			continue
		}
		name := keyBefore(text, i)
		i++
		if !goes(name) {
			continue
		}
		for i < len(text) && (blank(text[i]) || text[i] == ',') {
			i++
		}
		start := i
		i = graphQLValue(text, i)
		if i == start {
			continue
		}
		if value := text[start:i]; string(value) != `"`+Mark+`"` && string(value) != `""` {
			cuts = append(cuts, cut{start, i, `"` + mark.replace(bytes.Trim(value, `"`)) + `"`})
		}
	}
	if cuts == nil {
		return text
	}
	return apply(text, cuts)
}

// graphQLBody redacts a body that is a document of GraphQL.
func (r *Redactor) graphQLBody(in []byte, _ bool) ([]byte, error) {
	if utf16ish(in) {
		return nil, errUTF16
	}
	if !r.fields.in(in) {
		return in, nil
	}
	return graphQL(in, func(name []byte) bool { return hasPart(r.fields.names, name) }, r.mark), nil
}

// graphQLValue gives the end of the value at i, or i if it is a variable or a name.
func graphQLValue(text []byte, i int) int {
	if i == len(text) {
		return i
	}
	switch c := text[i]; {
	case c == '"':
		return graphQLString(text, i)
	case c == '-' || c >= '0' && c <= '9':
		for i < len(text) && (wordByte(text[i]) || bytes.IndexByte([]byte("+-."), text[i]) >= 0) {
			i++
		}
	case c == '[' || c == '{':
		for open := 0; i < len(text); {
			switch text[i] {
			case '"':
				i = graphQLString(text, i)
				continue
			case '[', '{':
				open++
			case ']', '}':
				open--
			}
			i++
			if open == 0 {
				break
			}
		}
	}
	return i
}

// graphQLString gives the end of the string at i; one that is not closed goes on to the end.
func graphQLString(text []byte, i int) int {
	if block := []byte(`"""`); bytes.HasPrefix(text[i:], block) {
		for i += len(block); i < len(text); i++ {
			if bytes.HasPrefix(text[i:], []byte(`\"""`)) {
				i += len(block)
			} else if bytes.HasPrefix(text[i:], block) {
				return i + len(block)
			}
		}
		return len(text)
	}
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// hasField reports whether a name that goes stands before ":" in a text, and neither a variable nor a mark behind it.
func hasField(text []byte, goes nameTest) bool {
	for i := 0; ; i++ {
		n := bytes.IndexByte(text[i:], ':')
		if n < 0 {
			return false
		}
		i += n
		rest := bytes.TrimLeft(text[i+1:], " \t\r\n")
		gone := bytes.HasPrefix(rest, []byte("$")) || bytes.HasPrefix(rest, []byte(`"`+Mark[:len(Mark)-1]))
		if !gone && goes(keyBefore(text, i)) {
			return true
		}
	}
}
