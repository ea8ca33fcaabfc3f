package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMistakes: what people write by mistake, each with its place and what to do. Every one is one
// problem or one warning.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"export.yaml": "openapi: 3.0.1\n", "file": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const backend = "backend: http://a\n"
	for _, tt := range []struct{ name, text, want string }{
		{"tab", backend + "proxy:\n\ttimeout: 5s\n", "tapway.yaml:3:1: not valid YAML: found character '\t' that cannot start any token; indent with spaces, not with tabs"},
		{"indent", backend + "proxy:\n    timeout: 5s\n  http2: true\n", "tapway.yaml:4:3: not valid YAML: value is not allowed in this context; is it indented as the lines around it are?"},
		{"key twice", backend + backend, `tapway.yaml:2:1: not valid YAML: mapping key "backend" already defined at [1:1]; remove one of them`},
		{"colon in a text", backend + "proxy:\n  filtered_message: Sorry: no\n", "A value with a colon and a space in it wants quotation marks"},
		{"brace in a flow mapping", "routes: [{match: GET /users/{id}, backend: http://a}]\n", "a value with a brace or a comma in it wants quotation marks"},
		{"star", backend + "access: {methods: *}\n", "a value that begins with * or & wants quotation marks"},
		{"tag", backend + "capture:\n  rules:\n    - if: !secure\n", "tapway.yaml:4:11: capture.rules[0].if: want a text, found a YAML tag; a text that begins with ! wants quotation marks"},
		{"quote not closed", "backend: \"http://a\n", "the closing quotation mark is missing"},
		{"reserved", "backend: @a\n", "put the value into quotation marks"},
		{"brace not closed", "{\"backend\": \"http://a\"\n", "the closing } is missing"},
		{"no space behind the colon", "backend:http://a\n", "a space is missing behind the colon of backend:"},
		{"TOML", "backend = \"http://a\"\n", "tapway.yaml:1:1: want a mapping, as in listen: …, found a single value; write backend: … with a colon"},
		{"list at the top", "- backend: http://a\n", "found a list; remove the dash, or the brackets"},
		{"mapping for a list", backend + "destinations:\n  siem:\n    url: http://b\n", "tapway.yaml:3:3: destinations: want a list, found a mapping; begin each of its entries with a dash: - …"},
		{"empty entry", backend + "destinations:\n  -\n", "tapway.yaml:3:5: destinations[0]: there is nothing in this entry of the list; write what belongs there, or remove its dash"},
		{"empty route", "routes:\n  -\n", "routes[0]: there is nothing in this entry of the list"},
		{"anchor below an unknown key", "x-common: &t {timeout: 5s}\nbackend: http://a\nproxy: *t\n", "tapway.yaml:1:1: x-common: unknown key"},
		{"key of another level", backend + "url: http://b\n", "tapway.yaml:2:1: url: unknown key; it belongs below destinations[]; is it indented so?"},
		{"key without a neighbour", backend + "destinations: [{name: a, url: http://b, auth: x}]\n", "destinations[0].auth: unknown key; the keys here are name, url, headers,"},
		{"typographic quotes", "“backend”: http://a\nopenapi: s3://bucket/key\n", "it has a character in it that only looks like a quotation mark or a space"},
		{"no-break space", backend + "proxy:\n\u00a0\u00a0timeout: 5s\n", "it has a character in it that only looks like a quotation mark or a space"},
		{"host and port", "backend: localhost:3000\n", `"localhost:3000" does not begin with http:// or https://; write http://localhost:3000`},
		{"address and port", "backend: 10.0.0.1:3000\n", `write https://10.0.0.1:3000`},
		{"scheme misspelt", "backend: http//a/b\n", `"http//a/b" does not begin with http:// or https://; write http://a/b`},
		{"one slash", "backend: https:/a/b\n", `write https://a/b`},
		{"variable without braces", "backend: $BACKEND\n", `"$BACKEND" is not a URL; for the value of a variable write ${BACKEND}`},
		{"placeholder left", "backend: https://<your-api>.example.com\n", `has a host that is no name and no address: "<your-api>.example.com"`},
		{"letters beyond ASCII", "backend: http://müller.example.com\n", `names with other letters as xn--…`},
		{"parameter in the backend", "backend: https://a/{proxy}\n", `has a parameter in braces; write it without, or as a route`},
		{"password in a destination", backend + "destinations: [{name: a, url: \"http://u:hunter2@b\"}]\n", "must not hold a user name or password; put it into headers"},
		{"URL to listen on", backend + "listen: http://127.0.0.1:8080/\n", `"http://127.0.0.1:8080/" is a URL; write 127.0.0.1:8080, and for HTTPS at the front the key tls`},
		{"bad host to listen on", backend + "listen: \"a b:80\"\n", "is not an address to listen on"},
		{"one address for two", backend + "listen: :9090\n", "admin.listen: 127.0.0.1:9090 is taken by listen: :9090; choose another port for one of them"},
		{"percent", backend + "capture: {rules: [{if: \"\", sample: 50%}]}\n", `capture.rules[0].sample: "50%" is not a number: write 0.5`},
		{"names in one text", backend + "capture: {redact: {headers: \"X-A, X-B\"}}\n", `capture.redact.headers[0]: "X-A, X-B" is not one name, and nothing would be redacted by it; write a list: [X-A, X-B]`},
		{"a name for a path", backend + "capture: {redact: {json: [card.number]}}\n", `write $..card.number`},
		{"own header", backend + "destinations: [{name: a, url: http://b, headers: {content-length: 5}}]\n", "destinations[0].headers.content-length: tapway sets this header itself; remove it"},
		{"signing secret", backend + "destinations: [{name: a, url: http://b, signing_secret: whsec_hunter2!}]\n", "destinations[0].signing_secret[0]: what follows whsec_ is not Base64"},
		{"data is a file", backend + "data: file\n", "data: file is a file, and a directory is wanted"},
		{"export in YAML", "openapi: export.yaml\n", "openapi: " + filepath.Join(dir, "export.yaml") + ": the API definition is not JSON"},
		{"parameter of another router", "routes: [{match: \"GET /users/:id\", backend: http://a}]\n", `warning: routes[0].match: ":id" matches only these very characters; a parameter is written {id}`},
		{"star of another router", "routes: [{match: \"GET /users/*\", backend: http://a}]\n", `warning: routes[0].match: "*" matches only this very character`},
		{"backend is the gateway", "listen: 127.0.0.1:8080\nbackend: http://localhost:8080\n", "tapway.yaml:2:10: warning: backend: that is the gateway itself (listen: 127.0.0.1:8080)"},
		{"destination is the gateway", backend + "destinations: [{name: a, url: http://127.0.0.1:8080/in}]\n", "warning: destinations[0].url: that is the gateway itself (listen: :8080): every record would be one more call"},
		{"secret variable without braces", backend + "destinations: [{name: a, url: http://b, headers: {Authorization: Bearer $SIEM_TOKEN}}]\n", "warning: destinations[0].headers.Authorization: a $ without braces is passed on as it is; write ${NAME}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := Source{File: "tapway.yaml", Text: []byte(tt.text), Getenv: env(), Dir: dir}
			problems, err := Check(source)
			if err != nil {
				t.Fatal(err)
			}
			if len(problems) != 1 || !strings.Contains(problems.Error(), tt.want) || strings.Contains(problems.Error(), "hunter2") {
				t.Errorf("got  %v\nwant %s", problems, tt.want)
			}
			if _, err := Load(source); (err == nil) != strings.HasPrefix(tt.want, "warning") && !strings.Contains(tt.want, ": warning: ") {
				t.Errorf("Load gives %v", err)
			}
		})
	}
}

// TestNoMistakes: what looks like a mistake and is none.
func TestNoMistakes(t *testing.T) {
	for _, text := range []string{
		"\ufeffbackend: http://a\r\nproxy:\r\n  timeout: 5\r\n",
		`{"backend": "http://a", "destinations": [{"name": "a", "url": "http://b"}]}`,
		"backend: http://a/\nlisten: :0\nadmin: {listen: \"127.0.0.1:0\"}\n",
		"backend: http://[::1]:8080\nlisten: 127.0.0.1:8080\n",
		"backend: http://my_service.internal:8080\n",
		"backend: http://127.0.0.1:8080\nlisten: 10.0.0.1:8080\n",
		"backend: http://a\nlisten: 10.0.0.1:9090\n",
		"routes: [{match: \"POST /v1/users:batch\", backend: http://a}]\n",
		"backend: http://a\ndestinations: [{name: a, url: http://b, headers: {X: pa$$WORD, Y: $5, Z: \"$a$b\"}, signing_secret: any text}]\n",
	} {
		if problems, err := Check(Source{File: "tapway.yaml", Text: []byte(text), Getenv: env()}); err != nil || len(problems) > 0 {
			t.Errorf("%q: %v %v", text, problems, err)
		}
	}
}

func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("gone.yaml", filepath.Join(dir, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file or directory; write one with `tapway config init > tapway.yaml`",
		filepath.Join(dir, "link.yaml"): "it is a link to gone.yaml, which is not there",
		dir:                             "is a directory; name the file in it, such as " + filepath.Join(dir, "tapway.yaml"),
	} {
		if _, err := Load(Source{File: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
}
