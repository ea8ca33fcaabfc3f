package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/admin"
)

// reload asks for a reload by POST /reload and gives the answer.
func (g *gateway) reload(t *testing.T, token string) (int, admin.Reloaded, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+g.admin+"/reload", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, decode[admin.Reloaded](t, string(body)), string(body)
}

// hangup reloads by SIGHUP and waits for the line that says what became of it.
func (g *gateway) hangup(t *testing.T, says string) {
	t.Helper()
	before := strings.Count(g.log.String(), says)
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, says, func() bool { return strings.Count(g.log.String(), says) > before })
}

// lineOf is long enough to leave every buffer on its way.
func lineOf(step int) string { return strings.Repeat(fmt.Sprint(step), 16<<10) + "\n" }

// stepper is a backend whose /stream sends a line at once and one more for each of three
// steps, as a download of known length or as server-sent events.
type stepper struct {
	*httptest.Server
	steps chan int
}

func newStepper(t *testing.T, name string) *stepper {
	s := &stepper{steps: make(chan int)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stream" {
			fmt.Fprint(w, name)
			return
		}
		if r.URL.Query().Has("sse") {
			w.Header().Set("Content-Type", "text/event-stream")
		} else {
			w.Header().Set("Content-Length", fmt.Sprint(4*len(lineOf(0))))
		}
		io.WriteString(w, lineOf(0))
		http.NewResponseController(w).Flush()
		for range 3 {
			select {
			case step := <-s.steps:
				io.WriteString(w, lineOf(step))
				http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// TestReloadKeepsConnections: a download and an event stream that span reloads, good and
// bad, arrive whole; a kept connection goes on and sees the new routes.
func TestReloadKeepsConnections(t *testing.T) {
	t.Parallel()
	one, two := newStepper(t, "one"), newStepper(t, "two")
	w := &world{dir: t.TempDir(), sink: newSink(t)}
	config := func(backend string) string {
		return fmt.Sprintf("backend: %s\ndestinations: [{name: sink, url: %s}]\n", backend, w.sink.URL)
	}
	w.configure(t, config(one.URL))
	g := serve(t, w.dir)

	open := func(path string) *http.Response {
		resp, err := http.Get("http://" + g.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	kept := func(want string, reused bool) {
		t.Helper()
		got := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { got = i.Reused }})
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.addr+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if string(body) != want || got != reused {
			t.Errorf("got %q on a connection used before: %v; want %q, %v", body, got, want, reused)
		}
	}
	kept("one", false)
	for _, path := range []string{"/stream", "/stream?sse=1"} {
		w.configure(t, config(one.URL))
		g.hangup(t, "msg=reloaded")
		stream := bufio.NewReader(open(path).Body)
		read := func(step int) {
			t.Helper()
			if got, err := stream.ReadString('\n'); got != lineOf(step) || err != nil {
				t.Fatalf("%s, step %d: got %d bytes, %v:\n%s", path, step, len(got), err, g.log)
			}
		}
		line := func(step int) {
			t.Helper()
			select {
			case one.steps <- step:
				read(step)
			case <-time.After(10 * time.Second):
				t.Fatalf("%s, step %d: the backend no longer sends:\n%s", path, step, g.log)
			}
		}
		read(0)
		line(1)
		w.configure(t, config(two.URL))
		g.hangup(t, "msg=reloaded")
		kept("two", true)
		line(2)
		w.configure(t, "backend: [")
		g.hangup(t, "reload refused")
		kept("two", true)
		line(3)
		if rest, err := io.ReadAll(stream); len(rest) != 0 || err != nil {
			t.Errorf("%s: at the end %q, %v", path, rest, err)
		}
	}
	w.configure(t, config(two.URL))
	if l := settled(t, w.dir); l.Destinations[0].Delivered != 7 {
		t.Errorf("ledger: %+v", l)
	}
	g.stop(t)
}

// TestReload: what a reload changes, what it leaves, and what it says.
func TestReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	second := newSink(t)
	base := fmt.Sprintf("backend: %s\nadmin: {listen: 127.0.0.1:0, token: s3same}\n", w.backend.URL)
	dest := func(name, url, more string) string {
		return fmt.Sprintf("  - {name: %s, url: %s%s}\n", name, url, more)
	}
	w.configure(t, base+"destinations:\n"+dest("sink", w.sink.URL, ""))
	g := serve(t, w.dir)
	good := func(text string) admin.Reloaded {
		t.Helper()
		w.configure(t, text)
		status, r, body := g.reload(t, "s3same")
		if status != http.StatusOK || r.Status != "reloaded" {
			t.Fatalf("reload: %d %s", status, body)
		}
		return r
	}

	// A destination is added, changed and removed.
	g.calls(t, "/a")
	good(base + "destinations:\n" + dest("sink", w.sink.URL, "") + dest("second", second.URL, ""))
	g.calls(t, "/b")
	waitFor(t, "both to have /b", func() bool { return w.sink.count("/b") == 1 && second.count("/b") == 1 })
	good(base + "destinations:\n" + dest("sink", w.sink.URL, "") + dest("second", w.sink.URL, ", if: \"path == '/c'\""))
	g.calls(t, "/c", "/d")
	waitFor(t, "the changed one to have /c", func() bool { return w.sink.count("/c") == 2 && w.sink.count("/d") == 1 })
	if second.count("/") != 1 || second.count("/a") != 0 {
		t.Errorf("the second destination got %v", second.got)
	}
	good(base + "destinations:\n" + dest("sink", w.sink.URL, ""))
	g.logs(t, "records are kept for a destination that is not configured; `tapway queue forget` gives them up", "destination=second")
	must(t, w.dir, "queue", "forget", "second", "--yes")

	// One that an operator paused stays paused although it changes.
	must(t, w.dir, "queue", "pause", "sink")
	good(base + "destinations:\n" + dest("sink", w.sink.URL, ", concurrency: 2"))
	mustContain(t, must(t, w.dir, "queue", "stats"), "paused: by an operator")
	must(t, w.dir, "queue", "resume", "sink")

	// Redaction and rules.
	destinations := "destinations:\n" + dest("sink", w.sink.URL, "")
	good(base + destinations + "capture: {redact: {query: [shoe]}, rules: [{if: \"path == '/gone'\", sample: 0}]}\n")
	g.calls(t, "/gone", "/e?shoe=size44")
	waitFor(t, "/e", func() bool { return w.sink.count("/e") == 1 })
	w.sink.set(func(s *sink) {
		if text := s.all.String(); strings.Contains(text, "size44") || strings.Contains(text, "/gone") {
			t.Error("the new rules are not in force")
		}
	})

	// Keys that need a restart are named, by every reload, and nothing else is held up by them.
	for range 2 {
		r := good(base + destinations + "limits: {headers: 7}\ncapture: {max_body: 1KiB, on_failure: refuse}\nproxy: {filtered_paths: [/no]}\nlog: {level: debug}\nstorage: {limit: 1GiB}\nh2c: true\n")
		if got := strings.Join(r.Restart, " "); got != "h2c capture.max_body capture.on_failure storage.limit limits.headers log.level" {
			t.Errorf("keys that need a restart: %s", got)
		}
	}
	g.logs(t, "changed keys that need a restart keep their old value", "limits.headers")
	if status, _ := get(t, "http://"+g.addr+"/no"); status != http.StatusForbidden {
		t.Errorf("a filtered path answers %d", status)
	}

	// A bad file leaves everything as it was and says so, with line and column.
	for text, want := range map[string]string{
		"backend: http://a\nproxy: {timeout: soon}\n":                                                                `tapway.yaml:4:18: proxy.timeout: \"soon\" is not a duration`,
		base + "destinations: [{name: x, url: nowhere}]\n":                                                           `destinations[0].url`,
		base + "tls: {cert: tapway.yaml, key: tapway.yaml}\n":                                                        "tls.cert: there is no PEM in it",
		base + "proxy: {tls: {ca: tapway.yaml}}\n":                                                                   "proxy.tls.ca: there is no PEM in it",
		base + "destinations:\n" + dest("new", second.URL, "") + dest("bad", second.URL, ", tls: {ca: tapway.yaml}"): "destinations[1].tls.ca: there is no PEM in it",
	} {
		w.configure(t, text)
		status, _, body := g.reload(t, "s3same")
		if status != http.StatusUnprocessableEntity || !strings.Contains(body, "the old configuration stays in force: ") || !strings.Contains(body, want) {
			t.Errorf("a bad file: %d %s, want %s", status, body, want)
		}
		if strings.Contains(body, "s3same") {
			t.Error("the answer shows a secret")
		}
	}
	g.calls(t, "/f")
	good(base + destinations)
	l := settled(t, w.dir)
	for _, d := range l.Destinations {
		if d.Destination != "sink" && d.Destination != "second" {
			t.Errorf("a refused reload left a destination: %+v", d)
		}
	}
	if n := strings.Count(g.log.String(), "records are kept for a destination"); n != 1 {
		t.Errorf("the log warns %d times of a destination that was forgotten", n)
	}
	if strings.Contains(g.log.String(), "s3same") {
		t.Error("the log shows the token")
	}
	g.stop(t)
}

// TestReloadWithoutFile: there is nothing to read again, and the process says so.
func TestReloadWithoutFile(t *testing.T) {
	t.Parallel()
	g := serve(t, t.TempDir(), "--backend", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	g.hangup(t, "there is no configuration file to read again")
	if status, _, body := g.reload(t, ""); status != http.StatusUnprocessableEntity || !strings.Contains(body, "started with flags alone") {
		t.Errorf("reload: %d %s", status, body)
	}
	g.stop(t)
}

// TestReloadCertificate: a renewed certificate is shown to new connections; old ones go on.
func TestReloadCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.certificate(t, 1)
	w.configure(t, "backend: "+w.backend.URL+"\ntls: {cert: cert.pem, key: key.pem}\n")
	g := serve(t, w.dir)
	dial := func() *tls.Conn {
		conn, err := tls.Dial("tcp", g.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	serial := func(c *tls.Conn) int64 { return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64() }
	ask := func(c *tls.Conn) {
		t.Helper()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(c, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	old := dial()
	ask(old)
	w.certificate(t, 2)
	g.hangup(t, "msg=reloaded")
	fresh := dial()
	ask(fresh)
	ask(old)
	if serial(old) != 1 || serial(fresh) != 2 {
		t.Errorf("serials %d and %d", serial(old), serial(fresh))
	}
	write(t, w.dir, "cert.pem", "nonsense")
	g.hangup(t, "reload refused")
	if c := dial(); serial(c) != 2 {
		t.Errorf("after a bad certificate the serial is %d", serial(c))
	}
	g.stop(t)
}

// certificate writes cert.pem and key.pem.
func (w *world) certificate(t *testing.T, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "tapway test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w.dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, w.dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}
