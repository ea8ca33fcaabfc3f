package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// depthOf is how deep the brackets of a JSON text nest.
func depthOf(b []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case (c == '[' || c == '{') && !quoted:
			depth++
			deepest = max(deepest, depth)
		case (c == ']' || c == '}') && !quoted:
			depth--
		}
	}
	return deepest
}

func checkValid(t *testing.T, b []byte) {
	t.Helper()
	valid := json.Valid(b)
	if got := validJSON(b, len(b)); got != valid {
		t.Fatalf("%q is valid: %v, want %v", b, got, valid)
	}
	if deepest := depthOf(b); valid && (!validJSON(b, deepest) || deepest > 0 && validJSON(b, deepest-1)) {
		t.Fatalf("%q nests %d deep, and passes with that: %v, with one less: %v", b, deepest, validJSON(b, deepest), validJSON(b, deepest-1))
	}
}

// TestValidJSON: texts and their neighbours, at every place of a word of eight bytes.
func TestValidJSON(t *testing.T) {
	texts := []string{
		``, ` `, `{}`, `{ }`, `[]`, `[ ]`, `{]`, `[}`, `{`, `[`, `}`, `]`, `""`, `"`, `"a`, `"a"b`, `{"a":1}`, `{"a":1,}`, `{"a" : 1 , "b":[1, 2]}`, `{"a"}`, `{"a":}`, `{,}`, `{a:1}`, `{1:1}`, `{"a":1 "b":2}`,
		`[1]`, `[1,]`, `[,1]`, `[1 2]`, `[[[]]]`, `[[{"a":[[]]}]]`, `[[}]`, `{"a":{"b":{}}}`, `1 2`, `1,`, `null`, `nul`, `nulll`, `Null`, `true`, `tru`, `false`, `fals`, `falsee`, "\ufeff{}", "{}\n", "\v{}", "{}\x00",
		`0`, `-0`, `00`, `01`, `-`, `-a`, `--1`, `+1`, `1.`, `.1`, `1.5`, `1.5.5`, `1e`, `1e+`, `1e-1`, `1E5`, `1e5.5`, `-12.34e+56`, `0x1`, `Infinity`, `NaN`, `1e1e1`,
		`"\n"`, `"\q"`, `"\"`, `"\\"`, `"\\\"`, `"\u00e9"`, `"\u00E9"`, `"\u00g9"`, `"\u00e"`, `"\u"`, `"\u00`, "\"a\nb\"", "\"\x1f\"", "\"\x20\"", "\"\x7f\"", "\"\x80\xff\"", "\"\xa0\xa1\"", "\"é€\U0001F600\"", "\"\x00\"",
	}
	for _, text := range texts {
		checkValid(t, []byte(text))
		for before := range 10 {
			pad := strings.Repeat("x", before)
			checkValid(t, []byte(`{"`+pad+`":`+text+`,"`+pad+`":"`+pad+`"}`))
			checkValid(t, []byte(`["`+pad+strings.Trim(text, `"`)+pad+`"]`))
		}
	}
	for c := range 256 {
		for at := range 20 {
			text := []byte(`"` + strings.Repeat("x", 20) + `"`)
			text[1+at] = byte(c)
			checkValid(t, text)
		}
	}
	for _, n := range []int{1, 500, 501} {
		for _, text := range []string{nested(n), strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n)} {
			if got := validJSON([]byte(text), 500); got != (n <= 500) {
				t.Errorf("%d levels: %v", n, got)
			}
		}
	}
	if validJSON(bytes.Repeat([]byte("["), 1<<20), 500) {
		t.Error("a million brackets are JSON")
	}
}

func FuzzValidJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-2.5e3,"b\u00e9\\\"",{"c":null}],"d":true}`, "[[[[]]]]", "\"\x1f\xff", `{"a":1,"a":{}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(checkValid)
}

// BenchmarkValidJSON: the validator beside the one of the library for reading, with no look at the depth there.
func BenchmarkValidJSON(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var short, prose bytes.Buffer
	for i := range 2000 {
		fmt.Fprintf(&short, `{"id":%d,"name":"n%d","on":true},`, i, r.IntN(1000))
		fmt.Fprintf(&prose, `{"id":%d,"title":"The quick brown fox jumps over the lazy dog again and again","note":"%s"},`, i, strings.Repeat("lorem ipsum ", 1+r.IntN(10)))
	}
	for name, text := range map[string]*bytes.Buffer{"short": &short, "prose": &prose} {
		body := []byte("[" + strings.TrimSuffix(text.String(), ",") + "]")
		for which, valid := range map[string]func([]byte) bool{"own": func(b []byte) bool { return validJSON(b, maxNesting) }, "gjson": gjson.ValidBytes} {
			b.Run(name+"/"+which, func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					if !valid(body) {
						b.Fatal("not valid")
					}
				}
			})
		}
	}
}
