package jsonstring

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// scanSlowly is what Scan promises, byte by byte.
func scanSlowly(data []byte, at int) (t Text) {
	for i := at; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			t.End = i
			return t
		case c < ' ':
			return Text{End: i, Fault: Control}
		case c >= utf8.RuneSelf:
			t.Wide = true
		case c == '\\':
			t.Escaped = true
			i++
			switch {
			case i == len(data):
				return Text{End: i, Fault: BadEscape}
			case strings.IndexByte(`"\/bfnrt`, data[i]) >= 0:
			case data[i] == 'u' && i+4 < len(data) && Hex4(data[i+1:]) >= 0:
				i += 4
			default:
				return Text{End: i, Fault: BadEscape}
			}
		}
	}
	return Text{End: len(data), Fault: Unended}
}

// checkRead compares Scan and Take with it, and what Take writes with encoding/json.
func checkRead(t *testing.T, data []byte, at int) {
	t.Helper()
	want := scanSlowly(data, at)
	if got := Scan(data, at); got != want {
		t.Fatalf("Scan(%q, %d) = %+v, want %+v", data, at, got, want)
	}
	taken := bytes.Clone(data)
	got := Take(taken, at)
	if got.End != want.End || got.Fault != want.Fault || got.Escaped != want.Escaped {
		t.Fatalf("Take(%q, %d) = %+v, want %+v", data, at, got, want)
	}
	if !bytes.Equal(taken[:at], data[:at]) || !bytes.Equal(taken[got.End:], data[got.End:]) {
		t.Fatalf("Take(%q, %d) has made %q of it", data, at, taken)
	}
	if got.Fault != Sound {
		return
	}
	raw := data[at:want.End]
	says := make([]byte, len(raw))
	says = says[:Unescape(says, raw)]
	if out := taken[at : at+got.Len]; !bytes.Equal(out, says) {
		t.Fatalf("Take(%q, %d) = %q, want %q", data, at, out, says)
	}
	if wide := bytes.ContainsFunc(says, func(r rune) bool { return r >= utf8.RuneSelf }); got.Wide != wide {
		t.Fatalf("Take(%q, %d): wide %v, want %v", data, at, got.Wide, wide)
	}
	var plain string
	if json.Unmarshal(data[at-1:want.End+1], &plain) == nil && utf8.Valid(raw) && plain != string(says) {
		t.Fatalf("Take(%q, %d) = %q, encoding/json has %q", data, at, says, plain)
	}
}

func TestReadAtEveryPlace(t *testing.T) {
	for _, e := range []string{`\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u0041`, `\u0000`, `\u007f`, `\u0080`, `\u20ac`, `\ud83d\ude00`, `\ud83d`, `\ude00`, `\ud83d\u0041`,
		"€", "😀", "\xff", "\x7f", `\`, `\x`, `\u`, `\u12`, `\u12g4`, `\ud83d\u`, "\x00", "\x1f", `"`} {
		for before := range 20 {
			for after := range 12 {
				for times := 1; times < 12; times += 3 {
					text := strings.Repeat("b", before) + strings.Repeat(e+strings.Repeat("c", before%5), times) + strings.Repeat("d", after)
					checkRead(t, []byte(`"`+text), 1)
					checkRead(t, []byte(`"`+text+`"`), 1)
					checkRead(t, []byte(`xx "`+text+`","and":"more\u"}`), 4)
				}
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{``, `"`, `\`, `a"b`, `\u0041\ud83d\ude00\"\\ and more of it" :`, `\ud83d\ud83d\ude00"`, "\x00", "€\xe2\x82\"", `\u00e`} {
		f.Add([]byte(s))
	}
	f.Add([]byte(`{\"id\":17,\"name\":\"user 17\",\"mail\":\"u17@example.com\"},{\"id\":18,\"text\":\"with \\\"quotes\\\" and \u00e9 \ud83d\ude00\",\"mail\":\"u18@example.com\"}",`))
	f.Fuzz(func(t *testing.T, text []byte) {
		checkRead(t, append([]byte{'"'}, text...), 1)
		checkRead(t, append([]byte(`"`+strings.Repeat(`\"`, stride)), text...), 1)
	})
}
