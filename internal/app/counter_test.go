package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/awsdynamo/dynamotest"
	"github.com/tapway/tapway/internal/config"
)

// TestSharedCounters: two gateways keep a quota and a ceiling together; what they reserved and did not use
// goes back when they end.
func TestSharedCounters(t *testing.T) {
	table := new(dynamotest.Server)
	dynamo := httptest.NewServer(table)
	defer dynamo.Close()
	for name, value := range map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL_DYNAMODB": dynamo.URL} {
		t.Setenv(name, value)
	}
	backend := httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	yaml := "backend: " + backend + `
limits: {daily_calls: 8}
access:
  counters: dynamodb://counts
  counters_wait: 10s
  usage_plans: [{name: gold, quota: {limit: 5, period: DAY}}]
  api_keys: [{name: partner, value: ` + partnerKey + `, plan: gold}]
  routes: [{match: /open, api_key: off}]
`
	one, two := newWorld(t, yaml), newWorld(t, yaml)
	for i, tt := range []struct {
		w      *world
		path   string
		status int
		reason any
	}{
		{one, "/x", 200, nil}, {two, "/x", 200, nil}, {one, "/x", 200, nil}, {two, "/x", 200, nil}, {one, "/x", 200, nil},
		{two, "/x", 429, "quota: usage plan"}, {one, "/x", 429, "quota: usage plan"},
		{two, "/open", 200, nil}, {one, "/open", 200, nil}, {two, "/open", 200, nil},
		{two, "/open", 429, "ceiling: calls of the day"}, {one, "/open", 429, "ceiling: calls of the day"},
	} {
		status, _, _ := askWith(t, tt.w.url+tt.path, "X-Api-Key", partnerKey)
		if status != tt.status {
			t.Errorf("call %d: %d", i, status)
		}
	}
	if rec := one.sink.next(t, 5); fmt.Sprint(rec["error"]) != "ceiling: calls of the day" || rec["origin"] != "gateway" {
		t.Errorf("record: %v, %v", rec["error"], rec["origin"])
	}
	_, metrics := call(t, "http://"+one.app.AdminAddr()+"/metrics")
	if !strings.Contains(metrics, `tapway_refused_total{rule="ceiling"} 1`) {
		t.Error("the metrics lack the ceiling")
	}
	one.stop()
	two.stop()
	day := time.Now().UTC().Truncate(24 * time.Hour).Unix()
	if keys, calls := table.Count(fmt.Sprintf("counts/quota/partner/%d", day)), table.Count(fmt.Sprintf("counts/quota/day/calls/%d", day)); keys != 5 || calls != 8 {
		t.Errorf("the table has %d of the key, %d of the day", keys, calls)
	}
}

// TestCostOnServe: a machine has no price of a call, and says so.
func TestCostOnServe(t *testing.T) {
	text := "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\ndata: " + t.TempDir() + "\nbackend: http://127.0.0.1:1\nlimits: {daily_cost: 5}\n"
	c, err := config.Load(config.Source{File: "test.yaml", Text: []byte(text), Getenv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(c, Options{}); err == nil || !strings.Contains(err.Error(), "set limits.daily_calls here") {
		t.Error(err)
	}
}
