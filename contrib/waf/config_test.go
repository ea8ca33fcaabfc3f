package waf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoad(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"mode: block\n":                         "",
		"mode: loud\n":                          `mode: "loud" is neither detect nor block`,
		"paranoia: 0\n":                         "paranoia: 0 is not between 1 and 4",
		"paranoia: 1\n":                         "",
		"paranoia: 4\n":                         "",
		"paranoia: 5\n":                         "paranoia: 5 is not between 1 and 4",
		"threshold: 0\n":                        "threshold: 0 is less than 1",
		"max_body: 0\n":                         "",
		"max_body: 16MiB\nbody_memory: 16MiB\n": "",
		"max_body: 17MiB\n":                     "max_body: it must be between 0 and 16MiB",
		"body_memory: 1KiB\n":                   "body_memory: it must have room for one body of max_body",
		"max_body: many\n":                      "not a size",
		"on_error: ignore\n":                    `on_error: "ignore" is neither refuse nor pass`,
		"modus: block\n":                        "[1:1] unknown field",
		"mode: block\nparanoia: [\n":            "[2:",
		"methods: []\n":                         "methods: name at least one",
		"methods: [\"GET'\"]\n":                 `methods: "GET'" is not one`,
		"content_types: [\"a/b|\\\"\"]\n":       "content_types: ",
		"exclusions: [{path: /a, rules: [942100, all]}]\n":   "",
		"exclusions: [{path: /a, rules: [942000-942999]}]\n": "",
		"exclusions: [{path: a, rules: [942100]}]\n":         `exclusions[0].path: "a" does not begin with /`,
		"exclusions: [{path: /a}]\n":                         "exclusions[0].rules: name the rules, or all",
		"exclusions: [{path: /a, rules: [942999-942000]}]\n": "is not a rule's number",
		"exclusions: [{path: /a, rules: [sql]}]\n":           "is not a rule's number",
		"arguments: 0\n": "arguments: 0 is less than 1",
	} {
		file := write(t, "waf.yaml", text)
		_, err := Load(file)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), file+": ") || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without a file: %v", err)
	}
}

// TestRulesFiles: rules of one's own are asked, and may take away from the Core Rule Set.
func TestRulesFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"own.conf":     "# ours\nSecRule REQUEST_HEADERS:X-Tenant \"@pmFromFile tenants.data\" \\\n    \"id:10001,phase:1,deny,status:429,msg:'Tenant is locked: %{MATCHED_VAR}'\"\nSecAuditEngine On\nSecRuleEngine Off\nInclude more.conf\n",
		"more.conf":    "SecRule ARGS:coupon \"@streq FREE\" \"id:10002,phase:2,deny,msg:'No free coupons'\"\n",
		"tenants.data": "acme\n",
		"after.conf":   "SecRuleUpdateTargetById 941100-941999 !ARGS:html\n",
		"waf.yaml":     "mode: block\nrules: [own.conf]\nrules_after: [after.conf]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(filepath.Join(dir, "waf.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(to *Config) { *to = c })
	for _, one := range []struct {
		target, tenant string
		want           int
		says           string
	}{
		{"/", "acme", 403, "waf: rule 10001"},
		{"/", "other", 200, ""},
		{"/?coupon=FREE", "other", 403, "waf: rule 10002"},
		{"/?html=%3Cscript%3Ealert(1)%3C/script%3E", "other", 200, ""},
		{"/?text=%3Cscript%3Ealert(1)%3C/script%3E", "other", 403, "waf: rules 941100"},
	} {
		if status, _ := w.send("GET", one.target, "", "", "X-Tenant", one.tenant); status != one.want || !strings.HasPrefix(w.last(), one.says) {
			t.Errorf("%s: %d %q, want %d %q", one.target, status, w.last(), one.want, one.says)
		}
	}
	if text := w.log.String(); !strings.Contains(text, "Tenant is locked: …") || strings.Contains(text, "acme") {
		t.Errorf("the log says %s", text)
	}
}

// TestBadRules: a mistake in a file of rules is told with its line, also where a rule goes over
// several lines or a comment stands before it.
func TestBadRules(t *testing.T) {
	const good = "SecRule ARGS \"@rx a\" \\\n  \"id:1,phase:1,\\\n  pass\"\n"
	for text, want := range map[string]string{
		"SecRul ARGS\n": ":1: ",
		good + "# a comment\n\nSecRule ARGS \"@rx (\" \"id:2,phase:1,deny\"\n" + strings.Replace(good, "id:1", "id:3", 1): ":6: ",
		good + "SecRule ARGS \"@nosuch x\" \\\n  \"id:2,phase:1,deny\"\nSecNonsense\n":                                    ":4: ",
		good + good: ":4: ", // the number is taken
	} {
		file := write(t, "bad.conf", text)
		for _, after := range []bool{false, true} {
			c := Default()
			if after {
				c.RulesAfter = []string{file}
			} else {
				c.Rules = []string{file}
			}
			if _, err := New(c, new(Memory), nil); err == nil || !strings.HasPrefix(err.Error(), file+want) {
				t.Errorf("%q: %v, want %s%s", text, err, file, want)
			}
		}
	}
	c := Default()
	c.Rules = []string{filepath.Join(t.TempDir(), "none.conf")}
	if _, err := New(c, new(Memory), nil); err == nil || !strings.Contains(err.Error(), "none.conf") {
		t.Errorf("without the file: %v", err)
	}
}
