package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
)

func newServe() *cobra.Command {
	var file string
	flags := map[string]*string{}
	cmd := &cobra.Command{
		Use: "serve", Short: "Gateway, queue and forwarder in one process",
		Long: "Passes every call on to the backend, stores a record of each on disk before the response\n" +
			"ends, and delivers it to the destinations. SIGHUP or POST /reload on the admin address\n" +
			"reads the configuration again without dropping a connection.",
		Example: "  tapway serve --backend http://127.0.0.1:3000 --destination http://127.0.0.1:4000/in\n  tapway serve -c tapway.yaml",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			source := config.Source{File: configFile(file), Set: map[string]string{}, Resolve: cloud.Secrets(cmd.Context())}
			for key, value := range flags {
				if name := flagNames[key]; cmd.Flags().Changed(name) {
					source.Set[key] = *value
				}
			}
			c, err := config.Load(source)
			if err != nil {
				return flagProblems(err)
			}
			a, err := app.New(c, app.Options{Version: versionText(), Log: newLog(c.Log), Source: source})
			if err != nil {
				return err
			}
			stop := onHangup(cmd.Context(), func() { a.Reload() }) // it logs what became of it
			defer stop()
			return a.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	for key, name := range flagNames {
		flags[key] = cmd.Flags().String(name, "", flagHelp[key])
	}
	return cmd
}

// flagNames are the keys of the configuration that have a flag.
var flagNames = map[string]string{
	"listen": "listen", "admin.listen": "admin", "data": "data", "backend": "backend", "destinations": "destination",
}

var flagHelp = map[string]string{
	"listen": "address of the gateway (default :8080)", "admin.listen": `address of the admin API, or "off" (default 127.0.0.1:9090)`,
	"data": "data directory (default ./tapway-data)", "backend": "URL of the API to stand in front of", "destinations": "URL to deliver records to",
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
