package filter

import (
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

// TestPatternsEnd: the expressions that other engines take for ever over, on text made for them, and those that would
// take a machine's memory to compile.
func TestPatternsEnd(t *testing.T) {
	ex := &tapway.Exchange{Meta: tapway.Meta{Path: "/" + strings.Repeat("a", 100_000) + "!", Method: "GET", Status: 200}}
	env := EnvOf(ex)
	for _, pattern := range []string{`^/(a+)+$`, `^/(a|aa)+$`, `^/(.*a){12}$`, `^/(a|a?)+$`, `(x+x+)+y`, `^/(([a-z])+.)+[A-Z]([a-z])+$`, `^/(a*)*b`} {
		f, err := Parse("path matches `" + pattern + "`")
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if f.Match(&env) {
			t.Errorf("%s matches", pattern)
		}
	}
	for _, pattern := range []string{`(((a{100}){100}){100}){100}`, `a{1001}`, `(a{1000}){1000}`, strings.Repeat("(", 1001) + strings.Repeat(")", 1001), `(?P<a>x`, `(?=a)`, `(a)\1`} {
		if _, err := Parse("path matches `" + pattern + "`"); err == nil {
			t.Errorf("%.40s is taken", pattern)
		}
	}
}
