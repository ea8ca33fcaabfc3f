package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/awsdynamo/dynamotest"
)

// TestKeysUsageShared: with a shared table usage and explain show what all processes have counted.
func TestKeysUsageShared(t *testing.T) {
	table := new(dynamotest.Server)
	dynamo := httptest.NewServer(table)
	defer dynamo.Close()
	for name, value := range map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL_DYNAMODB": dynamo.URL} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tapway-data"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "backend: http://127.0.0.1:1\naccess:\n  counters: dynamodb://counts/shop\n  usage_plans: [{name: gold, quota: {limit: 100, period: DAY}}]\n" +
		"  api_keys: [{name: partner, value: partner-0123456789abcdefghij, plan: gold}]\nlimits: {daily_calls: 500}\n"
	if err := os.WriteFile(filepath.Join(dir, "tapway.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	day := itoa(time.Now().UTC().Truncate(24 * time.Hour).Unix())
	table.Set("counts/shop/quota/partner/"+day, 42)
	table.Set("counts/shop/quota/day/calls/"+day, 500)
	out, complaint, code := execute(t, dir, "keys", "usage")
	if code != 0 || !strings.Contains(out, "42") || !strings.Contains(out, "58") {
		t.Errorf("%d: %s %s", code, out, complaint)
	}
	out, _, code = execute(t, dir, "access", "explain", "--header", "X-Api-Key: partner-0123456789abcdefghij")
	if code != 1 || !strings.Contains(out, "500 of 500 calls are used until") {
		t.Errorf("%d: %s", code, out)
	}
	// A key that is on two machines counts once for both.
	other := t.TempDir()
	if err := os.Mkdir(filepath.Join(other, "tapway-data"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, other, "tapway.yaml", text)
	out, _, _ = execute(t, dir, "keys", "create", "ann", "--plan", "gold", "--json")
	made := decode[struct{ ID, Value string }](t, out)
	if _, _, err := access.CreateKey(app.KeysFile(filepath.Join(other, "tapway-data")), "ann", "gold", made.Value, time.Now()); err != nil {
		t.Fatal(err)
	}
	table.Set("counts/shop/quota/"+made.ID+"/"+day, 7)
	for _, machine := range []string{dir, other} {
		out, _, _ = execute(t, machine, "keys", "usage", "ann")
		mustContain(t, out, made.ID, "7     93")
		out, _, _ = execute(t, machine, "keys", "migrate")
		mustContain(t, out, "All keys have the IDs that they have on every machine.")
	}
	file := app.KeysFile(filepath.Join(other, "tapway-data"))
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(old), made.ID, "abcdefghij", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	table.Set("counts/shop/quota/abcdefghij/"+day, 5)
	out, _, _ = execute(t, other, "keys", "migrate", "--json")
	mustContain(t, out, `"before": "abcdefghij"`, `"id": "`+made.ID+`"`)
	out, _, _ = execute(t, other, "keys", "usage", "ann") // what it has used goes along, once
	mustContain(t, out, made.ID, "12    88")
	execute(t, other, "keys", "migrate")
	out, _, _ = execute(t, dir, "keys", "usage", "ann")
	mustContain(t, out, made.ID, "12    88")
	if err := os.WriteFile(file, []byte(strings.Replace(string(old), made.ID, "klmnopqrst", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	dynamo.Close()
	fails(t, other, 1, "take along what ann has used", "keys", "migrate")
	if now, err := os.ReadFile(file); err != nil || !strings.Contains(string(now), "klmnopqrst") {
		t.Errorf("a migration that failed has changed the file: %v", err)
	}
	fails(t, dir, 1, "read what the API keys have used, of dynamodb://counts/shop", "keys", "usage")
}
