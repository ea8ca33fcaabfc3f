package deploy

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const serverlessVersion = "3.40.0" // the last of version 3, which wants no account

// serverless installs the Serverless Framework once for all runs, and gives its program.
func serverless(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "tapway-test", "serverless-"+serverlessVersion)
	program := filepath.Join(dir, "node_modules", "serverless", "bin", "serverless.js")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is missing here: the Serverless Framework's file is not checked")
	}
	making := t.TempDir() // so that an installation that breaks off leaves nothing
	if out, err := exec.Command(npm, "install", "--no-audit", "--no-fund", "--silent", "--prefix", making, "serverless@"+serverlessVersion).CombinedOutput(); err != nil {
		t.Skipf("the Serverless Framework cannot be had here, its file is not checked: %v\n%s", err, out)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(making, dir); err == nil {
		return program
	}
	return filepath.Join(making, "node_modules", "serverless", "bin", "serverless.js") // the cache is elsewhere
}

// TestServerless: the framework packages the file, CloudFormation would take the result, and a
// mistake is noticed.
func TestServerless(t *testing.T) {
	program := serverless(t)
	text, err := os.ReadFile("serverless/serverless.yml")
	if err != nil {
		t.Fatal(err)
	}
	pack := func(text string) (dir, out string, err error) {
		root := t.TempDir()
		dir = filepath.Join(root, "deploy", "serverless")
		for path, content := range map[string]string{filepath.Join(dir, "serverless.yml"): text, filepath.Join(root, "bin", "tapway-lambda-arm64.zip"): emptyZip(t)} {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("node", program, "package", "--package", "out")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "BACKEND=https://api.example.com", "DESTINATION=https://siem.example.com/in", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
			"AWS_REGION=eu-west-1", "SLS_TELEMETRY_DISABLED=1", "SLS_NOTIFICATIONS_MODE=off")
		b, err := cmd.CombinedOutput()
		return dir, string(b), err
	}
	dir, out, err := pack(string(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	template := filepath.Join(dir, "out", "cloudformation-template-update-stack.json")
	made, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"AWS::ApiGateway::UsagePlan"`, `"AWS::ApiGateway::ApiKey"`, `"Limit": 1000`, `"RateLimit": 50`, `"ReportBatchItemFailures"`, `"MemorySize": 512`, `"aws:SourceIp"`} {
		if !strings.Contains(string(made), want) {
			t.Errorf("the template lacks %s", want)
		}
	}
	if out, good := cfnLint(t, template); !good {
		t.Errorf("cfn-lint:\n%s", out)
	}
	broken := strings.Replace(string(text), "functionResponseType: ReportBatchItemFailures", "functionResponseType: ReportBatchFailures", 1)
	if _, out, err := pack(broken); err == nil || broken == string(text) || !strings.Contains(out, "functionResponseType") {
		t.Errorf("a mistake passes: %v\n%s", err, out)
	}
}

func emptyZip(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	w := zip.NewWriter(&b)
	if _, err := w.Create("bootstrap"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
