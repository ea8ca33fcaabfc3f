package terraform

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of the modules' READMEs anew")

const tablesFrom = "<!-- made from the module by a test: go test ./deploy/terraform -run TestReadme -update -->\n"

// TestReadme: each module's README has a table of its variables and of its outputs, as they are.
func TestReadme(t *testing.T) {
	for _, module := range []string{"tapway", "gate", "example-api"} {
		path := filepath.Join(module, "README.md")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		own, _, ok := strings.Cut(string(text), tablesFrom)
		if !ok {
			t.Errorf("%s lacks the line %s", path, tablesFrom)
			continue
		}
		want := own + tablesFrom + tables(t, module)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if string(text) != want {
			t.Errorf("%s is out of date: go test ./deploy/terraform -run TestReadme -update", path)
		}
	}
}

// block is a variable or an output.
type block struct{ name, description, typ, def string }

var opening = regexp.MustCompile(`(?m)^(variable|output) "([a-z_0-9]+)" \{\n`)

// blocks reads a file that terraform fmt has formatted: a block ends with a brace at the
// beginning of a line.
func blocks(t *testing.T, path, kind string) (all []block) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range opening.FindAllStringSubmatchIndex(string(text), -1) {
		if string(text[at[2]:at[3]]) != kind {
			continue
		}
		body, _, _ := strings.Cut(string(text[at[1]:]), "\n}\n")
		b := block{name: string(text[at[4]:at[5]])}
		lines := strings.Split(body, "\n")
		for i := 0; i < len(lines); i++ {
			key, value, ok := strings.Cut(strings.TrimSpace(lines[i]), "=")
			if !ok || !strings.HasPrefix(lines[i], "  ") || strings.HasPrefix(lines[i], "   ") {
				continue
			}
			switch key, value = strings.TrimSpace(key), strings.TrimSpace(value); key {
			case "description":
				if strings.HasPrefix(value, "<<-") {
					for i++; strings.TrimSpace(lines[i]) != strings.TrimPrefix(value, "<<-"); i++ {
						b.description += strings.TrimSpace(lines[i]) + " "
					}
					break
				}
				b.description = strings.ReplaceAll(strings.Trim(value, `"`), `\"`, `"`)
			case "type":
				b.typ = value
				if strings.HasSuffix(value, "({") {
					b.typ = strings.TrimSuffix(value, "({")
				}
				b.typ = strings.TrimSuffix(strings.ReplaceAll(b.typ, "map(object", "map"), "(object")
			case "default":
				b.def = value
			}
		}
		if b.description = strings.TrimSpace(strings.ReplaceAll(b.description, "$$", "$")); b.description == "" {
			t.Errorf("%s: %s has no description", path, b.name)
		}
		if kind == "variable" && b.typ == "" {
			t.Errorf("%s: %s has no type", path, b.name)
		}
		all = append(all, b)
	}
	if len(all) == 0 {
		t.Errorf("%s has no %s", path, kind)
	}
	return all
}

func tables(t *testing.T, module string) string {
	t.Helper()
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	var b strings.Builder
	b.WriteString("\n## Variables\n\n| name | type | default | meaning |\n|---|---|---|---|\n")
	for _, v := range blocks(t, filepath.Join(module, "variables.tf"), "variable") {
		def := "required"
		if v.def != "" {
			def = "`" + v.def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", v.name, cell(v.typ), cell(def), cell(v.description))
	}
	b.WriteString("\n## Outputs\n\n| name | meaning |\n|---|---|\n")
	for _, o := range blocks(t, filepath.Join(module, "outputs.tf"), "output") {
		fmt.Fprintf(&b, "| `%s` | %s |\n", o.name, cell(o.description))
	}
	return b.String()
}
