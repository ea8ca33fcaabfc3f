package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// vault is Secrets Manager: it has the secrets that it is given and notes what it is asked for.
type vault struct {
	mu      sync.Mutex
	secrets map[string]string
	asked   []string
}

func newVault(t *testing.T, secrets map[string]string) *vault {
	v := &vault{secrets: secrets}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_PROFILE": "", "AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hunter2-key", "AWS_ENDPOINT_URL_SECRETS_MANAGER": server.URL,
	} {
		t.Setenv(name, value)
	}
	return v
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var in struct{ SecretId string }
	_ = json.Unmarshal(body, &in)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = append(v.asked, in.SecretId)
	value, ok := v.secrets[in.SecretId]
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"ResourceNotFoundException"}`)
		return
	}
	json.NewEncoder(w).Encode(map[string]string{"SecretString": value})
}

func (v *vault) set(name, value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.secrets[name] = value; value == "" {
		delete(v.secrets, name)
	}
}

// take gives what was asked for since the last time.
func (v *vault) take() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	asked := v.asked
	v.asked = nil
	slices.Sort(asked)
	return asked
}

// TestSecretsFromAWS: serve looks them up at its start and at each reload; a command that reads its
// state only what it needs; and without a way to AWS a file can still be checked.
func TestSecretsFromAWS(t *testing.T) {
	v := newVault(t, map[string]string{"siem": "hunter2-one", "admin": `{"token":"hunter2-admin"}`})
	got := make(chan string, 10)
	destination := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Authorization") }))
	defer destination.Close()
	w := newWorld(t, "")
	w.configure(t, fmt.Sprintf(`
admin: {listen: 127.0.0.1:0, token: "${aws-secretsmanager:admin#token}"}
backend: %s
destinations: [{name: siem, url: %s, headers: {Authorization: "Bearer ${aws-secretsmanager:siem}"}}]
`, w.backend.URL, destination.URL))

	out, errOut, code := execute(t, w.dir, "config", "check")
	if code != 0 || out != "tapway.yaml: good.\n" || errOut != "tapway: not looked up: ${aws-secretsmanager:admin#token}, ${aws-secretsmanager:siem}; --secrets does\n" {
		t.Errorf("check: exit %d, %q, %q", code, out, errOut)
	}
	if asked := v.take(); len(asked) > 0 {
		t.Errorf("check has asked for %q", asked)
	}
	must(t, w.dir, "config", "check", "--secrets")
	if asked := v.take(); !slices.Equal(asked, []string{"admin", "siem"}) {
		t.Errorf("check --secrets has asked for %q", asked)
	}

	g := serve(t, w.dir)
	g.calls(t, "/a")
	if header := <-got; header != "Bearer hunter2-one" {
		t.Errorf("delivered with %q", header)
	}
	v.take()
	must(t, w.dir, "ledger")
	if asked := v.take(); !slices.Equal(asked, []string{"admin"}) {
		t.Errorf("ledger has asked for %q", asked)
	}
	v.set("siem", "hunter2-two")
	g.hangup(t, "reloaded")
	g.calls(t, "/b")
	if header := <-got; header != "Bearer hunter2-two" {
		t.Errorf("delivered after a reload with %q", header)
	}
	v.set("siem", "")
	g.hangup(t, "reload refused")
	g.calls(t, "/c")
	if header := <-got; header != "Bearer hunter2-two" {
		t.Errorf("delivered after a reload that failed with %q", header)
	}
	g.stop(t)
	if log := g.log.String(); strings.Contains(log, "hunter2") || !strings.Contains(log, "${aws-secretsmanager:siem}: ResourceNotFoundException") {
		t.Errorf("the log holds a secret, or not why the reload was refused: %s", log)
	}
	fails(t, w.dir, 1, "destinations[0].headers.Authorization: ${aws-secretsmanager:siem}: ResourceNotFoundException; check its name", "config", "check", "--secrets")
	t.Setenv("AWS_REGION", "")
	fails(t, w.dir, 1, "${aws-secretsmanager:siem}: no AWS region is known; set AWS_REGION", "serve")
}
