package tapstate

import (
	"cmp"
	"context"
	"encoding/json"
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
	Reason      string    `json:"reason,omitempty"` // of the state, as CloudWatch puts it
	Queue       string    `json:"queue,omitempty"`  // what it is about: a queue, or a function, or neither
	Function    string    `json:"function,omitempty"`
	Metric      string    `json:"metric,omitempty"`
	Threshold   *float64  `json:"threshold,omitempty"`
	Value       *float64  `json:"value,omitempty"` // when the state was last settled; nil: not told
}

func alarmOf(a *types.MetricAlarm) Alarm {
	out := Alarm{
		Name: aws.ToString(a.AlarmName), State: string(a.StateValue), Since: aws.ToTime(a.StateUpdatedTimestamp), Description: aws.ToString(a.AlarmDescription),
		Reason: aws.ToString(a.StateReason), Metric: aws.ToString(a.MetricName), Threshold: a.Threshold,
	}
	for _, d := range a.Dimensions {
		switch aws.ToString(d.Name) {
		case "QueueName":
			out.Queue = aws.ToString(d.Value)
		case "FunctionName", "function":
			out.Function = aws.ToString(d.Value)
		}
	}
	var data struct {
		Recent []float64 `json:"recentDatapoints"` // oldest first
	}
	if json.Unmarshal([]byte(aws.ToString(a.StateReasonData)), &data) == nil && len(data.Recent) > 0 {
		out.Value = &data.Recent[len(data.Recent)-1]
	}
	return out
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
		for i := range page.MetricAlarms {
			if a := &page.MetricAlarms[i]; !s.anothers(t, a.Dimensions) {
				s.Alarms = append(s.Alarms, alarmOf(a))
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

// Change is a change of an alarm's state.
type Change struct {
	At       time.Time
	Name     string
	From, To string // ALARM, INSUFFICIENT_DATA, OK
	Reason   string
}

// Changes are the latest changes of some alarms, newest first: those among the last hundred of all
// alarms of the account and region, which is as many as one call gives.
func (r *Reader) Changes(ctx context.Context, alarms []Alarm) ([]Change, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	out, err := r.CloudWatch.DescribeAlarmHistory(ctx, &cloudwatch.DescribeAlarmHistoryInput{
		HistoryItemType: types.HistoryItemTypeStateUpdate, MaxRecords: aws.Int32(100), ScanBy: types.ScanByTimestampDescending,
	})
	if err != nil {
		return nil, attach.Failed("read the history of the alarms", err)
	}
	changes := []Change{}
	for _, item := range out.AlarmHistoryItems {
		name := aws.ToString(item.AlarmName)
		if !slices.ContainsFunc(alarms, func(a Alarm) bool { return a.Name == name }) {
			continue
		}
		type side struct {
			Value  string `json:"stateValue"`
			Reason string `json:"stateReason"`
		}
		var data struct {
			Old side `json:"oldState"`
			New side `json:"newState"`
		}
		if json.Unmarshal([]byte(aws.ToString(item.HistoryData)), &data) == nil {
			changes = append(changes, Change{aws.ToTime(item.Timestamp), name, data.Old.Value, data.New.Value, data.New.Reason})
		}
	}
	return changes, nil
}
