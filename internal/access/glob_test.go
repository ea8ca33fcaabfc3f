package access

import (
	"strings"
	"testing"
)

// TestGlobEnds: many wildcards on a text made for them cost pattern times text, not every way of dividing it.
func TestGlobEnds(t *testing.T) {
	text := strings.Repeat("a", 10_000)
	for pattern, want := range map[string]bool{
		strings.Repeat("*a", 50) + "*b": false, strings.Repeat("*a", 50): true, strings.Repeat("a*", 50) + "!": false, strings.Repeat("*?", 100) + "b": false,
		strings.Repeat("*", 1000) + "a": true, "*" + text + "b": false,
	} {
		if glob(pattern, text) != want {
			t.Errorf("%.60s: %v", pattern, !want)
		}
	}
}
