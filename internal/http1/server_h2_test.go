package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestServerBoundsEveryProtocol: the number of headers and the pauses within a body are bounded in HTTP/2 as in HTTP/1.
func TestServerBoundsEveryProtocol(t *testing.T) {
	everyProtocol(t, func() *Server {
		return &Server{MaxHeaders: 30, ReadTimeout: 200 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if bad, ok := errors.AsType[*ProtocolError](err); ok {
				w.WriteHeader(bad.Status)
			}
			fmt.Fprint(w, len(b))
		})}
	}, func(t *testing.T, c *http.Client, url string, major int) {
		ask := func(what string, headers int, body io.Reader, status int, text string) {
			t.Helper()
			req, err := http.NewRequest("POST", url, body)
			if err != nil {
				t.Fatal(err)
			}
			for i := range headers {
				req.Header.Add("X-Many", fmt.Sprint(i))
			}
			res, err := c.Do(req)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if res.ProtoMajor != major || res.StatusCode != status || text != "" && string(got) != text {
				t.Errorf("%s: HTTP/%d %d %q %v, want %d %q", what, res.ProtoMajor, res.StatusCode, got, err, status, text)
			}
		}
		ask("some headers", 20, strings.NewReader("hello"), 200, "5")
		ask("too many headers", 31, strings.NewReader("hello"), 431, "")
		stalled, feed := io.Pipe()
		defer feed.Close()
		go io.WriteString(feed, "hell")
		ask("a body that stops", 0, stalled, 408, "4")
		ask("a large body", 0, strings.NewReader(strings.Repeat("x", 1<<20)), 200, "1048576")
		ask("no body", 0, nil, 200, "0")
	})
}

// TestServerH2BodyAfterTheHandler: whoever still reads a body when its handler has returned gets an error, and no timer outlives it.
func TestServerH2BodyAfterTheHandler(t *testing.T) {
	read := make(chan error, 1)
	_, client := testTLS()
	addr := startServer(t, &Server{H2C: true, ReadTimeout: 20 * time.Millisecond, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		started := make(chan bool)
		go func() {
			close(started)
			_, err := io.Copy(io.Discard, r.Body)
			read <- err
		}()
		<-started
	})})
	c := clientFor(t, client, (*http.Protocols).SetUnencryptedHTTP2)
	for range 20 {
		stalled, feed := io.Pipe()
		res, err := c.Post("http://"+addr, "text/plain", stalled)
		if err == nil {
			res.Body.Close()
		}
		if err := <-read; err == nil {
			t.Error("a body that did not end was read to its end")
		}
		feed.Close()
	}
}

// TestServerH2Conversation: once the response has begun, pauses of the body are its own business.
func TestServerH2Conversation(t *testing.T) {
	const limit = 30 * time.Millisecond
	_, client := testTLS()
	addr := startServer(t, &Server{H2C: true, ReadTimeout: limit, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		text, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v", text, err)
	})})
	body, feed := io.Pipe()
	res, err := clientFor(t, client, (*http.Protocols).SetUnencryptedHTTP2).Post("http://"+addr, "application/grpc", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for _, piece := range []string{"a", "b"} {
		time.Sleep(5 * limit) // the pause is what is tested
		io.WriteString(feed, piece)
	}
	feed.Close()
	if text, err := io.ReadAll(res.Body); string(text) != "ab <nil>" || err != nil {
		t.Errorf("%q %v", text, err)
	}
}
