package dirblob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/blob/blobtest"
)

func TestContract(t *testing.T) {
	blobtest.Test(t, func(t *testing.T) tapway.BlobStore {
		return Store{filepath.Join(t.TempDir(), "not", "yet", "there")}
	})
}

// files are the paths below dir.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			all = append(all, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ key, file string }{
		{"a", "a"},
		{"records/0198c2f0-5b1e", "records+/0198c2f0-5b1e"},
		{"../../etc/passwd", "%2e.+/%2e.+/etc+/passwd"},
		{"/etc", "%+/etc"},
		{"a//b", "a+/%+/b"},
		{"a/", "a+/%"},
		{".", "%2e"},
		{"A.json", "^a.json"},
		{"a+", "a%2b"},
		{"a\\b:c\x00", "a%5cb%3ac%00"},
		{"é", "%c3%a9"},
	} {
		dir := t.TempDir()
		s := Store{filepath.Join(dir, "in")}
		if err := s.Put(t.Context(), c.key, []byte("x")); err != nil {
			t.Errorf("%q: %v", c.key, err)
			continue
		}
		if got := files(t, dir); len(got) != 1 || got[0] != "in/"+c.file {
			t.Errorf("%q is in %q, want in/%s", c.key, got, c.file)
		}
		if _, err := s.Get(t.Context(), c.key); err != nil {
			t.Errorf("%q: %v", c.key, err)
		}
	}
}

func TestFailedPutLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := Store{dir}
	// A directory stands where the file should be: the rename fails.
	if err := os.MkdirAll(filepath.Join(dir, "taken", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "taken", []byte("x")); err == nil {
		t.Error("Put over a directory succeeded")
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func TestNoDirectory(t *testing.T) {
	if err := (Store{}).Put(t.Context(), "a", nil); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a store without a directory: %v", err)
	}
	if _, err := (Store{}).Get(t.Context(), "a"); err == nil || errors.Is(err, tapway.ErrNotFound) {
		t.Errorf("a store without a directory: %v", err)
	}
}

// FuzzPath checks that no key leaves the directory and that no two share a file.
func FuzzPath(f *testing.F) {
	for _, k := range []string{"a", "../a", "a/b", "A", "a+", strings.Repeat("x", 500), "%", "", "/", "a/+"} {
		f.Add(k, "a")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		s := Store{"/blobs"}
		pa, errA := s.path(t.Context(), a)
		pb, errB := s.path(t.Context(), b)
		if (errA != nil) != (a == "") || (errB != nil) != (b == "") {
			t.Fatalf("%q: %v; %q: %v", a, errA, b, errB)
		}
		if errA != nil || errB != nil {
			return
		}
		if !strings.HasPrefix(pa, "/blobs/") || pa != filepath.Clean(pa) {
			t.Errorf("%q is at %q", a, pa)
		}
		if (pa == pb) != (a == b) {
			t.Errorf("%q is at %q, %q is at %q", a, pa, b, pb)
		}
		if strings.HasPrefix(pb, pa+"/") {
			t.Errorf("the file of %q is a folder of %q", a, b)
		}
	})
}
