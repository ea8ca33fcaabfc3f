// Command tapway passes every call of an HTTP API on and delivers a record of each.
//
// One file per command. A command that reads state goes through the running process when
// there is one and opens the data directory when there is none (state.go); what it prints
// is for people, or JSON with --json. Exit status: 0 done, 1 failed, 2 used wrongly.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker in releases; otherwise the build's own information serves.
var version = ""

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main with its world as parameters.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := interruptible(errOut)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(errOut, "tapway: %v\n", err)
		return 2
	case errors.Is(err, errSilent):
		return 1
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 1
	case errors.Is(err, syscall.EPIPE): // `tapway export | head` is no failure
		return 0
	}
	fmt.Fprintf(errOut, "tapway: %v\n", err)
	return 1
}

// interruptible gives a context that ends with the first Ctrl-C or SIGTERM. The second one
// ends the process at once.
func interruptible(errOut io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			cancel()
		case <-done:
			return
		}
		select {
		case <-signals:
			fmt.Fprintln(errOut, "tapway: stopped at once")
			os.Exit(1)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// usageError is a mistake in how a command was called.
type usageError struct{ error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// errSilent fails a command that has said already what is wrong.
var errSilent = errors.New("failed")

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tapway",
		Short: "See every call that passes through an HTTP API, without breaking it",
		Long: "tapway stands in front of an HTTP API, passes every call on, and delivers one complete,\n" +
			"redacted JSON record per call to any HTTP destination, with no silent loss.",
		Example:       "  tapway demo\n  tapway serve --backend https://api.internal:8443 --destination https://siem.example.com/in",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return usagef("unknown command %q%s (tapway --help lists them)", args[0], hint)
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v (see %s --help)", err, cmd.CommandPath())
	})
	root.AddCommand(
		newDemo(), newServe(), newTail(), newDLQ(), newQueue(), newExport(), newReplay(), newLedger(),
		newDiscover(), newConfig(), newDoctor(), newVersion(),
	)
	return root
}

// args checks how many arguments a command gets, as a usage error.
func args(low, high int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if len(given) < low || len(given) > high {
			return usagef("%s wants %s, got %d arguments (see %s --help)", cmd.CommandPath(), names, len(given), cmd.CommandPath())
		}
		return nil
	}
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: args(0, 0, "no arguments"),
		Example: "  tapway version",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "tapway", versionText())
			return err
		},
	}
}

func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision := ""
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			revision = " " + s.Value[:12]
		}
	}
	return info.Main.Version + revision
}
