package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/attach"
)

func newBackup() *cobra.Command {
	var f apiFlags
	var to string
	cmd := &cobra.Command{
		Use: "backup --api ID [--to FILE | s3://BUCKET/KEY]", Short: "Save an API Gateway's whole configuration",
		Long: "Writes everything that can be read of a REST or HTTP API: its working copy as AWS shows it, and\n" +
			"the export of every stage. It may hold secrets that integrations hold.",
		Example: "  tapway backup --api a1b2c3d4e5 --to a1b2c3d4e5.backup.json\n  tapway backup --api a1b2c3d4e5 --to s3://my-bucket/backup/a1b2c3d4e5.json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.state = to
			if done, err := f.policy(cmd, ""); done {
				return err
			}
			w, err := f.open(cmd)
			if err != nil {
				return err
			}
			defer w.show.end()
			if to == "" {
				to = f.api + ".backup.json"
			}
			store, err := w.store(to)
			if err != nil {
				return err
			}
			b, err := w.clients.Backup(cmd.Context(), f.api, "tapway "+versionText(), time.Now(), w.show.step)
			if err != nil {
				return err
			}
			if err := store.SaveBackup(cmd.Context(), b); err != nil {
				return err
			}
			w.show.end()
			fmt.Fprintf(cmd.OutOrStdout(), "%s API %s (%s) with %s is in %s.\n", b.API.Kind, b.API.ID, printable(b.API.Name), plural(int64(len(b.Exports)), "stage"), store)
			return nil
		},
	}
	f.add(cmd, false, false)
	cmd.Flags().StringVar(&to, "to", "", "file or s3://BUCKET/KEY (default: ID.backup.json)")
	return cmd
}

func newRestore() *cobra.Command {
	var f apiFlags
	var from string
	var yes, dryRun, asJSON bool
	cmd := &cobra.Command{
		Use: "restore --api ID --from FILE | s3://BUCKET/KEY", Short: "Put an API Gateway's integrations back to what a backup says",
		Long: "Shows the difference first, asks, and puts the integrations of existing routes back in the working\n" +
			"copy. What else differs it names. Nothing is live before you deploy.",
		Example: "  tapway restore --api a1b2c3d4e5 --from a1b2c3d4e5.backup.json --dry-run",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.state = from
			if done, err := f.policy(cmd, ""); done {
				return err
			}
			if from == "" {
				return usagef("say which backup with --from FILE or --from s3://BUCKET/KEY")
			}
			w, err := f.open(cmd)
			if err != nil {
				return err
			}
			defer w.show.end()
			p, err := w.planRestore(cmd, f.api, from)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), p)
			} else {
				printRestore(cmd, p)
			}
			if err != nil || dryRun || len(p.Routes) == 0 {
				return err
			}
			if !yes && !confirm(cmd, fmt.Sprintf("Put %s back in the working copy?", plural(int64(len(p.Routes)), "route"))) {
				return fmt.Errorf("nothing restored; --yes restores without asking")
			}
			if err := w.clients.Restore(cmd.Context(), p, w.show.step); err != nil {
				return err
			}
			w.show.end()
			fmt.Fprintf(cmd.ErrOrStderr(), "tapway: %s put back; deploy the API to make that live\n", plural(int64(len(p.Routes)), "route"))
			return nil
		},
	}
	f.add(cmd, false, false)
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "backup: file or s3://BUCKET/KEY")
	flags.BoolVar(&yes, "yes", false, "do not ask")
	flags.BoolVar(&dryRun, "dry-run", false, "show the difference and change nothing")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (w *awsWorld) planRestore(cmd *cobra.Command, api, from string) (*attach.RestorePlan, error) {
	store, err := w.store(from)
	if err != nil {
		return nil, err
	}
	b, err := store.LoadBackup(cmd.Context())
	if err != nil {
		return nil, err
	}
	if b.API.ID != api {
		return nil, fmt.Errorf("%s is a backup of API %s, not of %s", store, b.API.ID, api)
	}
	p, err := w.clients.PlanRestore(cmd.Context(), b, w.show.step)
	w.show.end()
	return p, err
}

func printRestore(cmd *cobra.Command, p *attach.RestorePlan) {
	out := cmd.OutOrStdout()
	for _, r := range p.Routes {
		fmt.Fprintf(out, "put back  %s\n", printable(r.Route))
		for _, d := range r.Differences {
			fmt.Fprintf(out, "    %s\n", printable(d.String()))
		}
	}
	for _, m := range p.Manual {
		fmt.Fprintf(out, "left      %s\n", printable(m))
	}
	if len(p.Routes)+len(p.Manual) == 0 {
		fmt.Fprintln(out, "The API's routes are as in the backup.")
	}
}
