// Command tapway passes every call of an HTTP API on and delivers a record of each.
//
// One file per command. A command that reads state goes through the running process when
// there is one, and opens the data directory or asks SQS when there is none (state.go); what it prints
// is for people, or JSON with --json. Exit status: 0 done, 1 failed, 2 used wrongly.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/suggest"
)

// version is set by the linker in releases; otherwise the build's own information serves.
var version = ""

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main with its world as parameters.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	signal.Ignore(syscall.SIGPIPE) // writing to a pipe that nobody reads is an error, not the end
	ctx, stop := interruptible(errOut)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	var status *admin.StatusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(*usageError)), errors.As(err, &status) && status.Status == http.StatusBadRequest:
		fmt.Fprintf(errOut, "tapway: %v\n", err)
		return 2
	case errors.Is(err, errSilent):
		return 1
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 1
	case errors.Is(err, syscall.EPIPE): // `tapway export | head` is no failure
		return 0
	case errors.Is(err, syscall.ECONNREFUSED) && errors.As(err, new(*admin.ConnectError)):
		err = fmt.Errorf("%w; nothing listens there: is `tapway serve` running, and is this its admin address?", err)
	case errors.As(err, new(tls.RecordHeaderError)) && errors.As(err, new(*admin.ConnectError)):
		err = fmt.Errorf("%w; it speaks no TLS: write http://", err)
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
			atOnce.Lock()
			for _, clean := range atOnce.clean {
				clean()
			}
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

// atOnce is what even a stop at once does: it must take no time.
var atOnce struct {
	sync.Mutex
	clean []func()
}

func onStopAtOnce(clean func()) {
	atOnce.Lock()
	defer atOnce.Unlock()
	atOnce.clean = append(atOnce.clean, clean)
}

// usageError is a mistake in how a command was called.
type usageError struct{ error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// errSilent fails a command that has said already what is wrong.
var errSilent = errors.New("failed")

// moreCommands are those of builds with tags.
var moreCommands []func() *cobra.Command

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tapway",
		Short: "See every call that passes through an HTTP API, without breaking it",
		Long: "tapway stands in front of an HTTP API, passes every call on, and delivers one complete,\n" +
			"redacted JSON record per call to any HTTP destination, with no silent loss.",
		Example:       "  tapway demo\n  tapway serve --backend https://api.internal:8443 --destination https://siem.example.com/in",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if given := cmd.Flags().Args(); cmd.HasSubCommands() && len(given) > 0 { // the flag may be one of what was meant
			return unknownCommand(cmd, given[0])
		}
		return usagef("%s%s (see %s --help)", flagMistake(err), flagMeant(cmd, err), cmd.CommandPath())
	})
	group(root,
		newDemo(), newServe(), newForward(), newTail(), newTop(), newConsole(), newSearch(), newMCP(), newDLQ(), newQueue(), newExport(), newReplay(), newLedger(),
		newDiscover(), newAttach(), newDetach(), newStatus(), newBackup(), newRestore(), newDeploy(), newDestroy(), newCost(), newTune(),
		newAccess(), newKeys(), newEgress(), newCache(), newAlarm(), newConfig(), newDoctor(), newVersion(),
	)
	for _, more := range moreCommands {
		root.AddCommand(more())
	}
	versionFlag(root)
	strictly(root)
	return root
}

// versionFlag gives cmd --version. Cobra's own needs a template, and text/template makes the linker keep
// every method of the AWS clients: 15 MB.
func versionFlag(cmd *cobra.Command) {
	asked := cmd.Flags().BoolP("version", "v", false, "version for "+cmd.Name())
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *asked {
			fmt.Fprintln(cmd.OutOrStdout(), "tapway", versionText())
			return nil
		}
		return run(cmd, args)
	}
}

// group makes a command of commands: alone it shows its help, and a word it does not know
// is a mistake.
func group(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(children...)
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
	return cmd
}

func unknownCommand(cmd *cobra.Command, word string) error {
	hint := ""
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	where := ""
	if cmd.HasParent() {
		where = cmd.CommandPath() + ": "
	}
	return usagef("%sunknown command %q%s (%s --help lists them)", where, word, hint, cmd.CommandPath())
}

// strictly makes cobra's own commands refuse words that they do not know, as all others do.
func strictly(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			group(cmd)
		case "help":
			help := cmd.Run
			cmd.Run = nil
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				about, rest, err := root.Find(args)
				if err != nil || len(rest) > 0 && about.HasSubCommands() {
					return unknownCommand(about, rest[0])
				}
				help(cmd, args)
				return nil
			}
		}
	}
}

// unknownFlag is how pflag tells of one, flagsThere how its help names those that there are.
var (
	unknownFlag = regexp.MustCompile(`^unknown flag: --([\w-]+)`)
	flagsThere  = regexp.MustCompile(`(?m)^ +(?:-\w, +)?--([\w-]+)`)
)

// flagMeant is a hint at the flag that somebody meant who wrote one that is not there.
func flagMeant(cmd *cobra.Command, err error) string {
	wrong := unknownFlag.FindStringSubmatch(err.Error())
	if wrong == nil {
		return ""
	}
	var known []string
	for _, there := range flagsThere.FindAllStringSubmatch(cmd.Flags().FlagUsages(), -1) {
		known = append(known, there[1])
	}
	if near := suggest.Closest(wrong[1], known); near != "" {
		return "; did you mean --" + near + "?"
	}
	return ""
}

// parseMistake is how pflag tells of a value it cannot read.
var parseMistake = regexp.MustCompile(`^invalid argument ("(?:[^"\\]|\\.)*") for "(?:-\w, )?(--[\w-]+)" flag: strconv\.Parse(\w+)`)

func flagMistake(err error) string {
	m := parseMistake.FindStringSubmatch(err.Error())
	if m == nil {
		return err.Error()
	}
	want := "a number"
	switch m[3] {
	case "Int":
		want = "a whole number"
	case "Bool":
		want = "true or false"
	}
	return fmt.Sprintf("%s: %s is not %s", m[2], m[1], want)
}

// args checks how many arguments a command gets, as a usage error.
func args(low, high int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if len(given) < low || len(given) > high {
			return usagef("%s wants %s, got %s (see %[1]s --help)", cmd.CommandPath(), names, plural(int64(len(given)), "argument"))
		}
		return nil
	}
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: args(0, 0, "no arguments"),
		Example: "  tapway version\n  tapway version --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"version": versionText(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "tapway", versionText())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
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
