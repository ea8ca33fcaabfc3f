//go:build !linux || !(amd64 || arm64)

package quietnet

import (
	"io"
	"net"
	"os"
)

// New gives nc as it is: elsewhere there is nothing to gain, or nobody has looked.
func New(nc net.Conn) net.Conn { return nc }

// Output gives f as it is, likewise.
func Output(f *os.File) io.Writer { return f }
