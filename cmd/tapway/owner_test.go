package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestHandBack: of what is in a service's data directory, what root has made becomes the service's.
func TestHandBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"access-keys.json", "log/1.seg", "linked", "state.db", "other"} {
		write(t, dir, name, "x")
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	top := 990
	owner := func(info fs.FileInfo) (uid, gid int, alone bool) {
		switch info.Name() {
		case filepath.Base(dir):
			return top, 991, false
		case "state.db":
			return 990, 991, true
		case "other":
			return 1000, 1000, true
		case "linked":
			return 0, 0, false
		}
		return 0, 0, !info.IsDir()
	}
	var changed []string
	chown := func(name string, uid, gid int) error {
		name, err := filepath.Rel(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		changed = append(changed, fmt.Sprintf("%s %d:%d", name, uid, gid))
		return nil
	}
	if !handBackTo(dir, owner, chown) {
		t.Error("nothing was handed back")
	}
	if want := []string{"access-keys.json 990:991", "log 990:991", "log/1.seg 990:991"}; !slices.Equal(changed, want) {
		t.Errorf("changed %q, want %q", changed, want)
	}
	for _, nobody := range []int{0, -1} {
		top, changed = nobody, nil
		if handBackTo(dir, owner, chown) {
			t.Error("something was handed back")
		}
		if changed != nil {
			t.Errorf("in a directory of %d: %q", nobody, changed)
		}
	}
	handBackTo(filepath.Join(dir, "none"), owner, chown)
}
