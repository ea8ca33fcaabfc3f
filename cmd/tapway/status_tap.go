package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/deploy"
	"github.com/tapway/tapway/internal/tapstate"
)

// tapFlags say which tap is behind an API.
type tapFlags struct {
	project, function, forwarder, remembered string
	queues, dead                             []string
	window                                   time.Duration
	none                                     bool

	answers *deploy.Answers // of the installation remembered; never nil after settle
}

func (f *tapFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.project, "project", "", "name of the installation, and beginning of the name of everything in it (default: what `tapway deploy` remembers, else what the attached function's name says)")
	flags.StringVar(&f.function, "function", "", "name of the proxy function (default: PROJECT-proxy, else the attached one)")
	flags.StringVar(&f.forwarder, "forwarder", "", "name of the forwarder function (default: PROJECT-forwarder)")
	flags.StringArrayVar(&f.queues, "queue", nil, "queue on SQS: sqs://NAME, URL or ARN; may be repeated (default: those that feed the forwarder)")
	flags.StringArrayVar(&f.dead, "dlq", nil, "dead-letter queue of the --queue in the same place; may be repeated (default: where the queue's redrive policy leads)")
	flags.DurationVar(&f.window, "window", time.Hour, "how far back functions and ledger are added up, a minute to 14 days")
	addRemembered(cmd, &f.remembered)
}

// addRemembered is the flag of commands whose --state is something else.
func addRemembered(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "deployment", deploy.AnswersFile, "file that `tapway deploy` remembers its answers in")
}

func (f *tapFlags) check(cmd *cobra.Command) error {
	for _, name := range []string{"project", "function", "forwarder", "deployment"} {
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			return usagef("--%s is empty (see %s --help)", name, cmd.CommandPath())
		}
	}
	switch {
	case slices.Contains(f.queues, "") || slices.Contains(f.dead, ""):
		return usagef("--queue or --dlq is empty (see %s --help)", cmd.CommandPath())
	case len(f.dead) > len(f.queues):
		return usagef("--dlq goes with a --queue: there are %d of it and %d queues", len(f.dead), len(f.queues))
	case f.window < time.Minute || f.window > tapstate.MaxWindow:
		return usagef("--window: want 1m to %gh, not %s", tapstate.MaxWindow.Hours(), f.window)
	}
	for _, list := range [][]string{f.queues, f.dead} {
		for i := range list {
			list[i] = strings.TrimPrefix(list[i], "sqs://")
		}
	}
	return nil
}

// settle reads what is remembered. It says region and profile too where it is about this API.
func (f *tapFlags) settle(api *apiFlags) (err error) {
	if f.answers, err = deploy.LoadAnswers(f.remembered); err != nil {
		return err
	}
	if f.about(api.api) {
		api.region, api.profile = firstOf(api.region, f.answers.Region), firstOf(api.profile, f.answers.Profile)
	}
	return nil
}

// about reports whether the installation remembered is attached to this API.
func (f *tapFlags) about(api string) bool {
	return f.answers.Began && api != "" && (f.answers.API == api || slices.Contains(f.answers.Attached, api))
}

// projectOf is the project that is known before AWS is asked.
func (f *tapFlags) projectOf(api string) string {
	if f.project == "" && f.about(api) {
		return f.answers.Project
	}
	return f.project
}

// proxyOf is the attached function as far as it is known before AWS is asked; "" if it is not.
func (f *tapFlags) proxyOf(api string) string {
	if project := f.projectOf(api); f.function == "" && project != "" {
		return project + "-proxy"
	}
	return f.function
}

// find says which tap it is, and who said so; from is "" when nobody did.
func (f *tapFlags) find(st *attach.State) (t tapstate.Tap, from string) {
	attached := ""
	if p := st.Plan.Permission; p != nil {
		attached = p.Function.ARN[strings.LastIndexByte(p.Function.ARN, ':')+1:]
	}
	t = tapstate.Tap{Project: f.project, Proxy: f.function, Forwarder: f.forwarder, Queues: f.queues, DeadLetters: f.dead}
	switch mine := f.answers.Project + "-proxy"; {
	case f.project != "" || f.function != "":
		return t, "flags"
	case f.answers.Began && (attached == mine || attached == "" && f.about(st.Before.ID)):
		t.Project, from = f.answers.Project, f.remembered
	case attached != "":
		t.Proxy, from = attached, "the attached function"
	}
	if f.forwarder != "" || len(f.queues) > 0 {
		from = "flags"
	}
	return t, from
}

// look adds the tap to the status, if it is known.
func (f *tapFlags) look(ctx context.Context, w *awsWorld, st *attach.State, s *apiStatus) error {
	t, from := f.find(st)
	if f.none || from == "" {
		return nil
	}
	queues, err := w.account.SQS()
	if err != nil {
		return err
	}
	metrics, err := w.account.CloudWatch()
	if err != nil {
		return err
	}
	r := &tapstate.Reader{SQS: queues, CloudWatch: metrics, Lambda: w.clients.Lambda, Window: f.window, Progress: w.show.step}
	s.TapFrom = from
	s.Tap, err = r.Read(ctx, t)
	return err
}

func printTap(out io.Writer, s *apiStatus) error {
	tap := s.Tap
	name := ""
	if tap.Project != "" {
		name = " " + tap.Project
	}
	fmt.Fprintf(out, "\nTap%s, as %s says\n\n", printable(name), s.TapFrom)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	hint := ""
	if tap.Project == "" {
		hint = "; name the installation with --project"
	}
	part := func(any bool, none string) bool {
		if !any {
			fmt.Fprintln(t, none)
		}
		return any
	}
	if part(len(tap.Queues) > 0, "Queues: none known"+hint) {
		fmt.Fprintln(t, "QUEUE\tVISIBLE\tIN FLIGHT\tDELAYED\tOLDEST\tDEAD LETTERS")
		for _, q := range tap.Queues {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(q.Name), depth(q.Visible), depth(q.InFlight), depth(q.Delayed), age(q.OldestAge), depth(q.Dead))
		}
	}
	fmt.Fprintln(t)
	if part(len(tap.Alarms) > 0, "Alarms: none known"+hint) {
		fmt.Fprintln(t, "ALARM\tSTATE\tSINCE")
		for _, a := range tap.Alarms {
			fmt.Fprintf(t, "%s\t%s\t%s\n", printable(a.Name), a.State, a.Since.Local().Format("2006-01-02 15:04 MST"))
		}
	}
	fmt.Fprintln(t)
	window := shortDuration(time.Duration(tap.Window * float64(time.Second)))
	if part(len(tap.Functions) > 0, "Functions: none known") {
		fmt.Fprintf(t, "FUNCTION, LAST %s\tINVOKED\tERRORS\tTHROTTLES\n", window)
		for _, f := range tap.Functions {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", printable(f.Name), sumText(f.Invocations), sumText(f.Errors), sumText(f.Throttles))
		}
	}
	l := &tap.Ledger
	fmt.Fprintf(t, "\nLEDGER, LAST %s\tCALLS\tCAPTURED\tLEFT OUT\tLOST\tSPILLED\tLOGGED\n\t%s\t%s\t%s\t%s\t%s\t%s\n", window,
		sumText(l.Calls), sumText(l.Captured), sumText(l.LeftOut), sumText(l.Lost), sumText(l.Spilled), sumText(l.Logged))
	if len(l.Destinations) > 0 {
		fmt.Fprintln(t, "\nDESTINATION\tDELIVERED\tRETURNED\tDEAD\tFILTERED")
		for _, d := range l.Destinations {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", printable(d.Destination), sumText(d.Delivered), sumText(d.Returned), sumText(d.Dead), sumText(d.Filtered))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "\n- is no datum: there was none, or CloudWatch, which is minutes behind, has it not yet.")
	return err
}

func depth(n *int) string {
	if n == nil {
		return "unknown"
	}
	return strconv.Itoa(*n)
}

func age(seconds *float64) string {
	if seconds == nil {
		return "unknown"
	}
	return shortDuration(time.Duration(*seconds * float64(time.Second)).Round(time.Second))
}

// sumText is a count; - where there is no datum.
func sumText(n *float64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatFloat(*n, 'f', -1, 64)
}

// shortDuration leaves out what is 0 at the end: 1h, not 1h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
