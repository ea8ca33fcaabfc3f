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

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func load(text string, pairs ...string) (*Config, error) {
	return Load(Source{File: "tapway.yaml", Text: []byte(text), Getenv: env(pairs...)})
}

func TestDefaults(t *testing.T) {
	c, err := load("backend: http://127.0.0.1:3000\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":8080" || c.Proxy.Timeout.D() != 11*time.Second || c.Capture.MaxBody != 10<<20 || !c.Capture.Redact.Defaults || c.Proxy.HTTP2 != true {
		t.Errorf("defaults are off: %+v", c)
	}
}

func TestWholeFile(t *testing.T) {
	c, err := load(`
listen: "127.0.0.1:8443"
routes:
  - {match: "GET /api/v1/users/{id}", backend: "https://users.internal/v1/users/{id}", timeout: 5s}
  - match: ANY /{proxy+}
    backend: https://legacy.internal/{proxy}
proxy: {timeout: 250ms, max_response: 1MiB, filtered_paths: ["/foobar", /baz]}
capture:
  redact: {headers: [X-Internal], json: ["$..card"]}
  rules: [{if: "status < 400", sample: 0.1, bodies: false}]
destinations:
  - &base
    name: siem
    url: https://siem.example.com/in?key=1
    headers: {Authorization: "Bearer ${SIEM_TOKEN}"}
    signing_secret: ${HOOK:-whsec_eA}
    batch: {max_records: 100}
access: {trusted_proxies: ["10.0.0.0/8", "::1"]}
`, "SIEM_TOKEN", "tok: # \"en")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Routes[0].Timeout.D(); got != 5*time.Second {
		t.Errorf("route timeout = %v", got)
	}
	if c.Routes[1].Timeout != nil {
		t.Error("a timeout that was not given is not nil")
	}
	d := c.Destinations[0]
	if got := d.Headers["Authorization"].Reveal(); got != `Bearer tok: # "en` {
		t.Errorf("expanded header = %q", got)
	}
	if len(d.Signing) != 1 || d.Signing[0].Reveal() != "whsec_eA" {
		t.Errorf("signing = %v", d.Signing)
	}
	if d.Batch.MaxRecords != 100 || d.Batch.MaxBytes != 1<<20 || d.Retry.MaxAttempts != 8 || d.Concurrency != 16 {
		t.Errorf("destination defaults are off: %+v", d)
	}
	if s := *c.Capture.Rules[0].Sample; s != 0.1 || *c.Capture.Rules[0].Bodies {
		t.Errorf("rule = %+v", c.Capture.Rules[0])
	}
	if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, "tok:") || strings.Contains(text, "whsec_eA") {
		t.Error("printing a configuration prints its secrets")
	}
}

// TestProblems: every mistake is told with its place and what to do, and all of them at once.
func TestProblems(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "backend: http://a\nproxi:\n  timeout: 1s\n", `tapway.yaml:2:1: proxi: unknown key; did you mean "proxy"?`},
		{"unknown nested key", "backend: http://a\nproxy:\n  timeot: 1s\n", `tapway.yaml:3:3: proxy.timeot: unknown key; did you mean "timeout"?`},
		{"unknown key without a neighbour", "backend: http://a\nzzzzzz: 1\n", `tapway.yaml:2:1: zzzzzz: unknown key`},
		{"bad duration", "backend: http://a\nproxy: {timeout: 10 parsecs}\n", `tapway.yaml:2:18: proxy.timeout: "10 parsecs" is not a duration: write 250ms, 10s, 15m or 24h`},
		{"negative duration", "backend: http://a\nproxy: {timeout: -1s}\n", `tapway.yaml:2:18: proxy.timeout: "-1s" is not a duration: it must not be negative`},
		{"bad size", "backend: http://a\ncapture: {max_body: lots}\n", `tapway.yaml:2:21: capture.max_body: "lots" is not a size: write 512, 10KiB, 10MiB or 1GB`},
		{"bad URL", "backend: 127.0.0.1:3000\n", `tapway.yaml:1:10: backend: "127.0.0.1:3000" does not begin with http:// or https://; write http://127.0.0.1:3000`},
		{"URL without scheme", "backend: api.internal\n", `tapway.yaml:1:10: backend: "api.internal" does not begin with http:// or https://; write https://api.internal`},
		{"URL with a password", "backend: http://u:hunter2@a\n", `tapway.yaml:1:10: backend: a URL must not hold a user name or password; leave them out: a backend gets the Authorization that its clients send`},
		{"bad template", "routes:\n  - {match: \"GET users\", backend: http://a}\n", `tapway.yaml:2:13: routes[0].match: `},
		{"unclosed template", "routes:\n  - {match: \"GET /users/{id\", backend: http://a}\n", `tapway.yaml:2:13: routes[0].match: `},
		{"placeholder that no route has", "routes:\n  - {match: \"GET /users/{id}\", backend: \"http://a/{uid}\"}\n", `tapway.yaml:2:41: routes[0].backend: `},
		{"missing variable", "backend: http://a\nadmin: {token: \"${NOPE}\"}\n", `tapway.yaml:2:16: admin.token: the environment variable NOPE is not set; set it, or write ${NOPE:-default}`},
		{"unclosed variable", "backend: \"http://${NOPE\"\n", `tapway.yaml:1:10: backend: a ${ is not closed`},
		{"missing key", "backend: http://a\ndestinations:\n  - {url: http://b}\n", `tapway.yaml:3:5: destinations[0].name: this key is missing; Its name in commands`},
		{"two of a name", "backend: http://a\ndestinations:\n  - {name: x, url: http://b}\n  - {name: x, url: http://c}\n", `tapway.yaml:4:12: destinations[1].name: "x" is taken by a destination above`},
		{"enum", "backend: http://a\ncapture: {durability: comit}\n", `tapway.yaml:2:23: capture.durability: "comit" is not one of commit, write; did you mean "commit"?`},
		{"filter", "backend: http://a\ncapture: {rules: [{if: \"stauts > 1\"}]}\n", `tapway.yaml:2:24: capture.rules[0].if: column 1: unknown field "stauts"`},
		{"JSONPath", "backend: http://a\ncapture: {redact: {json: [\"$.a[\"]}}\n", `tapway.yaml:2:27: capture.redact.json[0]: `},
		{"list for a text", "backend: [http://a]\n", `tapway.yaml:1:10: backend: want a text, found a list`},
		{"text for a mapping", "backend: http://a\nproxy: fast\n", `tapway.yaml:2:8: proxy: want a mapping, as in timeout: …, found a single value`},
		{"no backend", "listen: :8080\n", `tapway.yaml: backend: there is nowhere to send calls; set backend`},
		{"two ways", "backend: http://a\nroutes: [{match: /x, backend: http://b}]\n", `tapway.yaml:1:10: backend: backend, routes and openapi exclude each other`},
		{"admin without a token", "backend: http://a\nadmin: {listen: \":9090\"}\n", `tapway.yaml:2:8: admin.token: the admin API listens beyond loopback without a token`},
		{"syntax", "backend: \"http://a\nlisten: x\n", `tapway.yaml:1:10: not valid YAML: `},
		{"key twice", "backend: http://a\nbackend: http://b\n", `backend`},
		{"two documents", "backend: http://a\n---\nlisten: :1\n", `a second YAML document`},
		{"sample", "backend: http://a\ncapture: {rules: [{if: \"\", sample: 2}]}\n", `capture.rules[0].sample: 2 is not a share between 0 and 1`},
		{"half a pair", "backend: http://a\nproxy: {tls: {cert: config.go}}\n", `tapway.yaml:2:14: proxy.tls: cert and key go together`},
		{"file that is not there", "backend: http://a\nproxy: {tls: {ca: nowhere.pem}}\n", `tapway.yaml:2:19: proxy.tls.ca: cannot be read: open nowhere.pem`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(tt.text)
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("error is %v", err)
			}
			if len(problems) != 1 {
				t.Errorf("%d problems, want one:\n%v", len(problems), err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the error shows a password")
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := load("listen: nowhere\nbackend: ftp://x\nproxy: {timeout: soon, colour: red}\ndestinations: [{name: \"a b\", url: http://c}]\n")
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 5 {
		t.Fatalf("want five problems, got:\n%v", err)
	}
	for i := 1; i < len(problems); i++ {
		if problems[i].Line < problems[i-1].Line {
			t.Errorf("problems are not in the order of the file:\n%v", err)
		}
	}
}

func TestEnvironmentAndFlags(t *testing.T) {
	c, err := Load(Source{
		Set:    map[string]string{"listen": ":1234", "destinations": "http://127.0.0.1:1/in", "admin.listen": "off"},
		Getenv: env("TAPWAY_BACKEND", "http://a", "REQUEST_TIMEOUT", "7", "FILTERED_PATH", "/foobar|/baz", "NO_HEADERS", "true", "PAYLOAD_QUOTA", "1048576", "TAPWAY_DESTINATION", "http://ignored"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":1234" || c.Backend != "http://a" || c.Proxy.Timeout.D() != 7*time.Second || !c.Proxy.NoHeaders || c.Proxy.MaxResponse != 1<<20 {
		t.Errorf("got %+v", c)
	}
	if !reflect.DeepEqual(c.Proxy.FilteredPaths, []string{"/foobar", "/baz"}) {
		t.Errorf("filtered paths = %q", c.Proxy.FilteredPaths)
	}
	if len(c.Destinations) != 1 || c.Destinations[0].URL != "http://127.0.0.1:1/in" || c.Destinations[0].Retry.MaxAttempts != 8 {
		t.Errorf("destinations = %+v", c.Destinations)
	}
	_, err = Load(Source{Getenv: env("TAPWAY_BACKEND", "http://a", "REQUEST_TIMEOUT", "soon")})
	if err == nil || !strings.Contains(err.Error(), "environment variable REQUEST_TIMEOUT: proxy.timeout:") {
		t.Errorf("error = %v", err)
	}
}

func TestFileReference(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load("backend: http://a\nadmin: {token: \"${file:" + path + "}\"}\n")
	if err != nil || c.Admin.Token.Reveal() != "s3cret" {
		t.Errorf("token = %q, %v", c.Admin.Token.Reveal(), err)
	}
}

// TestSampleIsValid: the file that `config init` writes loads, and loads to the defaults
// even when every commented key is made live.
func TestSampleIsValid(t *testing.T) {
	sample := Sample()
	c, err := load(sample)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Backend = c.Backend
	want.Destinations, _ = DestinationsFor("http://127.0.0.1:8082/in")
	if !reflect.DeepEqual(c, want) {
		t.Errorf("the sample does not load to the defaults:\n got %+v\nwant %+v", c, want)
	}
	for _, f := range fieldsOf(reflect.TypeFor[Config]()) {
		if !strings.Contains(sample, f.name+":") {
			t.Errorf("the sample lacks %s", f.name)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "512": 512, "10KiB": 10240, "10kb": 10000, "1.5MiB": 1572864, "2 GB": 2e9, "1M": 1 << 20, "7b": 7} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
		if back, err := ParseSize(want.String()); err != nil || back != want {
			t.Errorf("%d prints as %s, which reads as %d, %v", want, want, back, err)
		}
	}
	for _, bad := range []string{"", "x", "-1", "10QiB", "9e30", "NaN", "1e400"} {
		if n, err := ParseSize(bad); err == nil {
			t.Errorf("ParseSize(%q) = %d", bad, n)
		}
	}
	for _, bad := range []string{"", "x", "-1", "1y", "9e30", "NaN"} {
		if d, err := ParseDuration(bad); err == nil {
			t.Errorf("ParseDuration(%q) = %v", bad, d)
		}
	}
	if d, err := ParseDuration("7d"); err != nil || d.D() != 7*24*time.Hour {
		t.Errorf("7d = %v, %v", d, err)
	}
}

func TestExpand(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "plain": "plain", "${A}": "1", "x${A}y${A}z": "x1y1z", "$${A}": "${A}", "$$${A}": "$${A}", "${B:-2}": "2", "${E:-2}": "2", "${E}": "", "$A": "$A",
	} {
		d := &decoder{getenv: env("A", "1", "E", ""), readFile: os.ReadFile}
		got, err := expand(text, func(ref string) (string, error) { return d.lookUp(ref, "key") })
		if err != nil || got != want {
			t.Errorf("expand(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

// FuzzLoad: no configuration makes the loader panic, and every problem has a message.
func FuzzLoad(f *testing.F) {
	f.Add(Sample())
	f.Add("a: &a [*a]\n")
	f.Add("routes: [{match: 'GET /{a}', backend: 'http://x/{a}'}]\ncapture: {rules: [{if: 'status > 1'}]}")
	f.Add("backend: ${A}\nproxy:\n  <<: {timeout: 1s}\n")
	f.Add("? [a]\n: b\n")
	f.Add("backend: http://a\nalarms: {error_rate: {above: 5%}, smtp: {host: a, from: t@a, username: u, password: '${aws-secretsmanager:p#q}'}, notify: [{name: a, email: [b@c]}, {name: d, webhook: '${aws-secretsmanager:p#q}', format: slack}]}\n")
	f.Add("backend: ${aws-ssm:/b}\nproxy: {timeout: '${aws-ssm:/b}', tls: {ca: '${aws-secretsmanager:p#q}', key: '${aws-ssm'}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := Load(Source{File: "tapway.yaml", Text: []byte(text), Getenv: env("A", "http://a"), Resolve: func(refs []Ref) (map[string]string, map[string]error) {
			return map[string]string{"aws-ssm:/b": "http://b", "aws-secretsmanager:p#q": "-----BEGIN hunter2"}, nil
		}})
		if err != nil && strings.Contains(err.Error(), "hunter2") && !strings.Contains(text, "hunter2") {
			t.Errorf("a secret in %v", err)
		}
		var problems Problems
		if err == nil {
			return
		}
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("error is %T %v", err, err)
		}
		for _, p := range problems {
			if p.Message == "" || p.File == "" {
				t.Errorf("a problem without a message or a file: %+v", p)
			}
		}
	})
}

// TestTenMistakes: a file with every sort of mistake is told all of them, in its own order,
// each at its place.
func TestTenMistakes(t *testing.T) {
	_, err := load(`listen: nowhere
bakend: http://x
backend: ${NOT_SET}
proxy:
  timeout: 10 parsecs
  filtered_paths: {a: b}
  tls: {cert: a.pem}
capture:
  durability: comit
  rules:
    - if: "stauts > 3"
  redact: {json: ["$["]}
destinations:
  - url: http://x
    concurrency: 0
  - {name: "a b", url: ftp://x, retry: {min: 10s, max: 1s}}
access: {authorization: jwt, trusted_proxies: [10.0.0.0/99]}
admin: {listen: ":9090"}
`)
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	want := []string{
		"1:9 listen", "2:1 bakend", "3:10 backend", "5:12 proxy.timeout", "6:19 proxy.filtered_paths", "7:8 proxy.tls", "7:15 proxy.tls.cert", "9:15 capture.durability",
		"11:11 capture.rules[0].if", "12:19 capture.redact.json[0]", "14:5 destinations[0].name", "15:18 destinations[0].concurrency", "16:12 destinations[1].name",
		"16:24 destinations[1].url", "16:40 destinations[1].retry", "17:25 access.authorization", "17:48 access.trusted_proxies[0]", "18:8 admin.token",
	}
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Key))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestForms: what editors and other systems make of a file is read all the same.
func TestForms(t *testing.T) {
	const plain = "backend: http://a\nproxy:\n  timeout: 3s\n  filtered_paths: [/x]\n"
	want, err := load(plain)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"Windows line ends":    strings.ReplaceAll(plain, "\n", "\r\n"),
		"byte order mark":      "\ufeff" + plain,
		"both":                 "\ufeff" + strings.ReplaceAll(plain, "\n", "\r\n"),
		"no line end":          strings.TrimSuffix(plain, "\n"),
		"a document's marks":   "---\n" + plain + "...\n",
		"a directive":          "%YAML 1.2\n---\n" + plain,
		"comments":             "# one\n" + strings.ReplaceAll(plain, "\n", " # two\n") + "# three\n",
		"one value for a list": strings.Replace(plain, "[/x]", "/x", 1),
		"a list in lines":      strings.Replace(plain, " [/x]", "\n    - /x", 1),
		"a list less indented": strings.Replace(plain, " [/x]", "\n  - /x", 1),
		"JSON":                 `{"backend": "http://a", "proxy": {"timeout": "3s", "filtered_paths": ["/x"]}}`,
		"quoted keys":          strings.ReplaceAll(strings.ReplaceAll(plain, "backend:", `"backend":`), "timeout:", "'timeout':"),
		"anchors":              "backend: &a http://a\nproxy:\n  timeout: &t 3s\n  filtered_paths: &p [/x]\n",
		"an empty section":     plain + "capture:\naccess: {}\n",
		"a number of seconds":  strings.Replace(plain, "3s", "3", 1),
		"a long text in lines": strings.Replace(plain, "backend: http://a", "backend: >-\n  http://a", 1),
		"a tilde is nothing":   plain + "tls: ~\n",
	} {
		got, err := load(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n%+v", name, err, got)
		}
	}
}

// TestAliases: what stands once may be used again, whole or merged into another.
func TestAliases(t *testing.T) {
	c, err := load(`
backend: http://a
destinations:
  - &base {name: one, url: "http://b", timeout: 3s, retry: &retry {max_attempts: 2}}
  - {name: two, url: "http://c", retry: *retry}
  - <<: *base
    name: three
`)
	if err != nil {
		t.Fatal(err)
	}
	d := c.Destinations
	if d[1].Retry.MaxAttempts != 2 || d[2].Name != "three" || d[2].URL != "http://b" || d[2].Timeout.D() != 3*time.Second || d[2].Retry.MaxAttempts != 2 || d[2].Concurrency != 16 {
		t.Errorf("destinations %+v", d)
	}
	for text, want := range map[string]string{
		"backend: *nowhere\n":                            "alias *nowhere has no anchor before it",
		"backend: http://a\nproxy: &p {<<: *p}\n":        "",
		"backend: http://a\nproxy: {<<: http://a}\n":     "want",
		"backend: http://a\nproxy: {<<: {timeot: 1s}}\n": `did you mean "timeout"?`,
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestSyntax: broken YAML is told with its place, and nothing else is.
func TestSyntax(t *testing.T) {
	for _, text := range []string{"backend: [\n", "backend: http://a\n\tproxy: {}\n", "a: b: c\n", "- a\n- b\n", "just a text\n", "backend: \"x\n", "{", "backend: http://a\nproxy:\n timeout: 1s\n   idle_timeout: 2s\n"} {
		_, err := load(text)
		var problems Problems
		if !errors.As(err, &problems) || len(problems) > 2 || problems[0].Line == 0 || problems[0].Column == 0 {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "\ufeff", "{}"} {
		_, err := load(text)
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(problems[0].Message, "nowhere to send calls") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestOrigins: a value is blamed on where it came from.
func TestOrigins(t *testing.T) {
	_, err := Load(Source{
		File: "tapway.yaml", Text: []byte("backend: http://a\nlisten: bad\nadmin: {listen: bad}\n"),
		Set: map[string]string{"listen": "worse", "destinations": "worst"}, Getenv: env("TAPWAY_BACKEND", "ftp://x", "REQUEST_TIMEOUT", "soon"),
	})
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range problems {
		got[p.Key] = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	want := map[string]string{
		"listen": "command line:0", "destinations": "command line:0", "backend": "environment variable TAPWAY_BACKEND:0",
		"proxy.timeout": "environment variable REQUEST_TIMEOUT:0", "admin.listen": "tapway.yaml:3",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestPeek: what could be read of a file with problems is there, with what is wrong with it.
func TestPeek(t *testing.T) {
	c, problems, err := Peek(Source{File: "tapway.yaml", Text: []byte("data: here\nadmin: {token: \"${NOPE}\"}\nproxi: 1\n"), Getenv: env()})
	if err != nil || c.Data != "here" || len(problems) != 2 {
		t.Errorf("%+v, %v, %v", c, problems, err)
	}
	if len(problems.At("data")) != 0 || len(problems.At("admin")) != 1 || len(problems.At("admin.token")) != 1 || len(problems.At("adm")) != 0 {
		t.Errorf("problems %v", problems)
	}
	_, problems, _ = Peek(Source{File: "tapway.yaml", Text: []byte("data: [\n"), Getenv: env()})
	if len(problems.At("data")) != 1 {
		t.Errorf("problems of broken YAML %v", problems)
	}
	if _, _, err := Peek(Source{File: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a file that is not there is no error")
	}
}

// TestSampleUncommented: every commented line of the sample is a key that exists, with a
// value that is taken.
func TestSampleUncommented(t *testing.T) {
	var b strings.Builder
	for line := range strings.Lines(Sample()) {
		trimmed := strings.TrimLeft(line, " ")
		indent := line[:len(line)-len(trimmed)]
		if rest, ok := strings.CutPrefix(trimmed, "#"); ok && !strings.HasPrefix(rest, " ") {
			trimmed = rest
		} else if ok && strings.HasPrefix(strings.TrimLeft(rest, " "), "# ") {
			continue
		} else if ok && !strings.HasPrefix(rest, " #") && strings.HasPrefix(rest, "  ") {
			trimmed = rest // within a block that is commented out as a whole
		} else if ok {
			continue
		}
		b.WriteString(indent + trimmed)
	}
	_, err := load(b.String())
	var problems Problems
	errors.As(err, &problems)
	for _, p := range problems {
		switch {
		case strings.Contains(p.Message, "exclude each other"), strings.Contains(p.Message, "cannot be read"), p.Key == "tls.cert", p.Key == "tls.key",
			p.Key == "access.client_certificate": // the sample can name no CA
		default:
			t.Errorf("%s\nin\n%s", p, b.String())
		}
	}
	if len(problems) == 0 {
		t.Error("nothing was uncommented")
	}
}

// TestReference: every key stands in it.
func TestReference(t *testing.T) {
	text := Reference()
	var walk func(reflect.Type, string)
	walk = func(t2 reflect.Type, prefix string) {
		for _, f := range fieldsOf(t2) {
			if !strings.Contains(text, "| `"+prefix+f.name) || f.doc == "" {
				t.Errorf("the reference lacks %s%s", prefix, f.name)
			}
			if f.typ.Kind() == reflect.Struct {
				walk(f.typ, prefix+f.name+".")
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}
func TestQueues(t *testing.T) {
	for queue, want := range map[string]string{ // want: part of the problem, "" for none
		"disk": "", "sqs://records": "", "records": "", "sqs://records-{destination}": "", "sqs://" + strings.Repeat("q", 80): "",
		"https://sqs.eu-west-1.amazonaws.com/123456789012/records": "", "http://127.0.0.1:4566/123456789012/records-{destination}": "",
		"arn:aws:sqs:eu-west-1:123456789012:records-{destination}": "", "arn:aws:sns:eu-west-1:123456789012:records": "does not name", "arn:aws:sqs:eu-west-1:1:a.fifo": "FIFO",
		"sqs://" + strings.Repeat("q", 81): "does not name a queue", "sqs://": "does not name a queue", "sqs://a/b": "does not name a queue",
		"nats://127.0.0.1": "no queue that this version knows", "sqs://a.fifo": "FIFO", "a.fifo": "FIFO", "{name}": "does not name",
		"https://sqs.eu-west-1.amazonaws.com/records": "not the URL of an SQS queue", "https://": "names no host", "https://user:pw@h/1/q": "must not hold a user",
	} {
		_, err := load("backend: http://b\nqueue: '" + queue + "'\n")
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "tapway.yaml:2:")) {
			t.Errorf("queue %s: %v, want %q", queue, err, want)
		}
	}
	for bucket, good := range map[string]bool{"abc": true, "a.b-3": true, "ab": false, "s3://abc": false, "Abc": false, strings.Repeat("b", 63): true, strings.Repeat("b", 64): false} {
		if _, err := load("backend: http://b\nbucket: " + bucket + "\n"); (err == nil) != good {
			t.Errorf("bucket %s: %v", bucket, err)
		}
	}
	two := "backend: http://b\ndestinations: [{name: a, url: http://a}, {name: b, url: http://b}]\n"
	if _, err := load(two + "queue: sqs://q\n"); err == nil || !strings.Contains(err.Error(), "sqs://records-{destination}") {
		t.Errorf("two destinations share a queue: %v", err)
	}
	if c, err := load(two + "queue: sqs://q-{destination}\n"); err != nil || QueueFor(c.Queue, "b") != "sqs://q-b" {
		t.Errorf("a queue each: %v", err)
	}
	if _, err := load("backend: http://b\nqueue: sqs://q\nlambda: {dead_letter_queue: sqs://q}\n"); err == nil || !strings.Contains(err.Error(), "lambda.dead_letter_queue: it is the queue itself") {
		t.Errorf("the queue as its own dead-letter queue: %v", err)
	}
}

// Whoever only delivers needs no backend; a wrong one is a mistake nevertheless.
func TestForwards(t *testing.T) {
	source := Source{Text: []byte("queue: sqs://q\n"), Getenv: env("TAPWAY_DESTINATION", "http://d/in"), Forwards: true}
	if c, err := Load(source); err != nil || len(c.Destinations) != 1 {
		t.Errorf("without a backend: %v", err)
	}
	source.Text = []byte("backend: ftp://x\n")
	if _, err := Load(source); err == nil {
		t.Error("a wrong backend passes")
	}
	source.Text, source.Forwards = nil, false
	if _, err := Load(source); err == nil || !strings.Contains(err.Error(), "there is nowhere to send calls") {
		t.Errorf("no backend: %v", err)
	}
}

func TestCache(t *testing.T) {
	for _, tt := range []struct{ yaml, want string }{
		{"routes: [{match: GET /a, ttl: 3600s}]", ""},
		{"routes: [{match: GET /a, ttl: 3601s}]", "cache.routes[0].ttl"},
		{"mode: rfc9111\n  ttl: 2h", ""},
		{"ttl: 2h", "cache.ttl"},
		{"routes: [{match: POST /a}]", "cache.routes[0].match"},
		{"routes: [{match: GET /a}, {match: GET /a}]", "cache.routes"},
		{"routes: [{match: GET /a, headers: [a b]}]", "cache.routes[0].headers[0]"},
		{"credentials: ['']", "cache.credentials[0]"},
		{"memory: 1MiB\n  max_entry: 2MiB\n  routes: [{match: GET /a}]", "cache.max_entry"},
	} {
		_, err := Load(Source{File: "tapway.yaml", Text: []byte("backend: http://a\ncache:\n  " + tt.yaml + "\n"), Getenv: func(string) (string, bool) { return "", false }})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.yaml, err, tt.want)
		}
	}
}
