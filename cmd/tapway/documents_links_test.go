package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	unslug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the names that GitHub gives a document's headings.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		all[strings.ReplaceAll(unslug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}

// TestDocumentsLinks: every link to a file here leads to one, and to a heading of it where it says so.
func TestDocumentsLinks(t *testing.T) {
	n := 0
	for _, file := range append(documents(t), root+"/CHANGELOG.md") {
		text := read(t, "", file)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			n++
			name, anchor, _ := strings.Cut(m[1], "#")
			target := file
			if name != "" {
				target = filepath.Join(filepath.Dir(file), name)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
				continue
			}
			if anchor != "" && !anchors(read(t, "", target))[anchor] {
				t.Errorf("%s links to %s, which has no such heading", file, m[1])
			}
		}
	}
	if n < 150 {
		t.Errorf("%d links were followed: the test does not find them", n)
	}
}

func TestAnchors(t *testing.T) {
	if all := anchors("# One\n## Timeout, memory, visibility\n### `tapway top`\ntext\n"); !all["one"] || !all["timeout-memory-visibility"] || !all["tapway-top"] || len(all) != 3 {
		t.Errorf("%v", all)
	}
}
