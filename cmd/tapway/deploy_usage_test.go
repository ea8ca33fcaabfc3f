package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tapway/tapway/internal/cost"
)

// TestDeployUsage: mistakes are told before anything is asked of AWS.
func TestDeployUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for says, args := range map[string]string{
		`region "Ireland": write it as AWS does`:               "deploy --region Ireland",
		`project "Shop": 2 to 31 lower-case letters`:           "deploy --project Shop",
		`the parameter "token" of the URL looks like a secret`: "deploy --destination https://a/?token=x",
		`alarm email "ops"`:                                    "deploy --alarm-email ops",
		`--architecture: "mips" is neither arm64 nor x86_64`:   "deploy --architecture mips",
		"--memory: want 128 to 10240 MiB, not 64":              "deploy --memory 64",
		"--example and --api exclude each other":               "deploy --example --api a1",
		"--receive and --no-call exclude each other":           "deploy --receive :1 --no-call",
		"--json goes with --dry-run":                           "deploy --json",
		"--call-header: write":                                 "deploy --call-header x",
		"the rate must be above 0 calls a second":              "cost",
		`front "alb": rest, http or url`:                       "cost --rps 1 --front alb",
		"--size: ":                                             "cost --rps 1 --size big",
		"say which function with --function NAME":              "tune",
		"--memory: want sizes of 128 to 10240 MiB":             "tune --function p --memory 64,128",
		"--calls: want 1 to 1000":                              "tune --function p --calls 0",
	} {
		fails(t, dir, 2, says, strings.Fields(args)...)
	}
	fails(t, dir, 1, "knows of no installation", "destroy", "--yes")
	write(t, dir, "bad.yaml", "aws: {regio: eu-west-1}\n")
	fails(t, dir, 1, `aws.regio: unknown key; did you mean "region"?`, "deploy", "-c", "bad.yaml", "--yes", "--region", "eu-west-1", "--destination", "http://a")
	policy := decode[struct{ Statement []struct{ Sid string } }](t, must(t, dir, "deploy", "--print-policy", "--project", "shop", "--region", "eu-west-1", "--state-bucket", "states"))
	if n := len(policy.Statement); n < 10 || policy.Statement[n-1].Sid != "State" {
		t.Errorf("the policy: %+v", policy)
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustContain(t, must(t, dir, "cost", "--rps", "100", "--region", "eu-west-1"), "259.2 million a month", "SQS  ", "tapway, a month", "Prices of "+cost.Table.Date, "no prices of eu-west-1", "denial of wallet")
	e := decode[cost.Estimate](t, must(t, dir, "cost", "--rps", "100", "--size", "300KiB", "--json"))
	if e.Load.LargeShare != 1 || e.Tapway <= 0 || len(e.Caps) == 0 {
		t.Errorf("%+v", e)
	}
	write(t, dir, "prices.json", strings.Replace(must(t, dir, "cost", "--print-prices"), `"sqs_requests": 0.4`, `"sqs_requests": 4`, 1))
	if more := decode[cost.Estimate](t, must(t, dir, "cost", "--rps", "100", "--size", "300KiB", "--json", "--prices", "prices.json")); more.Tapway <= e.Tapway {
		t.Errorf("dearer prices: $%g, before $%g", more.Tapway, e.Tapway)
	}
}

// TestTune is the command; internal/deploy has a function that behaves.
func TestTune(t *testing.T) {
	dir := t.TempDir()
	var changed atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			changed.Add(1)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"FunctionName": "shop-proxy", "MemorySize": 512, "LastUpdateStatus": "Successful", "State": "Active", "Version": "1", "Description": "tapway tune"})
	}))
	defer server.Close()
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_PROFILE": "", "AWS_CONFIG_FILE": filepath.Join(dir, "x"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "x")} {
		t.Setenv(name, value)
	}
	_, errOut, code := executeWith(t, dir, "n\n", "tune", "--function", "shop-proxy")
	if code != 1 || changed.Load() != 0 || !strings.Contains(errOut, "Set shop-proxy, which has 512 MiB, to [128 256 512 1024] MiB one after the other, and invoke it 84 times?") {
		t.Errorf("answering no: exit %d, %d changes\n%s", code, changed.Load(), errOut)
	}
	fails(t, dir, 1, "no report", "tune", "--function", "shop-proxy", "--yes", "--memory", "256") // this one's invocations have no log
	if n := changed.Load(); n != 2 {
		t.Errorf("set and put back in %d changes", n)
	}
	fails(t, dir, 1, "is not JSON", "tune", "--function", "x", "--event", write(t, dir, "event", "{"))
}
