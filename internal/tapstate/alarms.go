package tapstate

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapway/tapway/internal/attach"
)

// Alarm is one of CloudWatch's.
type Alarm struct {
	Name        string    `json:"name"`
	State       string    `json:"state"` // ALARM, INSUFFICIENT_DATA, OK
	Since       time.Time `json:"since"`
	Description string    `json:"description,omitempty"`
}

// alarms finds the alarms whose names begin with the project's.
func (r *Reader) alarms(ctx context.Context, t Tap, s *State) {
	if t.Project == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	pages := cloudwatch.NewDescribeAlarmsPaginator(r.CloudWatch, &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: aws.String(t.Project + "-")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			s.unread("alarms", attach.Failed("read the alarms", err))
			return
		}
		for _, a := range page.MetricAlarms {
			if !s.anothers(t, a.Dimensions) {
				s.Alarms = append(s.Alarms, Alarm{aws.ToString(a.AlarmName), string(a.StateValue), aws.ToTime(a.StateUpdatedTimestamp), aws.ToString(a.AlarmDescription)})
			}
		}
	}
	order := []types.StateValue{types.StateValueAlarm, types.StateValueInsufficientData, types.StateValueOk}
	slices.SortStableFunc(s.Alarms, func(a, b Alarm) int {
		return cmp.Or(cmp.Compare(slices.Index(order, types.StateValue(a.State)), slices.Index(order, types.StateValue(b.State))), strings.Compare(a.Name, b.Name))
	})
	for _, a := range s.Alarms {
		if a.State == string(types.StateValueAlarm) {
			text := a.Description
			if text != "" {
				text = ": " + text
			}
			s.problem("alarm %s%s", a.Name, text)
		}
	}
}

// anothers reports whether an alarm is about a queue or a function of another tap, whose name
// begins with this one's: shop-two beside shop.
func (s *State) anothers(t Tap, dimensions []types.Dimension) bool {
	for _, d := range dimensions {
		value := aws.ToString(d.Value)
		switch aws.ToString(d.Name) {
		case "QueueName":
			if len(s.Queues) > 0 && !slices.ContainsFunc(s.Queues, func(q Queue) bool { return value == q.Name || value == q.DeadLetterQueue }) {
				return true
			}
		case "FunctionName", "function":
			if value != t.Proxy && value != t.Forwarder {
				return true
			}
		}
	}
	return false
}
