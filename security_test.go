package tapway

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityDocument: every test that docs/security.md names exists where it says.
func TestSecurityDocument(t *testing.T) {
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:internal|cmd|contrib)/[a-z0-9/-]+): ((?:Test|Fuzz)[A-Za-z0-9_]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 50 {
		t.Fatalf("only %d tests are named", len(named))
	}
	sources := map[string]string{}
	for _, n := range named {
		directory, name := n[1], n[2]
		if sources[directory] == "" {
			files, err := filepath.Glob(filepath.Join(directory, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				source, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				sources[directory] += string(source)
			}
		}
		if !strings.Contains(sources[directory], "\nfunc "+name+"(") {
			t.Errorf("docs/security.md names %s of %s, which does not exist", name, directory)
		}
	}
}
