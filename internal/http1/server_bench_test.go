package http1

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

type benchServer interface {
	Serve(net.Listener) error
	Close() error
}

// BenchmarkServer compares this server with net/http's: 64 raw keep-alive clients in all.
func BenchmarkServer(b *testing.B) {
	kib := bytes.Repeat([]byte("x"), 1<<10)
	get := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(kib)
	}
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	}
	headers := "Host: api.example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer abcdefghijklmnop\r\n"
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		request string
	}{
		{"get1KiB", get, "GET /api/v1/users HTTP/1.1\r\n" + headers + "\r\n"},
		{"post1KiB", echo, "POST /api/v1/users HTTP/1.1\r\n" + headers + "Content-Length: 1024\r\n\r\n" + strings.Repeat("y", 1<<10)},
		{"post10KiB", echo, "POST /api/v1/users HTTP/1.1\r\n" + headers + "Content-Length: 10240\r\n\r\n" + strings.Repeat("y", 10<<10)},
	} {
		b.Run(c.name+"/nethttp", func(b *testing.B) { benchmarkServer(b, &http.Server{Handler: c.handler}, c.request) })
		b.Run(c.name+"/http1", func(b *testing.B) { benchmarkServer(b, &Server{Handler: c.handler}, c.request) })
	}
}

func benchmarkServer(b *testing.B, s benchServer, request string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve(l)
	defer s.Close()
	b.ReportAllocs()
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		br := bufio.NewReader(conn)
		for pb.Next() {
			if _, err := io.WriteString(conn, request); err != nil {
				b.Error(err)
				return
			}
			length := 0
			for {
				line, err := br.ReadSlice('\n')
				if err != nil {
					b.Error(err)
					return
				}
				if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
					for _, c := range v[:len(v)-2] {
						length = length*10 + int(c-'0')
					}
				}
				if len(line) == 2 {
					break
				}
			}
			if n, err := br.Discard(length); err != nil || n == 0 {
				b.Error(n, err)
				return
			}
		}
	})
}
