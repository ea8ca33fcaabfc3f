package deploy

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestRelease: a release has every system, a bill of materials for each binary, and a signature over all of it that is made
// without a key.
func TestRelease(t *testing.T) {
	text, err := os.ReadFile("../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Builds []struct {
			Goos, Goarch, Env, Flags []string
		}
		NFPMs []struct{ Formats []string }
		SBOMs []struct{ Artifacts string }
		Signs []struct {
			Cmd, Artifacts string
			Args           []string
		}
		Checksum struct {
			Name  string                  `yaml:"name_template"`
			Extra []struct{ Glob string } `yaml:"extra_files"`
		}
	}
	if err := yaml.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Builds) != 1 || len(r.NFPMs) != 1 || len(r.SBOMs) != 1 || len(r.Signs) != 1 {
		t.Fatalf("%+v", r)
	}
	b := r.Builds[0]
	if !slices.Equal(b.Goos, []string{"linux", "darwin", "windows"}) || !slices.Equal(b.Goarch, []string{"amd64", "arm64"}) || !slices.Contains(b.Env, "CGO_ENABLED=0") || !slices.Contains(b.Flags, "-trimpath") {
		t.Errorf("%+v", b)
	}
	if !slices.Equal(r.NFPMs[0].Formats, []string{"deb", "rpm"}) || r.SBOMs[0].Artifacts != "binary" {
		t.Errorf("%+v %+v", r.NFPMs, r.SBOMs)
	}
	if s := r.Signs[0]; s.Cmd != "cosign" || s.Artifacts != "checksum" || slices.ContainsFunc(s.Args, func(a string) bool { return strings.Contains(a, "key") }) {
		t.Errorf("%+v", s)
	}
	if r.Checksum.Name != "SHA256SUMS" || len(r.Checksum.Extra) != 1 {
		t.Errorf("%+v", r.Checksum)
	}
}

// TestBillOfMaterials: it names every module that is linked, in the version that is.
func TestBillOfMaterials(t *testing.T) {
	program, out := builtTapway(t), filepath.Join(t.TempDir(), "tapway.cdx.json")
	if text, err := exec.Command("go", "run", "../.ci/sbom", program, out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BOMFormat   string `json:"bomFormat"`
		SpecVersion string `json:"specVersion"`
		Components  []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(text, &bill); err != nil || bill.BOMFormat != "CycloneDX" || bill.SpecVersion == "" {
		t.Fatalf("%v: %.300s", err, text)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]string{}
	for _, c := range bill.Components {
		named[c.Name] = c.Version
		if !strings.HasPrefix(c.PURL, "pkg:golang/") {
			t.Errorf("%s has the address %q", c.Name, c.PURL)
		}
	}
	for _, m := range info.Deps {
		if named[m.Path] != m.Version {
			t.Errorf("%s %s is linked, the bill has %q", m.Path, m.Version, named[m.Path])
		}
	}
	if len(info.Deps) < 20 {
		t.Errorf("%d modules are linked", len(info.Deps))
	}
}
