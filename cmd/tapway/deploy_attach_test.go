package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/attach/apitest"
	"github.com/tapway/tapway/internal/deploy"
)

// TestTapped: a deployment goes on permitting the functions of every API that is attached, whoever attached it and whatever
// this machine remembers; what it cannot know it tells.
func TestTapped(t *testing.T) {
	w := &cloudWorld{T: t, gateway: apitest.New()}
	arn := w.gateway.AddFunction("shop-proxy", false)
	clients, err := attach.NewClients(aws.Config{Region: w.gateway.Region, BaseEndpoint: aws.String("http://apitest.invalid"), HTTPClient: w.gateway.Client(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}, nil, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	api, state := w.newAPI("https://b.example.com"), filepath.Join(t.TempDir(), "state.json")
	a, err := clients.Read(t.Context(), api, "prod", nil)
	if err != nil {
		t.Fatal(err)
	}
	a.Account = w.gateway.Account
	p, err := attach.MakePlan(a, attach.Options{Function: &attach.Function{ARN: arn}, MayInvoke: true})
	if err != nil {
		t.Fatal(err)
	}
	store, err := attach.OpenStore(state, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &attach.Runner{Clients: clients, Store: store}
	st := attach.NewState(a, p, "tapway test", store.Location(), time.Now())
	if err := r.Attach(t.Context(), st); err != nil {
		t.Fatal(err)
	}

	var said bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetErr(&said)
	d := &deployment{cmd: cmd, clients: clients, answers: &deploy.Answers{Project: "shop", Attached: []string{"gone123"}}}
	orders := "arn:aws:lambda:" + w.gateway.Region + ":" + w.gateway.Account + ":function:orders:live"
	check := func(what, warning string, want ...string) {
		t.Helper()
		said.Reset()
		got, err := d.tapped(t.Context())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
		if (warning == "") != (said.Len() == 0) || !strings.Contains(said.String(), warning) {
			t.Errorf("%s: it says %q, want %q", what, said.String(), warning)
		}
	}
	check("attached by somebody else", "", orders)
	d.plan = &attach.Plan{Invokes: []string{orders, "arn:z"}}
	check("with a plan", "", orders, "arn:z")
	d.plan, d.answers.Project = nil, "other"
	check("another installation", "")
	d.answers.Attached = append(d.answers.Attached, api)
	check("which this machine attached", "", orders)
	if err := os.Rename(state, state+".away"); err != nil {
		t.Fatal(err)
	}
	check("the state is elsewhere", "API "+api+" leads to the proxy function")
	if err := os.WriteFile(state, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("the state is unreadable", "API "+api+" leads to the proxy function")
	if err := os.Rename(state+".away", state); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Detach(t.Context(), st, attach.DetachOptions{}); err != nil {
		t.Fatal(err)
	}
	check("detached", "")
}

// withSTS is the fake of API Gateway and Lambda, and what says whose the credentials are.
type withSTS struct{ gateway *apitest.Server }

func (w withSTS) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/" {
		return w.gateway.Client().Do(r)
	}
	text := `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>` + w.gateway.Account + `</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// TestStopsAfterApply: when everything is made and somebody's edits keep it from being attached, deploy names the edits,
// and says what there is and what to type next.
func TestStopsAfterApply(t *testing.T) {
	w := &cloudWorld{T: t, gateway: apitest.New()}
	w.gateway.AddFunction("shop-proxy", false)
	clients, err := attach.NewClients(aws.Config{Region: w.gateway.Region, BaseEndpoint: aws.String("http://apitest.invalid"), HTTPClient: withSTS{w.gateway},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}, nil, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	api := w.newAPI("https://b.example.com")
	w.gateway.EditREST(api, func(a *apitest.RestAPI) { a.Method("GET", "/users").Integration.URI = "https://new.example.com/users" })
	var out, said bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	cmd.SetErr(&said)
	d := &deployment{deployFlags: &deployFlags{state: "my shop.json", pkg: "p.zip"}, cmd: cmd, show: newSteps(&bytes.Buffer{}), clients: clients,
		answers: &deploy.Answers{Project: "shop", API: api, Stage: "prod"}}
	settled := w.gateway.Settled()
	if err := d.attachTo(t.Context(), &deploy.Outputs{ProxyFunction: "shop-proxy", Bucket: "records"}); !errors.Is(err, errSilent) {
		t.Fatalf("%v\n%s", err, said.String())
	}
	mustContain(t, said.String(), "tapway: the API has edits that are not deployed in stage prod; attaching deploys them too; --include-drift attaches all the same\n    ", "GET /users", "https://new.example.com/users",
		"API "+api+" is as it was: nothing is attached to it. Everything else was made, and stays.",
		"  tapway deploy --state 'my shop.json' --package p.zip --include-drift  attaches all the same\n",
		"  tapway deploy --state 'my shop.json' --package p.zip                  attaches when what is named above is mended\n",
		"  tapway destroy --state 'my shop.json'                                 removes what was made\n")
	if diff := apitest.Diff(settled, w.gateway.Settled()); diff != "" || len(d.answers.Attached) != 0 {
		t.Errorf("it changed the API:\n%s", diff)
	}
}
