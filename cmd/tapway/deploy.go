package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/deploy"
)

// deployFlags are those of `tapway deploy`; destroy has some of them.
type deployFlags struct {
	config, state, dir, terraform           string
	pkg, call, receive                      string
	given                                   deploy.Answers // what flags say
	headers                                 []string
	rate                                    float64
	wait                                    time.Duration
	yes, dryRun, printPolicy, asJSON        bool
	noAttach, noCall, includeDrift, discard bool
}

func newDeploy() *cobra.Command {
	var f deployFlags
	cmd := &cobra.Command{
		Use: "deploy", Short: "Make tapway's side of an AWS account by Terraform, and attach it to an API",
		Long: "Asks for what flags, tapway.yaml (aws:) and tapway.deploy.json do not answer, shows what would be made\n" +
			"and what would change on the API, asks once, runs Terraform, attaches, makes one test call and tells\n" +
			"where its record is. Called again it changes what has changed, and goes on where it was interrupted.\n" +
			"It needs terraform or tofu, 1.6 or later.",
		Example: "  tapway deploy\n  tapway deploy --example --destination https://siem.example.com/in\n" +
			"  tapway deploy --yes --region eu-west-1 --api a1b2c3d4e5 --destination https://siem.example.com/in --alarm-email ops@example.com --state-bucket my-terraform-state",
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := f.open(cmd)
			if err != nil {
				return err
			}
			defer d.show.end()
			return d.run(cmd.Context())
		},
	}
	f.addCommon(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.given.API, "api", "", "id of the REST or HTTP API to attach to")
	flags.StringVar(&f.given.Stage, "stage", "", "its API stage (default: the only one there is)")
	flags.StringVar(&f.given.Destination, "destination", "", "URL that records are delivered to (default: the destinations of tapway.yaml)")
	flags.StringVar(&f.given.AlarmEmail, "alarm-email", "", "who is told of alarms")
	flags.StringVar(&f.given.Architecture, "architecture", "", "processor of the functions, arm64 or x86_64 (default arm64)")
	flags.IntVar(&f.given.Memory, "memory", 0, "memory of each function in MiB (default 512)")
	flags.IntVar(&f.given.Concurrency, "concurrency", 0, "reserved concurrency of the proxy function, a bound on cost (default: none)")
	flags.StringVar(&f.pkg, "package", "", "function package (default: bin/tapway-lambda-ARCH.zip, or one built from the source tree)")
	flags.BoolVar(&f.given.Example, "example", false, "make an example REST API first, and attach to it")
	flags.BoolVar(&f.noAttach, "no-attach", false, "do not attach to an API")
	flags.BoolVar(&f.includeDrift, "include-drift", false, "deploy edits of others to the API that are not deployed too")
	flags.Float64Var(&f.rate, "rate", 5, "calls a second to API Gateway's management API; AWS allows 10 in an account and region")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show the plan and change nothing")
	flags.StringVar(&f.call, "call", "", "path or URL of the test call (default: an attached GET route without parameters)")
	flags.StringArrayVar(&f.headers, "call-header", nil, "header of the test call, such as \"x-api-key: ...\"; may be repeated")
	flags.BoolVar(&f.noCall, "no-call", false, "make no test call")
	flags.StringVar(&f.receive, "receive", "", "address to listen on for the test call's record, if the destination's URL leads there; what arrives is shown and not kept")
	flags.DurationVar(&f.wait, "wait", 2*time.Minute, "how long to look for the test call's record")
	flags.BoolVar(&f.asJSON, "json", false, "with --dry-run: print the plan as JSON")
	flags.BoolVar(&f.discard, "discard", false, "let queues go although records wait in them, when a destination is removed")
	return cmd
}

// addCommon adds what deploy and destroy have in common.
func (f *deployFlags) addCommon(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	flags.StringVar(&f.state, "state", "", "file that answers are remembered in (default: tapway.deploy.json beside the configuration)")
	flags.StringVar(&f.dir, "dir", "", "working directory for Terraform (default: .tapway/PROJECT beside the configuration)")
	flags.StringVar(&f.terraform, "terraform", "", "program to run (default: terraform, else tofu)")
	flags.StringVar(&f.given.Project, "project", "", "name of the installation, and beginning of the name of everything in it (default tapway)")
	flags.StringVar(&f.given.Region, "region", "", "AWS region (default: what AWS_REGION or the profile says)")
	flags.StringVar(&f.given.Profile, "profile", "", "profile of the AWS settings")
	flags.StringVar(&f.given.StateBucket, "state-bucket", "", "S3 bucket for Terraform's state (default: a file in the working directory)")
	flags.StringVar(&f.given.StateBucket, "backend-bucket", "", "the same")
	_ = flags.MarkHidden("backend-bucket")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.printPolicy, "print-policy", false, "print the smallest IAM policy for deploy and destroy, and do nothing")
}

// deployment is one run of deploy or destroy.
type deployment struct {
	*deployFlags
	cmd     *cobra.Command
	ask     *asker
	show    *steps
	answers *deploy.Answers
	file    *config.Config // tapway.yaml, as far as it can be read; never nil
	text    []byte
	path    string // of tapway.yaml; "" without one
	state   string // path of the answers

	account  *cloud.Account
	clients  *attach.Clients
	tf       *deploy.Terraform
	settings *deploy.Settings
	stack    *deploy.Stack
	attached bool // by an earlier run

	api  *attach.API
	plan *attach.Plan
}

// open reads what is there: the configuration and the answers.
func (f *deployFlags) open(cmd *cobra.Command) (*deployment, error) {
	d := &deployment{deployFlags: f, cmd: cmd, show: newSteps(cmd.ErrOrStderr()), ask: newAsker(cmd), path: configFile(f.config)}
	if d.path != "" {
		var err error
		if d.text, err = os.ReadFile(d.path); err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
	}
	file, _, err := config.Peek(config.Source{File: d.path, Text: append([]byte{}, d.text...), Forwards: true, Resolve: func([]config.Ref) (map[string]string, map[string]error) { return nil, nil }})
	if err != nil {
		return nil, err
	}
	d.file = file
	d.state = f.state
	if d.state == "" {
		d.state = filepath.Join(filepath.Dir(d.path), deploy.AnswersFile)
	}
	if d.answers, err = deploy.LoadAnswers(d.state); err != nil {
		return nil, err
	}
	return d, d.merge()
}

// merge lets flags win over tapway.yaml, and that over what is remembered.
func (d *deployment) merge() error {
	a, g, y := d.answers, &d.given, &d.file.AWS
	if a.Began {
		for _, one := range []struct{ what, was, flag, file string }{{"project", a.Project, g.Project, y.Project}, {"region", a.Region, g.Region, y.Region}} {
			now := firstOf(one.flag, one.file)
			if now != "" && now != one.was {
				return usagef("%s remembers an installation whose %s is %s, not %s; name another file with --state to make a second one", d.state, one.what, one.was, now)
			}
		}
	}
	for _, one := range []struct {
		to         *string
		flag, file string
	}{
		{&a.Project, g.Project, y.Project}, {&a.Region, g.Region, y.Region}, {&a.Profile, g.Profile, ""}, {&a.API, g.API, y.API}, {&a.Stage, g.Stage, y.Stage},
		{&a.Destination, g.Destination, ""}, {&a.AlarmEmail, g.AlarmEmail, y.AlarmEmail}, {&a.StateBucket, g.StateBucket, y.StateBucket}, {&a.Directory, d.dir, ""},
	} {
		*one.to = firstOf(one.flag, one.file, *one.to)
	}
	if g.API != "" && g.Stage == "" && g.API != y.API {
		a.Stage = ""
	}
	a.Example = a.Example || g.Example
	inFile := func(key string) bool { return strings.Contains(string(d.text), key+":") } // else a default would win over what is remembered
	if a.Architecture = firstOf(g.Architecture, a.Architecture, y.Architecture); g.Architecture == "" && inFile("architecture") {
		a.Architecture = y.Architecture
	}
	if g.Memory > 0 {
		a.Memory = g.Memory
	} else if inFile("memory") || a.Memory == 0 {
		a.Memory = y.Memory
	}
	if g.Concurrency > 0 {
		a.Concurrency = g.Concurrency
	} else if y.Concurrency > 0 {
		a.Concurrency = y.Concurrency
	}
	return d.check()
}

// check refuses what Terraform would refuse minutes later.
func (d *deployment) check() error {
	a := d.answers
	for _, err := range []error{
		unlessEmpty(a.Project, deploy.CheckProject), unlessEmpty(a.Region, deploy.CheckRegion), unlessEmpty(a.Destination, deploy.CheckDestination), deploy.CheckEmail(a.AlarmEmail),
	} {
		if err != nil {
			return &usageError{err}
		}
	}
	switch {
	case a.Architecture != "arm64" && a.Architecture != "x86_64":
		return usagef("--architecture: %q is neither arm64 nor x86_64", a.Architecture)
	case a.Memory < 128 || a.Memory > 10240:
		return usagef("--memory: want 128 to 10240 MiB, not %d", a.Memory)
	case d.given.Example && d.given.API != "":
		return usagef("--example and --api exclude each other: the example is an API of its own")
	case d.receive != "" && d.noCall:
		return usagef("--receive and --no-call exclude each other")
	case d.asJSON && !d.dryRun:
		return usagef("--json goes with --dry-run")
	}
	_, err := callHeader(d.headers)
	return err
}

func unlessEmpty(s string, check func(string) error) error {
	if s == "" {
		return nil
	}
	return check(s)
}

func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

func callHeader(lines []string) (http.Header, error) {
	h := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usagef("--call-header: write \"NAME: VALUE\", not %q", name)
		}
		h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return h, nil
}

func (d *deployment) policy() error {
	project := firstOf(d.answers.Project, "tapway")
	text, err := deploy.Policy(deploy.PolicyFor{
		Project: project, Region: d.answers.Region, StateBucket: d.answers.StateBucket,
		VPC: d.file.AWS.VPC != nil, Example: d.answers.Example, Alarms: d.answers.AlarmEmail != "",
		Counters: deploy.CountingOf(d.file).MakesTable(project),
	})
	if err == nil {
		_, err = fmt.Fprintln(d.cmd.OutOrStdout(), text)
	}
	return err
}

func (d *deployment) run(ctx context.Context) error {
	if d.printPolicy {
		return d.policy()
	}
	_, err := deploy.ReadSettings(d.path, d.text, d.answers.Destination) // a mistake there is told before anything is asked
	if err != nil {
		return err
	}
	if d.tf, err = deploy.FindTerraform(ctx, d.terraform, ""); err != nil {
		return err
	}
	if err = d.questions(ctx); err != nil {
		return err
	}
	if err = d.prepare(ctx); err != nil {
		return err
	}
	changes, err := d.planned(ctx)
	if err != nil {
		return err
	}
	if stop, err := d.present(changes); stop || err != nil {
		return err
	}
	if d.dryRun {
		return nil
	}
	if err := d.keepRecords(ctx, changes); err != nil {
		return err
	}
	if !d.yes && !d.ask.confirm("Do all this?") {
		return errors.New("nothing done; --yes does it without asking")
	}
	d.answers.Began = true
	if err := d.answers.Save(d.state); err != nil {
		return err
	}
	if len(changes.List) > 0 {
		if err := d.tf.Apply(ctx, len(changes.List)); err != nil {
			return err
		}
		d.show.end()
		fmt.Fprintf(d.cmd.OutOrStdout(), "Made: %s in account %s, %s.\n", plural(int64(len(changes.List)), "change"), d.stack.Account, d.answers.Region)
	}
	outputs, err := d.tf.Outputs(ctx)
	if err != nil {
		return err
	}
	if err := d.attachTo(ctx, outputs); err != nil {
		return err
	}
	if err := d.tryOut(ctx, outputs); err != nil {
		return err
	}
	d.farewell(outputs)
	return nil
}

// prepare looks who is asking, reads the API, and writes the working directory.
func (d *deployment) prepare(ctx context.Context) error {
	out, a := d.cmd.OutOrStdout(), d.answers
	who, err := d.identify(ctx)
	if err != nil {
		return err
	}
	if !d.asJSON {
		fmt.Fprintf(out, "Account %s, as %s, in %s.\n", a.Account, who, a.Region)
	}
	if d.settings, err = deploy.ReadSettings(d.path, d.text, a.Destination); err != nil {
		return err
	}
	for _, w := range d.settings.Warnings {
		fmt.Fprintf(d.cmd.ErrOrStderr(), "tapway: warning: %s\n", printable(w))
	}
	if len(d.settings.Destinations) == 0 {
		return usagef("there is nowhere to deliver to: give --destination URL, or destinations in tapway.yaml")
	}
	emulated, pathStyle := deploy.Emulated(os.Getenv)
	if emulated {
		fmt.Fprintln(d.cmd.ErrOrStderr(), "tapway: warning: AWS_ENDPOINT_URL leads to an emulator on this machine: queues and bucket are made without the policies that it lacks")
	}
	d.stack = &deploy.Stack{
		Project: a.Project, Region: a.Region, Account: a.Account, Architecture: a.Architecture, Memory: a.Memory, Concurrency: a.Concurrency, AlarmEmail: a.AlarmEmail,
		Settings: d.settings, VPC: d.file.AWS.VPC, Example: a.Example, StateBucket: a.StateBucket, Emulated: emulated, PathStyle: pathStyle, Lock: d.tf.AtLeast(1, 10),
	}
	if v := d.stack.VPC; v != nil && len(v.Egress) == 0 && len(v.SecurityGroups) == 0 {
		return errors.New("aws.vpc.egress: the functions could go nowhere, not even to SQS; write such as egress: [{to: 10.0.0.0/8, port: 443}]")
	}
	if a.API != "" && !d.noAttach && !a.Example {
		function := fmt.Sprintf("arn:%s:lambda:%s:%s:function:%s-proxy", deploy.Partition(a.Region), a.Region, a.Account, a.Project)
		if err := d.readAPI(ctx, a.API, a.Stage, &attach.Function{ARN: function, TimeoutMS: 1000 * d.settings.ProxyTimeout()}); err != nil {
			return err
		}
	}
	if d.stack.Tapped, err = d.tapped(ctx); err != nil {
		return err
	}
	if err = d.stack.CheckTapped(); err != nil {
		return err
	}
	d.tf.Dir = d.directory()
	d.show.step("the function package", 0, 0)
	if d.stack.Package, err = deploy.FindPackage(ctx, d.pkg, a.Architecture, deploy.SourceTree(), d.tf.Dir); err != nil {
		return err
	}
	return d.stack.Write(d.tf.Dir)
}

// directory is where Terraform works.
func (d *deployment) directory() string {
	dir := firstOf(d.answers.Directory, filepath.Join(".tapway", d.answers.Project))
	if !filepath.IsAbs(dir) && d.dir == "" {
		dir = filepath.Join(filepath.Dir(d.state), dir)
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return dir
}

// identify opens the account and asks whose the credentials are.
func (d *deployment) identify(ctx context.Context) (who string, err error) {
	a := d.answers
	if d.account == nil {
		if err := d.openAccount(ctx); err != nil {
			return "", err
		}
	}
	out, err := d.clients.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", fmt.Errorf("there are no AWS credentials that work: %w; log in (aws configure, aws sso login), or choose with --profile", err)
	}
	account := aws.ToString(out.Account)
	if a.Began && a.Account != "" && a.Account != account {
		return "", fmt.Errorf("%s remembers an installation in account %s, but these credentials are of account %s; choose with --profile, or name another file with --state", d.state, a.Account, account)
	}
	a.Account = account
	d.tf.Env = []string{"AWS_REGION=" + a.Region}
	if a.Profile != "" {
		d.tf.Env = append(d.tf.Env, "AWS_PROFILE="+a.Profile)
	}
	d.tf.Progress = d.show.step
	return aws.ToString(out.Arn), nil
}

func (d *deployment) openAccount(ctx context.Context) error {
	account, err := cloud.Open(ctx, d.answers.Region, d.answers.Profile)
	if err != nil {
		return err
	}
	d.answers.Region = account.Config.Region
	rate := d.rate
	if rate <= 0 {
		rate = 5
	}
	d.account = account
	d.clients, err = attach.NewClients(account.Config, account.Endpoint, attach.NewPacer(rate), 0)
	return err
}

// planned initialises Terraform and asks it what it would do.
func (d *deployment) planned(ctx context.Context) (*deploy.Changes, error) {
	if err := d.tf.Init(ctx); err != nil {
		return nil, err
	}
	changes, err := d.tf.Plan(ctx, false)
	d.show.end()
	return changes, err
}

// keepRecords refuses a plan that removes queues in which there are records.
func (d *deployment) keepRecords(ctx context.Context, changes *deploy.Changes) error {
	gone := slices.ContainsFunc(changes.List, func(c deploy.Change) bool {
		return (c.Action == "delete" || c.Action == "replace") && strings.Contains(c.Address, "aws_sqs_queue.")
	})
	if !gone || d.discard {
		return nil
	}
	outputs, err := d.tf.Outputs(ctx)
	if err != nil {
		return err
	}
	w, err := d.watcher(outputs)
	if err != nil {
		return err
	}
	depths, err := w.Depths(ctx)
	if err != nil {
		return err
	}
	for _, q := range depths {
		if n := q.Waiting + q.UnderWay + q.Dead; n > 0 {
			_, stays := d.settings.Destinations[q.Destination]
			if !stays {
				return fmt.Errorf("the queue of %s would be removed with %s in it; deliver or purge them first, or lose them with --discard", q.Destination, plural(int64(n), "record"))
			}
		}
	}
	return nil
}
