package attach

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// emitted is what the owner of an API is told to write, for every kind of API and way.
func emitted(t *testing.T, form string) map[string]string {
	t.Helper()
	w := newWorld(t)
	rest := w.emitREST(t)
	http := w.emitHTTP(t)
	out := map[string]string{}
	for name, api := range map[string]string{"rest": rest, "http": http} {
		a := w.read(t, api, "prod")
		for way, o := range map[string]Options{"function": w.viaFunction(), "alias": {Function: &Function{ARN: w.arn, Qualifier: "live", TimeoutMS: 30000}}, "url": viaURL()} {
			p := w.plan(t, a, o)
			if len(p.Changes) < 1 {
				t.Fatalf("%s by %s: %d changes", name, way, len(p.Changes))
			}
			var b strings.Builder
			if err := Emit(&b, form, p); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), testSecret) {
				t.Errorf("%s by %s shows the secret", name, way)
			}
			if public := string(compact(p.Public())); strings.Contains(public, testSecret) {
				t.Errorf("the plan of %s by %s shows the secret", name, way)
			}
			out[name+"-"+way] = b.String()
		}
	}
	return out
}

func (w *world) must(t *testing.T, method, path string, in any) map[string]any {
	t.Helper()
	text, err := w.Call(method, path, in)
	if err != nil {
		t.Fatal(method, path, err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// emitREST is a REST API with everything an integration can say that tapway can tap.
func (w *world) emitREST(t *testing.T) string {
	t.Helper()
	api := w.must(t, "POST", "/restapis", map[string]any{"name": "shop"})
	id := api["id"].(string)
	at := "/restapis/" + id + "/resources/"
	for part, integration := range map[string]map[string]any{
		"users": {"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "https://users.example.com/v1"},
		"{proxy+}": {"type": "HTTP_PROXY", "httpMethod": "ANY", "uri": "https://b.example.com:8443/{proxy}", "timeoutInMillis": 5000, "tlsConfig": map[string]any{"insecureSkipVerification": true},
			"requestParameters": map[string]string{"integration.request.path.proxy": "method.request.path.proxy", "integration.request.header.X-Who": "'${me} %{x}'"}, "cacheKeyParameters": []string{"method.request.path.proxy"}},
		"orders": {"type": "HTTP", "httpMethod": "POST", "uri": "https://orders.example.com/", "passthroughBehavior": "WHEN_NO_TEMPLATES", "contentHandling": "CONVERT_TO_TEXT",
			"requestTemplates": map[string]string{"application/json": "#set($x = 1)\n{\"a\": \"${x}\"}"}},
	} {
		r := w.must(t, "POST", at+api["rootResourceId"].(string), map[string]any{"pathPart": part})
		m := at + r["id"].(string) + "/methods/GET"
		w.must(t, "PUT", m, map[string]any{"authorizationType": "NONE", "requestParameters": map[string]bool{"method.request.path.proxy": true}})
		w.must(t, "PUT", m+"/responses/200", map[string]any{"responseParameters": map[string]bool{"method.response.header.X-A": false}})
		w.must(t, "PUT", m+"/integration", integration)
		w.must(t, "PUT", m+"/integration/responses/200", map[string]any{"selectionPattern": "2\\d{2}", "responseTemplates": map[string]string{"application/json": "$input.body"}})
	}
	if _, err := w.Deploy(id, "prod"); err != nil {
		t.Fatal(err)
	}
	return id
}

// emitHTTP is the same of an HTTP API.
func (w *world) emitHTTP(t *testing.T) string {
	t.Helper()
	api := w.must(t, "POST", "/v2/apis", map[string]any{"name": "shop", "protocolType": "HTTP"})
	id := api["apiId"].(string)
	for key, integration := range map[string]map[string]any{
		"GET /a-b":   {"integrationType": "HTTP_PROXY", "integrationMethod": "GET", "integrationUri": "https://users.example.com/v1", "payloadFormatVersion": "1.0"},
		"GET /a/b":   {"integrationType": "HTTP_PROXY", "integrationMethod": "GET", "integrationUri": "https://users.example.com/v2", "payloadFormatVersion": "1.0"},
		"GET /users": {"integrationType": "HTTP_PROXY", "integrationMethod": "GET", "integrationUri": "https://users.example.com/v1", "payloadFormatVersion": "1.0"},
		"ANY /{proxy+}": {"integrationType": "HTTP_PROXY", "integrationMethod": "ANY", "integrationUri": "https://b.example.com:8443/{proxy}", "payloadFormatVersion": "1.0", "timeoutInMillis": 5000,
			"requestParameters":  map[string]string{"overwrite:header.X-Who": "$request.path.proxy", "append:querystring.a": "b"},
			"responseParameters": map[string]map[string]string{"404": {"overwrite:statuscode": "410"}, "200": {"append:header.X-A": "b", "remove:header.X-B": "''"}}},
	} {
		in := w.must(t, "POST", "/v2/apis/"+id+"/integrations", integration)
		w.must(t, "POST", "/v2/apis/"+id+"/routes", map[string]any{"routeKey": key, "target": "integrations/" + in["integrationId"].(string)})
	}
	w.must(t, "POST", "/v2/apis/"+id+"/stages", map[string]any{"stageName": "prod", "autoDeploy": true})
	return id
}

// program finds what a test needs; in CI it must be there.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not on the path, and CI must not skip", name)
		}
		t.Skipf("%s is not on the path", name)
	}
	return path
}

// TestEmittedTerraform: Terraform takes what is emitted.
func TestEmittedTerraform(t *testing.T) {
	terraform := program(t, "terraform")
	env := append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0", "TF_PLUGIN_CACHE_DIR=")
	if _, err := os.Stat(os.Getenv("TF_CLI_CONFIG_FILE")); err != nil {
		for _, pattern := range []string{"/*/*/registry.terraform.io/hashicorp/aws", "/*/*/*/registry.terraform.io/hashicorp/aws"} {
			if found, _ := filepath.Glob(pattern); len(found) > 0 {
				rc := filepath.Join(t.TempDir(), "terraform.rc")
				writeFile(t, rc, "provider_installation {\n  filesystem_mirror {\n    path = \""+filepath.Dir(filepath.Dir(filepath.Dir(found[0])))+"\"\n  }\n}\n")
				env = append(env, "TF_CLI_CONFIG_FILE="+rc)
				break
			}
		}
	}
	dir := t.TempDir()
	run := func(in string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), terraform, append(args, "-no-color")...)
		cmd.Dir, cmd.Env = in, env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	// One root of modules, so that the provider is started once.
	root := "terraform {\n  required_providers {\n    aws = {\n      source  = \"hashicorp/aws\"\n      version = \">= 5.80\"\n    }\n  }\n}\n"
	for name, text := range emitted(t, "terraform") {
		secret := ""
		if strings.HasSuffix(name, "-url") {
			secret = "  tapway_secret = \"s\"\n"
		}
		root += "module \"" + name + "\" {\n  source = \"./" + name + "\"\n" + secret + "}\n"
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name, "main.tf"), text)
		if out, err := run(filepath.Join(dir, name), "fmt", "-check", "-diff"); err != nil {
			t.Errorf("%s is not formatted: %v\n%s", name, err, out)
		}
	}
	writeFile(t, filepath.Join(dir, "main.tf"), root)
	if out, err := run(dir, "init"); err != nil {
		if strings.Contains(out, "could not connect to registry.terraform.io") || strings.Contains(out, "Failed to query available provider packages") {
			t.Skipf("the AWS provider is neither on this machine nor to be had from the registry:\n%s", out)
		}
		t.Fatalf("terraform init: %v\n%s", err, out)
	}
	if out, err := run(dir, "validate"); err != nil {
		t.Errorf("terraform validate: %v\n%s", err, out)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

var comment = regexp.MustCompile(`(?m)^#.*\n`)

// template puts what is emitted for CloudFormation where its comments say it goes.
func template(t *testing.T, text, kind string) string {
	t.Helper()
	resources, parameters := map[string]any{}, map[string]any{}
	n := 0
	dec := json.NewDecoder(strings.NewReader(comment.ReplaceAllString(text, "")))
	for dec.More() {
		var part map[string]any
		if err := dec.Decode(&part); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if in, ok := part["Parameters"].(map[string]any); ok {
			parameters = in
			continue
		}
		if in, ok := part["Integration"]; ok && kind == "rest" {
			n++
			resources[fmt.Sprint("Method", n)] = map[string]any{"Type": "AWS::ApiGateway::Method", "Properties": map[string]any{
				"RestApiId": "a1b2c3d4e5", "ResourceId": fmt.Sprint("abc", n), "HttpMethod": "GET", "AuthorizationType": "NONE", "Integration": in}}
			continue
		}
		for name, resource := range part {
			if resources[name] != nil {
				t.Errorf("two resources are called %s", name)
			}
			resources[name] = resource
		}
	}
	out, err := json.MarshalIndent(map[string]any{"AWSTemplateFormatVersion": "2010-09-09", "Parameters": parameters, "Resources": resources}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestEmittedCloudFormation: cfn-lint takes what is emitted, and not what is wrong in it.
func TestEmittedCloudFormation(t *testing.T) {
	lint := program(t, "cfn-lint")
	dir := t.TempDir()
	check := func(paths ...string) (string, bool) {
		out, err := exec.CommandContext(t.Context(), lint, append([]string{"--region", apitest.New().Region, "--"}, paths...)...).CombinedOutput()
		return string(out), err == nil
	}
	all := emitted(t, "cloudformation")
	var paths []string
	for name, text := range all {
		kind, _, _ := strings.Cut(name, "-")
		paths = append(paths, filepath.Join(dir, name+".json"))
		writeFile(t, paths[len(paths)-1], template(t, text, kind))
	}
	if out, good := check(paths...); !good {
		t.Errorf("cfn-lint:\n%s", out)
	}
	broken := strings.ReplaceAll(template(t, all["http-function"], "http"), `"IntegrationType"`, `"IntegrationTyp"`)
	path := filepath.Join(dir, "broken.json")
	writeFile(t, path, broken)
	if _, good := check(path); good {
		t.Error("a property that does not exist passes")
	}
}
