package awssecret

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/mototest"
)

// moto is the two services by somebody else: what the fake and we misunderstand alike, it may not.
type moto struct {
	*testing.T
	url string
}

func startMoto(t *testing.T) *moto {
	t.Helper()
	return &moto{t, mototest.Start(t)}
}

// aws runs the AWS CLI and returns what it printed.
func (m *moto) aws(args ...string) string {
	m.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		m.Fatal("the AWS CLI is missing: pip install awscli")
	}
	cmd := exec.CommandContext(m.Context(), path, append(args, "--endpoint-url", m.url, "--output", "text")...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=hunter2-key", "AWS_REGION=eu-west-1",
		"AWS_DEFAULT_REGION=eu-west-1", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		m.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return strings.TrimSpace(string(out))
}

// TestMoto: what the AWS CLI has written is read.
func TestMoto(t *testing.T) {
	m := startMoto(t)
	arn := m.aws("secretsmanager", "create-secret", "--name", "siem", "--secret-string", `{"token":"old","n":1}`, "--query", "ARN")
	m.aws("secretsmanager", "put-secret-value", "--secret-id", "siem", "--secret-string", `{"token":"new","n":2}`)
	m.aws("ssm", "put-parameter", "--name", "/tapway/token", "--type", "SecureString", "--value", "one")
	m.aws("ssm", "put-parameter", "--name", "/tapway/token", "--type", "SecureString", "--value", "two", "--overwrite")
	m.aws("ssm", "put-parameter", "--name", "plain", "--type", "String", "--value", "three")
	c := client(t, m.url)
	want := map[string]string{
		"aws-secretsmanager:siem#token": "new", "aws-secretsmanager:siem@AWSPREVIOUS#token": "old", "aws-secretsmanager:siem#n": "2", "aws-secretsmanager:" + arn: `{"token":"new","n":2}`,
		"aws-ssm:/tapway/token": "two", "aws-ssm:/tapway/token:1": "one", "aws-ssm:plain": "three",
	}
	all := []string{"aws-secretsmanager:none", "aws-ssm:/none", "aws-ssm:/tapway/token:9"}
	for name := range want {
		all = append(all, name)
	}
	values, failed := c.Resolve(t.Context(), all)
	for name, value := range want {
		if values[name] != value {
			t.Errorf("%s is %q, want %q; %v", name, values[name], value, failed[name])
		}
	}
	has(t, failed["aws-secretsmanager:none"], "ResourceNotFoundException")
	has(t, failed["aws-ssm:/none"], "there is no such parameter")
	if len(values) != len(want) || len(failed) != 3 {
		t.Errorf("%d values and %d failures: %v", len(values), len(failed), failed)
	}
}
