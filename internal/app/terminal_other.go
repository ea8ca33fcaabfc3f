//go:build !unix

package app

import "os"

// TerminalWidth cannot be told on this system.
func TerminalWidth(*os.File) int { return 0 }

// ReaderGone cannot be told on this system.
func ReaderGone(*os.File) bool { return false }
