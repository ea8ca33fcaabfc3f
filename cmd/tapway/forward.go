package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/app"
)

func newForward() *cobra.Command {
	var given settings
	cmd := &cobra.Command{
		Use: "forward", Short: "Only the forwarder, for a queue that several machines share",
		Long: "Delivers what an SQS queue holds to the destinations: what `tapway serve` with that queue and\n" +
			"the proxy function on Lambda put there. Any number of forwarders share a queue, and one that\n" +
			"ends, however it ends, leaves its records to the others. It needs no backend and keeps nothing\n" +
			"on disk. AWS region and credentials are found as the AWS CLI finds them. SIGHUP or POST /reload\n" +
			"on the admin address reads the destinations again.",
		Example: "  tapway forward --queue sqs://records --destination https://siem.example.com/in\n  tapway forward -c tapway.yaml --admin 127.0.0.1:9091",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, source, err := given.load(cmd, true)
			if err != nil {
				return err
			}
			f, err := app.NewForwarder(c, app.Options{Version: versionText(), Log: newLog(c.Log), Source: source})
			if errors.Is(err, app.ErrNothingToForward) && source.File == "" {
				return &usageError{err}
			}
			if err != nil {
				return err
			}
			stop := onHangup(cmd.Context(), func() { f.Reload() }) // it logs what became of it
			defer stop()
			return f.Run(cmd.Context())
		},
	}
	given.flags(cmd, "queue", "destinations", "admin.listen")
	cmd.Flags().Lookup("queue").Usage = "SQS queue as sqs://NAME, its URL or its ARN"
	return cmd
}
