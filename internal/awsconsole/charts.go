package awsconsole

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapway/tapway/internal/attach"
)

// charts are CloudWatch's figures of a span of time, in steps.
type charts struct {
	Step   string       `json:"step"` // "1m", "5m" or "1h"
	Points []chartPoint `json:"points"`
}

// chartPoint is a step. Times are milliseconds that the backend took, missing where it was not asked.
type chartPoint struct {
	At     time.Time `json:"at"`
	Calls  float64   `json:"calls"`
	Errors float64   `json:"errors"` // of the proxy function

	P50 *float64 `json:"p50,omitempty"`
	P90 *float64 `json:"p90,omitempty"`
	P99 *float64 `json:"p99,omitempty"`

	Delivered float64 `json:"delivered"` // to all destinations
	Returned  float64 `json:"returned"`  // to their queues, to be tried again
	Dead      float64 `json:"dead"`
}

// chartsAt is a charts' answer, for those who ask for the same time within a minute.
type chartsAt struct {
	span time.Duration
	end  time.Time
	got  *charts
}

// longest is how far back charts go: CloudWatch keeps steps of an hour for 455 days, but nobody
// looks at 720 bars of a month and more.
const longest = 31 * 24 * time.Hour

// stepOf gives a readable number of points that CloudWatch still has: steps of a minute are kept
// for fifteen days, of five minutes for 63.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#metrics-retention
func stepOf(span time.Duration) (time.Duration, string) {
	switch {
	case span <= 6*time.Hour:
		return time.Minute, "1m"
	case span <= 36*time.Hour:
		return 5 * time.Minute, "5m"
	}
	return time.Hour, "1h"
}

// answerCharts tells what ?from= to ?to= (RFC 3339; the last quarter of an hour without them) brought.
func (c *Console) answerCharts(w http.ResponseWriter, r *http.Request) {
	to, from := time.Now(), time.Time{}
	for name, at := range map[string]*time.Time{"to": &to, "from": &from} {
		if text := r.URL.Query().Get(name); text != "" {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				writeJSON(w, http.StatusBadRequest, map[string]string{"message": name + ": " + err.Error()})
				return
			}
			*at = t
		}
	}
	if from.IsZero() {
		from = to.Add(-15 * time.Minute)
	}
	if span := to.Sub(from); span <= 0 || span > longest {
		writeJSON(w, http.StatusBadRequest, map[string]string{"message": fmt.Sprintf("from must be before to, and not more than %d days", longest/(24*time.Hour))})
		return
	}
	got, err := c.charts(r.Context(), from, to)
	if err != nil {
		writeError(w, http.StatusBadGateway, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, got)
}

// charts asks CloudWatch, once a minute for the same span.
func (c *Console) charts(ctx context.Context, from, to time.Time) (*charts, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	step, name := stepOf(to.Sub(from))
	end := to.Truncate(step).Add(step) // the step that is under way too
	span := (to.Sub(from) + step - 1).Truncate(step)
	if k := c.charted; k.got != nil && k.span == span && k.end.Equal(end) {
		return k.got, nil
	}
	got := &charts{Step: name, Points: make([]chartPoint, int(span/step))}
	begin := end.Add(-span)
	for i := range got.Points {
		got.Points[i].At = begin.Add(time.Duration(i) * step).UTC()
	}
	asked := c.chartQueries(int32(step / time.Second))
	in := &cloudwatch.GetMetricDataInput{StartTime: &begin, EndTime: &end}
	for i := range asked {
		asked[i].query.Id = aws.String(fmt.Sprintf("c%d", i))
		in.MetricDataQueries = append(in.MetricDataQueries, asked[i].query)
	}
	for pages := cloudwatch.NewGetMetricDataPaginator(c.o.Reader.CloudWatch, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, attach.Failed("read the metrics", err)
		}
		for _, result := range page.MetricDataResults {
			for i := range asked {
				if aws.ToString(asked[i].query.Id) != aws.ToString(result.Id) {
					continue
				}
				for n, at := range result.Timestamps {
					if place := int(at.Sub(begin) / step); n < len(result.Values) && !at.Before(begin) && place < len(got.Points) {
						asked[i].take(&got.Points[place], result.Values[n])
					}
				}
			}
		}
	}
	c.charted = chartsAt{span, end, got}
	return got, nil
}

// chartQuery is a metric, and where its values go.
type chartQuery struct {
	query types.MetricDataQuery
	take  func(p *chartPoint, v float64)
}

// chartQueries are the metrics of the tap: what the proxy counted, and what became of the records.
func (c *Console) chartQueries(period int32) (all []chartQuery) {
	ask := func(take func(*chartPoint, float64), namespace, metric, stat string, dimensions ...string) {
		m := &types.Metric{Namespace: &namespace, MetricName: &metric}
		for i := 0; i+1 < len(dimensions); i += 2 {
			m.Dimensions = append(m.Dimensions, types.Dimension{Name: &dimensions[i], Value: &dimensions[i+1]})
		}
		all = append(all, chartQuery{types.MetricDataQuery{MetricStat: &types.MetricStat{Metric: m, Period: &period, Stat: &stat}}, take})
	}
	if proxy := c.o.Tap.ProxyName(); proxy != "" {
		of := []string{"function", proxy, "role", "proxy"}
		ask(func(p *chartPoint, v float64) { p.Calls += v }, "tapway", "calls", "Sum", of...)
		ask(func(p *chartPoint, v float64) { p.Errors += v }, "AWS/Lambda", "Errors", "Sum", "FunctionName", proxy)
		ask(func(p *chartPoint, v float64) { p.P50 = &v }, "tapway", "backend_ms", "p50", of...)
		ask(func(p *chartPoint, v float64) { p.P90 = &v }, "tapway", "backend_ms", "p90", of...)
		ask(func(p *chartPoint, v float64) { p.P99 = &v }, "tapway", "backend_ms", "p99", of...)
	}
	if forwarder := c.o.Tap.ForwarderName(); forwarder != "" {
		for _, destination := range c.queue.Destinations() {
			of := []string{"function", forwarder, "role", "forwarder", "destination", destination}
			ask(func(p *chartPoint, v float64) { p.Delivered += v }, "tapway", "delivered", "Sum", of...)
			ask(func(p *chartPoint, v float64) { p.Returned += v }, "tapway", "returned", "Sum", of...)
			ask(func(p *chartPoint, v float64) { p.Dead += v }, "tapway", "dead", "Sum", of...)
		}
	}
	return all
}
