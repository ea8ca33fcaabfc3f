package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/tapway/tapway"
)

func call() *tapway.Exchange {
	return &tapway.Exchange{
		Meta: tapway.Meta{
			ID: tapway.ID{1, 2}, Time: time.Date(2026, 11, 20, 10, 0, 1, 5e6, time.FixedZone("", 3600)), Duration: 12345678 * time.Nanosecond, Overhead: 200 * time.Microsecond,
			FirstByte: 9 * time.Millisecond, Origin: tapway.OriginBackend, Proto: "HTTP/1.1", From: "api.example.com", Method: "POST", Path: "/a%20b", Query: "x=1&token=[REDACTED]",
			Route: "POST /{proxy+}", ClientIP: "203.0.113.7", Status: 201, RequestSize: 3, ResponseSize: 61, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
		},
		RequestHeader: tapway.Header{{Name: "User-Agent", Value: "curl/8"}, {Name: "Referer", Value: "https://a/b?x=\"1\""}},
	}
}

// TestFormats: the lines as other programs know them.
func TestFormats(t *testing.T) {
	nobody := &tapway.Exchange{Meta: tapway.Meta{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Method: "GET", Path: "/", Proto: "HTTP/2.0"}}
	for _, c := range []struct {
		format Format
		ex     *tapway.Exchange
		want   string
	}{
		{Common, call(), `203.0.113.7 - - [20/Nov/2026:10:00:01 +0100] "POST /a%20b?x=1&token=[REDACTED] HTTP/1.1" 201 61`},
		{Combined, call(), `203.0.113.7 - - [20/Nov/2026:10:00:01 +0100] "POST /a%20b?x=1&token=[REDACTED] HTTP/1.1" 201 61 "https://a/b?x=\"1\"" "curl/8"`},
		{Combined, nobody, `- - - [02/Jan/2026:03:04:05 +0000] "GET / HTTP/2.0" 499 - "-" "-"`},
		{JSON, call(), `{"time":"2026-11-20T09:00:01.005Z","id":"01020000-0000-0000-0000-000000000000","client_ip":"203.0.113.7","method":"POST","host":"api.example.com","path":"/a%20b","query":"x=1&token=[REDACTED]","proto":"HTTP/1.1","route":"POST /{proxy+}","origin":"backend","rule":"throttle","error":"","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","referer":"https://a/b?x=\"1\"","user_agent":"curl/8","status":201,"request_bytes":3,"response_bytes":61,"duration_ms":12.345,"overhead_ms":0.2,"connect_ms":0,"first_byte_ms":9}`},
	} {
		if got := string(c.format.Append(nil, c.ex, "throttle")); got != c.want+"\n" {
			t.Errorf("%s\nwant\n%s", got, c.want)
		}
	}
	for name, want := range map[string]Format{"": Combined, "common": Common, "combined": Combined, "json": JSON} {
		if got, err := ParseFormat(name); err != nil || got != want {
			t.Errorf("%q: %v %v", name, got, err)
		}
	}
	if _, err := ParseFormat("Common"); err == nil {
		t.Error("a format that there is not")
	}
}

var apache = regexp.MustCompile(`^(\S+) - - \[[^\]]+\] "((?:[^"\\]|\\.)*)" \d+ (?:\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"$`)

// forged tries to get out of a line by every field that a client fills.
func forged(t *testing.T, evil string) {
	t.Helper()
	ex := call()
	ex.ClientIP, ex.Method, ex.From, ex.Path, ex.Query, ex.Proto, ex.Route, ex.Error, ex.TraceID = evil, evil, evil, evil, evil, evil, evil, evil, evil
	ex.RequestHeader = tapway.Header{{Name: "User-Agent", Value: evil}, {Name: "Referer", Value: evil}}
	for _, f := range []Format{Common, Combined, JSON} {
		line := f.Append(nil, ex, evil)
		if n := bytes.IndexByte(line, '\n'); n != len(line)-1 {
			t.Errorf("format %d: %q is more than one line", f, line)
		}
		if bytes.ContainsAny(line, "\r\x1b\x00") || !utf8.Valid(line) {
			t.Errorf("format %d: %q has control characters", f, line)
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		switch f {
		case Combined:
			if !apache.Match(line) {
				t.Errorf("%q has other fields", line)
			}
		case JSON:
			var got map[string]any
			if err := json.Unmarshal(line, &got); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			if want := strings.ToValidUTF8(evil, "\uFFFD"); got["user_agent"] != want || got["path"] != want || got["status"] != 201.0 {
				t.Errorf("%q became %q", want, got["user_agent"])
			}
		}
	}
}

// TestForged: no client can forge a line or a field.
func TestForged(t *testing.T) {
	for _, evil := range []string{
		"x\r\n203.0.113.9 - - [20/Nov/2026:10:00:01 +0100] \"GET / HTTP/1.1\" 200 1", `" 200 1 "`, `\`, `\"`, `\\"`, "a b", "\x1b[2J", "\x00", "\x7f",
		"\xff\xfe", "\u2028\u0085", "ä", "\xc3", `","status":500,"x":"`, "\b\f\t\v",
	} {
		forged(t, evil)
	}
}

func FuzzForged(f *testing.F) {
	f.Add("\r\n")
	f.Add(`\"`)
	f.Fuzz(forged)
}

// started runs a log until stop is called.
func started(t *testing.T, o Options) (l *Log, stop func()) {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return l, stop
}

func lines(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

// TestEnd: what was taken before the end is in the file after it, behind what was there.
func TestEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, stop := started(t, Options{Path: path})
	for range 1000 {
		l.Write(call(), "")
	}
	stop()
	if n := lines(t, path); n != 1001 {
		t.Errorf("%d lines", n)
	}
	l.Write(call(), "")
	if written, dropped := l.Lines(); written != 1000 || dropped != 1 {
		t.Errorf("%d written, %d dropped", written, dropped)
	}
}

// TestReopen is what logrotate does: rename, then a signal.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, stop := started(t, Options{Path: path})
	l.Write(call(), "")
	await(t, func() bool { return lines(t, path) == 1 })
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	await(t, func() bool { _, err := os.Stat(path); return err == nil })
	l.Write(call(), "")
	l.Write(call(), "")
	stop()
	if lines(t, path+".old") != 1 || lines(t, path) != 2 {
		t.Errorf("%d in the old file, %d in the new", lines(t, path+".old"), lines(t, path))
	}
}

func await(t *testing.T, ready func() bool) {
	t.Helper()
	late := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it does not happen")
		}
	}
}

// TestRotate: by size, the oldest goes, and no line does before its time.
func TestRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "access.log")
		size := int64(len(Combined.Append(nil, call(), "")))
		l, stop := started(t, Options{Path: path, MaxSize: 2 * size, Keep: 2})
		for range 9 {
			l.Write(call(), "")
			time.Sleep(time.Second) // of the bubble's clock: one flush for each
		}
		stop()
		for name, want := range map[string]int{"": 1, ".1": 2, ".2": 2, ".3": 0} {
			if n := lines(t, path+name); n != want {
				t.Errorf("access.log%s has %d lines, want %d", name, n, want)
			}
		}
		if written, dropped := l.Lines(); written != 9 || dropped != 0 {
			t.Errorf("%d written, %d dropped", written, dropped)
		}
	})
}

type stuck chan struct{}

func (s stuck) Write(p []byte) (int, error) { <-s; return len(p), nil }

// TestStuck: a pipe that nobody reads costs lines, not time, neither for calls nor at the end.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size := len(Combined.Append(nil, call(), ""))
		l, err := Open(Options{Path: "stdout", Memory: 3*size + 1, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		out := make(stuck)
		l.out = out
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		l.Write(call(), "")
		time.Sleep(time.Second) // it hangs in Write now
		for range 5 {
			l.Write(call(), "")
		}
		if _, dropped := l.Lines(); dropped != 2 {
			t.Errorf("%d dropped", dropped)
		}
		start := time.Now()
		cancel()
		if err := <-done; err == nil || time.Since(start) != farewell {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		close(out)
		synctest.Wait()
		if written, _ := l.Lines(); written != 4 {
			t.Errorf("%d written", written)
		}
	})
}

type broken struct{ err error }

func (b *broken) Write(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return len(p), nil
}

// TestFailing: a full disk is told once, and its lines are counted.
func TestFailing(t *testing.T) {
	var said bytes.Buffer
	l, err := Open(Options{Path: "stderr", Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	out := &broken{errors.New("no space")}
	l.out = out
	for range 3 {
		l.Write(call(), "")
		l.flush()
	}
	out.err = nil
	l.Write(call(), "")
	l.flush()
	if written, dropped := l.Lines(); written != 1 || dropped != 3 {
		t.Errorf("%d written, %d dropped", written, dropped)
	}
	if strings.Count(said.String(), "no space") != 1 || strings.Count(said.String(), "again") != 1 {
		t.Errorf("log: %s", said.String())
	}
}

// TestOpenFails: a path that cannot be is told at once.
func TestOpenFails(t *testing.T) {
	if _, err := Open(Options{Path: filepath.Join(t.TempDir(), "no", "access.log")}); err == nil || !strings.Contains(err.Error(), "access_log.path") {
		t.Errorf("%v", err)
	}
}
