package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// vault is an account with secrets. It notes what it is asked for.
type vault struct {
	values map[string]string
	asked  []string
}

func (v *vault) resolve(refs []Ref) (map[string]string, map[string]error) {
	values, failed := map[string]string{}, map[string]error{}
	for _, r := range refs {
		v.asked = append(v.asked, r.Name+" for "+strings.Join(r.Keys, " and "))
		if value, ok := v.values[r.Name]; ok {
			values[r.Name] = value
		} else {
			failed[r.Name] = fmt.Errorf("${%s}: ResourceNotFoundException", r.Name)
		}
	}
	return values, failed
}

func (v *vault) load(text string, pairs ...string) (*Config, error) {
	return Load(Source{File: "tapway.yaml", Text: []byte(text), Getenv: env(pairs...), Resolve: v.resolve})
}

// A reference gives a value wherever one may stand: whole or in part, in the file, in an
// environment variable that sets a key, and in one that the file reads.
func TestReferences(t *testing.T) {
	v := &vault{values: map[string]string{
		"aws-secretsmanager:siem#token": "tok: # \"en\n- x ${A} ${aws-ssm:/b}", "aws-ssm:/b": "https://api.internal", "aws-ssm:/t": "7",
		"aws-secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:hook-AbCdEf": "whsec_eA",
	}}
	c, err := v.load(`
proxy: {timeout: "${aws-ssm:/t}"}
destinations:
  - name: siem
    url: https://siem.example.com/in
    headers: {Authorization: "Bearer ${aws-secretsmanager:siem#token}", X-Hook: "${HOOK}", X-Plain: "$${aws-ssm:/t}"}
    signing_secret: ${aws-secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:hook-AbCdEf}
`, "TAPWAY_BACKEND", "${aws-ssm:/b}", "HOOK", "a${aws-ssm:/t}b", "APP_NAME", "${A} $${aws-ssm:/t} ${", "FILTERED_PATH", "/a${aws-ssm:/t}|/b")
	if err != nil {
		t.Fatal(err)
	}
	d := c.Destinations[0]
	for what, pair := range map[string][2]string{
		"the file: nothing in a value is looked up again": {d.Headers["Authorization"].Reveal(), "Bearer tok: # \"en\n- x ${A} ${aws-ssm:/b}"},
		"a variable that the file reads":                  {d.Headers["X-Hook"].Reveal(), "a7b"},
		"escaped":                                         {d.Headers["X-Plain"].Reveal(), "${aws-ssm:/t}"},
		"an ARN":                                          {d.Signing[0].Reveal(), "whsec_eA"},
		"a variable that sets a key":                      {c.Backend, "https://api.internal"},
		"a number":                                        {c.Proxy.Timeout.String(), "7s"},
		"only references in a variable":                   {c.Proxy.AppName, "${A} ${aws-ssm:/t} ${"},
		"a list in a variable":                            {strings.Join(c.Proxy.FilteredPaths, " "), "/a7 /b"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
		}
	}
	want := []string{
		"aws-ssm:/t for proxy.timeout and destinations[0].headers.X-Hook and proxy.filtered_paths",
		"aws-secretsmanager:siem#token for destinations[0].headers.Authorization",
		"aws-secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:hook-AbCdEf for destinations[0].signing_secret[0]",
		"aws-ssm:/b for backend",
	}
	if !reflect.DeepEqual(v.asked, want) {
		t.Errorf("asked for\n%s\nwant\n%s", strings.Join(v.asked, "\n"), strings.Join(want, "\n"))
	}
}

// Without a reference nobody is asked.
func TestNoReferences(t *testing.T) {
	_, err := Load(Source{Text: []byte("backend: http://a\nproxy: {app_name: '$${aws-ssm:/x}'}\n"), Getenv: env(), Resolve: func([]Ref) (map[string]string, map[string]error) {
		t.Error("asked")
		return nil, nil
	}})
	if err != nil {
		t.Error(err)
	}
}

// A reference that gives nothing is a problem at its place, all of them at once.
func TestReferenceProblems(t *testing.T) {
	const text = "backend: ${aws-ssm:/no}\nproxy:\n  app_name: \"${aws-ssm:/ok} ${aws-secretsmanager:no}\"\n  error_title: ${aws-ssm:/ok\n"
	for name, tt := range map[string]struct {
		source Source
		want   string
	}{
		"not found": {Source{Resolve: (&vault{values: map[string]string{"aws-ssm:/ok": "hunter2"}}).resolve}, `tapway.yaml:1:10: backend: ${aws-ssm:/no}: ResourceNotFoundException
tapway.yaml:3:13: proxy.app_name: ${aws-secretsmanager:no}: ResourceNotFoundException
tapway.yaml:4:16: proxy.error_title: a ${ is not closed by a }; write $${ for the characters themselves`},
		"nobody to ask": {Source{}, "tapway.yaml:1:10: backend: ${aws-ssm:/no}: " + errNoResolver.Error() + `
tapway.yaml:3:13: proxy.app_name: ${aws-ssm:/ok}: ` + errNoResolver.Error() + `
tapway.yaml:4:16: proxy.error_title: a ${ is not closed by a }; write $${ for the characters themselves`},
	} {
		tt.source.File, tt.source.Text, tt.source.Getenv = "tapway.yaml", []byte(text), env()
		if _, err := Load(tt.source); err == nil || err.Error() != tt.want {
			t.Errorf("%s:\n%v\nwant\n%s", name, err, tt.want)
		}
	}
	_, err := (&vault{}).load("", "TAPWAY_BACKEND", "${aws-ssm:/no}")
	if want := "environment variable TAPWAY_BACKEND: backend: ${aws-ssm:/no}: ResourceNotFoundException"; err == nil || err.Error() != want {
		t.Errorf("in a variable: %v, want %s", err, want)
	}
}

// No problem quotes what a reference gave, whatever the key wants.
func TestProblemsHoldNoSecret(t *testing.T) {
	secrets := []string{
		"hunter2-hunter3", "ftp://user:hunter2-hunter3@host/hunter4", "https://hunter2-hunter3.example.com/#hunter4", "{hunter2-hunter3", "GET hunter2-hunter3 hunter4",
		"-----BEGIN hunter2-hunter3", "hunter2-hunter3:hunter4:99999999", `hunter2-hunter3 "quoted" \ hunter4`, "$..[hunter2-hunter3", "sqs://hunter2-hunter3/hunter4", "hunter2-hunter3\nhunter4 ü",
	}
	keys := []string{
		"listen: X", "backend: X", "queue: X", "bucket: X", "openapi: X", "proxy: {timeout: X, max_response: X, no_headers: X, forwarded: X, max_connections: X, filtered_paths: [X], tls: {ca: X, cert: X, key: X}}",
		"routes: [{match: X, backend: X, timeout: X}]", "routes: [{match: \"ANY /{proxy+}\", backend: X}, {match: \"GET /a\", backend: X}]", "capture: {redact: {json: [X]}, rules: [{if: X, sample: X}]}",
		"destinations: [{name: X, url: X, if: X, format: X, retry: {min: X}}, {name: X, url: X}]", "access: {trusted_proxies: [X]}", "lambda: {dead_letter_queue: X, capture: X}", "admin: {listen: X}", "tls: {cert: X, key: X}",
		"storage: {limit: X}", "log: {level: X}",
	}
	variables := []string{"TAPWAY_BACKEND", "TAPWAY_DESTINATION", "TAPWAY_QUEUE", "TAPWAY_BUCKET", "REQUEST_TIMEOUT", "NO_HEADERS", "PAYLOAD_QUOTA", "TAPWAY_CAPTURE"}
	tests := map[string][]string{}
	for _, key := range keys {
		tests[strings.ReplaceAll(key, "X", `"${aws-ssm:/x}"`)] = nil
		tests[strings.ReplaceAll(key, "X", `"1${aws-ssm:/x}"`)] = nil
	}
	for _, name := range variables {
		tests["# "+name] = []string{name, "${aws-ssm:/x}"}
	}
	wrong := 0
	for text, pairs := range tests {
		for _, secret := range secrets {
			_, err := (&vault{values: map[string]string{"aws-ssm:/x": secret}}).load(text, pairs...)
			if err == nil {
				continue
			}
			wrong++
			for _, part := range []string{"hunter2", "hunter3", "hunter4"} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("%s with %q: %v", text, secret, err)
				}
			}
		}
	}
	if wrong < 300 {
		t.Errorf("only %d were wrong", wrong)
	}
	_, err := (&vault{values: map[string]string{"aws-ssm:/x": "hunter2"}}).load("backend: http://a\nproxy: {timeout: \"${aws-ssm:/x}\"}\n")
	if want := "tapway.yaml:2:18: proxy.timeout: what ${aws-ssm:/x} gives does not fit here; want a duration such as 10s"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// What is not looked up is accepted and not checked; everything else is.
func TestUnchecked(t *testing.T) {
	var asked []Ref
	source := Source{File: "tapway.yaml", Getenv: env("TAPWAY_DESTINATION", "${aws-ssm:/d}"), Resolve: func(refs []Ref) (map[string]string, map[string]error) {
		asked = refs
		return nil, nil
	}}
	for _, text := range []string{
		"backend: ${aws-ssm:/x}\n",
		"backend: http://a\nadmin: {listen: \"${aws-ssm:/x}\"}\nproxy: {timeout: \"${aws-ssm:/x}\", forwarded: \"${aws-ssm:/x}\", tls: {cert: \"${aws-ssm:/x}\", key: \"${aws-ssm:/x}\"}}\n",
		"routes: [{match: \"GET /a\", backend: \"${aws-ssm:/x}\"}, {match: \"${aws-ssm:/x}\", backend: http://a}]\ncapture: {redact: {json: [\"${aws-ssm:/x}\"]}, rules: [{if: \"${aws-ssm:/x}\"}]}\n",
		"backend: http://a\nadmin: {listen: \"0.0.0.0:1\", token: \"${aws-ssm:/x}\"}\n",
	} {
		asked = nil
		source.Text = []byte(text)
		if _, err := Load(source); err != nil {
			t.Errorf("%s%v", text, err)
		}
		if len(asked) != 2 {
			t.Errorf("%sasked for %v", text, asked)
		}
	}
	source.Text = []byte("backend: ${aws-ssm:/x}\nproxy: {timeout: soon}\n")
	if _, err := Load(source); err == nil || !strings.Contains(err.Error(), "tapway.yaml:2:18") {
		t.Errorf("beside one that is not looked up: %v", err)
	}
}

// The command line and the environment go before the file, references or not.
func TestReferenceOverruled(t *testing.T) {
	v := &vault{values: map[string]string{"aws-ssm:/x": "not a URL", "aws-ssm:/y": "hunter2"}}
	c, err := v.load("backend: http://a\ndestinations: [{name: a, url: \"http://x/${aws-ssm:/y}\"}]\n", "TAPWAY_DESTINATION", "http://b")
	if err != nil || c.Destinations[0].URL != "http://b" {
		t.Errorf("%v", err)
	}
	if _, err := v.load("backend: ${aws-ssm:/y}\n", "TAPWAY_BACKEND", "http://"); err == nil || !strings.Contains(err.Error(), `"http://" names no host`) {
		t.Errorf("the problem of a value that is no secret: %v", err)
	}
}

// Where a PEM file is wanted its content may stand.
func TestPEM(t *testing.T) {
	dir := t.TempDir()
	aCertificate, aKey := pemPair(t, time.Hour)
	aCertificate, aKey = strings.TrimSpace(aCertificate), strings.TrimSpace(aKey)
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(aCertificate), 0o600); err != nil {
		t.Fatal(err)
	}
	v := &vault{values: map[string]string{"aws-ssm:/pem": aCertificate, "aws-ssm:/key": aKey}}
	load := func(text string) (*Config, error) {
		return Load(Source{File: "tapway.yaml", Text: []byte("backend: http://a\nproxy: {tls: {" + text + "}}\n"), Getenv: env("PEM", "\n"+aCertificate+"\n"), Dir: dir, Resolve: v.resolve})
	}
	for text, want := range map[string]string{
		`ca: "${aws-ssm:/pem}"`: aCertificate, `ca: "${PEM}"`: "\n" + aCertificate + "\n", `ca: "${file:ca.pem}"`: aCertificate,
		"ca: ca.pem": filepath.Join(dir, "ca.pem"), "ca: " + dir + "/ca.pem": filepath.Join(dir, "ca.pem"),
	} {
		if c, err := load(text); err != nil || c.Proxy.TLS.CA != want {
			t.Errorf("%s: %q, %v; want %q", text, c.Proxy.TLS.CA, err, want)
		}
	}
	for text, want := range map[string]string{
		"ca: none.pem": "cannot be read: open " + filepath.Join(dir, "none.pem"), `ca: "-----BEGIN CERTIFICATE----- MIIB -----END CERTIFICATE-----"`: "are its line ends there?",
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	c, err := load(`cert: ca.pem, key: "${aws-ssm:/key}"`)
	if err != nil {
		t.Fatalf("a key: %v", err)
	}
	if c.Proxy.TLS.Key.Reveal() != aKey || strings.Contains(fmt.Sprintf("%+v", c), aKey[len("-----BEGIN PRIVATE KEY-----"):][:20]) {
		t.Error("the key is another one, or is shown")
	}
}

// URL sets the backend only for those who ask for it, and REMOTE_URL goes before it.
func TestAlso(t *testing.T) {
	source := Source{Getenv: env("URL", "http://url")}
	var problems Problems
	if _, err := Load(source); !errors.As(err, &problems) || problems[0].Key != "backend" {
		t.Errorf("URL counts where it should not: %v", err)
	}
	source.Also = map[string]string{"REMOTE_URL": "URL"}
	if c, err := Load(source); err != nil || c.Backend != "http://url" {
		t.Errorf("URL does not count: %v", err)
	}
	source.Getenv = env("URL", "http://url", "REMOTE_URL", "http://remote")
	if c, err := Load(source); err != nil || c.Backend != "http://remote" {
		t.Errorf("URL goes before REMOTE_URL: %v", err)
	}
	source.Getenv = env("URL", "nowhere")
	if _, err := Load(source); err == nil || !strings.HasPrefix(err.Error(), "environment variable URL: backend: ") {
		t.Errorf("a wrong URL: %v", err)
	}
}
