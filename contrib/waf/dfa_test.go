package waf

import (
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"testing"
)

// expressions have what those of the Core Rule Set have.
var expressions = []string{
	"", "a", "^$", `^a`, `a$`, `(?sm)^a$`, `(?sm)a.b`, `(?i)se(?:lect|t)\b.*?from`, `\bunion\b`, `\Bx\B`, `(?m)^\s*$`, `[^a-z0-9]{3,}`, `a{2,4}b?`, `(a|ab)(c|bcd)(d*)`,
	`(?i)(?:on|of)[a-z]{2,9}\s*=`, `\A\d+\z`, `^[\w.-]+$`, `[\x80-\xff]`, `(?sm)\n$`, `x*`, `(?:a?){5}a{5}`, `é|a`, `(?i)k`, `\b`, `^\b$`, `(?s).+b$`, `;\s*(?:ls|cat)\b`,
}

func agrees(t interface{ Fatalf(string, ...any) }, expr, text string, d *dfa) {
	want := regexp.MustCompile(expr).MatchString(text)
	if got, known := d.match(text); known && got != want {
		t.Fatalf("%q in %q: %v, want %v", expr, text, got, want)
	}
}

// TestDFA: it says what package regexp says, again and again, and knows when it cannot tell.
func TestDFA(t *testing.T) {
	texts := []string{"", "a", "ab", "a\n", "\na", "\n", "b\na\nb", "select x from", "SELECT\tx\nFROM", "union", "reunion", "xx x", "axb", "aaaaa", "aaaaab", "abcd", "onload =", "12", "12\n", "a.b-c", "K", ";  cat /", "a b"}
	for _, expr := range expressions {
		d := newDFA(expr)
		for range 2 {
			for _, text := range texts {
				agrees(t, expr, text, d)
				if _, known := d.match(text); !known {
					t.Errorf("%q in %q is not known", expr, text)
				}
			}
		}
		if _, known := d.match("\n;é"); known && !strings.Contains(expr, "*") {
			if matched, _ := d.match("\n;"); !matched {
				t.Errorf("%q: a text beyond ASCII is known", expr)
			}
		}
	}
	if newDFA("(") != nil {
		t.Error("an expression that cannot be read")
	}
}

// TestDFARandom: the same for texts of the expressions' own letters.
func TestDFARandom(t *testing.T) {
	all := make([]*dfa, len(expressions))
	for i, expr := range expressions {
		all[i] = newDFA(expr)
	}
	const letters = "abcdx KkseltunionfrmoO=0-9\n\t;._é"
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		text := make([]rune, random.IntN(30))
		for i := range text {
			text[i] = []rune(letters)[random.IntN(len([]rune(letters)))]
		}
		for i, expr := range expressions {
			agrees(t, expr, string(text), all[i])
		}
	}
}

// TestDFARoom: an expression whose table would have no end gets no more room than there is, and is right all the same.
func TestDFARoom(t *testing.T) {
	const expr = `(?:a|b)*a(?:a|b){18}c` // 2^18 states
	d := newDFA(expr)
	text := make([]byte, 200_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range text {
		text[i] = "ab"[random.IntN(2)]
	}
	unknown := 0
	for n := range 20 {
		piece := string(text[n*10_000 : (n+1)*10_000])
		if _, known := d.match(piece); !known {
			unknown++
		}
	}
	if room := d.cache.Load().room; unknown == 0 || room < -200 || len(d.cache.Load().states) > dfaRoom/16 {
		t.Errorf("%d unknown, %d words left", unknown, room)
	}
	agrees(t, expr, string(text[:30])+"c", d)
}

// TestDFATogether: many may ask at once.
func TestDFATogether(t *testing.T) {
	d := newDFA(`(?i)union\s+(?:all\s+)?select`)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range 200 {
				if matched, _ := d.match(strings.Repeat("unio", n) + "union  ALL select"); !matched {
					t.Error("no match")
				}
			}
		})
	}
	all.Wait()
}

// FuzzDFA compares it with package regexp.
func FuzzDFA(f *testing.F) {
	for _, expr := range expressions {
		f.Add(expr, "select a\nfrom b")
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 60 || len(text) > 200 {
			return
		}
		if parsed, err := syntax.Parse(expr, syntax.Perl); err != nil || parsed == nil {
			return
		}
		if d := newDFA(expr); d != nil {
			agrees(t, expr, text, d)
			agrees(t, expr, text+"\n"+text, d)
		}
	})
}
