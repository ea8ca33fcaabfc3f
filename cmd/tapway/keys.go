package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/config"
)

func newKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "API keys: make, list and revoke them, and what they have used",
		Long: "The keys made here are in the data directory, as hashes: the key itself is shown once. A running process has a change\n" +
			"in force within a second. Keys can also stand in the configuration, as access.api_keys.",
		Example: "  tapway keys create partner --plan global-plan\n  tapway keys usage",
	}
	return group(cmd, newKeysCreate(), newKeysList(), newKeysRevoke(), newKeysUsage(), newKeysMigrate())
}

// keyFlags say whose keys are meant.
type keyFlags struct {
	data, config string
	json         bool
}

func (f *keyFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", "", "data directory (default: what the configuration says, else ./tapway-data)")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// open gives the configuration, as far as it can be read, and the data directory.
func (f *keyFlags) open() (*config.Config, string, error) {
	c, data := config.Default(), f.data
	if file := configFile(f.config); file != "" {
		loaded, problems, err := config.Peek(config.Source{File: file})
		if err != nil {
			return nil, "", err
		}
		if wrong := problems.At("data"); len(wrong) > 0 && data == "" {
			return nil, "", wrong
		}
		c = loaded
	}
	if data == "" {
		data = c.Data
	}
	info, err := os.Stat(data)
	if errors.Is(err, fs.ErrPermission) {
		return nil, "", fmt.Errorf("the data directory: %w; use sudo, or make keys in the configuration (access.api_keys)", err)
	}
	if err != nil || !info.IsDir() {
		return nil, "", fmt.Errorf("there is no data directory %s; name another with --data, or make it with `tapway serve`", data)
	}
	return c, data, nil
}

func newKeysCreate() *cobra.Command {
	var flags keyFlags
	var plan string
	var fromInput bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make an API key, and show it once",
		Example: "  tapway keys create partner --plan global-plan\n  tapway keys create partner --value-stdin < key.txt",
		Args:    args(1, 1, "one name"),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := checkName(given[0]); err != nil {
				return err
			}
			c, data, err := flags.open()
			if err != nil {
				return err
			}
			defer handBackKeys(data)
			if plan != "" && findPlan(c, plan) == nil {
				return usagef("--plan: there is no usage plan %q in the configuration", plan)
			}
			value := ""
			if fromInput {
				text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4096))
				if err != nil {
					return err
				}
				if value = strings.TrimSpace(string(text)); value == "" {
					return usagef("--value-stdin: there is no key on standard input")
				}
			}
			record, value, err := access.CreateKey(app.KeysFile(data), given[0], plan, value, time.Now())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if flags.json {
				return printJSON(out, struct {
					access.KeyRecord
					Value string `json:"value"`
				}{record, value})
			}
			fmt.Fprintf(out, "id    %s\nname  %s\n", record.ID, record.Name)
			if plan != "" {
				fmt.Fprintf(out, "plan  %s\n", plan)
			}
			fmt.Fprintf(out, "key   %s\n\nIt is not shown again. Clients send it as x-api-key.\n", value)
			if !keyNeeded(c) {
				fmt.Fprintln(out, "No call needs a key so far: set access.api_key: required.")
			}
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&plan, "plan", "", "usage plan of the configuration (default: none, no bounds of its own)")
	cmd.Flags().BoolVar(&fromInput, "value-stdin", false, "take the key from standard input instead of making one")
	return cmd
}

// handBackKeys is handBack after a change of the keys. A process that looked at the file before it could
// read it looks again at another time of the file only.
func handBackKeys(data string) {
	if handBack(data) {
		now := time.Now()
		os.Chtimes(app.KeysFile(data), now, now)
	}
}

// checkName tells whether a key can be called that.
func checkName(name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if len(name) == 0 || len(name) > 64 || strings.Trim(name, allowed) != "" {
		return usagef("%q is not a name; use up to 64 letters, digits, '-', '_' and '.'", name)
	}
	return nil
}

func findPlan(c *config.Config, name string) *config.UsagePlan {
	for i := range c.Access.UsagePlans {
		if c.Access.UsagePlans[i].Name == name {
			return &c.Access.UsagePlans[i]
		}
	}
	return nil
}

func keyNeeded(c *config.Config) bool {
	needed := c.Access.KeyRequired()
	for _, r := range c.Access.Routes {
		needed = needed || r.APIKey == "required"
	}
	return needed
}

// listedKey is one key as list and usage print it.
type listedKey struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Plan    string     `json:"plan,omitempty"`
	Source  string     `json:"source"` // "configuration" or "file"
	Created *time.Time `json:"created,omitempty"`
	Revoked *time.Time `json:"revoked,omitempty"`

	formerly string // its ID before it was migrated
}

func keysOf(c *config.Config, data string) ([]listedKey, error) {
	list := []listedKey{}
	for _, k := range c.Access.APIKeys {
		list = append(list, listedKey{ID: k.Name, Name: k.Name, Plan: k.Plan, Source: "configuration"})
	}
	records, err := access.ReadKeys(app.KeysFile(data))
	for _, k := range records {
		list = append(list, listedKey{ID: k.ID, Name: k.Name, Plan: k.Plan, Source: "file", Created: &k.Created, Revoked: k.Revoked, formerly: k.Formerly})
	}
	return list, err
}

func newKeysList() *cobra.Command {
	var flags keyFlags
	cmd := &cobra.Command{
		Use: "list", Short: "The API keys there are, revoked ones included", Args: args(0, 0, "no arguments"),
		Example: "  tapway keys list\n  tapway keys list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, data, err := flags.open()
			if err != nil {
				return err
			}
			list, err := keysOf(c, data)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if flags.json {
				return printJSON(out, list)
			}
			t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "ID\tNAME\tPLAN\tSINCE\tSTATE")
			for _, k := range list {
				since, state := "configuration", "in force"
				if k.Created != nil {
					since = k.Created.Format(time.DateOnly)
				}
				if k.Revoked != nil {
					state = "revoked " + k.Revoked.Format(time.DateOnly)
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", printable(k.ID), printable(k.Name), orDash(printable(k.Plan)), since, state)
			}
			return t.Flush()
		},
	}
	flags.register(cmd)
	return cmd
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newKeysRevoke() *cobra.Command {
	var flags keyFlags
	cmd := &cobra.Command{
		Use: "revoke KEY", Short: "End an API key, named by its ID or its name", Args: args(1, 1, "one key"),
		Example: "  tapway keys revoke partner",
		RunE: func(cmd *cobra.Command, given []string) error {
			c, data, err := flags.open()
			if err != nil {
				return err
			}
			defer handBackKeys(data)
			record, err := access.RevokeKey(app.KeysFile(data), given[0], time.Now())
			if err != nil {
				for _, k := range c.Access.APIKeys {
					if k.Name == given[0] {
						return errors.New("this key stands in the configuration; remove it there")
					}
				}
				return fmt.Errorf("%w; tapway keys list shows them", err)
			}
			if flags.json {
				return printJSON(cmd.OutOrStdout(), record)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s (%s) is revoked; a running process refuses it within a second\n", record.Name, record.ID)
			return err
		},
	}
	flags.register(cmd)
	return cmd
}

// keyUsage is what a key has used.
type keyUsage struct {
	listedKey
	Used   int64      `json:"used"`
	Limit  int64      `json:"limit,omitempty"`  // none: its plan has no quota, and nothing is counted
	Resets *time.Time `json:"resets,omitempty"` // when the next period begins
}

func newKeysUsage() *cobra.Command {
	var flags keyFlags
	cmd := &cobra.Command{
		Use: "usage [KEY]", Short: "What the API keys have used of their quotas, to about a second", Args: args(0, 1, "at most one key"),
		Long:    "With access.counters: dynamodb://TABLE it is what all processes together have used, what they have reserved included.",
		Example: "  tapway keys usage\n  tapway keys usage partner --json",
		RunE: func(cmd *cobra.Command, given []string) error {
			c, data, err := flags.open()
			if err != nil {
				return err
			}
			usage, err := usageOf(cmd.Context(), c, data, time.Now())
			if err != nil {
				return err
			}
			if len(given) == 1 {
				var one []keyUsage
				for _, u := range usage {
					if u.ID == given[0] || u.Name == given[0] {
						one = append(one, u)
					}
				}
				if len(one) == 0 {
					return fmt.Errorf("there is no API key %q; tapway keys list shows them", given[0])
				}
				usage = one
			}
			if flags.json {
				return printJSON(cmd.OutOrStdout(), usage)
			}
			return printUsage(cmd.OutOrStdout(), usage)
		},
	}
	flags.register(cmd)
	return cmd
}

func usageOf(ctx context.Context, c *config.Config, data string, now time.Time) ([]keyUsage, error) {
	list, err := keysOf(c, data)
	if err != nil {
		return nil, err
	}
	shared, err := app.SharedCounter(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	counts, err := access.ReadCounts(app.UsageFile(data))
	if err != nil {
		return nil, err
	}
	out := []keyUsage{}
	for _, k := range list {
		u := keyUsage{listedKey: k}
		if plan := findPlan(c, k.Plan); plan != nil && plan.Quota != nil {
			quota := plan.Quota.Access()
			start, end := quota.Window(now)
			u.Limit, u.Resets = quota.Limit, &end
			if shared != nil {
				if u.Used, err = shared.Used(ctx, k.ID, start.Unix()); err != nil {
					return nil, fmt.Errorf("read what the API keys have used, of %s: %w", c.Access.Counters, err)
				}
				out = append(out, u)
				continue
			}
			for _, count := range counts {
				former := k.formerly != "" && count.Key == k.formerly // no process has read the key's new ID yet
				if (former || count.Key == k.ID) && count.Start >= start.Unix() {
					u.Used += count.Used
				}
			}
		}
		out = append(out, u)
	}
	return out, nil
}

func printUsage(out io.Writer, usage []keyUsage) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tNAME\tPLAN\tUSED\tLEFT\tBEGINS ANEW")
	for _, u := range usage {
		used, left, resets := "-", "-", "-"
		if u.Resets != nil {
			used, left, resets = fmt.Sprint(u.Used), fmt.Sprint(max(u.Limit-u.Used, 0)), u.Resets.Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(u.ID), printable(u.Name), orDash(printable(u.Plan)), used, left, resets)
	}
	return t.Flush()
}

func newKeysMigrate() *cobra.Command {
	var flags keyFlags
	cmd := &cobra.Command{
		Use: "migrate", Short: "Give keys of an older tapway the IDs that they have on every machine", Args: args(0, 0, "no arguments"),
		Long: "Processes that share counters (access.counters) count a key by its ID, which is made of the key's hash. Keys that an older\n" +
			"tapway has made have IDs of their machine and count apart. Run this on each machine; the keys stay valid, and what they have used\n" +
			"in the present period goes along.",
		Example: "  tapway keys migrate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, data, err := flags.open()
			if err != nil {
				return err
			}
			defer handBackKeys(data)
			carry, err := carryUse(cmd.Context(), c, time.Now())
			if err != nil {
				return err
			}
			before, after, err := access.MigrateKeys(app.KeysFile(data), carry)
			if err != nil {
				return err
			}
			type change struct {
				Name   string `json:"name"`
				Before string `json:"before"`
				ID     string `json:"id"`
			}
			changes := []change{}
			for i := range before {
				changes = append(changes, change{before[i].Name, before[i].ID, after[i].ID})
			}
			out := cmd.OutOrStdout()
			if flags.json {
				return printJSON(out, changes)
			}
			if len(changes) == 0 {
				fmt.Fprintln(out, "All keys have the IDs that they have on every machine.")
			}
			for _, c := range changes {
				fmt.Fprintf(out, "%s: %s is now %s\n", printable(c.Name), printable(c.Before), c.ID)
			}
			return nil
		},
	}
	flags.register(cmd)
	return cmd
}

// carryUse takes along what a key has used where all processes count together; nil: they do not.
func carryUse(ctx context.Context, c *config.Config, now time.Time) (func(before, after access.KeyRecord) error, error) {
	shared, err := app.SharedCounter(c, slog.New(slog.DiscardHandler))
	if shared == nil || err != nil {
		return nil, err
	}
	return func(before, after access.KeyRecord) error {
		plan := findPlan(c, after.Plan)
		if plan == nil || plan.Quota == nil {
			return nil
		}
		quota := plan.Quota.Access()
		start, end := quota.Window(now)
		return shared.Move(ctx, before.ID, after.ID, start.Unix(), end.Unix())
	}, nil
}
