package config

import (
	"maps"
	"strings"
	"testing"
)

// What systemd 257 hands to a service for the same lines.
func TestEnvFile(t *testing.T) {
	values, problems := EnvFile("tapway.env", []byte("\ufeff# a comment \\\nthat goes on\n; another\n\n"+
		"PLAIN=abc\r\n"+
		"  SPACES =  a b c  \n"+
		"EMPTY=\n"+
		"SINGLE='a $b \\n \"c\" #d'\n"+
		"DOUBLE=\"a \\$b \\\"c\\\" \\n\"\n"+
		"LINES=\"one\ntwo\"\n"+
		"JOINED=one\\\ntwo\n"+
		"BACKSLASH=a\\b\\\\c\n"+
		"WITHIN=it's \"so\"\n"+
		"PARTS='a' \"b\"c\n"+
		"HASH=a#b\n"+
		"EQUALS=a=b=\n"+
		"DOLLAR=$HOME ${PLAIN}\n"+
		"PLAIN=def\n"+
		"LAST=x"))
	if len(problems) > 0 {
		t.Error(problems)
	}
	want := map[string]string{
		"PLAIN": "def", "SPACES": "a b c", "EMPTY": "", "SINGLE": `a $b \n "c" #d`, "DOUBLE": `a $b "c" \n`, "LINES": "one\ntwo", "JOINED": "onetwo", "BACKSLASH": `ab\c`,
		"WITHIN": `it's "so"`, "PARTS": "abc", "HASH": "a#b", "EQUALS": "a=b=", "DOLLAR": "$HOME ${PLAIN}", "LAST": "x",
	}
	if !maps.Equal(values, want) {
		t.Errorf("got  %q\nwant %q", values, want)
	}
}

func TestEnvFileMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"A=b\nexport C=hunter2\n": "tapway.env:2:1: systemd passes over a line that begins with export; remove that word",
		"A: hunter2\n":            "tapway.env:1:1: there is no = in this line; write NAME=value",
		"\n\nMY-KEY=hunter2\n":    "tapway.env:3:1: what stands before the = is not the name of a variable",
		"1A=hunter2\n":            "not the name of a variable",
		"=hunter2\n":              "not the name of a variable",
		"A='hunter2\nB=c\n":       "tapway.env:1:1: A: the quotation mark is not closed",
		"A=\"hunter2\\":           "A: the quotation mark is not closed",
	} {
		_, problems := EnvFile("tapway.env", []byte(text))
		if len(problems) != 1 || !strings.Contains(problems.Error(), want) || strings.Contains(problems.Error(), "hunter2") {
			t.Errorf("%q: %v, want %s", text, problems, want)
		}
	}
}

func FuzzEnvFile(f *testing.F) {
	f.Add("A=b\n")
	f.Add("A='b\\' \"c\\\n\"d\\")
	f.Fuzz(func(t *testing.T, text string) {
		values, _ := EnvFile("f", []byte(text))
		for name, value := range values {
			if name == "" || len(value) > len(text) {
				t.Errorf("%q: %q=%q", text, name, value)
			}
		}
	})
}
