package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/alarm"
	"github.com/tapway/tapway/internal/config"
)

func newAlarm() *cobra.Command {
	cmd := &cobra.Command{
		Use: "alarm", Short: "What the running gateway finds wrong, and who is told of it",
		Example: "  tapway alarm list\n  tapway alarm test --notify ops",
	}
	return group(cmd, newAlarmList(), newAlarmHistory(), newAlarmAck(), newAlarmSilence(), newAlarmTest())
}

func alarms(cmd *cobra.Command, client *admin.Client) (alarm.Listing, error) {
	return admin.JSON[alarm.Listing](client.Get(cmd.Context(), "/api/v1/alarms", nil))
}

const nobodyWatches = "nobody watches alarms here: it is a running `tapway serve` that does"

func newAlarmList() *cobra.Command {
	var state stateFlags
	var check bool
	cmd := &cobra.Command{
		Use: "list", Short: "List every alarm with its value, those that fire first, and who is told",
		Long: "Lists every alarm with its value, those that fire first, and who is told. The exit status is 0 whatever\n" +
			"fires. With --check it is 1 when a critical alarm fires or nobody watches, for cron and monitoring systems.",
		Example: "  tapway alarm list\n  tapway alarm list --json\n  tapway alarm list --check",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return state.with(cmd, func(client *admin.Client) error {
				l, err := alarms(cmd, client)
				if err != nil {
					return err
				}
				if err := showAlarms(cmd, &l, state.json); err != nil {
					return err
				}
				if !check {
					return nil
				}
				for _, s := range l.Alarms {
					if s.State == alarm.Firing && s.Severity == alarm.Critical {
						return errSilent
					}
				}
				if !l.Watching {
					return errSilent
				}
				return nil
			})
		},
	}
	state.register(cmd, true)
	cmd.Flags().BoolVar(&check, "check", false, "exit status 1 when a critical alarm fires, or nobody watches")
	return cmd
}

func showAlarms(cmd *cobra.Command, l *alarm.Listing, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		return printJSON(out, l)
	}
	if !l.Watching {
		fmt.Fprintf(cmd.ErrOrStderr(), "tapway: %s\n", nobodyWatches)
		return nil
	}
	paint := coloursFor(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STATE\tALARM\tDESTINATION\tSEVERITY\tVALUE\tTHRESHOLD\tSINCE")
	for _, firing := range []bool{true, false} {
		for _, s := range l.Alarms {
			if (s.State == alarm.Firing) == firing {
				value := alarm.Text(s.Unit, s.Value)
				if s.Unknown != "" {
					value = "unknown"
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", stateText(&s), s.Name, printable(cmp.Or(s.Destination, "-")), s.Severity, value, alarm.Text(s.Unit, s.Threshold), ago(s.Since))
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range l.Alarms {
		if s.State == alarm.Firing {
			showAlarm(out, paint, &s)
		}
	}
	for _, s := range l.Alarms {
		if s.Unknown != "" {
			fmt.Fprintf(out, "\n%s cannot be told: %s\n", title(s.Name, s.Destination), printable(s.Unknown))
		}
	}
	for _, s := range l.Silences {
		fmt.Fprintf(out, "\nsilence %s: %s until %s%s\n", s.ID, title(cmp.Or(s.Name, "every alarm"), s.Destination), s.Until.Local().Format(time.DateTime), noted(s.Note))
	}
	return showNotify(out, l.Notify)
}

// stateText is the state with what keeps its messages back.
func stateText(s *alarm.Status) string {
	switch {
	case s.State == alarm.Firing && !s.SilencedTill.IsZero():
		return "FIRING (silenced)"
	case s.State == alarm.Firing && s.Acknowledged != nil:
		return "FIRING (acknowledged)"
	case s.State == alarm.Firing:
		return "FIRING"
	}
	return string(s.State)
}

// showAlarm tells more of an alarm that fires.
func showAlarm(out io.Writer, paint colours, s *alarm.Status) {
	fmt.Fprintf(out, "\n%s: %s\n", paint.paint("31;1", title(s.Name, s.Destination)), printable(s.Message))
	if s.LastError != "" {
		fmt.Fprintf(out, "  last error  %s\n", printable(s.LastError))
	}
	if len(s.Records) > 0 {
		fmt.Fprintf(out, "  records     %s\n", strings.Join(s.Records, ", "))
	}
	if s.Acknowledged != nil {
		fmt.Fprintf(out, "  known       since %s%s\n", s.Acknowledged.At.Local().Format(time.DateTime), noted(s.Acknowledged.Note))
	}
	fmt.Fprintf(out, "  see         %s\n", s.Command)
}

func showNotify(out io.Writer, list []alarm.NotifyState) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "\nNobody is told: the configuration has no alarms.notify.")
		return err
	}
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TOLD\tBY\tLAST SENT\tFAILURES\tLAST ERROR")
	for _, n := range list {
		by := n.Kind
		if n.Format != "" {
			by += " (" + n.Format + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", n.Name, by, ago(n.LastSent), n.Failures, printable(cmp.Or(n.LastError, "-")))
	}
	return t.Flush()
}

func title(name, destination string) string {
	if destination == "" {
		return name
	}
	return name + " of " + printable(destination)
}

func noted(note string) string {
	if note == "" {
		return ""
	}
	return ": " + printable(note)
}

func newAlarmHistory() *cobra.Command {
	var state stateFlags
	var limit int
	cmd := &cobra.Command{
		Use: "history", Short: "When alarms fired and ended, newest first",
		Example: "  tapway alarm history\n  tapway alarm history --limit 5 --json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return state.with(cmd, func(client *admin.Client) error {
				l, err := alarms(cmd, client)
				if err != nil {
					return err
				}
				history := l.History
				if limit > 0 {
					history = history[:min(limit, len(history))]
				}
				out := cmd.OutOrStdout()
				if state.json {
					return printJSON(out, history)
				}
				if !l.Watching {
					fmt.Fprintf(cmd.ErrOrStderr(), "tapway: %s\n", nobodyWatches)
					return nil
				}
				for _, e := range history {
					what := "over  "
					if e.To == alarm.Firing {
						what = "fires "
					}
					fmt.Fprintf(out, "%s  %s  %s: %s\n", e.At.Local().Format(time.DateTime), what, title(e.Name, e.Destination), printable(e.Message))
				}
				if len(history) == 0 {
					fmt.Fprintln(out, "No alarm has fired.")
				}
				return nil
			})
		},
	}
	state.register(cmd, true)
	cmd.Flags().IntVar(&limit, "limit", 0, "at most this many; 0 for all that are kept, which are 200")
	return cmd
}

func newAlarmAck() *cobra.Command {
	var state stateFlags
	var in admin.AlarmAck
	cmd := &cobra.Command{
		Use: "ack [NAME]", Short: "Acknowledge alarms that fire: their messages are not repeated",
		Long: "Acknowledges alarms that fire: their messages are not repeated until they end, or become twice as bad.\n" +
			"Without NAME all of them, with --destination those of one destination.",
		Example: "  tapway alarm ack\n  tapway alarm ack dead_letters --destination siem --note 'the SIEM is being moved'",
		Args:    args(0, 1, "at most one alarm's name"),
		RunE: func(cmd *cobra.Command, given []string) error {
			name := first(given)
			return state.with(cmd, func(client *admin.Client) error {
				l, err := alarms(cmd, client)
				if err != nil {
					return err
				}
				acked := []alarm.Status{}
				for _, s := range l.Alarms {
					if s.State != alarm.Firing || name != "" && s.Name != name || in.Destination != "" && s.Destination != in.Destination {
						continue
					}
					one := admin.AlarmAck{Name: s.Name, Destination: s.Destination, Note: in.Note}
					s, err := admin.JSON[alarm.Status](client.Post(cmd.Context(), "/api/v1/alarms/ack", one))
					if err != nil {
						return err
					}
					acked = append(acked, s)
				}
				if len(acked) == 0 && name != "" { // the answer says what is wrong with the name
					_, err := admin.JSON[alarm.Status](client.Post(cmd.Context(), "/api/v1/alarms/ack", admin.AlarmAck{Name: name, Destination: in.Destination}))
					return err
				}
				if state.json {
					return printJSON(cmd.OutOrStdout(), acked)
				}
				for _, s := range acked {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: acknowledged.\n", title(s.Name, s.Destination))
				}
				if len(acked) == 0 {
					fmt.Fprintln(cmd.OutOrStdout(), "No such alarm fires.")
				}
				return nil
			})
		},
	}
	state.register(cmd, true)
	cmd.Flags().StringVar(&in.Destination, "destination", "", "only of this destination")
	cmd.Flags().StringVar(&in.Note, "note", "", "for those who look at the list")
	return cmd
}

func newAlarmSilence() *cobra.Command {
	var state stateFlags
	var in admin.AlarmSilence
	var remove string
	cmd := &cobra.Command{
		Use: "silence", Short: "Keep messages back for a while; alarms are shown all the same",
		Long: "Keeps messages back for a while. Alarms are evaluated and shown all the same, and the end of one that\n" +
			"somebody was told of is told. What still fires when the silence ends is told then.",
		Example: "  tapway alarm silence --for 2h\n  tapway alarm silence --for 2h --name dead_letters --destination siem --note 'planned work'\n" +
			"  tapway alarm silence --remove 0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d",
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (in.For == "") == (remove == "") {
				return usagef("say how long with --for 2h, or --remove a silence by its id (see %s --help)", cmd.CommandPath())
			}
			if in.For != "" {
				if _, err := config.ParseDuration(in.For); err != nil {
					return usagef("--for: %w", err)
				}
			}
			if remove != "" {
				end := func(client *admin.Client) (io.ReadCloser, error) {
					return client.Delete(cmd.Context(), "/api/v1/alarms/silence/"+url.PathEscape(remove))
				}
				return show(cmd, &state, end, func(out io.Writer, _ json.RawMessage) error {
					_, err := fmt.Fprintln(out, "The silence has ended.")
					return err
				})
			}
			return show(cmd, &state, posting(cmd, "/api/v1/alarms/silence", in), func(out io.Writer, s alarm.Silence) error {
				_, err := fmt.Fprintf(out, "No messages of %s until %s. To end it: tapway alarm silence --remove %s\n", title(cmp.Or(s.Name, "every alarm"), s.Destination), s.Until.Local().Format(time.DateTime), s.ID)
				return err
			})
		},
	}
	state.register(cmd, true)
	cmd.Flags().StringVar(&in.For, "for", "", "how long: 30m, 2h, 7d")
	cmd.Flags().StringVar(&in.Name, "name", "", "only alarms of this name")
	cmd.Flags().StringVar(&in.Destination, "destination", "", "only alarms of this destination")
	cmd.Flags().StringVar(&in.Note, "note", "", "for those who look at the list")
	cmd.Flags().StringVar(&remove, "remove", "", "end the silence with this id")
	return cmd
}

func newAlarmTest() *cobra.Command {
	var state stateFlags
	var in admin.AlarmTest
	cmd := &cobra.Command{
		Use: "test", Short: "Send a test message to those who are told of alarms",
		Long: "Sends a message that says that it is a test to those who are told of alarms, and prints what the other\n" +
			"end answered. It is the running gateway that sends it. Ends with exit status 1 when one could not be sent.",
		Example: "  tapway alarm test\n  tapway alarm test --notify ops",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return state.with(cmd, func(client *admin.Client) error {
				tested, err := admin.JSON[[]alarm.Tested](client.Post(cmd.Context(), "/api/v1/alarms/test", in))
				if err != nil {
					return err
				}
				if state.json {
					err = printJSON(cmd.OutOrStdout(), tested)
				}
				failed := false
				for _, one := range tested {
					failed = failed || one.Error != ""
					switch {
					case state.json:
					case one.Error != "":
						fmt.Fprintf(cmd.OutOrStdout(), "%s: not sent: %s\n", one.Name, printable(one.Error))
					default:
						fmt.Fprintf(cmd.OutOrStdout(), "%s: sent; the answer was: %s\n", one.Name, printable(one.Answer))
					}
				}
				if failed && err == nil {
					err = errSilent
				}
				return err
			})
		},
	}
	state.register(cmd, true)
	cmd.Flags().StringVar(&in.Notify, "notify", "", "only to the one of this name")
	return cmd
}
