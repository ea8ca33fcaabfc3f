package tapway

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// policy says who may import whom: "package: what it may import", ours by their path below
// the module, others by module or package path. The standard library is free unless a line
// in forbidden says otherwise. A new import is a new word here, and a reason in the commit.
//
// A stage (access, capture, proxy, delivery, egress) never imports a stage: they meet in
// internal/app through http.Handler, http.RoundTripper or a word of the root package.
const policy = `
.:                          # the words: standard library only
schema:                     # the published JSON Schemas, embedded

internal/suggest:
internal/otlp:              # OpenTelemetry's protocol without its SDK, which would bring gRPC: standard library only
internal/otlp/otlptest:     go.opentelemetry.io/proto/otlp google.golang.org/protobuf # a collector for tests
internal/accesslog:         . internal/jsonstring
internal/filter:            . internal/content internal/suggest # a condition on a body reads it without its codings
internal/content:           . github.com/andybalholm/brotli github.com/klauspost/compress/zstd
internal/redact:            . internal/content
internal/record:            . schema internal/content internal/jsonstring github.com/tidwall/gjson
internal/record/recordtest: schema github.com/google/jsonschema-go
internal/route:             .
internal/lazycontext:       # standard library only
internal/http1:             internal/lazycontext
internal/jsonstring:
internal/quietnet:          # TCP without the scheduler's notice: standard library only
internal/config:            . internal/access internal/egress internal/filter internal/redact internal/route internal/suggest github.com/goccy/go-yaml
internal/config/configschema: internal/config github.com/google/jsonschema-go # apart: the Lambda bootstrap does not link it

internal/access:            .
internal/cache:             .
internal/capture:           .
internal/proxy:             . internal/route
internal/delivery:          . internal/record internal/filter
internal/egress:            .

internal/lambdahttp:           . internal/jsonstring
internal/lambdahttp/eventtest: .

internal/queue/queuetest:   . github.com/google/go-cmp
internal/queue/memqueue:    .
internal/queue/diskqueue:   . go.etcd.io/bbolt golang.org/x/sys
internal/queue/claimcheck:  .

internal/awsbase:           github.com/aws/aws-sdk-go-v2/aws
internal/blob/blobtest:     .
internal/blob/dirblob:      .
internal/blob/s3blob:       . internal/awss3
internal/queue/sqsqueue:    . internal/awssqs internal/record internal/queue/claimcheck github.com/aws/aws-sdk-go-v2/aws github.com/tidwall/gjson
internal/queue/sqsqueue/sqstest:
internal/awssign:           github.com/aws/aws-sdk-go-v2/aws # signatures, without what the SDK's signer brings
internal/awss3:             internal/awsbase internal/awssign github.com/aws/aws-sdk-go-v2/aws github.com/aws/smithy-go # S3's calls without the SDK's client, everywhere
internal/awssqs:            internal/awsbase internal/awssign internal/http1 internal/jsonstring internal/quietnet github.com/aws/aws-sdk-go-v2/aws github.com/aws/smithy-go # SQS's calls without the SDK's client

internal/awsdynamo:         internal/awsbase internal/awssign github.com/aws/aws-sdk-go-v2/aws # DynamoDB's two calls for counters, without the SDK's client
internal/awsdynamo/dynamotest: # a fake of DynamoDB: standard library only
internal/awsec2:            internal/awsbase github.com/aws/aws-sdk-go-v2/aws github.com/aws/smithy-go # EC2's calls on security groups, without the SDK's client
internal/sharedcount:       internal/access internal/awsdynamo

internal/spill:             . internal/record internal/queue/sqsqueue # what a queue did not take
internal/outbox:            . internal/record internal/queue/sqsqueue internal/spill

internal/cloud:             . internal/* github.com/aws/aws-sdk-go-v2 github.com/aws/smithy-go # the only one that links the SDK's config: never in the bootstrap
internal/mototest:          # starts moto for tests: standard library only
internal/awssecret:         internal/awsbase internal/awssign github.com/aws/aws-sdk-go-v2/aws

internal/lambdasqs:         . internal/delivery internal/record
internal/emf:               internal/jsonstring

internal/stages:            . internal/access internal/cache internal/config internal/route internal/capture internal/filter internal/redact internal/proxy internal/delivery internal/egress internal/http1
internal/lambdaapp:         . internal/* github.com/aws/aws-sdk-go-v2/aws github.com/tidwall/gjson
internal/lambdaruntime:      internal/lazycontext internal/quietnet # the Runtime API's client: standard library otherwise
internal/lambdaruntime/runtimetest: # a fake Runtime API: standard library only

internal/terminal:          golang.org/x/sys # cells and keys of a terminal
internal/terminal/terminaltest: golang.org/x/sys # a terminal for tests
internal/top:               . internal/admin internal/content internal/filter internal/terminal # what tapway top shows
internal/series:            # the figures of the charts: standard library only
internal/console:           # the web console's files: standard library only
internal/alarm:             . # evaluation, mails and webhooks; what is measured comes from internal/app
internal/alarm/smtptest:    # a mail server for tests: standard library only
internal/admin:             . internal/alarm internal/cache internal/content internal/filter internal/record internal/delivery internal/queue/sqsqueue internal/series github.com/prometheus/client_golang
internal/mcp:               . internal/admin # what an agent may ask; its client in tests is another's
internal/attach:            . internal/* github.com/aws/aws-sdk-go-v2 github.com/aws/smithy-go
internal/attach/apitest:    # a fake of API Gateway's control plane: standard library only
internal/deploy:            . deploy internal/* github.com/aws/aws-sdk-go-v2 github.com/aws/smithy-go github.com/goccy/go-yaml
internal/torture:          internal/admin internal/attach/apitest internal/record/recordtest # drives whole processes, for tests and the soak
internal/tapstate:          internal/attach github.com/aws/aws-sdk-go-v2 # what the queues, alarms and metrics of a deployed tap say
internal/awsconsole:        . internal/* github.com/aws/aws-sdk-go-v2 github.com/aws/smithy-go # what the web console shows of a deployed tap; its tests drive a browser
internal/awsconsole/awsconsoletest: . internal/* github.com/aws/aws-sdk-go-v2 # a deployed tap on moto
internal/cost:              # what AWS asks for it: standard library only
internal/demo:              . github.com/coder/websocket
internal/app:               . internal/* github.com/prometheus/client_golang github.com/prometheus/client_model golang.org/x/sys github.com/aws/aws-sdk-go-v2
cmd/tapway-lambda:          internal/lambdaapp internal/lambdaruntime # and nothing heavy behind them: its own test
cmd/tapway:                 . internal/* github.com/spf13/cobra github.com/goccy/go-yaml github.com/aws/aws-sdk-go-v2
bench:                      . internal/*
bench/soak:
bench/variant/runtime:      internal/lambdaruntime
bench/variant/sqs:          . internal/lambdaruntime internal/awsbase internal/awssqs internal/queue/sqsqueue
bench/variant/s3:           . internal/lambdaruntime internal/awsbase internal/awssqs internal/queue/sqsqueue internal/awss3 internal/blob/s3blob
bench/variant/config:       . internal/lambdaruntime internal/awsbase internal/awssqs internal/queue/sqsqueue internal/awss3 internal/blob/s3blob internal/config
deploy:                     # the Terraform modules, embedded
deploy/terraform:           # tests of the modules
`

func TestImports(t *testing.T) {
	allowed := map[string][]string{}
	for line := range strings.Lines(policy) {
		line, _, _ = strings.Cut(line, "#")
		name, list, ok := strings.Cut(line, ":")
		if ok {
			allowed[strings.TrimSpace(name)] = strings.Fields(list)
		}
	}
	for _, p := range listPackages(t) {
		words, ok := allowed[p.name]
		if !ok {
			t.Errorf("%s has no line in the policy: say what it may import and why", p.name)
			continue
		}
		for _, imp := range p.imports {
			if !slices.ContainsFunc(words, func(w string) bool { return permits(w, imp) }) {
				t.Errorf("%s imports %s; the policy allows it: %s", p.name, imp, strings.Join(words, " "))
			}
		}
		if p.doc == "" {
			t.Errorf("%s has no package comment", p.name)
		}
	}
}

// TestArchitecture: docs/ARCHITECTURE.md tells of every package; fakes and contracts for tests, and variants of benchmarks, it names by their kind.
func TestArchitecture(t *testing.T) {
	text, err := os.ReadFile("docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range listPackages(t) {
		if p.name == "." || strings.HasSuffix(p.name, "test") || strings.HasPrefix(p.name, "bench/variant") || strings.HasPrefix(p.name, ".ci/") || p.name == "deploy/terraform" {
			continue
		}
		n++
		if short, _ := strings.CutPrefix(p.name, "internal/"); !strings.Contains(string(text), "`"+p.name+"`") && !strings.Contains(string(text), "`"+short+"`") {
			t.Errorf("%s is not in docs/ARCHITECTURE.md", p.name)
		}
	}
	if n < 50 {
		t.Errorf("only %d packages were looked for", n)
	}
}

// TestFirewallIsApart: the firewall's rules and their engine are in contrib/waf, a module of its
// own, so that neither tapway nor the Lambda bootstrap links them.
func TestFirewallIsApart(t *testing.T) {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "module github.com/tapway/tapway\n") || strings.Contains(string(text), "coraza") {
		t.Error("go.mod requires the firewall's engine")
	}
	out, err := exec.Command("go", "list", "-deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "coraza") || strings.Contains(line, "tapway/contrib/") {
			t.Errorf("the module imports %s", strings.TrimSpace(line))
		}
	}
}

func permits(word, imp string) bool {
	if tree, ok := strings.CutSuffix(word, "*"); ok {
		return strings.HasPrefix(imp, tree)
	}
	if word == "." {
		return imp == "."
	}
	return imp == word || strings.HasPrefix(imp, word+"/") && !strings.HasPrefix(word, "internal/")
}

type listed struct {
	name    string
	doc     string
	imports []string // non-standard only; ours by their path below the module
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	const module = "github.com/tapway/tapway"
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Doc string
			Imports         []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		short := func(path string) string {
			if path == module {
				return "."
			}
			return strings.TrimPrefix(path, module+"/")
		}
		set := map[string]bool{}
		for _, imp := range p.Imports {
			first, _, _ := strings.Cut(imp, "/")
			if strings.Contains(first, ".") {
				set[short(imp)] = true
			}
		}
		all = append(all, listed{short(p.ImportPath), p.Doc, slices.Sorted(maps.Keys(set))})
	}
	if len(all) == 0 {
		t.Fatal("go list found no package")
	}
	return all
}
