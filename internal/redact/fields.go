package redact

import "bytes"

// fieldNames are the names that rules give to fields, for bodies that are neither JSON nor a form:
// the form's names, and of each JSON path the last names in it. They match in any letter case,
// which is more than the JSON rules say: there is no second chance.
type fieldNames struct {
	names  *nameSet
	search *search
}

func newFieldNames(form []string, paths []path) fieldNames {
	f := fieldNames{names: newNameSet(form)}
	for _, p := range paths {
		for i := len(p) - 1; i >= 0; i-- {
			if byNames, ok := p[i].names(); ok {
				for _, name := range byNames {
					f.names.add(name)
				}
				break
			}
		}
	}
	f.search = newSearch(f.names.all, false)
	return f
}

// in reports whether one of the names can stand in b.
func (f *fieldNames) in(b []byte) bool {
	if f.search.always {
		return true
	}
	found, ascii := f.search.find(b)
	return found || !ascii && (bytes.Contains(b, longS) || bytes.Contains(b, kelvin))
}

// holdIn reports whether a text with a name in it may hold a value of it: behind "=" or ":", or in
// markup, escaped or not.
func (f *fieldNames) holdIn(text []byte) bool {
	for _, markup := range [...]string{"<", "&lt;", "&#", "&quot;", "&apos;", `\`} {
		if bytes.Contains(text, []byte(markup)) {
			return true
		}
	}
	for i := 0; ; i++ {
		n := bytes.IndexAny(text[i:], "=:")
		if n < 0 {
			return false
		}
		if i += n; hasPart(f.names, keyBefore(text, i)) {
			return true
		}
	}
}
