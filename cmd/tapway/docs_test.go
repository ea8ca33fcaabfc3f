package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/config"
)

var update = flag.Bool("update", false, "write docs/cli.md, docs/configuration.md and docs/record.md anew")

// TestDocs: the documents made from the program are what the program is. After a change:
//
//	go test ./cmd/tapway -run TestDocs -update
func TestDocs(t *testing.T) {
	for path, want := range map[string]string{"../../docs/cli.md": cliReference(), "../../docs/configuration.md": config.Reference(), "../../docs/record.md": recordReference()} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is out of date (%v): go test ./cmd/tapway -run TestDocs -update", path, err)
		}
	}
}

func cliReference() string {
	var b strings.Builder
	b.WriteString("# The command line\n\nEvery command, made from the program by a test.\n\n" +
		"Exit status: 0 done, 1 failed, 2 used wrongly. Commands that read state go through the running process when there is one\n" +
		"and open the data directory, or ask SQS itself, when there is none; what they print is for people, or JSON with `--json`.\n" +
		"FILTER is an expression over the fields of an exchange, such as `status >= 500 && path startsWith '/api/'`.\n")
	walk(newRoot(), func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag()
		fmt.Fprintf(&b, "\n## %s\n\n", cmd.CommandPath())
		about := cmd.Long
		if about == "" {
			about = cmd.Short + "."
		}
		fmt.Fprintf(&b, "%s\n", about)
		if !cmd.HasSubCommands() {
			fmt.Fprintf(&b, "\n    %s\n", cmd.UseLine())
		}
		fmt.Fprintf(&b, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(cmd.Example, "  "), "\n  ", "\n"))
		if cmd.HasSubCommands() {
			return
		}
		if usages := cmd.NonInheritedFlags().FlagUsages(); usages != "" {
			fmt.Fprintf(&b, "\n```\n%s```\n", usages)
		}
	})
	return b.String()
}
