package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/stages"
)

// refreshed is what is printed of a named set.
type refreshed struct {
	access.HookRanges
	File string `json:"file"`
}

func newAccessRefresh() *cobra.Command {
	var flags keyFlags
	url := access.GitHubMeta
	cmd := &cobra.Command{
		Use: "refresh " + access.GitHubHooks, Short: "Fetch the addresses that GitHub's webhooks come from",
		Long: "Reads the networks that GitHub publishes for its webhooks and puts them into the data directory, where they win over those\n" +
			"this version was built with (of " + access.BundledHookRanges().Date + "). A running process takes them up within half a minute.",
		Example:   "  tapway access refresh " + access.GitHubHooks,
		Args:      args(1, 1, access.GitHubHooks),
		ValidArgs: []string{access.GitHubHooks},
		RunE: func(cmd *cobra.Command, given []string) error {
			if given[0] != access.GitHubHooks {
				return usagef("%q is no set that can be fetched; write %s", given[0], access.GitHubHooks)
			}
			c, data, err := flags.open()
			if err != nil {
				return err
			}
			policy, err := c.Egress.Policy()
			if err != nil {
				return err
			}
			client := stages.FetchClient(&egress.Dialer{Policy: policy}, url)
			ranges, err := access.FetchHookRanges(cmd.Context(), client, url, time.Now())
			if err != nil {
				return fmt.Errorf("fetch GitHub's addresses: %w; those from before stay in force", err)
			}
			file := app.HooksFile(data)
			if err := ranges.Write(file); err != nil {
				return err
			}
			if flags.json {
				return printJSON(cmd.OutOrStdout(), refreshed{ranges, file})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d networks as of %s, in %s.\n", access.GitHubHooks, len(ranges.Hooks), ranges.Date, file)
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&url, "url", url, "document with the networks under \"hooks\"")
	return cmd
}
