package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/app"
)

const accessConfig = `
backend: http://127.0.0.1:8081
proxy: {filtered_paths: /internal}
access:
  resource_policy: %s/policy.json
  trusted_proxies: 10.0.0.0/8
  methods: [GET, POST]
  usage_plans: [{name: gold, rate: 5, quota: {limit: 3, period: DAY}}]
  api_keys: [{name: partner, value: partner-0123456789abcdefghij, plan: gold}]
  routes: [{match: "ANY /public/{proxy+}", api_key: off}]
`

func accessDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "policy.json", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"},
{"Sid":"Outside","Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*/GET/admin/*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}},
{"Sid":"Late","Effect":"Deny","Principal":{"AWS":["*","111122223333"]},"Action":"execute-api:Invoke","Resource":"execute-api:/*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2030-01-01"}}},
{"Sid":"Endpoint","Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*/GET/public/vpc","Condition":{"StringNotEquals":{"aws:SourceVpce":"vpce-1"}}}]}`)
	write(t, dir, "tapway.yaml", strings.ReplaceAll(accessConfig, "%s", dir))
	return dir
}

func TestAccessExplain(t *testing.T) {
	t.Parallel()
	dir := accessDir(t)
	const key = "x-api-key: partner-0123456789abcdefghij"
	for _, tt := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"--path", "/x", "--header", key}, 0, []string{"GET /x from 203.0.113.7:", "allowed by statement 1", `the API key is "partner"'s`, "the key's rate (5 per second, burst 5)", "0 of 3 per DAY are used", "route $default, to http://127.0.0.1:8081", "It passes."}},
		{[]string{"--path", "/x"}, 1, []string{"authentication: api_key", "refuses", "there is none in x-api-key", "not asked", `It is answered 403 by api_key: {"message":"Forbidden"}`}},
		{[]string{"--path", "/public/x"}, 0, []string{"no API key is required here", "nothing bounds this call"}},
		{[]string{"--path", "/public/..%2fadmin/x"}, 1, []string{"denied by statement 2 (Outside)", "with an explicit deny in a resource-based policy"}},
		{[]string{"--path", "/admin/x", "--ip", "192.0.2.255", "--header", key}, 0, []string{"It passes."}},
		{[]string{"--path", "/admin/x", "--ip", "192.0.3.0", "--header", key}, 1, []string{"(Outside)"}},
		{[]string{"--path", "/admin/x", "--ip", "10.0.0.1", "--header", "X-Forwarded-For: 6.6.6.6, 192.0.2.7", "--header", key}, 0, []string{"from 192.0.2.7:", "by the word of the trusted proxy 10.0.0.1"}},
		{[]string{"--path", "/admin/x", "--ip", "203.0.113.7", "--header", "X-Forwarded-For: 192.0.2.7", "--header", key}, 1, []string{"the peer itself"}},
		{[]string{"--path", "/public/x", "--at", "2030-01-02T00:00:00Z"}, 1, []string{"(Late)"}},
		{[]string{"--path", "/public/vpc"}, 1, []string{"(Endpoint)"}},
		{[]string{"--path", "/public/vpc", "--vpce", "vpce-1"}, 0, []string{"It passes."}},
		{[]string{"--path", "/public/x", "--method", "DELETE"}, 1, []string{`"DELETE" is not among the methods of access.methods`, "Missing Authentication Token"}},
		{[]string{"--path", "//internal;a/x", "--header", key}, 1, []string{`the path can be read as "/internal/x"`, "Filtered URL."}},
		{[]string{"--path", "public"}, 1, []string{"the target is malformed"}},
	} {
		out, errOut, code := execute(t, dir, append([]string{"access", "explain"}, tt.args...)...)
		if code != tt.code || errOut != "" {
			t.Errorf("%q: exit %d, %s", tt.args, code, errOut)
		}
		mustContain(t, out, tt.says...)
		if strings.Contains(out, "0123456789abcdefghij") {
			t.Errorf("%q: the key is printed: %s", tt.args, out)
		}
	}
	out, _, code := execute(t, dir, "access", "explain", "--path", "/x", "--json")
	a := decode[accessAnswer](t, out)
	if code != 1 || a.Passes || a.Status != 403 || a.By != "api_key" || len(a.Steps) != 8 || a.Steps[3].Verdict != "refuses" || a.IP != "203.0.113.7" {
		t.Errorf("exit %d: %s", code, out)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("explaining left %v behind", entries)
	}
	write(t, dir, "routes.yaml", "routes: [{match: \"GET /users/{id}\", backend: \"https://users.internal/{id}\"}]\n")
	out, _, code = execute(t, dir, "access", "explain", "--path", "/users/7", "-c", "routes.yaml")
	mustContain(t, out, "route GET /users/{id}, to https://users.internal")
	if code != 0 {
		t.Errorf("exit %d: %s", code, out)
	}
	out, _, code = execute(t, dir, "access", "explain", "--path", "/else", "-c", "routes.yaml")
	mustContain(t, out, "no route takes it", "It is answered 404 by routes")
	if code != 1 {
		t.Errorf("exit %d: %s", code, out)
	}
	write(t, dir, "never.yaml", "backend: http://a\naccess: {resource_policy: never.json}\n")
	write(t, dir, "never.json", `{"Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"*","Resource":"*"}}`)
	out, _, _ = execute(t, dir, "access", "explain", "-c", "never.yaml")
	mustContain(t, out, "no statement allows it", "Warning: statement 1 means AWS principals, never anonymous callers")
	write(t, dir, "never.json", `{"Statement":{"Effect":"Never"}}`)
	fails(t, dir, 1, `never.json:1:24: access.resource_policy: "Never" is no Effect`, "access", "explain", "-c", "never.yaml")
	fails(t, dir, 2, `--ip: "here" is not an address`, "access", "explain", "--ip", "here")
	fails(t, dir, 2, `--header: write 'Name: value'`, "access", "explain", "--header", "x")
	fails(t, dir, 2, `--at: "now" is not a time`, "access", "explain", "--at", "now")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	dir := accessDir(t)
	fails(t, dir, 1, "there is no data directory ./tapway-data", "keys", "list")
	data := filepath.Join(dir, "tapway-data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	out, _, code := execute(t, dir, "keys", "create", "ann", "--plan", "gold", "--json")
	made := decode[struct{ ID, Value, Plan string }](t, out)
	if code != 0 || len(made.Value) != 40 || made.Plan != "gold" {
		t.Fatalf("exit %d: %s", code, out)
	}
	out, _, _ = execute(t, dir, "keys", "create", "ben")
	mustContain(t, out, "name  ben", "key   ", "It is not shown again.")
	text, err := os.ReadFile(app.KeysFile(data))
	if err != nil || strings.Contains(string(text), made.Value) {
		t.Errorf("%v: %s", err, text)
	}
	out, _, _ = execute(t, dir, "keys", "list")
	mustContain(t, out, "partner  gold  configuration  in force", made.ID+"  ann      gold  "+time.Now().UTC().Format(time.DateOnly), "ben      -")
	out, _, code = execute(t, dir, "access", "explain", "--header", "x-api-key: "+made.Value)
	mustContain(t, out, `the API key is "ann"'s (`+made.ID+")", "It passes.")
	if code != 0 {
		t.Errorf("exit %d", code)
	}

	today := time.Now().UTC().Truncate(24 * time.Hour).Unix()
	write(t, dir, "tapway-data/"+filepath.Base(app.UsageFile(data)), `{"version":1,"counts":[{"key":"`+made.ID+`","start":`+itoa(today)+`,"used":2},{"key":"partner","start":`+itoa(today-86400)+`,"used":3}]}`)
	out, _, _ = execute(t, dir, "keys", "usage", "--json")
	usage := decode[[]keyUsage](t, out)
	if len(usage) != 3 || usage[0].Name != "partner" || usage[0].Used != 0 || usage[1].Used != 2 || usage[1].Limit != 3 || usage[1].Resets.Unix() != today+86400 || usage[2].Limit != 0 {
		t.Errorf("%s", out)
	}
	out, _, _ = execute(t, dir, "keys", "usage", "ann")
	mustContain(t, out, "ann   gold  2     1")
	out, _, _ = execute(t, dir, "access", "explain", "--header", "x-api-key: "+made.Value)
	mustContain(t, out, "2 of 3 per DAY are used")

	out, _, _ = execute(t, dir, "keys", "revoke", "ann")
	mustContain(t, out, "ann ("+made.ID+") is revoked")
	out, _, code = execute(t, dir, "access", "explain", "--header", "x-api-key: "+made.Value)
	mustContain(t, out, "the API key is not known, or revoked")
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	out, _, _ = execute(t, dir, "keys", "list", "--json")
	if list := decode[[]listedKey](t, out); len(list) != 3 || list[1].Revoked == nil || list[2].Revoked != nil {
		t.Errorf("%s", out)
	}
	fails(t, dir, 1, `there is no API key "ann" in force; tapway keys list shows them`, "keys", "revoke", "ann")
	fails(t, dir, 1, "this key stands in the configuration; remove it there", "keys", "revoke", "partner")
	fails(t, dir, 1, `there is an API key "ben" already`, "keys", "create", "ben")
	fails(t, dir, 1, `there is no API key "zoe"`, "keys", "usage", "zoe")
	fails(t, dir, 2, `--plan: there is no usage plan "glod" in the configuration`, "keys", "create", "zoe", "--plan", "glod")
	fails(t, dir, 2, `"z o" is not a name`, "keys", "create", "z o")
	fails(t, dir, 2, "wants one name, got 0 arguments", "keys", "create")

	open := t.TempDir()
	write(t, open, "tapway.yaml", "backend: http://a\n")
	if err := os.Mkdir(filepath.Join(open, "tapway-data"), 0o700); err != nil {
		t.Fatal(err)
	}
	out, _, _ = execute(t, open, "keys", "create", "ann")
	mustContain(t, out, "No call needs a key so far: set access.api_key: required.")
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
