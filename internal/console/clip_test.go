package console_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestCopiedCommand: what a stranger has sent is in the command for a shell as words only: it runs nothing,
// makes curl read no file, and cannot leave the terminal's paste.
func TestCopiedCommand(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	b.open(w.console)
	for _, tt := range []struct{ method, path, header, body string }{
		{"POST", "/a", "plain", "hello"},
		{"`echo`pwned|sh", "/a", "b", ""},
		{"A&$HOME#'", "/a'$(echo pwned)'", "'; echo pwned; '", "'; echo pwned; '\nsecond"},
		{"POST", "/[1-9]{a,b}", "b", "@/etc/passwd"},
		{"POST", "/a", "b", "\x1b[201~\necho pwned\n\x03"},
	} {
		command := b.js(fmt.Sprintf(`import("/js/clip.js").then(({ curl, parts }) => curl(parts({ method: %q, path: %q, request: { headers: [["X-A", %q]] } }, "http://h"), %q, new TextEncoder().encode(%q)))`,
			tt.method, tt.path, tt.header, tt.body, tt.body)).(string)
		if strings.ContainsAny(command, "\x1b\x03") {
			t.Errorf("control characters in %q", command)
		}
		out, err := exec.Command("sh", "-c", `curl() { printf '%s\0' "$@"; case "$*" in *@-*) cat;; esac; }; `+command).Output()
		if err != nil {
			t.Errorf("%s: %v", command, err)
			continue
		}
		got := strings.Split(string(out), "\x00")
		for _, want := range []string{tt.method, "http://h" + tt.path, "X-A: " + tt.header, tt.body} {
			if !slices.Contains(got, want) {
				t.Errorf("%s\nhas no word %q: %q", command, want, got)
			}
		}
		if i := slices.Index(got, tt.body); tt.body != "" && got[i-1] != "--data-raw" && (i != len(got)-1 || got[i-1] != "@-") {
			t.Errorf("%s: the body stands behind %q", command, got[i-1])
		}
		if globs := strings.Contains(tt.path, "["); globs != slices.Contains(got, "-g") {
			t.Errorf("%s: curl takes the path for several, or need not be told", command)
		}
	}
	b.quiet()
}
