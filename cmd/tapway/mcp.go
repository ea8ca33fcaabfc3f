package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/mcp"
)

func newMCP() *cobra.Command {
	var state stateFlags
	var write bool
	cmd := &cobra.Command{
		Use:   "mcp",
		Short: "Let an agent look into the tap (Model Context Protocol)",
		Long: "Speaks the Model Context Protocol on standard input and output: an agent's program starts\n" +
			"this command and gets tools to search exchanges, read one, group dead letters, explain an\n" +
			"access decision and see queue and ledger. Nothing can be changed unless --allow-write adds\n" +
			"the tools that redrive and replay; those count first and want a confirmation.\n\n" +
			"The state is looked up anew at every call: the running process, or else the data directory,\n" +
			"which is held only that long. A running process can also answer at /mcp of its admin\n" +
			"address: see admin.mcp in the configuration.",
		Example: "  tapway mcp\n  tapway mcp --admin http://127.0.0.1:9090 --allow-write",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			server := &mcp.Server{
				Version: versionText(), Write: write, Log: log, Explain: explainCall(state.config, state.data),
				Open: func(ctx context.Context) (*admin.Client, func(), error) { return state.open(ctx, cmd.ErrOrStderr()) },
			}
			if isTerminal(cmd.ErrOrStderr()) {
				fmt.Fprintln(cmd.ErrOrStderr(), "tapway: waiting for an agent's program on standard input; Ctrl-C ends it")
			}
			return server.Serve(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	state.register(cmd, false)
	cmd.Flags().BoolVar(&write, "allow-write", false, "offer the tools that redrive dead letters and replay exchanges")
	return cmd
}

// explainCall asks the access rules for an agent: nothing is read but the configuration and the
// data directory, and nothing is fetched.
func explainCall(file, data string) func(context.Context, mcp.Call) (any, error) {
	return func(_ context.Context, c mcp.Call) (any, error) {
		call := imagined{method: c.Method, path: c.Path, ip: c.IP, host: c.Host, headers: c.Headers, https: c.HTTPS}
		in, err := call.request()
		if err != nil {
			return nil, err
		}
		return explainAccess(configFile(file), data, call, in)
	}
}
