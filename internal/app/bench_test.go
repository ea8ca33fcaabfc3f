package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/config"
)

// flood is a connection without a system underneath: it sends one request over and over, and the
// client's end is nobody. What a call costs over it is tapway's own.
type flood struct {
	request string
	left    int
	at      int
	closed  chan struct{}
	once    sync.Once
}

func (f *flood) Read(p []byte) (int, error) {
	if f.at == len(f.request) {
		if f.left--; f.left <= 0 {
			return 0, io.EOF
		}
		f.at = 0
	}
	n := copy(p, f.request[f.at:])
	f.at += n
	return n, nil
}

func (f *flood) Write(p []byte) (int, error)      { return len(p), nil }
func (f *flood) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (f *flood) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711} }
func (f *flood) SetDeadline(time.Time) error      { return nil }
func (f *flood) SetReadDeadline(time.Time) error  { return nil }
func (f *flood) SetWriteDeadline(time.Time) error { return nil }
func (f *flood) Close() error                     { f.once.Do(func() { close(f.closed) }); return nil }

// one is a listener with one connection.
type one struct{ conns chan net.Conn }

func (l one) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l one) Close() error   { return nil }
func (l one) Addr() net.Addr { return &net.TCPAddr{} }

// floodConns is how many of them share the writes of their records, as the connections of a flood do.
const floodConns = 64

// BenchmarkRefused is what a refused call costs from its first byte read to its record appended,
// without the system's share for sockets.
func BenchmarkRefused(b *testing.B) {
	for _, rule := range []string{"key", "rate", "policy"} {
		b.Run(rule, func(b *testing.B) { benchmarkRefused(b, rule) })
	}
}

func benchmarkRefused(b *testing.B, rule string) {
	c := config.Default()
	c.Listen, c.Admin.Listen, c.Data, c.Backend = "127.0.0.1:0", "off", b.TempDir(), "http://127.0.0.1:9"
	c.Capture.Durability = "write"
	switch rule {
	case "key":
		c.Access.APIKeys = []config.APIKey{{Name: "other", Value: partnerKey}}
	case "rate":
		c.Access.Throttle = &config.Throttle{Rate: 0.001, Burst: 1}
	case "policy":
		c.Access.ResourcePolicy = filepath.Join(c.Data, "policy.json")
		policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"},
			{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*","Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}}]}`
		if err := os.WriteFile(c.Access.ResourcePolicy, []byte(policy), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	a, err := New(c, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	for name, body := range map[string]string{"GET": "", "POST 1 KiB": `"` + strings.Repeat("x", 1022) + `"`} {
		b.Run(name, func(b *testing.B) {
			method, _, _ := strings.Cut(name, " ")
			request := method + " /api/v1/users/573?a=1 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench\r\n" +
				"X-Api-Key: nobody-0123456789abcdefghij\r\nAccept: */*\r\n"
			if body != "" {
				request += "Content-Type: application/json\r\nContent-Length: 1024\r\n"
			}
			request += "\r\n" + body
			floods := make([]*flood, floodConns)
			l := one{make(chan net.Conn, floodConns)}
			for i := range floods {
				floods[i] = &flood{closed: make(chan struct{}), left: b.N/floodConns + 1, request: request, at: len(request)}
				l.conns <- floods[i]
			}
			b.ReportAllocs()
			end := reportCPU(b)
			b.ResetTimer()
			ended := make(chan error)
			go func() { ended <- a.server.Serve(l) }()
			for _, f := range floods {
				<-f.closed
			}
			b.StopTimer()
			end()
			close(l.conns)
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				b.Error(err)
			}
		})
	}
}
