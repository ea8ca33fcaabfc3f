package console_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const axeVersion = "4.11.0"

// axeSource is the accessibility engine, fetched once for all runs. Where it cannot be had the
// check is left out with a word, except where CI is set.
func axeSource(t *testing.T) string {
	t.Helper()
	missing := func(why string) string {
		if os.Getenv("CI") != "" {
			t.Fatal(why)
		}
		t.Log(why + ": accessibility is checked by contrast and names only")
		return ""
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "tapway-test", "axe-"+axeVersion)
	script := filepath.Join("node_modules", "axe-core", "axe.min.js")
	if text, err := os.ReadFile(filepath.Join(dir, script)); err == nil {
		return string(text)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return missing("npm is missing here, and so is axe-core")
	}
	making := t.TempDir() // so that an installation that breaks off leaves nothing
	if out, err := exec.Command(npm, "install", "--no-audit", "--no-fund", "--silent", "--prefix", making, "axe-core@"+axeVersion).CombinedOutput(); err != nil {
		return missing("axe-core cannot be had here: " + err.Error() + "\n" + string(out))
	}
	text, err := os.ReadFile(filepath.Join(making, script))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	os.Rename(making, dir) // the cache may be elsewhere, or another test was first
	return string(text)
}

// axe gives a function that checks the page in sight against WCAG 2.2, levels A and AA.
func (b *browser) axe() func(where string) {
	b.t.Helper()
	source := axeSource(b.t)
	return func(where string) {
		b.t.Helper()
		if source == "" {
			return
		}
		b.js(source + "; 0") // by the debugger: the page's own policy would not let it in
		bad := b.js(`axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }).then((r) => r.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + v.help + "\n  " + n.html.slice(0, 200) + "\n  " + n.failureSummary.replaceAll("\n", " "))).join("\n"))`)
		if bad != "" {
			b.t.Errorf("%s:\n%v", where, bad)
		}
	}
}
