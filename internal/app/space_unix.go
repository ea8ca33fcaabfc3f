//go:build unix

package app

import "golang.org/x/sys/unix"

// FreeSpace is how many bytes a user without privileges can still write below dir.
func FreeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
