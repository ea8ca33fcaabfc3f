package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/deploy"
)

func newDestroy() *cobra.Command {
	var f deployFlags
	cmd := &cobra.Command{
		Use: "destroy", Short: "Take off what `tapway deploy` attached, prove it, and remove what it made",
		Long: "Detaches every API first and proves that it is as before; then looks for records that were not\n" +
			"delivered, and only then has Terraform remove the functions, the queues and the bucket.\n" +
			"It stops while an API still calls the proxy function, and while there are records to lose.",
		Example: "  tapway destroy\n  tapway destroy --yes --state tapway.deploy.json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := f.open(cmd)
			if err != nil {
				return err
			}
			defer d.show.end()
			if f.printPolicy {
				return d.policy()
			}
			return d.destroy(cmd.Context())
		},
	}
	f.addCommon(cmd)
	cmd.Flags().BoolVar(&f.discard, "discard", false, "lose records that were not delivered")
	return cmd
}

func (d *deployment) destroy(ctx context.Context) error {
	a := d.answers
	if !a.Began && (a.StateBucket == "" || a.Project == "") { // else Terraform's state knows what there is
		return fmt.Errorf("%s knows of no installation; name the file of `tapway deploy` with --state, or say --project and --state-bucket", d.state)
	}
	var err error
	if d.tf, err = deploy.FindTerraform(ctx, d.terraform, ""); err != nil {
		return err
	}
	who, err := d.identify(ctx)
	if err != nil {
		return err
	}
	out := d.cmd.OutOrStdout()
	fmt.Fprintf(out, "Account %s, as %s, in %s.\n", a.Account, who, a.Region)
	if err := d.findDirectory(); err != nil {
		return err
	}
	if err := d.tf.Init(ctx); err != nil {
		return err
	}
	outputs, err := d.tf.Outputs(ctx)
	if err != nil {
		return err
	}
	changes, err := d.tf.Plan(ctx, true)
	d.show.end()
	if err != nil {
		return err
	}
	attached, err := d.attachments(ctx, outputs)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nInstallation %s, in %s:\n\n", a.Project, d.tf.Dir)
	for _, one := range attached {
		fmt.Fprintf(out, "  detach   %s API %s (%s), stage %s: %s\n", one.state.Before.Kind, one.state.Before.ID, printable(one.state.Before.Name), one.state.Before.Stage, plural(int64(len(one.state.Plan.Changes)), "route"))
	}
	for _, c := range changes.List {
		fmt.Fprintf(out, "  %-7s  %s\n", c.Action, c.Address)
	}
	fmt.Fprintln(out)
	if !d.yes && !d.ask.confirm(fmt.Sprintf("Detach %s and remove all of this for good?", plural(int64(len(attached)), "API"))) {
		return errors.New("nothing done; --yes does it without asking")
	}
	if err := d.detach(ctx, attached); err != nil {
		return err
	}
	if err := d.nothingToLose(ctx, outputs); err != nil {
		return err
	}
	if len(changes.List) > 0 {
		if err := d.remove(ctx, outputs, len(changes.List)); err != nil {
			return err
		}
	}
	a.Began, a.Attached = false, nil
	if err := a.Save(d.state); err != nil {
		return err
	}
	fmt.Fprintf(out, "Removed: %s. The answers stay in %s.\n", plural(int64(len(changes.List)), "resource"), d.state)
	return nil
}

// findDirectory uses Terraform's directory as deploy left it, or makes a bare one when only the
// state in S3 is left.
func (d *deployment) findDirectory() error {
	d.tf.Dir = d.directory()
	if _, err := os.Stat(filepath.Join(d.tf.Dir, "main.tf")); err == nil {
		return nil
	}
	if d.answers.StateBucket == "" {
		return fmt.Errorf("%s is gone, and with it Terraform's state, which knows what was made; name the right one with --dir", d.tf.Dir)
	}
	_, pathStyle := deploy.Emulated(os.Getenv)
	return (&deploy.Stack{Project: d.answers.Project, Region: d.answers.Region, StateBucket: d.answers.StateBucket, PathStyle: pathStyle, Lock: d.tf.AtLeast(1, 10)}).WriteBare(d.tf.Dir)
}

// attachment is an API that leads to this installation.
type attachment struct {
	store *attach.Store
	state *attach.State
}

// attachments finds the APIs that deploy attached, and those that somebody else did. One that
// leads here and whose original state nobody knows stops everything.
func (d *deployment) attachments(ctx context.Context, o *deploy.Outputs) ([]attachment, error) {
	callers, err := []string(nil), error(nil)
	if o.ProxyFunction != "" {
		if callers, err = deploy.Callers(ctx, d.clients.Lambda, o.ProxyFunction); err != nil {
			return nil, err
		}
	}
	ids := slices.Concat(d.answers.Attached, callers)
	slices.Sort(ids)
	var found []attachment
	for _, id := range slices.Compact(ids) {
		tags, err := d.clients.Tags(ctx, id)
		if errors.Is(err, attach.ErrNoAPI) {
			continue // it was deleted, and calls nobody
		}
		if err != nil {
			return nil, err
		}
		location := tags[attach.TagState]
		if location == "" && o.Bucket != "" {
			location = deploy.StateLocation(o.Bucket, id) // an attach may have ended before the tag, a detach after it
		}
		store, err := d.store(location)
		if err != nil {
			return nil, err
		}
		st, err := store.Load(ctx)
		switch {
		case errors.Is(err, attach.ErrNoState) && !slices.Contains(callers, id):
		case errors.Is(err, attach.ErrNoState):
			return nil, fmt.Errorf("API %s may still call %s, and its original state is not at %s; if Terraform or CloudFormation attached it, take it off there, else `tapway detach --api %[1]s --state ...`", id, o.ProxyFunction, location)
		case err != nil:
			return nil, err
		case st.Phase == attach.Detached && slices.Contains(callers, id):
			return nil, fmt.Errorf("API %s may still call %s, although tapway was taken off it: somebody else leads it there; remove that first", id, o.ProxyFunction)
		case st.Phase != attach.Detached:
			found = append(found, attachment{store, st})
		}
	}
	return found, nil
}

// detach takes every attachment off, with its proof.
func (d *deployment) detach(ctx context.Context, all []attachment) error {
	out := d.cmd.OutOrStdout()
	for _, one := range all {
		id := one.state.Before.ID
		r := &attach.Runner{Clients: d.clients, Store: one.store, Progress: d.show.step}
		report, err := r.Detach(ctx, one.state, attach.DetachOptions{})
		d.show.end()
		if err != nil {
			return fmt.Errorf("API %s: %w; nothing was removed: detach it with `tapway detach --api %[1]s`, which has --keep-theirs and --force, and destroy again", id, detachError(err, one.state))
		}
		fmt.Fprintf(out, "API %s:\n", id)
		printDetach(out, one.state, report)
		if len(report.Left) > 0 {
			return fmt.Errorf("API %s: something is left, so nothing was removed; run `tapway destroy` again", id)
		}
		d.answers.Attached = slices.DeleteFunc(d.answers.Attached, func(s string) bool { return s == id })
		if err := d.answers.Save(d.state); err != nil {
			return err
		}
	}
	return nil
}

// nothingToLose stops while there are records that were not delivered.
func (d *deployment) nothingToLose(ctx context.Context, o *deploy.Outputs) error {
	if d.discard || o.Bucket == "" {
		return nil
	}
	w, err := d.watcher(o)
	if err != nil {
		return err
	}
	depths, err := w.Depths(ctx)
	if err != nil {
		return err
	}
	var left []string
	for _, q := range depths {
		for what, n := range map[string]int{"waiting for " + q.Destination: q.Waiting + q.UnderWay, "dead letters of " + q.Destination: q.Dead} {
			if n > 0 {
				left = append(left, fmt.Sprintf("%d %s", n, what))
			}
		}
	}
	bucket, err := d.account.Blobs(o.Bucket)
	if err != nil {
		return err
	}
	_, spilled, err := deploy.Contents(ctx, bucket)
	if err != nil {
		return err
	}
	if spilled > 0 {
		left = append(left, fmt.Sprintf("%d that SQS did not take, in the bucket", spilled))
	}
	if len(left) == 0 {
		return nil
	}
	slices.Sort(left)
	return fmt.Errorf("there are records that were not delivered: %s; destroy again when they are (`tapway queue stats`, `tapway dlq`, `tapway queue recover`), or lose them with --discard", strings.Join(left, ", "))
}

// remove empties the bucket and has Terraform remove the rest.
func (d *deployment) remove(ctx context.Context, o *deploy.Outputs, total int) error {
	if o.Bucket != "" {
		bucket, err := d.account.Blobs(o.Bucket)
		if err != nil {
			return err
		}
		kept, err := deploy.Empty(ctx, bucket, d.tf.Dir, d.show.step)
		if err != nil {
			return err
		}
		for _, path := range kept {
			fmt.Fprintf(d.cmd.OutOrStdout(), "Kept: the saved state of an API, %s\n", path)
		}
	}
	err := d.tf.Apply(ctx, total)
	d.show.end()
	return err
}
