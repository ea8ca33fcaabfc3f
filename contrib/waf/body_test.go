package waf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/tapway/tapway/internal/access"
)

// padded is a JSON object of exactly size bytes: a long harmless text, then a field.
func padded(size int, field string) string {
	begin, end := `{"a":"`, `","b":"`+field+`"}`
	return begin + strings.Repeat("x", size-len(begin)-len(end)) + end
}

// TestBound: a body up to the bound is inspected whole; of a longer one the first bytes are, and
// all of it goes on, byte for byte. A JSON text that is cut is not malformed for that.
func TestBound(t *testing.T) {
	const bound, attack = 1 << 10, "<script>alert(1)</script>"
	w := newWorld(t, func(c *Config) { c.MaxBody = bound })
	front := func(size int) string { return `{"b":"` + attack + `","a":"` + strings.Repeat("x", size) + `"}` }
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"clean, one byte less":                {padded(bound-1, "fine"), 200},
		"clean, exactly":                      {padded(bound, "fine"), 200},
		"clean, one byte more":                {padded(bound+1, "fine"), 200},
		"clean, much more":                    {padded(40*bound, "fine"), 200},
		"attack at the end, one byte less":    {padded(bound-1, attack), 403},
		"attack at the end, exactly":          {padded(bound, attack), 403},
		"attack at the end, far beyond":       {padded(2*bound, attack), 200}, // the documented gap
		"attack at the beginning, beyond":     {front(2 * bound), 403},
		"malformed, exactly the bound":        {padded(bound-1, "fine")[:bound-2] + `",`, 403},
		"malformed, more: nobody can tell it": {padded(bound, "fine") + `",,`, 200},
	} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = strings.NewReader(c.body)
			if chunked {
				body = io.MultiReader(body) // its length is unknown
			}
			status, back := w.do("POST", "/items", json, body)
			if status != c.want || status == 200 && back != c.body {
				t.Errorf("%s, chunked %v: %d, want %d; %d bytes of %d came back; %s", name, chunked, status, c.want, len(back), len(c.body), w.last())
			}
		}
	}
	if n := w.memory.held.Load(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
	none := newWorld(t, func(c *Config) { c.MaxBody = 0 })
	if status, _ := none.send("POST", "/items", json, front(10)); status != 200 {
		t.Errorf("without inspection of bodies: %d", status)
	}
	if status, _ := none.send("POST", "/?q="+"%3Cscript%3Ealert(1)%3C/script%3E", json, "{}"); status != 403 {
		t.Errorf("without inspection of bodies, in the query: %d", status)
	}
}

// TestUploadBound: an upload that is longer than the bound passes, and a part before it is looked at.
func TestUploadBound(t *testing.T) {
	const bound = 1 << 10
	w := newWorld(t, func(c *Config) { c.MaxBody = bound })
	png := append([]byte("\x89PNG\r\n"), []byte(strings.Repeat("\x00\xff", 3*bound))...)
	contentType, body := upload(t, "a.png", png)
	for at := bound - 3; at < bound+3; at++ { // wherever the cut falls
		pad := strings.Repeat("x", at)
		_, short := upload(t, "a.png", []byte(pad))
		if status, _ := w.send("POST", "/photos", contentTypeOf(short), short); status != 200 {
			t.Errorf("%d bytes: %d %s", len(short), status, w.last())
		}
	}
	if status, back := w.send("POST", "/photos", contentType, body); status != 200 || back != body {
		t.Errorf("clean: %d, %d bytes of %d; %s", status, len(back), len(body), w.last())
	}
	bad := strings.Replace(body, "Summer in Málaga", "1' UNION SELECT password FROM users-- -", 1)
	if status, _ := w.send("POST", "/photos", contentType, bad); status != 403 {
		t.Errorf("attack: %d", status)
	}
}

func contentTypeOf(multipart string) string {
	first, _, _ := strings.Cut(multipart, "\r\n")
	return "multipart/form-data; boundary=" + first[2:]
}

// TestConcurrent: calls do not see each other, and their bodies' memory comes back.
func TestConcurrent(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxBody = 4 << 10 })
	var calls sync.WaitGroup
	for i := range 100 {
		calls.Go(func() {
			size, field, want := 200+rand.IntN(10<<10), fmt.Sprintf("call %d", i), 200
			if i%3 == 0 {
				size, field, want = 200+i, "<script>alert(1)</script>", 403
			}
			body := padded(size, field)
			var reader io.Reader = strings.NewReader(body)
			if i%2 == 0 {
				reader = io.MultiReader(reader)
			}
			if status, back := w.do("POST", fmt.Sprintf("/c/%d", i), json, reader); status != want || status == 200 && back != body {
				t.Errorf("call %d: %d, want %d; %d bytes of %d", i, status, want, len(back), len(body))
			}
		})
	}
	calls.Wait()
	if n := w.memory.held.Load(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

// TestExpect: the client is asked for the body when it is inspected, and not when the head is enough
// to refuse the call.
func TestExpect(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]struct{ agent, first string }{
		"clean":               {"shop-app/3.1", "HTTP/1.1 100 Continue\r\n"},
		"refused by its head": {"sqlmap/1.7", "HTTP/1.1 403 Forbidden\r\n"},
	} {
		conn, err := net.Dial("tcp", w.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /items HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: %s\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", c.agent)
		in := bufio.NewReader(conn)
		if line, err := in.ReadString('\n'); err != nil || line != c.first {
			t.Errorf("%s: %q %v, want %q", name, line, err, c.first)
		}
		if name != "clean" {
			continue
		}
		in.ReadString('\n')
		io.WriteString(conn, "{}")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || string(body) != "{}" {
			t.Errorf("%d %q %v", resp.StatusCode, body, err)
		}
	}
}

// TestStreams: what is beyond the bound reaches the backend while the client still sends.
func TestStreams(t *testing.T) {
	c := Default()
	c.Mode, c.MaxBody = Block, 1000
	f, err := New(c, new(Memory), nil)
	if err != nil {
		t.Fatal(err)
	}
	gate, came := new(access.Gate), make(chan string)
	gate.Set(access.NewChain(access.Options{}, f))
	server := httptest.NewServer(gate.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first := make([]byte, 1500)
		io.ReadFull(r.Body, first)
		came <- string(first)
		rest, _ := io.ReadAll(r.Body)
		came <- string(rest)
	})))
	defer server.Close()
	out, in := io.Pipe()
	done := make(chan error)
	go func() {
		r, err := http.NewRequest("POST", server.URL+"/in", out)
		if err == nil {
			r.Host = "api.example.com"
			r.Header.Set("Content-Type", "application/octet-stream")
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
			}
		}
		done <- err
	}()
	first := strings.Repeat("a", 1500)
	io.WriteString(in, first)
	if got := <-came; got != first {
		t.Errorf("%d bytes came", len(got))
	}
	io.WriteString(in, "the end")
	in.Close()
	if got := <-came; got != "the end" {
		t.Errorf("then %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type broken struct{ io.Reader }

var errBroken = errors.New("the client is gone")

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = errBroken
	}
	return n, err
}

func (*broken) Close() error { return nil }

// TestBrokenBody: a body that breaks off breaks off for the next stage too, after the same bytes.
func TestBrokenBody(t *testing.T) {
	w := newWorld(t, nil)
	r := httptest.NewRequest("POST", "/x", &broken{strings.NewReader("some text")})
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Set("User-Agent", "x/1")
	r.ContentLength = 100
	gate := new(access.Gate)
	gate.Set(access.NewChain(access.Options{}, w.fire))
	reached := false
	gate.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached = true
		if body, err := io.ReadAll(r.Body); string(body) != "some text" || err != errBroken {
			t.Errorf("%q, %v", body, err)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	if !reached {
		t.Error("it did not come to the next stage")
	}
}

// TestNoRoom: a call that cannot be inspected is refused or passes, as configured; the next one that
// can be is.
func TestNoRoom(t *testing.T) {
	for _, c := range []struct {
		mode, onError string
		want          int
	}{{Block, Refuse, 503}, {Block, Pass, 200}, {Detect, Refuse, 200}} {
		w := newWorld(t, func(config *Config) { config.Mode, config.OnError = c.mode, c.onError })
		w.memory.held.Store(int64(w.fire.config.BodyMemory))
		if status, body := w.send("POST", "/items", json, `{"a":1}`); status != c.want || status == 200 && body != `{"a":1}` {
			t.Errorf("%+v: %d %q", c, status, body)
		}
		if text := w.last(); text != "waf: could not be inspected" {
			t.Errorf("%+v: the record says %q", c, text)
		}
		if !strings.Contains(w.log.String(), `verdict="not inspected"`) {
			t.Errorf("%+v: the log says %s", c, w.log)
		}
		if status, _ := w.send("GET", "/items", "", ""); status != 200 {
			t.Errorf("%+v: a call without a body: %d", c, status)
		}
		w.memory.held.Store(0)
		if status, _ := w.send("POST", "/items", json, `{"a":1}`); status != 200 || w.last() != "" {
			t.Errorf("%+v: then %d %s", c, status, w.last())
		}
	}
}

// TestPanic: a rule that panics does not take the call's connection down, and what it panicked with
// is not told.
func TestPanic(t *testing.T) {
	w := newWorld(t, nil)
	rules := w.fire.rules
	w.fire.rules = &engine{} // no engine at all
	if status, _ := w.send("GET", "/items", "", ""); status != 503 {
		t.Errorf("%d", status)
	}
	w.fire.rules = rules
	if status, _ := w.send("GET", "/items", "", ""); status != 200 {
		t.Errorf("then %d", status)
	}
}
