package redact

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The search finds every name that stands as a word, in any letter case and at any place, and
// nothing else.
func TestSearchIsExact(t *testing.T) {
	word := rapid.StringMatching(`[a-eA-E_-]{3,12}`)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(word, 1, 40).Draw(t, "names")
		s := newSearch(names, false)
		text := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "B", "c", "D", "e", "_", "-", "\"", ":", " ", "1", "é", "\x00", "\xff"}), 0, 60).Draw(t, "text")
		at := rapid.IntRange(0, len(text)).Draw(t, "at")
		name := rapid.SampledFrom(names).Draw(t, "name")
		if rapid.Bool().Draw(t, "upper") {
			name = strings.ToUpper(name)
		}
		doc := strings.Join(text[:at], "") + rapid.SampledFrom([]string{"", name, `"` + name + `"`, name[1:], `"` + name}).Draw(t, "planted") + strings.Join(text[at:], "")
		want := false
		for _, n := range names {
			// (?i) of a regexp folds k and s beyond ASCII, but there are none in these names.
			for i := range doc {
				if m := regexp.MustCompile(`^(?i:` + n + `)(?:[^a-zA-Z0-9_]|$)`).FindStringIndex(doc[i:]); m != nil && (i == 0 || !wordByte(doc[i-1])) {
					want = true
				}
			}
		}
		got, ascii := s.find([]byte(doc))
		if got != want {
			t.Fatalf("names %q in %q: %v, want %v", names, doc, got, want)
		}
		if plain := strings.IndexFunc(doc, func(r rune) bool { return r > 127 }) < 0; !got && ascii != plain {
			t.Fatalf("%q: ascii %v, want %v", doc, ascii, plain)
		}
	})
}

func TestSearchInJSON(t *testing.T) {
	s := newSearch([]string{"password", "api_key"}, false)
	for doc, want := range map[string]bool{
		`{"password":1}`:          true,
		`{"PassWord":1}`:          true,
		`password`:                true,
		`{"passwords":1}`:         false,
		`{"my_password":1}`:       false,
		`{"my-password":1}`:       true,
		`{"p\u0061ssword":1}`:     true,
		`{"p\u0041ssword":1}`:     true,
		`{"\u00e9":1}`:            false,
		`{"\u4e2d\u6587":"\n"}`:   false,
		`{"\u003c":1}`:            false, // no name has "<"
		`{"api\u005fkey":1}`:      true,
		`{"a":"\`:                 true,
		`{"a":"\u0`:               true,
		`{"a":"C:\\users"}`:       true, // too often yes: read from the second backslash it is a broken escape
		`{"a":"C:\\temp\n\"x\""}`: false,
		"{\"pa\u017fsword\":1}":   true,
		"{\"api_\u212aey\":1}":    true,
		"{\"\u0161\u2019\":1}":    false,
		`{"pa\u017Fsword":1}`:     true,
		`{"api_\u212Aey":1}`:      true,
		"":                        false,
	} {
		if got := s.inJSON([]byte(doc)); got != want {
			t.Errorf("%s: %v, want %v", doc, got, want)
		}
	}
	exotic := newSearch([]string{"a/bc", "schlüssel"}, false)
	for doc, want := range map[string]bool{`{"a\/bc":1}`: true, `{"a/bc":1}`: true, `{"schl\u00fcssel":1}`: true, `{"schlüssel":1}`: true, `{"n\n":1}`: true, `{"x":1}`: false} {
		if got := exotic.inJSON([]byte(doc)); got != want {
			t.Errorf("%s: %v, want %v", doc, got, want)
		}
	}
	if !newSearch([]string{"password", "id"}, false).inJSON([]byte("x")) {
		t.Error("a name of two bytes cannot be searched for")
	}
	if newSearch(nil, false).inJSON([]byte(`{"password":1}`)) {
		t.Error("no names are found nowhere")
	}
}

// More names than buckets share the last one.
func TestSearchManyNames(t *testing.T) {
	var names []string
	for i := range 26 * 26 {
		names = append(names, string([]byte{'x', byte('a' + i/26), byte('a' + i%26), 'y', 'z'}))
	}
	s := newSearch(names, false)
	for _, name := range names {
		if found, _ := s.find([]byte(`{"first":"` + strings.Repeat("w", len(name)) + `","` + name + `":1}`)); !found {
			t.Fatalf("%q is not found", name)
		}
	}
	if found, _ := s.find(bytes.Repeat([]byte("w"), 100)); found {
		t.Fatal("found nothing's name")
	}
}
