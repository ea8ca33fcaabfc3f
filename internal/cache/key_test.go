package cache

import (
	"strings"
	"testing"
)

// TestKeyParts: no parameter stands for a header.
func TestKeyParts(t *testing.T) {
	rule := Rule{Query: []string{"X"}, Headers: []string{"X"}}
	value := strings.Repeat("v", 86)
	one := request(t, "GET /a?X", "X: "+value)
	two := request(t, "GET /a", "X: \x01V"+value)
	a, _ := keyOf(one, &rule, &found{}, "/a", "X", true)
	b, _ := keyOf(two, &rule, &found{}, "/a", "", false)
	if a == b {
		t.Error("a parameter and a header have the key of another header")
	}
}
