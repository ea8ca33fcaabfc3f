//go:build !unix

package diskqueue

import (
	"os"
	"strconv"
)

// lockDir keeps the lock file open; where there is no flock the database's own lock is what
// keeps a second process out.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return f, nil
}
