package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/attach"
)

func newBackup() *cobra.Command {
	var f apiFlags
	var to string
	cmd := &cobra.Command{
		Use: "backup --api ID [--to FILE | s3://BUCKET/KEY]", Short: "Save an API Gateway's whole configuration",
		Long: "Writes everything that can be read of a REST or HTTP API: its working copy as AWS shows it, models,\n" +
			"authorizers and the like, the stages with their exports, and the security groups of the functions,\n" +
			"VPC links and endpoints that it reaches through. It may hold secrets that integrations hold.",
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
			for _, note := range b.Notes {
				fmt.Fprintf(cmd.ErrOrStderr(), "tapway: not in the backup: %s\n", printable(note))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s API %s (%s) with %s and %s is in %s.\n", b.API.Kind, b.API.ID, printable(b.API.Name),
				plural(int64(len(b.Exports)), "stage"), plural(int64(len(b.Groups)), "security group"), store)
			return nil
		},
	}
	f.add(cmd, false, false)
	cmd.Flags().StringVar(&to, "to", "", "file or s3://BUCKET/KEY (default: ID.backup.json)")
	return cmd
}

// restoreFlags are those of `tapway restore`.
type restoreFlags struct {
	apiFlags
	from                         string
	yes, dryRun, asJSON, makeNew bool
	attach.RestoreOptions
}

func newRestore() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use: "restore --api ID --from FILE | s3://BUCKET/KEY", Short: "Make an API Gateway what a backup says",
		Long: "Shows the difference first, asks, and then makes again what was deleted, changes what differs, points\n" +
			"the stages to the deployments they had, or to a new one where they are gone, and compares the exports\n" +
			"with those of the backup. One that was interrupted is finished by calling it again.\n" +
			"With --new it makes a new API (ids cannot be chosen) and says what still leads to the old one.",
		Example: "  tapway restore --api a1b2c3d4e5 --from a1b2c3d4e5.backup.json --dry-run\n" +
			"  tapway restore --api a1b2c3d4e5 --from s3://my-bucket/backup/a1b2c3d4e5.json --prune\n" +
			"  tapway restore --api a1b2c3d4e5 --from a1b2c3d4e5.backup.json --new",
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.printPolicy {
				text, err := attach.Policy(attach.PolicyFor{Command: "restore", API: f.api, Region: f.region, State: f.from, New: f.makeNew})
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), text)
				}
				return err
			}
			if f.from == "" {
				return usagef("say which backup with --from FILE or --from s3://BUCKET/KEY")
			}
			return f.run(cmd)
		},
	}
	f.add(cmd, false, false)
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "backup: file or s3://BUCKET/KEY")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show the difference and change nothing")
	flags.BoolVar(&f.asJSON, "json", false, "print the difference as JSON")
	flags.BoolVar(&f.Prune, "prune", false, "remove what the backup does not have")
	flags.BoolVar(&f.Force, "force", false, "restore an API that tapway is attached to")
	flags.BoolVar(&f.makeNew, "new", false, "make a new API of the backup; --api is the id in the backup")
	return cmd
}

func (f *restoreFlags) run(cmd *cobra.Command) error {
	w, err := f.open(cmd)
	if err != nil {
		return err
	}
	defer w.show.end()
	ctx := cmd.Context()
	store, err := w.store(f.from)
	if err != nil {
		return err
	}
	b, err := store.LoadBackup(ctx)
	if err != nil {
		return err
	}
	id := f.api
	if f.makeNew {
		if id = ""; b.API.ID != f.api {
			return fmt.Errorf("%s is a backup of API %s, not of %s", store, b.API.ID, f.api)
		}
	}
	p, err := w.clients.PlanRestore(ctx, b, id, f.RestoreOptions, w.show.step)
	w.show.end()
	if err != nil {
		return err
	}
	if f.asJSON {
		err = printJSON(cmd.OutOrStdout(), p)
	} else {
		printRestore(cmd.OutOrStdout(), b, p)
	}
	if err != nil || f.dryRun || len(p.Steps) == 0 && !f.makeNew {
		return err
	}
	question := fmt.Sprintf("Restore %s of %s API %s (%s)?", plural(int64(len(p.Steps)), "thing"), b.API.Kind, f.api, printable(b.API.Name))
	if f.makeNew {
		question = fmt.Sprintf("Make a new %s API of the backup of %s (%s)?", b.API.Kind, f.api, printable(b.API.Name))
	}
	if !f.yes && !confirm(cmd, question) {
		return fmt.Errorf("nothing restored; --yes restores without asking")
	}
	if f.makeNew {
		if p, err = f.fill(cmd, w, b); err != nil {
			return err
		}
	}
	if err := w.clients.Restore(ctx, p, w.show.step); err != nil {
		return fmt.Errorf("%w; the restore is not complete: call it again with --api %s and it goes on", err, p.API)
	}
	return f.prove(ctx, cmd, w, p)
}

// fill makes the new API, and plans what goes into it.
func (f *restoreFlags) fill(cmd *cobra.Command, w *awsWorld, b *attach.Backup) (*attach.RestorePlan, error) {
	id, err := w.clients.CreateFrom(cmd.Context(), b)
	if err != nil {
		return nil, err
	}
	w.show.end()
	fmt.Fprintf(cmd.OutOrStdout(), "The new API is %s. Should this be interrupted: tapway restore --api %s --from %s\n", id, id, f.from)
	p, err := w.clients.PlanRestore(cmd.Context(), b, id, f.RestoreOptions, w.show.step)
	if err == nil {
		for _, text := range p.Left {
			fmt.Fprintf(cmd.OutOrStdout(), "left      %s\n", printable(text))
		}
	}
	return p, err
}

// prove says of each stage whether it serves what the backup says.
func (f *restoreFlags) prove(ctx context.Context, cmd *cobra.Command, w *awsWorld, p *attach.RestorePlan) error {
	proofs, err := w.clients.Prove(ctx, p)
	w.show.end()
	if err != nil {
		return fmt.Errorf("everything is put back, but the proof failed: %w", err)
	}
	out, differ := cmd.ErrOrStderr(), 0
	for _, proof := range proofs {
		if proof.Equal {
			fmt.Fprintf(out, "tapway: stage %s: the export is the backup's\n", proof.Stage)
			continue
		}
		differ++
		fmt.Fprintf(out, "tapway: stage %s: the export is not the backup's:\n", proof.Stage)
		for _, d := range proof.Differences {
			fmt.Fprintf(out, "    %s\n", printable(d.String()))
		}
	}
	if differ > 0 {
		return fmt.Errorf("%s put back, but %s not what the backup says (above)", plural(int64(len(p.Steps)), "thing"), plural(int64(differ), "stage"))
	}
	return nil
}

var restoreWords = map[string]string{"make": "missing", "change": "changed", "remove": "remove"}

func printRestore(out io.Writer, b *attach.Backup, p *attach.RestorePlan) {
	for _, s := range p.Steps {
		fmt.Fprintf(out, "%-9s %s\n", restoreWords[s.Action], printable(s.What))
		for _, d := range s.Differences {
			fmt.Fprintf(out, "    %s\n", printable(d.String()))
		}
	}
	for _, text := range p.Extra {
		fmt.Fprintf(out, "extra     %s: not in the backup, stays (--prune removes it)\n", printable(text))
	}
	for _, text := range p.Left {
		fmt.Fprintf(out, "left      %s\n", printable(text))
	}
	if len(p.Live) > 0 && len(p.Steps) > 0 {
		fmt.Fprintf(out, "live      each step at once in stage %s, which deploys by itself\n", strings.Join(p.Live, ", "))
	}
	if len(p.Steps)+len(p.Extra)+len(p.Left) == 0 {
		fmt.Fprintf(out, "The API is as in the backup of %s.\n", b.Taken.Format(time.RFC3339))
	}
}
