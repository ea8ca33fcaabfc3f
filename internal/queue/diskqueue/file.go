package diskqueue

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// file is what the log needs of a file. Tests put a layer under it that fills up, fails to
// sync, or forgets what was not synced.
type file interface {
	io.ReaderAt
	io.WriterAt
	Sync() error // data and size, not times
	Truncate(size int64) error
	Allocate(size int64) error // reserves blocks; the size as seen becomes at least size
	Size() (int64, error)
	Close() error
}

// files is what the log needs of a file system. SyncDir makes creations, renames and removals
// in a directory survive a power cut.
type files interface {
	Open(path string, flag int) (file, error)
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(dir string) error
}

type osFiles struct{}

func (osFiles) Open(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFiles) Rename(from, to string) error { return os.Rename(from, to) }
func (osFiles) Remove(path string) error     { return os.Remove(path) }

func (osFiles) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// noSpace reports whether err says that the file system, a quota or a size limit is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// writeFile replaces path by data so that after a crash it holds the old or the new, whole.
func writeFile(fs files, path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := fs.Open(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fs.Rename(tmp, path)
	}
	if err != nil {
		fs.Remove(tmp)
		return err
	}
	return fs.SyncDir(filepath.Dir(path))
}

// makeDir makes dir and what is missing above it, so that it survives a power cut.
func makeDir(fs files, dir string) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeDir(fs, above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return fs.SyncDir(above)
}

func readFile(fs files, path string) ([]byte, error) {
	f, err := fs.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if err == io.EOF || n == len(data) {
		err = nil
	}
	return data[:n], err
}
