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
	"path/filepath"
	"strings"
	"sync"
	"syscall"
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
		Example: "  tapway demo\n  tapway demo --no-traffic --data ./demo-data",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), data, !quiet)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "keep the data in this directory (default: a temporary one)")
	cmd.Flags().BoolVar(&quiet, "no-traffic", false, "make no sample calls")
	return cmd
}

// demoStop is how long calls under way may take after Ctrl-C; with the deliveries behind
// them the demo ends within five seconds.
const demoStop = 3 * time.Second

func runDemo(ctx context.Context, out, errOut io.Writer, data string, traffic bool) error {
	if data == "" {
		dir, err := os.MkdirTemp("", "tapway-demo-*")
		if err != nil {
			return err
		}
		remove := func() { os.RemoveAll(dir) }
		defer remove()
		onStopAtOnce(remove)
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
	c.Listen, c.Admin.Listen = "127.0.0.1:8080", "127.0.0.1:9090"
	c.Data, c.Backend = data, "http://"+api.addr
	c.Limits.ShutdownWindow = config.Duration(demoStop)
	c.Destinations, err = config.DestinationsFor("http://" + destination.addr + "/in")
	if err != nil {
		return err
	}
	options := app.Options{Version: versionText(), Log: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	a, err := app.New(c, options)
	if errors.Is(err, syscall.EADDRINUSE) { // another demo, or something else, has the usual ports
		c.Listen, c.Admin.Listen = freePort(c.Listen), freePort(c.Admin.Listen)
		a, err = app.New(c, options)
	}
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
		stopGateway()
		err = <-result
		clients.Wait()
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

// freePort is addr if nobody listens there, else any port.
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

  console       http://%[2]s/
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
  %[6]s tail --admin http://%[2]s
  %[6]s top --admin http://%[2]s
  %[6]s ledger --admin http://%[2]s
  %[6]s export --admin http://%[2]s --format har -o calls.har

What the destination receives: status, call, its time, what tapway added, size of the record.
Each was on disk before the response it tells of had ended. Ctrl-C stops.

`, gateway, admin, api, sink, data, invocation())
}

// invocation is how this program was started, to paste.
func invocation() string {
	if strings.Contains(filepath.ToSlash(os.Args[0]), "/go-build") {
		return "go run ./cmd/tapway"
	}
	return os.Args[0]
}
