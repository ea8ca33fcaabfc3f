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
	if before, _, err := MigrateKeys(file); err != nil || before != nil {
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
	before, after, err := MigrateKeys(file)
	if err != nil || len(before) != 1 || len(after) != 1 || before[0].ID != "abcdefghij" || after[0] != made {
		t.Errorf("%+v, %+v, %v", before, after, err)
	}
	if err := keys.Reload(); err != nil || keys.Own() != 0 || keys.find(HashKey(value)).ID != made.ID {
		t.Errorf("%d keys of this machine, %v", keys.Own(), err)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(text) {
		t.Errorf("%s %v", now, err)
	}
	if before, _, err := MigrateKeys(file); err != nil || before != nil {
		t.Errorf("again: %v %v", before, err)
	}
}
