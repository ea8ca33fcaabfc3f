package http1

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

// TestLenientHeader: what a backend's header may look like, and what it may cost.
func TestLenientHeader(t *testing.T) {
	read := func(text string) (http.Header, error) {
		h, budget := http.Header{}, 1<<20
		err := readHeader(bufio.NewReader(strings.NewReader(text)), h, &budget, false)
		return h, err
	}
	if h, err := read("A: b\r\n  c\r\n\td\r\nE : f\r\nG\t: h\r\n\r\n"); err != nil || h.Get("A") != "b c d" || h.Get("E") != "f" || h.Get("G") != "h" {
		t.Errorf("%v, %v", h, err)
	}
	if _, err := read("A: b\r\n" + strings.Repeat(" c\r\n", maxFolds) + "\r\n"); err != nil {
		t.Errorf("%d foldings: %v", maxFolds, err)
	}
	for name, text := range map[string]string{
		"a folding too many":         "A: b\r\n" + strings.Repeat(" c\r\n", maxFolds+1) + "\r\n",
		"a control in a folded line": "A: b\r\n \x01\r\n\r\n",
		"a control in a value":       "A: \x01\r\n\r\n",
		"a name of two words":        "A b: c\r\n\r\n",
		"no name":                    ": c\r\n\r\n",
		"a space for a name":         "A: b\r\n : c\x00\r\n\r\n",
		"no colon":                   "A\r\n\r\n",
	} {
		if h, err := read(text); err == nil {
			t.Errorf("%s was read as %v", name, h)
		}
	}
}
