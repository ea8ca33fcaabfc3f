package terminal

import (
	"reflect"
	"strings"
	"testing"
)

func TestInput(t *testing.T) {
	for in, want := range map[string][]Event{
		"aé日":                                     {Key("a"), Key("é"), Key("日")},
		"\r\n\t\x7f\x08":                          {Key("enter"), Key("enter"), Key("tab"), Key("backspace"), Key("backspace")},
		"\x03\x1a\x00\x1c":                        {Key("ctrl+c"), Key("ctrl+z"), Key("ctrl+space")},
		"\x1b[A\x1bOB\x1b[5~\x1b[Z":               {Key("up"), Key("down"), Key("pgup"), Key("shift+tab")},
		"\x1b[1;5C\x1b[4;2~":                      {Key("right"), Key("end")},
		"\x1bx\x1b\x1b[A":                         {Key("alt+x"), Key("esc"), Key("up")},
		"\x1b[<64;3;4M\x1b[<65;1;1M":              {Mouse{2, 3, -1}, Mouse{0, 0, 1}},
		"\x1b[<0;10;20M\x1b[<0;1;1m":              {Mouse{9, 19, 0}},
		"\x1b[<2;1;1M\x1b[<0;0;1M":                nil, // another button; no such column
		"\x1b[200~a\x1b[A\nb\x1b[201~":            {Paste("a[A b")},
		"\x1b[99~\x1b[?1;2cz":                     {Key("z")},
		"\xff\x80a":                               {Key("a")},
		"\u009b2J":                                {Key("2"), Key("J")},
		"\x1b[" + strings.Repeat("1;", 40) + "Hq": {Key("H"), Key("q")},
	} {
		var input Input
		if got := input.Feed([]byte(in)); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
		if input.Waiting() {
			t.Errorf("%q leaves %q", in, input.pending)
		}
	}
}

// TestEscapeAlone: ESC is a key when nothing follows, and only then.
func TestEscapeAlone(t *testing.T) {
	var in Input
	if got := in.Feed([]byte("a\x1b")); !reflect.DeepEqual(got, []Event{Key("a")}) || !in.Waiting() {
		t.Errorf("%v, waiting: %v", got, in.Waiting())
	}
	if got := in.Flush(); !reflect.DeepEqual(got, []Event{Key("esc")}) || in.Waiting() {
		t.Errorf("%v, waiting: %v", got, in.Waiting())
	}
	in.Feed([]byte("\x1b"))
	if got := in.Feed([]byte("[B")); !reflect.DeepEqual(got, []Event{Key("down")}) {
		t.Errorf("in two portions: %v", got)
	}
	in.Feed([]byte("\x1b[200~half"))
	if in.Waiting() || in.Flush() != nil {
		t.Error("a paste under way is no key")
	}
	if got := in.Feed([]byte("\x1b[201~")); !reflect.DeepEqual(got, []Event{Paste("half")}) {
		t.Errorf("the paste: %v", got)
	}
}

func FuzzInput(f *testing.F) {
	for _, s := range []string{"a\x1b[A\x1b", "\x1b[<64;3;4M", "\x1b[200~x\x1b[201~", "\x1bOB\xe6\x97", "\x1b[1;1;1;1;1"} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, portion uint8) {
		var whole, parts Input
		want := append(whole.Feed(b), whole.Flush()...)
		var got []Event
		for rest := b; len(rest) > 0; {
			n := min(int(portion)%7+1, len(rest))
			got = append(got, parts.Feed(rest[:n])...)
			rest = rest[n:]
		}
		got = append(got, parts.Flush()...)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q in portions: %v, at once: %v", b, got, want)
		}
		for _, ev := range got {
			switch ev := ev.(type) {
			case Key:
				if ev == "" || obeyed(string(ev)) {
					t.Fatalf("key %q", ev)
				}
			case Paste:
				if obeyed(string(ev)) {
					t.Fatalf("paste %q", ev)
				}
			case Mouse:
				if ev.X < 0 || ev.Y < 0 {
					t.Fatalf("mouse at %v", ev)
				}
			default:
				t.Fatalf("%T is no event", ev)
			}
		}
	})
}
