package redact

import (
	"bytes"
	"errors"
	"strings"
)

var errForm = errors.New("a form field's name is not validly percent-encoded")

// Query redacts a raw query, without "?": the values of the named parameters go, every other
// byte stays. A parameter begins behind "&", ";" or a "?" (a URL in a parameter); a value that
// goes ends only at "&", because not everyone takes ";" for an end. A name that is not
// validly percent-encoded could be any name: its value goes too, and so does a value that is a URL
// or JSON of its own with something in it that goes.
func (r *Redactor) Query(raw string) string {
	if !r.urls {
		return raw
	}
	return r.params(raw, 0, "&", newDive(len(raw)))
}

// dive bounds how far parameters within parameters are looked into, which a stranger chooses: depth is how many
// URLs deep, left how many bytes may be decoded for it in all.
type dive struct {
	depth int
	left  *int
}

// newDive is for a text of n bytes. Where separators are not in dispute, each level costs n at most.
func newDive(n int) dive {
	left := 32*n + 4096
	return dive{3, &left}
}

// spent takes what it costs to look into n bytes, and reports whether that is too much.
func (d dive) spent(n int) bool {
	*d.left -= n
	return *d.left < 0
}

func (d dive) deeper() dive { return dive{d.depth - 1, d.left} }

// params redacts the parameters of s, the first of which begins at place i. A value that goes
// ends at one of the bytes in ends.
func (r *Redactor) params(s string, i int, ends string, d dive) string {
	var cuts []cut
	end := -1
	for {
		n := strings.IndexAny(s[i:], "=&;?#")
		if n < 0 {
			break
		}
		if s[i+n] != '=' {
			i += n + 1
			continue
		}
		name, value := s[i:i+n], i+n+1
		decoded, ok := decodeParam(name)
		whole := !ok || hasPart(r.query, trimSpace(decoded))
		if end < value { // "?" and ";" may be parts of values: several then end at the same place
			end = endOf(s, value, ends)
		}
		if whole || r.hides(s[value:end], d) {
			if end > value {
				cuts = append(cuts, cut{value, end, r.mark.replace(paramValue(s[value:end]))})
			}
			value = end
		}
		if i = endOf(s, value, "&;?#") + 1; i > len(s) {
			break
		}
	}
	if cuts == nil {
		return s
	}
	return string(apply([]byte(s), cuts))
}

// hides reports whether a parameter's raw value is more than a value: a URL, JSON or a document of GraphQL in which
// something goes.
func (r *Redactor) hides(raw string, d dive) bool {
	if d.spent(len(raw)) {
		return true // it cannot be told what is in it
	}
	return r.urls && (r.nested(raw, d) || r.hidesUser(raw)) || r.hidesFields(raw)
}

// nested reports whether a parameter's raw value is a URL or a query of its own, percent-encoded
// (redirect_uri=https%3A%2F%2F…%3Ftoken%3D…), with a parameter that goes.
func (r *Redactor) nested(value string, d dive) bool {
	if strings.IndexByte(value, '%') < 0 || !strings.Contains(value, "%3D") && !strings.Contains(value, "%3d") && !strings.Contains(value, "%25") {
		return false
	}
	if d.spent(len(value)) || d.depth == 0 {
		return true
	}
	decoded, ok := decodeParam(value)
	if !ok {
		return true
	}
	return r.params(decoded, 0, "&", d.deeper()) != decoded || r.nested(decoded, d.deeper())
}

// hidesUser reports whether a raw value is a URL with a user and password in it.
func (r *Redactor) hidesUser(raw string) bool {
	if strings.IndexByte(raw, '@') < 0 && !strings.Contains(raw, "%40") {
		return false
	}
	decoded := string(decodeLoosely(raw))
	return r.userinfo(decoded) != decoded
}

func endOf(s string, from int, ends string) int {
	if n := strings.IndexAny(s[from:], ends); n >= 0 {
		return from + n
	}
	return len(s)
}

// formBody redacts an urlencoded body and returns b itself when no field is named. It fails
// when a field's name cannot be read.
func (r *Redactor) formBody(b []byte, truncated bool) ([]byte, error) {
	var cuts []cut
	d := newDive(len(b))
	for i := 0; i < len(b); {
		end := i
		for end < len(b) && b[end] != '&' {
			end++
		}
		half := truncated && end == len(b) && r.urls && halfAuthority(decodeLoosely(string(b[i:end]))) >= 0
		look := bytes.ContainsAny(b[i:end], "%@{[") // nothing else hides anything
		// "a=1;token=x" is one field to most and two to some: every part's name counts, and what
		// follows a name that does goes up to the "&".
		for i < end {
			stop, equals := i, -1
			for stop < end && b[stop] != ';' {
				if b[stop] == '=' && equals < 0 {
					equals = stop
				}
				stop++
			}
			if equals >= 0 {
				hit, err := r.formField(b[i:equals])
				if err != nil {
					return nil, err
				}
				if hit || half || look && (d.spent(end-equals) || r.hides(string(b[equals+1:end]), d)) {
					if end > equals+1 {
						cuts = append(cuts, cut{equals + 1, end, r.mark.replace(paramValue(string(b[equals+1 : end])))})
					}
					break
				}
			}
			i = stop + 1
		}
		i = end + 1
	}
	if cuts == nil {
		return b, nil
	}
	return apply(b, cuts), nil
}

// formField reports whether a rule names the field with this raw name.
func (r *Redactor) formField(name []byte) (bool, error) {
	for _, c := range name {
		if c == '%' || c == '+' {
			decoded, ok := decodeParam(string(name))
			if !ok {
				return false, errForm
			}
			return hasPart(r.form, trimSpace(decoded)), nil
		}
	}
	return hasPart(r.form, trimSpace(name)), nil
}

// hidesFields reports whether a raw value is JSON (variables=%7B%22token%22…) or GraphQL (query=mutation…) of its own
// that the JSON rules change, or that cannot be read.
func (r *Redactor) hidesFields(raw string) bool {
	if r.json.none || raw == "" || !beginsFields(raw[0]) {
		return false
	}
	decoded := decodeLoosely(raw)
	if looksJSON(decoded) {
		out, err := r.jsonBody(decoded, false)
		return err != nil || !same(out, decoded)
	}
	return looksGraphQL(decoded) && !same(graphQL(decoded, r.json.deep.part, r.mark), decoded)
}

// beginsFields reports whether a raw value that begins with c can be JSON or GraphQL.
func beginsFields(c byte) bool { return bytes.IndexByte([]byte("{[%+ #,qmsf"), c) >= 0 }

// trimSpace drops the blanks around a name: files of pairs written by hand begin their lines
// with them, and text/plain forms end them with CRLF.
func trimSpace[T string | []byte](s T) T {
	for len(s) > 0 && blank(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && blank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// decodeParam undoes percent-encoding and "+" (the URL standard's form encoding), and reports
// false for a "%" without two hex digits.
func decodeParam(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			high, ok1 := unhex(s[i+1])
			low, ok2 := unhex(s[i+2])
			if !ok1 || !ok2 {
				return "", false
			}
			c = high<<4 | low
			i += 2
		}
		out = append(out, c)
	}
	return string(out), true
}

// decodeLoosely is decodeParam for what is only looked into: a "%" without two hex digits stands for itself.
func decodeLoosely(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(s):
			high, ok1 := unhex(s[i+1])
			low, ok2 := unhex(s[i+2])
			if ok1 && ok2 {
				c = high<<4 | low
				i += 2
			}
		}
		out = append(out, c)
	}
	return out
}

// paramValue is the value that a token stands for: decoded, so that it equals the same value
// in a JSON body, or as it is when it cannot be.
func paramValue(raw string) []byte {
	if v, ok := decodeParam(raw); ok {
		return []byte(v)
	}
	return []byte(raw)
}
