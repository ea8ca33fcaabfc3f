package quietnet

import (
	"context"
	"net"
)

// Dialer dials as d does, and gives the connections to [New].
func Dialer(d *net.Dialer) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return New(nc), nil
	}
}
