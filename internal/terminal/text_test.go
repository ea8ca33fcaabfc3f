package terminal

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/tapway/tapway/internal/terminal/terminaltest"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"/a b?x=%20":           "/a b?x=%20",
		"\x1f":                 "�",
		" ~":                   " ~",
		"\x7f":                 "�",
		"\u0080\u009b2J\u009f": "��2J�",
		"\u00a1":               "\u00a1",
		"\x9b2J":               "�2J", // the 8-bit form, which is no UTF-8
		"\x1b[2J\x1b]0;x\x07":  "�[2J�]0;x�",
		"a\nb\tc\r":            "a�b�c�",
		"left\u202eright":      "left�right",
		"zero\u200bwidth":      "zero�width",
		"日本e\u0301":            "日本e\u0301",
		"\u2764\ufe0f":         "\u2764�",
		"\ufdd0\U000e0001":     "��",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWidthAndCut(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		cut   string // to 4 columns
	}{
		{"", 0, ""}, {"abcd", 4, "abcd"}, {"abcde", 5, "abc…"}, {"日本", 4, "日本"}, {"日本x", 5, "日…"}, {"x日本", 5, "x日…"},
		{"e\u0301\u0301bcd", 4, "e\u0301\u0301bcd"}, {"abce\u0301f", 5, "abc…"}, {"\x1b[2J", 4, "\x1b[2J"}, {"한국", 4, "한국"}, {"\u1112\u1161", 2, "\u1112\u1161"}, {"😀😀😀", 6, "😀…"},
		{"\xff\xff\xff\xff\xff", 5, "\xff\xff\xff…"},
	} {
		if got := Width(c.in); got != c.width {
			t.Errorf("%q is %d wide, want %d", c.in, got, c.width)
		}
		if got := Cut(c.in, 4); got != c.cut {
			t.Errorf("%q cut to 4 columns: %q, want %q", c.in, got, c.cut)
		}
	}
	if Cut("x", 0) != "" {
		t.Error("nothing fits into no columns")
	}
}

func TestWideTable(t *testing.T) {
	for i, r := range wide {
		if r[0] > r[1] || i > 0 && r[0] <= wide[i-1][1]+1 {
			t.Errorf("range %d, %x to %x, is out of order", i, r[0], r[1])
		}
	}
	for r, want := range map[rune]bool{0x10ff: false, 0x1100: true, 0x115f: true, 0x2e7f: false, 'a': false, '…': false, '─': false, '日': true, 'ｱ': false, 'Ａ': true, '😀': true} {
		if isWide(r) != want {
			t.Errorf("%c is wide: %v", r, !want)
		}
	}
}

// obeyed reports whether s has anything that a terminal acts upon.
func obeyed(s string) bool {
	return !utf8.ValidString(s) || strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) }) >= 0
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "\x1b[2J", "\u009b2J", "\x9b2J", "日本\u0301", "a\u202eb\xff", "\x1b]52;c;AAAA\x07"} {
		f.Add(s, uint8(10))
	}
	f.Fuzz(func(t *testing.T, s string, width uint8) {
		clean := Clean(s)
		if obeyed(clean) {
			t.Fatalf("Clean(%q) = %q", s, clean)
		}
		if Clean(clean) != clean || Width(s) != Width(clean) || utf8.RuneCountInString(clean) != utf8.RuneCountInString(s) {
			t.Fatalf("Clean(%q) = %q is not stable", s, clean)
		}
		if cut := Cut(s, int(width)); Width(cut) > int(width) || Width(s) <= int(width) && cut != s && width > 0 {
			t.Fatalf("Cut(%q, %d) = %q, %d wide", s, width, cut, Width(cut))
		}
		if ascii := ASCII(clean); strings.IndexFunc(ascii, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			t.Fatalf("ASCII(%q) = %q", clean, ascii)
		}
	})
}

func FuzzCleanJSON(f *testing.F) {
	f.Add("{\"a\":\"\u009b2J\u202e\U000e0001\"}")
	f.Add(`{"a":"\u001b[2J"}`)
	f.Add(`"x"`)
	f.Fuzz(func(t *testing.T, s string) {
		if ascii := CleanJSON([]byte(s), true); bytes.ContainsFunc(ascii, func(r rune) bool { return r > '~' }) {
			t.Fatalf("CleanJSON(%q) = %q, which is not ASCII", s, ascii)
		}
		clean := string(CleanJSON([]byte(s), len(s)%2 == 0))
		if obeyed(strings.NewReplacer("\n", "", "\t", "", "\r", "").Replace(clean)) {
			t.Fatalf("CleanJSON(%q) = %q", s, clean)
		}
		var before, after any
		if json.Unmarshal([]byte(s), &before) != nil {
			return
		}
		if err := json.Unmarshal([]byte(clean), &after); err != nil || !reflect.DeepEqual(before, after) {
			t.Fatalf("CleanJSON(%q) = %q: %v", s, clean, err)
		}
	})
}

func TestScreenText(t *testing.T) {
	s := NewScreen(8, 3)
	for _, c := range []struct {
		x, y, width int
		text        string
		took        int
	}{
		{0, 0, 8, "日本語x", 7}, {1, 0, 1, "|", 1}, {6, 0, 9, "日", 2}, // what is half covered goes
		{7, 1, 9, "日", 0}, {0, 1, 3, "日本", 2}, {4, 1, 9, "e\u0301\u0301\u0301\u0301x", 2},
		{0, 2, 9, "\u0301a\x1b[2J", 6}, {0, 3, 8, "below", 0}, {-1, 0, 8, "left", 0}, {9, 0, 8, "right", 0},
	} {
		if took := s.Text(c.x, c.y, c.width, c.text, 0); took != c.took {
			t.Errorf("%q at %d, %d took %d columns, want %d", c.text, c.x, c.y, took, c.took)
		}
	}
	if got, want := s.String(), " |本語日\n日  e\u0301\u0301\u0301x\n�a�[2J\n"; got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	s.Reset(8, 1)
	s.ASCII = true
	s.Text(0, 0, 8, "日e\u0301…●é", 0)
	if got := s.String(); got != "??e~*?\n" {
		t.Errorf("in ASCII: %q", got)
	}
}

// FuzzRender: whatever is drawn, the terminal gets nothing that it obeys but what the renderer means, and shows the
// screen, also when another one was there before.
func FuzzRender(f *testing.F) {
	f.Add("hello\x1b[2J", "日本\u0301語", uint8(3), uint16(0x905))
	f.Add("\x9b1m日", "a", uint8(0), uint16(0))
	f.Add("日本語日本語", "x日x", uint8(1), uint16(0xffff))
	f.Fuzz(func(t *testing.T, first, second string, x uint8, style uint16) {
		const w, h = 12, 3
		shown := terminaltest.NewScreen(w, h)
		shown.Wide = isWide
		shown.Write([]byte(enterScreen))
		r := Renderer{Colour: true}
		style = style&0xf00 | style&0xff%17
		for _, texts := range [][2]string{{first, second}, {second, first}, {"", second}, {second, second}} {
			s := NewScreen(w, h)
			s.Text(0, 0, w, texts[0], Style(style))
			s.Text(int(x)%w, 0, w, texts[1], 0)
			s.Text(int(x)%w, 2, 5, texts[0], Bold)
			shown.Write(r.Frame(nil, s))
			if again := r.Frame(nil, s); len(again) > 0 {
				t.Fatalf("nothing has changed, but %q is sent", again)
			}
			if len(shown.Strange) > 0 {
				t.Fatalf("the terminal was sent %v", shown.Strange)
			}
			if got, want := shown.Text(), withoutMarks(s); got != want {
				t.Fatalf("the terminal shows\n%q, not\n%q", got, want)
			}
		}
	})
}

// withoutMarks is the text of a screen as terminaltest gives it.
func withoutMarks(s *Screen) string {
	for i := range s.cells {
		s.cells[i].Marks = ""
	}
	return s.String()
}

func TestStyles(t *testing.T) {
	s := NewScreen(2, 1)
	for style, want := range map[Style]string{Red: "\x1b[0;31m", Bright + Black: "\x1b[0;90m", Bright + White: "\x1b[0;97m", White | Bold | Reverse: "\x1b[0;1;7;37m", Underline | Dim: "\x1b[0;2;4m"} {
		s.Reset(2, 1)
		s.Text(0, 0, 1, "x", style)
		if got := string((&Renderer{Colour: true}).Frame(nil, s)); got != "\x1b[0m\x1b[2J\x1b[1;1H"+want+"x\x1b[0m" {
			t.Errorf("style %x: %q", style, got)
		}
		if got := string((&Renderer{}).Frame(nil, s)); strings.Contains(got, "31") || strings.Contains(got, "9") {
			t.Errorf("style %x without colours: %q", style, got)
		}
	}
}

func TestProfile(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want Profile
	}{
		{map[string]string{}, Profile{}},
		{map[string]string{"TERM": "dumb", "LANG": "en_US.UTF-8"}, Profile{UTF8: true}},
		{map[string]string{"TERM": "xterm", "LANG": "C.utf8"}, Profile{true, true, true}},
		{map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, Profile{Screen: true}},
		{map[string]string{"TERM": "vt100", "LC_ALL": "C", "LANG": "en_US.UTF-8"}, Profile{Screen: true}},
		{map[string]string{"TERM": "linux", "LC_ALL": "", "LC_CTYPE": "de_DE.UTF-8", "LANG": "C"}, Profile{true, true, true}},
	} {
		if got := ProfileOf(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.env, got, c.want)
		}
	}
}
