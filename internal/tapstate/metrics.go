package tapstate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapway/tapway/internal/attach"
)

// Function is what Lambda counted of a function in the window.
type Function struct {
	Name        string   `json:"name"`
	Invocations *float64 `json:"invocations"`
	Errors      *float64 `json:"errors"`
	Throttles   *float64 `json:"throttles"`
}

// Ledger is what the functions' own metrics add up to in the window.
type Ledger struct {
	Calls        *float64    `json:"calls"`
	Captured     *float64    `json:"captured"` // spilled and logged ones among them
	Spilled      *float64    `json:"spilled"`  // in the bucket, not on the queue
	Logged       *float64    `json:"logged"`   // in the log only
	LeftOut      *float64    `json:"left_out"` // by a rule
	Lost         *float64    `json:"lost"`
	Destinations []Delivered `json:"destinations"`
}

// Delivered is what the forwarder did with the records of one destination.
type Delivered struct {
	Destination string   `json:"destination"`
	Delivered   *float64 `json:"delivered"`
	Returned    *float64 `json:"returned"` // to the queue, to be tried again
	Dead        *float64 `json:"dead"`
	Filtered    *float64 `json:"filtered"` // not wanted by the destination's filter
}

// wanted is one metric, and where its value goes.
type wanted struct {
	query  types.MetricDataQuery
	to     **float64
	newest time.Time // of the latest value, where that is wanted and not the sum
	latest bool
}

type asker struct {
	all    []wanted
	period int32
}

// ask adds a metric; dimensions are pairs of name and value.
func (a *asker) ask(to **float64, namespace, metric string, statistic types.Statistic, dimensions ...string) {
	m := &types.Metric{Namespace: &namespace, MetricName: &metric}
	for i := 0; i+1 < len(dimensions); i += 2 {
		m.Dimensions = append(m.Dimensions, types.Dimension{Name: &dimensions[i], Value: &dimensions[i+1]})
	}
	period := a.period
	if statistic == types.StatisticMaximum {
		period = 60
	}
	a.all = append(a.all, wanted{to: to, latest: statistic == types.StatisticMaximum, query: types.MetricDataQuery{
		Id: aws.String(fmt.Sprintf("m%d", len(a.all))), MetricStat: &types.MetricStat{Metric: m, Period: &period, Stat: aws.String(string(statistic))},
	}})
}

// fresh is how old the age of the oldest message may be: SQS tells it once a minute, and
// CloudWatch some minutes later.
const fresh = 15 * time.Minute

// most is how many metrics one call may ask for.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
const most = 500

// metrics reads the ages of the queues, the functions' counts and the ledger.
func (r *Reader) metrics(ctx context.Context, t Tap, s *State) {
	ages, counts := &asker{}, &asker{period: r.period()}
	s.Ledger.Destinations = make([]Delivered, len(s.Queues))
	for i := range s.Queues {
		q, d := &s.Queues[i], &s.Ledger.Destinations[i]
		ages.ask(&q.OldestAge, "AWS/SQS", "ApproximateAgeOfOldestMessage", types.StatisticMaximum, "QueueName", q.Name)
		d.Destination = q.Destination
		if t.Forwarder == "" {
			continue
		}
		of := func(to **float64, metric string, more ...string) {
			counts.ask(to, "tapway", metric, types.StatisticSum, append([]string{"function", t.Forwarder, "role", "forwarder", "destination", q.Destination}, more...)...)
		}
		of(&d.Delivered, "delivered")
		of(&d.Returned, "returned")
		of(&d.Dead, "dead")
		of(&d.Filtered, "dropped", "reason", "filtered")
	}
	for _, name := range []string{t.Proxy, t.Forwarder} {
		if name != "" {
			s.Functions = append(s.Functions, Function{Name: name})
		}
	}
	for i := range s.Functions {
		f := &s.Functions[i]
		counts.ask(&f.Invocations, "AWS/Lambda", "Invocations", types.StatisticSum, "FunctionName", f.Name)
		counts.ask(&f.Errors, "AWS/Lambda", "Errors", types.StatisticSum, "FunctionName", f.Name)
		counts.ask(&f.Throttles, "AWS/Lambda", "Throttles", types.StatisticSum, "FunctionName", f.Name)
	}
	if t.Proxy != "" {
		of := func(to **float64, metric string, more ...string) {
			counts.ask(to, "tapway", metric, types.StatisticSum, append([]string{"function", t.Proxy, "role", "proxy"}, more...)...)
		}
		l := &s.Ledger
		of(&l.Calls, "calls")
		of(&l.Captured, "captured")
		of(&l.Spilled, "spilled")
		of(&l.Logged, "logged")
		of(&l.Lost, "lost")
		of(&l.LeftOut, "dropped", "reason", "sampled")
	}
	if err := r.read(ctx, ages, fresh); err != nil {
		s.unread("ages of the oldest messages", attach.Failed("read the metrics", err))
	}
	if err := r.read(ctx, counts, r.window()); err != nil {
		s.unread("functions and ledger", attach.Failed("read the metrics", err))
	}
}

// period is the shortest that keeps the answer small.
func (r *Reader) period() int32 {
	switch w := r.window(); {
	case w <= 6*time.Hour:
		return 60
	case w <= 3*24*time.Hour:
		return 300
	}
	return 3600
}

// read fills in what CloudWatch has of a window up to now.
func (r *Reader) read(ctx context.Context, a *asker, window time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	end := r.now().Truncate(time.Minute).Add(time.Minute) // the minute that is under way too
	for from := 0; from < len(a.all); from += most {
		part := a.all[from:min(from+most, len(a.all))]
		in := &cloudwatch.GetMetricDataInput{StartTime: aws.Time(end.Add(-window)), EndTime: &end}
		for i := range part {
			in.MetricDataQueries = append(in.MetricDataQueries, part[i].query)
		}
		pages := cloudwatch.NewGetMetricDataPaginator(r.CloudWatch, in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, result := range page.MetricDataResults {
				if code := result.StatusCode; code == types.StatusCodeInternalError || code == types.StatusCodeForbidden {
					return fmt.Errorf("CloudWatch answers %s%s", code, messages(result.Messages))
				}
				for i := range part {
					if aws.ToString(part[i].query.Id) == aws.ToString(result.Id) {
						part[i].take(result)
					}
				}
			}
		}
	}
	return nil
}

func messages(all []types.MessageData) string {
	var b strings.Builder
	for _, m := range all {
		b.WriteString(": " + aws.ToString(m.Value))
	}
	return b.String()
}

// take adds values, or keeps the latest.
func (w *wanted) take(result types.MetricDataResult) {
	for i, v := range result.Values {
		var at time.Time
		if i < len(result.Timestamps) {
			at = result.Timestamps[i]
		}
		switch {
		case *w.to == nil:
			*w.to, w.newest = &v, at
		case !w.latest:
			**w.to += v
		case at.After(w.newest):
			*w.to, w.newest = &v, at
		}
	}
}
