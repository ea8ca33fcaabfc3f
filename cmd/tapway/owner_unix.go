//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// ownerOf gives who owns a file, -1 where that is not known, and whether this is its only name.
func ownerOf(info fs.FileInfo) (uid, gid int, alone bool) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid), int(s.Gid), s.Nlink == 1
	}
	return -1, -1, false
}
