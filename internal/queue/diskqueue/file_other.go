//go:build !linux

package diskqueue

// Allocate does nothing here: the file grows as it is written.
func (f osFile) Allocate(int64) error { return nil }

// forget does nothing here: the kernel takes mapped pages back when it needs them.
func forget(addr uintptr, size int64) {}
