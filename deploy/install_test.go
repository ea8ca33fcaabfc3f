package deploy

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
)

// packages is what .goreleaser.yaml says of the Debian package.
type packages struct {
	NFPMs []struct {
		Contents []struct {
			Src      string `yaml:"src"`
			Dst      string `yaml:"dst"`
			FileInfo struct {
				Mode fs.FileMode `yaml:"mode"`
			} `yaml:"file_info"`
		} `yaml:"contents"`
		Scripts map[string]string `yaml:"scripts"`
	} `yaml:"nfpms"`
}

// installed lays the package out below a directory, with a tapway built now, as the package manager would.
func installed(t *testing.T) (root string) {
	t.Helper()
	text, err := os.ReadFile("../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var p packages
	if err := yaml.Unmarshal(text, &p); err != nil || len(p.NFPMs) != 1 {
		t.Fatalf("%d packages in .goreleaser.yaml: %v", len(p.NFPMs), err)
	}
	root = t.TempDir()
	for _, c := range p.NFPMs[0].Contents {
		if strings.HasPrefix(c.Src, "bin/release/") {
			continue // made at the release
		}
		text, err := os.ReadFile(filepath.Join("..", c.Src))
		if err != nil {
			t.Fatalf(".goreleaser.yaml: %v", err)
		}
		path, mode := filepath.Join(root, c.Dst), c.FileInfo.Mode
		if mode == 0 {
			mode = 0o644
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range p.NFPMs[0].Scripts {
		if out, err := exec.Command("sh", "-n", filepath.Join("..", script)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	program, err := os.ReadFile(builtTapway(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "usr/bin/tapway"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

var built struct {
	sync.Once
	dir, problem string
}

// TestMain removes what was built.
func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// builtTapway is a tapway of this source, linked as the packages and the image have it: without C.
func builtTapway(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		dir, err := os.MkdirTemp("", "tapway-deploy-test")
		if err != nil {
			built.problem = err.Error()
			return
		}
		built.dir = dir
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "tapway"), "../cmd/tapway")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.problem = fmt.Sprintf("%v\n%s", err, out)
		}
	})
	if built.problem != "" {
		t.Fatal(built.problem)
	}
	return filepath.Join(built.dir, "tapway")
}

// TestInstalled: after an installation the configuration names what is missing only, and with a backend and a
// destination in it, the doctor finds nothing to mend.
func TestInstalled(t *testing.T) {
	root := installed(t)
	tapway := filepath.Join(root, "usr/bin/tapway")
	file := filepath.Join(root, "etc/tapway/tapway.yaml")
	if out, err := exec.Command(tapway, "config", "check", "-c", file).CombinedOutput(); err != nil {
		t.Errorf("the configuration of the package is refused: %v\n%s", err, out)
	}
	if info, err := os.Stat(filepath.Join(root, "etc/tapway/tapway.env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file for secrets: %v, %v", info, err)
	}

	backend := httptest.NewServer(http.NotFoundHandler())
	defer backend.Close()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := string(text)
	for from, to := range map[string]string{
		"backend: http://127.0.0.1:3000": "backend: " + backend.URL,
		"destinations: []":               "destinations: [{name: siem, url: \"" + backend.URL + "/in\", headers: {Authorization: \"Bearer ${SIEM_TOKEN}\"}}]\nadmin: {listen: \"127.0.0.1:0\"}",
		"listen: \":8080\"":              "listen: \"127.0.0.1:0\"",
		"data: /var/lib/tapway":          "data: " + t.TempDir(),
	} {
		if !strings.Contains(edited, from) {
			t.Fatalf("the package's tapway.yaml has no %q", from)
		}
		edited = strings.Replace(edited, from, to, 1)
	}
	if err := os.WriteFile(file, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
	env := filepath.Join(root, "etc/tapway/tapway.env")
	text, err = os.ReadFile(env)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(env, append(text, "SIEM_TOKEN='a token; with $signs'\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	doctor := exec.Command("sh", "-c", strings.ReplaceAll("tapway "+documented(t, "sudo tapway "), "/etc/", root+"/etc/"))
	doctor.Env = append(os.Environ(), "PATH="+filepath.Dir(tapway)+":"+os.Getenv("PATH"))
	out, err := doctor.CombinedOutput()
	if err != nil || strings.Contains(string(out), "FAIL") || !strings.Contains(string(out), "siem") {
		t.Errorf("tapway doctor: %v\n%s", err, out)
	}

	// Where nothing is configured nothing is wrong either, but for ports that others have on this machine.
	elsewhere := exec.Command(tapway, "doctor", "--json")
	elsewhere.Dir = t.TempDir()
	out, _ = elsewhere.Output()
	var findings []struct {
		Check, Detail string
		OK            bool
	}
	if err := json.Unmarshal(out, &findings); err != nil || len(findings) < 3 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, f := range findings {
		if !f.OK && !strings.HasSuffix(f.Check, "port") {
			t.Errorf("tapway doctor in an empty directory: %s: %s", f.Check, f.Detail)
		}
	}
}

// documented is what a command of docs/install.md runs.
func documented(t *testing.T, begins string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, begins); ok {
			return strings.Trim(strings.TrimSpace(rest), "'")
		}
	}
	t.Fatalf("docs/install.md has no %s", begins)
	return ""
}

// TestUnit: systemd takes the unit, and finds little that an attacker in it could do.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("systemd-analyze is missing here: apt-get install systemd")
		}
		t.Fatal("systemd-analyze is missing: apt-get install systemd")
	}
	text, err := os.ReadFile("systemd/tapway.service")
	if err != nil {
		t.Fatal(err)
	}
	check := func(unit string) (exposure float64, complaints string) {
		t.Helper()
		// systemd-analyze wants the programs to be there, and reads the manual page it names.
		unit = strings.ReplaceAll(unit, "/usr/bin/tapway", "/bin/true")
		unit = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(unit, "")
		path := filepath.Join(t.TempDir(), "tapway.service")
		if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		verify, err := exec.Command(analyze, "verify", path).CombinedOutput()
		complaints = string(verify)
		if err != nil {
			complaints += err.Error()
		}
		security, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", path).CombinedOutput()
		found := regexp.MustCompile(`Overall exposure level for tapway.service: ([0-9.]+)`).FindSubmatch(security)
		if found == nil {
			t.Fatalf("systemd-analyze security: %v\n%s", err, security)
		}
		if exposure, err = strconv.ParseFloat(string(found[1]), 64); err != nil {
			t.Fatal(err)
		}
		return exposure, complaints
	}
	exposure, complaints := check(string(text))
	if exposure > 2 || complaints != "" {
		t.Errorf("exposure %.1f of 10, want at most 2; %s", exposure, complaints)
	}
	weaker := strings.NewReplacer("DynamicUser=yes", "DynamicUser=no", "ProtectSystem=strict", "", "NoNewPrivileges=yes", "", "User=tapway", "").Replace(string(text))
	if exposure, _ := check(weaker); exposure <= 2 {
		t.Errorf("a unit that runs as root has the exposure %.1f", exposure)
	}
	if _, complaints := check(string(text) + "Restrt=always\n"); complaints == "" {
		t.Error("an unknown key passes")
	}
}

// TestKubernetesConfiguration: tapway takes the configuration in the ConfigMap. That Kubernetes takes the manifests
// is tested beside them.
func TestKubernetesConfiguration(t *testing.T) {
	text, err := os.ReadFile("kubernetes/tapway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n---\n")
	var m struct {
		Kind string            `yaml:"kind"`
		Data map[string]string `yaml:"data"`
	}
	if err := yaml.Unmarshal([]byte(first), &m); err != nil || m.Kind != "ConfigMap" {
		t.Fatalf("the first manifest is a %q: %v", m.Kind, err)
	}
	file := filepath.Join(t.TempDir(), "tapway.yaml")
	if err := os.WriteFile(file, []byte(m.Data["tapway.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(env ...string) error {
		cmd := exec.Command(builtTapway(t), "config", "check", "-c", file)
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	}
	if err := check("TAPWAY_TOKEN=0123456789abcdef0123456789abcdef", "SIEM_TOKEN=x"); err != nil {
		t.Error(err)
	}
	if err := check("TAPWAY_TOKEN="); err == nil {
		t.Error("without the Secret it passes, and the admin address would be open")
	}
}
