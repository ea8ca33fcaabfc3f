package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
)

func newDLQ() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dlq", Short: "Dead letters: records that a destination would not take",
		Example: "  tapway dlq list\n  tapway dlq redrive --dry-run \"destination == 'siem'\"",
	}
	return group(cmd, newDLQList(), newDLQShow(), newDLQResolve("redrive"), newDLQResolve("purge"))
}

func newDLQList() *cobra.Command {
	var state stateFlags
	var destination string
	var limit int
	cmd := &cobra.Command{
		Use: "list [FILTER]", Short: "List dead letters, oldest first",
		Example: "  tapway dlq list\n  tapway dlq list --destination siem \"status >= 500\"",
		Args:    args(0, 1, "at most one filter"),
		RunE: func(cmd *cobra.Command, given []string) error {
			expr := first(given)
			if err := checkFilter(expr); err != nil {
				return err
			}
			client, done, err := state.open(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			q := url.Values{"filter": {expr}, "destination": {destination}, "limit": {fmt.Sprint(limit)}}
			body, err := client.Get(cmd.Context(), "/api/v1/deadletters", q)
			out := cmd.OutOrStdout()
			if state.json {
				return copyLines(out, body, err)
			}
			n := int64(0)
			for d, err := range admin.Stream[admin.DeadLetter](body, err) {
				if err != nil {
					return err
				}
				n++
				fmt.Fprintf(out, "%s  %s  %3d %-6s %s\n    %s: %s; died %s\n", d.Exchange.ID, d.Exchange.Time.Local().Format("2006-01-02 15:04:05"),
					d.Exchange.Status, printable(d.Exchange.Method), printable(d.Exchange.Path), d.Destination, whyDead(d.Reason, d.Attempts), ago(d.Died))
			}
			if n == 0 {
				fmt.Fprintln(out, "No dead letters.")
			} else if limit > 0 && n == int64(limit) {
				fmt.Fprintf(out, "(the first %d; --limit 0 shows all)\n", limit)
			}
			return nil
		},
	}
	state.register(cmd, true)
	cmd.Flags().StringVar(&destination, "destination", "", "only of this destination")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most this many; 0 for all")
	return cmd
}

func newDLQShow() *cobra.Command {
	var state stateFlags
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one dead letter: its record and what became of it at each destination",
		Example: "  tapway dlq show 0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d\n  tapway dlq show --json 0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d | jq .record.body",
		Args:    args(1, 1, "one exchange id"),
		RunE: func(cmd *cobra.Command, given []string) error {
			id, err := tapway.ParseID(given[0])
			if err != nil {
				return &usageError{err}
			}
			client, done, err := state.open(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			path := "/api/v1/exchanges/" + id.String()
			states, err := admin.JSON[[]tapway.DeliveryState](client.Get(cmd.Context(), path, url.Values{"states": {"1"}}))
			if err != nil {
				return err
			}
			rec, err := admin.JSON[json.RawMessage](client.Get(cmd.Context(), path, nil))
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if state.json {
				return printJSON(out, map[string]any{"deliveries": states, "record": rec})
			}
			for _, s := range states {
				fmt.Fprintf(out, "%s: %s", s.Destination, s.State)
				if s.Reason != "" {
					fmt.Fprintf(out, ": %s", whyDead(s.Reason, s.Attempts))
				}
				if !s.Next.IsZero() {
					fmt.Fprintf(out, ", next attempt %s", s.Next.Local().Format(time.DateTime))
				}
				fmt.Fprintln(out)
			}
			return printJSON(out, rec)
		},
	}
	state.register(cmd, true)
	return cmd
}

// whyDead is the reason with the number of attempts, unless it tells that itself.
func whyDead(reason string, attempts int) string {
	if attempts > 0 && !strings.Contains(reason, "attempt") {
		return fmt.Sprintf("%s, after %s", printable(reason), plural(int64(attempts), "attempt"))
	}
	return printable(reason)
}

// newDLQResolve makes redrive and purge, which differ in what they do with what they find.
func newDLQResolve(what string) *cobra.Command {
	var state stateFlags
	var sel admin.Selection
	var yes bool
	cmd := &cobra.Command{
		Use: what + " [FILTER]", Short: "Put dead letters back into the queue, or deliver them to another URL",
		Example: "  tapway dlq redrive --dry-run\n  tapway dlq redrive --rate 50 \"destination == 'siem' && status < 500\"\n  tapway dlq redrive --to https://other.example.com/in --id ID",
		Args:    args(0, 1, "at most one filter"),
		RunE: func(cmd *cobra.Command, given []string) error {
			sel.Filter = first(given)
			if err := checkFilter(sel.Filter); err != nil {
				return err
			}
			client, done, err := state.open(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			if what == "purge" && !sel.DryRun && !yes {
				dry := sel
				dry.DryRun = true
				p, err := follow(cmd, client, "/api/v1/deadletters/purge", dry)
				if err != nil {
					return err
				}
				if p.Matched == 0 {
					fmt.Fprintln(cmd.OutOrStdout(), "No dead letters match.")
					return nil
				}
				if !confirm(cmd, fmt.Sprintf("Purge %s for good?", plural(p.Matched, "dead letter"))) {
					return fmt.Errorf("nothing purged; --yes purges without asking")
				}
			}
			p, err := follow(cmd, client, "/api/v1/deadletters/"+what, sel)
			if err != nil {
				return err
			}
			return summary(cmd, state.json, p, sel.DryRun, what)
		},
	}
	if what == "purge" {
		cmd.Short = "Give dead letters up for good; the ledger counts them as dropped"
		cmd.Example = "  tapway dlq purge --dry-run \"time < -30d\"\n  tapway dlq purge --yes --destination old"
		cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	} else {
		cmd.Flags().StringVar(&sel.To, "to", "", "deliver to this URL instead of the record's own destination")
	}
	state.register(cmd, true)
	cmd.Flags().StringVar(&sel.Destination, "destination", "", "only of this destination")
	cmd.Flags().StringSliceVar(&sel.IDs, "id", nil, "only these exchange ids")
	cmd.Flags().BoolVar(&sel.DryRun, "dry-run", false, "only count")
	cmd.Flags().Float64Var(&sel.Rate, "rate", 0, "records a second; 0 for no limit")
	return cmd
}

func first(given []string) string {
	if len(given) == 0 {
		return ""
	}
	return given[0]
}

// follow starts a long operation and shows how it goes on until its last line.
func follow(cmd *cobra.Command, client *admin.Client, path string, what any) (admin.Progress, error) {
	bar := newProgress(cmd.ErrOrStderr())
	defer bar.end()
	var last admin.Progress
	for p, err := range admin.Stream[admin.Progress](client.Post(cmd.Context(), path, what)) {
		if err != nil {
			return last, err
		}
		last = p
		bar.show(p.OK+p.Failed+p.Skipped, p.Matched, count)
	}
	if !last.Done {
		return last, fmt.Errorf("broke off after %d of %d", last.OK, last.Matched)
	}
	return last, nil
}

// summary prints the end of a long operation; failures make the command fail.
func summary(cmd *cobra.Command, asJSON bool, p admin.Progress, dryRun bool, what string) error {
	out := cmd.OutOrStdout()
	done := map[string]string{"redrive": "redriven", "purge": "purged", "replay": "replayed"}[what]
	switch {
	case asJSON:
		if err := printJSON(out, p); err != nil {
			return err
		}
	case dryRun:
		fmt.Fprintf(out, "%d would be %s.\n", p.Matched, done)
	default:
		fmt.Fprintf(out, "%d of %d %s", p.OK, p.Matched, done)
		if p.Failed > 0 {
			fmt.Fprintf(out, ", %d failed", p.Failed)
		}
		if p.Skipped > 0 {
			fmt.Fprintf(out, ", %d skipped", p.Skipped)
		}
		if p.Error != "" {
			fmt.Fprintf(out, " (last: %s)", printable(p.Error))
		}
		fmt.Fprintln(out, ".")
	}
	if p.Failed > 0 {
		return errSilent
	}
	return nil
}

func confirm(cmd *cobra.Command, question string) bool {
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
