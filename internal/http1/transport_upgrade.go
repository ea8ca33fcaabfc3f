package http1

import (
	"bufio"
	"io"
	"net/http"
	"sync"
	"time"
)

// clientUpgrade is the body of a 101 response: the connection, with what had been read of it.
// One goroutine reads, one writes, any closes.
type clientUpgrade struct {
	cc   *clientConn
	br   *bufio.Reader // what came with the header; nil once it has been read
	once sync.Once
}

// clientUpgradeHalf also closes only its sending side.
type clientUpgradeHalf struct {
	*clientUpgrade
	half interface{ CloseWrite() error }
}

func (u clientUpgradeHalf) CloseWrite() error { return u.half.CloseWrite() }

// upgrade takes the connection out of the transport's hands.
func (c *clientCall) upgrade() (*http.Response, error) {
	cc := c.cc
	if c.sending() {
		return nil, c.fail(transportBadReply("the protocol was switched before the request had been sent"))
	}
	c.mu.Lock()
	stopped := c.stop == nil || c.stop()
	if !stopped {
		c.mu.Unlock()
		<-c.req.Context().Done()
		return nil, c.fail(c.req.Context().Err())
	}
	c.ended = true
	c.mu.Unlock()
	cc.nc.SetDeadline(time.Time{})
	u := &clientUpgrade{cc: cc, br: cc.br}
	cc.br = nil
	c.resp.Body = u
	if half, ok := cc.nc.(interface{ CloseWrite() error }); ok {
		c.resp.Body = clientUpgradeHalf{u, half}
	}
	return &c.resp, nil
}

var _ io.ReadWriteCloser = (*clientUpgrade)(nil)

func (u *clientUpgrade) Read(p []byte) (int, error) {
	if u.br != nil {
		if u.br.Buffered() > 0 {
			return u.br.Read(p)
		}
		u.br.Reset(nil)
		transportReaders.Put(u.br)
		u.br = nil
	}
	return u.cc.nc.Read(p)
}

func (u *clientUpgrade) Write(p []byte) (int, error) { return u.cc.nc.Write(p) }

func (u *clientUpgrade) Close() error {
	u.once.Do(u.cc.close)
	return nil
}
