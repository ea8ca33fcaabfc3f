//go:build !unix

package app

import "errors"

// FreeSpace cannot be told on this system.
func FreeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
