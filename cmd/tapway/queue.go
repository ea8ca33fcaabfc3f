package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/terminal"
)

func newQueue() *cobra.Command {
	cmd := &cobra.Command{
		Use: "queue", Short: "The queue: its state, whether it is sound, its content",
		Example: "  tapway queue stats\n  tapway queue check",
	}
	export := newExport()
	export.Example = strings.ReplaceAll(export.Example, "tapway export", "tapway queue export")
	return group(cmd, newQueueStats(), newQueueCheck(), newRecover(), export, newQueueControl("pause"), newQueueControl("resume"), newQueueControl("forget"))
}

func newQueueStats() *cobra.Command {
	var state stateFlags
	cmd := &cobra.Command{
		Use: "stats", Short: "What is stored, queued, retrying and dead",
		Example: "  tapway queue stats\n  tapway queue stats --json\n  tapway queue stats --queue sqs://records",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd, &state, getting(cmd, "/api/v1/queue"), printStats)
		},
	}
	state.register(cmd, true)
	return cmd
}

func printStats(out io.Writer, q admin.QueueState) error {
	if q.Approximate {
		return printSQSStats(out, q)
	}
	limit := "no limit"
	if q.Limit > 0 {
		limit = "limit " + terminal.Bytes(q.Limit)
	}
	fmt.Fprintf(out, "%s stored, %s on disk (%s)", plural(int64(q.Records), "record"), terminal.Bytes(q.Bytes), limit)
	if q.Records > 0 {
		fmt.Fprintf(out, ", the oldest %s", ago(q.Oldest))
	}
	fmt.Fprintln(out)
	if len(q.Destinations) == 0 {
		fmt.Fprintln(out, "No destinations.")
		return nil
	}
	state := liveStates(q)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out)
	fmt.Fprintln(t, "DESTINATION\tQUEUED\tRETRYING\tDEAD\tOLDEST\tSTATE")
	for _, d := range q.Destinations {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%s\n", d.Destination, d.Queued, d.Retrying, d.Dead, ago(d.OldestQueued), state(d.Destination, "not being delivered to"))
	}
	return t.Flush()
}

// liveStates tells what the running process says of a destination, or otherwise where it says
// nothing.
func liveStates(q admin.QueueState) func(destination, otherwise string) string {
	live := map[string]admin.DestinationState{}
	for _, d := range q.Live {
		live[d.Destination] = d
	}
	return func(destination, otherwise string) string {
		l, ok := live[destination]
		if !ok {
			return otherwise
		}
		text := l.State
		if l.State == "closed" {
			text = "delivering"
		}
		if l.Reason != "" {
			text += ": " + printable(l.Reason)
		}
		return text
	}
}

// printSQSStats prints what SQS counts: it does not tell what is retried later from what
// somebody has in hand.
func printSQSStats(out io.Writer, q admin.QueueState) error {
	fmt.Fprintf(out, "About %s in SQS, dead letters included; SQS counts approximately, and about a minute behind.\n\n", plural(int64(q.Records), "record"))
	state := liveStates(q)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DESTINATION\tWAITING\tIN HAND OR RETRYING\tDEAD\tOLDEST\tDELIVERED BY THIS PROCESS")
	for _, d := range q.Destinations {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%s\n", d.Destination, max(d.Queued, d.Leased)-d.Leased, d.Leased, d.Dead, ago(d.OldestQueued), state(d.Destination, "-"))
	}
	return t.Flush()
}

func newQueueCheck() *cobra.Command {
	var state stateFlags
	cmd := &cobra.Command{
		Use: "check", Short: "Verify the checksum of every stored record",
		Example: "  tapway queue check\n  tapway queue check --data /var/lib/tapway",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return state.with(cmd, func(client *admin.Client) error {
				bar := newProgress(cmd.ErrOrStderr())
				defer bar.end()
				var report *tapway.CheckReport
				for p, err := range admin.Stream[admin.Progress](client.Post(cmd.Context(), "/api/v1/queue/check", nil)) {
					if err != nil {
						return err
					}
					bar.show(p.OK, p.Matched, terminal.Bytes)
					report = p.Report
				}
				if report == nil {
					return fmt.Errorf("the check broke off")
				}
				bar.end()
				if state.json {
					if err := printJSON(cmd.OutOrStdout(), report); err != nil {
						return err
					}
				} else {
					printReport(cmd.OutOrStdout(), report)
				}
				if len(report.Damage) > 0 {
					return errSilent
				}
				return nil
			})
		},
	}
	state.register(cmd, true)
	return cmd
}

func printReport(out io.Writer, r *tapway.CheckReport) {
	fmt.Fprintf(out, "%s in %s, %s: ", plural(int64(r.Records), "record"), plural(int64(r.Segments), "segment"), terminal.Bytes(r.Bytes))
	if len(r.Damage) == 0 {
		fmt.Fprintln(out, "all sound.")
		return
	}
	fmt.Fprintf(out, "%s damaged.\n", plural(int64(len(r.Damage)), "place"))
	for _, d := range r.Damage {
		fmt.Fprintf(out, "  %s at byte %d, %d bytes: %s", d.File, d.Offset, d.Bytes, d.What)
		if d.FromSeq > 0 {
			fmt.Fprintf(out, " (records %d to %d)", d.FromSeq, d.ToSeq)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out, "Everything else is delivered as usual; the ledger counts what is lost as damaged.")
}

func newQueueControl(action string) *cobra.Command {
	var state stateFlags
	var yes bool
	short := map[string]string{
		"pause":  "Stop delivering to a destination, over restarts too, until it is resumed; its records stay queued",
		"resume": "Deliver to a paused destination again",
		"forget": "Remove a destination that is no longer configured, with all it had queued or dead",
	}[action]
	cmd := &cobra.Command{
		Use: action + " DESTINATION", Short: short, Example: "  tapway queue " + action + " siem",
		Args: args(1, 1, "the name of one destination"),
		RunE: func(cmd *cobra.Command, given []string) error {
			return state.with(cmd, func(client *admin.Client) error {
				if action == "forget" && !yes {
					if err := confirmForget(cmd, client, given[0]); err != nil {
						return err
					}
				}
				_, err := admin.JSON[map[string]string](client.Post(cmd.Context(), "/api/v1/destinations/"+url.PathEscape(given[0])+"/"+action, nil))
				if err != nil {
					return err
				}
				past := map[string]string{"pause": "paused", "resume": "resumed", "forget": "forgotten"}[action]
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s.\n", given[0], past)
				return nil
			})
		},
	}
	state.register(cmd, false)
	if action == "forget" {
		cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	}
	return cmd
}

// confirmForget asks when records would be given up.
func confirmForget(cmd *cobra.Command, client *admin.Client, destination string) error {
	q, err := admin.JSON[admin.QueueState](client.Get(cmd.Context(), "/api/v1/queue", nil))
	if err != nil {
		return err
	}
	for _, d := range q.Destinations {
		if d.Destination != destination || d.Queued+d.Dead == 0 {
			continue
		}
		if !confirm(cmd, fmt.Sprintf("Give up the %d queued and %d dead records of %s for good?", d.Queued, d.Dead, destination)) {
			return fmt.Errorf("nothing forgotten; --yes forgets without asking")
		}
	}
	return nil
}

func newLedger() *cobra.Command {
	var state stateFlags
	cmd := &cobra.Command{
		Use: "ledger", Short: "Account for every call: captured = delivered + queued + dead + dropped",
		Example: "  tapway ledger\n  tapway ledger --json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return state.with(cmd, func(client *admin.Client) error {
				text, err := admin.JSON[json.RawMessage](client.Get(cmd.Context(), "/api/v1/ledger", nil))
				if err != nil {
					return err
				}
				var l admin.LedgerState
				if err := json.Unmarshal(text, &l); err != nil {
					return fmt.Errorf("read the admin API's answer: %w", err)
				}
				if state.json {
					err = printJSON(cmd.OutOrStdout(), text)
				} else {
					err = printLedger(cmd.OutOrStdout(), l)
				}
				if err == nil && l.Scope == "" && l.Difference != 0 {
					err = fmt.Errorf("the ledger does not balance: %d calls are unaccounted for", l.Difference)
				}
				return err
			})
		},
	}
	state.register(cmd, true)
	return cmd
}

func printLedger(out io.Writer, l admin.LedgerState) error {
	if l.Scope == admin.ScopeQueue {
		return printQueueLedger(out, l)
	}
	fmt.Fprintf(out, "%s, %d recorded%s\n", plural(int64(l.Calls), "call"), l.Stored, dropped(", not recorded: ", l.Dropped))
	if len(l.Destinations) == 0 {
		fmt.Fprintln(out, "No destinations.")
		return nil
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out)
	fmt.Fprintln(t, "DESTINATION\tCAPTURED\t=  DELIVERED\t+  QUEUED\t+  DEAD\t+  DROPPED\tDIFFERENCE")
	for _, d := range l.Destinations {
		total := uint64(0)
		for _, n := range d.Dropped {
			total += n
		}
		fmt.Fprintf(t, "%s\t%d\t   %d\t   %d\t   %d\t   %d%s\t%d\n", d.Destination, d.Captured, d.Delivered, d.Queued, d.Dead, total, dropped(" ", d.Dropped), d.Difference())
	}
	if err := t.Flush(); err != nil || l.Scope == "" {
		return err
	}
	printSpilled(out, l)
	_, err := fmt.Fprint(out, "\nCaptured, delivered and dropped are this process's; queued and dead are what SQS counts of everybody's, about a\n"+
		"minute behind. So a difference is what other processes sent or delivered, and no loss.\n")
	return err
}

// printQueueLedger prints the part of the account that lies in SQS.
func printQueueLedger(out io.Writer, l admin.LedgerState) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DESTINATION\tQUEUED\tDEAD")
	for _, d := range l.Destinations {
		fmt.Fprintf(t, "%s\t%d\t%d\n", d.Destination, d.Queued, d.Dead)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	printSpilled(out, l)
	_, err := fmt.Fprint(out, "\nThis is what lies in SQS, as it counts approximately. What was captured, delivered and dropped is counted where it\n"+
		"happens: by the functions in their CloudWatch metrics (namespace tapway), by a process at its admin API (--admin).\n")
	return err
}

func printSpilled(out io.Writer, l admin.LedgerState) {
	total := uint64(0)
	for _, n := range l.Spilled {
		total += n
	}
	if total > 0 {
		fmt.Fprintf(out, "\n%s in the bucket that SQS did not take%s; `tapway queue recover` enqueues them.\n", plural(int64(total), "record"), dropped(" ", l.Spilled))
	}
}

func dropped(before string, reasons map[string]uint64) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		if n := reasons[reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, reason))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return before + "(" + strings.Join(parts, ", ") + ")"
}

func newExport() *cobra.Command {
	var state stateFlags
	var format, output string
	var limit int
	cmd := &cobra.Command{
		Use: "export [FILTER]", Short: "Write stored records as NDJSON or as a HAR file for browsers and Postman",
		Example: "  tapway export --format har -o calls.har \"time > -1h\"\n  tapway export \"status >= 500\" | jq .endpoint",
		Args:    args(0, 1, "at most one filter"),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := checkFilter(first(given)); err != nil {
				return err
			}
			if format != "ndjson" && format != "har" {
				return usagef("--format: %q is neither ndjson nor har", format)
			}
			return state.with(cmd, func(client *admin.Client) error {
				q := url.Values{"filter": {first(given)}, "format": {format}, "limit": {fmt.Sprint(limit)}}
				body, err := client.Get(cmd.Context(), "/api/v1/export", q)
				if err != nil {
					return err
				}
				defer body.Close()
				return writeExport(cmd, body, format, output)
			})
		},
	}
	state.register(cmd, false)
	cmd.Flags().StringVar(&format, "format", "ndjson", "ndjson or har")
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this file instead of standard output")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most this many; 0 for all")
	return cmd
}

// writeExport copies the export; a file appears only when it is whole.
func writeExport(cmd *cobra.Command, body io.ReadCloser, format, output string) error {
	if output == "" {
		return copyExport(cmd.OutOrStdout(), body, format)
	}
	if info, err := os.Stat(output); err == nil && info.IsDir() {
		return usagef("-o: %s is a directory; name a file in it", output)
	}
	f, err := os.CreateTemp(dirOf(output), ".tapway-export-*")
	if err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	bar := newProgress(cmd.ErrOrStderr())
	defer bar.end()
	if err := copyExport(bar.written(f), body, format); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	if err := os.Rename(f.Name(), output); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	return nil
}

func copyExport(out io.Writer, body io.ReadCloser, format string) error {
	if format != "har" {
		return copyLines(out, body, nil)
	}
	_, err := io.Copy(out, body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return admin.ErrBrokeOff
	}
	return err
}

func dirOf(path string) string {
	if i := strings.LastIndexAny(path, `/\`); i >= 0 {
		return path[:i+1]
	}
	return "."
}

func newReplay() *cobra.Command {
	var state stateFlags
	var sel admin.Selection
	cmd := &cobra.Command{
		Use: "replay ID|FILTER --to URL", Short: "Repeat recorded requests against a URL, or deliver their records to it",
		Long: "Repeats the requests of stored exchanges, oldest first, against another server: the\n" +
			"recorded path and query are appended to --to. What was redacted stays redacted, so\n" +
			"redacted headers are left out, and requests whose body was withheld or truncated are\n" +
			"skipped. With --record the record itself is delivered to --to, as to a destination.",
		Example: "  tapway replay 0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d --to http://127.0.0.1:3000\n  tapway replay \"method == GET && time > -1h\" --to https://staging.example.com --rate 20",
		Args:    args(1, 1, "one exchange id or one filter"),
		RunE: func(cmd *cobra.Command, given []string) error {
			if sel.To == "" {
				return usagef("say where to with --to URL")
			}
			if _, err := tapway.ParseID(given[0]); err == nil {
				sel.IDs = given
			} else if sel.Filter = given[0]; true {
				if err := checkFilter(sel.Filter); err != nil {
					return err
				}
			}
			return state.with(cmd, func(client *admin.Client) error {
				p, err := follow(cmd, client, "/api/v1/replay", sel)
				if err != nil {
					return err
				}
				return summary(cmd, state.json, p, sel.DryRun, "replay")
			})
		},
	}
	state.register(cmd, true)
	cmd.Flags().StringVar(&sel.To, "to", "", "where to send them (required)")
	cmd.Flags().BoolVar(&sel.Record, "record", false, "deliver the records instead of repeating the requests")
	cmd.Flags().BoolVar(&sel.DryRun, "dry-run", false, "only count")
	cmd.Flags().Float64Var(&sel.Rate, "rate", 0, "requests a second; 0 for one after the other")
	return cmd
}
