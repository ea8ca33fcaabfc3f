package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/tapway/tapway"
)

// decoder walks a YAML tree beside a Go value. It goes on after a problem, and remembers
// where every key stood, so that later checks can point there too.
type decoder struct {
	file     string
	dir      string // see Source.Dir
	also     map[string]string
	getenv   func(string) (string, bool)
	readFile func(string) ([]byte, error)
	problems Problems
	warnings Problems                   // see Problem.Warning
	places   map[string]*token.Position // by key path
	origins  map[string]string          // by key path, of values that are not from the file
	forwards bool                       // see Source.Forwards
	function bool                       // see Source.Function
	anchors  map[string]ast.Node
	resolved int // aliases followed, to stop a bomb

	lookups   *lookups
	brought   map[string][]string // names of the references that gave a key its value
	fits      map[string]string   // what such a key wants
	unchecked map[string]bool     // keys whose references were not looked up
}

func (d *decoder) fail(n ast.Node, key, message, hint string) {
	p := Problem{File: d.file, Key: key, Message: message, Hint: hint}
	if at := positionOf(n); at != nil {
		p.Line, p.Column = at.Line, at.Column
	}
	d.problems = append(d.problems, p)
}

// positionOf is where a node begins; nil if that is not known. goccy gives the colon for a mapping
// without braces.
func positionOf(n ast.Node) *token.Position {
	switch m := n.(type) {
	case nil:
		return nil
	case *ast.MappingValueNode:
		return positionOf(m.Key)
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return positionOf(m.Values[0].Key)
		}
	}
	if t := n.GetToken(); t != nil {
		return t.Position
	}
	return nil
}

var (
	secretType   = reflect.TypeFor[tapway.Secret]()
	durationType = reflect.TypeFor[Duration]()
	sizeType     = reflect.TypeFor[Size]()
	shareType    = reflect.TypeFor[Share]()
)

// maxAliases is how many aliases are followed in one file.
const maxAliases = 1000

// node follows anchors and aliases.
func (d *decoder) node(n ast.Node) ast.Node {
	for {
		switch v := n.(type) {
		case *ast.AnchorNode:
			if d.anchors == nil {
				d.anchors = map[string]ast.Node{}
			}
			d.anchors[v.Name.String()] = v.Value
			n = v.Value
		case *ast.AliasNode:
			target, ok := d.anchors[v.Value.String()]
			if !ok {
				d.fail(n, "", fmt.Sprintf("alias *%s has no anchor before it", v.Value), "")
				return nil
			}
			if d.resolved++; d.resolved > maxAliases {
				if d.resolved == maxAliases+1 {
					d.fail(n, "", fmt.Sprintf("alias *%s leads back to itself, or there are too many", v.Value), "")
				}
				return nil
			}
			n = target
		default:
			return n
		}
	}
}

func (d *decoder) decode(n ast.Node, v reflect.Value, key string) {
	n = d.node(n)
	if n == nil {
		return
	}
	if d.places[key] == nil {
		if at := positionOf(n); at != nil {
			d.places[key] = at
		}
	}
	if _, null := n.(*ast.NullNode); null {
		return // "key:" with nothing behind it keeps the default
	}
	switch v.Kind() {
	case reflect.Pointer:
		fresh := reflect.New(v.Type().Elem())
		setDefaults(fresh.Elem())
		d.decode(n, fresh.Elem(), key)
		v.Set(fresh)
	case reflect.Struct:
		d.decodeStruct(n, v, key)
	case reflect.Slice:
		d.decodeSlice(n, v, key)
	case reflect.Map:
		d.decodeMap(n, v, key)
	default:
		if text, ok := d.scalar(n, v, key); ok {
			if err := setScalar(v, text); err != nil {
				d.fail(n, key, err.Error(), "")
			}
		}
	}
}

// entries are the pairs of a mapping, those merged in by << behind its own unless it has
// the same key; goccy has one type for one pair and one for several. keys are those it may have,
// nil if any.
func (d *decoder) entries(n ast.Node, key string, keys []string) ([]*ast.MappingValueNode, bool) {
	var pairs []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	default:
		want := "a mapping of names to values"
		if keys != nil {
			want = "a mapping with the keys " + strings.Join(keys, ", ")
		}
		if len(keys) > fewKeys {
			want = "a mapping, as in " + keys[0] + ": …"
		}
		d.fail(n, key, fmt.Sprintf("want %s, found %s", want, kindOf(n)), mappingHint(n))
		return nil, false
	}
	var own, merged []*ast.MappingValueNode
	for _, pair := range pairs {
		if _, merge := pair.Key.(*ast.MergeKeyNode); merge {
			merged = append(merged, d.merged(pair.Value, key, keys)...)
		} else {
			own = append(own, pair)
		}
	}
	has := map[string]bool{}
	for _, pair := range own {
		has[keyName(pair)] = true
	}
	for _, pair := range merged {
		if name := keyName(pair); !has[name] {
			has[name] = true
			own = append(own, pair)
		}
	}
	return own, true
}

// merged are the pairs of what stands behind <<: a mapping, or a list of them of which the
// first wins.
func (d *decoder) merged(n ast.Node, key string, keys []string) (pairs []*ast.MappingValueNode) {
	switch m := d.node(n).(type) {
	case nil:
	case *ast.SequenceNode:
		for _, item := range m.Values {
			if item = d.node(item); item != nil {
				more, _ := d.entries(item, key, keys)
				pairs = append(pairs, more...)
			}
		}
	default:
		pairs, _ = d.entries(m, key, keys)
	}
	return pairs
}

func keyName(pair *ast.MappingValueNode) string { return strings.Trim(pair.Key.String(), `"'`) }

func (d *decoder) decodeStruct(n ast.Node, v reflect.Value, key string) {
	fields := fieldsOf(v.Type())
	pairs, ok := d.entries(n, key, names(fields))
	seen := map[string]bool{}
	for _, pair := range pairs {
		name := keyName(pair)
		path := join(key, name)
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		switch {
		case seen[name]:
			d.fail(pair.Key, path, "this key stands here twice", "remove one of them")
		case i < 0:
			d.fail(pair.Key, path, "unknown key", keyHint(name, names(fields)))
			d.anchorsIn(pair.Value)
		default:
			d.decode(pair.Value, v.Field(fields[i].index), path)
		}
		seen[name] = true
	}
	for _, f := range fields {
		if ok && f.required && !seen[f.name] {
			d.fail(n, join(key, f.name), "this key is missing", f.doc)
		}
	}
}

func (d *decoder) decodeSlice(n ast.Node, v reflect.Value, key string) {
	var items []ast.Node
	if seq, ok := n.(*ast.SequenceNode); ok {
		items = seq.Values
	} else if _, scalar := n.(ast.ScalarNode); scalar {
		items = []ast.Node{n} // one value where a list may stand
	} else {
		d.fail(n, key, fmt.Sprintf("want a list, found %s", kindOf(n)), "begin each of its entries with a dash: - …")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", key, i)
		setDefaults(out.Index(i))
		if _, null := d.node(item).(*ast.NullNode); null {
			d.fail(item, at, "there is nothing in this entry of the list", "write what belongs there, or remove its dash")
			continue
		}
		d.decode(item, out.Index(i), at)
	}
	v.Set(out)
}

func (d *decoder) decodeMap(n ast.Node, v reflect.Value, key string) {
	pairs, ok := d.entries(n, key, nil)
	if !ok {
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(pairs))
	for _, pair := range pairs {
		name := keyName(pair)
		if out.MapIndex(reflect.ValueOf(name)).IsValid() {
			d.fail(pair.Key, join(key, name), "this key stands here twice", "remove one of them")
		}
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(pair.Value, value, join(key, name))
		out.SetMapIndex(reflect.ValueOf(name), value)
	}
	v.Set(out)
}

// scalar gives the text of a scalar with ${…} replaced, and reports what is none.
func (d *decoder) scalar(n ast.Node, v reflect.Value, key string) (string, bool) {
	var text string
	switch s := n.(type) {
	case *ast.StringNode:
		text = s.Value
	case *ast.LiteralNode:
		text = s.Value.Value
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		text = n.GetToken().Value
	default:
		hint := ""
		if _, tag := n.(*ast.TagNode); tag {
			hint = "a text that begins with ! wants quotation marks"
		}
		d.fail(n, key, fmt.Sprintf("want %s, found %s", wanted(v.Type()), kindOf(n)), hint)
		return "", false
	}
	if v.Type() == secretType && unbraced(text) {
		k := checker{d}
		k.warn(key, "a $ without braces is passed on as it is", "write ${NAME} for the value of a variable")
	}
	out, err := expand(text, func(ref string) (string, error) { return d.lookUp(ref, key) })
	switch {
	case err != nil:
		delete(d.brought, key)
		d.fail(n, key, err.Error(), "")
		return "", false
	case d.unchecked[key]:
		setUnchecked(v, out)
		return "", false
	}
	d.fits[key] = "want " + wanted(v.Type())
	return out, true
}

// setScalar reads text into v by v's type.
func setScalar(v reflect.Value, text string) error {
	switch v.Type() {
	case durationType:
		d, err := ParseDuration(text)
		v.SetInt(int64(d))
		return err
	case sizeType:
		n, err := ParseSize(text)
		v.SetInt(int64(n))
		return err
	case shareType:
		s, err := ParseShare(text)
		v.SetFloat(float64(s))
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "true", "yes", "on", "1", "y":
			v.SetBool(true)
		case "false", "no", "off", "0", "n", "":
			v.SetBool(false)
		default:
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case reflect.Int:
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a whole number from 0 up", text)
		}
		v.SetInt(int64(n))
	case reflect.Float64:
		f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			if percent, ok := strings.CutSuffix(strings.TrimSpace(text), "%"); ok {
				if f, err := strconv.ParseFloat(percent, 64); err == nil {
					return fmt.Errorf("%q is not a number: write %v", text, f/100)
				}
			}
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(f)
	default:
		panic("config: no way to set a " + v.Type().String())
	}
	return nil
}

func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 10s"
	case t == sizeType:
		return "a size such as 10MiB"
	case t == shareType:
		return "a share such as 5%"
	case t == secretType:
		return "a secret (a text)"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Float64:
		return "a number"
	}
	return "a text"
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.TagNode:
		return "a YAML tag"
	}
	return "a single value"
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
