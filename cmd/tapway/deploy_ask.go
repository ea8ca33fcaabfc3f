package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/deploy"
)

// asker asks several questions of the same input.
type asker struct {
	in  *bufio.Reader
	out io.Writer
}

func newAsker(cmd *cobra.Command) *asker {
	return &asker{bufio.NewReader(cmd.InOrStdin()), cmd.ErrOrStderr()}
}

// ask asks until the answer is good. An empty answer is def.
func (a *asker) ask(question, def string, check func(string) error) (string, error) {
	for {
		fmt.Fprint(a.out, question)
		if def != "" {
			fmt.Fprintf(a.out, " [%s]", def)
		}
		fmt.Fprint(a.out, ": ")
		line, err := a.in.ReadString('\n')
		answer := firstOf(strings.TrimSpace(line), def)
		if err != nil && strings.TrimSpace(line) == "" {
			fmt.Fprintln(a.out)
			return "", errors.New("no answer")
		}
		if err := check(answer); err != nil {
			fmt.Fprintf(a.out, "  %v\n", err)
			continue
		}
		return answer, nil
	}
}

func (a *asker) confirm(question string) bool {
	fmt.Fprintf(a.out, "%s [y/N] ", question)
	line, _ := a.in.ReadString('\n')
	line = strings.ToLower(strings.TrimSpace(line))
	return line == "y" || line == "yes"
}

// questions asks for what nobody has answered yet. With --yes nothing is asked: what has a
// default takes it, and what has none is a mistake.
func (d *deployment) questions(ctx context.Context) error {
	a, asked := d.answers, d.answers.Began
	question := func(to *string, text, flag, def string, check func(string) error) error {
		if *to != "" {
			return nil
		}
		if d.yes || d.dryRun {
			*to = def
			if err := check(def); err != nil {
				return usagef("%s: say it with %s", err, flag)
			}
			return nil
		}
		answer, err := d.ask.ask(text, def, check)
		if err != nil {
			return usagef("%s: %w; say it with %s", text, err, flag)
		}
		*to = answer
		return nil
	}
	if err := question(&a.Project, "Name of the installation", "--project", "tapway", deploy.CheckProject); err != nil {
		return err
	}
	if a.Region == "" {
		a.Region = firstOf(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	}
	if a.Region == "" { // a profile may know
		if err := d.openAccount(ctx); err != nil {
			if err := question(&a.Region, "AWS region", "--region", "", deploy.CheckRegion); err != nil {
				return err
			}
		}
	}
	if !asked && a.API == "" && !a.Example && !d.noAttach && !d.yes && !d.dryRun {
		if err := d.chooseAPI(ctx); err != nil {
			return err
		}
	}
	if d.given.Destination == "" && len(d.file.Destinations) > 0 {
		a.Destination = "" // tapway.yaml has them
	} else if err := question(&a.Destination, "URL that records are delivered to", "--destination", "", deploy.CheckDestination); err != nil {
		return err
	}
	if asked || a.AlarmEmail != "" {
		return nil
	}
	return question(&a.AlarmEmail, "Who is told of alarms (an address, or nothing)", "--alarm-email", "", deploy.CheckEmail)
}

// chooseAPI shows which APIs there are and asks for one.
func (d *deployment) chooseAPI(ctx context.Context) error {
	if d.account == nil {
		if err := d.openAccount(ctx); err != nil {
			return err
		}
	}
	known := d.list(ctx)
	answer, err := d.ask.ask("Id of the API to attach to (example: make one; nothing: none)", "", func(s string) error {
		if s != "" && s != "example" && len(known) > 0 && !known[s] {
			return fmt.Errorf("there is no API %q in %s", s, d.answers.Region)
		}
		return nil
	})
	switch {
	case err != nil:
		return usagef("the API: %w; say it with --api, --example or --no-attach", err)
	case answer == "example":
		d.answers.Example = true
	default:
		d.answers.API = answer
	}
	return nil
}

// maxListed is how many APIs are shown; who has more knows the id.
const maxListed = 25

// list shows the APIs of the region. Credentials that may not list them can still name one.
func (d *deployment) list(ctx context.Context) map[string]bool {
	known := map[string]bool{}
	show := func(id, kind, name string) {
		known[id] = true
		if len(known) <= maxListed {
			fmt.Fprintf(d.ask.out, "  %s  %s  %s\n", id, kind, printable(name))
		}
	}
	rest, err := d.clients.REST.GetRestApis(ctx, &apigateway.GetRestApisInput{Limit: aws.Int32(500)})
	if err != nil {
		return nil
	}
	for _, api := range rest.Items {
		show(aws.ToString(api.Id), "REST", aws.ToString(api.Name))
	}
	http, err := d.clients.HTTP.GetApis(ctx, &apigatewayv2.GetApisInput{MaxResults: aws.String("500")})
	if err != nil {
		return nil
	}
	for _, api := range http.Items {
		show(aws.ToString(api.ApiId), string(api.ProtocolType), aws.ToString(api.Name))
	}
	if rest.Position != nil || http.NextToken != nil {
		return nil // there are more than were read
	}
	return known
}
