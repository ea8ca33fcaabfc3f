package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/cost"
	"github.com/tapway/tapway/internal/deploy"
)

func newTune() *cobra.Command {
	var function, region, profile, event, path, state string
	var sizes []int
	var calls int
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use: "tune", Short: "Invoke the deployed function at several memory sizes, and show time against cost",
		Long: "Sets each memory size on the function, publishes it as a version, invokes that, removes it, and gives the\n" +
			"function its own size again, also when it is interrupted. Meanwhile calls of the API are served at those\n" +
			"sizes too, unless it is attached to an alias. Every invocation of the proxy is a call: it goes to the backend,\n" +
			"and leaves a record.",
		Example: "  tapway tune --path /users\n  tapway tune --function tapway-proxy --memory 256,512,1024 --calls 50 --event event.json --yes --json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answers, err := deploy.LoadAnswers(state)
			if err != nil {
				return err
			}
			if function == "" && answers.Project == "" {
				return usagef("say which function with --function NAME; %s remembers no installation", state)
			}
			function = firstOf(function, answers.Project+"-proxy")
			slices.Sort(sizes)
			if sizes = slices.Compact(sizes); len(sizes) == 0 || sizes[0] < 128 || sizes[len(sizes)-1] > 10240 {
				return usagef("--memory: want sizes of 128 to 10240 MiB, such as 256,512,1024")
			}
			if calls < 1 || calls > 1000 {
				return usagef("--calls: want 1 to 1000")
			}
			payload, err := tuneEvent(event, path, answers)
			if err != nil {
				return err
			}
			account, err := cloud.Open(cmd.Context(), firstOf(region, answers.Region), firstOf(profile, answers.Profile))
			if err != nil {
				return err
			}
			clients, err := attach.NewClients(account.Config, account.Endpoint, attach.NewPacer(5), 0)
			if err != nil {
				return err
			}
			show := newSteps(cmd.ErrOrStderr())
			defer show.end()
			t := &deploy.Tuner{Lambda: clients.Lambda, Function: function, Event: payload, Calls: calls, Prices: cost.Table, Progress: show.step}
			before, err := t.Before(cmd.Context())
			if err != nil {
				return err
			}
			was := int(aws.ToInt32(before.MemorySize))
			if !yes && !confirm(cmd, fmt.Sprintf("Set %s, which has %d MiB, to %v MiB one after the other, and invoke it %d times?", function, was, sizes, (calls+1)*len(sizes))) {
				return errors.New("nothing done; --yes does it without asking")
			}
			all, err := t.Run(cmd.Context(), sizes)
			show.end()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"function": function, "memory_mib": was, "prices_of": t.Prices.Date, "measured": all})
			}
			return printTuned(cmd.OutOrStdout(), function, was, all, t.Prices)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&function, "function", "", "name of the function (default: the proxy of tapway.deploy.json)")
	flags.IntSliceVar(&sizes, "memory", []int{128, 256, 512, 1024}, "sizes in MiB")
	flags.IntVar(&calls, "calls", 20, "invocations measured at each size; one more goes before them")
	flags.StringVar(&event, "event", "", "file with the event to invoke with (default: a GET through a REST API)")
	flags.StringVar(&path, "path", "/", "path of that GET; it must be one of the attached API")
	flags.StringVar(&region, "region", "", "AWS region (default: what tapway.deploy.json, AWS_REGION or the profile says)")
	flags.StringVar(&profile, "profile", "", "profile of the AWS settings")
	flags.StringVar(&state, "state", deploy.AnswersFile, "file that `tapway deploy` remembers its answers in")
	flags.BoolVar(&yes, "yes", false, "do not ask")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// tuneEvent is the event of --event, or one of a GET through the API that is attached.
func tuneEvent(file, path string, answers *deploy.Answers) ([]byte, error) {
	if file == "" {
		api := answers.API
		if len(answers.Attached) > 0 {
			api = answers.Attached[0]
		}
		return deploy.SampleEvent(api, firstOf(answers.Stage, "prod"), path), nil
	}
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("the event: %w", err)
	}
	if !json.Valid(text) {
		return nil, fmt.Errorf("the event: %s is not JSON", file)
	}
	return text, nil
}

func printTuned(out io.Writer, function string, was int, all []deploy.Measured, p cost.Prices) error {
	fmt.Fprintf(out, "%s, which has %d MiB:\n\n", function, was)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MEMORY\tMEDIAN\tP95\tBILLED\tCOLD START\tUSED\tA MILLION CALLS\t")
	cheapest, fastest := 0, 0
	for i, m := range all {
		if m.PerMillion < all[cheapest].PerMillion {
			cheapest = i
		}
		if m.MedianMS < all[fastest].MedianMS {
			fastest = i
		}
	}
	for i, m := range all {
		mark := ""
		if m.Memory == was {
			mark += " as it is"
		}
		if i == cheapest {
			mark += " cheapest"
		}
		if i == fastest {
			mark += " fastest"
		}
		if m.Failed > 0 {
			mark += fmt.Sprintf(" %d FAILED", m.Failed)
		}
		fmt.Fprintf(t, "%d MiB\t%.1f ms\t%.1f ms\t%.1f ms\t%.0f ms\t%d MiB\t$%.2f\t%s\n", m.Memory, m.MedianMS, m.P95MS, m.BilledMS, m.InitMS, m.UsedMiB, m.PerMillion, mark)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nPrices of %s; requests and time of this function, nothing else. The times hold the backend's. `tapway deploy --memory N` keeps a size.\n", p.Date)
	return nil
}
