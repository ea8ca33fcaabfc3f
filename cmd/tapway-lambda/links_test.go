package main

import (
	"os/exec"
	"strings"
	"testing"
)

// heavy are packages that must not come into the bootstrap, with everything below them: each
// costs size or init time at every cold start, and the functions have no use for it.
var heavy = map[string]string{
	"github.com/spf13":                                "a command line",
	"github.com/aws/aws-sdk-go-v2/config":             "profiles and SSO; region and credentials are in the environment",
	"github.com/aws/aws-sdk-go-v2/credentials":        "likewise",
	"github.com/aws/aws-sdk-go-v2/feature/ec2":        "instance metadata",
	"github.com/aws/aws-sdk-go-v2/service":            "no client of the SDK's: awssqs, awss3, awsdynamo and awssecret make the calls",
	"github.com/aws/aws-sdk-go-v2/aws/signer":         "awssign signs",
	"github.com/aws/aws-sdk-go-v2/aws/retry":          "who calls has its own bounds for trying again",
	"github.com/aws/aws-sdk-go-v2/internal/endpoints": "rules and patterns made at every start",
	"github.com/aws/aws-lambda-go":                    "the Runtime API is spoken by lambdaruntime",
	"github.com/prometheus":                           "nobody scrapes a function",
	"google.golang.org":                               "protobuf and gRPC",
	"go.opentelemetry.io":                             "an SDK of its own size",
	"go.etcd.io/bbolt":                                "the queue is SQS",
	"modernc.org":                                     "likewise",
	"github.com/mattn/go-sqlite3":                     "likewise",
	"github.com/nats-io":                              "likewise",
	"gocloud.dev":                                     "likewise",
	"github.com/google/jsonschema-go":                 "the schema is for editors",
	"github.com/santhosh-tekuri/jsonschema":           "7.5 ms at every start",
	"github.com/getkin/kin-openapi":                   "it brings the one above",
	"github.com/coder/websocket":                      "the example API's",
	"github.com/pires/go-proxyproto":                  "there is no listener",
	"github.com/wneessen/go-mail":                     "alarms are CloudWatch's",
	"github.com/corazawaf":                            "the firewall is AWS WAF",
	"text/template":                                   "it keeps the linker from leaving out what nobody calls",
	"html/template":                                   "likewise",
	"net/rpc":                                         "it brings html/template",
	"net/http/httptest":                               "for tests",
	"net/http/pprof":                                  "there is no listener",
	"expvar":                                          "likewise",
	"testing":                                         "for tests",

	"github.com/tapway/tapway/internal/app":                 "one machine's",
	"github.com/tapway/tapway/internal/admin":               "likewise",
	"github.com/tapway/tapway/internal/console":             "likewise",
	"github.com/tapway/tapway/internal/demo":                "likewise",
	"github.com/tapway/tapway/internal/queue/diskqueue":     "likewise",
	"github.com/tapway/tapway/internal/config/configschema": "the schema is for editors",
}

func TestLinksNothingHeavy(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-tags", "lambda.norpc", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 100 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	for _, p := range packages {
		for path := p; ; {
			if why, bad := heavy[path]; bad {
				t.Errorf("%s is linked: %s; `go list -deps` and `go mod why` tell by whom", p, why)
			}
			i := strings.LastIndexByte(path, '/')
			if i < 0 {
				break
			}
			path = path[:i]
		}
	}
}
