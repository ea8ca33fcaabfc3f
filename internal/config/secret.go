package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Ref is a value that a configuration names instead of holding it:
// ${aws-secretsmanager:NAME}, ${aws-secretsmanager:NAME#FIELD}, ${aws-ssm:/PATH/NAME}.
type Ref struct {
	Name string   // what stands in the braces
	Keys []string // where it is used: "destinations[0].headers.Authorization"
}

// RefNames are the names of references.
func RefNames(refs []Ref) []string {
	names := make([]string, len(refs))
	for i, r := range refs {
		names[i] = r.Name
	}
	return names
}

// kindsOfReference are how they begin; package awssecret reads the rest.
var kindsOfReference = []string{"aws-secretsmanager:", "aws-ssm:"}

func isReference(ref string) bool {
	return slices.ContainsFunc(kindsOfReference, func(kind string) bool { return strings.HasPrefix(ref, kind) })
}

// lookups are the references of one configuration. It is read twice when it has any: first to
// find them, then, when all have been looked up at once, with their values.
type lookups struct {
	list   []Ref
	done   bool
	values map[string]string
	failed map[string]error
}

var errNoResolver = errors.New("it is not looked up here; references to AWS work in the Lambda functions and with `tapway serve` and `tapway forward`")

func (l *lookups) resolve(s Source) {
	l.done = true
	if s.Resolve != nil {
		l.values, l.failed = s.Resolve(l.list)
		return
	}
	l.failed = map[string]error{}
	for _, r := range l.list {
		l.failed[r.Name] = fmt.Errorf("${%s}: %w", r.Name, errNoResolver)
	}
}

func (l *lookups) want(name, key string) {
	i := slices.IndexFunc(l.list, func(r Ref) bool { return r.Name == name })
	if i < 0 {
		i, l.list = len(l.list), append(l.list, Ref{Name: name})
	}
	if !slices.Contains(l.list[i].Keys, key) {
		l.list[i].Keys = append(l.list[i].Keys, key)
	}
}

// reference gives the value of a reference. One that is not looked up stands for itself, and
// its key is not checked.
func (d *decoder) reference(name, key string) (string, error) {
	if !d.lookups.done {
		d.lookups.want(name, key)
	}
	if err := d.lookups.failed[name]; err != nil {
		return "", err
	}
	value, ok := d.lookups.values[name]
	if !ok {
		d.unchecked[key] = true
		return "${" + name + "}", nil
	}
	d.brought[key] = append(d.brought[key], name)
	return value, nil
}

// references replaces the references to AWS in the value of an environment variable, and nothing
// else in it; $${aws-ssm:…} stands for the characters themselves.
func (d *decoder) references(text, key string) (string, error) {
	var out strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		rest := text[i+2:]
		if !isReference(rest) {
			out.WriteString(text[:i+2])
			text = rest
			continue
		}
		if i > 0 && text[i-1] == '$' {
			out.WriteString(text[:i-1] + "${")
			text = rest
			continue
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return "", errNotClosed
		}
		value, err := d.reference(name, key)
		if err != nil {
			return "", err
		}
		out.WriteString(text[:i] + value)
		text = after
	}
}

// setUnchecked writes what stands for a value that was not looked up, where a text can.
func setUnchecked(v reflect.Value, text string) {
	if v.Kind() == reflect.String {
		v.SetString(text)
	}
}

// isUnchecked reports whether key has a value that was not looked up.
func (d *decoder) isUnchecked(key string) bool {
	for at := range d.unchecked {
		if below(key, at) {
			return true
		}
	}
	return false
}

// skips reports whether what stands at key or below it is not checked, because it was not looked up.
func (d *decoder) skips(key string) bool {
	for at := range d.unchecked {
		if below(at, key) {
			return true
		}
	}
	return false
}

// forget drops what the file said of a key, for a value that goes before it.
func (d *decoder) forget(key string) {
	maps.DeleteFunc(d.unchecked, func(at string, _ bool) bool { return below(at, key) })
	maps.DeleteFunc(d.brought, func(at string, _ []string) bool { return below(at, key) })
}

// below reports whether key is at or stands below it.
func below(key, at string) bool {
	rest, ok := strings.CutPrefix(key, at)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// conceal takes the values of references out of the problems. What is wrong with such a value is
// not told, because that might quote a part of it.
func (d *decoder) conceal() {
	d.concealIn(d.problems)
	d.concealIn(d.warnings)
}

func (d *decoder) concealIn(problems Problems) {
	for i := range problems {
		p := &problems[i]
		for key, names := range d.brought {
			if below(p.Key, key) && !p.blind {
				p.Message, p.Hint = "what ${"+names[0]+"} gives does not fit here", d.fits[key]
			}
			for _, name := range names {
				value := d.lookups.values[name]
				if len(value) < 4 { // it would take words apart, and can be guessed
					continue
				}
				quoted := strconv.Quote(value)
				for _, s := range []string{value, quoted[1 : len(quoted)-1]} {
					p.Message, p.Hint = strings.ReplaceAll(p.Message, s, "[REDACTED]"), strings.ReplaceAll(p.Hint, s, "[REDACTED]")
				}
			}
		}
	}
}
