package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestWrongUsage: exit 2, what is wrong, and where to look; before anything is touched.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		says string
		args string
	}{
		{`unknown command "serv"; did you mean serve?`, "serv"},
		{`unknown command "xyzzy" (tapway --help lists them)`, "xyzzy"},
		{`tapway dlq: unknown command "lst"; did you mean list?`, "dlq lst"},
		{`tapway queue: unknown command "stat"; did you mean stats?`, "queue stat"},
		{`tapway config: unknown command "chek"; did you mean check?`, "config chek"},
		{"unknown flag: --bakend; did you mean --backend? (see tapway serve --help)", "serve --bakend x"},
		{"unknown flag: --jsn; did you mean --json? (see tapway ledger --help)", "ledger --jsn"},
		{"unknown flag: --xyzzy (see tapway serve --help)", "serve --xyzzy x"},
		{"unknown shorthand flag: 'x' in -x (see tapway --help)", "-x"},
		{`unknown command "sreve"; did you mean serve?`, "sreve --backend x"},
		{`tapway queue: unknown command "stat"; did you mean stats?`, "queue stat --json"},
		{`unknown command "srve"; did you mean serve?`, "help srve"},
		{`tapway queue: unknown command "stat"; did you mean stats?`, "help queue stat"},
		{`tapway completion: unknown command "fsh"; did you mean `, "completion fsh"},
		{"flag needs an argument: --backend", "serve --backend"},
		{"wants no arguments, got 1 argument (see tapway serve --help)", "serve x"},
		{"wants at most one filter, got 2 arguments", "tail a b"},
		{"wants one exchange id, got 0 arguments", "dlq show"},
		{"wants one exchange id or one filter", "replay"},
		{"wants the name of one destination", "queue pause"},
		{`--backend: "foo" does not begin with http:// or https://; write https://foo`, "serve --backend foo"},
		{`--listen: "x" is not an address to listen on; write ":8080"`, "serve --backend http://a --listen x"},
		{`--listen: "off" is not an address`, "serve --backend http://a --listen off"},
		{`--destination: "bar" does not begin with http://`, "serve --backend http://a --destination bar"},
		{"there is nowhere to send calls; set backend:", "serve"},
		{"there is no tapway.yaml here", "config check"},
		{"--data and --admin exclude each other", "tail --data x --admin y"},
		{"--admin is empty", "tail --admin="},
		{"--data is empty", "ledger --data="},
		{"--queue is empty", "ledger --queue="},
		{"--queue names the queue itself: leave out --data and --admin", "ledger --queue sqs://x --admin y"},
		{"no queue on SQS is named", "queue recover"},
		{"no bucket is named", "queue recover --queue sqs://x"},
		{"--prefix is of the bucket", "queue recover --queue sqs://x --from-log - --prefix y"},
		{`--admin: "::bad" is not an address; write http://127.0.0.1:9090`, "ledger --admin ::bad"},
		{"--last: -1 is not a number from 0 up", "tail -n -1"},
		{`--last: "ten" is not a whole number`, "tail -n ten"},
		{"--limit: -5 is not a number from 0 up", "export --limit -5"},
		{"--rate: -1 is not a number from 0 up", "dlq redrive --rate -1"},
		{"--rate: NaN is not a number from 0 up", "dlq redrive --rate NaN"},
		{`--rate: "x" is not a number`, "dlq redrive --rate x"},
		{`--format: "xml" is neither ndjson nor har`, "export --format xml"},
		{`"x" is not an exchange id: want a UUID`, "dlq show x"},
		{"say where to with --to URL", "replay status==500"},
		{"say which API with --api ID, or which export with --openapi FILE", "discover"},
		{"--api and --openapi exclude each other", "discover --api x --openapi y"},
		{"say which API with --api ID", "attach --via lambda:x"},
		{"say which API with --api ID", "detach"},
		{"say which API with --api ID", "status"},
		{"say which API with --api ID", "backup"},
		{"--keep-theirs and --force exclude each other", "detach --api x --keep-theirs --force"},
		{`--via: write lambda:FUNCTION or url:https://..., not "x"`, "attach --api x --via x"},
		{"--rate: want a number above 0", "status --api x --rate 0"},
		{`--routes: column 1: unknown field "pth"`, "attach --api x --routes pth"},
		{"filter: column 1: unknown field \"stauts\"; did you mean \"status\"?\n  stauts\n  ^", "tail stauts"},
		{"filter: column", "dlq list status>"},
		{"filter: column", "export ("},
	} {
		fails(t, dir, 2, tt.says, strings.Split(tt.args, " ")...)
	}
}

// TestNoState: what to type next when there is nothing to read.
func TestNoState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "file", "")
	for _, args := range []string{"tail", "ledger", "queue stats", "queue check", "dlq list", "dlq redrive", "dlq purge", "export", "replay status>0 --to http://a"} {
		fails(t, dir, 1, "there is no data directory ./tapway-data; name another with --data, a running process with --admin, or start one with `tapway serve`", strings.Fields(args)...)
	}
	fails(t, dir, 1, ". holds no tapway data; name another", "ledger", "--data", ".")
	fails(t, dir, 1, "file is no directory; name another", "ledger", "--data", "file")
	fails(t, dir, 1, "connection refused; nothing listens there: is `tapway serve` running", "ledger", "--admin", "127.0.0.1:1")
	fails(t, dir, 1, "read the configuration: open nope.yaml: no such file or directory; write one with `tapway config init", "serve", "-c", "nope.yaml")
	fails(t, dir, 1, "read the export: open nope.json", "discover", "--openapi", "nope.json")
	if left := entries(t, dir); len(left) != 1 {
		t.Errorf("looking left %q behind", left)
	}
}

// TestHelp: every command explains itself with an example, and takes --json where it prints
// data.
func TestHelp(t *testing.T) {
	t.Parallel()
	walk(newRoot(), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.Short == "" || cmd.Example == "" || !strings.Contains(cmd.Example, path) {
			t.Errorf("%s: short %q, example %q", path, cmd.Short, cmd.Example)
		}
		out := must(t, t.TempDir(), append(strings.Fields(path)[1:], "--help")...)
		mustContain(t, out, "Usage:", "Examples:", cmd.Example)
		for line := range strings.Lines(out) {
			if len(line) > 200 {
				t.Errorf("%s --help has a line of %d characters", path, len(line))
			}
		}
	})
	for _, name := range []string{"tail", "dlq list", "dlq show", "dlq redrive", "dlq purge", "queue stats", "queue check", "replay", "ledger", "discover", "attach", "detach", "status", "restore", "egress explain", "config check", "doctor", "version"} {
		cmd, _, err := newRoot().Find(strings.Fields(name))
		if err != nil || cmd.Flags().Lookup("json") == nil {
			t.Errorf("tapway %s has no --json (%v)", name, err)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	text := must(t, t.TempDir(), "version")
	if !strings.HasPrefix(text, "tapway ") || text != must(t, t.TempDir(), "--version") {
		t.Errorf("version prints %q", text)
	}
	v := decode[map[string]string](t, must(t, t.TempDir(), "version", "--json"))
	if "tapway "+v["version"]+"\n" != text || v["go"] == "" || v["os"] == "" || v["arch"] == "" {
		t.Errorf("version --json is %v", v)
	}
}

// TestBare: a group alone shows what it has, and that is no failure.
func TestBare(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"dlq"}, {"queue"}, {"config"}, {"help"}, {"help", "tail"}} {
		mustContain(t, must(t, t.TempDir(), args...), "Usage:", "Examples:")
	}
}

// walk visits our commands, not those that cobra adds.
func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, child := range cmd.Commands() {
		if child.Name() != "help" && child.Name() != "completion" {
			walk(child, visit)
		}
	}
}
