package diskqueue

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Sync is fdatasync: it leaves out the times of the file, which saves a journal commit.
func (f osFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Allocate reserves blocks, so that appending neither grows the file nor meets a full disk.
func (f osFile) Allocate(size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
			return nil // this file system cannot; it grows as it is written
		}
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// forget lets the kernel take memory-mapped pages back from this process. They stay in its
// cache and come back when they are touched; they only count as ours while they are mapped.
func forget(addr uintptr, size int64) {
	unix.Syscall(unix.SYS_MADVISE, addr, uintptr(size), unix.MADV_DONTNEED)
}
