package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/route"
)

func newDiscover() *cobra.Command {
	var file string
	var asJSON bool
	var variables map[string]string
	cmd := &cobra.Command{
		Use: "discover --openapi FILE [--stage-variable NAME=VALUE]...", Short: "The routes of an API Gateway export, and which can be tapped and why not",
		Example: "  tapway discover --openapi export.json\n  tapway discover --openapi export.json --stage-variable host=api.internal --json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("say which export with --openapi FILE; get one with `aws apigateway get-export --rest-api-id ID --stage-name STAGE --export-type oas30 --parameters extensions=integrations export.json`")
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("read the export: %w", err)
			}
			d, err := route.ReadOpenAPI(text, route.OpenAPIOptions{StageVariables: variables})
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, d)
			}
			t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "METHOD\tPATH\tINTEGRATION\tTAPPABLE\tBACKEND OR REASON")
			can, missing := 0, false
			for _, op := range d.Operations {
				if op.Tappable {
					can++
					fmt.Fprintf(t, "%s\t%s\t%s\tyes\t%s\n", op.Method, printable(op.Path), op.Type, printable(op.URI))
				} else {
					missing = missing || strings.Contains(op.Reason, "stage variable")
					fmt.Fprintf(t, "%s\t%s\t%s\tno\t%s\n", op.Method, printable(op.Path), op.Type, printable(op.Reason))
				}
			}
			if err := t.Flush(); err != nil {
				return err
			}
			if missing {
				defer fmt.Fprintln(out, "Give stage variables with --stage-variable NAME=VALUE (stage_variables: in tapway.yaml).")
			}
			fmt.Fprintf(out, "\n%d of %s can be tapped by this machine.\n", can, plural(int64(len(d.Operations)), "route"))
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "openapi", "", "API Gateway export, JSON (OpenAPI 3 or Swagger 2 with integrations)")
	cmd.Flags().StringToStringVar(&variables, "stage-variable", nil, "value of a stage variable, name=value")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
