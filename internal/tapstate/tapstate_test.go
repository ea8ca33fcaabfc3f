package tapstate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/tapstate"
)

type object = map[string]any

// fake answers calls by their operation; what it does not know it refuses.
type fake struct {
	*testing.T
	answers map[string]func(in object) any
	asked   []string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in := object{}
	_ = json.NewDecoder(r.Body).Decode(&in) // a GET has no body
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if strings.Contains(r.URL.Path, "event-source-mappings") {
		op, in = "ListEventSourceMappings", object{"FunctionName": r.URL.Query().Get("FunctionName"), "Marker": r.URL.Query().Get("Marker")}
	}
	f.asked = append(f.asked, op)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	answer := f.answers[op]
	if answer == nil {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"__type":"AccessDeniedException","message":"User: u is not authorized to perform: x:%s on resource: arn:aws:x because no policy allows it"}`, op)
		return
	}
	if err := json.NewEncoder(w).Encode(answer(in)); err != nil {
		f.Error(err)
	}
}

// reader asks the fake at noon.
func (f *fake) reader() *tapstate.Reader {
	f.Helper()
	server := httptest.NewServer(f)
	f.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none",
	} {
		f.Setenv(name, value)
	}
	account, err := cloud.Open(f.Context(), "", "")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(account.Close)
	r := &tapstate.Reader{Now: func() time.Time { return time.Date(2026, 11, 20, 12, 0, 30, 0, time.UTC) }}
	if r.SQS, err = account.SQS(); err == nil {
		r.CloudWatch, err = account.CloudWatch()
	}
	if err != nil {
		f.Fatal(err)
	}
	r.Lambda = lambda.NewFromConfig(account.Config, func(o *lambda.Options) { o.BaseEndpoint = &server.URL })
	return r
}

func (f *fake) read(t tapstate.Tap) *tapstate.State {
	f.Helper()
	s, err := f.reader().Read(f.Context(), t)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// metricOf is the name of a query's metric, and its dimensions' values.
func metricOf(query any) string {
	stat := query.(object)["MetricStat"].(object)
	metric := stat["Metric"].(object)
	text := metric["Namespace"].(string) + " " + metric["MetricName"].(string)
	for _, d := range metric["Dimensions"].([]any) {
		text += " " + d.(object)["Value"].(string)
	}
	return text
}

// TestMetrics: sums over pages, the latest age, and what is not known is no zero.
func TestMetrics(t *testing.T) {
	var windows []float64
	f := &fake{T: t}
	f.answers = map[string]func(object) any{
		"GetQueueUrl": func(in object) any { return object{"QueueUrl": "http://sqs/1/" + in["QueueName"].(string)} },
		"GetQueueAttributes": func(object) any {
			return object{"Attributes": object{"ApproximateNumberOfMessages": "1", "ApproximateNumberOfMessagesNotVisible": "2", "ApproximateNumberOfMessagesDelayed": "4"}}
		},
		"DescribeAlarms":          func(object) any { return object{} },
		"ListEventSourceMappings": func(object) any { return object{"EventSourceMappings": []object{}} },
		"GetMetricData": func(in object) any {
			if in["NextToken"] == nil {
				windows = append(windows, in["EndTime"].(float64)-in["StartTime"].(float64))
			}
			results := []object{}
			for _, q := range in["MetricDataQueries"].([]any) {
				id := q.(object)["Id"]
				switch metricOf(q) {
				case "tapway calls shop-proxy proxy":
					results = append(results, object{"Id": id, "Timestamps": []int{60, 0}, "Values": []float64{3, 4}, "StatusCode": "PartialData"})
				case "tapway delivered shop-forwarder forwarder siem":
					results = append(results, object{"Id": id, "Timestamps": []int{60}, "Values": []float64{0}})
				case "AWS/SQS ApproximateAgeOfOldestMessage shop-siem":
					results = append(results, object{"Id": id, "Timestamps": []int{0, 120, 60}, "Values": []float64{90, 210, 150}})
				default:
					results = append(results, object{"Id": id, "Timestamps": []int{}, "Values": []float64{}})
				}
			}
			out := object{"MetricDataResults": results}
			if in["NextToken"] == nil {
				out["NextToken"] = "more"
			}
			return out
		},
	}
	s := f.read(tapstate.Tap{Project: "shop", Queues: []string{"shop-siem", "arn:aws:sqs:eu-west-1:1:shop-lake"}, DeadLetters: []string{"bad"}})
	if l := s.Ledger; *l.Calls != 14 || l.Lost != nil || *l.Destinations[0].Delivered != 0 || l.Destinations[1].Delivered != nil {
		t.Errorf("ledger: %+v", l)
	}
	if q := s.Queues[0]; *q.OldestAge != 210 || *q.Visible != 1 || *q.InFlight != 2 || *q.Delayed != 4 || q.DeadLetterQueue != "bad" || *q.Dead != 7 || q.Destination != "siem" {
		t.Errorf("queue: %+v", q)
	}
	if q := s.Queues[1]; q.OldestAge != nil || q.Dead != nil || q.Name != "shop-lake" {
		t.Errorf("queue: %+v", q)
	}
	if !slices.Equal(windows, []float64{900, 3600}) {
		t.Errorf("asked for windows of %v s", windows)
	}
	if len(s.Unread) != 0 || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "dead letters of siem: 7") || s.Good {
		t.Errorf("%+v", s)
	}
}

// TestMetricsFail: CloudWatch that cannot is no CloudWatch without data.
func TestMetricsFail(t *testing.T) {
	f := &fake{T: t}
	f.answers = map[string]func(object) any{
		"ListEventSourceMappings": func(object) any { return object{} },
		"DescribeAlarms":          func(object) any { return object{} },
		"GetMetricData": func(object) any {
			return object{"MetricDataResults": []object{{"Id": "m0", "StatusCode": "InternalError", "Messages": []object{{"Code": "x", "Value": "try again"}}}}}
		},
	}
	s := f.read(tapstate.Tap{Project: "shop"})
	if len(s.Unread) != 1 || !strings.Contains(s.Unread[0].Error, "CloudWatch answers InternalError: try again") || s.Good {
		t.Errorf("%+v", s.Unread)
	}
}

// TestAlarms: pages of them, those that are on first, and none of shop-two.
func TestAlarms(t *testing.T) {
	alarm := func(name, state, dimension, value string) object {
		return object{"AlarmName": name, "StateValue": state, "StateUpdatedTimestamp": 0, "Dimensions": []object{{"Name": dimension, "Value": value}}}
	}
	f := &fake{T: t}
	f.answers = map[string]func(object) any{
		"ListEventSourceMappings": func(in object) any {
			if in["Marker"] == "" {
				return object{"EventSourceMappings": []object{{"EventSourceArn": "arn:aws:dynamodb:eu-west-1:1:table/x", "State": "Enabled"}}, "NextMarker": "2"}
			}
			return object{"EventSourceMappings": []object{{"EventSourceArn": "arn:aws:sqs:eu-west-1:1:shop-siem", "State": "Disabled"}}}
		},
		"GetQueueUrl": func(in object) any { return object{"QueueUrl": "http://sqs/1/" + in["QueueName"].(string)} },
		"GetQueueAttributes": func(in object) any {
			return object{"Attributes": object{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:1:shop-siem-dead"}`}}
		},
		"GetMetricData": func(object) any { return object{} },
		"DescribeAlarms": func(in object) any {
			if in["AlarmNamePrefix"] != "shop-" {
				t.Errorf("asked for %v", in)
			}
			if in["NextToken"] == nil {
				return object{"NextToken": "2", "MetricAlarms": []object{alarm("shop-b", "OK", "FunctionName", "shop-proxy"), alarm("shop-c", "ALARM", "QueueName", "shop-siem-dead"), alarm("shop-two-a", "ALARM", "QueueName", "shop-two-siem")}}
			}
			return object{"MetricAlarms": []object{alarm("shop-a", "INSUFFICIENT_DATA", "ApiName", "x"), alarm("shop-two-b", "ALARM", "function", "shop-two-proxy")}}
		},
	}
	s := f.read(tapstate.Tap{Proxy: "shop-proxy"})
	var got []string
	for _, a := range s.Alarms {
		got = append(got, a.Name+" "+a.State)
	}
	if want := []string{"shop-c ALARM", "shop-a INSUFFICIENT_DATA", "shop-b OK"}; !slices.Equal(got, want) {
		t.Errorf("alarms %q, want %q", got, want)
	}
	if len(s.Problems) != 2 || !strings.Contains(s.Problems[0], "does not feed function shop-forwarder (Disabled)") || s.Problems[1] != "alarm shop-c" {
		t.Errorf("problems %q", s.Problems)
	}
	if q := s.Queues[0]; q.Visible != nil || q.Dead != nil || q.DeadLetterQueue != "shop-siem-dead" {
		t.Errorf("queue: %+v", q)
	}
}

// TestRefused: every refused call is told, and every other one is made.
func TestRefused(t *testing.T) {
	f := &fake{T: t}
	s := f.read(tapstate.Tap{Project: "shop", Queues: []string{"shop-siem"}, DeadLetters: []string{"shop-siem-dead"}})
	var parts []string
	for _, u := range s.Unread {
		parts = append(parts, u.Part)
		if !strings.Contains(u.Error, "lack the permission x:") || !strings.Contains(u.Error, "on arn:aws:x;") {
			t.Errorf("%s: %s", u.Part, u.Error)
		}
	}
	want := []string{"what feeds the forwarder", "queue shop-siem", "dead-letter queue shop-siem-dead", "alarms", "ages of the oldest messages", "functions and ledger"}
	if !slices.Equal(parts, want) || s.Good {
		t.Errorf("unread %q, want %q", parts, want)
	}
	if q := s.Queues[0]; q.Visible != nil || q.Dead != nil || q.OldestAge != nil {
		t.Errorf("queue: %+v", q)
	}
}

// TestNothingKnown asks nobody, and a context that has ended is an error.
func TestNothingKnown(t *testing.T) {
	f := &fake{T: t}
	if s := f.read(tapstate.Tap{}); !s.Good || len(f.asked) != 0 {
		t.Errorf("%+v after %q", s, f.asked)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.reader().Read(ctx, tapstate.Tap{Project: "shop"}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
