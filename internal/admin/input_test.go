package admin

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// pipes is a listener without a network.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// served gives a connection to a server of h.
func served(t *testing.T, h http.Handler) net.Conn {
	client, server := net.Pipe()
	l := make(pipes, 1)
	l <- server
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		client.Close()
		close(l)
		<-done
		s.Close()
	})
	return client
}

// TestSlowBody: a body that never ends holds a connection for a minute, whoever sends it and
// whatever it is sent to, and the answer does not wait for it.
func TestSlowBody(t *testing.T) {
	for _, tt := range []struct {
		name, path, length string
		status             string
	}{
		{"no token", "/reload", "Content-Length: 100", "401"},
		{"no token, chunked", "/api/v1/deadletters/purge", "Transfer-Encoding: chunked", "401"},
		{"health", "/healthz", "Content-Length: 100", "200"},
		{"login", "/api/v1/session", "Content-Length: 100", "400"},
		{"with the token", "/api/v1/deadletters/purge", "Authorization: Bearer s3same\r\nContent-Length: 100", "400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.server.Token = tapway.Secret("s3same")
			handler := w.handler()
			synctest.Test(t, func(t *testing.T) {
				c := served(t, handler)
				method := "POST"
				if tt.path == "/healthz" {
					method = "GET"
				}
				began := time.Now()
				drip := make(chan struct{})
				defer func() { c.Close(); <-drip }()
				go func() {
					defer close(drip)
					fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", method, tt.path, tt.length)
					for _, err := io.WriteString(c, "{"); err == nil; _, err = io.WriteString(c, " ") { // a byte every ten seconds
						time.Sleep(10 * time.Second)
					}
				}()
				answer, err := io.ReadAll(c)
				if !strings.HasPrefix(string(answer), "HTTP/1.1 "+tt.status+" ") && tt.length != "Transfer-Encoding: chunked" {
					t.Errorf("answered %q, %v", answer, err)
				}
				if held := time.Since(began); held > inputTime+time.Second {
					t.Errorf("held for %v", held)
				}
			})
		})
	}
}

// TestLongAnswer: an answer may take as long as it likes, and notices when its reader goes.
func TestLongAnswer(t *testing.T) {
	for _, body := range []string{"Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			gone := make(chan struct{})
			c := served(t, inTime(inputTime, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var v struct{}
				if err := readJSON(w, r, 100, &v); err != nil {
					t.Error(err)
				}
				for range 5 {
					time.Sleep(inputTime)
					if err := r.Context().Err(); err != nil {
						t.Error(err)
					}
					fmt.Fprintln(w, "still here")
					http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
				close(gone)
			})))
			var sent sync.WaitGroup
			defer sent.Wait()
			sent.Go(func() { io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\n"+body) })
			r := bufio.NewReader(c)
			for n := 0; n < 5; {
				line, err := r.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if line == "still here\n" {
					n++
				}
			}
			c.Close()
			<-gone
		})
	}
}

// TestBodies: a POST is one JSON object, each key once, of a bounded size and depth.
func TestBodies(t *testing.T) {
	w := newWorld(t)
	w.kill("siem", "/keep")
	deep := strings.Repeat("[", 1_000_000)
	for _, tt := range []struct{ path, body, says string }{
		{"/api/v1/deadletters/purge", `{"destination":"other","destination":""}`, `"destination" is there twice`},
		{"/api/v1/deadletters/purge", `{"ids":["x"],"Ids":null}`, `"ids" is there twice`},
		{"/api/v1/deadletters/purge", `{"ids":["x"],"i\u0064s":null}`, `"ids" is there twice`},
		{"/api/v1/deadletters/purge", `{"ids":["x"],"idſ":null}`, `"ids" is there twice`},
		{"/api/v1/deadletters/purge", `{"destination":"a"}{"destination":""}`, "something follows"},
		{"/api/v1/deadletters/purge", `{"destinatoin":"a"}`, "unknown field"},
		{"/api/v1/deadletters/purge", `{"ids":` + deep, "exceeded max depth"},
		{"/api/v1/deadletters/purge", `{"filter":"` + strings.Repeat("x", 16<<20) + `"}`, "too large"},
		{"/api/v1/resend", `{"to":"http://a","to":"http://b"}`, `"to" is there twice`},
		{"/api/v1/resend", `{"body":"` + strings.Repeat("x", 64<<20) + `"}`, "too large"},
		{"/api/v1/resend", `{"id":"x"} {}`, "something follows"},
		{"/api/v1/session", `{"token":"` + strings.Repeat("x", 16<<10) + `"}`, "too large"},
		{"/api/v1/session", `{"token":"a","token":"b"}`, `"token" is there twice`},
		{"/api/v1/replay", deep, "exceeded max depth"},
	} {
		rec := w.ask("POST", tt.path, tt.body, nil)
		if rec.Code != 400 || !strings.Contains(rec.Body.String(), strings.ReplaceAll(tt.says, `"`, `\"`)) || rec.Body.Len() > 1000 {
			t.Errorf("%s %.60q: %d %.300s", tt.path, tt.body, rec.Code, rec.Body)
		}
	}
	if dead := w.line("siem").Dead; dead != 1 {
		t.Errorf("%d dead letters are left", dead)
	}
}
