package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReferencesOnce: what a reference gives is a value, not a configuration: it names no further file or variable.
func TestReferencesOnce(t *testing.T) {
	dir := t.TempDir()
	secret, token := filepath.Join(dir, "secret"), filepath.Join(dir, "token")
	if err := os.WriteFile(secret, []byte("t0psecret"), 0o600); err != nil {
		t.Fatal(err)
	}
	reference := "${file:" + secret + "}"
	if err := os.WriteFile(token, []byte(reference), 0o600); err != nil {
		t.Fatal(err)
	}
	text := func(ref string) Source {
		return Source{File: "tapway.yaml", Text: []byte("backend: http://a\nadmin: {token: \"" + ref + "\"}\n"), Getenv: env("A", reference)}
	}
	for _, ref := range []string{"${A}", "${file:" + token + "}"} {
		c, err := Load(text(ref))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Admin.Token.Reveal(); got != reference {
			t.Errorf("%s became %q", ref, got)
		}
	}
	if _, err := Load(text("${file:" + dir + "/../" + filepath.Base(dir) + "/none}")); err == nil {
		t.Error("a file that is not there is taken")
	}
}
