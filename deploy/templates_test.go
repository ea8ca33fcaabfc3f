package deploy

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cfnLint checks a template. It also carries out SAM's transformation, with the translator that
// AWS itself uses.
func cfnLint(t *testing.T, path string) (out string, good bool) {
	t.Helper()
	program, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Skip("cfn-lint is missing here (pip install cfn-lint): the SAM template is not checked")
	}
	text, err := exec.Command(program, "--region", "eu-west-1", "--", path).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(text), err == nil
}

// TestSAM: the template passes cfn-lint, and a mistake in it does not.
func TestSAM(t *testing.T) {
	text, err := os.ReadFile("sam/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if out, good := cfnLint(t, "sam/template.yaml"); !good {
		t.Errorf("cfn-lint:\n%s", out)
	}
	for right, wrong := range map[string]string{"!GetAtt Records.Arn": "!GetAtt Recods.Arn", "Type: AWS::SQS::Queue": "Type: AWS::SQS::Queues", "      Timeout: 3\n": "      Timeout: three\n"} {
		broken := strings.Replace(string(text), right, wrong, 1)
		path := filepath.Join(t.TempDir(), "template.yaml")
		if broken == string(text) {
			t.Fatalf("%q is not in the template", right)
		}
		if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, good := cfnLint(t, path); good {
			t.Errorf("%s passes", wrong)
		}
	}
}

// TestModules: all of every module is embedded, and nothing else.
func TestModules(t *testing.T) {
	embedded := map[string]bool{}
	err := fs.WalkDir(Modules, ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			embedded[name] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	there, err := filepath.Glob("terraform/*/*.tf")
	if err != nil || len(there) < 15 {
		t.Fatalf("%q, %v", there, err)
	}
	for _, name := range there {
		if name = filepath.ToSlash(name); !embedded[name] {
			t.Errorf("%s is not embedded", name)
		}
		delete(embedded, name)
	}
	for name := range embedded {
		t.Errorf("%s is embedded", name)
	}
}
