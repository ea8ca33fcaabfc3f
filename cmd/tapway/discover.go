package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/route"
)

func newDiscover() *cobra.Command {
	var file string
	var asJSON bool
	var variables map[string]string
	var f apiFlags
	cmd := &cobra.Command{
		Use: "discover --api ID | --openapi FILE", Short: "The routes of an API Gateway, and which can be tapped and why not",
		Long: "Lists the routes of a REST or HTTP API in an account, or those of an API Gateway export, and\n" +
			"says of each whether it can be tapped. With --api, \"by url\" is a route that `tapway attach` can\n" +
			"tap by changing its integration's URL only.",
		Example: "  tapway discover --api a1b2c3d4e5 --region eu-west-1\n  tapway discover --openapi export.json --stage-variable host=api.internal --json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if done, err := f.policy(cmd, ""); done {
				return err
			}
			switch {
			case file == "" && f.api == "":
				return usagef("say which API with --api ID, or which export with --openapi FILE; get one with `aws apigateway get-export --rest-api-id ID --stage-name STAGE --export-type oas30 --parameters extensions=integrations export.json`")
			case file != "" && f.api != "":
				return usagef("--api and --openapi exclude each other")
			case f.api != "":
				return f.discover(cmd, asJSON)
			}
			return discoverExport(cmd, file, variables, asJSON)
		},
	}
	cmd.Flags().StringVar(&file, "openapi", "", "API Gateway export, JSON (OpenAPI 3 or Swagger 2 with integrations)")
	cmd.Flags().StringToStringVar(&variables, "stage-variable", nil, "value of a stage variable of the export, name=value")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	f.add(cmd, true, false)
	return cmd
}

// discover lists the routes of an API in the account.
func (f *apiFlags) discover(cmd *cobra.Command, asJSON bool) error {
	w, err := f.open(cmd)
	if err != nil {
		return err
	}
	a, err := w.clients.Read(cmd.Context(), f.api, f.stage, w.show.step)
	w.show.end()
	if err != nil {
		return err
	}
	routes, err := a.Judge()
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if asJSON {
		return printJSON(out, map[string]any{"api": a.ID, "name": a.Name, "kind": a.Kind, "region": a.Region, "stage": a.Stage, "state": a.Tags[attach.TagState], "routes": routes})
	}
	fmt.Fprintf(out, "%s API %s (%s) in %s", a.Kind, a.ID, printable(a.Name), a.Region)
	if a.Stage != "" {
		fmt.Fprintf(out, ", stage %s", a.Stage)
	}
	fmt.Fprint(out, "\n\n")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "METHOD\tPATH\tINTEGRATION\tTIMEOUT\tTAPPABLE\tBACKEND\tREASON")
	can, byLambda, byURL := 0, 0, 0
	for _, r := range routes {
		timeout := "-"
		if r.Timeout > 0 {
			timeout = (time.Duration(r.Timeout) * time.Millisecond).String()
		}
		switch r.Tappable {
		case attach.Yes:
			can++
		case attach.ByFunction:
			byLambda++
		case attach.ByURL:
			byURL++
		}
		kind := r.Type
		if kind == "" {
			kind = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Method, printable(r.Path), kind, timeout, r.Tappable, printable(r.Backend), printable(r.Reason))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d of %s can be tapped either way, %d more by Lambda only, %d more by URL only.\n", can, plural(int64(len(routes)), "route"), byLambda, byURL)
	if at := a.Tags[attach.TagState]; at != "" {
		fmt.Fprintf(out, "The API is attached; its original state is kept in %s. `tapway status --api %s` tells more.\n", printable(at), a.ID)
	}
	return nil
}

func discoverExport(cmd *cobra.Command, file string, variables map[string]string, asJSON bool) error {
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
}
