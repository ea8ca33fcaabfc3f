package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/cloud"
)

// apiFlags say which API Gateway a command is about.
type apiFlags struct {
	api, region, profile, stage, state string
	rate                               float64
	printPolicy                        bool
}

func (f *apiFlags) add(cmd *cobra.Command, stage, state bool) {
	flags := cmd.Flags()
	flags.StringVar(&f.api, "api", "", "id of the REST or HTTP API")
	flags.StringVar(&f.region, "region", "", "AWS region (default: what AWS_REGION or the profile says)")
	flags.StringVar(&f.profile, "profile", "", "profile of the AWS settings")
	flags.Float64Var(&f.rate, "rate", 5, "calls a second to API Gateway's management API; AWS allows 10 in an account and region")
	flags.BoolVar(&f.printPolicy, "print-policy", false, "print the smallest IAM policy for this command, and do nothing")
	if stage {
		flags.StringVar(&f.stage, "stage", "", "API stage (default: the only one there is)")
	}
	if state {
		flags.StringVar(&f.state, "state", "", "where the original state is kept, a file or s3://BUCKET/KEY (default: what the API's tag says, else tapway-ID.json)")
	}
}

// policy prints the policy if that was asked for.
func (f *apiFlags) policy(cmd *cobra.Command, function string) (done bool, err error) {
	return f.policyFor(cmd, attach.PolicyFor{Function: function})
}

// policyFor is policy for those who need more than the API.
func (f *apiFlags) policyFor(cmd *cobra.Command, p attach.PolicyFor) (done bool, err error) {
	if !f.printPolicy {
		return false, nil
	}
	p.Command, p.API, p.Region, p.State = cmd.Name(), f.api, f.region, f.state
	text, err := attach.Policy(p)
	if err == nil {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	}
	return true, err
}

// awsWorld is an account that a command works in.
type awsWorld struct {
	account *cloud.Account
	clients *attach.Clients
	show    *steps
}

func (f *apiFlags) open(cmd *cobra.Command) (*awsWorld, error) {
	if f.api == "" {
		return nil, usagef("say which API with --api ID; `aws apigateway get-rest-apis` and `aws apigatewayv2 get-apis` list them")
	}
	if f.rate <= 0 || f.rate > 1000 {
		return nil, usagef("--rate: want a number above 0 and at most 1000")
	}
	account, err := cloud.Open(cmd.Context(), f.region, f.profile)
	if err != nil {
		return nil, err
	}
	clients, err := attach.NewClients(account.Config, account.Endpoint, attach.NewPacer(f.rate), 0)
	if err != nil {
		return nil, err
	}
	return &awsWorld{account, clients, newSteps(cmd.ErrOrStderr())}, nil
}

// store opens the place of a state or a backup.
func (w *awsWorld) store(location string) (*attach.Store, error) {
	return attach.OpenStore(location, func(bucket string) (tapway.BlobStore, error) { return w.account.Blobs(bucket) })
}

// saved finds the saved state of an API: where --state says, else where its tag does, else
// in the default file.
func (f *apiFlags) saved(ctx context.Context, w *awsWorld, tag string) (*attach.Store, *attach.State, error) {
	location := f.state
	if location == "" {
		location = tag
	}
	if location == "" {
		location = f.defaultState()
	}
	store, err := w.store(location)
	if err != nil {
		return nil, nil, err
	}
	st, err := store.Load(ctx)
	if err == nil && st.Before.ID != f.api {
		return nil, nil, fmt.Errorf("%s is the state of API %s, not of %s", store, st.Before.ID, f.api)
	}
	return store, st, err
}

func (f *apiFlags) defaultState() string { return "tapway-" + f.api + ".json" }

// steps shows on standard error what a command is at: a bar on a terminal, else a line
// every ten seconds.
type steps struct {
	w        io.Writer
	terminal bool
	began    time.Time
	last     time.Time
	shown    bool
}

func newSteps(w io.Writer) *steps {
	now := time.Now()
	return &steps{w: w, terminal: isTerminal(w), began: now, last: now}
}

func (s *steps) step(what string, done, total int) {
	text := what
	switch {
	case total > 0:
		text = fmt.Sprintf("%s: %d of %d", what, done, total)
	case done > 0:
		text = fmt.Sprintf("%s: %d", what, done)
	}
	now := time.Now()
	switch {
	case s.terminal && now.Sub(s.began) > time.Second:
		bar := ""
		if total > 0 {
			full := 30 * done / total
			bar = "[" + strings.Repeat("=", full) + strings.Repeat(" ", 30-full) + "] "
		}
		fmt.Fprintf(s.w, "\r\x1b[K  %s%s", bar, text)
		s.shown = true
	case !s.terminal && now.Sub(s.last) >= 10*time.Second:
		fmt.Fprintln(s.w, "tapway:", text)
		s.last = now
	}
}

func (s *steps) end() {
	if s.shown {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.shown = false
	}
}

// writeNew writes a file that must not be there yet, for its owner only.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; name another file or remove it", path)
	}
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
