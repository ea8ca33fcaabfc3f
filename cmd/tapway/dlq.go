package main

import (
	"bufio"
	"fmt"
	"io"
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
		Example: "  tapway dlq list\n  tapway dlq list --destination siem \"status >= 500\"\n  tapway dlq list --queue sqs://records-{destination}",
		Args:    args(0, 1, "at most one filter"),
		RunE: func(cmd *cobra.Command, given []string) error {
			expr := first(given)
			if err := checkFilter(expr); err != nil {
				return err
			}
			return state.with(cmd, func(client *admin.Client) error {
				if onSQS(cmd.Context(), client) {
					fmt.Fprintln(cmd.ErrOrStderr(), "tapway: to look at letters in SQS is to receive them: until this ends they are hidden from others, and they come in no order")
				}
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
					if d.Unreadable != "" {
						fmt.Fprintf(out, "    its record cannot be read: %s\n", printable(d.Unreadable))
					}
				}
				if n == 0 {
					_, err = fmt.Fprintln(out, "No dead letters.")
					return err
				}
				if limit > 0 && n == int64(limit) {
					fmt.Fprintf(out, "(the first %d; --limit 0 shows all)\n", limit)
				}
				return nil
			})
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
			return show(cmd, &state, getting(cmd, "/api/v1/deadletters/"+id.String()), func(out io.Writer, found admin.Found) error {
				for i := range found.Deliveries {
					printDelivery(out, &found.Deliveries[i])
				}
				if found.Record == nil {
					return nil
				}
				return printJSON(out, found.Record)
			})
		},
	}
	state.register(cmd, true)
	return cmd
}

func printDelivery(out io.Writer, d *admin.Delivery) {
	fmt.Fprintf(out, "%s: %s", d.Destination, d.State)
	if d.Reason != "" {
		fmt.Fprintf(out, ": %s", whyDead(d.Reason, d.Attempts))
	}
	for _, at := range []struct {
		what string
		time time.Time
	}{{"next attempt", d.Next}, {"first attempt", d.FirstAttempt}, {"died", d.Died}} {
		if !at.time.IsZero() {
			fmt.Fprintf(out, ", %s %s", at.what, at.time.Local().Format(time.DateTime))
		}
	}
	if d.Unreadable != "" {
		fmt.Fprintf(out, "\n  its record cannot be read: %s", printable(d.Unreadable))
	}
	fmt.Fprintln(out)
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
	var yes, cancel bool
	cmd := &cobra.Command{
		Use: what + " [FILTER]", Short: "Put dead letters back into the queue, or deliver them to another URL",
		Example: "  tapway dlq redrive --dry-run\n  tapway dlq redrive --rate 50 \"destination == 'siem' && status < 500\"\n  tapway dlq redrive --to https://other.example.com/in --id ID",
		Args:    args(0, 1, "at most one filter"),
		RunE: func(cmd *cobra.Command, given []string) error {
			sel.Filter = first(given)
			if err := checkFilter(sel.Filter); err != nil {
				return err
			}
			return state.with(cmd, func(client *admin.Client) error {
				if cancel {
					return cancelMoves(cmd, client, sel.Destination)
				}
				if what == "purge" && !sel.DryRun && !yes {
					if some, err := confirmPurge(cmd, client, sel); err != nil || !some {
						return err
					}
				}
				p, err := follow(cmd, client, "/api/v1/deadletters/"+what, sel)
				if err != nil && cmd.Context().Err() != nil && len(p.Moving) > 0 {
					fmt.Fprintf(cmd.ErrOrStderr(), "tapway: SQS goes on moving the dead letters of %s by itself: `tapway dlq redrive` shows how far it is, `tapway dlq redrive --cancel` stops it\n", strings.Join(p.Moving, ", "))
				}
				if err != nil {
					return err
				}
				return summary(cmd, state.json, p, sel.DryRun, what)
			})
		},
	}
	if what == "purge" {
		cmd.Short = "Give dead letters up for good; the ledger counts them as dropped"
		cmd.Long = cmd.Short + ".\n\nOn SQS all of them together are purged by SQS itself: at once, but objects of large records\nstay in the bucket until its lifecycle rule removes them. With a filter, a rate or --each they\nare purged one by one, with their objects."
		cmd.Example = "  tapway dlq purge --dry-run \"time < -30d\"\n  tapway dlq purge --yes --destination old"
		cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	} else {
		cmd.Long = cmd.Short + ".\n\nOn SQS, when everything goes back unchanged, SQS moves them by itself, also when this command\nis interrupted: called again it shows how far that is, and --cancel stops it. With a filter,\n--to or --each they are taken one by one."
		cmd.Flags().StringVar(&sel.To, "to", "", "deliver to this URL instead of the record's own destination")
		cmd.Flags().BoolVar(&cancel, "cancel", false, "SQS: stop what SQS is moving by itself")
	}
	state.register(cmd, true)
	cmd.Flags().StringVar(&sel.Destination, "destination", "", "only of this destination")
	cmd.Flags().StringSliceVar(&sel.IDs, "id", nil, "only these exchange ids")
	cmd.Flags().BoolVar(&sel.Each, "each", false, "SQS: one by one, even where SQS can do it by itself")
	cmd.Flags().BoolVar(&sel.DryRun, "dry-run", false, "only count")
	cmd.Flags().Float64Var(&sel.Rate, "rate", 0, "records a second; 0 for no limit")
	return cmd
}

// confirmPurge counts and asks; false: there is nothing to purge.
func confirmPurge(cmd *cobra.Command, client *admin.Client, sel admin.Selection) (bool, error) {
	sel.DryRun = true
	p, err := follow(cmd, client, "/api/v1/deadletters/purge", sel)
	if err != nil {
		return false, err
	}
	if p.Matched == 0 && !p.About {
		fmt.Fprintln(cmd.OutOrStdout(), "No dead letters match.")
		return false, nil
	}
	if !confirm(cmd, fmt.Sprintf("Purge %s%s for good?", about(p), plural(p.Matched, "dead letter"))) {
		return false, fmt.Errorf("nothing purged; --yes purges without asking")
	}
	return true, nil
}

// about goes before a number that is an estimate.
func about(p admin.Progress) string {
	if p.About {
		return "about "
	}
	return ""
}

func cancelMoves(cmd *cobra.Command, client *admin.Client, destination string) error {
	all, err := admin.JSON[[]admin.Cancelled](client.Post(cmd.Context(), "/api/v1/deadletters/cancel", admin.Selection{Destination: destination}))
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Cancelled {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: cancelled; the %d that are moved stay moved.\n", c.Destination, c.Moved)
		} else {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: nothing is being moved.\n", c.Destination)
		}
	}
	return nil
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
		if p.Note != "" && p.Note != last.Note {
			bar.end()
			fmt.Fprintf(cmd.ErrOrStderr(), "tapway: %s\n", printable(p.Note))
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
	done := map[string]string{"redrive": "redriven", "purge": "purged", "replay": "replayed", "recover": "recovered"}[what]
	switch {
	case asJSON:
		if err := printJSON(out, p); err != nil {
			return err
		}
	case dryRun:
		fmt.Fprintf(out, "%s%d would be %s.\n", about(p), p.Matched-p.Skipped, done)
	default:
		fmt.Fprintf(out, "%s%d of %d %s", about(p), p.OK, p.Matched, done)
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
