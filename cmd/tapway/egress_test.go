package main

import (
	"strings"
	"testing"
)

func TestEgressExplain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "tapway.yaml", `
backend: http://localhost:8081
destinations: [{name: siem, url: "http://127.0.0.1:8082/in"}]
egress: {allow: ["127.0.0.0/8:8000-8999", "::1", "*.example.com:443"], deny: ["127.0.0.9"]}
`)
	write(t, dir, "report.yaml", "backend: http://a\negress: {deny: [10.0.0.0/8], report_only: true}\n")
	write(t, dir, "never.yaml", "backend: http://10.0.0.1\negress: {deny: [10.0.0.0/8]}\n")
	write(t, dir, "broken.yaml", "backend: http://10.0.0.1\negress: {deny: [10.0.0.1/8]}\n")
	for _, tt := range []struct {
		args string
		code int
		says []string
	}{
		{"127.0.0.1:8082", 0, []string{"127.0.0.1:8082, which the configuration names:", "127.0.0.1  allowed-by: 127.0.0.0/8:8000-8999"}},
		{"http://127.0.0.1:8082/in", 0, []string{"which the configuration names"}},
		{"localhost:8081", 0, []string{"localhost:8081, which the configuration names:", "127.0.0.1", "allowed-by: 127.0.0.0/8:8000-8999"}},
		{"127.0.0.9:8082", 1, []string{"denied-by: 127.0.0.9/32", "It is denied."}},
		{"127.0.0.1", 1, []string{"127.0.0.1:443, which nothing in the configuration names", "denied-by: default loopback"}},
		{"127.0.0.1:443 --as configured", 1, []string{"denied-by: allow list"}},
		{"[::1]:443 --as stranger", 0, []string{"[::1]:443", "allowed-by: ::1/128"}},
		{"0177.0.0.1:80", 1, []string{"(not resolved)  denied-by: host form"}},
		{"10.0.0.1:80 -c report.yaml", 1, []string{"denied-by: 10.0.0.0/8", "It would be denied, but report_only lets it pass."}},
		{"10.0.0.1:80 -c never.yaml", 1, []string{"which the configuration names", "denied-by: 10.0.0.0/8"}},
	} {
		out, errOut, code := execute(t, dir, append([]string{"egress", "explain"}, strings.Fields(tt.args)...)...)
		if code != tt.code || errOut != "" {
			t.Errorf("%s: exit %d, %s", tt.args, code, errOut)
		}
		mustContain(t, out, tt.says...)
	}
	out, _, code := execute(t, dir, "egress", "explain", "169.254.169.254:80", "--as", "stranger", "--json")
	e := decode[explanation](t, out)
	if code != 1 || e.Allowed || e.Source != "stranger" || len(e.Addresses) != 1 || e.Addresses[0] != (ruling{"169.254.169.254", false, "default metadata"}) {
		t.Errorf("exit %d: %s", code, out)
	}
	fails(t, dir, 1, `egress.deny[0]: "10.0.0.1/8" has bits behind its prefix`, "egress", "explain", "a.example", "-c", "broken.yaml")
	fails(t, dir, 2, "wants one host, got 0 arguments", "egress", "explain")
	fails(t, dir, 2, `"a:0" is not a host with a port`, "egress", "explain", "a:0")
	fails(t, dir, 2, `"ftp://a" is not a URL with a host`, "egress", "explain", "ftp://a")
	fails(t, dir, 2, `--as: "me" is neither configured nor stranger`, "egress", "explain", "a", "--as", "me")
}

// TestDoctorEgress: the doctor dials under the same policy, and says whom to ask.
func TestDoctorEgress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "tapway.yaml", "listen: 127.0.0.1:0\nadmin: {listen: \"off\"}\nbackend: http://localhost:8081\negress: {allow: [10.0.0.0/8]}\n")
	out, _, code := execute(t, dir, "doctor")
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	mustContain(t, out, "egress denied by allow list: localhost:8081 is ", "`tapway egress explain localhost:8081` tells more")
}
