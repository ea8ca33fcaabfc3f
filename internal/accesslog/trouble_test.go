package accesslog

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// filling is a disk that becomes full in the middle of a write, and has room again later.
type filling struct {
	bytes.Buffer
	room int // -1: there is enough
}

func (f *filling) Write(p []byte) (int, error) {
	if f.room < 0 || len(p) <= f.room {
		return f.Buffer.Write(p)
	}
	n, _ := f.Buffer.Write(p[:f.room])
	f.room = 0
	return n, errors.New("no space")
}

// TestTornLine: a line of which only a part could be written does not run into the next one, and the
// lines before it are not said to be missing.
func TestTornLine(t *testing.T) {
	l, err := Open(Options{Path: "stderr", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	line := string(Combined.Append(nil, call(), ""))
	out := &filling{room: len(line) + 10}
	l.out = out
	for range 3 {
		l.Write(call(), "")
	}
	l.flush()
	l.Write(call(), "")
	l.flush() // still no room
	out.room = -1
	l.Write(call(), "")
	l.flush()
	l.Write(call(), "")
	l.flush()
	if want := line + line[:10] + "\n" + line + line; out.String() != want {
		t.Errorf("%q\nwant\n%q", out.String(), want)
	}
	if written, dropped := l.Lines(); written != 3 || dropped != 3 {
		t.Errorf("%d written, %d dropped", written, dropped)
	}
}

// TestRotateWithoutNew: while no new file can be opened the old ones keep their places.
func TestRotateWithoutNew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	for _, name := range []string{path + ".1", path + ".2", path + ".3"} {
		if err := os.WriteFile(name, []byte(filepath.Base(name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Open(Options{Path: path, MaxSize: 1, Keep: 4, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	openFile = func(string, int, os.FileMode) (*os.File, error) { return nil, errors.New("too many open files") }
	t.Cleanup(func() { openFile = os.OpenFile })
	for range 5 {
		l.Write(call(), "")
		l.flush()
	}
	openFile = os.OpenFile
	l.Write(call(), "")
	l.flush()
	l.file.Close()
	for name, want := range map[string]string{".4": "access.log.3", ".3": "access.log.2", ".2": "access.log.1"} {
		if text, err := os.ReadFile(path + name); err != nil || string(text) != want {
			t.Errorf("%s: %q %v, want %s", name, text, err, want)
		}
	}
	text, err := os.ReadFile(path + ".1")
	if err != nil || strings.Count(string(text), "\n") != 5 || lines(t, path) != 1 {
		t.Errorf("%d lines in the old file, %d in the new: %v", strings.Count(string(text), "\n"), lines(t, path), err)
	}
}
