//go:build !linux

package diskqueue

// Allocate does nothing here: the file grows as it is written.
func (f osFile) Allocate(int64) error { return nil }
