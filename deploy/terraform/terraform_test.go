package terraform

import (
	"archive/zip"
	"context"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// workshop copies the modules to where Terraform may write, and finds the provider: a mirror on
// this machine, or the public registry. Without either there is nothing to test with.
type workshop struct {
	dir string
	env []string
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("terraform is not on the path, and CI must not skip")
		}
		t.Skip("terraform is not on the path: the modules are not tested")
	}
	w := &workshop{dir: t.TempDir()}
	if err := os.CopyFS(w.dir, modules{os.DirFS(".")}); err != nil {
		t.Fatal(err)
	}
	w.env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0", "TF_PLUGIN_CACHE_DIR=")
	if _, err := os.Stat(os.Getenv("TF_CLI_CONFIG_FILE")); err != nil { // unset, or a file that is not there
		if mirror := findMirror(); mirror != "" {
			file := filepath.Join(t.TempDir(), "terraform.rc")
			text := "provider_installation {\n  filesystem_mirror {\n    path = \"" + mirror + "\"\n  }\n}\n"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			w.env = append(w.env, "TF_CLI_CONFIG_FILE="+file)
		}
	}
	return w
}

// modules leaves out what a Terraform run in the folder itself has left there.
type modules struct{ fs.FS }

func (m modules) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(m.FS, name)
	kept := entries[:0]
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".terraform") && !strings.Contains(e.Name(), ".tfstate") {
			kept = append(kept, e)
		}
	}
	return kept, err
}

// findMirror looks for a folder of providers two or three levels below the root.
func findMirror() string {
	for _, pattern := range []string{"/*/*/registry.terraform.io/hashicorp/aws", "/*/*/*/registry.terraform.io/hashicorp/aws"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return filepath.Dir(filepath.Dir(filepath.Dir(found[0])))
		}
	}
	return ""
}

// run runs terraform in a folder and gives its exit status.
func (w *workshop) run(t *testing.T, folder string, args ...string) (out string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "terraform", append(args, "-no-color")...)
	cmd.Dir, cmd.Env = filepath.Join(w.dir, folder), w.env
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("terraform %s: %v", strings.Join(args, " "), err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// must is run for what has to succeed.
func (w *workshop) must(t *testing.T, folder string, args ...string) string {
	t.Helper()
	out, status := w.run(t, folder, args...)
	if status != 0 {
		t.Fatalf("%s: terraform %s: exit status %d\n%s", folder, strings.Join(args, " "), status, out)
	}
	return out
}

// init gets the provider. A machine that cannot have it has nothing to test with.
func (w *workshop) init(t *testing.T, folder string) {
	t.Helper()
	out, status := w.run(t, folder, "init")
	if status == 0 {
		return
	}
	if strings.Contains(out, "could not connect to registry.terraform.io") || strings.Contains(out, "Failed to query available provider packages") {
		t.Skipf("the AWS provider is neither on this machine nor to be had from the registry:\n%s", out)
	}
	t.Fatalf("%s: terraform init: %s", folder, out)
}

func TestFormatted(t *testing.T) {
	w := newWorkshop(t)
	if out, status := w.run(t, ".", "fmt", "-check", "-diff", "-recursive"); status != 0 {
		t.Errorf("not formatted; run terraform fmt -recursive:\n%s", out)
	}
}

func TestValid(t *testing.T) {
	w := newWorkshop(t)
	for _, folder := range []string{"tapway", "gate", "example-api", "examples/one-region", "examples/two-regions"} {
		w.init(t, folder)
		w.must(t, folder, "validate")
	}
}

// TestRefusesMistakes: a wrong variable is told before anything is made.
func TestRefusesMistakes(t *testing.T) {
	w := newWorkshop(t)
	w.init(t, "testdata/stack")
	stack := filepath.Join(w.dir, "testdata/stack/main.tf")
	text, err := os.ReadFile(stack)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, wrong, says string }{
		{`"ops@example.com"`, `"ops"`, "an address such as"},
		{`{ auth = "NONE" }`, `{ auth = "NONE", stream = true }`, "cannot stream from a VPC"},
		{`concurrency = 2`, `concurrency = 1`, "concurrency is 2 to 1000"},
		{`function:users:live`, `function:*`, "without wildcards"},
		{`settings             = {`, "shared_counters = true\n  settings = { access = { counters = \"local\" },", "leave one of them out"},
		{`cidr = "10.0.2.0/24"`, `cidr = "10.0.2.0/24", group = "sg-1"`, "exactly one of cidr"},
	} {
		changed := strings.Replace(string(text), c.old, c.wrong, 1)
		if changed == string(text) {
			t.Fatalf("%s is not in the stack", c.old)
		}
		if err := os.WriteFile(stack, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		out, status := w.run(t, "testdata/stack", "plan", "-refresh=false", "-var", "endpoint="+startMoto(t), "-var", "package="+packageFile(t))
		if out = strings.Join(strings.Fields(strings.ReplaceAll(out, "│", " ")), " "); status == 0 || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit status %d, and it does not say %q:\n%s", c.wrong, status, c.says, out)
		}
	}
}

// TestCountersElsewhere: a table of one's own is not made, but the proxy may use it; the ceilings stay.
func TestCountersElsewhere(t *testing.T) {
	w := newWorkshop(t)
	w.init(t, "testdata/stack")
	stack := filepath.Join(w.dir, "testdata/stack/main.tf")
	text, err := os.ReadFile(stack)
	if err != nil {
		t.Fatal(err)
	}
	const table, permission, allowed, alarm = `"address":"module.tapway.aws_dynamodb_table.counters[0]"`, `"address":"module.tapway.aws_iam_role_policy.counters[0]"`, "dynamodb:eu-west-1:123456789012:table/mine", `"address":"module.tapway.aws_cloudwatch_metric_alarm.function["ceiling"]"`
	for _, c := range []struct {
		counters     string
		has, lacking []string
	}{
		{"dynamodb://mine/shop", []string{permission, allowed, alarm, "dynamodb://mine/shop"}, []string{table}},
		{"dynamodb://tapway-counters/shop", []string{table, permission, alarm, "dynamodb://tapway-counters/shop"}, nil},
		{"local", []string{alarm}, []string{table, permission}},
	} {
		changed := strings.Replace(string(text), "settings             = {", `settings = { access = { counters = "`+c.counters+`" },`, 1)
		if err := os.WriteFile(stack, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		vars := []string{"-var", "endpoint=" + startMoto(t), "-var", "package=" + packageFile(t)}
		w.must(t, "testdata/stack", append([]string{"plan", "-refresh=false", "-out=plan"}, vars...)...)
		out := w.must(t, "testdata/stack", "show", "-json", "plan")
		for _, part := range c.has {
			if !strings.Contains(strings.ReplaceAll(out, `\"`, `"`), part) {
				t.Errorf("%s: the plan lacks %s", c.counters, part)
			}
		}
		for _, part := range c.lacking {
			if strings.Contains(out, part) {
				t.Errorf("%s: the plan has %s", c.counters, part)
			}
		}
	}
}

// TestApply makes everything, asks again, and removes everything.
func TestApply(t *testing.T) {
	w := newWorkshop(t)
	w.init(t, "testdata/stack")
	vars := []string{"-var", "endpoint=" + startMoto(t), "-var", "package=" + packageFile(t)}
	w.must(t, "testdata/stack", append([]string{"apply", "-auto-approve"}, vars...)...)
	if out, status := w.run(t, "testdata/stack", append([]string{"plan", "-detailed-exitcode"}, vars...)...); status != 0 {
		t.Errorf("a second plan is not empty (exit status %d):\n%s", status, out)
	}
	out := w.must(t, "testdata/stack", append([]string{"destroy", "-auto-approve"}, vars...)...)
	if !strings.Contains(out, "Destroy complete!") {
		t.Errorf("destroy says:\n%s", out)
	}
}

var emulator string // its URL; one serves all tests of a run

// startMoto starts the emulator of AWS and gives its URL.
func startMoto(t *testing.T) string {
	t.Helper()
	if emulator != "" {
		return emulator
	}
	python, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(python, "-c", "import moto.server").Run()
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("python3 with moto[server] is missing, and CI must not skip")
		}
		t.Skip("python3 with moto[server] is missing: the modules are not applied")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	cmd := exec.Command(python, filepath.Join("testdata", "moto.py"), host, port)
	cmd.Env = append(os.Environ(), "MOTO_IAM_LOAD_MANAGED_POLICIES=true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	url := "http://" + net.JoinHostPort(host, port)
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if answer, err := http.Get(url + "/moto-api/"); err == nil {
			answer.Body.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("moto does not answer")
		}
	}
	emulator = url
	return url
}

var stop = func() {}

func TestMain(m *testing.M) {
	status := m.Run()
	stop()
	os.Exit(status)
}

// packageFile stands for a function's package: the emulator runs no code.
func packageFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "function.zip")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	w, err := z.Create("bootstrap")
	if err == nil {
		_, err = w.Write([]byte("#!"))
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}
