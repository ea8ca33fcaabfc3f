package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
)

func newServe() *cobra.Command {
	var given settings
	cmd := &cobra.Command{
		Use: "serve", Short: "Gateway, queue and forwarder in one process",
		Long: "Passes every call on to the backend, stores a record of each on disk before the response\n" +
			"ends, and delivers it to the destinations. SIGHUP or POST /reload on the admin address\n" +
			"reads the configuration again without dropping a connection.\n\n" +
			"With an SQS queue (queue: sqs://NAME) records go from the disk to SQS, and from there to the\n" +
			"destinations, by this process and by every `tapway forward`. AWS region and credentials are\n" +
			"found as the AWS CLI finds them.",
		Example: "  tapway serve --backend http://127.0.0.1:3000 --destination http://127.0.0.1:4000/in\n  tapway serve -c tapway.yaml\n" +
			"  tapway serve --backend http://127.0.0.1:3000 --queue sqs://records",
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, source, err := given.load(cmd, false)
			if err != nil {
				return err
			}
			a, err := app.New(c, app.Options{Version: versionText(), Log: newLog(c.Log), Source: source, Explain: explainCall(given.file, c.Data)})
			if err != nil {
				return startHint(err)
			}
			stop := onHangup(cmd.Context(), func() { a.Reload() }) // it logs what became of it
			defer stop()
			defer app.HeapRoom(os.Getenv)()
			return startHint(a.Run(cmd.Context()))
		},
	}
	given.flags(cmd, slices.Collect(maps.Keys(flagNames))...)
	return cmd
}

// startHint says what to do about what the system refuses a gateway that starts.
func startHint(err error) error {
	var at *fs.PathError
	var bind *net.OpError
	switch {
	case errors.As(err, &bind) && bind.Op == "listen":
		switch {
		case errors.Is(err, fs.ErrPermission):
			return fmt.Errorf("%w: a port below 1024 wants root, or CAP_NET_BIND_SERVICE as the unit in the packages has it", err)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return fmt.Errorf("%w: this machine has no such address, and \":PORT\" is all that it has", err)
		}
	case errors.As(err, &at) && errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; the user who runs tapway must own the data directory and what is in it: chown -R USER DIRECTORY", err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w; make room there, or name another directory with data: or --data", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; name a directory that can be written with data: or --data", err)
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w; nothing was changed. The disk does not read: see the kernel's log (dmesg), and \"The disk does not read\" in docs/troubleshooting.md", err)
	}
	return err
}

// settings are the configuration file and the keys that have a flag.
type settings struct {
	file   string
	values map[string]*string
}

// flags adds --config and the flags of keys to a command.
func (s *settings) flags(cmd *cobra.Command, keys ...string) {
	cmd.Flags().StringVarP(&s.file, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	s.values = map[string]*string{}
	for _, key := range keys {
		s.values[key] = cmd.Flags().String(flagNames[key], "", flagHelp[key])
	}
}

// load reads the configuration. forwards: no backend is needed.
func (s *settings) load(cmd *cobra.Command, forwards bool) (*config.Config, config.Source, error) {
	source := config.Source{File: configFile(s.file), Set: map[string]string{}, Forwards: forwards, OTel: true, Resolve: cloud.Secrets(cmd.Context())}
	for key, value := range s.values {
		if cmd.Flags().Changed(flagNames[key]) {
			source.Set[key] = *value
		}
	}
	c, err := config.Load(source)
	if err != nil {
		return nil, source, flagProblems(err)
	}
	return c, source, nil
}

// flagNames are the keys of the configuration that have a flag.
var flagNames = map[string]string{
	"listen": "listen", "admin.listen": "admin", "data": "data", "queue": "queue", "backend": "backend", "destinations": "destination",
}

var flagHelp = map[string]string{
	"listen": "address of the gateway (default :8080)", "admin.listen": `address of the admin API, or "off" (default 127.0.0.1:9090)`,
	"data": "data directory (default ./tapway-data)", "queue": "disk, or an SQS queue as sqs://NAME, its URL or its ARN (default disk)",
	"backend": "URL of the API to stand in front of", "destinations": "URL to deliver records to",
}

// flagProblems names the flag that a value came from, and makes what only the command line
// is to blame for a usage error.
func flagProblems(err error) error {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return err
	}
	usage := true
	for i, p := range problems {
		key, _, _ := strings.Cut(p.Key, "[")
		switch p.File {
		case config.CommandLine:
			problems[i].File, problems[i].Key = "--"+flagNames[key], ""
		case config.Nowhere:
		default:
			usage = false
		}
	}
	if usage {
		return &usageError{problems}
	}
	return problems
}

// onHangup calls reload at every SIGHUP until stop is called.
func onHangup(ctx context.Context, reload func()) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for {
			select {
			case <-hangups:
				reload()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		cancel()
	}
}

func newLog(c config.Log) *slog.Logger {
	level := map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[c.Level]
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
