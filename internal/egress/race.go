package egress

import (
	"context"
	"net"
	"net/netip"
	"time"
)

const (
	headStart = 300 * time.Millisecond // of the family that the resolver put first (RFC 8305 has 250 ms, package net 300)
	leastTime = 2 * time.Second        // for one address, as far as there is time at all
)

// connect dials the addresses the way package net does (RFC 8305): in the resolver's order within
// a family, the other family a moment later, and the first connection wins.
func (d *Dialer) connect(ctx context.Context, network string, addrs []netip.Addr, port uint16) (net.Conn, error) {
	var first, second []netip.Addr
	for _, a := range addrs {
		if a.Unmap().Is4() == addrs[0].Unmap().Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	if len(second) == 0 {
		return d.inTurn(ctx, network, first, port)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // stops the loser
	type result struct {
		conn  net.Conn
		err   error
		first bool
	}
	results, over := make(chan result), make(chan struct{})
	defer close(over)
	start := func(addrs []netip.Addr, isFirst bool) {
		conn, err := d.inTurn(ctx, network, addrs, port)
		select {
		case results <- result{conn, err, isFirst}:
		case <-over:
			if conn != nil {
				conn.Close()
			}
		}
	}
	go start(first, true)
	wait := time.NewTimer(headStart)
	defer wait.Stop()
	var firstErr error
	for started, failures := false, 0; ; {
		select {
		case <-wait.C:
			started = true
			go start(second, false)
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			if failures++; r.first {
				firstErr = r.err
			}
			if failures == 2 {
				return nil, firstErr
			}
			if !started {
				wait.Reset(0)
			}
		}
	}
}

// inTurn dials one address after the other, and gives the first error if there is no connection.
// An address gets its share of the time that is left.
func (d *Dialer) inTurn(ctx context.Context, network string, addrs []netip.Addr, port uint16) (net.Conn, error) {
	dial := d.Connect
	if dial == nil {
		dial = new(net.Dialer).DialContext // it is given addresses only, so it asks no resolver
	}
	var firstErr error
	for i, a := range addrs {
		one, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok {
			left := time.Until(deadline)
			share := max(left/time.Duration(len(addrs)-i), min(left, leastTime))
			one, cancel = context.WithTimeout(ctx, share)
		}
		conn, err := dial(one, network, netip.AddrPortFrom(a.Unmap(), port).String())
		cancel()
		if err == nil {
			return conn, nil
		}
		if firstErr == nil {
			firstErr = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, firstErr
}
