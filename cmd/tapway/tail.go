package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/filter"
)

func newTail() *cobra.Command {
	var state stateFlags
	var expr string
	var last int
	cmd := &cobra.Command{
		Use:   "tail [FILTER]",
		Short: "Follow exchanges as they happen, one line each",
		Example: `  tapway tail
  tapway tail "status >= 500 || duration > 2s"
  tapway tail --json -f "path startsWith '/api/'" | jq .status`,
		Args: args(0, 1, "at most one filter"),
		RunE: func(cmd *cobra.Command, given []string) error {
			if len(given) == 1 && expr != "" {
				return usagef("give the filter once: as an argument or with -f")
			}
			if len(given) == 1 {
				expr = given[0]
			}
			if err := checkFilter(expr); err != nil {
				return err
			}
			client, done, err := state.open(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			return tail(cmd, client, expr, last, state.json)
		},
	}
	state.register(cmd, true)
	cmd.Flags().StringVarP(&expr, "filter", "f", "", "only exchanges for which this holds")
	cmd.Flags().IntVarP(&last, "last", "n", 10, "show this many earlier exchanges first")
	return cmd
}

func tail(cmd *cobra.Command, client *admin.Client, expr string, last int, asJSON bool) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	paint := coloursFor(out)
	show := func(s *admin.Summary) error {
		if asJSON {
			line, err := json.Marshal(s)
			if err == nil {
				_, err = fmt.Fprintf(out, "%s\n", line)
			}
			return err
		}
		_, err := fmt.Fprintln(out, paint.line(s))
		return err
	}
	var earlier []admin.Summary
	after := ""
	if last > 0 {
		q := url.Values{"filter": {expr}, "limit": {fmt.Sprint(last)}}
		for s, err := range admin.Stream[admin.Summary](client.Get(ctx, "/api/v1/exchanges", q)) {
			if err != nil {
				return err
			}
			earlier = append(earlier, s)
		}
		for i := len(earlier) - 1; i >= 0; i-- {
			after = fmt.Sprint(earlier[i].Seq)
			if err := show(&earlier[i]); err != nil {
				return err
			}
		}
	}
	q := url.Values{"filter": {expr}}
	if after != "" {
		q.Set("after", after)
	}
	for s, err := range admin.Stream[admin.Summary](client.Get(ctx, "/api/v1/tail", q)) {
		if ctx.Err() != nil {
			return nil // Ctrl-C is how one leaves
		}
		if err != nil {
			return err
		}
		if err := show(&s); err != nil {
			return err
		}
	}
	return nil
}

// checkFilter tells a mistake in a filter with a mark under the place.
func checkFilter(expr string) error {
	_, err := filter.Parse(expr)
	if err == nil {
		return nil
	}
	if e, ok := err.(*filter.Error); ok && e.Column > 0 {
		return usagef("filter: %v\n  %s\n  %s^", err, expr, strings.Repeat(" ", e.Column-1))
	}
	return usagef("filter: %v", err)
}
