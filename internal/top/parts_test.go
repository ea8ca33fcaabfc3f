package top

import (
	"encoding/json"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/terminal"
)

func TestFigures(t *testing.T) {
	var s stats
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	if f := s.figures(); f != (figures{}) {
		t.Errorf("of nothing: %+v", f)
	}
	second := func(n int, ms float64, status int, skipped uint64) {
		calls := make([]admin.Summary, n)
		for i := range calls {
			calls[i] = admin.Summary{DurationMS: ms, Status: status}
		}
		s.add(now, &admin.Live{Calls: calls, Skipped: skipped})
		now = now.Add(time.Second)
		s.advance(now)
	}
	for range 98 {
		second(1, 10, 200, 0) // the first 38 are more than a minute ago at the end
	}
	second(1, 1000, 503, 0)
	second(1, 0.01, 0, 9)
	f := s.figures()
	if f.calls != 59+9 || f.rate != 1.9 || f.errors < 2./59-1e-9 || f.errors > 2./59+1e-9 || f.p50 < 9.6 || f.p50 > 10.4 || f.p99 < 960 || f.p99 > 1040 {
		t.Errorf("%+v", f)
	}
	if got := s.spark(4); got != "▂▂▂█" {
		t.Errorf("spark %q", got)
	}
	now = now.Add(59 * time.Second)
	s.advance(now)
	if f := s.figures(); f.calls != 0 || f.rate != 0 {
		t.Errorf("a minute later: %+v", f)
	}
	now = now.Add(100 * time.Hour)
	s.advance(now)
	if got := s.spark(3); got != "▁▁▁" || s.spark(0) != "" {
		t.Errorf("spark %q", got)
	}
	for ms, step := range map[float64]int{-1: 0, 0: 0, 0.05: 0, 0.06: 2, 1e9: steps - 1} {
		if got := stepOf(ms); got != step {
			t.Errorf("%v ms is in step %d, want %d", ms, got, step)
		}
	}
}

func TestPromptEdits(t *testing.T) {
	type event = terminal.Event
	for _, c := range []struct {
		events []event
		text   string
		at     int
	}{
		{[]event{terminal.Key("x"), terminal.Paste("日本")}, "start x日本", 9},
		{[]event{terminal.Key("home"), terminal.Key("x"), terminal.Key("right"), terminal.Key("delete")}, "xsart ", 2},
		{[]event{terminal.Key("left"), terminal.Key("left"), terminal.Key("backspace"), terminal.Key("end"), terminal.Key("right")}, "stat ", 5},
		{[]event{terminal.Key("a"), terminal.Key("ctrl+w")}, "start ", 6},
		{[]event{terminal.Key("ctrl+w"), terminal.Key("ctrl+w"), terminal.Key("backspace")}, "", 0},
		{[]event{terminal.Key("left"), terminal.Key("ctrl+u")}, " ", 0},
		{[]event{terminal.Key("ctrl+a"), terminal.Key("right"), terminal.Key("ctrl+k"), terminal.Key("delete")}, "s", 1},
		{[]event{terminal.Key("up"), terminal.Key("up"), terminal.Key("up")}, "one", 3},
		{[]event{terminal.Key("up"), terminal.Key("down"), terminal.Key("down")}, "", 0},
		{[]event{terminal.Paste(strings.Repeat("x", maxPrompt))}, "start ", 6},
		{[]event{terminal.Mouse{Wheel: 1}, terminal.Key("f1")}, "start ", 6},
	} {
		p := newPrompt("", "start ", nil)
		p.history = []string{"one", "two"}
		for _, ev := range c.events {
			if p.event(ev) {
				t.Errorf("%v ends it", ev)
			}
		}
		if string(p.text) != c.text || p.at != c.at {
			t.Errorf("%v: %q at %d, want %q at %d", c.events, string(p.text), p.at, c.text, c.at)
		}
	}
}

// TestPromptScrolls: the cursor is on the screen wherever it stands in the text.
func TestPromptScrolls(t *testing.T) {
	for _, width := range []int{1, 2, 8, 20, 40} {
		p := newPrompt("filter:", "status >= 日本語日本語日本語日本語", nil)
		p.check = checkFilter
		for range 30 {
			s := terminal.NewScreen(width, 2)
			p.verify()
			p.draw(s, 0)
			if !s.Cursor || s.CursorX < 0 || s.CursorX >= width {
				t.Fatalf("%d wide: the cursor is in column %d", width, s.CursorX)
			}
			p.edit("left")
		}
	}
}

func TestPretty(t *testing.T) {
	deep := strings.Repeat("[", maxIndent+1) + strings.Repeat("]", maxIndent+1)
	for _, c := range []struct {
		kind, body string
		want       []string
	}{
		{"application/json", `{"a":[1,{}],"b\"":"x: y"}`, []string{"{", `  "a": [`, "    1,", "    {}", "  ],", `  "b\"": "x: y"`, "}"}},
		{"", ` {"a":1}`, []string{"{", `  "a": 1`, "}"}},
		{"application/x-ndjson", "{\"a\":1}\n{\"a\":2}\n", []string{"{", `  "a": 1`, "}", "{", `  "a": 2`, "}"}},
		{"application/json", `{"a":`, []string{`{"a":`}},
		{"application/json", deep, []string{deep}},
		{"application/x-www-form-urlencoded", "a=1+2&b=%26&c", []string{"a = 1 2", "b = &", "c = "}},
		{"application/x-www-form-urlencoded", "a=%zz", []string{"a=%zz"}},
		{"text/html", "<p>\r\n\tx</p>\n", []string{"<p>", "        x</p>"}},
		{"image/png", "\x89PNG\r\n\x1a\n0123456789", []string{"000000  89 50 4e 47 0d 0a 1a 0a  30 31 32 33 34 35 36 37  .PNG....01234567", "000010  38 39" + strings.Repeat(" ", 43) + "  89"}},
		{"text/plain", "", []string{"The body is empty."}},
		{"text/plain", "caf\xc3", []string{"caf\xc3"}}, // cut off in a character
	} {
		if got := Lines(c.kind, []byte(c.body)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %q:\n%q, want\n%q", c.kind, c.body, got, c.want)
		}
	}
	if got := Lines("", make([]byte, maxHex+1)); len(got) != maxHex/16+1 || !strings.Contains(got[len(got)-1], "1 B more") {
		t.Errorf("%d lines, the last is %q", len(got), got[len(got)-1])
	}
}

// FuzzPretty: a body of any kind is shown whole and in lines that fit.
func FuzzPretty(f *testing.F) {
	for _, s := range []string{`{"a":[1,2,"x"]}`, "a=b&c=%41", "\x00\x01", "日本語\tx", `"a\`, "{\"a\":1}\n{}", `{"":"`} {
		f.Add("application/json", []byte(s), uint8(10))
		f.Add("application/x-www-form-urlencoded", []byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte, width uint8) {
		lines := pretty(kind, b)
		if len(b) > 0 && len(lines) == 0 {
			t.Fatalf("%q gives nothing", b)
		}
		var text strings.Builder
		for _, l := range lines {
			whole := ""
			for _, w := range wrap(l, int(width)) {
				if n := terminal.Width(w.text()); n > max(int(width), 2) {
					t.Fatalf("a line of %q is %d wide, not %d", b, n, width)
				}
				whole += w.text()
			}
			if whole != l.text() {
				t.Fatalf("%q is wrapped to %q", l.text(), whole)
			}
			text.WriteString(whole)
		}
		var before, after any
		if json.Unmarshal(b, &before) == nil && !deeper(b, maxIndent) && isText(b) && json.Valid([]byte(text.String())) {
			if json.Unmarshal([]byte(text.String()), &after); !reflect.DeepEqual(before, after) {
				t.Fatalf("%q is shown as %q", b, text.String())
			}
		}
	})
}

// TestCurl: the command sends what was recorded, whatever is in it. It is read by a real shell.
func TestCurl(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	run := func(command string) []string {
		t.Helper()
		out, err := exec.Command(bash, "-c", `curl() { printf '%s\0' "$@"; for a; do if [ "$a" = @- ]; then cat; printf '\0'; fi; done; }; `+command).Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	}
	d := admin.Detail{Summary: admin.Summary{Method: "GET", From: "api.example.com", Path: "/it's", Query: "a[]=$(id)"},
		Request: admin.Message{Headers: [][2]string{{"Host", "x"}, {"Content-Length", "3"}, {"X-A", "`id`"}, {"X-Empty", ""}, {"X-Control", "a\x1b[2J\u009b\n'\\"}}}}
	want := []string{"-i", "-g", "http://api.example.com/it's?a[]=$(id)", "-H", "X-A: `id`", "-H", "X-Empty;", "-H", "X-Control: a\x1b[2J\u009b\n'\\"}
	command := Curl(&d, nil, false)
	if got := run(command); !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nruns with %q, want %q", command, got, want)
	}
	if terminal.Clean(strings.ReplaceAll(command, " \\\n", "")) != strings.ReplaceAll(command, " \\\n", "") {
		t.Errorf("%q would write on the terminal", command)
	}
	d.Path = "/日本"
	want[2] = "http://api.example.com/日本?a[]=$(id)"
	if command = Curl(&d, nil, true); !reflect.DeepEqual(run(command), want) || strings.ContainsFunc(command, func(r rune) bool { return r > '~' }) {
		t.Errorf("in ASCII: %s", command)
	}
	d = admin.Detail{Summary: admin.Summary{Method: "P|sh", From: "h", Path: "/", Front: "rest"}}
	if got := run(Curl(&d, []byte("@a\r\n"), false)); !reflect.DeepEqual(got, []string{"-i", "-X", "P|sh", "https://h/", "--data-raw", "@a\r\n"}) {
		t.Errorf("a text: %q", got)
	}
	if got := run(Curl(&d, []byte("\xff\x01x"), false)); !reflect.DeepEqual(got, []string{"-i", "-X", "P|sh", "https://h/", "--data-binary", "@-", "\xff\x01x"}) {
		t.Errorf("bytes: %q", got)
	}
	d.Method = "HEAD"
	if got := run(Curl(&d, nil, false)); !reflect.DeepEqual(got, []string{"-i", "-I", "https://h/"}) {
		t.Errorf("HEAD: %q", got)
	}
}

func TestFormats(t *testing.T) {
	for got, want := range map[string]string{
		millis(0.04): "0.0ms", millis(99.94): "99.9ms", millis(100): "100ms", millis(9999): "9999ms", millis(10_000): "10.0s", millis(100_000): "100s",
		terminal.Bytes(1023): "1023 B", terminal.Bytes(1024): "1.0 KiB", terminal.Bytes(1 << 20): "1.0 MiB", terminal.Bytes(1 << 30): "1.0 GiB",
		spanText(999 * time.Millisecond): "0s", spanText(59 * time.Second): "59s", spanText(time.Minute): "1m", spanText(time.Hour): "1h", spanText(48 * time.Hour): "2d",
		percentText(0): "0%", percentText(0.001): "0.1%", percentText(0.1): "10%", rateText(9.94): "9.9", rateText(10): "10",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
