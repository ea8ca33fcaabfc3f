package torture

import (
	"os"
	"path/filepath"
)

const fillerName = "filler"

// fillDisk takes all the space that a small file system has left.
func fillDisk(dir string) error {
	f, err := os.Create(filepath.Join(dir, fillerName))
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 16
		}
	}
	return nil
}

// freeDisk gives it back.
func freeDisk(dir string) error { return ignoreGone(os.Remove(filepath.Join(dir, fillerName))) }
