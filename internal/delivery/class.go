package delivery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Class says what kind of answer a request got. The zero Class means that none was made.
type Class uint8

const (
	Accepted    Class = iota + 1 // 2xx
	Rejected                     // 400, 413, 422: the destination does not like the content
	Busy                         // 429, 502, 503, 504: the destination wants to be left alone
	Gone                         // 410: the destination does not want anything any more
	Redirected                   // 3xx; redirects are never followed
	Failed                       // any other status
	Unreachable                  // no connection: refused, unknown name, TLS; nothing was sent
	TimedOut                     // no answer in time
	Broken                       // the connection ended, or what came was no HTTP answer
	Stopped                      // interrupted by tapway itself
)

func (c Class) String() string {
	return [...]string{"", "accepted", "rejected", "busy", "gone", "redirected", "failed", "unreachable", "timed-out", "broken", "stopped"}[c]
}

// wide reports whether the failure tells about the destination rather than about a record.
func (c Class) wide() bool {
	switch c {
	case Busy, Gone, Unreachable, TimedOut, Broken, Stopped:
		return true
	}
	return false
}

func classOf(status int) Class {
	switch {
	case status >= 200 && status <= 299:
		return Accepted
	case status >= 300 && status <= 399:
		return Redirected
	}
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return Rejected
	case http.StatusGone:
		return Gone
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Busy
	}
	return Failed
}

// statusReason is "503 Service Unavailable"; the phrase the destination sent is not used.
func statusReason(status int) string {
	reason := strconv.Itoa(status)
	if phrase := http.StatusText(status); phrase != "" {
		reason += " " + phrase
	}
	if classOf(status) == Redirected {
		reason += " (redirects are not followed)"
	}
	return reason
}

var errTimeout = errors.New("timed out")

// classify names a RoundTrip's error. The reason goes into logs and the dead letter, so it
// holds nothing that the destination sent.
func classify(ctx context.Context, err error, timeout time.Duration) (Class, string) {
	var dial *net.OpError
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var notTLS tls.RecordHeaderError
	var alert tls.AlertError
	var timed net.Error
	var denied interface{ DeniedBy() string } // the egress policy's
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		return TimedOut, fmt.Sprintf("no answer within %v", timeout)
	case ctx.Err() != nil:
		return Stopped, "interrupted"
	case errors.As(err, &denied):
		// Not dead at once: the next reload may allow it.
		return Unreachable, "egress denied by " + denied.DeniedBy()
	case errors.As(err, &dial) && dial.Op == "dial":
		return Unreachable, "cannot connect: " + short(dial.Err)
	case errors.As(err, &dns):
		return Unreachable, "cannot connect: " + short(dns)
	case errors.As(err, &certificate):
		return Unreachable, "TLS: " + short(certificate.Err)
	case errors.As(err, &authority):
		return Unreachable, "TLS: " + short(authority)
	case errors.As(err, &notTLS):
		return Unreachable, "TLS: the destination does not speak it there"
	case errors.As(err, &alert):
		return Unreachable, "TLS: " + short(alert)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		strings.Contains(err.Error(), "server closed idle connection"): // net/http does not export it
		return Broken, "the connection was closed before an answer came"
	case errors.As(err, &timed) && timed.Timeout():
		return TimedOut, "no answer in time"
	case strings.Contains(err.Error(), "malformed"): // net/http quotes the bytes it got
		return Broken, "the answer is not HTTP"
	}
	return Broken, short(err)
}

// short cuts an error's text to something that fits into a line.
func short(err error) string {
	const limit = 160
	text := strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, err.Error()), "?")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
