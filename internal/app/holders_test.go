package app

import (
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesAreOurs: nobody else on the machine may read or change anything that tapway stores.
func TestFilesAreOurs(t *testing.T) {
	dir := t.TempDir()
	backend := httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	w := newWorldIn(t, "data: "+dir+"/data\nbackend: "+backend+"\ncapture: {memory: 64KiB}\ndestinations: [{name: siem, url: \"http://127.0.0.1:1/\"}]\n"+
		"access: {usage_plans: [{name: gold, quota: {limit: 100, period: DAY}}], api_keys: [{name: shop, value: a-key-of-20-or-more-characters, plan: gold}]}\n")
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.url+"/x", strings.NewReader(strings.Repeat("b", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", "a-key-of-20-or-more-characters")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	w.stop()
	files := 0
	err = filepath.WalkDir(filepath.Join(dir, "data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the permissions %v", strings.TrimPrefix(path, dir), info.Mode().Perm())
		}
		files++
		return err
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}
}

// TestAdminTellsNoSecret: whoever may ask the admin address is told nothing that the configuration keeps secret.
func TestAdminTellsNoSecret(t *testing.T) {
	const secret, signing = "0pensesame-0123456789", "whsec_MHBlbnNlc2FtZS0wMTIzNDU2Nzg5MDEyMw=="
	backend := httpBackend(t, http.HandlerFunc(hello))
	w := newWorldIn(t, "data: "+t.TempDir()+"/data\nbackend: "+backend+"\nlog: {calls: true}\nproxy: {debug: true}\n"+`
destinations: [{name: siem, url: "http://127.0.0.1:1/in", headers: {Authorization: "Bearer `+secret+`", X-Own: `+secret+`}, signing_secret: `+signing+`}]
access:
  api_keys: [{name: shop, value: `+secret+`-key}]
alarms:
  disk: {off: true}
  smtp: {host: 127.0.0.1, port: 1, username: ops, password: `+secret+`, from: a@example.com}
  notify:
    - {name: chat, webhook: "http://127.0.0.1:1/`+secret+`", format: slack}
    - {name: mail, email: ops@example.com}
`)
	if status, _, _ := askWith(t, w.url+"/x", "X-Api-Key", secret+"-key"); status != 200 {
		t.Fatalf("status %d", status)
	}
	told := 0
	look := func(what, text string) {
		told += len(text)
		if strings.Contains(text, secret) || strings.Contains(text, strings.TrimPrefix(signing, "whsec_")) {
			t.Errorf("%s tells a secret: %s", what, text)
		}
	}
	admin := "http://" + w.app.AdminAddr()
	until(t, "a failed attempt", func() bool { return w.app.destinations.live()[0].State().LastError != "" })
	for _, path := range []string{"exchanges", "export", "source", "queue", "ledger", "charts?range=15m", "keys", "cache", "alarms", "place", "deadletters", "filter/fields"} {
		_, text := call(t, admin+"/api/v1/"+path)
		look(path, text)
	}
	for _, path := range []string{"/metrics", "/readyz", "/healthz", "/api/v1/session"} {
		_, text := call(t, admin+path)
		look(path, text)
	}
	resp, err := http.Post(admin+"/api/v1/alarms/test", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || !strings.Contains(string(text), "chat") {
		t.Errorf("%d %s, %v", resp.StatusCode, text, err)
	}
	look("the test of alarms", string(text))
	w.stop()
	look("the log", w.log.String())
	if told < 5000 {
		t.Errorf("%d bytes were told: this test asks nothing", told)
	}
}
