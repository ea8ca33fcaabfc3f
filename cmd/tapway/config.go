package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	var file, env string
	var asJSON, secrets bool
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "Tell everything that is wrong with a configuration, with line and column",
		Long: "Reads the file as `tapway serve` would and tells everything that is wrong with it. Warnings are of\n" +
			"what may be meant so and seldom is; they leave the exit status at 0. Values that are kept in AWS,\n" +
			"${aws-secretsmanager:NAME} and ${aws-ssm:NAME}, are not looked up, and what they are for is not\n" +
			"checked, unless --secrets is given.",
		Example: "  tapway config check\n  tapway config check -c /etc/tapway/tapway.yaml --env-file /etc/tapway/tapway.env\n  tapway config check --secrets",
		Args:    args(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, given []string) error {
			if len(given) == 1 && file != "" {
				return usagef("name the file once: as an argument or with -c (see %s --help)", cmd.CommandPath())
			}
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
			getenv, problems, err := environment(env)
			if err != nil {
				return err
			}
			found, err := config.Check(config.Source{File: file, OTel: true, Resolve: resolve, Getenv: getenv})
			if err != nil {
				return err
			}
			problems = append(problems, found...)
			if err := showProblems(cmd, file, problems, asJSON); err != nil {
				return err
			}
			if !asJSON && len(unchecked) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "tapway: not looked up: ${%s}; --secrets does\n", strings.Join(config.RefNames(unchecked), "}, ${"))
			}
			bad := int64(0)
			for _, p := range problems {
				if !p.Warning {
					bad++
				}
			}
			if bad == 0 {
				return nil
			}
			if !asJSON {
				if hint := envHint(file, env, problems); hint != "" {
					fmt.Fprintln(cmd.ErrOrStderr(), "tapway: "+hint)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "tapway: %s: %s\n", file, plural(bad, "problem"))
			}
			return errSilent
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (default: ./tapway.yaml)")
	cmd.Flags().StringVar(&env, "env-file", "", envFileHelp)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the problems as JSON")
	cmd.Flags().BoolVar(&secrets, "secrets", false, "look up what is kept in AWS, with the credentials of whoever runs this")
	return cmd
}

// showProblems prints what is wrong: for programs all of it on standard output, for people a verdict
// there and the rest on standard error.
func showProblems(cmd *cobra.Command, file string, problems config.Problems, asJSON bool) error {
	if asJSON {
		if problems == nil {
			problems = config.Problems{}
		}
		return printJSON(cmd.OutOrStdout(), problems)
	}
	good := true
	for _, p := range problems {
		good = good && p.Warning
		fmt.Fprintln(cmd.ErrOrStderr(), p)
	}
	if good {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: good.\n", file); err != nil {
			return err
		}
	}
	return nil
}

const envFileHelp = "take the variables for ${NAME} from this file, as the service gets them from systemd, and no others"

// environment gives the variables that a configuration may name: those of a file as systemd reads it,
// or of this process if no file is named.
func environment(file string) (func(string) (string, bool), config.Problems, error) {
	if file == "" {
		return os.LookupEnv, nil, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil, fmt.Errorf("read the variables: %w; it holds secrets, so ask with sudo", err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the variables: %w", err)
	}
	values, problems := config.EnvFile(file, text)
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}, problems, nil
}

// envHint tells those who check the service's configuration without its variables where they are; ""
// where that is not what is wrong.
func envHint(file, env string, problems config.Problems) string {
	beside := filepath.Join(filepath.Dir(file), "tapway.env")
	if _, err := os.Stat(beside); env != "" || err != nil {
		return ""
	}
	for _, p := range problems {
		if strings.Contains(p.Message, "environment variable") && strings.Contains(p.Message, "is not set") {
			return "the service gets its variables from " + beside + "; to check with them add --env-file " + beside
		}
	}
	return ""
}
