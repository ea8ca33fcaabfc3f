package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAlarms(t *testing.T) {
	c, err := load(`backend: http://a
alarms:
  dead_letters: {above: 10, severity: warning}
  oldest_age: {above: 10m, for: 1m}
  error_rate: {above: 2.5%, window: 10m, min_calls: 100}
  delivery_error_rate: {above: 0.5, off: true}
  disk: {below: 512MiB}
  repeat: 0
  console: https://tapway.example.com
  smtp: {host: smtp.example.com, username: u, password: open-sesame, tls: implicit, from: tapway@example.com}
  notify:
    - {name: ops, email: ops@example.com}
    - {name: both, email: [a@example.com, b.c+d@mail.example.com], severity: critical}
    - {name: chat, webhook: "https://chat.example.com/hook/secret-part", format: slack}
    - {name: page, format: pagerduty, routing_key: key-key}
`)
	if err != nil {
		t.Fatal(err)
	}
	a := c.Alarms
	if a.DeadLetters.Above != 10 || a.DeadLetters.Severity != "warning" || a.OldestAge.Above.D() != 10*time.Minute || a.OldestAge.For.D() != time.Minute ||
		a.ErrorRate.Above != .025 || a.ErrorRate.MinCalls != 100 || !a.DeliveryErrorRate.Off || a.DeliveryErrorRate.Above != .5 || a.Disk.Below != 512<<20 || a.Repeat != 0 {
		t.Errorf("%+v", a)
	}
	if a.SMTP.PortOrDefault() != 465 || fmt.Sprint(a.Notify[1].Email) != "[a@example.com b.c+d@mail.example.com]" || a.Notify[0].Severity != "warning" {
		t.Errorf("%+v", a)
	}
	if known := a.SMTP.MailServer(); !known("smtp.example.com", 465) || known("smtp.example.com", 25) {
		t.Error("the mail server is not what may be dialled")
	}
	if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, "secret-part") || strings.Contains(text, "open-sesame") || strings.Contains(text, "key-key") {
		t.Error("printing a configuration prints its secrets")
	}
}

// TestAlarmDefaults: they are those of the alarms on AWS, and need no key.
func TestAlarmDefaults(t *testing.T) {
	c, err := load("backend: http://a\n")
	if err != nil {
		t.Fatal(err)
	}
	a := c.Alarms
	if a.DeadLetters != (DeadLettersAlarm{Severity: "critical"}) || a.OldestAge != (OldestAgeAlarm{Above: Duration(5 * time.Minute), Severity: "warning", For: Duration(3 * time.Minute)}) ||
		a.LedgerDrops.Above != 0 || a.LedgerDrops.Severity != "warning" || a.ErrorRate.Above != .05 || a.Disk.Below != 1<<30 || a.Repeat.D() != 4*time.Hour || len(a.Notify) != 0 {
		t.Errorf("%+v", a)
	}
}

// TestAlarmProblems: every mistake is told once, with what to do, and without a secret.
func TestAlarmProblems(t *testing.T) {
	const mail = "smtp: {host: smtp.example.com, from: t@example.com}, "
	for _, tt := range []struct{ name, text, want string }{
		{"unknown alarm", "{dead_leters: {}}", `alarms.dead_leters: unknown key; did you mean "dead_letters"?`},
		{"a window where there is none", "{dead_letters: {window: 1m}}", `alarms.dead_letters.window: unknown key`},
		{"above for disk", "{disk: {above: 1GiB}}", `alarms.disk.above: unknown key`},
		{"severity", "{disk: {severity: bad}}", `alarms.disk.severity: "bad" is not one of critical, warning`},
		{"share without a percent sign", "{error_rate: {above: 5}}", `alarms.error_rate.above: "5" is not a share: write 5% or 0.05`},
		{"share above all", "{error_rate: {above: 101%}}", `alarms.error_rate.above: "101%" is not a share`},
		{"all", "{error_rate: {above: 100%}}", `alarms.error_rate.above: nothing is ever above 100%; write 5%, or off: true`},
		{"negative share", "{error_rate: {above: -1%}}", `is not a share`},
		{"no number", "{delivery_error_rate: {above: nan}}", `is not a share`},
		{"short window", "{error_rate: {window: 9s}}", `alarms.error_rate.window: 9s is no window to count in; write 10s to 24h`},
		{"long window", "{ledger_drops: {window: 25h}}", `alarms.ledger_drops.window: 25h0m0s is no window`},
		{"no calls", "{error_rate: {min_calls: 0}}", `alarms.error_rate.min_calls: must be at least 1`},
		{"no disk", "{disk: {below: 0}}", `alarms.disk.below: no disk ever has less than nothing; write 1GiB, or off: true`},
		{"repeat", "{repeat: 59s}", `alarms.repeat: 59s would be a flood of messages; write at least 1m`},
		{"nobody", "{notify: [{name: a}]}", `alarms.notify[0]: there is nobody to tell; set email or webhook`},
		{"no name", "{notify: [{webhook: http://a}]}", `alarms.notify[0].name: this key is missing`},
		{"bad name", "{notify: [{name: 'a b', webhook: http://a}]}", `alarms.notify[0].name: "a b" is not a name`},
		{"two of a name", "{notify: [{name: a, webhook: http://a}, {name: a, webhook: http://b}]}", `alarms.notify[1].name: "a" is taken`},
		{"mail and webhook", "{" + mail + "notify: [{name: a, email: a@example.com, webhook: http://a}]}", `alarms.notify[0]: email and webhook exclude each other`},
		{"headers of a mail", "{" + mail + "notify: [{name: a, email: a@example.com, headers: {A: b}}]}", `alarms.notify[0]: headers, signing_secret and routing_key belong to a webhook`},
		{"header name", "{notify: [{name: a, webhook: http://a, headers: {'A b': c}}]}", `alarms.notify[0].headers: "A b" is not a header name`},
		{"format", "{notify: [{name: a, webhook: http://a, format: slak}]}", `alarms.notify[0].format: "slak" is not one of json, slack, teams, pagerduty; did you mean "slack"?`},
		{"no key", "{notify: [{name: a, format: pagerduty}]}", `alarms.notify[0].routing_key: PagerDuty wants an integration key`},
		{"a key for Slack", "{notify: [{name: a, webhook: http://a, format: slack, routing_key: x}]}", `alarms.notify[0].routing_key: only PagerDuty has one`},
		{"URL", "{notify: [{name: a, webhook: hooks.example.com/hunter2}]}", `alarms.notify[0].webhook: it does not begin with http:// or https://`},
		{"URL that cannot be read", "{notify: [{name: a, webhook: 'http://[hunter2'}]}", `alarms.notify[0].webhook: it is not a URL`},
		{"URL with a password", "{notify: [{name: a, webhook: 'https://u:hunter2@a'}]}", `alarms.notify[0].webhook: a URL must not hold a user name or password`},
		{"URL without a host", "{notify: [{name: a, webhook: 'https:///hunter2'}]}", `alarms.notify[0].webhook: it names no host`},
		{"URL with a fragment", "{notify: [{name: a, webhook: 'https://a/#hunter2'}]}", `alarms.notify[0].webhook: it has a #fragment`},
		{"URL with a bad port", "{notify: [{name: a, webhook: 'https://a:99999/hunter2'}]}", `alarms.notify[0].webhook: it has no port`},
		{"mail without a server", "{smtp: {from: t@example.com}, notify: [{name: a, email: a@example.com}]}", `alarms.smtp.host: mails need a server`},
		{"mail without a sender", "{smtp: {host: a}, notify: [{name: a, email: a@example.com}]}", `alarms.smtp.from: mails need a sender`},
		{"address with a name", "{" + mail + "notify: [{name: a, email: 'Ops <a@example.com>'}]}", `alarms.notify[0].email[0]: "Ops <a@example.com>" is not an email address; write name@example.com alone`},
		{"address with a line end", "{" + mail + "notify: [{name: a, email: \"a@example.com\\r\\nBcc: b@example.com\"}]}", `is not an email address`},
		{"address without a domain", "{" + mail + "notify: [{name: a, email: ops}]}", `is not an email address`},
		{"two in one", "{" + mail + "notify: [{name: a, email: 'a@example.com,b@example.com'}]}", `is not an email address`},
		{"sender", "{smtp: {from: me}}", `alarms.smtp.from: "me" is not an email address`},
		{"host with a port", "{smtp: {host: 'a:25'}}", `alarms.smtp.host: "a:25" is not a host`},
		{"port", "{smtp: {host: a, port: 70000}}", `alarms.smtp.port: 70000 is not a port`},
		{"user without a password", "{smtp: {host: a, username: u}}", `alarms.smtp: username and password go together`},
		{"password in the clear", "{smtp: {host: a, username: u, password: hunter2, tls: none}}", `alarms.smtp.tls: a password is not sent in the clear`},
		{"tls", "{smtp: {tls: maybe}}", `alarms.smtp.tls: "maybe" is not one of starttls, implicit, none`},
		{"console", "{console: tapway.example.com}", `alarms.console: "tapway.example.com" does not begin with http:// or https://`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load("backend: http://a\nalarms: " + tt.text + "\n")
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), "\n") > 0 {
				t.Fatalf("error is %v, want %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret in %v", err)
			}
		})
	}
}

// TestAlarmEgress: who is told must be somebody who may be dialled.
func TestAlarmEgress(t *testing.T) {
	_, err := load(`backend: http://a
egress: {allow: ["a:80"]}
alarms:
  smtp: {host: smtp.example.com, from: t@example.com}
  notify: [{name: a, email: a@example.com}, {name: b, webhook: "https://chat.example.com/hunter2"}, {name: c, format: pagerduty, routing_key: k}]
`)
	if err == nil || !strings.Contains(err.Error(), "smtp.example.com:587 can never be dialled") || !strings.Contains(err.Error(), "chat.example.com:443 can never be dialled") || !strings.Contains(err.Error(), "events.pagerduty.com:443 can never") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v", err)
	}
}

func TestParseShare(t *testing.T) {
	for text, want := range map[string]Share{"0": 0, "0%": 0, "5%": .05, " 5 % ": .05, "0.5%": .005, "100%": 1, "1": 1, ".25": .25, "1e-2": .01} {
		if got, err := ParseShare(text); err != nil || got != want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "%", "5", "1.01", "100.1%", "-1%", "nan", "inf", "5%%", "5 percent"} {
		if got, err := ParseShare(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
