package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/alarm"
	"github.com/tapway/tapway/internal/alarm/smtptest"
	"github.com/tapway/tapway/internal/config"
)

// alarmed is a tapway whose alarms are evaluated many times a second.
type alarmed struct {
	*App
	t      *testing.T
	client *admin.Client
	log    *lockedLog
	stop   func()
}

func runAlarmed(t *testing.T, yaml string) *alarmed {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tapway.yaml")
	text := []byte("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\n" + yaml)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	source := config.Source{File: file, Getenv: func(string) (string, bool) { return "", false }}
	c, err := config.Load(source)
	if err != nil {
		t.Fatal(err)
	}
	w := &alarmed{t: t, log: new(lockedLog)}
	if w.App, err = New(c, Options{Version: "test", Source: source, Log: slog.New(slog.NewTextHandler(w.log, nil))}); err != nil {
		t.Fatal(err)
	}
	w.alarms.watch.Every = 10 * time.Millisecond
	w.client = &admin.Client{Base: "http://" + w.AdminAddr()}
	ctx, cancel := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- w.RunNotify(ctx, func() { close(ready) }) }()
	<-ready
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

func (w *alarmed) list() alarm.Listing {
	w.t.Helper()
	l, err := admin.JSON[alarm.Listing](w.client.Get(context.Background(), "/api/v1/alarms", nil))
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// find gives an alarm; the zero Status if it is not listed.
func (w *alarmed) find(name, destination string) alarm.Status {
	w.t.Helper()
	for _, s := range w.list().Alarms {
		if s.Name == name && s.Destination == destination {
			return s
		}
	}
	return alarm.Status{}
}

func (w *alarmed) call(path string) {
	w.t.Helper()
	resp, err := http.Get("http://" + w.Addr() + path)
	if err != nil {
		w.t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

// posts is a webhook's other end.
type posts struct {
	*httptest.Server
	mu  sync.Mutex
	got []map[string]any
}

func newPosts(t *testing.T) *posts {
	p := &posts{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var v map[string]any
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			t.Errorf("webhook: %v", err)
		}
		if r.Header.Get("webhook-signature") == "" {
			t.Error("webhook: not signed")
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.got = append(p.got, v)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *posts) events() (out []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.got {
		a := v["alarm"].(map[string]any)
		out = append(out, fmt.Sprint(v["event"], " ", a["name"], " ", a["destination"]))
	}
	return out
}

// TestAlarmEndToEnd: a destination that refuses makes dead letters, which mails and posts once; a
// restart repeats nothing; when they are redriven, the end is told once.
func TestAlarmEndToEnd(t *testing.T) {
	mails := smtptest.New(t, func(s *smtptest.Server) { s.Mechanisms, s.User, s.Password = "PLAIN LOGIN", "tapway", "open sesame" })
	hook := newPosts(t)
	var well atomic.Bool
	sink := httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if io.Copy(io.Discard, r.Body); !well.Load() {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	}))
	backend := httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(mails.PEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := fmt.Sprintf(`
data: %s
backend: %s
destinations: [{name: siem, url: %q, retry: {max_attempts: 1, min: 1ms, max: 1ms}}]
alarms:
  disk: {off: true}
  console: https://tapway.example.com
  smtp: {host: 127.0.0.1, port: %d, username: tapway, password: open sesame, from: tapway@example.com, ca: %s}
  notify:
    - {name: ops, email: ops@example.com}
    - {name: hook, webhook: "%s/hooks/0123456789abcdef", signing_secret: hunter2}
`, filepath.Join(t.TempDir(), "data"), backend, sink, mails.Port(), ca, hook.URL)

	w := runAlarmed(t, yaml)
	w.call("/one?token=hunter3")
	eventually(t, "a mail and a post", func() bool { return len(mails.Mails()) == 1 && len(hook.events()) == 1 })
	if got := hook.events()[0]; got != "firing dead_letters siem" {
		t.Errorf("posted %q", got)
	}
	s := w.find(alarm.DeadLetters, "siem")
	if s.State != alarm.Firing || s.Value != 1 || s.LastError != "422 Unprocessable Entity" || len(s.Records) != 1 || s.Command != "tapway dlq list --destination siem" {
		t.Errorf("shown is %+v", s)
	}
	mail := mails.Mails()[0]
	if mail.User != "tapway" || !mail.TLS || mail.From != "tapway@example.com" || fmt.Sprint(mail.To) != "[ops@example.com]" {
		t.Errorf("mail %+v", mail)
	}
	for _, part := range []string{"CRITICAL dead_letters of siem", "422 Unprocessable Entity", s.Records[0], "tapway dlq list --destination siem", "https://tapway.example.com/#/alarms"} {
		if !strings.Contains(strings.ReplaceAll(mail.Data, "=\r\n", ""), part) {
			t.Errorf("%q is not in the mail:\n%s", part, mail.Data)
		}
	}
	w.call("/two") // another letter is the same trouble
	eventually(t, "the second letter", func() bool { return w.find(alarm.DeadLetters, "siem").Value == 2 })
	w.stop()

	w = runAlarmed(t, yaml)
	eventually(t, "the alarm after a restart", func() bool { return w.find(alarm.DeadLetters, "siem").Value == 2 })
	if s := w.find(alarm.DeadLetters, "siem"); s.State != alarm.Firing {
		t.Errorf("after a restart it is %+v", s)
	}
	well.Store(true)
	for _, err := range admin.Stream[admin.Progress](w.client.Post(context.Background(), "/api/v1/deadletters/redrive", admin.Selection{})) {
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "its end to be told", func() bool { return len(mails.Mails()) == 2 && len(hook.events()) == 2 })
	if got := hook.events()[1]; got != "resolved dead_letters siem" {
		t.Errorf("posted %q", got)
	}
	if s := w.find(alarm.DeadLetters, "siem"); s.State != alarm.OK || s.Value != 0 {
		t.Errorf("at the end it is %+v", s)
	}
	l := w.list()
	if len(l.History) != 2 || l.History[0].To != alarm.OK || l.History[1].To != alarm.Firing {
		t.Errorf("history %+v", l.History)
	}
	for _, n := range l.Notify {
		if n.Failures != 0 || n.LastError != "" || n.LastSent.IsZero() {
			t.Errorf("notify %+v", n)
		}
	}
	w.stop()
	if len(mails.Mails()) != 2 || len(hook.events()) != 2 || len(mails.Faults()) != 0 {
		t.Errorf("%d mails, posts %v, faults %v", len(mails.Mails()), hook.events(), mails.Faults())
	}
	state, err := os.ReadFile(filepath.Join(w.data, "alarms.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"open sesame", "hunter2", "0123456789abcdef", "hunter3"} {
		if strings.Contains(w.log.String()+string(state), secret) {
			t.Errorf("%q is in the log or the file", secret)
		}
	}
}
