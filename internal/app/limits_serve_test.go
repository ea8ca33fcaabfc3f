package app

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/config"
)

// client is a connection that says what it is told to.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{c, t, bufio.NewReader(c)}
}

func (c *client) say(text string) { io.WriteString(c, text) }

// hear gives the status of the next answer, with its body read; 0 when the connection was closed without one.
func (c *client) hear() int {
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return -res.StatusCode // cut off
	}
	return res.StatusCode
}

const pause = 50 * time.Millisecond // of a client that is within a limit

// TestTimeLimits: a client that pauses within each limit is served, one that stops for longer is not.
func TestTimeLimits(t *testing.T) {
	t.Parallel()
	const get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
	backend := httpBackend(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	for _, tt := range []struct {
		limit         string
		before, after string // what the client says, and pauses or stops between
		outside       int
	}{
		{"header_timeout", get[:20], get[20:], 408},
		{"header_timeout", "", get, 0},
		{"body_timeout", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab", "cd", 408},
		{"idle_timeout", get, get, 0},
	} {
		t.Run(tt.limit, func(t *testing.T) {
			t.Parallel()
			for value, inside := range map[string]bool{"60s": true, "500ms": false} {
				w := newWorld(t, "backend: "+backend+"\nlimits: {"+tt.limit+": "+value+"}\n")
				c := dial(t, w.addr)
				c.say(tt.before)
				if tt.limit == "idle_timeout" {
					if got := c.hear(); got != 200 {
						t.Fatalf("%s: the first call: %d", value, got)
					}
				}
				want := tt.outside
				if inside {
					time.Sleep(pause)
					c.say(tt.after)
					want = 200
				}
				if got := c.hear(); got != want {
					t.Errorf("%s %s: %d, want %d", tt.limit, value, got, want)
				}
			}
		})
	}
}

// TestWriteLimit: a client that takes some of the response within limits.write_timeout gets all of it, one that
// takes none is given up.
func TestWriteLimit(t *testing.T) {
	t.Parallel()
	const size = 64 << 20 // more than lies on the way
	for value, inside := range map[string]bool{"60s": true, "200ms": false} {
		broken := make(chan bool, 1)
		backend := httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			piece := make([]byte, 64<<10)
			for range size / len(piece) {
				if _, err := w.Write(piece); err != nil {
					broken <- true
					return
				}
			}
			broken <- false
		}))
		w := newWorld(t, "backend: "+backend+"\ncapture: {max_body: 1KiB}\nlimits: {write_timeout: "+value+"}\n")
		c := dial(t, w.addr)
		c.say("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if inside {
			time.Sleep(pause)
		} else if !<-broken {
			t.Fatalf("%s: the whole response was taken from the backend", value)
		}
		if got, want := c.hear(), map[bool]int{true: 200, false: -200}[inside]; got != want {
			t.Errorf("%s: %d, want %d", value, got, want)
		}
	}
}

// TestShutdownLimit: a call that ends within limits.shutdown is served to its end when tapway stops, another is cut off.
func TestShutdownLimit(t *testing.T) {
	t.Parallel()
	for value, inside := range map[string]bool{"60s": true, "500ms": false} {
		entered, release := make(chan struct{}), make(chan struct{})
		backend := httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}))
		w := newWorld(t, "backend: "+backend+"\nlimits: {shutdown: "+value+"}\n")
		c := dial(t, w.addr)
		c.say("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
		<-entered
		stopped := make(chan struct{})
		go func() { defer close(stopped); w.stop() }()
		if inside {
			for { // no new connection is taken: it is stopping
				late, err := net.Dial("tcp", w.addr)
				if err != nil {
					break
				}
				late.Close()
				time.Sleep(time.Millisecond)
			}
			close(release)
		}
		if got := c.hear(); (got == 200) != inside {
			t.Errorf("%s: %d", value, got)
		}
		<-stopped
		if cut := strings.Contains(w.log.String(), "calls still under way were cut off"); cut == inside {
			t.Errorf("%s: cut off: %v", value, cut)
		}
	}
}

// TestConnectionsAtOnce: as many connections as may be are served, further ones wait, or of one address are closed.
func TestConnectionsAtOnce(t *testing.T) {
	t.Parallel()
	var entered atomic.Int32
	release := make(chan struct{})
	arrived := make(chan struct{}, 10)
	backend := httpBackend(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			entered.Add(1)
			arrived <- struct{}{}
			<-release
		}
	}))
	const wait, get = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
	w := newWorld(t, "backend: "+backend+"\nlimits: {connections: 2}\n")
	var clients []*client
	for i := range 3 {
		c := dial(t, w.addr)
		c.say(wait)
		if i < 2 {
			<-arrived
		}
		clients = append(clients, c)
	}
	time.Sleep(pause)
	if n := entered.Load(); n != 2 {
		t.Errorf("%d connections are served at once", n)
	}
	release <- struct{}{}
	<-arrived // the third has got the place of the one that is idle now
	close(release)
	served := 0
	for _, c := range clients {
		if c.hear() == 200 {
			served++
		}
	}
	if served != 3 {
		t.Errorf("%d were served in the end", served)
	}

	w = newWorld(t, "backend: "+backend+"\nlimits: {connections_per_address: 2}\n")
	first, second := dial(t, w.addr), dial(t, w.addr)
	for i, c := range []*client{first, second} {
		c.say(get)
		if got := c.hear(); got != 200 {
			t.Errorf("connection %d: %d", i+1, got)
		}
	}
	third, err := net.Dial("tcp", w.addr)
	if err == nil { // else it was closed already
		defer third.Close()
		third.SetDeadline(time.Now().Add(30 * time.Second))
		if n, err := third.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Error("the third is served")
		}
	}
	first.Close()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) { // until its place is free
		c, err := net.Dial("tcp", w.addr)
		if err == nil {
			again := &client{c, t, bufio.NewReader(c)}
			again.SetDeadline(deadline)
			again.say(get)
			got := again.hear()
			c.Close()
			if got == 200 {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("a place that is free again is not given")
		}
	}
}

// TestDailyCalls: as many calls are served as the day has, and the next is answered 429; a price has no call here.
func TestDailyCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "backend: "+httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))+"\nlimits: {daily_calls: 3}\n")
	for began := time.Now().UTC().YearDay(); ; began = time.Now().UTC().YearDay() {
		var got []string
		for range 4 {
			status, _, _ := askWith(t, w.url+"/x")
			got = append(got, fmt.Sprint(status))
		}
		if time.Now().UTC().YearDay() != began {
			continue // midnight: the day has begun anew
		}
		if text := strings.Join(got, " "); text != "200 200 200 429" {
			t.Error(text)
		}
		break
	}
	text := "listen: 127.0.0.1:0\nadmin: {listen: off}\ndata: " + t.TempDir() + "\nbackend: http://127.0.0.1:1\nlimits: {daily_cost: 1}\n"
	c, err := config.Load(config.Source{File: "test.yaml", Text: []byte(text), Getenv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(c, Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "limits.daily_cost: a call has a price on Lambda alone") {
		t.Errorf("daily_cost: %v", err)
	}
}
