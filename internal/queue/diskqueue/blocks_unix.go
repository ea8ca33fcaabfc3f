//go:build unix

package diskqueue

import (
	"os"
	"syscall"
)

// blocks is what a file takes on the disk: preallocated space counts, holes do not.
func blocks(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Blocks) * 512
	}
	return info.Size()
}
