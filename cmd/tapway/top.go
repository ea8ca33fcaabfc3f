package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/terminal"
	"github.com/tapway/tapway/internal/top"
)

func newTop() *cobra.Command {
	var state stateFlags
	var expr string
	cmd := &cobra.Command{
		Use:   "top [FILTER]",
		Short: "Watch calls, deliveries and dead letters on the whole screen",
		Example: `  tapway top
  tapway top "status >= 500"
  tapway top --admin https://gateway.internal:9090`,
		Long: "Watch calls, deliveries and dead letters on the whole screen.\n\n" +
			"? shows the keys, q quits. Enter opens a call with its headers, bodies, timing and deliveries; f edits the\n" +
			"filter, and r sends the call again after asking where to. NO_COLOR is heeded, and without UTF-8 in the locale\n" +
			"everything is shown in ASCII.",
		Args: args(0, 1, "at most one filter"),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := takeFilter(&expr, given); err != nil {
				return err
			}
			profile := terminal.ProfileOf(os.Getenv)
			tty, err := openTerminal(cmd)
			if err != nil || !profile.Screen {
				return errors.New("tapway top wants a terminal whose cursor can be moved; `tapway tail` prints a line for each call anywhere")
			}
			return state.with(cmd, func(client *admin.Client) error {
				return watch(cmd, client, tty, profile, strings.TrimSpace(expr), state.peeking)
			})
		},
	}
	state.register(cmd, false)
	cmd.Flags().StringVarP(&expr, "filter", "f", "", "only calls for which this holds")
	return cmd
}

func openTerminal(cmd *cobra.Command) (*terminal.TTY, error) {
	in, isFile := cmd.InOrStdin().(*os.File)
	out, alsoFile := cmd.OutOrStdout().(*os.File)
	if !isFile || !alsoFile {
		return nil, terminal.ErrNoTerminal
	}
	return terminal.Open(in, out)
}

func watch(cmd *cobra.Command, client *admin.Client, tty *terminal.TTY, profile terminal.Profile, expr string, peeking bool) error {
	onStopAtOnce(func() { tty.Leave() })
	address := client.Base
	if peeking {
		address = "SQS, every look counts as a receive"
	}
	model := top.New(top.Remote{Client: client}, address, expr)
	err := top.Run(cmd.Context(), model, tty, profile)
	for _, text := range model.Parting() {
		fmt.Fprintln(cmd.OutOrStdout(), text)
	}
	return err
}
