// Command zip writes the zip file of a Lambda function: the same bytes for the same files,
// whenever and wherever it runs.
//
//	go run ./.ci/zip OUT.zip FILE...
//
// Every file gets the base of its name and is executable.
package main

import (
	"archive/zip"
	"compress/flate"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: zip OUT.zip FILE...")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "zip:", err)
		os.Exit(1)
	}
}

func write(out string, files []string) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	z := zip.NewWriter(f)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	for _, name := range files {
		if err := add(z, name); err != nil {
			return err
		}
	}
	return z.Close()
}

func add(z *zip.Writer, name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	// The first moment that a zip file can name; Lambda shows it and nobody asks it.
	h := &zip.FileHeader{Name: filepath.Base(name), Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
