package lambdaapp

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/awsdynamo/dynamotest"
	"github.com/tapway/tapway/internal/cost"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// TestDailyCalls: the environments of a function count together; beyond the ceiling calls are answered 429, leave a
// record and make the metric that the alarm looks at.
func TestDailyCalls(t *testing.T) {
	table := new(dynamotest.Server)
	dynamo := httptest.NewServer(table)
	defer dynamo.Close()
	dir := t.TempDir()
	writeFile(t, dir+"/tapway.yaml", "access: {counters: \"dynamodb://counts/shop\", counters_wait: 5s}\nlimits: {daily_calls: 5}\n")
	for environment, want := range [][]int64{{200, 200, 200}, {200, 200, 429, 429}} {
		w := newWorld(t)
		f := w.start(Proxy, "TAPWAY_CONFIG="+dir+"/tapway.yaml", "AWS_ENDPOINT_URL_DYNAMODB="+dynamo.URL)
		for i, status := range want {
			event, err := eventtest.REST.Event(eventtest.Request{Target: "/x"})
			if err != nil {
				t.Fatal(err)
			}
			result := f.Do(t.Context(), invocation(event, 10*time.Second))
			f.settled(t)
			same(t, "status", gjson.GetBytes(result.Body, "statusCode").Int(), status)
			rec := w.sqs.Messages("records")[i].Body
			if status == 429 {
				same(t, "body", gjson.GetBytes(result.Body, "body").String(), `{"message":"Limit Exceeded"}`)
				same(t, "record's error", gjson.Get(rec, "error").String(), "ceiling: calls of the day")
				same(t, "record's origin", gjson.Get(rec, "origin").String(), "gateway")
			}
		}
		metrics, log := f.metrics.String(), f.log.String()
		same(t, "metrics", strings.Count(metrics, `"ceiling":1`), environment*2)
		same(t, "warnings", strings.Count(metrics, `"ceiling_near":1`), environment)
		same(t, "lines of the log", strings.Count(log, "ceiling is reached"), environment)
	}
	day := time.Now().UTC().Truncate(24 * time.Hour).Unix()
	same(t, "count", table.Count("counts/shop/quota/day/calls/"+strconv.FormatInt(day, 10)), 5)
}

// TestDailyCost: money is counted by what calls have cost, with the table's prices.
func TestDailyCost(t *testing.T) {
	table := new(dynamotest.Server)
	dynamo := httptest.NewServer(table)
	defer dynamo.Close()
	dir := t.TempDir()
	// 0.00002 dollars are 20,000 billionths; a call costs 3,700 for its requests, and its time.
	writeFile(t, dir+"/tapway.yaml", "access: {counters: \"dynamodb://counts\", counters_wait: 5s}\nlimits: {daily_cost: 0.00002}\n")
	w := newWorld(t)
	f := w.start(Proxy, "TAPWAY_CONFIG="+dir+"/tapway.yaml", "AWS_ENDPOINT_URL_DYNAMODB="+dynamo.URL)
	served := 0
	for range 8 {
		event, err := eventtest.REST.Event(eventtest.Request{Target: "/x"})
		if err != nil {
			t.Fatal(err)
		}
		result := f.Do(t.Context(), invocation(event, 10*time.Second))
		f.settled(t)
		if gjson.GetBytes(result.Body, "statusCode").Int() == http.StatusOK {
			served++
		}
	}
	if served < 3 || served > 6 {
		t.Errorf("%d calls were served", served)
	}
	if !strings.Contains(f.metrics.String(), `"ceiling":1`) {
		t.Error("there is no metric")
	}
}

// TestCountersAway: a table that is not there breaks no call, and its absence is logged once; or calls are refused
// as the configuration says.
func TestCountersAway(t *testing.T) {
	dynamo := httptest.NewServer(http.NotFoundHandler())
	defer dynamo.Close()
	for mode, want := range map[string]int64{"serve": 200, "refuse": 503} {
		dir := t.TempDir()
		writeFile(t, dir+"/tapway.yaml", "access: {counters: \"dynamodb://counts\", counters_wait: 5s, counters_on_failure: "+mode+"}\nlimits: {daily_calls: 5}\n")
		w := newWorld(t)
		f := w.start(Proxy, "TAPWAY_CONFIG="+dir+"/tapway.yaml", "AWS_ENDPOINT_URL_DYNAMODB="+dynamo.URL)
		for range 8 {
			event, err := eventtest.REST.Event(eventtest.Request{Target: "/x"})
			if err != nil {
				t.Fatal(err)
			}
			result := f.Do(t.Context(), invocation(event, 10*time.Second))
			f.settled(t)
			same(t, "status", gjson.GetBytes(result.Body, "statusCode").Int(), want)
		}
		same(t, "lines of the log", strings.Count(f.log.String(), "the shared counters cannot be reached"), 1)
	}
}

// TestPrice: the function's architecture and the call's front make the price.
func TestPrice(t *testing.T) {
	r := &access.Request{Call: &tapway.Call{Front: tapway.FrontREST}}
	same(t, "amd64", price(512, "amd64")(r, 40*time.Millisecond), cost.Table.CallNano("rest", "x86_64", 512, 50*time.Millisecond))
	same(t, "arm64", price(512, "arm64")(r, 40*time.Millisecond), cost.Table.CallNano("rest", "arm64", 512, 50*time.Millisecond))
}
