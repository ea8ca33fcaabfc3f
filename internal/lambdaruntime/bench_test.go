package lambdaruntime

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
)

// BenchmarkLoop is the cost of one invocation beside the handler's own work: /next, the handler's
// call, the reply. The API on the other side is a bare loop that shares the time.
func BenchmarkLoop(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10, 6 << 20} {
		b.Run(fmt.Sprint(size>>10, "KiB"), func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			served := make(chan error, 1)
			go func() { served <- serveBench(l, size, b.N, cancel) }()
			r := &Runtime{API: l.Addr().String(), Handler: HandlerFunc(func(_ context.Context, in *Invocation) (Reply, error) {
				return Reply{Body: in.Event}, nil
			})}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			b.ResetTimer()
			if err := r.Run(ctx); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			l.Close()
			if err := <-served; err != nil {
				b.Fatal(err)
			}
		})
	}
}

func serveBench(l net.Listener, size, n int, done func()) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	br := bufio.NewReader(c)
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n" +
		"Lambda-Runtime-Deadline-Ms: 4102444800000\r\nLambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:1:function:f\r\nContent-Length: " +
		strconv.Itoa(size) + "\r\n\r\n")
	answer = append(answer, bytes.Repeat([]byte("x"), size)...)
	for i := 0; ; i++ {
		if err := skipHead(br); err != nil {
			return err
		}
		if i == n {
			done()
			return nil
		}
		if _, err := c.Write(answer); err != nil {
			return err
		}
		if err := skipHead(br); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, br, int64(size)); err != nil {
			return err
		}
		if _, err := io.WriteString(c, accepted); err != nil {
			return err
		}
	}
}

func skipHead(br *bufio.Reader) error {
	for {
		line, err := br.ReadSlice('\n')
		if err != nil || len(line) == 2 {
			return err
		}
	}
}

// BenchmarkLoopNetHTTP is the same with net/http's client, as a yardstick.
func BenchmarkLoopNetHTTP(b *testing.B) {
	const size = 1 << 10
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- serveBench(l, size, b.N, func() {}) }()
	tr := &http.Transport{DisableCompression: true, MaxConnsPerHost: 1}
	client := &http.Client{Transport: tr}
	base := "http://" + l.Addr().String()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		resp, err := client.Get(base + "/next")
		if err != nil {
			b.Fatal(err)
		}
		event := make([]byte, resp.ContentLength)
		if _, err := io.ReadFull(resp.Body, event); err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp, err = client.Post(base+"/response", "application/json", bytes.NewReader(event)); err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	b.StopTimer()
	tr.CloseIdleConnections()
	l.Close()
	<-served
}
