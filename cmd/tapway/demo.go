package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/demo"
)

func newDemo() *cobra.Command {
	var data string
	var quiet bool
	cmd := &cobra.Command{
		Use: "demo", Short: "Everything on this machine: example API, gateway, destination, sample traffic",
		Long: "Starts an example API, the gateway in front of it, a destination that prints every record\n" +
			"it receives, and clients that make sample calls. Everything listens on loopback only and\n" +
			"is gone after Ctrl-C, the data directory included unless --data names one.",
		Example: "  tapway demo",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), data, !quiet)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "keep the data in this directory (default: a temporary one)")
	cmd.Flags().BoolVar(&quiet, "no-traffic", false, "make no sample calls")
	return cmd
}

// demoStop is how long calls and deliveries under way may take after Ctrl-C.
const demoStop = 4 * time.Second

func runDemo(ctx context.Context, out io.Writer, data string, traffic bool) error {
	if data == "" {
		dir, err := os.MkdirTemp("", "tapway-demo-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		data = dir
	}
	api, err := serveLocal("127.0.0.1:8081", new(demo.API).Handler())
	if err != nil {
		return err
	}
	defer api.stop()
	sink := &demo.Sink{Out: out}
	destination, err := serveLocal("127.0.0.1:8082", sink)
	if err != nil {
		return err
	}
	defer destination.stop()

	c := config.Default()
	c.Listen, c.Admin.Listen = freePort("127.0.0.1:8080"), freePort("127.0.0.1:9090")
	c.Data, c.Backend = data, "http://"+api.addr
	c.Limits.ShutdownWindow = config.Duration(demoStop)
	c.Destinations, err = config.DestinationsFor("http://" + destination.addr + "/in")
	if err != nil {
		return err
	}
	a, err := app.New(c, app.Options{Version: versionText(), Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	result := make(chan error, 1)
	runCtx, stopGateway := context.WithCancel(context.Background())
	defer stopGateway()
	go func() { result <- a.RunNotify(runCtx, func() { close(ready) }) }()
	select {
	case err := <-result:
		return err
	case <-ready:
	}
	welcome(out, a.Addr(), a.AdminAddr(), api.addr, destination.addr, data)

	var clients sync.WaitGroup
	if traffic {
		clients.Go(func() { (&demo.Traffic{Gateway: "http://" + a.Addr()}).Run(ctx) })
	}
	select {
	case err = <-result:
	case <-ctx.Done():
		fmt.Fprintln(out, "\nStopping: calls under way end, records are delivered. Ctrl-C again stops at once.")
		clients.Wait()
		stopGateway()
		err = <-result
		fmt.Fprintf(out, "Stopped. The destination had received %s.\n", plural(sink.Received(), "record"))
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// local is a small server of the demo.
type local struct {
	addr string
	stop func()
}

func serveLocal(addr string, h http.Handler) (*local, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("listen on loopback: %w", err)
		}
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(l)
	return &local{l.Addr().String(), func() { s.Close() }}, nil
}

// freePort is addr if nobody listens there, else a port that is free.
func freePort(addr string) string {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "127.0.0.1:0"
	}
	l.Close()
	return addr
}

func welcome(out io.Writer, gateway, admin, api, sink, data string) {
	fmt.Fprintf(out, `
tapway demo

  clients ──▶ gateway ──▶ example API
                 │
                 ╰──▶ disk queue ──▶ destination

  gateway       http://%[1]s
  example API   http://%[3]s
  destination   http://%[4]s/in
  admin API     http://%[2]s
  data          %[5]s

Try, in another terminal:

  curl -i http://%[1]s/api/v1/users
  curl -i -X POST -H 'Content-Type: application/json' -d '{"name":"morpheus","job":"leader"}' http://%[1]s/api/v1/users
  curl -i -X POST -H 'Content-Type: application/json' -d '{"user":"neo","password":"secret"}' http://%[1]s/api/v1/login
  curl -N http://%[1]s/api/v1/events
  curl -o /dev/null http://%[1]s/api/v1/download
  curl -i http://%[1]s/api/v1/slow    # two seconds
  curl -i http://%[1]s/api/v1/fail    # a 500 from the API
  go run ./cmd/tapway tail --admin http://%[2]s
  go run ./cmd/tapway ledger --admin http://%[2]s
  go run ./cmd/tapway export --admin http://%[2]s --format har -o calls.har

Every call below has been recorded on disk before its response ended. Ctrl-C stops.

`, gateway, admin, api, sink, data)
}
