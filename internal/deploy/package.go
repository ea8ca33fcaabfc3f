package deploy

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// goArch is Go's word for an architecture of Lambda.
func goArch(architecture string) string {
	if architecture == "x86_64" {
		return "amd64"
	}
	return architecture
}

// FindPackage finds the function package for an architecture: the named one; else one that
// `make lambda` wrote below root or beside the program; else it builds one from the source tree in root,
// into dir. root is "" where there is no source tree.
func FindPackage(ctx context.Context, named, architecture, root, dir string) (string, error) {
	if named != "" {
		return named, CheckPackage(named, architecture)
	}
	name := "tapway-lambda-" + goArch(architecture) + ".zip"
	var places []string
	if root != "" {
		places = append(places, filepath.Join(root, "bin", name))
	}
	if program, err := os.Executable(); err == nil {
		places = append(places, filepath.Join(filepath.Dir(program), name))
	}
	for _, place := range append(places, name) {
		if _, err := os.Stat(place); err == nil {
			return place, CheckPackage(place, architecture)
		}
	}
	if root == "" {
		return "", fmt.Errorf("there is no %s: put it beside the program or into this directory, or name it with --package; `make lambda` in the source tree makes it", name)
	}
	out := filepath.Join(dir, name)
	return out, buildPackage(ctx, root, architecture, out)
}

// SourceTree finds the source tree of tapway around the working directory; "" when there is none.
func SourceTree() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/tapway/tapway\n") {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// buildPackage builds the bootstrap as `make lambda` does, and puts it into a zip file.
func buildPackage(ctx context.Context, root, architecture, out string) error {
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("the function package must be built, and there is no go on the path; name a package with --package")
	}
	dir, err := os.MkdirTemp("", "tapway-package-*")
	if err != nil {
		return fmt.Errorf("build the function package: %w", err)
	}
	defer os.RemoveAll(dir)
	bootstrap := filepath.Join(dir, "bootstrap")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", // #nosec G204 -- no shell, and no argument of a stranger
		"-gcflags=github.com/aws/...=-l", "-gcflags=github.com/goccy/...=-l", "-ldflags", "-s -w -buildid=", "-o", bootstrap, "./cmd/tapway-lambda")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goArch(architecture))
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the function package: %w\n%s", err, bytes.TrimSpace(said))
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
		return fmt.Errorf("build the function package: %w", err)
	}
	return writePackage(bootstrap, out)
}

// writePackage makes the same bytes of the same bootstrap, so that building again is no change.
func writePackage(bootstrap, out string) error {
	text, err := os.ReadFile(bootstrap)
	if err != nil {
		return fmt.Errorf("write the function package: %w", err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = z.Close()
	}
	if err == nil {
		err = os.WriteFile(out, b.Bytes(), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the function package: %w", err)
	}
	return nil
}

// CheckPackage looks whether a file is a function package for an architecture.
func CheckPackage(path, architecture string) error {
	z, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("the function package %s: %w", path, err)
	}
	defer z.Close()
	f, err := z.Open("bootstrap")
	if err != nil {
		return fmt.Errorf("the function package %s has no file bootstrap; `make lambda` makes one that does", path)
	}
	defer f.Close()
	head := make([]byte, 20) // of an ELF file: 64 bits, little-endian, and the machine in the last two
	if _, err := io.ReadFull(f, head); err != nil || !bytes.HasPrefix(head, []byte("\x7fELF\x02\x01")) {
		return fmt.Errorf("the function package %s: its bootstrap is no program for 64-bit Linux", path)
	}
	machine := elf.Machine(binary.LittleEndian.Uint16(head[18:]))
	if want := map[string]elf.Machine{"arm64": elf.EM_AARCH64, "x86_64": elf.EM_X86_64}[architecture]; machine != want {
		return fmt.Errorf("the function package %s is built for %s, not for %s", path, machine, architecture)
	}
	return nil
}
