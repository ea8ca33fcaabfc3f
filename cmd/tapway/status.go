package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/tapstate"
)

// apiStatus is what `tapway status` prints: the API, and the tap behind it.
type apiStatus struct {
	*attach.Status
	TapFrom string          `json:"tap_from,omitempty"` // who said which tap it is
	Tap     *tapstate.State `json:"tap,omitempty"`      // nil: not known, or not looked at
	Good    bool            `json:"good"`               // of both
}

func newStatus() *cobra.Command {
	var f apiFlags
	var tap tapFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status --api ID", Short: "Whether an API Gateway is still attached as it was, and how the tap behind it is",
		Long: "Compares the attached routes with what tapway made of them: routes that were changed, undone or\n" +
			"deleted, routes added since, a permission that is gone. Then looks at the tap: queues, the age of the\n" +
			"oldest record, dead letters, alarms, functions, and what the ledger's metrics add up to. The tap is the\n" +
			"one that `tapway deploy` left, else that of the attached function, unless flags name another.\n" +
			"What cannot be read is told with the permission that is missing; the rest is printed all the same.\n" +
			"Ends with exit status 1 when something was changed, an alarm is on, there are dead letters, or something\n" +
			"could not be read.",
		Example: "  tapway status --api a1b2c3d4e5 --region eu-west-1\n  tapway status --api a1b2c3d4e5 --json\n" +
			"  tapway status --api a1b2c3d4e5 --project shop --window 24h",
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := tap.check(cmd); err != nil {
				return err
			}
			if err := tap.settle(&f); err != nil {
				return err
			}
			if done, err := f.policyFor(cmd, attach.PolicyFor{Function: tap.proxyOf(f.api), Project: tap.projectOf(f.api), Tap: !tap.none}); done {
				return err
			}
			w, err := f.open(cmd)
			if err != nil {
				return err
			}
			defer w.show.end()
			tag, err := w.tag(cmd, f.api)
			if err != nil {
				return err
			}
			store, st, err := f.saved(cmd.Context(), w, tag)
			if errors.Is(err, attach.ErrNoState) && tag == "" || err == nil && st.Phase == attach.Detached && tag == "" {
				w.show.end()
				if asJSON {
					return printJSON(cmd.OutOrStdout(), map[string]any{"api": f.api, "phase": attach.Detached, "good": true})
				}
				fmt.Fprintf(cmd.OutOrStdout(), "API %s is not attached.\n", f.api)
				return nil
			}
			if err != nil {
				return err
			}
			s := &apiStatus{}
			if s.Status, err = (&attach.Runner{Clients: w.clients, Store: store, Progress: w.show.step}).Status(cmd.Context(), st); err != nil {
				return err
			}
			if err := tap.look(cmd.Context(), w, st, s); err != nil {
				return err
			}
			w.show.end()
			s.Good = s.Status.Good && (s.Tap == nil || s.Tap.Good)
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), s)
			} else {
				err = printStatus(cmd, s, &tap)
			}
			if err == nil && !s.Good {
				err = errSilent
			}
			return err
		},
	}
	f.add(cmd, false, true)
	tap.add(cmd)
	cmd.Flags().BoolVar(&tap.none, "no-tap", false, "look at the API only")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(cmd *cobra.Command, s *apiStatus, tap *tapFlags) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s API %s (%s), stage %s: %s since %s\nvia    %s\nstate  %s\n", s.Kind, s.API, printable(s.Name), s.Stage, s.Phase, s.Since, s.Via, s.State)
	if s.Canary > 0 {
		fmt.Fprintf(out, "canary %g %% of the calls; `tapway attach --api %s --promote` takes all\n", s.Canary, s.API)
	}
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROUTE\tWORKING COPY\tLIVE")
	for _, r := range s.Routes {
		live := "no"
		if r.Live {
			live = "yes"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", printable(r.Route), r.Working, live)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, key := range s.Added {
		fmt.Fprintf(out, "added since, not attached: %s\n", printable(key))
	}
	problems := s.Problems
	switch {
	case s.Tap != nil:
		if err := printTap(out, s); err != nil {
			return err
		}
		problems = append(problems, s.Tap.Problems...)
		for _, u := range s.Tap.Unread {
			problems = append(problems, u.Part+": "+u.Error)
		}
	case !tap.none:
		fmt.Fprintf(out, "\nWhich tap is behind the URL is not known: name it with --project, or with --queue and --function.\n")
	}
	for _, p := range problems {
		fmt.Fprintf(cmd.ErrOrStderr(), "tapway: %s\n", printable(p))
	}
	return nil
}
