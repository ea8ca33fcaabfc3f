//go:build linux && (amd64 || arm64)

package quietnet

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What a pipe has no room for waits, and nothing is lost or written twice.
func TestOutputToAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := Output(w)
	if _, ok := out.(*output); !ok {
		t.Fatalf("a %T", out)
	}
	var want bytes.Buffer
	failed := make(chan error, 1)
	lines := make([][]byte, 0, 600)
	for i := range 600 { // several times what a pipe holds
		line := bytes.Repeat([]byte{byte('a' + i%26)}, []int{0, 1, 100, pipeBuf - 1, pipeBuf, pipeBuf + 1}[i%6])
		lines = append(lines, line)
		want.Write(line)
	}
	go func() {
		defer w.Close()
		for _, line := range lines {
			if n, err := out.Write(line); n != len(line) || err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes of %d, %v", len(got), want.Len(), err)
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func TestOutputToNobody(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := Output(w).Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("with nobody to read: %v", err)
	}
	w.Close()
	if _, err := Output(w).Write([]byte("x")); err == nil {
		t.Error("a closed file takes something")
	}
}

func TestOutputToOtherFiles(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	out := Output(null)
	if n, err := out.Write([]byte("x")); n != 1 || err != nil {
		t.Error(n, err)
	}
	line := []byte("abc\n")
	if n := testing.AllocsPerRun(100, func() { out.Write(line) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if out := Output(file); out != io.Writer(file) {
		t.Errorf("a file has become a %T", out)
	}
	if _, err := io.Copy(Output(file), strings.NewReader("x")); err != nil {
		t.Error(err)
	}
}
