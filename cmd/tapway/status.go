package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/attach"
)

func newStatus() *cobra.Command {
	var f apiFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status --api ID", Short: "Whether an API Gateway is still attached as it was, and what has changed since",
		Long: "Compares the attached routes with what tapway made of them: routes that were changed, undone or\n" +
			"deleted, routes added since, a permission that is gone. Ends with exit status 1 when there is any.",
		Example: "  tapway status --api a1b2c3d4e5 --region eu-west-1\n  tapway status --api a1b2c3d4e5 --json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if done, err := f.policy(cmd, ""); done {
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
			s, err := (&attach.Runner{Clients: w.clients, Store: store, Progress: w.show.step}).Status(cmd.Context(), st)
			w.show.end()
			if err != nil {
				return err
			}
			if err := printStatus(cmd, s, asJSON); err != nil {
				return err
			}
			if !s.Good {
				return errSilent
			}
			return nil
		},
	}
	f.add(cmd, false, true)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(cmd *cobra.Command, s *attach.Status, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		return printJSON(out, s)
	}
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
	for _, p := range s.Problems {
		fmt.Fprintf(cmd.ErrOrStderr(), "tapway: %s\n", printable(p))
	}
	return nil
}
