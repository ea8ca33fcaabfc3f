//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package access

import (
	"errors"
	"io/fs"
	"os"
)

// tryLock takes the lock of that name. A nil unlock: another has it, or has died with it: nobody can tell, so it is for people
// to remove.
func tryLock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f.Close()
	return func() { os.Remove(name) }, nil
}
