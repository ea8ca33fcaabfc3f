package config

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/tapway/tapway"
)

// Source says where a configuration comes from. The zero Source is the defaults alone.
type Source struct {
	File string // path of the YAML file; "" for none
	Text []byte // its content, if it has been read already

	// Set are values from the command line by key ("listen", "backend", "destinations"):
	// they win over the environment, which wins over the file.
	Set map[string]string

	// Forwards says that records are only delivered: a backend is not needed then.
	Forwards bool

	// Function says that this is a Lambda function: clients' TLS ends at a front.
	Function bool
	// OTel lets OpenTelemetry's own variables (OTEL_…) set keys below telemetry.
	OTel bool

	Getenv   func(string) (string, bool)  // nil: os.LookupEnv
	ReadFile func(string) ([]byte, error) // nil: os.ReadFile

	// Also are further environment variables by the one whose meaning they have, which goes
	// before them: on Lambda URL is REMOTE_URL.
	Also map[string]string

	// Dir is where the relative names of files in the configuration start; "" is the working
	// directory.
	Dir string

	// Resolve looks references up, all at once and once per load. A reference that is in
	// neither map is not looked up: its key is then neither set nor checked. nil makes every
	// reference a problem.
	Resolve func([]Ref) (values map[string]string, failed map[string]error)
}

// Check is Load for those who show what they read to people: it also gives the warnings, behind the
// problems of their lines.
func Check(s Source) (Problems, error) {
	_, d, err := s.load()
	if err != nil {
		return nil, err
	}
	return append(d.problems, d.warnings...).sorted(), nil
}

// Load reads, completes and checks a configuration. Its error is Problems when the
// configuration is at fault, and then it lists all of them.
func Load(s Source) (*Config, error) {
	c, problems, err := Peek(s)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// Peek is Load that also gives what could be read of a configuration with problems, for
// those who want a value or two of it: where the data is can be told although a secret of
// the service is not in the operator's environment. The error is of reading the file.
func Peek(s Source) (*Config, Problems, error) {
	c, d, err := s.load()
	if err != nil {
		return nil, nil, err
	}
	return c, d.problems.sorted(), nil
}

// load reads the file and what it refers to.
func (s Source) load() (*Config, *decoder, error) {
	if s.Getenv == nil {
		s.Getenv = os.LookupEnv
	}
	if s.ReadFile == nil {
		s.ReadFile = os.ReadFile
	}
	if s.File != "" && s.Text == nil {
		text, err := s.ReadFile(s.File)
		if err != nil {
			return nil, nil, fmt.Errorf("read the configuration: %w%s", err, readHint(s.File, err))
		}
		s.Text = text
	}
	found := new(lookups)
	c, d := s.read(found)
	if len(found.list) > 0 {
		found.resolve(s)
		c, d = s.read(found)
		d.conceal()
	}
	return c, d, nil
}

// read goes through the whole configuration once.
func (s *Source) read(l *lookups) (*Config, *decoder) {
	c := Default()
	d := &decoder{
		file: s.File, dir: s.Dir, getenv: s.Getenv, also: s.Also, forwards: s.Forwards, function: s.Function, places: map[string]*token.Position{}, origins: map[string]string{},
		lookups: l, brought: map[string][]string{}, fits: map[string]string{}, unchecked: map[string]bool{},
	}
	d.readFile = func(name string) ([]byte, error) { return s.ReadFile(d.path(name)) }
	d.text(s.Text, c)
	v := reflect.ValueOf(c).Elem()
	d.environment(v, "")
	if s.OTel {
		d.otel(c)
	}
	d.flags(v, s.Set)
	check(d, c)
	return c, d
}

// path is where a file is that the configuration names.
func (d *decoder) path(name string) string {
	if d.dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(d.dir, name)
}

// At gives the problems of a key and what stands below it. What is wrong with the file as a
// whole, such as broken YAML, is everyone's problem.
func (ps Problems) At(key string) Problems {
	var out Problems
	for _, p := range ps {
		if p.Key == "" || p.Key == key || strings.HasPrefix(p.Key, key+".") || strings.HasPrefix(p.Key, key+"[") {
			out = append(out, p)
		}
	}
	return out
}

// text reads the YAML itself.
func (d *decoder) text(text []byte, c *Config) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // as some editors begin a file
	if !utf8.Valid(text) {
		d.problems = append(d.problems, Problem{File: d.file, Line: 1, Column: 1, Message: "not UTF-8", Hint: "save it as UTF-8"})
		return
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		d.problems = append(d.problems, syntaxProblem(d.file, err))
		return
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		switch doc.Body.(type) {
		case *ast.CommentGroupNode, *ast.DirectiveNode:
			continue
		}
		if body != nil {
			d.fail(doc.Body, "", "a second YAML document", "keep one; remove the --- between them")
			return
		}
		body = doc.Body
	}
	if body != nil {
		d.decode(body, reflect.ValueOf(c).Elem(), "")
	}
}

// environment sets what the variables of the env tags say.
func (d *decoder) environment(v reflect.Value, key string) {
	for _, f := range fieldsOf(v.Type()) {
		path := join(key, f.name)
		if v.Field(f.index).Kind() == reflect.Struct {
			d.environment(v.Field(f.index), path)
			continue
		}
		for _, name := range append(slices.Clip(f.env), d.furtherNames(f.env)...) {
			if text, ok := d.getenv(name); ok && text != "" {
				d.set("environment variable "+name, v.Field(f.index), path, text)
				break
			}
		}
	}
}

func (d *decoder) furtherNames(names []string) (out []string) {
	for _, name := range names {
		if also := d.also[name]; also != "" {
			out = append(out, also)
		}
	}
	return out
}

// flags sets what the command line says.
func (d *decoder) flags(v reflect.Value, set map[string]string) {
	for _, path := range slices.Sorted(maps.Keys(set)) {
		text := set[path]
		at, last := v, path
		for {
			head, rest, more := strings.Cut(last, ".")
			i := -1
			for _, f := range fieldsOf(at.Type()) {
				if f.name == head {
					i = f.index
				}
			}
			if i < 0 {
				panic("config: no key " + path)
			}
			at, last = at.Field(i), rest
			if !more {
				break
			}
		}
		d.set(CommandLine, at, path, text)
	}
}

// set writes one value that came from elsewhere than the file.
func (d *decoder) set(from string, to reflect.Value, key, text string) {
	d.origins[key] = from
	d.forget(key)
	text, err := d.references(text, key)
	if err != nil {
		delete(d.brought, key)
	}
	switch list := to.Addr().Interface().(type) {
	case *[]Destination:
		if err == nil && d.unchecked[key] {
			*list = []Destination{destinationFor(text)}
		} else if err == nil {
			*list, err = DestinationsFor(text)
		}
	case *[]string: // FILTERED_PATH=/foobar|/baz
		*list = strings.Split(text, "|")
	case *[]tapway.Secret:
		*list = []tapway.Secret{tapway.Secret(text)}
	default:
		switch {
		case err != nil:
		case d.unchecked[key]:
			setUnchecked(to, text)
		default:
			d.fits[key] = "want " + wanted(to.Type())
			err = setScalar(to, text)
		}
	}
	if err != nil {
		d.problems = append(d.problems, Problem{File: from, Key: key, Message: err.Error()})
	}
}

// DestinationsFor is the list that --destination URL makes: one, named "default".
func DestinationsFor(url string) ([]Destination, error) {
	if err := checkURL(url, true); err != nil {
		return nil, err
	}
	return []Destination{destinationFor(url)}, nil
}

func destinationFor(url string) Destination {
	one := Destination{}
	setDefaults(reflect.ValueOf(&one).Elem())
	one.Name, one.URL = "default", url
	return one
}
