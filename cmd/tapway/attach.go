package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/deploy"
	"github.com/tapway/tapway/internal/filter"
)

// attachFlags are those of `tapway attach`.
type attachFlags struct {
	apiFlags
	via, routes, secretFile, out, table, emit  string
	yes, dryRun, includeDrift, promote, asJSON bool
	mayInvoke                                  bool
	canary                                     float64
	remembered                                 string // file of `tapway deploy`
	project                                    string // of the installation that via is taken from; "" if a flag gave it
}

func newAttach() *cobra.Command {
	var f attachFlags
	cmd := &cobra.Command{
		Use: "attach --api ID [--via lambda:FUNCTION | url:https://...]", Short: "Lead the calls of an API Gateway through tapway",
		Long: "Shows what would change, asks, saves the original state, and then changes it: either the routes'\n" +
			"integrations become tapway's proxy function (lambda:), or only their URLs change (url:). Without --via\n" +
			"it is the function that `tapway deploy` made, which then gets its routes as well. An attach\n" +
			"that fails takes itself back. One that was interrupted goes on when it is called again.",
		Example: "  tapway attach --api a1b2c3d4e5 --dry-run\n  tapway attach --api a1b2c3d4e5 --via lambda:tapway-proxy --dry-run\n" +
			"  tapway attach --api a1b2c3d4e5 --via url:https://tapway.example.com --secret-file secret.txt --state s3://my-bucket/tapway/a1b2c3d4e5.json",
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.defaultVia(); err != nil {
				return err
			}
			function, _ := strings.CutPrefix(f.via, "lambda:")
			if strings.HasPrefix(f.via, "url:") {
				function = ""
			} else if f.via == "" {
				function = "*"
			}
			if done, err := f.policyFor(cmd, attach.PolicyFor{Function: function, Project: f.project}); done {
				return err
			}
			return f.run(cmd)
		},
	}
	f.add(cmd, true, true)
	flags := cmd.Flags()
	flags.StringVar(&f.via, "via", "", "lambda:FUNCTION (name or ARN, with an alias if you like) or url:https://... (default: the proxy function that `tapway deploy` made)")
	addRemembered(cmd, &f.remembered)
	flags.StringVar(&f.routes, "routes", "", "filter over method, path and route: only these, such as \"path startsWith '/api/'\"")
	flags.StringVar(&f.secretFile, "secret-file", "", "with --via url: file with the secret that guards the URL; made if it is not there")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show the plan and change nothing")
	flags.StringVar(&f.out, "out", "", "write the plan to this file, JSON")
	flags.StringVar(&f.table, "route-table", "", "with --via lambda: write the routes for the function to s3://BUCKET/PREFIX/ (its TAPWAY_ROUTES), or to this file (openapi: in its configuration)")
	flags.StringVar(&f.emit, "emit", "", "print what the API's owner is to write instead, terraform or cloudformation, and change nothing")
	flags.BoolVar(&f.mayInvoke, "may-invoke", false, "with --via lambda: the function's role may invoke the Lambda functions behind the routes, which the plan lists")
	flags.BoolVar(&f.includeDrift, "include-drift", false, "deploy edits of others that are not deployed too")
	flags.Float64Var(&f.canary, "canary", 0, "percentage of a REST API stage's calls to begin with, by a canary")
	flags.BoolVar(&f.promote, "promote", false, "give an API that was attached with --canary all calls")
	flags.BoolVar(&f.asJSON, "json", false, "print the plan as JSON")
	return cmd
}

func (f *attachFlags) run(cmd *cobra.Command) error {
	if f.emit != "" && f.emit != "terraform" && f.emit != "cloudformation" {
		return usagef("--emit: %q is neither terraform nor cloudformation", f.emit)
	}
	o, function, err := f.options()
	if err != nil {
		return err
	}
	w, err := f.open(cmd)
	if err != nil {
		return err
	}
	defer w.show.end()
	ctx := cmd.Context()
	tag, err := w.tag(cmd, f.api)
	if err != nil {
		return err
	}
	store, st, err := f.saved(ctx, w, tag)
	switch {
	case errors.Is(err, attach.ErrNoState) && tag == "":
	case err != nil:
		return err
	case st.Phase == attach.Detached:
	default:
		return f.again(cmd, w, store, st, tag)
	}
	if f.promote {
		return fmt.Errorf("API %s is not attached; attach it with --canary first", f.api)
	}
	if f.via == "" {
		return usagef("say by which way with --via lambda:FUNCTION or --via url:https://...; or let `tapway deploy` make the function first: %s remembers none", f.remembered)
	}
	if function != "" {
		if o.Function, err = w.clients.FindFunction(ctx, function); err != nil {
			return err
		}
	}
	a, err := w.clients.Read(ctx, f.api, f.stage, w.show.step)
	if err != nil {
		return err
	}
	if o.Function != nil {
		if err := w.clients.Identify(ctx, a); err != nil {
			return err
		}
	}
	w.show.end()
	p, err := attach.MakePlan(a, o)
	if err != nil {
		return err
	}
	if f.emit != "" {
		return attach.Emit(cmd.OutOrStdout(), f.emit, p)
	}
	if stop, err := f.show(cmd, p); stop || err != nil {
		return err
	}
	if !f.yes && !confirm(cmd, fmt.Sprintf("Attach %s of %s API %s (%s), stage %s?", plural(int64(len(p.Changes)), "route"), a.Kind, a.ID, printable(a.Name), a.Stage)) {
		return fmt.Errorf("nothing attached; --yes attaches without asking")
	}
	if err := f.giveRoutes(cmd, w, p, function); err != nil {
		return err
	}
	if err := f.remember(); err != nil {
		return err
	}
	st = attach.NewState(a, p, "tapway "+versionText(), store.Location(), time.Now())
	return f.carryOut(cmd, w, store, st)
}

// defaultVia takes the function that `tapway deploy` made, in its region, where no flag says
// another way.
func (f *attachFlags) defaultVia() error {
	if f.via != "" {
		return nil
	}
	answers, err := deploy.LoadAnswers(f.remembered)
	if err != nil || !answers.Began || answers.Project == "" {
		return err
	}
	f.project, f.via = answers.Project, "lambda:"+answers.Project+"-proxy"
	f.region, f.profile = firstOf(f.region, answers.Region), firstOf(f.profile, answers.Profile)
	return nil
}

// remember tells `tapway deploy` and `tapway status` of an API that is attached to their function.
// It comes before the attach: destroy must know of one that was interrupted.
func (f *attachFlags) remember() error {
	if f.project == "" {
		return nil
	}
	answers, err := deploy.LoadAnswers(f.remembered)
	if err != nil || slices.Contains(answers.Attached, f.api) {
		return err
	}
	answers.Attached = append(answers.Attached, f.api)
	return answers.Save(f.remembered)
}

// giveRoutes writes the routes to where the function of `tapway deploy` looks for them, unless
// --route-table has put them somewhere.
func (f *attachFlags) giveRoutes(cmd *cobra.Command, w *awsWorld, p *attach.Plan, function string) error {
	if f.project == "" || f.table != "" || p.RouteTable == nil {
		return nil
	}
	at, err := w.clients.Routes(cmd.Context(), function)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(at, "s3://") {
		return fmt.Errorf("function %s has no TAPWAY_ROUTES that leads to a bucket, so it cannot get its routes; `tapway deploy` mends that, or say where they go with --route-table", function)
	}
	f.table = at
	return f.writeTable(cmd, p)
}

// options reads the flags that make a plan; function is the one of --via lambda:.
func (f *attachFlags) options() (o attach.Options, function string, err error) {
	o.IncludeDrift, o.MayInvoke, o.CanaryPercent = f.includeDrift, f.mayInvoke, f.canary
	if o.Routes, err = filter.Parse(f.routes); err != nil {
		return o, "", usagef("--routes: %v", err)
	}
	kind, rest, _ := strings.Cut(f.via, ":")
	switch {
	case f.via == "":
		return o, "", nil
	case kind == "lambda" && rest != "":
		return o, rest, nil
	case kind == "url" && rest != "":
		o.URL = rest
		if f.emit != "" && f.secretFile == "" {
			o.Secret = "put-the-secret-here"
			return o, "", nil
		}
		o.Secret, err = secretFrom(f.secretFile)
		return o, "", err
	}
	return o, "", usagef("--via: write lambda:FUNCTION or url:https://..., not %q", f.via)
}

// secretFrom reads the secret of a URL from a file, and makes both if there is none.
func secretFrom(path string) (tapway.Secret, error) {
	if path == "" {
		return "", usagef("--via url: needs a secret that tapway at the URL knows too: name a file with --secret-file; it is made if it is not there")
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret := make([]byte, 24)
		rand.Read(secret)
		text = []byte(hex.EncodeToString(secret) + "\n")
		err = writeNew(path, text)
	}
	if err != nil {
		return "", fmt.Errorf("the secret: %w", err)
	}
	return tapway.Secret(strings.TrimSpace(string(text))), nil
}

// again goes on with an API that has a state: an attach that was interrupted, or a canary.
func (f *attachFlags) again(cmd *cobra.Command, w *awsWorld, store *attach.Store, st *attach.State, tag string) error {
	w.show.end()
	out := cmd.OutOrStdout()
	switch {
	case st.Phase == attach.Attached && f.promote:
		r := &attach.Runner{Clients: w.clients, Store: store, Progress: w.show.step}
		if err := r.Promote(cmd.Context(), st); err != nil {
			return err
		}
		fmt.Fprintf(out, "Stage %s leads all calls to tapway.\n", st.Before.Stage)
		return nil
	case st.Phase == attach.Attached && tag == "":
		return fmt.Errorf("%s says that API %s is attached, but the API has no tag %s; `tapway status` tells more, `tapway detach` makes an end of it", store, f.api, attach.TagState)
	case st.Phase == attach.Attached:
		return fmt.Errorf("API %s is attached already, since %s; `tapway status --api %[1]s` tells more, `tapway detach --api %[1]s` takes it off", f.api, st.Began.Format("2006-01-02 15:04 MST"))
	case st.Phase != attach.Attaching:
		return fmt.Errorf("API %s is half detached (%s); `tapway detach --api %[1]s` goes on with that", f.api, st.Phase)
	case f.dryRun:
		fmt.Fprintf(out, "An attach of %s was interrupted; attaching goes on with its plan.\n", st.Began.Format("2006-01-02 15:04 MST"))
		_, err := f.show(cmd, st.Plan)
		return err
	}
	if !f.yes && !confirm(cmd, fmt.Sprintf("An attach of %s was interrupted. Go on with it? (`tapway detach` takes it back.)", st.Began.Format("2006-01-02 15:04 MST"))) {
		return fmt.Errorf("nothing changed; --yes goes on without asking")
	}
	return f.carryOut(cmd, w, store, st)
}

// show prints the plan and writes the files asked for; stop says that this is all.
func (f *attachFlags) show(cmd *cobra.Command, p *attach.Plan) (stop bool, err error) {
	out := cmd.OutOrStdout()
	if f.asJSON {
		err = printJSON(out, p.Public())
	} else {
		err = printPlan(out, p)
		switch {
		case p.Permission == nil || f.table != "":
		case f.project != "":
			fmt.Fprint(out, "The function's routes are written to where its TAPWAY_ROUTES says, before anything changes.\n\n")
		default:
			fmt.Fprint(out, "The function must know the routes before: --route-table s3://BUCKET/routes/ writes them to where TAPWAY_ROUTES says.\n\n")
		}
	}
	if err == nil && f.out != "" {
		err = writePlan(f.out, p)
	}
	inUse := strings.HasPrefix(f.table, "s3://") // the function reads it there at once
	stops := p.Stops()
	if err == nil && f.table != "" && p.RouteTable != nil && (f.dryRun && !inUse || !f.dryRun && len(stops) == 0) {
		err = f.writeTable(cmd, p)
	}
	if err != nil || f.dryRun {
		return true, err
	}
	if len(stops) == 0 {
		return false, nil
	}
	for _, s := range stops {
		hint := ""
		if s.Flag != "" {
			hint = "; " + s.Flag + " attaches all the same"
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "tapway: %s%s\n", printable(s.Text), hint)
	}
	return true, errSilent
}

// writeTable brings the route table to where the function finds it: a bucket, or a file for its
// package.
func (f *attachFlags) writeTable(cmd *cobra.Command, p *attach.Plan) error {
	text := append(p.RouteTable, '\n')
	prefix, inBucket := strings.CutPrefix(f.table, "s3://")
	if !inBucket {
		if err := attach.WriteFile(f.table, text); err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "tapway: the function's routes are in %s: put it into the function's package and name it by openapi: in its tapway.yaml, before you attach\n", f.table)
		return nil
	}
	bucket, key, _ := strings.Cut(prefix, "/")
	if bucket == "" || key != "" && !strings.HasSuffix(key, "/") {
		return usagef("--route-table: %q is neither a file nor s3://BUCKET/PREFIX/", f.table)
	}
	account, err := cloud.Open(cmd.Context(), f.region, f.profile)
	if err != nil {
		return err
	}
	defer account.Close()
	blobs, err := account.Blobs(bucket)
	if err != nil {
		return err
	}
	key += p.API + ".json"
	if err := blobs.Put(cmd.Context(), key, text); err != nil {
		return fmt.Errorf("write the route table: %w", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "tapway: the function's routes are in s3://%s/%s; it finds them there when TAPWAY_ROUTES (lambda.routes) is %s\n", bucket, key, f.table)
	return nil
}

func writePlan(path string, p *attach.Plan) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	err = printJSON(file, p.Public())
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (f *attachFlags) carryOut(cmd *cobra.Command, w *awsWorld, store *attach.Store, st *attach.State) error {
	r := &attach.Runner{Clients: w.clients, Store: store, Progress: w.show.step}
	err := r.Attach(cmd.Context(), st)
	w.show.end()
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	share := "All calls"
	if st.Plan.Canary > 0 {
		share = fmt.Sprintf("%g %% of the calls", st.Plan.Canary)
	}
	fmt.Fprintf(out, "Attached: %s of %s in stage %s pass through tapway.\n", share, plural(int64(len(st.Plan.Changes)), "route"), st.Before.Stage)
	fmt.Fprintf(out, "The original state is kept in %s. `tapway detach --api %s` puts it back.\n", store, st.Before.ID)
	return nil
}

func printPlan(out io.Writer, p *attach.Plan) error {
	fmt.Fprintf(out, "%s API %s (%s) in %s, stage %s, via %s\n\n", p.Kind, p.API, printable(p.Name), p.Region, p.Stage, p.Via)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range p.Changes {
		fmt.Fprintf(t, "  change\t%s\t%s\t→ %s\n", printable(c.Route), printable(c.From), printable(c.To))
	}
	for _, s := range p.Skipped {
		fmt.Fprintf(t, "  keep\t%s\t%s\t\n", printable(s.Route), printable(s.Reason))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if p.Permission != nil {
		fmt.Fprintf(out, "  allow   %s may call %s (statement %s)\n", p.Permission.SourceARN, p.Permission.Function.ARN, p.Permission.Statement)
	}
	fmt.Fprintf(out, "  deploy  stage %s\n", p.Stage)
	if p.Canary > 0 {
		fmt.Fprintf(out, "  canary  %g %% of its calls\n", p.Canary)
	}
	for _, w := range p.Warnings {
		mark := "warning"
		if w.Stops {
			mark = "STOP"
		}
		fmt.Fprintf(out, "\n%s: %s", mark, printable(w.Text))
		for _, more := range w.More {
			fmt.Fprintf(out, "\n    %s", printable(more))
		}
	}
	if len(p.Warnings) > 0 {
		fmt.Fprintln(out)
	}
	if len(p.Backends) > 0 {
		fmt.Fprintf(out, "\nThe tapway at %s needs this in its tapway.yaml:\n\n%s", strings.TrimPrefix(p.Via, "url:"), p.ServerConfig())
	}
	fmt.Fprintln(out)
	return nil
}
