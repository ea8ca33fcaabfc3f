package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/deploy"
)

// readAPI reads an API and plans what attaching to it changes. An API that is attached
// already is left as it is.
func (d *deployment) readAPI(ctx context.Context, id, stage string, function *attach.Function) error {
	st, _, err := d.stateOf(ctx, id)
	if err != nil {
		return err
	}
	if d.attached = st != nil && st.Phase == attach.Attached; d.attached {
		d.api, d.plan = st.Before, st.Plan
		return nil
	}
	if d.api, err = d.clients.Read(ctx, id, stage, d.show.step); err != nil {
		return err
	}
	if err = d.clients.Identify(ctx, d.api); err != nil {
		return err
	}
	d.show.end()
	d.plan, err = attach.MakePlan(d.api, attach.Options{Function: function, IncludeDrift: d.includeDrift, MayInvoke: true}) // tapped sees to it
	return err
}

// stateOf loads the state of an API's attachment from where its tag says; nil if it has no such tag.
func (d *deployment) stateOf(ctx context.Context, id string) (st *attach.State, at string, err error) {
	tags, err := d.clients.Tags(ctx, id)
	if at = tags[attach.TagState]; err != nil || at == "" {
		return nil, "", err
	}
	store, err := d.store(at)
	if err == nil {
		st, err = store.Load(ctx)
	}
	return st, at, err
}

// tapped are the Lambda functions that the proxy function must be allowed to invoke: those of the plan, and
// those of APIs that are attached already, by whomever.
func (d *deployment) tapped(ctx context.Context) ([]string, error) {
	var all []string
	if d.plan != nil {
		all = slices.Clone(d.plan.Invokes)
	}
	callers, err := deploy.Callers(ctx, d.clients.Lambda, d.answers.Project+"-proxy")
	if err != nil {
		return nil, err
	}
	ids := slices.Concat(d.answers.Attached, callers)
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		st, at, err := d.stateOf(ctx, id)
		switch {
		case errors.Is(err, attach.ErrNoAPI):
		case errors.Is(err, attach.ErrNoState) || err != nil && strings.HasPrefix(at, "file:"): // on a machine of somebody else
			fmt.Fprintf(d.cmd.ErrOrStderr(), "tapway: warning: API %s leads to the proxy function, but nothing here knows whether it has Lambda functions that this must be allowed to invoke: %s\n", id, printable(err.Error()))
		case err != nil:
			return nil, fmt.Errorf("which functions API %s has: %w", id, err)
		case st != nil && st.Phase != attach.Detached:
			all = append(all, st.Plan.Invokes...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (d *deployment) store(location string) (*attach.Store, error) {
	return attach.OpenStore(location, func(bucket string) (tapway.BlobStore, error) { return d.account.Blobs(bucket) })
}

// attachTo attaches to the API, or goes on with an attach that was interrupted. The function
// gets its routes first: no call may come before them.
func (d *deployment) attachTo(ctx context.Context, o *deploy.Outputs) error {
	id, stage := d.answers.API, d.answers.Stage
	if o.Example != nil && d.answers.Example {
		id, stage = o.Example.APIID, o.Example.Stage
	}
	if id == "" || d.noAttach {
		return nil
	}
	function, err := d.clients.FindFunction(ctx, o.ProxyFunction)
	if err != nil {
		return err
	}
	if err := d.readAPI(ctx, id, stage, function); err != nil {
		return err
	}
	out := d.cmd.OutOrStdout()
	if d.attached {
		fmt.Fprintf(out, "API %s is attached already.\n", id)
		return d.remember(id)
	}
	if d.stops(true) {
		d.remains(id)
		return errSilent
	}
	store, err := d.store(deploy.StateLocation(o.Bucket, id))
	if err != nil {
		return err
	}
	st, err := store.Load(ctx)
	switch {
	case errors.Is(err, attach.ErrNoState) || err == nil && st.Phase == attach.Detached:
		if o.Example != nil && d.answers.Example {
			if err := printPlan(out, d.plan); err != nil {
				return err
			}
		}
		st = attach.NewState(d.api, d.plan, "tapway "+versionText(), store.Location(), time.Now())
	case err != nil:
		return err
	case st.Phase != attach.Attaching:
		return fmt.Errorf("API %s is half detached (%s); `tapway detach --api %[1]s` goes on with that", id, st.Phase)
	}
	for _, arn := range st.Plan.Invokes {
		if !slices.Contains(d.stack.Tapped, arn) {
			return fmt.Errorf("API %s calls function %s, which the proxy function may not invoke yet: somebody has edited the API meanwhile; run `tapway deploy` again", id, arn)
		}
	}
	bucket, err := d.account.Blobs(o.Bucket)
	if err != nil {
		return err
	}
	if st.Plan.RouteTable != nil {
		if err := bucket.Put(ctx, deploy.RouteKey(id), st.Plan.RouteTable); err != nil {
			return fmt.Errorf("give the function its routes: %w", err)
		}
	}
	if err := d.remember(id); err != nil { // before: destroy must know of an attach that was interrupted
		return err
	}
	r := &attach.Runner{Clients: d.clients, Store: store, Progress: d.show.step}
	err = r.Attach(ctx, st)
	d.show.end()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Attached: all calls of %s in stage %s pass through tapway.\n", plural(int64(len(st.Plan.Changes)), "route"), st.Before.Stage)
	fmt.Fprintf(out, "The original state is kept in %s. `tapway detach --api %s` puts it back.\n", store, id)
	return nil
}

func (d *deployment) remember(api string) error {
	if !slices.Contains(d.answers.Attached, api) {
		d.answers.Attached = append(d.answers.Attached, api)
	}
	return d.answers.Save(d.state)
}

// stops tells what stands in the way of attaching; whole with the edits or functions that are meant, which a plan
// that has been printed has named already.
func (d *deployment) stops(whole bool) bool {
	if d.plan == nil || d.attached {
		return false
	}
	stops := d.plan.Stops()
	for _, s := range stops {
		hint := ""
		if s.Flag != "" {
			hint = "; " + s.Flag + " attaches all the same"
		}
		fmt.Fprintf(d.cmd.ErrOrStderr(), "tapway: %s%s\n", printable(s.Text), hint)
		for i := 0; whole && i < len(s.More); i++ {
			fmt.Fprintf(d.cmd.ErrOrStderr(), "    %s\n", printable(s.More[i]))
		}
	}
	return len(stops) > 0
}

// remains tells what there is when Terraform has made everything and the API stops the attachment, and what to type next.
func (d *deployment) remains(api string) {
	out := d.cmd.ErrOrStderr()
	fmt.Fprintf(out, "\nAPI %s is as it was: nothing is attached to it. Everything else was made, and stays.\n", api)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	again, flags := d.command("deploy"), ""
	for _, s := range d.plan.Stops() {
		if s.Flag == "" { // there is no way round this one
			flags = ""
			break
		}
		if !strings.Contains(flags, s.Flag) {
			flags += " " + s.Flag
		}
	}
	if flags != "" {
		fmt.Fprintf(t, "  %s%s\tattaches all the same\n", again, flags)
	}
	fmt.Fprintf(t, "  %s\tattaches when what is named above is mended\n", again)
	fmt.Fprintf(t, "  %s\tremoves what was made\n", d.command("destroy"))
	_ = t.Flush()
}

// command is how to go on with this installation: the command with the flags that say which it is and what it is made with.
func (d *deployment) command(name string) string {
	line := "tapway " + name
	for _, flag := range []struct {
		name, value string
		of          string // the only command that has it
	}{{"config", d.config, ""}, {"state", d.deployFlags.state, ""}, {"dir", d.dir, ""}, {"terraform", d.terraform, ""}, {"package", d.pkg, "deploy"}} {
		if flag.value != "" && (flag.of == "" || flag.of == name) {
			line += " --" + flag.name + " " + quoted(flag.value)
		}
	}
	return line
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("/._-+:@%,", r) && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// present shows the plan; stop says that it cannot be carried out.
func (d *deployment) present(changes *deploy.Changes) (stop bool, err error) {
	out := d.cmd.OutOrStdout()
	if d.asJSON {
		var attachment *attach.Plan
		if d.plan != nil && !d.attached {
			attachment = d.plan.Public()
		}
		return true, printJSON(out, map[string]any{"account": d.answers.Account, "region": d.answers.Region, "project": d.answers.Project, "terraform": changes.List, "attach": attachment})
	}
	fmt.Fprintf(out, "\nInstallation %s, in %s:\n\n", d.answers.Project, d.tf.Dir)
	for _, c := range changes.List {
		fmt.Fprintf(out, "  %-7s  %s\n", c.Action, c.Address)
	}
	if len(changes.List) == 0 {
		fmt.Fprintln(out, "  nothing to change")
	}
	fmt.Fprintf(out, "\n%d to create, %d to change, %d to replace, %d to remove.\n\n", changes.Count("create"), changes.Count("update"), changes.Count("replace"), changes.Count("delete"))
	switch {
	case d.plan != nil && d.attached:
		fmt.Fprintf(out, "API %s is attached already.\n", d.api.ID)
	case d.plan != nil:
		if err := printPlan(out, d.plan); err != nil {
			return true, err
		}
	case d.answers.Example && !d.noAttach:
		fmt.Fprint(out, "Then the example API is attached to.\n\n")
	}
	if to, ok := d.callURL(d.api, d.plan); ok {
		fmt.Fprintf(out, "Then one test call: GET %s\n\n", to)
	}
	if d.stops(false) {
		fmt.Fprintln(d.cmd.ErrOrStderr(), "tapway: nothing was made or changed")
		return true, errSilent
	}
	return false, nil
}
