package delivery

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPauses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pauses.json")
	open := func() *Pauses {
		t.Helper()
		p, err := OpenPauses(path)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	is := func(p *Pauses, name, reason string) {
		t.Helper()
		if got, paused := p.Reason(name); got != reason || paused != (reason != "") {
			t.Errorf("%s is paused %v: %q, want %q", name, paused, got, reason)
		}
	}
	done := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	p := open()
	is(p, "siem", "")
	done(p.Remove("siem"))
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a file for nothing: %v", err)
	}
	done(p.Add("siem", "by an operator"))
	done(p.Add("lake", "\"maintenance\"\n"))
	is(p, "siem", "by an operator")

	p = open()
	is(p, "siem", "by an operator")
	is(p, "lake", "\"maintenance\"\n")
	is(p, "sie", "")
	done(p.Remove("siem"))

	p = open()
	is(p, "siem", "")
	done(p.Add("siem", "again"))
	done(p.Retain(func(name string) bool { return name == "siem" }))
	p = open()
	is(p, "siem", "again")
	is(p, "lake", "")
	if left, _ := filepath.Glob(path + "?*"); len(left) != 0 {
		t.Errorf("left beside it: %v", left)
	}
}

// A file that cannot be read is said so, and replaced by the first change.
func TestPausesDamaged(t *testing.T) {
	for _, text := range []string{"", "{", "null", "[]", `{"siem":1}`, "\x00\x00"} {
		path := filepath.Join(t.TempDir(), "pauses.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := OpenPauses(path)
		if err == nil {
			t.Errorf("%q is taken for a list of pauses", text)
		}
		if _, paused := p.Reason("siem"); paused {
			t.Errorf("%q pauses", text)
		}
		if err := p.Add("siem", "x"); err != nil {
			t.Error(err)
		}
		if p, err = OpenPauses(path); err != nil {
			t.Error(err)
		}
		if reason, _ := p.Reason("siem"); reason != "x" {
			t.Errorf("%q is not replaced", text)
		}
	}
}

// A pause that cannot be written does not count, and says so.
func TestPausesUnwritable(t *testing.T) {
	p, err := OpenPauses(filepath.Join(t.TempDir(), "missing", "pauses.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Add("siem", "x"); err == nil {
		t.Error("written into a directory that does not exist")
	}
	if _, paused := p.Reason("siem"); paused {
		t.Error("it counts")
	}
}
