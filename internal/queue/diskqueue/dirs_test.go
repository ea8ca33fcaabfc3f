package diskqueue

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// syncSpy notes which directories were synced.
type syncSpy struct {
	osFiles
	dirs []string
}

func (s *syncSpy) SyncDir(dir string) error {
	s.dirs = append(s.dirs, dir)
	return s.osFiles.SyncDir(dir)
}

// A power cut must not take a new data directory away with all that was acknowledged: each
// directory that is made is synced in the one above.
func TestNewDirectoriesAreSynced(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b")
	spy := &syncSpy{}
	q, err := open(dir, testOptions(t), spy)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{top, filepath.Join(top, "a"), dir} {
		if !slices.Contains(spy.dirs, want) {
			t.Errorf("%s was not synced", want)
		}
	}

	// Above one that was there nothing is asked for: it may be closed to us.
	spy.dirs = nil
	if q, err = open(dir, testOptions(t), spy); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(spy.dirs, filepath.Join(top, "a")) {
		t.Errorf("synced again: %v", spy.dirs)
	}
	file := filepath.Join(top, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(filepath.Join(file, "data"), testOptions(t), spy); err == nil {
		t.Error("opened below a file")
	}
}
