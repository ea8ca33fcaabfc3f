package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
)

// stateFlags say whose state a command reads: a running process's, a data directory's, or that
// of queues on SQS.
type stateFlags struct {
	data, admin, token, config string
	aws                        awsFlags
	json                       bool

	peeking bool // open found SQS and no process: to look at messages is to receive them
}

// awsFlags say which queues on SQS are meant, and how to reach them.
type awsFlags struct{ queue, region, profile string }

func (f *awsFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.queue, "queue", "", "queue on SQS: sqs://NAME, URL or ARN (default: $TAPWAY_QUEUE or what the configuration says)")
	cmd.Flags().StringVar(&f.region, "region", "", "AWS region, where SQS is asked directly (default: the AWS settings')")
	cmd.Flags().StringVar(&f.profile, "profile", "", "AWS profile, where SQS is asked directly")
}

// source is the configuration with what the flags say.
func (f *awsFlags) source(ctx context.Context, file string) config.Source {
	wanted := onlyFor(cloud.Secrets(ctx), "data", "admin.token", "admin.listen", "queue", "bucket", "lambda")
	s := config.Source{File: configFile(file), Forwards: true, Resolve: wanted}
	if f.queue != "" {
		s.Set = map[string]string{"queue": f.queue}
	}
	return s
}

func (f *stateFlags) register(cmd *cobra.Command, withJSON bool) {
	cmd.Flags().StringVar(&f.data, "data", "", "data directory (default: what the configuration says, else ./tapway-data)")
	cmd.Flags().StringVar(&f.admin, "admin", "", "address of a running process's admin API, e.g. http://127.0.0.1:9090")
	cmd.Flags().StringVar(&f.token, "token", "", "token of the admin API (default: $TAPWAY_TOKEN or the configuration's)")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	f.aws.register(cmd)
	if withJSON {
		cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	}
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range []string{"data", "admin", "queue"} {
			if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
				return usagef("--%s is empty (see %s --help)", name, cmd.CommandPath())
			}
		}
		if f.data != "" && f.admin != "" {
			return usagef("--data and --admin exclude each other: a data directory, or a running process (see %s --help)", cmd.CommandPath())
		}
		if f.aws.queue != "" && (f.data != "" || f.admin != "") {
			return usagef("--queue names the queue itself: leave out --data and --admin (see %s --help)", cmd.CommandPath())
		}
		return checkNumbers(cmd)
	}
}

// checkNumbers refuses numbers below 0.
func checkNumbers(cmd *cobra.Command) error {
	for _, name := range []string{"limit", "last", "rate"} {
		if flag := cmd.Flags().Lookup(name); flag != nil {
			if n, err := strconv.ParseFloat(flag.Value.String(), 64); err != nil || !(n >= 0) {
				return usagef("--%s: %s is not a number from 0 up", name, flag.Value)
			}
		}
	}
	return nil
}

// configFile is the file that was named, or ./tapway.yaml if it is there.
func configFile(named string) string {
	if named != "" {
		return named
	}
	if _, err := os.Stat("tapway.yaml"); err == nil {
		return "tapway.yaml"
	}
	return ""
}

// with finds the state, lets do work on it and closes it.
func (f *stateFlags) with(cmd *cobra.Command, do func(client *admin.Client) error) error {
	client, done, err := f.open(cmd.Context(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer done()
	return do(client)
}

// show asks for one value and prints it: as JSON with --json, else as text does.
func show[T any](cmd *cobra.Command, f *stateFlags, ask func(*admin.Client) (io.ReadCloser, error), text func(out io.Writer, v T) error) error {
	return f.with(cmd, func(client *admin.Client) error {
		v, err := admin.JSON[T](ask(client))
		if err != nil {
			return err
		}
		if f.json {
			return printJSON(cmd.OutOrStdout(), v)
		}
		return text(cmd.OutOrStdout(), v)
	})
}

// getting asks for a path of the admin API.
func getting(cmd *cobra.Command, path string) func(*admin.Client) (io.ReadCloser, error) {
	return func(client *admin.Client) (io.ReadCloser, error) { return client.Get(cmd.Context(), path, nil) }
}

// posting sends what to a path of the admin API.
func posting(cmd *cobra.Command, path string, what any) func(*admin.Client) (io.ReadCloser, error) {
	return func(client *admin.Client) (io.ReadCloser, error) { return client.Post(cmd.Context(), path, what) }
}

// open finds the state. The caller calls the function it gets when done.
func (f *stateFlags) open(ctx context.Context, errOut io.Writer) (*admin.Client, func(), error) {
	token := tapway.Secret(f.token)
	if token == "" {
		token = tapway.Secret(os.Getenv("TAPWAY_TOKEN"))
	}
	data := f.data
	if data == "" || token == "" && configFile(f.config) != "" {
		c, problems, err := config.Peek(f.aws.source(ctx, f.config))
		if err != nil {
			return nil, nil, err
		}
		// Only what is asked of the file counts: a process may run although it is broken by
		// now, or by secrets that only the process has.
		if token == "" && len(problems.At("admin.token")) == 0 {
			token = c.Admin.Token
		}
		if data == "" && f.admin == "" {
			wrong := problems.At("queue")
			if len(wrong) > 0 && f.aws.queue != "" {
				return nil, nil, &usageError{wrong}
			}
			if len(wrong) == 0 && c.Queue != "disk" {
				return f.openSQS(ctx, c, token, errOut)
			}
			if wrong = append(wrong, problems.At("data")...); len(wrong) > 0 {
				return nil, nil, fmt.Errorf("%w; name the data directory with --data, or a running process with --admin", wrong[:1])
			}
		}
		if data == "" {
			data = c.Data
		}
	}
	if f.admin != "" {
		base, err := adminURL(f.admin)
		return &admin.Client{Base: base, Token: token}, func() {}, err
	}
	if data == "" {
		data = config.Default().Data
	}
	const instead = "name another with --data, a running process with --admin, or start one with `tapway serve`"
	switch info, err := os.Stat(data); {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil, fmt.Errorf("there is no data directory %s; %s", data, instead)
	case err == nil && !info.IsDir():
		return nil, nil, fmt.Errorf("%s is no directory; %s", data, instead)
	case err == nil:
		_, err = os.ReadDir(data)
		fallthrough
	default:
		if errors.Is(err, fs.ErrPermission) {
			return nil, nil, fmt.Errorf("the data directory: %w; ask the process that runs there with --admin http://127.0.0.1:9090, or use sudo", err)
		}
	}
	patience := time.AfterFunc(time.Second, func() {
		if isTerminal(os.Stderr) {
			fmt.Fprintf(os.Stderr, "tapway: opening %s …\n", data)
		}
	})
	server, closeStore, err := app.Offline(data, versionText())
	patience.Stop()
	var busy *app.BusyError
	if errors.As(err, &busy) {
		if busy.Admin == "" {
			return nil, nil, fmt.Errorf("%w, so it cannot be asked; stop it, or let it have an admin address", err)
		}
		return &admin.Client{Base: "http://" + busy.Admin, Token: token}, func() {}, nil
	}
	if errors.Is(err, app.ErrOutbox) {
		return nil, nil, fmt.Errorf("%w; name the queue with --queue sqs://NAME", err)
	}
	if errors.Is(err, app.ErrNoStore) {
		return nil, nil, fmt.Errorf("%w; %s", err, instead)
	}
	if err != nil {
		return nil, nil, err
	}
	return admin.Local(server), func() {
		closeStore()
		handBack(data)
	}, nil
}

// onlyFor looks up what some keys need and leaves the other references alone: the operator may
// have no right to the secrets of the service.
func onlyFor(resolve func([]config.Ref) (map[string]string, map[string]error), keys ...string) func([]config.Ref) (map[string]string, map[string]error) {
	return func(refs []config.Ref) (map[string]string, map[string]error) {
		refs = slices.DeleteFunc(slices.Clone(refs), func(r config.Ref) bool {
			return !slices.ContainsFunc(r.Keys, func(key string) bool { return slices.Contains(keys, key) })
		})
		if len(refs) == 0 {
			return nil, nil
		}
		return resolve(refs)
	}
}

// openSQS asks the process that works on these queues if it answers at the configured admin
// address, and else SQS.
func (f *stateFlags) openSQS(ctx context.Context, c *config.Config, token tapway.Secret, errOut io.Writer) (*admin.Client, func(), error) {
	if running := findRunning(ctx, c, token, errOut); running != nil {
		return running, func() {}, nil
	}
	account, err := cloud.Open(ctx, f.aws.region, f.aws.profile)
	if err != nil {
		return nil, nil, err
	}
	server, done, err := app.OfflineSQS(account, c, versionText(), warnings(errOut))
	if err != nil {
		return nil, nil, err
	}
	f.peeking = true
	return admin.Local(server), done, nil
}

// warnings is a log of what goes wrong.
func warnings(errOut io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// findRunning gives the process at the configured admin address, or the gateway that works in the
// data directory, if it works on the same queues: a purge must not reach the queues of another
// one. nil: there is none.
func findRunning(ctx context.Context, c *config.Config, token tapway.Secret, errOut io.Writer) *admin.Client {
	var addresses []string
	if host, port, err := net.SplitHostPort(c.Admin.Listen); err == nil && port != "0" { // else it is off, or nobody knows where
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			host = "localhost"
		}
		addresses = append(addresses, net.JoinHostPort(host, port))
	}
	if here := app.Running(c.Data); here != nil && here.Admin != "" && !slices.Contains(addresses, here.Admin) {
		addresses = append(addresses, here.Admin)
	}
	for _, address := range addresses {
		client := &admin.Client{Base: "http://" + address, Token: token}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		at, err := admin.JSON[admin.Source](client.Get(ctx, "/api/v1/source", nil))
		cancel()
		var refused *admin.StatusError
		switch {
		case errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
			fmt.Fprintf(errOut, "tapway: the process at %s wants its token (--token, TAPWAY_TOKEN); asking SQS itself\n", client.Base)
		case err == nil && maps.Equal(at.Queues, cloud.Queues(c)):
			return client
		}
	}
	return nil
}

// onSQS reports whether it is SQS that client works on. Who cannot tell is no SQS.
func onSQS(ctx context.Context, client *admin.Client) bool {
	at, err := admin.JSON[admin.Source](client.Get(ctx, "/api/v1/source", nil))
	return err == nil && at.Queue == "sqs"
}

// adminURL completes an address: http and the usual port stand for what is left out together.
func adminURL(s string) (string, error) {
	bare := !strings.Contains(s, "://")
	if bare {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if bare && err == nil && u.Port() == "" && u.Host != "" && u.Path == "" && !strings.HasSuffix(u.Host, ":") {
		_, port, _ := net.SplitHostPort(config.Default().Admin.Listen)
		s += ":" + port
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", usagef("--admin: %q is not an address; write http://127.0.0.1:9090", strings.TrimPrefix(s, "http://"))
	}
	return strings.TrimRight(s, "/"), nil
}

// printJSON writes v indented.
func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// copyLines passes an answer of JSON lines on. An error at its end is not part of it.
func copyLines(out io.Writer, body io.ReadCloser, err error) error {
	for line, err := range admin.Lines(body, err) {
		if err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}
