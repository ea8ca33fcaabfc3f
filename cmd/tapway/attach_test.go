package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// gatewayWorld is an account with an API Gateway, and a directory to work in.
type gatewayWorld struct {
	*apitest.Server
	dir string
	api string

	fault atomic.Pointer[func(op string) *apitest.Fault]
}

// fail has every call asked whether it is to fail; nil: none. Calls of a process that was
// killed may still be on their way.
func (w *gatewayWorld) fail(f func(op string) *apitest.Fault) { w.fault.Store(&f) }

// newGatewayWorld has a REST API with two routes to tap and one that stays, in stage prod.
func newGatewayWorld(t *testing.T) *gatewayWorld {
	t.Helper()
	w := &gatewayWorld{Server: apitest.New(), dir: t.TempDir()}
	w.Before = func(op string, _ *http.Request) *apitest.Fault {
		if f := w.fault.Load(); f != nil && *f != nil {
			return (*f)(op)
		}
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("/", w.Server)
	mux.HandleFunc("GET /2015-03-31/event-source-mappings", func(rw http.ResponseWriter, _ *http.Request) { // nothing feeds a function
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprint(rw, `{"EventSourceMappings":[]}`)
	})
	mux.HandleFunc("POST /{$}", func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "GraniteServiceVersion20100801.") { // a CloudWatch that knows nothing
			rw.Header().Set("Content-Type", "application/x-amz-json-1.0")
			fmt.Fprint(rw, "{}")
			return
		}
		// STS
		rw.Header().Set("Content-Type", "text/xml")
		fmt.Fprintf(rw, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::%[1]s:user/test</Arn><UserId>A</UserId><Account>%[1]s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, w.Account)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": w.Region, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": filepath.Join(w.dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(w.dir, "none"), "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	w.AddFunction("tapway", false)
	var api struct{ ID, RootResourceID string }
	w.call(t, "POST", "/restapis", map[string]any{"name": "shop", "tags": map[string]string{"ManagedBy": "Terraform"}}, &api)
	w.api = api.ID
	at := "/restapis/" + api.ID + "/resources/"
	for path, integration := range map[string]map[string]any{
		"users":  {"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "https://users.example.com/v1"},
		"orders": {"type": "HTTP", "httpMethod": "GET", "uri": "https://orders.example.com/", "requestTemplates": map[string]string{"application/json": "#set($x = 1)"}},
		"health": {"type": "MOCK"},
	} {
		var r struct{ ID string }
		w.call(t, "POST", at+api.RootResourceID, map[string]any{"pathPart": path}, &r)
		m := at + r.ID + "/methods/GET"
		w.call(t, "PUT", m, map[string]any{"authorizationType": "NONE"}, nil)
		w.call(t, "PUT", m+"/responses/200", map[string]any{}, nil)
		w.call(t, "PUT", m+"/integration", integration, nil)
		w.call(t, "PUT", m+"/integration/responses/200", map[string]any{}, nil)
	}
	if _, err := w.Deploy(w.api, "prod"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *gatewayWorld) call(t *testing.T, method, path string, in, out any) {
	t.Helper()
	text, err := w.Call(method, path, in)
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		t.Fatal(method, path, err)
	}
}

func (w *gatewayWorld) args(command string, more ...string) []string {
	return append([]string{command, "--api", w.api, "--rate", "1000"}, more...)
}

func TestDiscoverAPI(t *testing.T) {
	w := newGatewayWorld(t)
	out := must(t, w.dir, w.args("discover")...)
	mustContain(t, out, "REST API "+w.api+" (shop) in us-east-1, stage prod", "GET", "/users", "HTTP_PROXY", "29s", "https://users.example.com/v1",
		"by url", "template", "API Gateway answers it by itself (MOCK)", "1 of 3 routes can be tapped either way, 0 more by Lambda only, 1 more by URL only.")
	type route struct{ Route, Tappable, Reason string }
	got := decode[struct {
		Kind   string
		Routes []route
	}](t, must(t, w.dir, w.args("discover", "--json")...))
	if got.Kind != "REST" || len(got.Routes) != 3 || got.Routes[2].Tappable != "yes" || got.Routes[0].Tappable != "no" {
		t.Errorf("%+v", got)
	}
	fails(t, w.dir, 1, `no REST API and no HTTP API "nope" in us-east-1`, "discover", "--api", "nope", "--rate", "1000")
	fails(t, w.dir, 1, `has no stage "x"; its stages: prod`, w.args("discover", "--stage", "x")...)
}

// TestAttachAndDetach: the whole way with a real process, by function.
func TestAttachAndDetach(t *testing.T) {
	w := newGatewayWorld(t)
	before, settled := w.Export(w.api, "prod"), w.Settled()
	via := []string{"--via", "lambda:tapway"}

	mustContain(t, must(t, w.dir, w.args("status")...), "is not attached")
	fails(t, w.dir, 1, "is not attached", w.args("detach", "--yes")...)
	plan := must(t, w.dir, w.args("attach", append(via, "--dry-run", "--out", "plan.json", "--route-table", "routes.json")...)...)
	must(t, w.dir, w.args("attach", append(via, "--dry-run", "--route-table", "s3://nowhere/routes/")...)...) // is not written to
	mustContain(t, plan, "change  GET /users", "→ AWS_PROXY arn:aws:lambda", "keep", "--via url:… can tap it", "belongs to Terraform (tag ManagedBy=Terraform)", "binaryMediaTypes", "deploy  stage prod")
	if d := apitest.Diff(settled, w.Settled()); d != "" {
		t.Fatalf("a dry run changed something:\n%s", d)
	}
	mustContain(t, read(t, w.dir, "plan.json"), `"route": "GET /users"`)
	mustContain(t, must(t, w.dir, "discover", "--openapi", "routes.json"), "https://users.example.com/v1", "1 of 3 routes")

	_, errOut, code := executeWith(t, w.dir, "n\n", w.args("attach", via...)...)
	if code != 1 || !strings.Contains(errOut, "nothing attached") {
		t.Fatalf("answering no: exit %d\n%s", code, errOut)
	}
	mustContain(t, must(t, w.dir, w.args("attach", append(via, "--yes")...)...), "Attached: All calls of 1 route in stage prod pass through tapway.", "tapway-"+w.api+".json")
	if live, _ := w.Resolve(w.api, "prod", "GET", "/users"); live.Type != "AWS_PROXY" || live.Problem != "" {
		t.Errorf("live: %+v", live)
	}
	if info, err := os.Stat(filepath.Join(w.dir, "tapway-"+w.api+".json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state file: %v, %v", info, err)
	}
	fails(t, w.dir, 1, "is attached already", w.args("attach", append(via, "--yes")...)...)
	mustContain(t, must(t, w.dir, w.args("status")...), "attached since", "GET /users  attached      yes")

	elsewhere := t.TempDir() // the tag says where the state lies
	w.EditREST(w.api, func(a *apitest.RestAPI) { a.Method("GET", "/users").Integration.TimeoutInMillis = 99 })
	fails(t, elsewhere, 1, "GET /users was changed in the working copy", w.args("status")...)
	fails(t, elsewhere, 1, "timeoutInMillis: 29000, now 99", w.args("detach", "--yes")...)
	out := must(t, elsewhere, w.args("detach", "--yes", "--force")...)
	mustContain(t, out, "serves deployment", "1 route put back.", "Proof: the export of the stage equals the one before the attach.")
	if d := apitest.Diff(settled, w.Settled()); d != "" || !bytes.Equal(before, w.Export(w.api, "prod")) {
		t.Errorf("not as before:\n%s", d)
	}
	mustContain(t, must(t, w.dir, w.args("attach", append(via, "--yes")...)...), "Attached") // and once more
	must(t, w.dir, w.args("detach", "--yes", "--json")...)
}

// TestAttachByURL: with a secret that is made, and never shown.
func TestAttachByURL(t *testing.T) {
	w := newGatewayWorld(t)
	settled := w.Settled()
	via := []string{"--via", "url:https://tapway.example.com", "--secret-file", "secret.txt"}
	fails(t, w.dir, 2, "--secret-file", w.args("attach", via[:2]...)...)
	out := must(t, w.dir, w.args("attach", append(via, "--yes", "--out", "plan.json")...)...)
	mustContain(t, out, "https://tapway.example.com/users.example.com/v1", `- {match: "ANY /users.example.com/{proxy+}", backend: "https://users.example.com/{proxy}"}`, "2 routes")
	secret := strings.TrimSpace(read(t, w.dir, "secret.txt"))
	if in := w.REST(w.api).Method("GET", "/users").Integration; in.RequestParameters["integration.request.header.X-Tapway-Secret"] != "'"+secret+"'" || len(secret) < 32 {
		t.Errorf("integration %+v", in)
	}
	for name, text := range map[string]string{"the output": out, "the plan": read(t, w.dir, "plan.json"), "status": must(t, w.dir, w.args("status", "--json")...)} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows the secret", name)
		}
	}
	must(t, w.dir, w.args("detach", "--yes")...)
	if d := apitest.Diff(settled, w.Settled()); d != "" {
		t.Errorf("not as before:\n%s", d)
	}
}

// called waits until a call has been carried out.
func (w *gatewayWorld) called(t *testing.T, op string) {
	t.Helper()
	waitFor(t, op, func() bool { return w.Count(op) > 0 })
}

// TestAttachKilled: what a process that was killed in the middle leaves can be finished, and
// undone, by another one.
func TestAttachKilled(t *testing.T) {
	for _, then := range []string{"attach", "detach"} {
		w := newGatewayWorld(t)
		settled := w.Settled()
		cmd := command(w.dir, w.args("attach", "--via", "lambda:tapway", "--yes")...)
		reached, killed := make(chan struct{}), make(chan struct{})
		w.fail(func(op string) *apitest.Fault {
			if op != "PutIntegration" {
				return nil
			}
			close(reached)
			<-killed
			return apitest.Lost
		})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-reached
		cmd.Process.Kill()
		close(killed)
		if err := cmd.Wait(); err == nil {
			t.Fatal("it was not killed")
		}
		w.called(t, "PutIntegration") // it takes effect when nobody waits for it any more
		w.fail(nil)
		fails(t, w.dir, 1, "it is attaching", w.args("status")...)
		if then == "attach" {
			mustContain(t, must(t, w.dir, w.args("attach", "--yes")...), "Attached: All calls of 1 route")
		}
		mustContain(t, must(t, w.dir, w.args("detach", "--yes")...), "Proof: the export of the stage equals")
		if d := apitest.Diff(settled, w.Settled()); d != "" {
			t.Errorf("%s: not as before:\n%s", then, d)
		}
	}
}

func TestCanaryAndPromote(t *testing.T) {
	w := newGatewayWorld(t)
	settled := w.Settled()
	must(t, w.dir, w.args("attach", "--via", "lambda:tapway", "--yes", "--canary", "10")...)
	if live, _ := w.Resolve(w.api, "prod", "GET", "/users"); live.Type != "HTTP_PROXY" {
		t.Errorf("the stage itself: %+v", live)
	}
	if live, _ := w.ResolveCanary(w.api, "prod", "GET", "/users"); live.Type != "AWS_PROXY" || live.Problem != "" {
		t.Errorf("the canary: %+v", live)
	}
	mustContain(t, must(t, w.dir, w.args("status")...), "canary 10 %")
	mustContain(t, must(t, w.dir, w.args("attach", "--promote")...), "leads all calls")
	if live, _ := w.Resolve(w.api, "prod", "GET", "/users"); live.Type != "AWS_PROXY" {
		t.Errorf("promoted: %+v", live)
	}
	mustContain(t, must(t, w.dir, w.args("status")...), "GET /users  attached      yes")
	must(t, w.dir, w.args("detach", "--yes")...)
	if d := apitest.Diff(settled, w.Settled()); d != "" {
		t.Errorf("not as before:\n%s", d)
	}
}

// TestAttachRefused: a missing permission is named, and what is printed for it is a policy.
func TestAttachRefused(t *testing.T) {
	w := newGatewayWorld(t)
	w.fail(func(op string) *apitest.Fault {
		if op == "UpdateStage" {
			return apitest.Refused
		}
		return nil
	})
	fails(t, w.dir, 1, "these credentials lack the permission apigateway:PATCH; --print-policy prints", w.args("attach", "--via", "lambda:tapway", "--yes")...)
	w.fail(nil)
	for _, command := range []string{"discover", "attach", "detach", "status"} {
		policy := decode[struct {
			Version   string
			Statement []struct {
				Action, Resource []string
			}
		}](t, must(t, w.dir, command, "--print-policy", "--api", "a1b2", "--region", "eu-west-1"))
		if policy.Version != "2012-10-17" || policy.Statement[0].Action[0] != "apigateway:GET" || policy.Statement[0].Resource[0] != "arn:aws:apigateway:eu-west-1::/restapis/a1b2" {
			t.Errorf("%s: %+v", command, policy)
		}
	}
}

func TestEmit(t *testing.T) {
	w := newGatewayWorld(t)
	settled := w.Settled()
	mustContain(t, must(t, w.dir, w.args("attach", "--via", "lambda:tapway", "--emit", "terraform")...),
		`resource "aws_api_gateway_integration" "get_users" {`, `= "AWS_PROXY"`, `resource "aws_lambda_permission" "tapway" {`)
	mustContain(t, must(t, w.dir, w.args("attach", "--via", "lambda:tapway", "--emit", "cloudformation")...),
		`"IntegrationHttpMethod": "POST"`, `"Type": "AWS_PROXY"`, `"Type": "AWS::Lambda::Permission"`)
	mustContain(t, must(t, w.dir, w.args("attach", "--via", "url:https://t.example.com", "--emit", "terraform")...), `= "https://t.example.com/orders.example.com/"`, `"'${var.tapway_secret}'"`, `variable "tapway_secret" {`)
	fails(t, w.dir, 2, "neither terraform nor cloudformation", w.args("attach", "--emit", "x")...)
	if d := apitest.Diff(settled, w.Settled()); d != "" {
		t.Errorf("--emit changed something:\n%s", d)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBackupAndRestore(t *testing.T) {
	w := newGatewayWorld(t)
	working, served := w.WorkingCopy(w.api), w.Export(w.api, "prod")
	mustContain(t, must(t, w.dir, w.args("backup", "--to", "b.json")...), "REST API "+w.api+" (shop) with 1 stage and 0 security groups is in")
	mustContain(t, must(t, w.dir, w.args("restore", "--from", "b.json", "--dry-run")...), "The API is as in the backup of 20")
	w.EditREST(w.api, func(a *apitest.RestAPI) {
		in := a.Method("GET", "/users").Integration
		in.URI, in.Responses = "https://elsewhere.example.com/", nil
		a.Method("GET", "/orders").APIKeyRequired = true
	})
	if _, err := w.Deploy(w.api, "prod"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Deploy(w.api, "test"); err != nil {
		t.Fatal(err)
	}
	edited := w.WorkingCopy(w.api)
	mustContain(t, must(t, w.dir, w.args("restore", "--from", "b.json", "--dry-run")...), "changed   integration of GET /users", `uri: "https://users.example.com/v1", now "https://elsewhere.example.com/"`,
		"changed   method GET /orders", "apiKeyRequired: false, now true", "changed   deployment of stage prod", "extra     stage test: not in the backup, stays (--prune removes it)")
	if d := apitest.Diff(edited, w.WorkingCopy(w.api)); d != "" {
		t.Errorf("a dry run changed something:\n%s", d)
	}
	mustContain(t, must(t, w.dir, w.args("restore", "--from", "b.json", "--prune", "--dry-run")...), "remove    stage test")
	must(t, w.dir, w.args("restore", "--from", "b.json", "--yes")...)
	if d := apitest.Diff(working, w.WorkingCopy(w.api)) + apitest.Diff(served, w.Export(w.api, "prod")); d != "" {
		t.Errorf("not as in the backup:\n%s", d)
	}
	if _, err := w.Call("DELETE", "/restapis/"+w.api, nil); err != nil {
		t.Fatal(err)
	}
	fails(t, w.dir, 1, "--new makes a new API of the backup", w.args("restore", "--from", "b.json")...)
	out := must(t, w.dir, w.args("restore", "--from", "b.json", "--new", "--yes")...)
	mustContain(t, out, "missing   resource /users", "missing   method GET /orders", "missing   stage prod", "The new API is ")
	_, rest, _ := strings.Cut(out, "The new API is ")
	id, _, _ := strings.Cut(rest, ".")
	if w.REST(id) == nil || w.REST(id).Method("GET", "/users") == nil || w.Export(id, "prod") == nil {
		t.Errorf("the new API %q is not complete", id)
	}
	mustContain(t, must(t, w.dir, "restore", "--api", w.api, "--print-policy", "--new"), "ec2:RevokeSecurityGroupIngress", "apigateway:DELETE", "::/restapis\"")
	mustContain(t, must(t, w.dir, "backup", "--api", w.api, "--print-policy"), "ec2:DescribeSecurityGroupRules", "lambda:GetFunctionConfiguration", "/usageplans")
	fails(t, w.dir, 2, "say which backup with --from", w.args("restore")...)
	fails(t, w.dir, 1, "there is no backup at", w.args("restore", "--from", "none.json")...)
}
