package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// stateFlags say whose state a command reads: a running process's, or a data directory's.
type stateFlags struct {
	data, admin, token, config string
	json                       bool
}

func (f *stateFlags) register(cmd *cobra.Command, withJSON bool) {
	cmd.Flags().StringVar(&f.data, "data", "", "data directory (default: what the configuration says, else ./tapway-data)")
	cmd.Flags().StringVar(&f.admin, "admin", "", "address of a running process's admin API, e.g. http://127.0.0.1:9090")
	cmd.Flags().StringVar(&f.token, "token", "", "token of the admin API (default: $TAPWAY_TOKEN or the configuration's)")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	if withJSON {
		cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	}
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range []string{"data", "admin"} {
			if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
				return usagef("--%s is empty (see %s --help)", name, cmd.CommandPath())
			}
		}
		if f.data != "" && f.admin != "" {
			return usagef("--data and --admin exclude each other: a data directory, or a running process (see %s --help)", cmd.CommandPath())
		}
		for name, least := range map[string]float64{"limit": 0, "last": 0, "rate": 0} {
			if flag := cmd.Flags().Lookup(name); flag != nil {
				if n, err := strconv.ParseFloat(flag.Value.String(), 64); err != nil || !(n >= least) {
					return usagef("--%s: %s is not a number from 0 up", name, flag.Value)
				}
			}
		}
		return nil
	}
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

// open finds the state. The caller calls the function it gets when done.
func (f *stateFlags) open(ctx context.Context) (*admin.Client, func(), error) {
	token := tapway.Secret(f.token)
	if token == "" {
		token = tapway.Secret(os.Getenv("TAPWAY_TOKEN"))
	}
	data := f.data
	if file := configFile(f.config); file != "" && (data == "" || token == "") {
		c, problems, err := config.Peek(config.Source{File: file, Resolve: onlyFor(cloud.Secrets(ctx), "data", "admin.token")})
		if err != nil {
			return nil, nil, err
		}
		// Only what is asked of the file counts: a process may run although it is broken by
		// now, or by secrets that only the process has.
		if wrong := problems.At("data"); len(wrong) > 0 && data == "" && f.admin == "" {
			return nil, nil, fmt.Errorf("%w; name the data directory with --data, or a running process with --admin", wrong)
		}
		if data == "" {
			data = c.Data
		}
		if token == "" && len(problems.At("admin.token")) == 0 {
			token = c.Admin.Token
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
	if errors.Is(err, app.ErrNoStore) {
		return nil, nil, fmt.Errorf("%w; %s", err, instead)
	}
	if err != nil {
		return nil, nil, err
	}
	return admin.Local(server), closeStore, nil
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

func adminURL(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
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
