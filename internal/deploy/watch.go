package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Watcher sees where records are, from outside: the counts of SQS, which are a few seconds old,
// and the functions' metrics, which come minutes late.
type Watcher struct {
	SQS        *sqs.Client
	CloudWatch *cloudwatch.Client // nil: no metrics
	Outputs    *Outputs
}

// Depth is how many records are where, for one destination.
type Depth struct {
	Destination string `json:"destination"`
	Waiting     int    `json:"waiting"`
	UnderWay    int    `json:"under_way"`
	Dead        int    `json:"dead"`
}

// Depths asks SQS about every destination.
func (w *Watcher) Depths(ctx context.Context) ([]Depth, error) {
	var all []Depth
	for _, name := range slices.Sorted(maps.Keys(w.Outputs.Queues)) {
		d := Depth{Destination: name}
		for queue, to := range map[string][2]*int{w.Outputs.Queues[name]: {&d.Waiting, &d.UnderWay}, w.Outputs.DeadLetterQueues[name]: {&d.Dead, nil}} {
			if queue == "" {
				continue
			}
			out, err := w.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []sqstypes.QueueAttributeName{
				sqstypes.QueueAttributeNameApproximateNumberOfMessages, sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible, sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed,
			}})
			if err != nil {
				return nil, fmt.Errorf("the queue of %s: %w", name, err)
			}
			for attribute, n := range map[sqstypes.QueueAttributeName]*int{
				sqstypes.QueueAttributeNameApproximateNumberOfMessages: to[0], sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed: to[0],
				sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible: to[1],
			} {
				more, _ := strconv.Atoi(out.Attributes[string(attribute)])
				if n != nil {
					*n += more
				}
			}
		}
		all = append(all, d)
	}
	return all, nil
}

// Sum is the sum of one of the functions' metrics since a moment; known is false while CloudWatch
// has nothing, or does not answer. extra are dimensions besides function and role.
func (w *Watcher) Sum(ctx context.Context, metric, function, role string, since time.Time, extra map[string]string) (n int, known bool) {
	if w.CloudWatch == nil {
		return 0, false
	}
	dimensions := []types.Dimension{{Name: aws.String("function"), Value: &function}, {Name: aws.String("role"), Value: &role}}
	for name, value := range extra {
		dimensions = append(dimensions, types.Dimension{Name: &name, Value: &value})
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := w.CloudWatch.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("tapway"), MetricName: &metric, Dimensions: dimensions, Statistics: []types.Statistic{types.StatisticSum},
		StartTime: aws.Time(since.Truncate(time.Minute)), EndTime: aws.Time(time.Now().Add(time.Minute)), Period: aws.Int32(60),
	})
	if err != nil || len(out.Datapoints) == 0 {
		return 0, false
	}
	for _, p := range out.Datapoints {
		n += int(aws.ToFloat64(p.Sum))
	}
	return n, true
}
