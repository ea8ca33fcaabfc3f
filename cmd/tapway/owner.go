package main

import (
	"io/fs"
	"os"
	"path/filepath"
)

// handBack gives what root has written into a data directory to the directory's owner. A service that
// runs as a user of its own could not read it, and not start again, after `sudo tapway keys create`.
// It reports whether there was something.
func handBack(data string) bool {
	return os.Geteuid() == 0 && handBackTo(data, ownerOf, os.Lchown)
}

// handBackTo does it with what the system has for it. What has a second name is left alone: it could be
// a file from elsewhere that somebody has linked here.
func handBackTo(data string, owner func(fs.FileInfo) (uid, gid int, alone bool), chown func(name string, uid, gid int) error) (some bool) {
	top, err := os.Stat(data)
	if err != nil {
		return false
	}
	uid, gid, _ := owner(top)
	if uid <= 0 {
		return false // it is root's, or nobody knows
	}
	filepath.WalkDir(data, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // what has gone meanwhile
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			return nil
		}
		if who, _, alone := owner(info); who == 0 && (alone || info.IsDir()) {
			some = chown(name, uid, gid) == nil || some
		}
		return nil
	})
	return some
}
