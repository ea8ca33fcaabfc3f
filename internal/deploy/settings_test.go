package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/config"
)

const full = `
listen: ":9999"
admin: {listen: ":9090", token: "${TAPWAY_TOKEN}"}
data: /var/lib/tapway
backend: https://api.internal
proxy: {timeout: 5s, tls: {ca: "${aws-ssm:/tapway/ca}"}}
capture: {max_body: 1MiB, redact: {json: ["$..card"]}}
destinations:
  - name: siem
    url: https://siem.example.com/in
    headers: {Authorization: "Bearer ${aws-secretsmanager:siem#token}"}
    signing_secret: ["${aws-ssm:/tapway/new}", "${aws-ssm:/tapway/old}"]
    if: "path startsWith '/api/'"
    timeout: 20s
    concurrency: 1
    retry: {max_attempts: 3}
  - {name: lake, url: "${aws-secretsmanager:lake-url}"}
aws: {region: eu-west-1}
`

func TestReadSettings(t *testing.T) {
	s, err := ReadSettings("tapway.yaml", []byte(full), "")
	if err != nil {
		t.Fatal(err)
	}
	if s.Backend != "https://api.internal" || len(s.More) != 2 || s.More["proxy"] == nil || s.More["capture"] == nil {
		t.Errorf("%+v", s.More)
	}
	text, err := json.Marshal(s.Destinations)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"lake":{"concurrency":16,"url":"${aws-secretsmanager:lake-url}"},"siem":{"concurrency":2,"headers":{"Authorization":"Bearer ${aws-secretsmanager:siem#token}"},"if":"path startsWith '/api/'",` +
		`"old_secrets":["${aws-ssm:/tapway/old}"],"retry":{"max_attempts":3},"signing_secret":"${aws-ssm:/tapway/new}","timeout":"20s","url":"https://siem.example.com/in"}}`
	if string(text) != want {
		t.Errorf("destinations:\n%s\nwant\n%s", text, want)
	}
	slices.Sort(s.References)
	if got := strings.Join(s.References, " "); got != "aws-secretsmanager:lake-url aws-secretsmanager:siem#token aws-ssm:/tapway/ca aws-ssm:/tapway/new aws-ssm:/tapway/old" {
		t.Errorf("references: %s", got)
	}
	if s.ProxyTimeout() != 7 || s.ForwarderTimeout() != 120 || len(s.Warnings) != 0 {
		t.Errorf("timeouts %d, %d; %q", s.ProxyTimeout(), s.ForwarderTimeout(), s.Warnings)
	}
	one, err := ReadSettings("tapway.yaml", []byte(full), "https://other.example.com/")
	if err != nil || len(one.Destinations) != 1 || one.Destinations["default"]["url"] != "https://other.example.com/" {
		t.Errorf("--destination: %+v, %v", one.Destinations, err)
	}
}

// aCertificate is one of nobody's, good for a hundred years.
const aCertificate = `-----BEGIN CERTIFICATE-----
MIIBcTCCARegAwIBAgIUe06gBqphIjzRiRkJAvImA69zmrQwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTc0OTAwWhgPMjEyNjEwMjgxNzQ5MDBa
MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAErn0r3OWF
R/iZEtUiG449r/MyWcFSoxbEprSkVyugJiH7SrP1ZOrmhBPbSQPUx0SsGMecn8cv
mxlU3yTvqMnOC6NTMFEwHQYDVR0OBBYEFDUxGbqzxzugk41VcNPhxeOEzIluMB8G
A1UdIwQYMBaAFDUxGbqzxzugk41VcNPhxeOEzIluMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSAAwRQIgeyAFQwP6wjnEtZsyaboG5tnqoeM5bci4/soTmD5n
fYwCIQCBuUjiBZhf52lXTQdgFNkco6+/GgFyECeCuvN/c6DapA==
-----END CERTIFICATE-----
`

// TestSettingsRefused: what only this machine has is told before anything is made.
func TestSettingsRefused(t *testing.T) {
	dir := t.TempDir()
	pem := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(pem, []byte(aCertificate), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, says := range map[string]string{
		"destinations: [{name: a, url: http://a, headers: {X: \"${TOKEN}\"}}]":              "tapway.yaml:1:54: destinations[0].headers.X: the environment variable TOKEN is not set; the functions do not have this machine's environment",
		"destinations: [{name: a, url: http://a, headers: {X: \"${file:/etc/hostname}\"}}]": "the functions have no file of this machine",
		"proxy: {tls: {ca: " + pem + "}}":                                                   "proxy.tls.ca: a file of this machine",
		"destinations: [{name: a, url: http://a, tls: {ca: " + pem + "}}]":                  "destinations.a.tls.ca: a file of this machine",
		"proxi: {}":       "unknown key",
		"aws: {regio: x}": "unknown key",
	} {
		if _, err := ReadSettings("tapway.yaml", []byte(text), ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v\nwant %s", text, err, says)
		}
	}
	s, err := ReadSettings("tapway.yaml", []byte("destinations: [{name: a, url: http://a, headers: {X-Key: hunter2, Content-Type: text/plain}, signing_secret: whsec_aaaa}]"), "")
	if err != nil || len(s.Warnings) != 2 || strings.Contains(strings.Join(s.Warnings, ""), "hunter2") {
		t.Errorf("secrets in clear: %v, %q", err, s.Warnings)
	}
	if s, err := ReadSettings("tapway.yaml", []byte("openapi: not-there.json\nlisten: 8080\ndata: ${NOT_SET}\n"), "http://a"); err != nil || len(s.More) != 0 {
		t.Errorf("what is not for functions: %+v, %v", s, err)
	}
	if s, err := ReadSettings("", nil, ""); err != nil || len(s.Destinations) != 0 || s.ProxyTimeout() != 13 || s.ForwarderTimeout() != 60 {
		t.Errorf("without a file: %+v, %v", s, err)
	}
}

func TestStack(t *testing.T) {
	s, err := ReadSettings("tapway.yaml", []byte(full), "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pkg := filepath.Join(dir, "p.zip")
	if err := os.WriteFile(pkg, []byte("zip"), 0o600); err != nil {
		t.Fatal(err)
	}
	stack := &Stack{Project: "shop", Region: "eu-west-1", Account: "123456789012", Architecture: "arm64", Memory: 256, Concurrency: 20, Settings: s, Package: pkg, Tapped: []string{"arn:aws:lambda:eu-west-1:123456789012:function:users"}, StateBucket: "states", Lock: true,
		VPC: &config.AWSVPC{Subnets: []string{"subnet-1"}, Egress: []config.AWSEgress{{To: "pl-1", Port: 443}, {To: "sg-1", Port: 8443}, {To: "10.0.0.0/8", Port: 443, Description: "backends"}}}}
	at := filepath.Join(dir, "work")
	if err := os.MkdirAll(filepath.Join(at, "modules", "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"terraform.tfstate": "state", "extra.tf": "# mine", "modules/old/main.tf": "gone"} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := stack.Write(at); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{"main.tf": true, "modules/tapway/main.tf": true, "modules/example-api/main.tf": true, "modules/gate/variables.tf": true,
		"terraform.tfstate": true, "extra.tf": true, "modules/old/main.tf": false, packageName: true} {
		if _, err := os.Stat(filepath.Join(at, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(at, "tapway.auto.tfvars.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Tapway struct {
			SecretARNs  []string         `json:"secret_arns"`
			Concurrency int              `json:"proxy_concurrency"`
			Tapped      []string         `json:"tapped_functions"`
			VPC         map[string][]any `json:"vpc"`
		}
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Tapway.SecretARNs) != 5 || !slices.Contains(v.Tapway.SecretARNs, "arn:aws:secretsmanager:eu-west-1:123456789012:secret:siem-??????") || v.Tapway.Concurrency != 20 || !slices.Equal(v.Tapway.Tapped, stack.Tapped) {
		t.Errorf("%+v", v)
	}
	if rules, _ := json.Marshal(v.Tapway.VPC["egress"]); string(rules) != `[{"description":"pl-1, port 443","port":443,"prefix_list":"pl-1"},{"description":"sg-1, port 8443","group":"sg-1","port":8443},{"cidr":"10.0.0.0/8","description":"backends","port":443}]` {
		t.Errorf("egress: %s", rules)
	}
	root := stack.root()
	for _, part := range []string{`backend "s3"`, `key     = "tapway/shop/terraform.tfstate"`, "use_lockfile = true", `data "aws_subnet" "first"`, "tapped_functions = var.tapway.tapped_functions"} {
		if !strings.Contains(root, part) {
			t.Errorf("the root module lacks %s:\n%s", part, root)
		}
	}
	bare := filepath.Join(dir, "bare")
	if err := stack.WriteBare(bare); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(bare, "main.tf")); err != nil || strings.Contains(string(text), "module") || strings.Contains(string(text), "var.tapway") || !strings.Contains(string(text), `backend "s3"`) {
		t.Errorf("bare: %v\n%s", err, text)
	}
}
