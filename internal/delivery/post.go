package delivery

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	maxAnswer = 64 << 10    // of an answer's body, read only so that the connection can be used again
	maxDrain  = time.Second // how long that reading may take
)

// answer is what a request came to.
type answer struct {
	id         string // of the request
	class      Class
	status     int
	reason     string
	retryAfter time.Duration // what the destination asked for
}

// post makes one request.
func (s *Sender) post(ctx context.Context, owner *payload, t text, id string, number int, traceparent string) answer {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timeout := s.timeout()
	end := time.Now().Add(timeout)
	timer := time.AfterFunc(timeout, func() { cancel(errTimeout) })
	defer timer.Stop()

	a := answer{id: id}
	resp, err := s.transport().RoundTrip(s.newRequest(ctx, owner, t, id, number, traceparent))
	if err != nil {
		a.class, a.reason = classify(ctx, err, timeout)
		return a
	}
	a.status = resp.StatusCode
	a.class = classOf(a.status)
	if a.class != Accepted {
		a.reason = statusReason(a.status)
		a.retryAfter = retryAfter(resp.Header, s.now())
	}
	if a.status == http.StatusSwitchingProtocols && resp.Body != nil {
		// Nobody asked for it, and a connection that was handed over knows no deadline.
		resp.Body.Close()
		return a
	}
	// The verdict stands: a body that drips or never ends costs at most maxDrain.
	timer.Reset(min(time.Until(end), maxDrain))
	if resp.Body != nil {
		io.CopyN(io.Discard, resp.Body, maxAnswer)
		resp.Body.Close()
	}
	return a
}

func (s *Sender) newRequest(ctx context.Context, owner *payload, t text, id string, number int, traceparent string) *http.Request {
	p := &s.ready
	header := make(http.Header, len(p.header)+5)
	for name, values := range p.header {
		header[name] = values
	}
	header["Webhook-Id"] = []string{id}
	unix := s.now().Unix()
	header["Webhook-Timestamp"] = []string{strconv.FormatInt(unix, 10)}
	if p.signer != nil {
		header["Webhook-Signature"] = []string{p.signer.sign(id, unix, &t)}
	}
	header["X-Tapway-Attempt"] = []string{strconv.Itoa(number)}
	// It also lets a transport try again by itself when a kept connection turns out to be dead.
	if _, set := header["Idempotency-Key"]; !set {
		header["Idempotency-Key"] = header["Webhook-Id"]
	}
	if _, set := header["Traceparent"]; !set && traceparent != "" {
		header["Traceparent"] = []string{traceparent}
	}
	req := &http.Request{
		Method: p.method, URL: p.url, Host: p.host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body:          owner.open(t),
		GetBody:       func() (io.ReadCloser, error) { return owner.open(t), nil },
		ContentLength: int64(t.len()),
	}
	return req.WithContext(ctx)
}
