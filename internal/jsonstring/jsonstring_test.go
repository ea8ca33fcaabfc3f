package jsonstring

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// slowly is what AppendBytes promises, byte by byte.
func slowly(s []byte) []byte {
	out := []byte{'"'}
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, `\n`...)
		case c == '\r':
			out = append(out, `\r`...)
		case c == '\t':
			out = append(out, `\t`...)
		case c < ' ':
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

func plainly(s []byte) int {
	for i, c := range s {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return i
		}
	}
	return len(s)
}

// check compares everything with what is slow and simple.
func check(t *testing.T, s []byte) {
	t.Helper()
	want := slowly(s)
	if got := AppendBytes(nil, s); !bytes.Equal(got, want) {
		t.Fatalf("AppendBytes(%q) = %s, want %s", s, got, want)
	}
	if got := Append([]byte("x"), string(s)); !bytes.Equal(got[1:], want) || got[0] != 'x' {
		t.Fatalf("Append(%q) = %s, want x%s", s, got, want)
	}
	if len(s) >= window { // with room for blocks
		if got := AppendBytes(make([]byte, 0, most*len(s)+2*spread), s); !bytes.Equal(got, want) {
			t.Fatalf("AppendBytes(%q) with room = %s, want %s", s, got, want)
		}
	}
	half := len(s) / 2
	pieces, wide := AppendInside([]byte("x"), s[:half])
	pieces, wide2 := AppendInside(pieces, s[half:])
	if got := pieces[1:]; !bytes.Equal(got, want[1:len(want)-1]) || (wide || wide2) != bytes.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
		t.Fatalf("AppendInside(%q) in pieces = %s, wide %v %v", s, got, wide, wide2)
	}
	if got := EscapedLen(s); got != len(want)-2 {
		t.Fatalf("EscapedLen(%q) = %d, want %d", s, got, len(want)-2)
	}
	if got, want := Plain(s), plainly(s); got != want {
		t.Fatalf("Plain(%q) = %d, want %d", s, got, want)
	}
	printable := bytes.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
	if printable < 0 {
		printable = len(s)
	}
	if got := Printable(string(s)); got != printable {
		t.Fatalf("Printable(%q) = %d, want %d", s, got, printable)
	}
	if got, want := Valid(s), utf8.Valid(s); got != want {
		t.Fatalf("Valid(%q) = %v, want %v", s, got, want)
	}
	if utf8.Valid(s) {
		checkInside(t, want[1:len(want)-1])
	}
}

// checkInside reads the sound inside of a string, apart and in place.
func checkInside(t *testing.T, raw []byte) {
	t.Helper()
	var want string
	if err := json.Unmarshal([]byte(`"`+string(raw)+`"`), &want); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	dst := make([]byte, len(raw))
	if got := dst[:Unescape(dst, raw)]; string(got) != want {
		t.Fatalf("Unescape(%q) = %q, want %q", raw, got, want)
	}
	same := bytes.Clone(raw)
	if got := same[:Unescape(same, same)]; string(got) != want {
		t.Fatalf("Unescape(%q) in place = %q, want %q", raw, got, want)
	}
}

func TestEveryByteAtEveryPlace(t *testing.T) {
	for length := range 26 {
		s := bytes.Repeat([]byte("a"), length)
		check(t, s)
		for at := range s {
			for c := range 256 {
				s[at] = byte(c)
				check(t, s)
			}
			s[at] = 'a'
		}
		check(t, bytes.Repeat([]byte{0}, length))
		check(t, bytes.Repeat([]byte{'"'}, length))
	}
	for a := range 256 { // a borrow or a carry between neighbours would show here
		for b := range 256 {
			check(t, []byte{'x', byte(a), byte(b), 'y', byte(b), byte(a), 'z', 'z', 'z'})
		}
	}
}

func TestUnescapeAtEveryPlace(t *testing.T) {
	for _, e := range []string{`\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u0041`, `\u00e9`, `\u20ac`, `\ud83d\ude00`, `\ud83d`, `\ude00`,
		`\ud83d\u0041`, `\ud83d\ud83d\ude00`, `\ufffd`, "€", "😀", `\u0000`} {
		for before := range 20 {
			for after := range 12 {
				for times := 1; times < 12; times += 3 {
					checkInside(t, []byte(strings.Repeat("b", before)+strings.Repeat(e+strings.Repeat("c", before%5), times)+strings.Repeat("d", after)))
				}
			}
		}
	}
}

func TestAppendGrows(t *testing.T) {
	for _, room := range []int{0, 1, 13, 14, 15, 100, 600} {
		s := bytes.Repeat([]byte("\x01\"ab"), 100)
		if got := AppendBytes(make([]byte, 0, room), s); !bytes.Equal(got, slowly(s)) {
			t.Fatalf("with room for %d: %s", room, got)
		}
	}
}

func FuzzString(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("\"\\\n\x00\x1f \x7f\x80\xff€ and more of it"))
	f.Add([]byte(`{"a":"b","c":["d","e"]}`))
	f.Add([]byte("mörpheus\xed\xa0\x80\xf4\x90\x80\x80 ab cde fgh ij\xe2\x82"))
	f.Add([]byte("{\"id\":17,\"name\":\"user 17\",\"mail\":\"u17@example.com\"},\n\t{\"id\":18,\"text\":\"\x01\xc3\xa9 and sentences that are longer, and \\\"quotes\\\"\"}"))
	f.Fuzz(func(t *testing.T, s []byte) { check(t, s) })
}

func FuzzUnescape(f *testing.F) {
	f.Add([]byte(`a\u0041\ud83d\ude00\"\\ and more of it`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !utf8.Valid(raw) || !json.Valid([]byte(`"`+string(raw)+`"`)) {
			return
		}
		checkInside(t, raw)
	})
}

func text() []byte {
	return []byte(strings.Repeat(`{"id":17,"name":"user 17","mail":"u17@example.com"},`, 2000))
}

func BenchmarkEscapedLen(b *testing.B) {
	s := text()
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		EscapedLen(s)
	}
}

func BenchmarkUnescape(b *testing.B) {
	s := slowly(text())
	s = s[1 : len(s)-1]
	out := make([]byte, len(s))
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		Unescape(out, s)
	}
}

// TestRoom: however much room is left at the end of dst, and whatever stands there, nothing is written beyond it.
func TestRoom(t *testing.T) {
	for _, text := range []string{`\\\\\\\\`, `""""""""`, `a\\\\\\\`, `\\\\\\\a`, "\x00\x00\x00\x00\x00\x00\x00\x00", "\x00\\\\\\\\\\\\\\", "abcdefgh"} {
		for before := range 24 {
			for after := range 9 {
				s := []byte(strings.Repeat("\x01", before) + text + strings.Repeat("b", after))
				want := slowly(s)
				for room := range 96 {
					if got := AppendBytes(make([]byte, 0, room), s); !bytes.Equal(got, want) {
						t.Fatalf("AppendBytes(%q) with room for %d = %s, want %s", s, room, got, want)
					}
				}
			}
		}
	}
}
