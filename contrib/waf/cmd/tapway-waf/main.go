// Command tapway-waf is tapway's serve with a web application firewall: Coraza and the OWASP Core
// Rule Set. Everything else (tail, dlq, export, …) the tapway command does, for this process as well.
//
// Exit status: 0 done, 1 failed, 2 used wrongly.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/contrib/waf"
	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
)

// version is set by the linker in releases; otherwise the build's own information serves.
var version = ""

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its world as parameters.
func run(args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	root := newRoot(errOut)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if errors.Is(err, errSilent) {
		return 1
	}
	fmt.Fprintf(errOut, "tapway-waf: %v\n", err)
	if errors.As(err, new(*usageError)) {
		return 2
	}
	return 1
}

// usageError is a mistake in how a command was called.
type usageError struct{ error }

func noArguments(cmd *cobra.Command, given []string) error {
	if len(given) == 0 {
		return nil
	}
	return &usageError{fmt.Errorf("%s wants no arguments, got %q (see %[1]s --help)", cmd.CommandPath(), given[0])}
}

func newRoot(errOut io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use: "tapway-waf", Short: "tapway with a web application firewall",
		Long: "tapway-waf is `tapway serve` with a web application firewall: Coraza and the OWASP Core Rule Set.\n" +
			"Everything else the tapway command does, for this process as well.",
		Example:      "  tapway-waf check\n  tapway-waf serve -c tapway.yaml --waf waf.yaml --mode detect",
		SilenceUsage: true, SilenceErrors: true, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
	})
	root.AddCommand(newServe(errOut), newCheck(), newAccess())
	versionFlag(root)
	return root
}

// versionFlag gives cmd --version. Cobra's own needs a template, and text/template makes the linker
// keep methods that nobody calls.
func versionFlag(cmd *cobra.Command) {
	asked := cmd.Flags().BoolP("version", "v", false, "version for "+cmd.Name())
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *asked {
			fmt.Fprintln(cmd.OutOrStdout(), "tapway-waf", versionText())
			return nil
		}
		return run(cmd, args)
	}
}

func newServe(errOut io.Writer) *cobra.Command {
	var given settings
	cmd := &cobra.Command{
		Use: "serve", Short: "Gateway, firewall, queue and forwarder in one process",
		Long: "Serves as `tapway serve` does, and asks the firewall about every call that the other rules let pass.\n" +
			"In detect mode every call passes, and its record names the rules that would have refused it.\n" +
			"SIGHUP or POST /reload on the admin address reads tapway.yaml, waf.yaml and the files of rules again.",
		Example: "  tapway-waf serve --backend http://127.0.0.1:3000 --destination http://127.0.0.1:4000/in\n" +
			"  tapway-waf serve -c tapway.yaml --mode block --paranoia 2",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, &given, errOut) },
	}
	given.flags(cmd)
	cmd.Flags().StringVarP(&given.file, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	for _, f := range gatewayFlags {
		cmd.Flags().String(f.name, "", f.help)
	}
	return cmd
}

func serve(cmd *cobra.Command, given *settings, errOut io.Writer) error {
	file := given.file
	if file == "" {
		file = found("tapway.yaml")
	}
	source := config.Source{File: file, Set: map[string]string{}, Resolve: cloud.Secrets(cmd.Context())}
	for _, f := range gatewayFlags {
		if flag := cmd.Flags().Lookup(f.name); flag.Changed {
			source.Set[f.key] = flag.Value.String()
		}
	}
	c, err := config.Load(source)
	if err != nil {
		return err
	}
	log, memory := newLog(c.Log, errOut), new(waf.Memory)
	rules := func() ([]access.Decider, error) {
		settings, name, err := given.load(cmd)
		if err != nil {
			return nil, err
		}
		firewall, err := waf.New(settings, memory, log)
		if err != nil {
			return nil, err
		}
		log.Info("firewall", "mode", settings.Mode, "paranoia", settings.Paranoia, "threshold", settings.Threshold, "rules", firewall.Rules(), "file", name)
		return []access.Decider{firewall}, nil
	}
	a, err := app.New(c, app.Options{Version: versionText(), Log: log, Source: source, Rules: rules})
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	go func() {
		for {
			select {
			case <-hangups:
				a.Reload() // it logs what became of it
			case <-cmd.Context().Done():
				return
			}
		}
	}()
	return a.Run(cmd.Context())
}

func newCheck() *cobra.Command {
	var given settings
	cmd := &cobra.Command{
		Use: "check", Short: "Tell what is wrong with waf.yaml and the files of rules it names",
		Example: "  tapway-waf check\n  tapway-waf check --waf /etc/tapway/waf.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, name, err := given.load(cmd)
			if err != nil {
				return err
			}
			firewall, err := waf.New(c, new(waf.Memory), nil)
			if err != nil {
				return err
			}
			if name == "" {
				name = "no waf.yaml, the defaults"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: good. mode %s, paranoia %d, threshold %d, %d rules.\n", name, c.Mode, c.Paranoia, c.Threshold, firewall.Rules())
			return nil
		},
	}
	given.flags(cmd)
	return cmd
}

// settings are where the firewall's configuration is, and what goes before it.
type settings struct {
	file, waf, mode string
	paranoia        int
}

func (s *settings) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.waf, "waf", "", "the firewall's configuration (default: waf.yaml beside tapway.yaml if it is there)")
	cmd.Flags().StringVar(&s.mode, "mode", "", "detect or block (default: what waf.yaml says, else detect)")
	cmd.Flags().IntVar(&s.paranoia, "paranoia", 0, "paranoia level, 1 to 4 (default: what waf.yaml says, else 1)")
}

// load gives the firewall's configuration and the name of its file, "" for none.
func (s *settings) load(cmd *cobra.Command) (c waf.Config, file string, err error) {
	if file = s.waf; file == "" {
		file = found(filepath.Join(filepath.Dir(s.file), "waf.yaml"))
	}
	if c = waf.Default(); file != "" {
		if c, err = waf.Load(file); err != nil {
			return c, file, err
		}
	}
	if cmd.Flags().Changed("mode") {
		c.Mode = s.mode
	}
	if cmd.Flags().Changed("paranoia") {
		c.Paranoia = s.paranoia
	}
	if err = c.Check(); err != nil { // the file was good: it is the flags
		return c, file, &usageError{fmt.Errorf("--%w", err)}
	}
	return c, file, nil
}

// found is name if there is such a file, otherwise "".
func found(name string) string {
	if _, err := os.Stat(name); err != nil {
		return ""
	}
	return name
}

// gatewayFlags are those of `tapway serve`.
var gatewayFlags = []struct{ name, key, help string }{
	{"backend", "backend", "URL of the API to stand in front of"},
	{"destination", "destinations", "URL to deliver records to"},
	{"listen", "listen", "address of the gateway (default :8080)"},
	{"admin", "admin.listen", `address of the admin API, or "off" (default 127.0.0.1:9090)`},
	{"data", "data", "data directory (default ./tapway-data)"},
	{"queue", "queue", "disk, or an SQS queue as sqs://NAME, its URL or its ARN (default disk)"},
}

func newLog(c config.Log, w io.Writer) *slog.Logger {
	level := map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[c.Level]
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
