// Package mototest starts moto, somebody else's emulator of AWS, for tests: what a fake of our own and
// we misunderstand alike, it may not. Without moto_server a test is skipped, and fails where CI is set.
package mototest

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Start runs moto_server on a free port of loopback until the test ends, and gives its URL.
func Start(t *testing.T) (url string) {
	t.Helper()
	path, err := exec.LookPath("moto_server")
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("moto_server is missing here: pip install moto[server]")
		}
		t.Fatal("moto_server is missing: pip install moto[server]")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-H", "127.0.0.1", "-p", port) // #nosec G204 -- a test server
	var output bytes.Buffer                                              // read only when the server is gone
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &output, &output, 5*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { cmd.Wait(); close(gone) }()
	t.Cleanup(func() { cancel(); <-gone })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url = "http://" + address
	for deadline := time.Now().Add(time.Minute); ; {
		if res, err := client.Get(url + "/moto-api/"); err == nil {
			res.Body.Close()
			return url
		}
		select {
		case <-gone:
			t.Fatalf("moto_server ended: %s\nIs it complete? pip install moto[server]", output.String())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			cancel()
			<-gone
			t.Fatalf("moto_server does not answer: %s", output.String())
		}
	}
}
