package app

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/alarm"
)

// trap listens, counts who comes, and says nothing.
func trap(t *testing.T) (addr string, hits *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	hits = new(atomic.Int32)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			hits.Add(1)
			c.Close()
		}
	}()
	return "localhost:" + port(l.Addr().String()), hits
}

// TestEveryWayOut: whoever dials on tapway's own account (alarms by webhook and mail, a collector, the keys of an
// issuer) asks the egress policy, like backends and destinations.
func TestEveryWayOut(t *testing.T) {
	for _, policy := range []string{"{}", `{deny: [127.0.0.0/8, "::1/128"]}`} {
		hook, hooks := trap(t)
		mail, mails := trap(t)
		collector, spans := trap(t)
		issuer, keys := trap(t)
		w := runAlarmed(t, fmt.Sprintf(`
data: %s
backend: http://localhost:1
destinations: []
egress: %s
access: {jwt: {issuer: "http://%s", audience: api}}
telemetry: {otlp: {endpoint: "http://%s"}, traces: {sample: 1}}
alarms:
  disk: {off: true}
  smtp: {host: localhost, port: %s, from: tapway@example.com}
  notify:
    - {name: mail, email: ops@example.com}
    - {name: hook, webhook: "http://%s/x"}
`, filepath.Join(t.TempDir(), "data"), policy, issuer, collector, port(mail), hook))
		results, err := admin.JSON[[]alarm.Tested](w.client.Post(t.Context(), "/api/v1/alarms/test", struct{}{}))
		if err != nil || len(results) != 2 {
			t.Fatalf("%v %v", results, err)
		}
		const token = "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.eyJpc3MiOiJ4In0.AAAA" // {"alg":"EdDSA","kid":"1"}.{"iss":"x"}
		if status, _, _ := askWith(t, "http://"+w.Addr()+"/x", "Authorization", "Bearer "+token); status < 400 {
			t.Errorf("the gate let a call pass: %d", status)
		}
		w.stop()
		for what, hits := range map[string]*atomic.Int32{"webhook": hooks, "mail server": mails, "collector": spans, "issuer": keys} {
			if denied := policy != "{}"; denied != (hits.Load() == 0) {
				t.Errorf("egress %s: %d connections to the %s", policy, hits.Load(), what)
			}
		}
		for _, r := range results {
			if denied := policy != "{}"; denied != strings.Contains(r.Error, "egress denied by ") {
				t.Errorf("egress %s: %+v", policy, r)
			}
		}
	}
}

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

// TestSlowAdmin: whoever sends a byte now and then to the admin address holds no connection for long.
func TestSlowAdmin(t *testing.T) {
	for _, tt := range []struct {
		begin, drip string
		most        time.Duration
	}{
		{"", "", 2 * time.Minute},
		{"GET ", "x", 10 * time.Second},
		{"GET / HTTP/1.1\r\nHost: localhost\r\n", "X: y\r\n", 10 * time.Second},
		{"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n", "x", time.Minute},
		{"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "", 2 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			l := make(pipes, 1)
			l <- server
			s := newAdminServer(&admin.Server{Token: "s3same"}, slog.New(slog.DiscardHandler))
			served, dripped := make(chan error, 1), make(chan struct{})
			go func() { served <- s.Serve(l) }()
			began := time.Now()
			go func() {
				defer close(dripped)
				_, err := io.WriteString(client, tt.begin)
				for ; err == nil && tt.drip != ""; _, err = io.WriteString(client, tt.drip) {
					time.Sleep(3 * time.Second)
				}
			}()
			io.Copy(io.Discard, client)
			if held := time.Since(began); held > tt.most+time.Second {
				t.Errorf("%q: held for %v, want %v", tt.begin, held, tt.most)
			}
			client.Close()
			<-dripped
			close(l)
			<-served
			s.Close()
		})
	}
}

// TestForgedLines: what a client or a backend sends stays one field of one line in the log and in the access log, and
// nothing of it reaches a terminal as a command.
func TestForgedLines(t *testing.T) {
	const evil = "%0d%0aforged=%22yes%22%20level=ERROR%1b[2J%00"
	dir := t.TempDir()
	sink := newSink(t)
	backend := newRawBackend(t, func(string) string {
		return "HTTP/1.1 200 OK \x1b[2Jforged\r\nX-Evil: a\x1b[31m\" forged=1\r\nContent-Length: 2\r\n\r\n{}"
	})
	w := newWorldIn(t, "data: "+dir+"/data\nlog: {calls: true}\naccess_log: {path: "+dir+"/access.log}\nbackend: http://"+backend.addr+"\ndestinations: [{name: sink, url: \""+sink.URL+"\"}]\n")
	for i, request := range []string{
		"GET /a" + evil + "?q=" + evil + " HTTP/1.1\r\nHost: api.test\r\nUser-Agent: x\" forged=\"1\x1b[2J\r\nReferer: \"\\\" forged\r\nX-Request-Id: \x1b]0;forged\x07\r\n\r\n",
		"GET /\xff\xfe HTTP/1.1\r\nHost: api.test\r\nUser-Agent: \xe2\x80\xa8forged\r\n\r\n",
		"FORGED\" /b HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"GET /c HTTP/1.1\r\nHost: api.test\r\nX: \x1b[2J\x00forged\r\n\r\n",
	} {
		raw(t, w.addr, request)
		sink.next(t, i)
	}
	w.stop()
	access, err := os.ReadFile(dir + "/access.log")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(access), "\n"); n != 4 {
		t.Errorf("%d lines of 4 calls: %s", n, access)
	}
	for name, text := range map[string]string{"log": w.log.String(), "access log": string(access)} {
		if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u2028' }); i >= 0 {
			t.Errorf("the %s has %q", name, text[max(0, i-60):min(len(text), i+20)])
		}
		for _, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "forged") {
				t.Errorf("the %s has the line %q", name, line)
			}
		}
	}
}

// TestPaths: a client's path never names a file of the machine, whatever serves it.
func TestPaths(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(backend.Close)
	dir := t.TempDir()
	w := newWorld(t, "backend: "+backend.URL+"\ndestinations: []\n")
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("t0psecret"), 0o600); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20)
	for _, path := range []string{
		"/" + up + "etc/passwd", "/js/" + up + "etc/passwd", "/js/" + strings.ReplaceAll(up, "/", "%2f") + "etc%2fpasswd", "/js/%2e%2e/%2e%2e/console.go", "/js/..%5c..%5cconsole.go", "/js//etc/passwd",
		"/js/" + up + dir[1:] + "/secret", "/js/app.js%00.txt", "/js/", "/js", "/app.css/../../console.go", "/api/v1/exchanges/" + strings.ReplaceAll(up, "/", "%2f") + "etc%2fpasswd/body/request",
		"/api/v1/exchanges/x/body/..%2f..%2frequest", "/api/v1/export?format=" + up + "etc/passwd", "/api/v1/deadletters/..%2f..%2fetc%2fpasswd",
	} {
		answer := raw(t, w.app.AdminAddr(), "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		status := firstLine(answer)
		if strings.Contains(answer, "root:") || strings.Contains(answer, "t0psecret") || strings.Contains(answer, "package console") || strings.Contains(answer, "<pre>") {
			t.Errorf("%s: %s", path, answer)
		}
		if !strings.HasPrefix(status, "HTTP/1.1 4") && !strings.HasPrefix(status, "HTTP/1.1 3") {
			t.Errorf("%s: %s", path, status)
		}
	}
}
