package redact

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// nameSet holds names that match in any letter case. It is asked once per header line,
// parameter and member name, so most questions end at the length and the first letter.
type nameSet struct {
	byLength [40]nameList
	longer   nameList
	all      []string
}

type nameList struct {
	initials uint32 // bit c&31 for each first byte c: the same for both cases
	names    []string
}

func newNameSet(names []string) *nameSet {
	s := new(nameSet)
	for _, name := range names {
		s.add(name)
	}
	return s
}

func (s *nameSet) add(name string) {
	if name == "" || hasName(s, name) {
		return
	}
	l := s.list(len(name))
	l.initials |= 1 << (name[0] & 31)
	l.names = append(l.names, name)
	s.all = append(s.all, name)
}

func (s *nameSet) empty() bool { return len(s.all) == 0 }

func (s *nameSet) list(n int) *nameList {
	if n < len(s.byLength) {
		return &s.byLength[n]
	}
	return &s.longer
}

// headerSet holds names of headers, and beginnings of names. "_" is "-" in them: many servers do not tell
// them apart.
type headerSet struct {
	*nameSet
	prefixes []string
}

func newHeaderSet(names []string) headerSet {
	s := headerSet{nameSet: new(nameSet)}
	for _, name := range names {
		name = strings.ReplaceAll(name, "_", "-")
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			s.prefixes = append(s.prefixes, prefix)
		} else {
			s.add(name)
		}
	}
	return s
}

func (s *headerSet) has(name string) bool {
	if strings.IndexByte(name, '_') >= 0 {
		name = strings.ReplaceAll(name, "_", "-")
	}
	if hasName(s.nameSet, name) {
		return true
	}
	for _, p := range s.prefixes {
		// The last letter tells most names apart: the first ones are "X-".
		if n := len(p); n <= len(name) && (n == 0 || (name[n-1]^p[n-1])&^0x20 == 0 && equalFoldASCII(name[:n], p)) {
			return true
		}
	}
	return false
}

// hasName reports whether name is in s, by Unicode's simple case folding.
func hasName[T string | []byte](s *nameSet, name T) bool {
	if len(name) == 0 {
		return false
	}
	l := s.list(len(name))
	if l.initials&(1<<(name[0]&31)) != 0 {
		for _, n := range l.names {
			if equalFoldASCII(name, n) {
				return true
			}
		}
	}
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return hasUnicode(s, string(name))
		}
	}
	return false
}

// hasUnicode is the slow way for names with letters outside ASCII, whose two cases may differ
// in length.
func hasUnicode(s *nameSet, name string) bool {
	for _, n := range s.all {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// hasPart reports whether name, or a part of a composed name such as user[password] or
// user.password, is in s.
func hasPart[T string | []byte](s *nameSet, name T) bool {
	if hasName(s, name) {
		return true
	}
	start, composed := 0, false
	for i := range len(name) {
		if c := name[i]; c == '[' || c == ']' || c == '.' {
			composed = true
			if i > start && hasName(s, name[start:i]) {
				return true
			}
			start = i + 1
		}
	}
	return composed && start < len(name) && hasName(s, name[start:])
}

// memberNames is what $..name rules ask for at every member: fold's in any letter case,
// exact's as they are.
type memberNames struct {
	fold  *nameSet
	exact map[string]bool
}

func (m *memberNames) add(sel selector) {
	if sel.fold {
		m.fold.add(sel.name)
	} else {
		m.exact[sel.name] = true
	}
}

func (m *memberNames) has(key []byte) bool {
	return hasName(m.fold, key) || len(m.exact) > 0 && m.exact[string(key)]
}

// matchesName reports whether the selector picks a member of that name.
func (s selector) matchesName(key []byte) bool {
	switch {
	case s.kind == byWildcard:
		return true
	case s.kind != byName:
		return false
	case s.fold:
		return bytes.EqualFold(key, []byte(s.name))
	}
	return string(key) == s.name
}
