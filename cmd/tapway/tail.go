package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/app"
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
		Long: "Follow exchanges as they happen, one line each.\n\n" +
			"Without a running process a queue on SQS is looked into itself: every message is given back\n" +
			"at once, but the look counts as a receive, and what is delivered quickly is not seen.",
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
			return state.with(cmd, func(client *admin.Client) error {
				if state.peeking {
					fmt.Fprintln(cmd.ErrOrStderr(), "tapway: no process of tapway's answers here, so this looks into the queue itself: every look counts as a receive, and what is delivered quickly is not seen")
				}
				return tail(cmd, client, expr, last, state.json)
			})
		},
	}
	state.register(cmd, true)
	cmd.Flags().StringVarP(&expr, "filter", "f", "", "only exchanges for which this holds")
	cmd.Flags().IntVarP(&last, "last", "n", 10, "show this many earlier exchanges first")
	return cmd
}

func tail(cmd *cobra.Command, client *admin.Client, expr string, last int, asJSON bool) error {
	out := cmd.OutOrStdout()
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	defer watchReader(out, cancel)()
	paint, width := coloursFor(out), widthOf(out)
	q := url.Values{"filter": {expr}, "last": {fmt.Sprint(last)}}
	for line, err := range admin.Lines(client.Get(ctx, "/api/v1/tail", q)) {
		if ctx.Err() != nil {
			return nil // Ctrl-C is how one leaves, or whoever read has gone
		}
		if err != nil {
			return err
		}
		if !asJSON {
			var s admin.Summary
			if err := json.Unmarshal(line, &s); err != nil {
				return fmt.Errorf("read the admin API's answer: %w", err)
			}
			line = []byte(paint.line(&s, width))
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if ctx.Err() == nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "tapway: no process has this data directory open, so nothing more will come")
	}
	return nil
}

// watchReader calls gone when out is a pipe that nobody reads any more: `tapway tail | head
// -1` ends without waiting for one more call. It watches until stop is called.
func watchReader(out io.Writer, gone func()) (stop func()) {
	f, ok := out.(*os.File)
	if !ok || isTerminal(out) {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if app.ReaderGone(f) {
					gone()
					return
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
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
