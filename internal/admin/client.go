package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"syscall"

	"github.com/tapway/tapway"
)

// Client asks an admin API.
type Client struct {
	Base  string // "http://127.0.0.1:9090"
	Token tapway.Secret
	HTTP  http.RoundTripper // nil: http.DefaultTransport
}

// Local is a client of a Server in the same process, without a network.
func Local(s *Server) *Client {
	return &Client{Base: "http://localhost", Token: s.Token, HTTP: handlerTransport{s.Handler()}}
}

// Get opens the answer of path; the caller closes it.
func (c *Client) Get(ctx context.Context, path string, q url.Values) (io.ReadCloser, error) {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return c.do(ctx, http.MethodGet, path, nil)
}

// Post sends v as JSON and opens the answer.
func (c *Client) Post(ctx context.Context, path string, v any) (io.ReadCloser, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, http.MethodPost, path, body)
}

// Delete asks for something to be removed and opens the answer.
func (c *Client) Delete(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.do(ctx, http.MethodDelete, path, nil)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask the admin API: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	transport := c.HTTP
	if transport == nil {
		transport = http.DefaultTransport
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, &ConnectError{c.Base, err}
	}
	if resp.Header.Get(markHeader) == "" {
		resp.Body.Close()
		return nil, &ConnectError{c.Base, fmt.Errorf("something else answers there (%s); tapway's own is at admin.listen of the configuration, 127.0.0.1:9090 if it says nothing", resp.Status)}
	}
	if resp.StatusCode/100 == 2 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var said struct {
		Message string `json:"message"`
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(text, &said) != nil || said.Message == "" {
		said.Message = resp.Status
	}
	return nil, &StatusError{resp.StatusCode, said.Message}
}

// ConnectError says that an admin API could not be asked.
type ConnectError struct {
	Base string
	Err  error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("ask the admin API at %s: %v", e.Base, e.Err)
}
func (e *ConnectError) Unwrap() error { return e.Err }

// ErrBrokeOff is wrapped by the error of an answer that ended before it was complete.
var ErrBrokeOff = errors.New("the answer broke off: tapway stopped, or the connection was lost")

// StatusError is an answer other than 2xx.
type StatusError struct {
	Status  int
	Message string
}

func (e *StatusError) Error() string { return e.Message }

// JSON reads a whole answer into v.
func JSON[T any](body io.ReadCloser, err error) (v T, _ error) {
	if err != nil {
		return v, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&v); err != nil {
		return v, fmt.Errorf("read the admin API's answer: %w", err)
	}
	return v, nil
}

// Lines reads an answer of JSON lines one by one and closes it. Empty lines are passed
// over; a line {"error": …} ends the sequence with that error.
func Lines(body io.ReadCloser, err error) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if err != nil {
			yield(nil, err)
			return
		}
		defer body.Close()
		r := bufio.NewReaderSize(body, 64<<10)
		for {
			line, err := r.ReadBytes('\n')
			line = bytes.TrimSpace(line)
			if bytes.HasPrefix(line, []byte(`{"error":`)) {
				var said struct {
					Error string `json:"error"`
				}
				if json.Unmarshal(line, &said) == nil {
					yield(nil, errors.New(said.Error))
					return
				}
			}
			if len(line) > 0 && !yield(line, nil) {
				return
			}
			if err == io.EOF {
				return
			}
			if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
				err = ErrBrokeOff
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// Stream is Lines with every line read into a T.
func Stream[T any](body io.ReadCloser, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for line, err := range Lines(body, err) {
			var v T
			if err == nil {
				err = json.Unmarshal(line, &v)
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// handlerTransport calls a handler on a goroutine of its own and hands over what it writes
// as it is flushed.
type handlerTransport struct{ handler http.Handler }

func (t handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	pr, pw := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: bufio.NewWriterSize(pw, 32<<10), head: make(chan struct{})}
	ctx, cancel := context.WithCancel(req.Context())
	inner := req.Clone(ctx)
	inner.RequestURI, inner.RemoteAddr, inner.Host = req.URL.RequestURI(), "127.0.0.1:0", "localhost"
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		var err error
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("broke off: %v", p)
			}
			w.WriteHeader(http.StatusOK)
			w.body.Flush()
			pw.CloseWithError(err) // nil means EOF
		}()
		t.handler.ServeHTTP(w, inner)
	}()
	<-w.head
	return &http.Response{
		StatusCode: w.status, Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header, ContentLength: -1, Request: req,
		Body: pipeBody{pr, func() {
			cancel()
			<-finished
		}},
	}, nil
}

type pipeBody struct {
	*io.PipeReader
	stop func()
}

func (b pipeBody) Close() error {
	err := b.PipeReader.Close()
	b.stop()
	return err
}

type pipeWriter struct {
	header http.Header
	status int
	body   *bufio.Writer
	head   chan struct{}
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		close(w.head)
	}
}

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

func (w *pipeWriter) FlushError() error {
	w.WriteHeader(http.StatusOK)
	return w.body.Flush()
}
