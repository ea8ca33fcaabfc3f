package app

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/demo"
)

func hello(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"hello":"world"}`) }

// until polls cond; what it waits for happens on other goroutines and over sockets.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-ticker.C {
		if cond() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

// line is one destination's line of the ledger.
func (w *world) line(name string) tapway.LedgerLine {
	w.t.Helper()
	for _, l := range w.checkLedger().Destinations {
		if l.Destination == name {
			return l
		}
	}
	w.t.Fatalf("no ledger line for %s", name)
	return tapway.LedgerLine{}
}

// TestBadDestinations: whatever one destination does, nothing is lost, calls are served,
// and the other destination gets everything at once.
func TestBadDestinations(t *testing.T) {
	for _, bad := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request)
	}{
		{"500", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }},
		{"429 with Retry-After", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
		}},
		{"410", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(410) }},
		{"301", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:9/elsewhere", http.StatusMovedPermanently)
		}},
		{"closes early", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }},
		{"never answers", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}},
		{"sends 10 GB", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(500)
			block := make([]byte, 1<<20)
			for range 10 << 10 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			var healed atomic.Bool
			var got atomic.Int64
			sick := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if healed.Load() {
					io.Copy(io.Discard, r.Body)
					got.Add(1)
					return
				}
				bad.answer(w, r)
			}))
			defer sick.Close()
			w := newWorld(t, "backend: "+httpBackend(t, http.HandlerFunc(hello))+`
destinations:
  - {name: well, url: "{sink}"}
  - {name: sick, url: "`+sick.URL+`", timeout: 300ms, retry: {min: 1ms, max: 10ms, max_attempts: 1000}}
`)
			const calls = 40
			for i := range calls {
				if resp, err := http.Get(fmt.Sprintf("%s/%d", w.url, i)); err != nil || resp.StatusCode != 200 {
					t.Fatalf("call %d: %v, %v", i, resp, err)
				} else {
					resp.Body.Close()
				}
			}
			w.sink.next(t, calls-1)
			if l := w.line("sick"); l.Delivered != 0 || l.Queued+l.Dead != calls {
				t.Errorf("while it is sick: %+v", l)
			}
			healed.Store(true)
			for _, d := range w.app.destinations.live() {
				d.Resume() // what an operator does after a 410, and instead of waiting for the next probe
			}
			until(t, "the healed destination to have everything", func() bool { l := w.line("sick"); return l.Delivered+l.Dead == calls })
			if got.Load() < int64(w.line("sick").Delivered) {
				t.Errorf("the destination got %d, the ledger says %+v", got.Load(), w.line("sick"))
			}
			if l := w.line("sick"); l.Dead != 0 {
				t.Errorf("records died although attempts were left: %+v", l)
			}
		})
	}
}

// TestDiskLimit: when the store is full of records somebody is owed, serving goes on, the
// ledger counts what could not be kept, and recording resumes when there is room again.
func TestDiskLimit(t *testing.T) {
	var open atomic.Bool
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if !open.Load() {
			w.WriteHeader(503)
		}
	}))
	defer sink.Close()
	body := bytes.Repeat([]byte("y"), 64<<10)
	w := newWorld(t, "backend: "+httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))+`
storage: {limit: 8MiB, history: 1MiB}
destinations: [{name: default, url: "`+sink.URL+`", retry: {min: 1ms, max: 20ms, max_attempts: 100000}}]
`)
	call := func() {
		t.Helper()
		resp, err := http.Get(w.url + "/big")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !bytes.Equal(got, body) {
			t.Fatalf("the API broke: %s, %d bytes, %v", resp.Status, len(got), err)
		}
	}
	for range 250 { // 16 MiB into 8
		call()
	}
	l := w.checkLedger()
	full := l.Dropped["queue-full"]
	if full == 0 || l.Calls != 250 || l.Stored+full != 250 {
		t.Fatalf("ledger of a full store: %+v", l)
	}
	open.Store(true)
	for _, d := range w.app.destinations.live() {
		d.Resume()
	}
	until(t, "the queue to be delivered", func() bool { return w.line("default").Queued == 0 })
	until(t, "recording to resume", func() bool {
		before := w.checkLedger().Stored
		call()
		return w.checkLedger().Stored > before
	})
}

// TestDamagedStore: bytes turned over in the middle of the log cost the records they hit
// and nothing else; check names the place.
func TestDamagedStore(t *testing.T) {
	dir := t.TempDir()
	sink := newSink(t)
	var closed atomic.Bool
	closed.Store(true)
	sink.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if closed.Load() {
			w.WriteHeader(503)
		}
		return closed.Load()
	}
	backend := httpBackend(t, http.HandlerFunc(hello))
	yaml := "backend: " + backend + "\ndata: " + dir + "/data\ndestinations: [{name: d, url: \"" + sink.URL + "\", retry: {min: 1ms, max: 20ms, max_attempts: 100000}}]\n"
	w := newWorldIn(t, yaml)
	const calls = 50
	for i := range calls {
		resp, err := http.Get(fmt.Sprintf("%s/call/%d", w.url, i))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	w.stop()
	damageMiddle(t, filepath.Join(dir, "data", "log"), "/call/25")

	server, done, err := Offline(dir+"/data", "test")
	if err != nil {
		t.Fatal(err)
	}
	report, err := server.Store.Check(t.Context(), func(int64, int64) {})
	if err != nil || len(report.Damage) != 1 || report.Damage[0].FromSeq == 0 || report.Damage[0].FromSeq != report.Damage[0].ToSeq {
		t.Errorf("check: %+v, %v", report, err)
	}
	done()

	closed.Store(false)
	w = newWorldIn(t, yaml)
	until(t, "what is left to be delivered", func() bool { return w.line("d").Queued == 0 })
	l := w.line("d")
	if l.Delivered != calls-1 || l.Dropped["damaged"] != 1 {
		t.Errorf("ledger: %+v", l)
	}
	w.stop()
	seen := map[string]bool{}
	for _, rec := range sink.records {
		seen[rec["endpoint"].(string)] = true
	}
	for i := range calls {
		if path := fmt.Sprintf("/call/%d", i); !seen[path] && i != 25 {
			t.Errorf("%s was not delivered", path)
		}
	}
}

// damageMiddle turns a bit in the stored frame that holds text.
func damageMiddle(t *testing.T, dir, text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments in %s: %v", dir, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(b, []byte(text)); i >= 0 {
			b[i+2] ^= 0x40
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%q is in no segment", text)
}

// TestFloods: slow clients by the thousand, header floods and bodies that never come hold
// no one else up and leave nothing behind.
func TestFloods(t *testing.T) {
	w := newWorld(t, "backend: "+httpBackend(t, http.HandlerFunc(hello))+"\nlimits: {header_timeout: 2s, body_timeout: 2s, header_bytes: 8KiB}\n")
	before := runtime.NumGoroutine()
	var slow []net.Conn
	for i := range 2000 {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: a\r\nX-") // never finished
		case 1:
			io.WriteString(c, "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc") // body never comes
		}
		slow = append(slow, c)
	}
	for i := range 50 {
		resp, err := http.Get(fmt.Sprintf("%s/ok/%d", w.url, i))
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("call %d among the slow: %v, %v", i, resp, err)
		}
		resp.Body.Close()
	}
	out := raw(t, w.addr, "GET / HTTP/1.1\r\nHost: a\r\nX-Big: "+strings.Repeat("x", 9<<10)+"\r\n\r\n")
	if !strings.HasPrefix(out, "HTTP/1.1 431 ") {
		t.Errorf("9 KiB of header: %q", firstLine(out))
	}
	out = raw(t, w.addr, "GET / HTTP/1.1\r\nHost: a\r\n"+strings.Repeat("X: y\r\n", 300)+"\r\n")
	if !strings.HasPrefix(out, "HTTP/1.1 431 ") {
		t.Errorf("300 header lines: %q", firstLine(out))
	}
	out = raw(t, w.addr, "GET /"+strings.Repeat("x", 9<<10)+" HTTP/1.1\r\nHost: a\r\n\r\n")
	if !strings.HasPrefix(out, "HTTP/1.1 414 ") {
		t.Errorf("9 KiB of path: %q", firstLine(out))
	}
	for _, c := range slow {
		c.Close()
	}
	until(t, "the goroutines of the slow clients to end", func() bool { return runtime.NumGoroutine() < before+100 })
	w.checkLedger()
}

// TestSlowBackends: a thousand calls that wait do not keep others waiting, and a timeout is
// a 504 with a record.
func TestSlowBackends(t *testing.T) {
	w := newWorld(t, "proxy: {timeout: 3s}\nbackend: "+httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		hello(w, r)
	}))+"\n")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	var timeouts atomic.Int64
	for range 500 {
		wg.Go(func() {
			resp, err := client.Get(w.url + "/slow")
			if err == nil {
				if resp.StatusCode == 504 {
					timeouts.Add(1)
				}
				resp.Body.Close()
			}
		})
	}
	for range 20 {
		resp, err := client.Get(w.url + "/quick")
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("a quick call among slow ones: %v, %v", resp, err)
		}
		resp.Body.Close()
	}
	wg.Wait()
	if timeouts.Load() != 500 {
		t.Errorf("%d of 500 slow calls were answered 504", timeouts.Load())
	}
	l := w.checkLedger()
	if l.Stored != 520 {
		t.Errorf("ledger: %+v", l)
	}
}

// TestStopWithDeadDestination: stopping does not wait for a destination that is down, and
// what it is owed is there after the next start.
func TestStopWithDeadDestination(t *testing.T) {
	dir := t.TempDir()
	backend := httpBackend(t, http.HandlerFunc(hello))
	yaml := "backend: " + backend + "\ndata: " + dir + "/data\ndestinations: [{name: d, url: \"http://127.0.0.1:9/in\"}]\n"
	w := newWorldIn(t, yaml)
	for range 5 {
		resp, err := http.Get(w.url + "/x")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	w.stop()
	w = newWorldIn(t, yaml)
	if l := w.line("d"); l.Captured != 5 || l.Queued != 5 {
		t.Errorf("after a restart: %+v", l)
	}
	w.stop()
}

// TestStopWithOpenTunnels: a connection that was upgraded ends when tapway does, and like
// every other call it leaves its record.
func TestStopWithOpenTunnels(t *testing.T) {
	yaml := "backend: " + httpBackend(t, new(demo.API).Handler()) + "\ndata: " + t.TempDir() + "/data\n" +
		"destinations: [{name: d, url: \"http://127.0.0.1:9/in\"}]\n"
	w := newWorldIn(t, yaml)
	const tunnels = 20
	for range tunnels {
		conn, _, err := websocket.Dial(t.Context(), "ws://"+w.addr+"/api/v1/echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		if err := conn.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.stop()
	w = newWorldIn(t, yaml)
	if l := w.line("d"); l.Captured != tunnels || l.Queued != tunnels {
		t.Errorf("after a restart: %+v, want %d tunnels", l, tunnels)
	}
	w.stop()
}
