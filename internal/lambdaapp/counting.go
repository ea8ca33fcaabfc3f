package lambdaapp

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awsdynamo"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/cost"
	"github.com/tapway/tapway/internal/emf"
	"github.com/tapway/tapway/internal/sharedcount"
)

// settleTime bounds the wait for requests to the counters' table before an environment may freeze.
const settleTime = time.Second

// sendTime is what a call is billed for after its handler has returned: the reply, the record, the metrics. It is an estimate.
const sendTime = 10 * time.Millisecond

// counting is by what the access rules count, and what they tell.
type counting struct {
	counter access.Counter
	shared  *sharedcount.Counter // nil: the environment counts for itself
	price   func(r *access.Request, took time.Duration) int64
	refused func(rule string)
	near    func()
}

// newCounting makes the counters. memory is the function's in bytes, 0 if not known.
func newCounting(c *config.Config, cloud *cloud, getenv func(string) string, m *metrics, log *slog.Logger, memory int64) (counting, error) {
	out := counting{
		near: func() { m.out.Add("ceiling_near", emf.Count, 1) },
		refused: func(rule string) {
			if rule == "ceiling" {
				m.out.Add(rule, emf.Count, 1)
			}
		},
	}
	if c.Limits.DailyCost > 0 {
		if memory == 0 {
			return out, settingsf("limits.daily_cost: AWS_LAMBDA_FUNCTION_MEMORY_SIZE is not set, so the price of a call is not known; set limits.daily_calls")
		}
		if region := getenv("AWS_REGION"); !cost.Table.For(region) {
			log.Warn("limits.daily_cost is reckoned by the prices of other regions; yours may be up to a third higher", "region", region, "prices_of", cost.Table.Date, "prices_for", cost.Table.Regions)
		}
		out.price = price(int(memory>>20), runtime.GOARCH)
	}
	table, prefix := c.Access.CounterTable()
	if table == "" {
		counter, err := access.OpenCounter("", log)
		out.counter = counter
		return out, err
	}
	endpoint, err := awsbase.Endpoint(getenv, "DYNAMODB")
	if err != nil {
		return out, &SettingsError{err.Error()}
	}
	cfg := cloud.base
	cfg.HTTPClient = nil // it has one that knows of functions' sleeps
	out.shared = &sharedcount.Counter{
		Store: awsdynamo.New(cfg, endpoint, table), Prefix: prefix, Wait: c.Access.CountersWait.D(), Refuse: c.Access.CountersFailure == "refuse", Log: log,
	}
	out.counter = out.shared
	return out, nil
}

// price makes what reckons the price of a call.
func price(memory int, arch string) func(r *access.Request, took time.Duration) int64 {
	architecture := "arm64"
	if arch == "amd64" {
		architecture = "x86_64"
	}
	return func(r *access.Request, took time.Duration) int64 {
		return cost.Table.CallNano(string(r.Call.Front), architecture, memory, took+sendTime)
	}
}

// settle waits for what the counters have asked of their table: a frozen environment would take the answer
// for lost.
func (c counting) settle(ctx context.Context) {
	if c.shared == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	c.shared.Settle(ctx)
}
