package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/filter"
)

// hunt is what the flags of `tapway search` ask for.
type hunt struct {
	filter        string
	since, until  string
	before, after uint64
	limit         int
	oldest        bool
}

func newSearch() *cobra.Command {
	var state stateFlags
	var h hunt
	cmd := &cobra.Command{
		Use:   "search [FILTER]",
		Short: "Search the stored exchanges, newest first",
		Long: "Searches the exchanges that are still stored, newest first, and prints one line each as it is\n" +
			"found. Most fields are answered from an index; headers, bodies and the few other fields are\n" +
			"looked for in the records themselves, which takes longer the more there are: narrow it with\n" +
			"--since or another condition. Ctrl-C ends it and keeps what was found.",
		Example: `  tapway search "status >= 500" --since 1h
  tapway search 'path startsWith "/api/v1/users/" && duration > 1s' --limit 20
  tapway search 'body contains "order-4711"' --since 1d --json | jq .id`,
		Args: args(0, 1, "at most one filter"),
		RunE: func(cmd *cobra.Command, given []string) error {
			h.filter = first(given)
			if err := checkFilter(h.filter); err != nil {
				return err
			}
			q, err := h.query()
			if err != nil {
				return err
			}
			return state.with(cmd, func(client *admin.Client) error { return search(cmd, client, &h, q, state.json) })
		},
	}
	state.register(cmd, true)
	cmd.Flags().StringVar(&h.since, "since", "", "only from here on: 30m, 6h, 2d (that long ago), or 2026-11-20T10:00:00Z")
	cmd.Flags().StringVar(&h.until, "until", "", "only before this, as for --since")
	cmd.Flags().IntVar(&h.limit, "limit", 100, "at most this many; 0 for all")
	cmd.Flags().BoolVar(&h.oldest, "oldest", false, "oldest first")
	cmd.Flags().Uint64Var(&h.before, "before", 0, "go on below this position, as the page before says")
	cmd.Flags().Uint64Var(&h.after, "after", 0, "go on above this position, with --oldest")
	return cmd
}

// query puts the flags into the words of the admin API.
func (h *hunt) query() (url.Values, error) {
	var parts []string
	for _, bound := range []struct{ flag, op, text string }{{"--since", ">=", h.since}, {"--until", "<", h.until}} {
		if bound.text == "" {
			continue
		}
		at := strconv.Quote(bound.text)
		if c := bound.text[len(bound.text)-1]; c != 'Z' && c >= 'a' && c <= 'z' { // a duration
			at = "now-" + strings.TrimPrefix(bound.text, "-")
		}
		part := "time " + bound.op + " " + at
		if _, err := filter.Parse(part); err != nil {
			return nil, usagef("%s: %q is neither a duration such as 1h30m nor a time such as 2026-11-20T10:00:00Z", bound.flag, bound.text)
		}
		parts = append(parts, part)
	}
	if strings.TrimSpace(h.filter) != "" {
		parts = append(parts, "("+h.filter+")")
	}
	q := url.Values{"filter": {strings.Join(parts, " && ")}, "limit": {strconv.Itoa(h.limit)}, "progress": {"1"}}
	if h.oldest {
		q.Set("oldest", "1")
	}
	for name, at := range map[string]uint64{"before": h.before, "after": h.after} {
		if at > 0 {
			q.Set(name, strconv.FormatUint(at, 10))
		}
	}
	return q, nil
}

// search prints what is found as it is found, and on a terminal how far it is.
func search(cmd *cobra.Command, client *admin.Client, h *hunt, q url.Values, asJSON bool) error {
	out, errOut := cmd.OutOrStdout(), cmd.ErrOrStderr()
	paint, width := coloursFor(out), widthOf(out)
	bar := newProgress(errOut)
	defer bar.end()
	began := time.Now()
	found := 0
	var at admin.Searched
	for line, err := range admin.Lines(client.Get(cmd.Context(), "/api/v1/exchanges", q)) {
		if err != nil && cmd.Context().Err() != nil {
			bar.end()
			fmt.Fprintf(errOut, "tapway: stopped after %s of %s\n", thousands(int64(at.Searched)), plural(int64(at.Total), "record"))
			return errSilent
		}
		if err != nil {
			return err
		}
		var s admin.FoundLine
		if err := json.Unmarshal(line, &s); err != nil {
			return fmt.Errorf("read the admin API's answer: %w", err)
		}
		if s.Progress != nil {
			at = *s.Progress
			bar.show(int64(at.Searched), int64(at.Total), thousands)
			continue
		}
		found++
		if !asJSON {
			line = []byte(paint.dated(&s.Summary, began, width))
		}
		bar.end()
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	bar.end()
	if at.Next > 0 {
		flag := "--before"
		if h.oldest {
			flag = "--after"
		}
		fmt.Fprintf(errOut, "tapway: %s; go on with %s %d\n", plural(int64(found), "record"), flag, at.Next)
	} else if found == 0 && isTerminal(out) {
		fmt.Fprintf(errOut, "tapway: none of %s\n", plural(int64(at.Total), "record"))
	}
	return nil
}

// dated is line with the day where that is not today's.
func (c colours) dated(s *admin.Summary, now time.Time, width int) string {
	at := s.Time.Local()
	if at.Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return c.line(s, width)
	}
	if width > 0 {
		width = max(width-11, 1)
	}
	return c.dim(at.Format(time.DateOnly)) + " " + c.line(s, width)
}

// thousands writes a number with a comma between its thousands.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
