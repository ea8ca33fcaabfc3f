package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestEgressProblems: rules that cannot be read, and what could never be dialled, with the place.
func TestEgressProblems(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a rule", "backend: http://a\negress: {allow: [\"*\", a]}\n", `tapway.yaml:2:18: egress.allow[0]: "*" names nothing; for everything write 0.0.0.0/0 and ::/0`},
		{"bits behind the prefix", "backend: http://a\negress: {deny: 10.0.0.1/8}\n", `tapway.yaml:2:16: egress.deny[0]: "10.0.0.1/8" has bits behind its prefix; write 10.0.0.0/8, or 10.0.0.1 for the one address`},
		{"a URL", "backend: http://a\negress: {deny: [\"https://a/x\"]}\n", `egress.deny[0]: "https://a/x" is a URL; write a:443`},
		{"unknown key", "backend: http://a\negress: {alow: [a]}\n", `egress.alow: unknown key; did you mean "allow"?`},
		{"backend at another port", "backend: http://10.0.0.1\negress: {allow: [\"10.0.0.0/8:443\"]}\n", `tapway.yaml:1:10: backend: 10.0.0.1:80 can never be dialled (denied-by: allow list); add 10.0.0.1:80 to egress.allow, or the network it is in`},
		{"name that is not allowed", "backend: http://a\negress: {allow: [b]}\n", `backend: a:80 can never be dialled (denied-by: allow list); add a:80`},
		{"route", "routes: [{match: \"GET /{x}\", backend: \"https://[2001:db8::1]/{x}\"}]\negress: {deny: [\"2001:db8::/32\"]}\n", `routes[0].backend: [2001:db8::1]:443 can never be dialled (denied-by: 2001:db8::/32); remove that rule from egress.deny, or add a more specific one to egress.allow`},
		{"destination", "backend: http://a\negress: {deny: [siem.example]}\ndestinations: [{name: siem, url: https://siem.example/in}]\n", `destinations[0].url: siem.example:443 can never be dialled (denied-by: siem.example)`},
		{"host form", "backend: http://0x7f.1:80\n", `backend: 0x7f.1:80 can never be dialled (denied-by: host form); write it as 192.0.2.1`},
	} {
		_, err := load(tt.text)
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got  %v\nwant %s", tt.name, err, tt.want)
		}
	}
}

func TestEgress(t *testing.T) {
	for _, text := range []string{
		"backend: http://169.254.1.1\n",
		"backend: http://10.0.0.1\negress: {allow: [\"10.0.0.0/8:80\"]}\n",
		"backend: http://a\negress: {allow: [10.0.0.0/8]}\n", // it may be there
		"backend: http://10.0.0.1\negress: {deny: [10.0.0.0/8], report_only: true}\n",
		"backend: http://a\negress: {}\n",
	} {
		if _, err := load(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	c, err := load("backend: http://10.0.0.1\n", "TAPWAY_EGRESS_ALLOW", "10.0.0.0/8|*.example:443", "TAPWAY_EGRESS_DENY", "10.0.0.2", "TAPWAY_EGRESS_REPORT_ONLY", "true")
	if err != nil || !slices.Equal(c.Egress.Allow, []string{"10.0.0.0/8", "*.example:443"}) || !slices.Equal(c.Egress.Deny, []string{"10.0.0.2"}) || !c.Egress.ReportOnly {
		t.Errorf("%+v, %v", c, err)
	}
}
