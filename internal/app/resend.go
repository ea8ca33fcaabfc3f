package app

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/http1"
)

// once makes single calls on an operator's word: deliveries for redrive --to and replay
// --record, by the same Sender as every other attempt, and requests for replay.
type once struct {
	version   string
	transport *http1.Transport
	way       atomic.Pointer[egress.Dialer]
}

func newOnce(version string) *once {
	o := &once{version: version}
	o.way.Store(new(egress.Dialer))
	o.transport = &http1.Transport{
		HTTP2: true, ConnectTimeout: 5 * time.Second, ResponseHeaderTimeout: 30 * time.Second,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return o.way.Load().For(egress.Operator)(ctx, network, addr)
		},
	}
	return o
}

// use lets further connections out by another way.
func (o *once) use(way *egress.Dialer) {
	if o.way.Swap(way) != way {
		o.transport.CloseIdleConnections()
	}
}

func (o *once) close() { o.transport.CloseIdleConnections() }

// deliver is admin.Deliver.
func (o *once) deliver(ctx context.Context, to string, batch []tapway.Message) ([]tapway.Outcome, error) {
	s := &delivery.Sender{Name: "once", URL: to, Version: o.version, Transport: o.transport}
	if err := s.Check(); err != nil {
		return nil, err
	}
	return s.Send(ctx, batch), nil
}

// notRepeated are hop-by-hop headers and those that described the first connection are not repeated.
var notRepeated = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
	"Upgrade": true, "Content-Length": true, "Host": true, "Expect": true,
}

// resend repeats recorded requests against the server at to. Redacted headers are left
// out, because their value is gone; X-Tapway-Replay names the exchange.
func (o *once) resend(to string) (admin.Resend, error) {
	base, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, ex *tapway.Exchange) (int, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		req := repeat(base, ex).WithContext(ctx)
		resp, err := o.transport.RoundTrip(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return resp.StatusCode, nil // what follows has no end and knows no deadline
		}
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<30))
		return resp.StatusCode, err
	}, nil
}

// repeat is the recorded request, aimed at base.
func repeat(base *url.URL, ex *tapway.Exchange) *http.Request {
	header := http.Header{}
	for _, f := range ex.RequestHeader {
		if notRepeated[f.Name] || strings.Contains(f.Value, "[REDACTED") || ex.Request.Decoded && f.Name == "Content-Encoding" {
			continue
		}
		header[f.Name] = append(header[f.Name], f.Value)
	}
	header["X-Tapway-Replay"] = []string{ex.ID.String()}
	req := &http.Request{
		Method: ex.Method, Host: base.Host, Header: header,
		URL:           &url.URL{Scheme: base.Scheme, Host: base.Host, Opaque: strings.TrimSuffix(base.EscapedPath(), "/") + ex.Path, RawQuery: ex.Query},
		ContentLength: int64(len(ex.Request.Bytes)), Body: http.NoBody,
	}
	if len(ex.Request.Bytes) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(ex.Request.Bytes))
	}
	return req
}
