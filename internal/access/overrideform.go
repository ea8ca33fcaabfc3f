package access

import (
	"bytes"
	"strings"
)

// formScan looks for the field in an urlencoded form. It keeps no more of it than a field's name and value.
type formScan struct {
	may   *judge
	state formState
	field []byte // name, and behind "=" the value, as far as they have come
	cut   int    // where in field the value begins
}

type formState uint8

const (
	formName  formState = iota // in a name that may be the field's
	formOther                  // in another pair
	formValue                  // in the field's value
)

// nameAhead is how much of a name is read before it is asked whether it can still be the field's.
const nameAhead = 64

func (f *formScan) done() bool { return false }

// feed is scanner.
func (f *formScan) feed(b []byte) (held int, err error) {
	for len(b) > 0 {
		if f.state == formOther {
			end := bytes.IndexByte(b, '&')
			if end < 0 {
				end = len(b)
			}
			if semicolon := bytes.IndexByte(b[:end], ';'); semicolon >= 0 {
				end = semicolon
			}
			if end == len(b) {
				return 0, nil
			}
			b = b[end+1:]
			f.begin()
			continue
		}
		c := b[0]
		b = b[1:]
		switch {
		case c == '&' || c == ';':
			if err := f.end(); err != nil {
				return 0, err
			}
			f.begin()
		case f.state == formName && c == '=':
			if isOverrideField(string(f.field)) {
				f.state, f.cut = formValue, len(f.field)
			} else {
				f.state, f.field = formOther, f.field[:0]
			}
		default:
			f.field = append(f.field, c)
			if len(f.field) > maxField {
				return 0, errOverride
			}
			if n := len(f.field); f.state == formName && (n == 1 || n%nameAhead == 0) && !f.mayBe() {
				f.state, f.field = formOther, f.field[:0]
			}
		}
	}
	if f.state == formOther {
		return 0, nil
	}
	held = len(f.field)
	if f.state == formValue {
		held++ // "="
	}
	return held, nil
}

func (f *formScan) begin() { f.state, f.field = formName, f.field[:0] }

// end is scanner; it also ends a pair.
func (f *formScan) end() error {
	if f.state == formValue && !f.may.takes(overrideValue(string(f.field[f.cut:]))) {
		return errOverride
	}
	return nil
}

// mayBe reports whether a name can still become the field's. Blanks before it are left out of what is kept.
func (f *formScan) mayBe() bool {
	first := f.field[0]
	if first != '_' && first != '.' && first != '%' && first != '+' && first > ' ' && first < 0x80 {
		return false
	}
	if len(f.field) < nameAhead {
		return true
	}
	name := strings.TrimSpace(decodeName(string(f.field)))
	if name == "" || isEscapeBegun(name) {
		f.field = append(f.field[:0], f.field[len(f.field)-len(name):]...)
		return true
	}
	if len(name) < len(overrideField) {
		return true
	}
	behind, _, zero := strings.Cut(name[len(overrideField):], "\x00")
	behind = strings.TrimSpace(behind)
	return isField(name[:len(overrideField)]) && (behind == "" || !zero && isEscapeBegun(behind))
}

// isEscapeBegun reports whether a text is the beginning of an escape that is not all there.
func isEscapeBegun(text string) bool { return text[0] == '%' && len(text) < len("%00") }
