package http1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// serveH2 is the Handler of net/http's server for HTTP/2, which bounds neither the number of headers nor the time between two
// pieces of a body.
func (s *Server) serveH2(w http.ResponseWriter, r *http.Request) {
	lines := 1 // :authority stands for Host
	for _, values := range r.Header {
		lines += len(values)
	}
	if lines > s.MaxHeaders {
		s.BadRequest(w, r, &ProtocolError{http.StatusRequestHeaderFieldsTooLarge, "there are too many headers"})
		return
	}
	if r.Body != nil && r.Body != http.NoBody && s.ReadTimeout != noLimit {
		body := &h2Body{ReadCloser: r.Body, control: http.NewResponseController(w), timeout: s.ReadTimeout}
		defer body.end()
		r.Body, w = body, &h2Writer{w, body}
	}
	s.Handler.ServeHTTP(w, r)
}

// h2Writer notices that the response begins.
type h2Writer struct {
	http.ResponseWriter
	body *h2Body
}

// Unwrap is for http.ResponseController.
func (w *h2Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *h2Writer) WriteHeader(status int) {
	if status >= 200 {
		w.body.answered.Store(true)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *h2Writer) Write(p []byte) (int, error) {
	w.body.answered.Store(true)
	return w.ResponseWriter.Write(p)
}

// Flush is http.Flusher.
func (w *h2Writer) Flush() { _ = w.FlushError() }

// FlushError is for http.ResponseController.
func (w *h2Writer) FlushError() error {
	w.body.answered.Store(true)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// h2Body is a body of which some more has to come while it is read, until the response begins: from then on it may be one of the
// two halves of a conversation, as gRPC has them, which pauses as it likes.
type h2Body struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration

	answered atomic.Bool

	mu    sync.Mutex
	timer *time.Timer // runs during Read
	over  bool        // the handler has ended: control must not be used any more
}

func (b *h2Body) Read(p []byte) (int, error) {
	if b.answered.Load() {
		return b.ReadCloser.Read(p)
	}
	b.start()
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &ProtocolError{http.StatusRequestTimeout, "the body stopped coming"}
	}
	return n, err
}

func (b *h2Body) start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.timer == nil:
		b.timer = time.AfterFunc(b.timeout, b.expire)
	case !b.over:
		b.timer.Reset(b.timeout)
	}
}

// expire ends the Read under way, and all that come after it.
func (b *h2Body) expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over && !b.answered.Load() {
		_ = b.control.SetReadDeadline(time.Unix(1, 0)) // it is one of HTTP/2, which can
	}
}

func (b *h2Body) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if b.timer != nil {
		b.timer.Stop()
	}
}
