package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/attach/apitest"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/deploy"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
	"github.com/tapway/tapway/internal/mototest"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// cloudWorld is an AWS account: API Gateway is our fake, everything else is moto.
type cloudWorld struct {
	*testing.T
	gateway       *apitest.Server
	url           string // of moto
	api           string
	dir           string
	configuration string // as the functions read it
	account       *cloud.Account
	lambda        *lambda.Client
	sqs           *sqs.Client
}

func newCloudWorld(t *testing.T) *cloudWorld {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("terraform is not on the path, and CI must not skip")
		}
		t.Skip("terraform is not on the path")
	}
	w := &cloudWorld{T: t, gateway: apitest.New(), dir: t.TempDir()}
	moto := w.startMoto()
	w.url = moto
	gateway := httptest.NewServer(w.gateway)
	t.Cleanup(gateway.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": moto, "AWS_ENDPOINT_URL_API_GATEWAY": gateway.URL, "AWS_ENDPOINT_URL_APIGATEWAYV2": gateway.URL,
		"AWS_REGION": w.gateway.Region, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_PROFILE": "", "AWS_CA_BUNDLE": "",
		"AWS_CONFIG_FILE": filepath.Join(w.dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(w.dir, "none"), "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	w.provider()
	var err error
	if w.account, err = cloud.Open(t.Context(), "", ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.account.Close)
	if w.sqs, err = w.account.SQS(); err != nil {
		t.Fatal(err)
	}
	w.lambda = lambda.NewFromConfig(w.account.Config, func(o *lambda.Options) { o.BaseEndpoint = &moto })
	return w
}

// startMoto starts moto with what it does otherwise than AWS put right.
func (w *cloudWorld) startMoto() string {
	w.Helper()
	python, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(python, "-c", "import moto.server").Run()
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			w.Fatal("python3 with moto[server] is missing, and CI must not skip")
		}
		w.Skip("python3 with moto[server] is missing")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, python, "../../deploy/terraform/testdata/moto.py", "127.0.0.1", port)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &output, &output, 5*time.Second
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if w.Failed() {
			text := output.String()
			w.Logf("moto: %s", text[max(0, len(text)-8000):])
		}
	})
	waitFor(w.T, "moto", func() bool {
		resp, err := http.Get("http://" + address + "/moto-api/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return "http://" + address
}

// provider has Terraform take its provider from a mirror on this machine, if there is one.
func (w *cloudWorld) provider() {
	if _, err := os.Stat(os.Getenv("TF_CLI_CONFIG_FILE")); err == nil {
		return
	}
	for _, pattern := range []string{"/*/*/registry.terraform.io/hashicorp/aws", "/*/*/*/registry.terraform.io/hashicorp/aws"} {
		found, _ := filepath.Glob(pattern)
		if len(found) == 0 {
			continue
		}
		rc := filepath.Join(w.dir, "terraform.rc")
		write(w.T, w.dir, "terraform.rc", "provider_installation {\n  filesystem_mirror {\n    path = \""+filepath.Dir(filepath.Dir(filepath.Dir(found[0])))+"\"\n  }\n}\n")
		w.Setenv("TF_CLI_CONFIG_FILE", rc)
		return
	}
}

// bootstrap builds the functions' program, and its package.
func (w *cloudWorld) bootstrap() (program, pkg, architecture string) {
	w.Helper()
	program, pkg = filepath.Join(w.dir, "bootstrap"), filepath.Join(w.dir, "package.zip")
	cmd := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", program, "./cmd/tapway-lambda")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("%v\n%s", err, out)
	}
	zip := exec.Command("go", "run", "./.ci/zip", pkg, program)
	zip.Dir = "../.."
	if out, err := zip.CombinedOutput(); err != nil {
		w.Fatalf("%v\n%s", err, out)
	}
	return program, pkg, map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
}

// function runs a deployed function's program with the environment that it was deployed with.
func (w *cloudWorld) function(program, name string) *runtimetest.API {
	w.Helper()
	out, err := w.lambda.GetFunctionConfiguration(w.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: &name})
	if err != nil {
		w.Fatal(err)
	}
	api := runtimetest.Config{Timeout: 30 * time.Second}.Start(w.T)
	root := w.TempDir()
	env := append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+api.Addr(), "AWS_LAMBDA_FUNCTION_NAME="+name, fmt.Sprintf("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=%d", aws.ToInt32(out.MemorySize)), "LAMBDA_TASK_ROOT="+root)
	for key, value := range out.Environment.Variables {
		env = append(env, key+"="+value)
	}
	if at := out.Environment.Variables["TAPWAY_CONFIG"]; at != "" {
		w.configuration = w.object(at)
	}
	var log bytes.Buffer
	process := api.Go(func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, program)
		cmd.Env, cmd.Stderr, cmd.WaitDelay = env, &log, 5*time.Second
		if err := cmd.Run(); ctx.Err() == nil {
			return err
		}
		return nil
	})
	w.Cleanup(func() {
		if err := process.Stop(); err != nil && !errors.Is(err, context.Canceled) || w.Failed() {
			w.Logf("%s: %v\n%s", name, err, log.String())
		}
	})
	return api
}

// parameter puts a secret into the Parameter Store.
func (w *cloudWorld) parameter(name, value string) {
	w.Helper()
	text, err := json.Marshal(map[string]any{"Name": name, "Value": value, "Type": "SecureString"})
	if err != nil {
		w.Fatal(err)
	}
	req, err := http.NewRequestWithContext(w.Context(), "POST", w.url, bytes.NewReader(text))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AmazonSSM.PutParameter")
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261121/"+w.gateway.Region+"/ssm/aws4_request, SignedHeaders=host, Signature=x")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	if said, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 {
		w.Fatalf("put the parameter: %s", said)
	}
}

// object reads s3://BUCKET/KEY.
func (w *cloudWorld) object(location string) string {
	w.Helper()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(location, "s3://"), "/")
	store, err := w.account.Blobs(bucket)
	if err != nil {
		w.Fatal(err)
	}
	text, err := store.Get(w.Context(), key)
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// door is API Gateway's data plane: it looks up what the API does with a call now, and calls
// the function only when that is its integration.
func (w *cloudWorld) door(stage string, proxy *runtimetest.API) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		target, ok := w.gateway.Resolve(w.api, stage, r.Method, r.URL.Path)
		if !ok || target.Type != "AWS_PROXY" {
			http.Error(rw, fmt.Sprintf("not led to a function: %+v", target), http.StatusBadGateway)
			return
		}
		_, resource, _ := strings.Cut(target.Route, " ")
		q := eventtest.Request{Method: r.Method, Target: r.URL.RequestURI(), Stage: stage, Resource: resource}
		for name, values := range r.Header {
			for _, v := range values {
				q.Header = append(q.Header, tapway.Field{Name: name, Value: v})
			}
		}
		event, err := eventtest.REST.Event(q)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		event = bytes.ReplaceAll(event, []byte("a1b2c3d4e5"), []byte(w.api)) // the API that eventtest's events are of
		result := proxy.Invoke(r.Context(), event)
		if result.Err != nil || result.Error != nil {
			http.Error(rw, fmt.Sprint(result.Err, result.Error), http.StatusBadGateway)
			return
		}
		resp, err := eventtest.REST.Response(q, result.Body)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadGateway)
			return
		}
		rw.Header().Set("X-Amzn-Requestid", "the-request")
		rw.WriteHeader(resp.Status)
		_, _ = rw.Write(resp.Body)
	})
}

// forward is the event source mapping: what waits in the queue goes to the forwarder.
func (w *cloudWorld) forward(ctx context.Context, queue string, forwarder *runtimetest.API) error {
	for ctx.Err() == nil {
		out, err := w.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &queue, MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{"All"}, WaitTimeSeconds: 1})
		if err != nil {
			return err
		}
		for _, m := range out.Messages {
			event, err := json.Marshal(map[string]any{"Records": []any{map[string]any{
				"messageId": m.MessageId, "receiptHandle": m.ReceiptHandle, "body": m.Body, "attributes": m.Attributes, "messageAttributes": map[string]any{},
				"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:" + w.gateway.Region + ":123456789012:" + queue[strings.LastIndexByte(queue, '/')+1:],
			}}})
			if err != nil {
				return err
			}
			result := forwarder.Invoke(ctx, event)
			if result.Err != nil || result.Error != nil || string(result.Body) != `{"batchItemFailures":[]}` {
				return fmt.Errorf("the forwarder answers %s, %v, %v", result.Body, result.Error, result.Err)
			}
			if _, err := w.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestDeployAndDestroy is the whole way: the modules through real Terraform, an API attached,
// a call through the proxy function as it was deployed, its record through SQS and the forwarder
// function to the destination; then everything taken away, and the API as it was.
func TestDeployAndDestroy(t *testing.T) {
	w := newCloudWorld(t)
	backend := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"path":%q,"token":"hunter2"}`, r.URL.RequestURI())
	}))
	defer backend.Close()
	api := w.newAPI(backend.URL)
	w.api = api
	before := w.gateway.Export(api, "prod")
	settled := w.gateway.Settled()
	program, pkg, architecture := w.bootstrap()
	mototest.CreateBucket(t, w.url, "states")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sink := l.Addr().String()
	l.Close()
	door := w.openDoor(program)

	fails(t, w.dir, 1, "knows of no installation", "destroy", "--yes")
	w.parameter("/tapway/token", "hunter3")
	write(t, w.dir, "tapway.yaml", `
listen: ":9999"
capture: {max_body: 1MiB}
proxy: {timeout: 5s}
limits: {connections: 10, daily_calls: 1000, daily_cost: 5}
destinations:
  - name: default
    url: http://`+sink+`/in
    headers: {X-Token: "${aws-ssm:/tapway/token}"}
    retry: {max_attempts: 3}
    batch: {max_wait: 1s}
aws: {project: shop, api: `+api+`, state_bucket: states, alarm_email: ops@example.com}
`)
	args := []string{"deploy", "--package", pkg, "--architecture", architecture, "--rate", "1000", "--receive", sink, "--call", door.URL + "/users?a=b", "--wait", "60s"}
	plan, errOut, code := executeWith(t, w.dir, "n\n", args...)
	if code != 1 || !strings.Contains(errOut, "nothing done") {
		t.Fatalf("answering no: exit %d\n%s%s", code, plan, errOut)
	}
	mustContain(t, plan, "Account 123456789012", `create   module.tapway.aws_sqs_queue.records["default"]`, "create   module.tapway.aws_lambda_function.proxy", "create   module.tapway.aws_dynamodb_table.counters[0]", "0 to remove", "change  GET /users", "change  GET /users/{id}/orders", "needs lambda:InvokeFunction", "one test call: GET "+door.URL+"/users?a=b")
	if d := apitest.Diff(settled, w.gateway.Settled()); d != "" {
		t.Fatalf("answering no changed something:\n%s", d)
	}
	out := must(t, w.dir, append(args, "--yes")...)
	mustContain(t, out, "Made: ", "Attached: all calls of 3 routes in stage prod pass through tapway.", "200 OK in", "request id the-request", "The record arrived at "+sink, "queue: sqs://shop-{destination}")
	mustContain(t, w.configuration, "max_attempts", "max_wait", "${aws-ssm:/tapway/token}", "1MiB", "dynamodb://shop-counters", `"daily_calls": 1000`, `"daily_cost": 5`)
	if strings.Contains(w.configuration, "connections") {
		t.Errorf("limits of this machine went to the functions:\n%s", w.configuration)
	}
	w.checkCounted()
	w.checkRecord(out)
	if answers := read(t, w.dir, deploy.AnswersFile); !strings.Contains(answers, `"attached": [`) || !strings.Contains(answers, `"began": true`) {
		t.Errorf("remembered: %s", answers)
	}

	fails(t, w.dir, 2, "remembers an installation whose project is shop", "deploy", "--project", "other")

	example := must(t, w.dir, "deploy", "--yes", "--package", pkg, "--example", "--receive", sink, "--call", door.URL+"/users", "--wait", "60s")
	mustContain(t, example, "create   module.example.aws_api_gateway_rest_api.example", "Attached: all calls of 4 routes in stage dev", "The record arrived")
	mustContain(t, read(t, filepath.Join(w.dir, ".tapway", "shop"), "tapway.auto.tfvars.json"), "arn:aws:lambda:"+w.gateway.Region+":123456789012:function:orders:live") // of the first API
	answers := strings.Replace(read(t, w.dir, deploy.AnswersFile), `"attached"`, `"forgotten"`, 1)                                                                       // as on a pipeline's machine
	write(t, w.dir, deploy.AnswersFile, answers)
	again := must(t, w.dir, "deploy", "--yes", "--package", pkg, "--no-call") // what attach did to the example is no change to Terraform
	mustContain(t, again, "nothing to change", "is attached already")

	w.bury("a dead letter")
	yaml := read(t, w.dir, "tapway.yaml")
	write(t, w.dir, "tapway.yaml", strings.Replace(yaml, "name: default", "name: other", 1))
	fails(t, w.dir, 1, "the queue of default would be removed with 1 record in it", "deploy", "--yes", "--package", pkg, "--no-call")
	write(t, w.dir, "tapway.yaml", yaml)
	fails(t, w.dir, 1, "1 dead letters of default", "destroy", "--yes") // detached by now
	if live, _ := w.gateway.Resolve(api, "prod", "GET", "/users"); live.Type != "HTTP_PROXY" {
		t.Errorf("after detaching: %+v", live)
	}
	elsewhere := t.TempDir() // the state in S3 is enough
	gone := must(t, elsewhere, "destroy", "--yes", "--discard", "--project", "shop", "--state-bucket", "states")
	mustContain(t, gone, "Removed: ", "Kept: the saved state of an API")
	if d := apitest.Diff(settled, w.gateway.Settled()); d != "" || !bytes.Equal(before, w.gateway.Export(api, "prod")) {
		t.Errorf("the API is not as before:\n%s", d)
	}
	w.checkEmpty()
}

// openDoor is where the API is called. With the first call the deployed functions begin to run.
func (w *cloudWorld) openDoor(program string) *httptest.Server {
	var proxy *runtimetest.API
	ctx, cancel := context.WithCancel(w.Context())
	begin := sync.OnceValue(func() error {
		out, err := w.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("shop-default")})
		if err != nil {
			return err
		}
		proxy = w.function(program, "shop-proxy")
		forwarder := w.function(program, "shop-forwarder")
		go func() {
			if err := w.forward(ctx, *out.QueueUrl, forwarder); err != nil && ctx.Err() == nil && !errors.As(err, new(*sqstypes.QueueDoesNotExist)) {
				w.Errorf("forwarding: %v", err)
			}
		}()
		return nil
	})
	door := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := begin(); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		w.door("prod", proxy).ServeHTTP(rw, r)
	}))
	w.Cleanup(func() {
		cancel()
		door.Close()
	})
	return door
}

// bury puts a message into the dead-letter queue.
func (w *cloudWorld) bury(text string) {
	w.Helper()
	dead, err := w.sqs.GetQueueUrl(w.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("shop-default-dead")})
	if err == nil {
		_, err = w.sqs.SendMessage(w.Context(), &sqs.SendMessageInput{QueueUrl: dead.QueueUrl, MessageBody: &text})
	}
	if err != nil {
		w.Fatal(err)
	}
}

// checkCounted looks whether the deployed proxy function has counted in the table.
func (w *cloudWorld) checkCounted() {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), "POST", w.url, strings.NewReader(`{"TableName": "shop-counters"}`))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810.Scan")
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261121/"+w.gateway.Region+"/dynamodb/aws4_request, SignedHeaders=host, Signature=x")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	var items struct{ Count int }
	said, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(said, &items)
	}
	if err != nil || items.Count == 0 {
		w.Errorf("in the table: %v\n%s", err, said)
	}
}

// checkEmpty looks whether functions or queues are left.
func (w *cloudWorld) checkEmpty() {
	w.Helper()
	functions, err := w.lambda.ListFunctions(w.Context(), &lambda.ListFunctionsInput{})
	if err != nil || len(functions.Functions) != 0 {
		w.Errorf("left: %+v, %v", functions, err)
	}
	queues, err := w.sqs.ListQueues(w.Context(), &sqs.ListQueuesInput{})
	if err != nil || len(queues.QueueUrls) != 0 {
		w.Errorf("left: %+v, %v", queues, err)
	}
}

// newAPI makes a REST API with three routes, one of them a Lambda function's, deployed to prod.
func (w *cloudWorld) newAPI(backend string) string {
	w.Helper()
	call := func(method, path string, in, out any) {
		w.Helper()
		text, err := w.gateway.Call(method, path, in)
		if err == nil && out != nil {
			err = json.Unmarshal(text, out)
		}
		if err != nil {
			w.Fatal(method, path, err)
		}
	}
	var api, users, user, orders struct{ ID, RootResourceID string }
	call("POST", "/restapis", map[string]any{"name": "shop", "binaryMediaTypes": []string{"*/*"}}, &api)
	at := "/restapis/" + api.ID + "/resources/"
	call("POST", at+api.RootResourceID, map[string]any{"pathPart": "users"}, &users)
	call("POST", at+users.ID, map[string]any{"pathPart": "{id}"}, &user)
	call("POST", at+user.ID, map[string]any{"pathPart": "orders"}, &orders)
	for id, integration := range map[string]map[string]any{
		users.ID:  {"type": "HTTP_PROXY", "httpMethod": "GET", "uri": backend + "/v1/users"},
		orders.ID: {"type": "AWS_PROXY", "httpMethod": "POST", "uri": w.gateway.InvokeARN(w.gateway.AddFunction("orders", false) + ":live")},
		user.ID:   {"type": "HTTP_PROXY", "httpMethod": "GET", "uri": backend + "/v1/users/{id}", "requestParameters": map[string]string{"integration.request.path.id": "method.request.path.id"}},
	} {
		m := at + id + "/methods/GET"
		call("PUT", m, map[string]any{"authorizationType": "NONE", "requestParameters": map[string]bool{"method.request.path.id": true}}, nil)
		call("PUT", m+"/integration", integration, nil)
	}
	if _, err := w.gateway.Deploy(api.ID, "prod"); err != nil {
		w.Fatal(err)
	}
	return api.ID
}

// checkRecord looks at the record that deploy showed.
func (w *cloudWorld) checkRecord(out string) {
	w.Helper()
	_, text, _ := strings.Cut(out, "The record arrived at")
	_, text, _ = strings.Cut(text, "\n")
	var raw json.RawMessage
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&raw); err != nil && !errors.Is(err, io.EOF) {
		w.Fatalf("%v in %s", err, text)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, raw); err != nil {
		w.Fatal(err)
	}
	recordtest.Validate(w.T, line.Bytes())
	var record struct {
		Endpoint, Method, Query, Front, Route, Origin string
		Response                                      struct{ Path, Token string }
		Status                                        int
	}
	if err := json.Unmarshal(raw, &record); err != nil {
		w.Fatal(err)
	}
	if record.Endpoint != "/users" || record.Method != "GET" || record.Query != "a=b" || record.Front != "rest" || record.Status != 200 ||
		record.Response.Path != "/v1/users?a=b" || record.Response.Token != "[REDACTED]" || record.Origin != "backend" {
		w.Errorf("the record: %s", raw)
	}
}
