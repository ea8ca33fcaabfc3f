package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/config/configschema"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "The configuration file: check it, make one, its JSON Schema",
		Example: "  tapway config init > tapway.yaml\n  tapway config check",
	}
	return group(cmd, newConfigCheck(), &cobra.Command{
		Use: "init", Short: "Print a commented tapway.yaml with every key and its default", Args: args(0, 0, "no arguments"),
		Example: "  tapway config init > tapway.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), config.Sample())
			return err
		},
	}, &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of tapway.yaml, for editors", Args: args(0, 0, "no arguments"),
		Example: "  tapway config schema > tapway.schema.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := configschema.Schema()
			if err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", schema)
			}
			return err
		},
	})
}

func newConfigCheck() *cobra.Command {
	var file string
	var asJSON, secrets bool
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "Tell everything that is wrong with a configuration, with line and column",
		Long: "Reads the file as `tapway serve` would and tells everything that is wrong with it. Values that\n" +
			"are kept in AWS, ${aws-secretsmanager:NAME} and ${aws-ssm:NAME}, are not looked up, and what\n" +
			"they are for is not checked, unless --secrets is given.",
		Example: "  tapway config check\n  tapway config check -c /etc/tapway/tapway.yaml\n  tapway config check --secrets",
		Args:    args(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, given []string) error {
			if len(given) == 1 {
				file = given[0]
			}
			if file = configFile(file); file == "" {
				return usagef("there is no tapway.yaml here; name a file, or write one with `tapway config init > tapway.yaml`")
			}
			resolve, unchecked := cloud.Secrets(cmd.Context()), []config.Ref(nil)
			if !secrets {
				resolve = func(refs []config.Ref) (map[string]string, map[string]error) {
					unchecked = refs
					return nil, nil
				}
			}
			_, err := config.Load(config.Source{File: file, OTel: true, Resolve: resolve})
			var problems config.Problems
			if err != nil && !errors.As(err, &problems) {
				return err
			}
			if asJSON {
				if problems == nil {
					problems = config.Problems{}
				}
				if err := printJSON(cmd.OutOrStdout(), problems); err != nil {
					return err
				}
			} else if len(problems) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: good.\n", file)
			}
			for _, p := range problems {
				if !asJSON {
					fmt.Fprintln(cmd.ErrOrStderr(), p)
				}
			}
			if len(unchecked) > 0 && !asJSON {
				fmt.Fprintf(cmd.ErrOrStderr(), "tapway: not looked up: ${%s}; --secrets does\n", strings.Join(config.RefNames(unchecked), "}, ${"))
			}
			if len(problems) > 0 {
				if !asJSON {
					fmt.Fprintf(cmd.ErrOrStderr(), "tapway: %s: %s\n", file, plural(int64(len(problems)), "problem"))
				}
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (default: ./tapway.yaml)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the problems as JSON")
	cmd.Flags().BoolVar(&secrets, "secrets", false, "look up what is kept in AWS, with the credentials of whoever runs this")
	return cmd
}
