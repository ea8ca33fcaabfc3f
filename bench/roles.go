package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/http1"
	"github.com/tapway/tapway/internal/proxy"
)

// runRole is this program as one of the servers.
func runRole(role string, args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch role {
	case "backend":
		return roleBackend(ctx)
	case "sink":
		return roleSink(ctx)
	case "peersink":
		return rolePeerSink(ctx, args)
	case "httputil":
		return roleHTTPUtil(ctx, args[0])
	case "bare":
		return roleBare(ctx, args[0])
	case "tapway":
		return roleTapway(ctx, args)
	case "floor":
		return roleFloor(ctx, args[0], args[1], args[2])
	case "syscalls":
		context.AfterFunc(ctx, func() { os.Exit(0) }) // it hangs in /next
		return roleSyscalls(args[0], args[1], args[2])
	}
	return fmt.Errorf("no role %q", role)
}

func ready(l net.Listener) { fmt.Println("ready", l.Addr()) }

// roleBackend answers every call with a JSON body whose size is the last path segment, as
// cheaply as it can be done: no HTTP library in between.
func roleBackend(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	answers := map[int][]byte{}
	for _, n := range []int{1 << 10, 10 << 10, 100 << 10} {
		body := jsonBody(n)
		answers[n] = append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
	}
	ready(l)
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		go answer(c, answers)
	}
}

func answer(c net.Conn, answers map[int][]byte) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 16<<10)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		size := 1 << 10
		if _, path, ok := bytes.Cut(line, []byte("/users/")); ok {
			n := 0
			for n < len(path) && path[n] >= '0' && path[n] <= '9' {
				n++
			}
			size, _ = strconv.Atoi(string(path[:n]))
		}
		if bytes.Contains(line, []byte("/stream/")) {
			_, path, _ := bytes.Cut(line, []byte("/stream/"))
			path, _, _ = bytes.Cut(path, []byte(" "))
			mib, _ := strconv.Atoi(string(path))
			stream(c, r, mib)
			return
		}
		length := int64(0)
		for {
			if line, err = r.ReadSlice('\n'); err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			if len(line) > 16 && bytes.EqualFold(line[:15], []byte("Content-Length:")) {
				length, _ = strconv.ParseInt(string(bytes.TrimSpace(line[15:])), 10, 64)
			}
		}
		if _, err := io.CopyN(io.Discard, r, length); err != nil {
			return
		}
		if _, err := c.Write(answers[size]); err != nil {
			return
		}
	}
}

// stream answers with many MiB.
func stream(c net.Conn, r *bufio.Reader, mib int) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) <= 2 {
			break
		}
	}
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", mib<<20)
	block := make([]byte, 1<<20)
	for range mib {
		if _, err := c.Write(block); err != nil {
			return
		}
	}
}

// roleSink takes records and counts them; GET /count tells how many.
func roleSink(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var records atomic.Int64
	s := &http1.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, records.Load())
			return
		}
		n, err := countLines(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		records.Add(n)
		w.WriteHeader(http.StatusNoContent)
	})}
	return serve(ctx, s, l)
}

func countLines(r io.Reader) (int64, error) {
	buf := make([]byte, 64<<10)
	n := int64(0)
	last := byte('\n')
	for {
		k, err := r.Read(buf)
		n += int64(bytes.Count(buf[:k], []byte("\n")))
		if k > 0 {
			last = buf[k-1]
		}
		if err == io.EOF {
			if last != '\n' {
				n++
			}
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func serve(ctx context.Context, s *http1.Server, l net.Listener) error {
	context.AfterFunc(ctx, func() { s.Close() })
	ready(l)
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// roleHTTPUtil is the yardstick: the standard library's reverse proxy, tuned, no capture.
func roleHTTPUtil(ctx context.Context, backend string) error {
	to, err := url.Parse(backend)
	if err != nil {
		return err
	}
	p := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to); r.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: p}
	context.AfterFunc(ctx, func() { s.Close() })
	ready(l)
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// roleBare is tapway's server, proxy stage and transport without any capture.
func roleBare(ctx context.Context, backend string) error {
	to, err := url.Parse(backend)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b := &proxy.Backend{Transport: &http1.Transport{}, Timeout: 11 * time.Second}
	return serve(ctx, &http1.Server{Handler: proxy.New(proxy.Settings{Router: fixedRouter{to.Host, b}})}, l)
}

type fixedRouter struct {
	host    string
	backend *proxy.Backend
}

func (f fixedRouter) Route(_ *http.Request, path, query string, hasQuery bool) (proxy.Hop, *proxy.Refusal) {
	return proxy.Hop{Backend: f.backend, Scheme: "http", Host: f.host, Path: path, Query: query, HasQuery: hasQuery}, nil
}

// roleTapway is the whole of it.
func roleTapway(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("tapway", flag.ContinueOnError)
	backend := f.String("backend", "", "")
	sink := f.String("sink", "", "")
	data := f.String("data", "", "")
	durability := f.String("durability", "commit", "")
	batch := f.Int("batch", 100, "")
	paused := f.Bool("paused", false, "")
	concurrency := f.Int("concurrency", 16, "")
	rules := f.String("rules", "", "")
	profile := f.String("profile", "", "")
	admin := f.String("admin", "off", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	c := config.Default()
	c.Listen, c.Admin.Listen, c.Data, c.Backend = "127.0.0.1:0", *admin, *data, *backend
	c.Capture.Durability = *durability
	if err := accessRules(c, *rules); err != nil {
		return err
	}
	if *sink != "" {
		var err error
		if c.Destinations, err = config.DestinationsFor(*sink); err != nil {
			return err
		}
		c.Destinations[0].Format = "ndjson"
		c.Destinations[0].Batch.MaxRecords = *batch
		c.Destinations[0].Batch.MaxBytes = 8 << 20
		c.Destinations[0].Concurrency = *concurrency
	}
	a, err := app.New(c, app.Options{Version: "bench", Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	if *paused {
		a.PauseAll("benchmark")
	}
	if *profile != "" {
		out, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer out.Close()
		if err := pprof.StartCPUProfile(out); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	defer app.HeapRoom(os.Getenv)()
	return a.RunNotify(ctx, func() { fmt.Println("ready", a.Addr()) })
}
