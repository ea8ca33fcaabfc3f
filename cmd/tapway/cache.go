package main

import (
	"fmt"
	"io"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/cache"
	"github.com/tapway/tapway/internal/terminal"
)

func newCache() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cache", Short: "The running gateway's cache: what it has done, and emptying it",
		Example: "  tapway cache stats\n  tapway cache purge --path '/catalog/*'",
	}
	return group(cmd, newCacheStats(), newCachePurge())
}

func newCacheStats() *cobra.Command {
	var state stateFlags
	cmd := &cobra.Command{
		Use: "stats", Short: "Hits, misses and memory of the cache",
		Example: "  tapway cache stats\n  tapway cache stats --json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd, &state, getting(cmd, "/api/v1/cache"), func(out io.Writer, s cache.Stats) error {
				t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
				fmt.Fprintf(t, "hits\t%d\t%d collapsed, %d stale\n", s.Hits, s.Collapsed, s.Stale)
				fmt.Fprintf(t, "misses\t%d\t\n", s.Misses)
				fmt.Fprintf(t, "passed\t%d\tnot for the cache\n", s.Passed)
				fmt.Fprintf(t, "answers\t%d stored\t%d revalidated, %d invalidated, %d evicted\n", s.Stored, s.Revalidated, s.Invalidated, s.Evicted)
				fmt.Fprintf(t, "memory\t%s\tof %s, for %s\n", terminal.Bytes(s.Bytes), terminal.Bytes(s.Limit), plural(int64(s.Entries), "answer"))
				return t.Flush()
			})
		},
	}
	state.register(cmd, true)
	return cmd
}

func newCachePurge() *cobra.Command {
	var state stateFlags
	var path, route string
	cmd := &cobra.Command{
		Use: "purge", Short: "Take answers out of the cache",
		Long:    "Takes answers out of the cache of the running gateway, whatever their host and query. Without --path and --route it takes out all of them.",
		Example: "  tapway cache purge\n  tapway cache purge --path /catalog/books\n  tapway cache purge --path '/catalog/*'\n  tapway cache purge --route 'GET /catalog/{proxy+}'",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path != "" && path[0] != '/' {
				return usagef("--path: %q does not begin with a slash", path)
			}
			which := url.Values{}
			if path != "" {
				which.Set("path", path)
			}
			if route != "" {
				which.Set("route", route)
			}
			where := "/api/v1/cache/purge"
			if len(which) > 0 {
				where += "?" + which.Encode()
			}
			return show(cmd, &state, posting(cmd, where, nil), func(out io.Writer, p admin.Purged) error {
				_, err := fmt.Fprintf(out, "%s taken out of the cache.\n", plural(int64(p.Purged), "answer"))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&path, "path", "", "only this path, as it stands in the request line; /a/* is all that begin so")
	cmd.Flags().StringVar(&route, "route", "", "only what is kept by this entry of cache.routes, by its match")
	state.register(cmd, true)
	return cmd
}
