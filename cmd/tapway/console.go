package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/awsconsole"
	"github.com/tapway/tapway/internal/console"
	"github.com/tapway/tapway/internal/tapstate"
)

// consoleFlags say which console is meant.
type consoleFlags struct {
	aws, open             bool
	listen, token, bucket string
	keys                  []string
	local                 stateFlags
	api                   apiFlags
	tap                   tapFlags
}

func newConsole() *cobra.Command {
	var f consoleFlags
	cmd := &cobra.Command{
		Use: "console", Short: "The web console: of the tapway that runs here, or of a tap on AWS",
		Long: "Prints the address of the web console of the tapway that runs here; --open opens it in the browser.\n\n" +
			"With --aws it serves a console on this machine, until Ctrl-C, about a tap deployed on AWS: its queues and dead\n" +
			"letters in SQS, CloudWatch's alarms and the ledger's metrics, and the records that lie in its bucket. The tap is\n" +
			"the one that `tapway deploy` left, unless --project, --queue or --api name another. To look needs no more than\n" +
			"the permissions to read; a view that cannot be read names the one that is missing. To look at dead letters is to\n" +
			"receive them: for that moment they are hidden from others.",
		Example: "  tapway console --open\n  tapway console --aws --project shop --region eu-west-1\n" +
			"  tapway console --aws --queue sqs://shop-siem --bucket shop-records-123456789012",
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			if f.aws {
				return f.serveAWS(cmd)
			}
			return f.tellLocal(cmd)
		},
	}
	f.add(cmd)
	return cmd
}

// onlyAWS are the flags that mean something with --aws alone, onlyLocal those without.
var (
	onlyAWS   = []string{"listen", "api", "state", "bucket", "print-policy", "kms-key", "region", "profile", "project", "function", "forwarder", "queue", "dlq", "window", "deployment"}
	onlyLocal = []string{"admin", "data", "config"}
)

func (f *consoleFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.aws, "aws", false, "serve a console about a tap on AWS")
	flags.BoolVar(&f.open, "open", false, "open it in the browser ($BROWSER, else the system's)")
	flags.StringVar(&f.token, "token", "", "token of the admin API (default: $TAPWAY_TOKEN); with --aws the one to ask for, needed beyond loopback")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:9091", "with --aws: address of this console")
	flags.StringVar(&f.api.api, "api", "", "with --aws: id of the attached API, whose routes are shown (default: the one that was attached with deploy)")
	flags.StringVar(&f.api.state, "state", "", "with --aws: where the attached API's state is kept, a file or s3://BUCKET/KEY (default: what the API's tag says, else tapway-ID.json)")
	flags.StringVar(&f.api.region, "region", "", "with --aws: AWS region (default: what AWS_REGION or the profile says)")
	flags.StringVar(&f.api.profile, "profile", "", "with --aws: profile of the AWS settings")
	flags.StringVar(&f.bucket, "bucket", "", "with --aws: bucket of large and spilled records (default: what the proxy function's settings say)")
	flags.BoolVar(&f.api.printPolicy, "print-policy", false, "with --aws: print the smallest IAM policy to look, and do nothing")
	flags.StringArrayVar(&f.keys, "kms-key", nil, "with --print-policy: ARN of a key of your own in KMS that queues or bucket are encrypted with; may be repeated")
	f.api.rate = 5
	f.tap.add(cmd)
	flags.StringVar(&f.local.admin, "admin", "", "without --aws: address of the running process's admin API, e.g. http://127.0.0.1:9090")
	flags.StringVar(&f.local.data, "data", "", "without --aws: its data directory (default: what the configuration says, else ./tapway-data)")
	flags.StringVarP(&f.local.config, "config", "c", "", "without --aws: its configuration file (default: ./tapway.yaml if it is there)")
}

func (f *consoleFlags) check(cmd *cobra.Command) error {
	wrong, why := onlyAWS, "goes with --aws"
	if f.aws {
		wrong, why = onlyLocal, "does not go with --aws"
	}
	for _, name := range wrong {
		if cmd.Flags().Changed(name) {
			return usagef("--%s %s (see %s --help)", name, why, cmd.CommandPath())
		}
	}
	if f.local.admin != "" && f.local.data != "" {
		return usagef("--data and --admin exclude each other: a data directory, or a running process (see %s --help)", cmd.CommandPath())
	}
	for _, key := range f.keys {
		if !f.api.printPolicy {
			return usagef("--kms-key goes with --print-policy (see %s --help)", cmd.CommandPath())
		}
		if !strings.HasPrefix(key, "arn:") || !strings.Contains(key, ":kms:") {
			return usagef("--kms-key: %q is not the ARN of a key, such as arn:aws:kms:eu-west-1:123456789012:key/1234abcd-…", key)
		}
	}
	if f.token == "" {
		f.token = os.Getenv("TAPWAY_TOKEN")
	}
	if !f.aws {
		return nil
	}
	if host, _, err := net.SplitHostPort(f.listen); err != nil {
		return usagef("--listen: %q is not an address; write 127.0.0.1:9091", f.listen)
	} else if f.token == "" && !isLoopback(host) {
		return usagef("--listen: %s is beyond loopback, where anybody could look: set --token or TAPWAY_TOKEN too", f.listen)
	}
	return f.tap.check(cmd)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// tellLocal prints where the running process has its console.
func (f *consoleFlags) tellLocal(cmd *cobra.Command) error {
	f.local.token = f.token
	client, done, err := f.local.open(cmd.Context(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer done()
	const start = "start one with `tapway serve`, name a running one with --admin, or say --aws"
	if client.HTTP != nil { // nobody runs: the directory itself was opened
		return fmt.Errorf("no tapway runs here; %s", start)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
	defer cancel()
	body, err := client.Get(ctx, "/healthz", nil)
	if err != nil {
		return err
	}
	body.Close()
	return f.tell(cmd, client.Base+"/")
}

// tell prints the address, and opens it if that was asked for.
func (f *consoleFlags) tell(cmd *cobra.Command, url string) error {
	fmt.Fprintln(cmd.OutOrStdout(), url)
	if !f.open {
		return nil
	}
	if err := openBrowser(url); err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "tapway: the browser cannot be opened: %v; open %s yourself\n", err, url)
	}
	return nil
}

// openBrowser starts $BROWSER or the system's way to open an address, and does not wait for it.
func openBrowser(url string) error {
	name, given := os.Getenv("BROWSER"), []string{url}
	if name == "" {
		switch runtime.GOOS {
		case "darwin":
			name = "open"
		case "windows":
			name, given = "rundll32", []string{"url.dll,FileProtocolHandler", url}
		default:
			name = "xdg-open"
		}
	}
	browser := exec.Command(name, given...) // #nosec G204 -- the operator names it in BROWSER
	if err := browser.Start(); err != nil {
		return err
	}
	go browser.Wait()
	return nil
}

// serveAWS serves a console about a tap on AWS until ctx ends.
func (f *consoleFlags) serveAWS(cmd *cobra.Command) error {
	log := warnings(cmd.ErrOrStderr())
	c, err := f.connect(cmd, log)
	if err != nil || c == nil {
		return err
	}
	defer c.Close()
	server := c.Server()
	server.Token, server.Console = tapway.Secret(f.token), console.Handler()
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("the console cannot listen: %w; stop what listens there or choose another address with --listen", err)
	}
	web := &http.Server{Handler: server.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(l) }()
	fmt.Fprintf(cmd.ErrOrStderr(), "tapway: a console about the tap %s in AWS; Ctrl-C ends it\n", server.Elsewhere.Name)
	if err := f.tell(cmd, "http://"+l.Addr().String()+"/"); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return fmt.Errorf("the console ended: %w", err)
	case <-cmd.Context().Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), 3*time.Second)
	defer cancel()
	if web.Shutdown(ctx) != nil { // a browser that keeps a stream open
		web.Close()
	}
	return nil
}

// connect finds the tap; nil where its policy was printed.
func (f *consoleFlags) connect(cmd *cobra.Command, log *slog.Logger) (*awsconsole.Console, error) {
	if err := f.tap.settle(&f.api); err != nil {
		return nil, err
	}
	answers := f.tap.answers
	if named := f.api.api != "" || f.tap.project != "" || f.tap.function != "" || f.tap.forwarder != "" || len(f.tap.queues) > 0; !named {
		if !answers.Began {
			return nil, usagef("say which tap: --project NAME, --queue sqs://NAME, or --api ID of an attached API; there is no %s of `tapway deploy` here", f.tap.remembered)
		}
		f.api.api, f.api.region, f.api.profile = answers.API, firstOf(f.api.region, answers.Region), firstOf(f.api.profile, answers.Profile)
		f.tap.project = answers.Project
	}
	if done, err := f.api.policyFor(cmd, attach.PolicyFor{Function: f.tap.proxyOf(f.api.api), Project: firstOf(f.tap.projectOf(f.api.api), f.tap.project), Tap: true, Bucket: strings.TrimPrefix(f.bucket, "s3://"), Keys: f.keys}); done {
		return nil, err
	}
	w, err := f.world(cmd)
	if err != nil {
		return nil, err
	}
	o := awsconsole.Options{Region: w.account.Config.Region, Version: versionText(), Log: log}
	if o.Attached, err = f.attached(cmd, w); err != nil {
		return nil, err
	}
	if o.Attached != nil {
		o.Tap, _ = f.tap.find(o.Attached)
	} else {
		o.Tap = tapstate.Tap{Project: firstOf(f.tap.projectOf(f.api.api), f.tap.project), Proxy: f.tap.function, Forwarder: f.tap.forwarder, Queues: f.tap.queues, DeadLetters: f.tap.dead}
	}
	queues, err := w.account.SQS()
	if err != nil {
		return nil, err
	}
	metrics, err := w.account.CloudWatch()
	if err != nil {
		return nil, err
	}
	if o.Queues, err = w.account.Messages(); err != nil {
		return nil, err
	}
	o.Reader = &tapstate.Reader{SQS: queues, CloudWatch: metrics, Lambda: w.clients.Lambda, Window: f.tap.window}
	if err := f.findBucket(cmd.Context(), w, &o); err != nil {
		return nil, err
	}
	c, err := awsconsole.New(cmd.Context(), o)
	w.show.end()
	return c, err
}

// world is the account, without the API that open asks for.
func (f *consoleFlags) world(cmd *cobra.Command) (*awsWorld, error) {
	api := f.api
	if api.api == "" {
		api.api = "none"
	}
	return api.open(cmd)
}

// attached reads what was attached; nil where no API is known, or where it cannot be read, which is
// told and is no reason to show nothing.
func (f *consoleFlags) attached(cmd *cobra.Command, w *awsWorld) (*attach.State, error) {
	if f.api.api == "" {
		return nil, nil
	}
	tag, err := w.tag(cmd, f.api.api)
	var st *attach.State
	if err == nil || f.api.state != "" {
		_, st, err = f.api.saved(cmd.Context(), w, tag)
	}
	if err == nil {
		return st, nil
	}
	if f.tap.projectOf(f.api.api) == "" && f.tap.project == "" && len(f.tap.queues) == 0 {
		return nil, fmt.Errorf("which tap is behind API %s is not known: %w; name it with --project", f.api.api, err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "tapway: the routes are not shown: %s\n", printable(err.Error()))
	return nil, nil
}

// findBucket says which bucket the tap has, as far as it is known.
func (f *consoleFlags) findBucket(ctx context.Context, w *awsWorld, o *awsconsole.Options) error {
	bucket := strings.TrimPrefix(f.bucket, "s3://")
	if proxy := o.Tap.ProxyName(); bucket == "" && proxy != "" {
		bucket, o.DeleteObjects, o.NoBucket = awsconsole.Bucket(ctx, w.clients.Lambda, proxy)
		if errors.Is(ctx.Err(), context.Canceled) {
			return ctx.Err()
		}
	}
	if bucket == "" {
		return nil
	}
	var err error
	o.Bucket, err = w.account.Blobs(bucket)
	return err
}
