//go:build unix

package http1

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkTransport compares calls per CPU-second of this process with net/http's Transport,
// interleaved in one run: 64 callers against a minimal backend in a process of its own.
func BenchmarkTransport(b *testing.B) {
	base := transportBenchBackend(b)
	for _, bc := range []struct {
		name, method string
		size         int
	}{{"GET-1KiB", "GET", 1 << 10}, {"GET-10KiB", "GET", 10 << 10}, {"POST-1KiB", "POST", 1 << 10}, {"POST-10KiB", "POST", 10 << 10}} {
		b.Run(bc.name, func(b *testing.B) {
			lean := &Transport{ResponseHeaderTimeout: time.Minute}
			std := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true, ResponseHeaderTimeout: time.Minute}
			defer lean.CloseIdleConnections()
			defer std.CloseIdleConnections()
			url := fmt.Sprintf("%s/%d", base, bc.size)
			var cpu, wall [2]time.Duration
			calls := 0
			for b.Loop() {
				const round = 4000
				for i, rt := range []http.RoundTripper{lean, std} {
					c, w := transportBenchRound(b, rt, bc.method, url, bc.size, round)
					cpu[i] += c
					wall[i] += w
				}
				calls += round
			}
			b.ReportMetric(transportBenchAllocs(b, lean, bc.method, url, bc.size), "allocs/call")
			b.ReportMetric(transportBenchAllocs(b, std, bc.method, url, bc.size), "nethttp-allocs/call")
			b.ReportMetric(float64(cpu[0].Nanoseconds())/float64(calls), "cpu-ns/call")
			b.ReportMetric(float64(cpu[1].Nanoseconds())/float64(calls), "nethttp-cpu-ns/call")
			b.ReportMetric(float64(cpu[1])/float64(cpu[0]), "x-calls/cpu")
			b.ReportMetric(float64(wall[1])/float64(wall[0]), "x-calls/s")
		})
	}
}

func transportBenchRound(b *testing.B, rt http.RoundTripper, method, url string, size, n int) (cpu, wall time.Duration) {
	payload := bytes.Repeat([]byte("x"), size)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	start, cpu0 := time.Now(), transportCPU()
	for range 64 {
		wg.Go(func() {
			buf := make([]byte, 32<<10)
			for left.Add(-1) >= 0 {
				var body io.Reader
				if method == "POST" {
					body = bytes.NewReader(payload)
				}
				req, _ := http.NewRequestWithContext(ctx, method, url, body)
				req.Header["Accept"] = []string{"application/json"}
				req.Header["User-Agent"] = []string{"bench"}
				resp, err := rt.RoundTrip(req)
				if err != nil {
					b.Error(err)
					return
				}
				got := 0
				for err == nil {
					var n int
					n, err = resp.Body.Read(buf)
					got += n
				}
				resp.Body.Close()
				if err != io.EOF || got != size {
					b.Errorf("%d bytes, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return transportCPU() - cpu0, time.Since(start)
}

func transportBenchAllocs(b *testing.B, rt http.RoundTripper, method, url string, size int) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	transportBenchRound(b, rt, method, url, size, 5000)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / 5000
}

func transportCPU() time.Duration {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// transportBenchBackend starts this test binary again as the backend.
func transportBenchBackend(b *testing.B) string {
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestTransportBenchBackend$")
	cmd.Env = append(os.Environ(), "TAPWAY_BENCH_BACKEND=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	in, _ := cmd.StdinPipe() // its end tells the backend to go
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(line)
}

// TestTransportBenchBackend is the backend of BenchmarkTransport when that starts it, and
// otherwise one call to it.
func TestTransportBenchBackend(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go transportBenchServe(nc)
		}
	}()
	if os.Getenv("TAPWAY_BENCH_BACKEND") != "" {
		fmt.Println(ln.Addr())
		io.Copy(io.Discard, os.Stdin)
		return
	}
	tr := &Transport{}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(transportRequest(t, "POST", "http://"+ln.Addr().String()+"/100", "0123456789"))
	if err != nil {
		t.Fatal(err)
	}
	if got := transportReadAll(t, resp); len(got) != 100 {
		t.Errorf("%d bytes", len(got))
	}
}

func transportBenchServe(nc net.Conn) {
	defer nc.Close()
	br := bufio.NewReaderSize(nc, 32<<10)
	var reply []byte
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return
		}
		if reply == nil {
			size := 0
			fmt.Sscanf(string(line[bytes.IndexByte(line, ' ')+2:]), "%d", &size)
			reply = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 20 Nov 2026 10:00:00 GMT\r\n"+
				"Server: bench\r\nX-Request-Id: 0123456789\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("y", size))
		}
		length := 0
		for len(line) > 2 {
			if line, err = br.ReadSlice('\n'); err != nil {
				return
			}
			if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				fmt.Sscanf(string(v), "%d", &length)
			}
		}
		if _, err := br.Discard(length); err != nil {
			return
		}
		if _, err := nc.Write(reply); err != nil {
			return
		}
	}
}
