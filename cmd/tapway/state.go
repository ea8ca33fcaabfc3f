package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/app"
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
	cmd.MarkFlagsMutuallyExclusive("data", "admin")
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
		c, err := config.Load(config.Source{File: file})
		if err != nil && (f.config != "" || data == "" && f.admin == "") {
			return nil, nil, err
		}
		if err == nil && data == "" {
			data = c.Data
		}
		if err == nil && token == "" {
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
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no data directory %s; name it with --data, a running process with --admin, or start one with `tapway serve`", data)
	}
	server, closeStore, err := app.Offline(data, versionText())
	var busy *app.BusyError
	if errors.As(err, &busy) {
		if busy.Admin == "" {
			return nil, nil, fmt.Errorf("%w, and its admin API is off", err)
		}
		return &admin.Client{Base: "http://" + busy.Admin, Token: token}, func() {}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return admin.Local(server), closeStore, nil
}

func adminURL(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "", usagef("--admin: %q is not an address; write http://127.0.0.1:9090", s)
	}
	return strings.TrimSuffix(s, "/"), nil
}

// printJSON writes v indented.
func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// copyJSON passes an answer on as it is.
func copyJSON(out io.Writer, body io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(out, body)
	return err
}
