package access

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKeyID: a key has one ID on every machine, which is no part of its hash.
func TestKeyID(t *testing.T) {
	now := time.Now()
	here, there := filepath.Join(t.TempDir(), "keys.json"), filepath.Join(t.TempDir(), "keys.json")
	a, value, err := CreateKey(here, "partner", "gold", "", now)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := CreateKey(there, "somebody", "", value, now)
	if err != nil || a.ID != b.ID || len(a.ID) != 10 {
		t.Errorf("%q here and %q there: %v", a.ID, b.ID, err)
	}
	c, _, err := CreateKey(there, "partner", "", "", now)
	if err != nil || c.ID == a.ID {
		t.Errorf("another key: %q, %v", c.ID, err)
	}
	if got := KeyID(HashKey("partner-0123456789abcdefghij")); got != "ephioxxz23" {
		t.Errorf("%s: keys that are there already would count anew", got)
	}
	if strings.Contains(a.SHA256, a.ID) {
		t.Error("the ID is of the hash itself")
	}
}

// TestMigrateKeys: keys of an older tapway get the IDs of every machine, once, and stay what they are.
func TestMigrateKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	if before, _, err := MigrateKeys(file, nil); err != nil || before != nil {
		t.Errorf("without a file: %v %v", before, err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it made a file")
	}
	made, value, err := CreateKey(file, "partner", "gold", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), made.ID, "abcdefghij", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	state := newState(t, time.Now())
	keys, err := OpenKeyFile(file, state, slog.New(slog.DiscardHandler))
	if err != nil || keys.Own() != 1 || keys.find(HashKey(value)).ID != "abcdefghij" {
		t.Fatalf("%d keys of this machine, %v", keys.Own(), err)
	}
	quota := Quota{Limit: 10, Period: Month}
	start, end := quota.Window(time.Now())
	use := func(id string, n int) {
		for range n {
			state.counter.Tally(id).Take(start.Unix(), end.Unix(), quota.Limit, new(Wait))
		}
	}
	use("abcdefghij", 4)
	before, after, err := MigrateKeys(file, nil)
	made.Formerly = "abcdefghij"
	if err != nil || len(before) != 1 || len(after) != 1 || before[0].ID != "abcdefghij" || after[0] != made {
		t.Errorf("%+v, %+v, %v", before, after, err)
	}
	for range 2 { // reading it again takes nothing along twice
		if err := keys.Reload(); err != nil || keys.Own() != 0 || keys.find(HashKey(value)).ID != made.ID {
			t.Errorf("%d keys of this machine, %v", keys.Own(), err)
		}
		if used := state.counter.Tally(made.ID).Used(start.Unix()); used != 4 {
			t.Errorf("%d calls are counted, want 4", used)
		}
	}
	if before, _, err := MigrateKeys(file, nil); err != nil || before != nil {
		t.Errorf("again: %v %v", before, err)
	}
}

// TestMoveCounts: what is counted goes along as long as its window is not over, once, and also across a restart.
func TestMoveCounts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "usage.json")
	open := func() *LocalCounter {
		c, err := OpenCounter(file, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	day := time.Now().UTC().Truncate(24 * time.Hour).Unix()
	c := open()
	c.Tally("old").Charge(day, day+86400, 3)
	c.Tally("new").Charge(day, day+86400, 2)
	c.Tally("older").Charge(day-86400, day, 7)
	c.Tally("later").Charge(day+86400, day+2*86400, 5)
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	c = open()
	for _, from := range []string{"old", "old", "older", "nobody", "new"} {
		c.Move(from, "new")
	}
	if used := c.Tally("new").Used(day); used != 5 {
		t.Errorf("%d calls are counted, want 5", used)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	c = open()
	c.Move("old", "new")
	if new, old := c.Tally("new").Used(day), c.Tally("old").Used(day); new != 5 || old != 0 {
		t.Errorf("after a restart: %d and %d", new, old)
	}
	c.Move("later", "new") // a window that has begun since
	if used := c.Tally("new").Used(day + 86400); used != 5 {
		t.Errorf("%d calls of the later window, want 5", used)
	}
}
