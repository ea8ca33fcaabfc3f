//go:build !linux

package directio

import "net"

// Wrap gives nc.
func Wrap(nc net.Conn) net.Conn { return nc }
