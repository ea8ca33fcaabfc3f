package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/http1"
)

// deliverer makes single attempts to bring records to a URL, for redrive --to and replay
// --record, by the same Sender as every other attempt.
func deliverer(version string) admin.Deliver {
	return func(ctx context.Context, to string, batch []tapway.Message) ([]tapway.Outcome, error) {
		s := &delivery.Sender{Name: "once", URL: to, Version: version, Transport: &http1.Transport{HTTP2: true, ConnectTimeout: 5 * time.Second}}
		if err := s.Check(); err != nil {
			return nil, err
		}
		return s.Send(ctx, batch), nil
	}
}

// hopHeaders and those that described the first connection are not repeated.
var notRepeated = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
	"Upgrade": true, "Content-Length": true, "Host": true, "Expect": true,
}

// resender repeats recorded requests against the server at to. Redacted headers are left
// out, because their value is gone; X-Tapway-Replay names the exchange.
func resender(to string) (admin.Resend, error) {
	base, err := url.Parse(to)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("to: %q is not a URL; write http://host:port", to)
	}
	transport := &http1.Transport{HTTP2: true, ConnectTimeout: 5 * time.Second, ResponseHeaderTimeout: 30 * time.Second}
	return func(ctx context.Context, ex *tapway.Exchange) (int, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		req := repeat(base, ex).WithContext(ctx)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
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
