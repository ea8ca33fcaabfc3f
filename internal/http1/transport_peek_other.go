//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package http1

const transportCanPeek = false

func transportPeek(uintptr) bool { return true }
