package redact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPathErrors(t *testing.T) {
	for _, c := range []struct {
		path   string
		column int
		says   string
	}{
		{"", 1, `begins with "$"`},
		{"a.b", 1, `begins with "$"`},
		{" $", 1, `begins with "$"`},
		{"$ ", 3, "blank space at the end"},
		{"$a", 2, `want ".", ".." or "["`},
		{"$.", 3, "want a name"},
		{"$..", 4, "want a name"},
		{"$...a", 4, "want a name"},
		{"$.1a", 3, "want a name"},
		{"$.a-b", 4, `written ['…']`},
		{"$.ü-b", 4, `written ['…']`},
		{"$.'a'", 3, "want a name"},
		{"$[", 3, `"]" is missing`},
		{"$[0", 4, `"]" is missing`},
		{"$[]", 3, "want a quoted name"},
		{"$[a]", 3, "want a quoted name"},
		{"$['a' 'b']", 7, `want "," or "]"`},
		{"$['a',]", 7, "want a quoted name"},
		{"$['a", 5, "closing quote"},
		{`$['\x']`, 5, "unknown escape"},
		{`$['\"']`, 5, "unknown escape"},
		{`$['\u12']`, 5, "four hex digits"},
		{`$['\ud800']`, 5, "surrogate"},
		{"$['a\tb']", 5, "control character"},
		{"$[?@.a==1]", 3, "filters (?…) are not supported"},
		{"$..[?(@.a)]", 5, "filters (?…) are not supported"},
		{"$['a',?@.b]", 7, "filters (?…) are not supported"},
		{"$[01]", 3, "not an integer"},
		{"$[-0]", 3, "not an integer"},
		{"$[-]", 3, "not an integer"},
		{"$[9007199254740992]", 3, "not an integer"},
		{"$[1:2:3:4]", 8, `want "," or "]"`},
		{"$.a\xff", 1, "UTF-8"},
	} {
		_, err := parsePath(c.path, false)
		if err == nil || err.column != c.column || !strings.Contains(err.msg, c.says) {
			t.Errorf("%q: error %+v; want column %d and %q", c.path, err, c.column, c.says)
		}
	}
}

// One document, many paths: the result is written with R for what is gone.
func TestPaths(t *testing.T) {
	const doc = `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,7,8,9],"x-y":10,"A":11}`
	for path, want := range map[string]string{
		`$`:                       `R`,
		`$.a`:                     `{"a":R,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$['a']`:                  `{"a":R,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$["\u0061"]`:             `{"a":R,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$ ['x-y']`:               `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,7,8,9],"x-y":R,"A":11}`,
		`$.b.a`:                   `{"a":1,"b":{"a":R,"c":[3,{"a":4},5]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$.b`:                     `{"a":1,"b":R,"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$..a`:                    `{"a":R,"b":{"a":R,"c":[3,{"a":R},5]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$..['a','x-y']`:          `{"a":R,"b":{"a":R,"c":[3,{"a":R},5]},"d":[6,7,8,9],"x-y":R,"A":11}`,
		`$.b..a`:                  `{"a":1,"b":{"a":R,"c":[3,{"a":R},5]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$..c..a`:                 `{"a":1,"b":{"a":2,"c":[3,{"a":R},5]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$.b.c[*].a`:              `{"a":1,"b":{"a":2,"c":[3,{"a":R},5]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$.*`:                     `{"a":R,"b":R,"d":R,"x-y":R,"A":R}`,
		`$[*]`:                    `{"a":R,"b":R,"d":R,"x-y":R,"A":R}`,
		`$.*.a`:                   `{"a":1,"b":{"a":R,"c":[3,{"a":4},5]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$..*`:                    `{"a":R,"b":R,"d":R,"x-y":R,"A":R}`,
		`$.d[0]`:                  `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[R,7,8,9],"x-y":10,"A":11}`,
		`$.d[3]`:                  `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,7,8,R],"x-y":10,"A":11}`,
		`$.d[4]`:                  doc,
		`$.d[-1]`:                 `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,7,8,R],"x-y":10,"A":11}`,
		`$.d[-4]`:                 `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[R,7,8,9],"x-y":10,"A":11}`,
		`$.d[-5]`:                 doc,
		`$..[-1]`:                 `{"a":1,"b":{"a":2,"c":[3,{"a":4},R]},"d":[6,7,8,R],"x-y":10,"A":11}`,
		`$.d[1:3]`:                `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,R,R,9],"x-y":10,"A":11}`,
		`$.d[ 1 : 3 : 1 ]`:        `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,R,R,9],"x-y":10,"A":11}`,
		`$.d[:2]`:                 `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[R,R,8,9],"x-y":10,"A":11}`,
		`$.d[-2:]`:                `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,7,R,R],"x-y":10,"A":11}`,
		`$.d[::2]`:                `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[R,7,R,9],"x-y":10,"A":11}`,
		`$.d[::-2]`:               `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,R,8,R],"x-y":10,"A":11}`,
		`$.d[2:0:-1]`:             `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,R,R,9],"x-y":10,"A":11}`,
		`$.d[::0]`:                doc,
		`$.d[0,-1]`:               `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[R,7,8,R],"x-y":10,"A":11}`,
		`$['d','b'][0,'a']`:       `{"a":1,"b":{"a":R,"c":[3,{"a":4},5]},"d":[R,7,8,9],"x-y":10,"A":11}`,
		`$.d.a`:                   doc,
		`$.a.a`:                   doc,
		`$[0]`:                    doc,
		`$.none`:                  doc,
		`$..A`:                    `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,7,8,9],"x-y":10,"A":R}`,
		`$.b['c'][1]["a"]`:        `{"a":1,"b":{"a":2,"c":[3,{"a":R},5]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$.b.c[1:][0]`:            doc,
		`$..c[0:1,2]`:             `{"a":1,"b":{"a":2,"c":[R,{"a":4},R]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		"$\n.b\t.c [ 0 ]":         `{"a":1,"b":{"a":2,"c":[R,{"a":4},5]},"d":[6,7,8,9],"x-y":10,"A":11}`,
		`$["\ud83d\ude00"]`:       doc,
		`$.d[1:9007199254740991]`: `{"a":1,"b":{"a":2,"c":[3,{"a":4},5]},"d":[6,R,R,R],"x-y":10,"A":11}`,
	} {
		got, err := redactJSON(t, doc, path)
		if want = strings.ReplaceAll(want, "R", `"[REDACTED]"`); err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", path, err, got, want)
		}
	}
}

func redactJSON(t interface{ Fatal(...any) }, doc string, paths ...string) (string, error) {
	r, err := New(Rules{JSON: paths})
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.jsonBody([]byte(doc), false)
	return string(out), err
}

func TestJSONKeepsTheRest(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"blank space, order, big numbers", " {\n\t\"z\" : 123456789012345678901234567890 ,\"token\" : \"x\" , \"a\": 1e400}\r\n", " {\n\t\"z\" : 123456789012345678901234567890 ,\"token\" : R , \"a\": 1e400}\r\n"},
		{"duplicate names", `{"token":1,"token":"2","token":null}`, `{"token":R,"token":R,"token":R}`},
		{"every type", `[{"token":{"a":[1]}},{"token":[{"token":1}]},{"token":true},{"token":-0.5e+3}]`, `[{"token":R},{"token":R},{"token":R},{"token":R}]`},
		{"an escaped name", `{"\u0074oken":"x","t\u006Fken":"y"}`, `{"\u0074oken":R,"t\u006Fken":R}`},
		{"other letter case", `{"TOKEN":1,"Token":2,"accessToken":3,"ACCESS_TOKEN":4}`, `{"TOKEN":R,"Token":R,"accessToken":R,"ACCESS_TOKEN":R}`},
		{"letters that fold to k and s", "{\"to\u212aen\":1,\"pa\u017fsword\":2,\"to\\u212aen\":3,\"\\u017fecret\":4}", "{\"to\u212aen\":R,\"pa\u017fsword\":R,\"to\\u212aen\":R,\"\\u017fecret\":R}"},
		{"longer and shorter names stay", `{"tokens":1,"toke":2,"_token":3,"token_":4,"prompt_tokens":5}`, `{"tokens":1,"toke":2,"_token":3,"token_":4,"prompt_tokens":5}`},
		{"the name as a value stays", `{"a":"token","b":["token","password"]}`, `{"a":"token","b":["token","password"]}`},
		{"escapes in the value", `{"token":"a\"b\\","b":"\ud83d\ude00"}`, `{"token":R,"b":"\ud83d\ude00"}`},
		{"byte order mark", "\ufeff{\"token\":1}", "\ufeff{\"token\":R}"},
		{"several documents", "{\"token\":1}\n{\"a\":2}\n\n{\"token\":3}\n", "{\"token\":R}\n{\"a\":2}\n\n{\"token\":R}\n"},
		{"record separators", "\x1e{\"token\":1}\n\x1e{\"token\":2}\n", "\x1e{\"token\":R}\n\x1e{\"token\":R}\n"},
		{"invalid UTF-8 in strings", "{\"a\":\"\xff\xfe\",\"token\":\"\xc3\"}", "{\"a\":\"\xff\xfe\",\"token\":R}"},
		{"at the very end", `{"a":"xxxxxxxxxxxxxxxxxxxx","token":1}`, `{"a":"xxxxxxxxxxxxxxxxxxxx","token":R}`},
	} {
		got, err := redactJSON(t, c.doc, Defaults().JSON...)
		if want := strings.ReplaceAll(c.want, "R", `"[REDACTED]"`); err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, got, want)
		}
	}
}

// A name wanted anywhere is found in strings that hold JSON; other paths end at strings.
func TestJSONInStrings(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"JSON in a string", `{"body":"{\"a\":1,\"token\":\"x\"}","n":["[{\"a\":\"{\\\"token\\\":1}\"}]"]}`, `{"body":"{\"a\":1,\"token\":\"[REDACTED]\"}","n":["[{\"a\":\"{\\\"token\\\":\\\"[REDACTED]\\\"}\"}]"]}`},
		{"JSON behind blanks in a string", `{"body":"\n {\"token\":1}","b":" [{\"token\":1}]"}`, `{"body":"\n {\"token\":\"[REDACTED]\"}","b":" [{\"token\":\"[REDACTED]\"}]"}`},
		{"JSON with its bracket escaped in a string", `{"body":"\u007b\"token\":1}"}`, `{"body":"{\"token\":\"[REDACTED]\"}"}`},
		{"an escaped name in JSON in a string", `{"body":"{\"\\u0074oken\":1}"}`, `{"body":"{\"\\u0074oken\":\"[REDACTED]\"}"}`},
		{"almost JSON in a string", `{"body":"{\"token\":\"x","b":"[\"token\"] x","c":"{'token':'x'}"}`, `{"body":"{\"token\":\"[REDACTED]\"","b":"[\"token\"] x","c":"{'token':'x'}"}`},
		{"a path from the root", `{"body":"{\"id\":1}","list":"[{\"id\":2}]"}`, `{"body":"{\"id\":1}","list":"[{\"id\":2}]"}`},
		{"in a string that goes anyway", `{"token":"{\"token\":1}"}`, `{"token":"[REDACTED]"}`},
	} {
		got, err := redactJSON(t, c.doc, append(Defaults().JSON, "$.id", "$.list[*]")...)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, got, c.want)
		}
	}
}

func TestJSONRefuses(t *testing.T) {
	nest := func(n int) string {
		return strings.Repeat("[", n) + `{"token":1}` + strings.Repeat("]", n)
	}
	if _, err := redactJSON(t, nest(maxDepth-1), "$..token"); err != nil {
		t.Errorf("as deep as allowed: %v", err)
	}
	if _, err := redactJSON(t, nest(maxDepth), "$..token"); !errors.Is(err, errDepth) {
		t.Errorf("one deeper: %v", err)
	}
	for _, doc := range []string{
		`{"token":`, `{"token":1`, `{"token":1,`, `{"token":1,}`, `{"token"}`, `{"token" 1}`, `{"token"=1}`, `{token:1}`, `{'token':'x'}`,
		`["token",]`, `[,"token"]`, `["token" 1]`, `{"token":01}`, `{"token":1.}`, `{"token":.5}`, `{"token":1e}`, `{"token":+1}`, `{"token":-}`,
		`{"token":tru}`, `{"token":nul}`, `{"token":"a` + "\n" + `b"}`, `{"token":"\x"}`, `{"token":"\u12g4"}`, `{"token":"abc`, `{"token":1}}`,
		`{"token":1}]`, `{"token":1};`, `token=abc`, `)]}',` + "\n" + `{"token":1`, `)]}{"token":1}`, `f({"token":1}` + ")()", `f({"token":1},{"token":2})`, `{"token":1} // token`, "\x00{\"token\":1}", "{\x00\"\x00t\x00",
		"\xff\xfe{\x00", "\xfe\xff\x00{",
	} {
		if got, err := redactJSON(t, doc, "$..token"); err == nil {
			t.Errorf("%q passed as %q", doc, got)
		}
	}
	// The neighbours: just as broken, but nothing in them can be the name.
	for _, doc := range []string{`{"tokens":`, `{"tokens":1,}`, `{"a":"toke`, `{`, `{"a":"\u00e9`, `[1,2`, `not json`, `{"a\n":`} {
		if got, err := redactJSON(t, doc, "$..token"); err != nil || got != doc {
			t.Errorf("%q: %q, %v; want it kept", doc, got, err)
		}
	}
	// A rule without names has nothing to search for: everything must parse.
	for _, doc := range []string{`[1,2`, `{"a":`, `not json`} {
		if _, err := redactJSON(t, doc, "$[0]"); err == nil {
			t.Errorf("%q passed a rule without names", doc)
		}
	}
}

// node is a decoded document that keeps order and duplicates: what the oracle works on.
type node struct {
	object  bool
	array   bool
	keys    []string
	members []*node
	scalar  string // canonical text
	gone    bool
}

func decodeNode(dec *json.Decoder) (*node, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	n := new(node)
	if d, ok := tok.(json.Delim); ok {
		n.object, n.array = d == '{', d == '['
		for dec.More() {
			if n.object {
				key, err := dec.Token()
				if err != nil {
					return nil, err
				}
				n.keys = append(n.keys, key.(string))
			}
			m, err := decodeNode(dec)
			if err != nil {
				return nil, err
			}
			n.members = append(n.members, m)
		}
		_, err = dec.Token()
		return n, err
	}
	text, err := json.Marshal(tok)
	n.scalar = string(text)
	return n, err
}

// mark selects with the path as RFC 9535 describes it, on the decoded tree.
func (n *node) mark(p path) {
	if len(p) == 0 {
		n.gone = true
		return
	}
	for i, m := range n.members {
		for _, sel := range p[0].selectors {
			hit := false
			switch sel.kind {
			case byWildcard:
				hit = true
			case byName:
				hit = n.object && (n.keys[i] == sel.name || sel.fold && strings.EqualFold(n.keys[i], sel.name))
			case byIndex:
				hit = n.array && (int(sel.index) == i || int(sel.index)+len(n.members) == i)
			case bySlice:
				hit = n.array && sliced(sel.slice, len(n.members))[i]
			}
			if hit {
				m.mark(p[1:])
			}
		}
		if p[0].descendant {
			m.mark(p)
		}
	}
}

// sliced is the loop of RFC 9535 §2.3.4.2.2, word for word.
func sliced(r sliceRange, length int) map[int]bool {
	out := map[int]bool{}
	normalize := func(i int) int {
		if i >= 0 {
			return i
		}
		return length + i
	}
	step, start, end := int(r.step), 0, length
	if step < 0 {
		start, end = length-1, -length-1
	}
	if r.hasStart {
		start = int(r.start)
	}
	if r.hasEnd {
		end = int(r.end)
	}
	nStart, nEnd := normalize(start), normalize(end)
	if step > 0 {
		lower, upper := min(max(nStart, 0), length), min(max(nEnd, 0), length)
		for i := lower; i < upper; i += step {
			out[i] = true
		}
	} else if step < 0 {
		upper, lower := min(max(nStart, -1), length-1), min(max(nEnd, -1), length-1)
		for i := upper; lower < i; i += step {
			out[i] = true
		}
	}
	return out
}

func (n *node) text(b *strings.Builder) {
	switch {
	case n.gone:
		b.WriteString(`"[REDACTED]"`)
	case n.object:
		b.WriteByte('{')
		for i, m := range n.members {
			fmt.Fprintf(b, "%q:", n.keys[i])
			m.text(b)
			b.WriteByte(',')
		}
		b.WriteByte('}')
	case n.array:
		b.WriteByte('[')
		for _, m := range n.members {
			m.text(b)
			b.WriteByte(',')
		}
		b.WriteByte(']')
	default:
		b.WriteString(n.scalar)
	}
}

func canonical(t *rapid.T, doc string, paths []string) string {
	dec := json.NewDecoder(strings.NewReader(doc))
	dec.UseNumber()
	n, err := decodeNode(dec)
	if err != nil {
		t.Fatalf("the oracle cannot read %s: %v", doc, err)
	}
	for _, text := range paths {
		p, err := parsePath(text, text == "$..token")
		if err != nil {
			t.Fatal(err)
		}
		n.mark(p)
	}
	var b strings.Builder
	n.text(&b)
	return b.String()
}

var genKey = rapid.SampledFrom([]string{`a`, `b`, `token`, `Token`, `\u0074oken`, `to\u006Ben`, `t\/o`, `secret`, `c d`, `tokens`, `\u00e9`, `é`, ``, `secre\u0074`, `s\n`})

func genDoc(t *rapid.T, depth int) string {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
	kinds := 14 // mostly arrays and objects
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom([]string{"0", "-1.5e3", "12345678901234567890123", "1E+2"}).Draw(t, "number")
	case 1:
		return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "literal")
	case 2, 3:
		return `"` + rapid.SampledFrom([]string{"", "x", `token`, `\"token\":`, `a\\`, `\ud83d\ude00`, `long enough to be read by eights`, `]}`, `é`}).Draw(t, "string") + `"`
	}
	object := rapid.Bool().Draw(t, "object")
	var b strings.Builder
	b.WriteByte("[{"[btoi(object)])
	for i := range rapid.IntRange(0, 4).Draw(t, "members") {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(space.Draw(t, "space"))
		if object {
			b.WriteString(`"` + genKey.Draw(t, "key") + `"` + space.Draw(t, "space") + ":" + space.Draw(t, "space"))
		}
		b.WriteString(genDoc(t, depth-1))
		b.WriteString(space.Draw(t, "space"))
	}
	b.WriteByte("]}"[btoi(object)])
	return b.String()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func genPath(t *rapid.T) string {
	if rapid.IntRange(0, 4).Draw(t, "simple") == 0 {
		return "$..token"
	}
	path := "$"
	one := rapid.SampledFrom([]string{"'a'", "'token'", `"secret"`, "'t/o'", "'é'", "''", "*", "0", "1", "-1", "-2", "1:", ":-1", "::2", "::-1", "-3:-1", "3:0:-2", "5::-1", ":0:-1"})
	for range rapid.IntRange(1, 3).Draw(t, "segments") {
		switch rapid.IntRange(0, 4).Draw(t, "segment") {
		case 0:
			path += rapid.SampledFrom([]string{".a", ".token", ".*", ".secret"}).Draw(t, "dot")
		case 1:
			path += rapid.SampledFrom([]string{"..a", "..token", "..secret"}).Draw(t, "dots")
		case 2:
			path += "..[" + one.Draw(t, "one") + "]"
		default:
			path += "[" + one.Draw(t, "one") + "," + one.Draw(t, "two") + "]"
		}
	}
	return path
}

// Every value that the paths select in the decoded document is gone, nothing else has changed.
func TestJSONAgreesWithOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := genDoc(t, 4)
		paths := rapid.SliceOfN(rapid.Custom(genPath), 1, 3).Draw(t, "paths")
		got, err := redactJSON(t, doc, paths...)
		if err != nil {
			t.Fatalf("%s with %q: %v", doc, paths, err)
		}
		if !json.Valid([]byte(got)) {
			t.Fatalf("%s with %q is no longer JSON: %s", doc, paths, got)
		}
		if want, have := canonical(t, doc, paths), canonical(t, got, nil); want != have {
			t.Fatalf("%s with %q\n got %s\nwant %s", doc, paths, have, want)
		}
	})
}

// The pass accepts what encoding/json accepts and refuses what it refuses.
func FuzzJSONValid(f *testing.F) {
	for _, s := range []string{`{"a":[1,2,{"b":null}]}`, `"\ud83d\ude00"`, `[1e5,-0.1]`, `{"a":1,}`, "\"\x7f\"", `[[[[]]]]`, `[1 ,2 ]`} {
		f.Add([]byte(s))
	}
	r, err := New(Rules{JSON: []string{"$..x", "$..[-1:]"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if utf16ish(doc) || bytes.HasPrefix(doc, bom) || bytes.Count(doc, []byte("["))+bytes.Count(doc, []byte("{")) > maxDepth/2 {
			return
		}
		before := bytes.Clone(doc)
		out, err := r.json.json(doc, r.mark)
		if !bytes.Equal(doc, before) {
			t.Fatal("the input was written to")
		}
		if json.Valid(doc) && err != nil {
			t.Fatalf("%q is JSON: %v", doc, err)
		}
		if err == nil && json.Valid(doc) != json.Valid(out) {
			t.Fatalf("%q became %q", doc, out)
		}
		if err == nil && !sequence(doc) {
			t.Fatalf("%q is not JSON", doc)
		}
	})
}

// sequence reports whether doc is JSON documents one behind the other.
func sequence(doc []byte) bool {
	doc = bytes.ReplaceAll(doc, []byte{0x1e}, []byte(" ")) // a control character cannot stand anywhere else
	for dec := json.NewDecoder(bytes.NewReader(doc)); ; {
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return err.Error() == "EOF"
		}
	}
}

func FuzzJSONPath(f *testing.F) {
	for _, s := range []string{"$", "$.a.b", "$['a',\"b\"]", "$..[0,-1,1:2:3]", "$[?@.a]", `$["\ud83d\ude00\n"]`, "$.*", "$..é"} {
		f.Add(s)
	}
	doc := []byte(`{"a":{"b":[1,2,{"c":"d"}]},"é":[[],[[1]]]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, bad := parsePath(text, false)
		if bad != nil {
			if bad.column < 1 || bad.column > len(text)+2 {
				t.Fatalf("%q: %+v", text, bad)
			}
			return
		}
		prog := newProgram([]path{p})
		out, err := prog.json(doc, marker{})
		if err != nil || !json.Valid(out) {
			t.Fatalf("%q: %s, %v", text, out, err)
		}
		if !prog.search.inJSON(doc) && !bytes.Equal(out, doc) {
			t.Fatalf("%q selects something that the search says is not there", text)
		}
	})
}
