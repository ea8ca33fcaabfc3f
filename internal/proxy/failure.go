package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// errTimeout is the cause of a context that Backend.Timeout has ended.
var errTimeout = errors.New("proxy: the backend took longer than its timeout")

// errClientGone stands for every way of noticing that the client no longer listens.
var errClientGone = errors.New("proxy: the client went away")

const clientGone = "client went away"

// The pages that have more than one cause. What the client may see and what the record
// and the log say are two strings.
var (
	requestTooLarge  = page{status: http.StatusRequestEntityTooLarge, message: "The request is too large.", reason: "request body too large"}
	requestMalformed = page{status: http.StatusBadRequest, message: "The request body is malformed.", reason: "malformed request body"}
	requestSlow      = page{status: http.StatusRequestTimeout, message: "The request took too long to arrive.", reason: "client too slow"}
	responseTooLarge = page{status: http.StatusBadGateway, message: "The response is too large.", reason: "response too large"}
	unmapped         = page{status: http.StatusInternalServerError, message: "Internal server error", reason: "status not mapped"}
	backendTimeout   = page{status: http.StatusGatewayTimeout, message: "The backend did not answer in time.", reason: "backend timed out"}
)

// malformed is the page of a request with a part that cannot be passed on.
func malformed(part string) page {
	return page{status: http.StatusBadRequest, message: "The request " + part + " is malformed.", reason: "malformed request " + part}
}

// unavailable is the page of a backend that cannot be talked to.
func unavailable(reason string) page {
	return page{status: http.StatusBadGateway, message: "The backend is not available.", reason: reason}
}

// failure says what an error of the backend's call means. ok is false when the client is
// gone and there is nobody to answer.
func (p *pass) failure(err error) (pg page, ok bool) {
	switch p.body.problem.Load() {
	case bodyTooLarge:
		return requestTooLarge, true
	case bodyMalformed:
		return requestMalformed, true
	case bodySlow:
		return requestSlow, true
	case bodyGone:
		return page{reason: clientGone}, false
	}
	var timeout interface{ Timeout() bool }
	switch {
	case context.Cause(&p.ctx) == errTimeout:
		return backendTimeout, true
	case errors.Is(p.in.Context().Err(), context.DeadlineExceeded):
		return backendTimeout, true
	case p.in.Context().Err() != nil || errors.Is(err, errClientGone):
		return page{reason: clientGone}, false
	case errors.As(err, &timeout) && timeout.Timeout():
		return backendTimeout, true
	}
	return unavailable(reasonOf(err)), true
}

// reasonOf puts a transport's error in a few words without addresses.
func reasonOf(err error) string {
	var (
		dns       *net.DNSError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		op        *net.OpError
		denied    interface{ DeniedBy() string }  // the egress policy's
		malformed interface{ Malformed() string } // http1's ProtocolError, whose words are its own
	)
	switch {
	case errors.As(err, &denied):
		return "egress denied by " + denied.DeniedBy()
	case errors.As(err, &dns):
		return "backend name not found"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "backend refused the connection"
	case errors.As(err, &verify), errors.As(err, &record), errors.As(err, &alert), errors.As(err, &authority),
		errors.As(err, &host), errors.As(err, &invalid):
		return "backend TLS failed"
	case errors.As(err, &op) && op.Op == "dial":
		return "backend unreachable"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed), errors.As(err, &op):
		return "backend broke off"
	case errors.As(err, &malformed):
		return "malformed backend response: " + malformed.Malformed()
	}
	return reasonOfStd(err)
}

// malformedResponse says in words of our own what is wrong with a backend's answer.
type malformedResponse string

func (m malformedResponse) Error() string     { return "proxy: the backend sent " + string(m) }
func (m malformedResponse) Malformed() string { return string(m) }

// reasonOfStd knows the errors of net/http that have no type: those of HTTP/2, and of its own
// transport. Their texts quote what the backend sent, so none of it is used.
func reasonOfStd(err error) string {
	text := err.Error()
	for _, known := range [...]struct{ part, reason string }{
		{"stream error: ", "backend reset the HTTP/2 stream"},
		{"http2: server sent GOAWAY", "backend went away (HTTP/2 GOAWAY)"},
		{"unexpected EOF", "backend broke off"},
		{"http2: response header list larger", "malformed backend response: the response header is too large"},
		{"server response headers exceeded", "malformed backend response: the response header is too large"},
		{"connection error: ", "HTTP/2 protocol error between tapway and the backend"},
		{"suspiciously long trailer", "malformed backend response"},
		{"malformed HTTP", "malformed backend response"},
		{"malformed MIME header", "malformed backend response"},
		{"malformed chunked encoding", "malformed backend response"},
		{"invalid byte in chunk length", "malformed backend response"},
	} {
		if strings.Contains(text, known.part) {
			return known.reason
		}
	}
	return "backend call failed"
}

// fail ends a call of which the client has seen nothing yet.
func (p *pass) fail(err error) {
	pg, ok := p.failure(err)
	if !ok {
		p.abort(pg.reason, err)
	}
	p.logFailure(pg.status, pg.reason, err)
	p.answer(pg)
}

// cutShort ends a call whose response has begun.
func (p *pass) cutShort(err error) {
	pg, _ := p.failure(err)
	p.abort(pg.reason, err)
}

// abort makes the server break the connection, so that no part of a response passes for
// the whole. It does not return.
func (p *pass) abort(reason string, err error) {
	p.call.Error = reason
	p.call.Backend = p.waited
	p.logFailure(0, reason, err)
	panic(http.ErrAbortHandler)
}

// logFailure writes the one line about a call that went wrong; status 0 is a broken connection.
func (p *pass) logFailure(status int, reason string, err error) {
	log := p.Log.Warn
	if reason == clientGone {
		log = p.Log.Debug
	}
	log("call failed", "id", p.call.ID, "route", p.hop.Route, "backend", p.hop.Host, "status", status, "reason", reason, "err", err)
}
