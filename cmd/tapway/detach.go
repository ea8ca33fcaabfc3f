package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/attach"
)

func newDetach() *cobra.Command {
	var f apiFlags
	var o attach.DetachOptions
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use: "detach --api ID", Short: "Take tapway off an API Gateway, and prove that it is as before",
		Long: "First the stage is rolled back to the deployment it had, with one call. Then every route, the\n" +
			"permission and the tag are put back to the state saved by `tapway attach`, and compared with it,\n" +
			"as is the export of the stage. What others changed meanwhile stops it before anything is done.",
		Example: "  tapway detach --api a1b2c3d4e5 --region eu-west-1\n  tapway detach --api a1b2c3d4e5 --state s3://my-bucket/tapway/a1b2c3d4e5.json --yes",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if done, err := f.policy(cmd, "*"); done {
				return err
			}
			if o.KeepTheirs && o.Force {
				return usagef("--keep-theirs and --force exclude each other")
			}
			w, err := f.open(cmd)
			if err != nil {
				return err
			}
			defer w.show.end()
			tag, err := w.tag(cmd, f.api)
			if err != nil && (!errors.Is(err, attach.ErrNoAPI) || f.state == "") {
				return err
			}
			store, st, err := f.saved(cmd.Context(), w, tag)
			if errors.Is(err, attach.ErrNoState) && tag == "" {
				return fmt.Errorf("API %s is not attached: it has no tag %s, and %w", f.api, attach.TagState, err)
			}
			if err != nil {
				return err
			}
			w.show.end()
			if !yes && st.Phase != attach.Detached && !confirm(cmd, fmt.Sprintf("Put %s of %s API %s (%s), stage %s, back to the state of %s?",
				plural(int64(len(st.Plan.Changes)), "route"), st.Before.Kind, st.Before.ID, printable(st.Before.Name), st.Before.Stage, st.Began.Format("2006-01-02 15:04 MST"))) {
				return fmt.Errorf("nothing detached; --yes detaches without asking")
			}
			r := &attach.Runner{Clients: w.clients, Store: store, Progress: w.show.step}
			report, err := r.Detach(cmd.Context(), st, o)
			w.show.end()
			if err != nil {
				return detachError(err, st)
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), report)
			} else {
				printDetach(cmd.OutOrStdout(), st, report)
			}
			if err == nil && len(report.Left) > 0 {
				return errSilent
			}
			return err
		},
	}
	f.add(cmd, false, true)
	flags := cmd.Flags()
	flags.BoolVar(&yes, "yes", false, "do not ask")
	flags.BoolVar(&o.KeepTheirs, "keep-theirs", false, "leave routes that others changed since as they are now")
	flags.BoolVar(&o.Force, "force", false, "put them back to what they were before the attach all the same")
	flags.BoolVar(&o.IncludeDrift, "include-drift", false, "if a new deployment is needed, deploy edits of others that are not deployed too")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// tag is where an API says that its state lies; "" if it does not.
func (w *awsWorld) tag(cmd *cobra.Command, api string) (string, error) {
	tags, err := w.clients.Tags(cmd.Context(), api)
	return tags[attach.TagState], err
}

// detachError says how to go on after a detach that failed under way.
func detachError(err error, st *attach.State) error {
	var conflict *attach.ConflictError
	if errors.As(err, &conflict) || st.Phase != attach.Detaching {
		return err
	}
	return fmt.Errorf("%w; detach again to go on from there", err)
}

func printDetach(out io.Writer, st *attach.State, r *attach.Report) {
	if r.RolledBack != "" {
		fmt.Fprintf(out, "Stage %s serves deployment %s again.\n", st.Before.Stage, r.RolledBack)
	}
	if r.Redeployed != "" {
		fmt.Fprintf(out, "Somebody had deployed to stage %s since, so it serves a new deployment, %s.\n", st.Before.Stage, r.Redeployed)
	}
	fmt.Fprintf(out, "%s put back.\n", plural(int64(len(r.Restored)), "route"))
	if len(r.Kept) > 0 {
		fmt.Fprintf(out, "Left as others made them: %s.\n", strings.Join(r.Kept, ", "))
	}
	for _, other := range r.Others {
		fmt.Fprintln(out, "Changed by others, left so:", printable(other))
	}
	switch {
	case r.Equal:
		fmt.Fprintln(out, "Proof: the export of the stage equals the one before the attach.")
	case r.Proven:
		fmt.Fprintln(out, "Proof: the export of every route put back equals the one before the attach.")
	}
	for _, left := range r.Left {
		fmt.Fprintln(out, "Not finished:", printable(left))
	}
}
