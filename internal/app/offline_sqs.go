package app

import (
	"context"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/spill"
)

// OfflineSQS is Offline for a queue on SQS: the admin API over it, without a process that
// captures or delivers. It makes no call before it is asked. To look at messages is to receive
// them; see sqsqueue.
func OfflineSQS(account *cloud.Account, c *config.Config, version string, log *slog.Logger) (*admin.Server, func(), error) {
	q, err := account.Queue(c, 0, log)
	if err != nil {
		return nil, nil, err
	}
	o := newOnce(version)
	s := &admin.Server{
		SQS: q, Version: version, Log: slog.New(slog.DiscardHandler), Deliver: o.deliver,
		Follow: func(ctx context.Context) iter.Seq2[*tapway.Exchange, error] { return peekAll(ctx, q) },
		Oldest: oldestInSQS(account, q),
	}
	if s.Spilled, err = spilledIn(account, c.Bucket); err != nil {
		return nil, nil, err
	}
	return s, func() {
		o.close()
		q.Close()
		account.Close()
	}, nil
}

// peekAll looks into the queues of all destinations side by side. A record that waits for
// several destinations comes once for each.
func peekAll(ctx context.Context, q *sqsqueue.Queue) iter.Seq2[*tapway.Exchange, error] {
	type look struct {
		ex  *tapway.Exchange
		err error
	}
	return func(yield func(*tapway.Exchange, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		looks := make(chan look)
		var all sync.WaitGroup
		defer all.Wait() // everything is given back before it returns
		defer cancel()
		for _, name := range q.Destinations() {
			all.Go(func() {
				for ex, err := range q.Peek(ctx, name) {
					select {
					case looks <- look{ex, err}:
					case <-ctx.Done():
						return
					}
				}
			})
		}
		for {
			select {
			case l := <-looks:
				if !yield(l.ex, l.err) || l.err != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// spilledIn counts the spilled records of a bucket by destination; nil without a bucket.
func spilledIn(account *cloud.Account, bucket string) (func(context.Context) (map[string]uint64, error), error) {
	if bucket == "" {
		return nil, nil
	}
	blobs, err := account.Blobs(bucket)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (map[string]uint64, error) {
		counts := map[string]uint64{}
		for key, err := range blobs.List(ctx, spill.Prefix) {
			if err != nil {
				return nil, err
			}
			destination, _, ok := strings.Cut(strings.TrimPrefix(key, spill.Prefix), "/")
			if ok {
				counts[destination]++
			}
		}
		return counts, nil
	}, nil
}

// oldestInSQS asks CloudWatch for the age of a queue's oldest message, which is a few minutes
// old itself. Where CloudWatch does not answer, or the role may not ask, the age is not known.
func oldestInSQS(account *cloud.Account, q *sqsqueue.Queue) func(ctx context.Context, destination string) time.Time {
	client, err := account.CloudWatch()
	if err != nil {
		return nil
	}
	queues := q.Queues()
	return func(ctx context.Context, destination string) time.Time {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		now := time.Now()
		out, err := client.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
			Namespace: aws.String("AWS/SQS"), MetricName: aws.String("ApproximateAgeOfOldestMessage"),
			Dimensions: []types.Dimension{{Name: aws.String("QueueName"), Value: aws.String(queueName(queues[destination]))}},
			StartTime:  aws.Time(now.Add(-10 * time.Minute)), EndTime: &now, Period: aws.Int32(60),
			Statistics: []types.Statistic{types.StatisticMaximum},
		})
		if err != nil {
			return time.Time{}
		}
		var newest types.Datapoint
		for _, p := range out.Datapoints {
			if aws.ToTime(p.Timestamp).After(aws.ToTime(newest.Timestamp)) {
				newest = p
			}
		}
		age := time.Duration(aws.ToFloat64(newest.Maximum) * float64(time.Second))
		if newest.Timestamp == nil || age == 0 {
			return time.Time{}
		}
		return newest.Timestamp.Add(-age)
	}
}

// queueName is the last part of a queue's name, URL or ARN.
func queueName(ref string) string {
	return ref[strings.LastIndexAny(ref, "/:")+1:]
}
