package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/cost"
	"github.com/tapway/tapway/internal/terminal"
)

func newCost() *cobra.Command {
	var l cost.Load
	var size, prices string
	var asJSON, printPrices bool
	cmd := &cobra.Command{
		Use: "cost --rps N --size SIZE", Short: "What a month of tapway on AWS costs, and what bounds it",
		Long: "Reckons the bill component by component from one dated table of prices. It asks nobody and knows\n" +
			"no free tier, no discount and no tax.",
		Example: "  tapway cost --rps 100 --size 8KiB\n  tapway cost --rps 2000 --size 40KiB --front http --region eu-central-1 --prices my-prices.json --json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if printPrices {
				return printJSON(cmd.OutOrStdout(), cost.Table)
			}
			bytes, err := config.ParseSize(size)
			if err != nil {
				return usagef("--size: %v", err)
			}
			l.Size = int64(bytes)
			table := cost.Table
			if prices != "" {
				text, err := os.ReadFile(prices)
				if err != nil {
					return fmt.Errorf("--prices: %w", err)
				}
				if table, err = cost.ReadPrices(text); err != nil {
					return fmt.Errorf("%s: %w", prices, err)
				}
				if table.Source == "" {
					table.Source = prices
				}
			}
			e, err := cost.Reckon(l, table)
			if err != nil {
				return &usageError{err}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), e)
			}
			return printCost(cmd.OutOrStdout(), e)
		},
	}
	flags := cmd.Flags()
	flags.Float64Var(&l.RPS, "rps", 0, "calls a second, on average over the month")
	flags.StringVar(&size, "size", "8KiB", "size of a record: request and response, and about 2 KiB around them")
	flags.StringVar(&l.Front, "front", "rest", "rest, http or url (a Function URL)")
	flags.StringVar(&l.Region, "region", "", "AWS region")
	flags.Float64Var(&l.Billed, "billed", 60, "milliseconds a call takes in the proxy function, the backend's time included; the function's Billed Duration")
	flags.IntVar(&l.Memory, "memory", 512, "memory of each function, MiB")
	flags.StringVar(&l.Architecture, "architecture", "arm64", "arm64 or x86_64")
	flags.IntVar(&l.Destinations, "destinations", 1, "how many destinations get every record")
	flags.Float64Var(&l.Batch, "batch", 0, "records in a run of the forwarder, on average (default: what the rate fills, 10 at most)")
	flags.Float64Var(&l.DeliveryMS, "delivery", 50, "milliseconds an attempt to deliver takes")
	flags.Float64Var(&l.LargeShare, "large", 0, "share of records that fit no message of 256 KiB, 0 to 1")
	flags.BoolVar(&l.Egress, "to-internet", false, "destinations are outside of AWS")
	flags.StringVar(&prices, "prices", "", "JSON file with prices of your own")
	flags.BoolVar(&printPrices, "print-prices", false, "print the table of prices as JSON, and do nothing")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printCost(out io.Writer, e *cost.Estimate) error {
	fmt.Fprintf(out, "%g calls a second, %.1f million a month, %s a record\n\n", e.Load.RPS, e.Calls/1e6, terminal.Bytes(e.Load.Size))
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, amount string, dollars float64) {
		fmt.Fprintf(t, "%s\t%s\t%s\n", name, amount, rightAligned(dollars))
	}
	for _, tapway := range []bool{true, false} {
		for _, l := range e.Lines {
			if l.Tapway == tapway {
				line(l.Component, l.Amount, l.Dollars)
			}
		}
		if tapway {
			line("tapway, a month", fmt.Sprintf("$%.2f a million calls", e.PerCall), e.Tapway)
			fmt.Fprintln(t, "\t\t")
		}
	}
	line("together", "", e.Total)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nPrices of %s (%s), US dollars, without free tier, discounts and tax.\n", e.Date, e.Source)
	for _, note := range e.Notes {
		fmt.Fprintln(out, note)
	}
	fmt.Fprint(out, "\nWhat bounds it. Warning: whoever can call the API can run the bill up to the lowest of these bounds.\n\n")
	for _, c := range e.Caps {
		value := ""
		if c.Value != "" {
			value = ": " + c.Value
		}
		if c.Dollars > 0 {
			value += fmt.Sprintf(", $%.0f a month at most", c.Dollars)
		}
		fmt.Fprintf(out, "  %s%s\n    %s\n", c.Setting, value, c.Text)
	}
	return nil
}

func rightAligned(dollars float64) string {
	return strings.TrimRight(fmt.Sprintf("$%10.2f", dollars), " ")
}
