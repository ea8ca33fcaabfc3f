// Package awsconsoletest is a tap deployed on an emulated AWS, for tests of what is shown of one.
//
// What a newcomer gets wrong: moto emulates SQS, S3 and CloudWatch, but a trigger of its own would run
// functions and empty the queues. The proxy in front of it answers for Lambda, takes long polls off, and
// refuses what a test wants refused.
package awsconsoletest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/blob/s3blob"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/mototest"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/record"
)

const (
	Region = "eu-west-1"
	Bucket = "shop-records-1"
)

// Tap is the installation "shop": destinations siem and lake, a bucket, alarms and metrics.
type Tap struct {
	t        *testing.T
	Account  *cloud.Account
	SQS      *sqs.Client
	Messages *awssqs.Client
	Metrics  *cloudwatch.Client
	Blobs    *s3blob.Store

	deny     atomic.Value // of a string: an operation that is refused
	noBucket atomic.Bool
	history  atomic.Value // of a []any: what DescribeAlarmHistory answers
}

// Start makes the tap's queues and its bucket, and sets the environment of the AWS clients.
func Start(t *testing.T) *Tap {
	t.Helper()
	w := &Tap{t: t}
	to, err := url.Parse(mototest.Start(t))
	w.must(err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		op := operation(r)
		switch deny, _ := w.deny.Load().(string); {
		case deny != "" && deny == op:
			refuse(rw, r)
		case op == "ListEventSourceMappings":
			mappings(rw, r)
		case op == "DescribeAlarmHistory": // moto has none
			list := []any{}
			if all, ok := w.history.Load().([]any); ok {
				list = all
			}
			writeJSON(rw, map[string]any{"AlarmHistoryItems": list})
		case op == "GetFunctionConfiguration":
			env := map[string]string{"TAPWAY_BUCKET": Bucket}
			if w.noBucket.Load() {
				env = map[string]string{}
			}
			writeJSON(rw, map[string]any{"FunctionName": "shop-proxy", "Environment": map[string]any{"Variables": env}})
		default:
			switch op {
			case "ReceiveMessage":
				hurry(r)
			case "GetMetricData":
				percentiles(r)
			}
			proxy.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(front.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": front.URL, "AWS_REGION": Region, "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "SECRETTEST", "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	w.Account, err = cloud.Open(t.Context(), "", "")
	w.must(err)
	t.Cleanup(w.Account.Close)
	w.SQS, err = w.Account.SQS()
	w.must(err)
	w.Messages, err = w.Account.Messages()
	w.must(err)
	w.Metrics, err = w.Account.CloudWatch()
	w.must(err)
	w.Blobs, err = w.Account.Blobs(Bucket)
	w.must(err)
	endpoint, err := w.Account.Endpoint("S3")
	w.must(err)
	mototest.CreateBucket(t, *endpoint, Bucket)
	for _, queue := range []string{"shop-siem", "shop-lake"} {
		_, err = w.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(queue + "-dead")})
		w.must(err)
		_, err = w.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &queue, Attributes: map[string]string{
			"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:%s:123456789012:%s-dead","maxReceiveCount":1000}`, Region, queue)}})
		w.must(err)
	}
	return w
}

func (w *Tap) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// operation is what a request asks for.
func operation(r *http.Request) string {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch {
	case op != "":
		return op
	case strings.Contains(r.URL.Path, "/event-source-mappings"):
		return "ListEventSourceMappings"
	case strings.HasPrefix(r.URL.Path, "/2015-03-31/functions/"):
		return "GetFunctionConfiguration"
	case r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2":
		return "ListObjectsV2"
	case r.Method == http.MethodGet:
		return "GetObject"
	}
	return ""
}

// hurry takes the long poll off: moto, unlike SQS, has every message at hand.
func hurry(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in map[string]any
	if err == nil && json.Unmarshal(body, &in) == nil {
		in["WaitTimeSeconds"] = 0
		if less, err := json.Marshal(in); err == nil {
			body = less
		}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// refuse answers as AWS does where a permission is missing.
func refuse(rw http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") == "" && !strings.HasPrefix(r.URL.Path, "/2015-03-31/") {
		rw.Header().Set("Content-Type", "application/xml")
		rw.WriteHeader(http.StatusForbidden)
		io.WriteString(rw, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
		return
	}
	rw.Header().Set("Content-Type", "application/x-amz-json-1.0")
	rw.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
	rw.WriteHeader(http.StatusForbidden)
	io.WriteString(rw, `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"no"}`)
}

func mappings(rw http.ResponseWriter, r *http.Request) {
	all := []map[string]string{}
	if r.URL.Query().Get("FunctionName") == "shop-forwarder" {
		for _, queue := range []string{"shop-siem", "shop-lake"} {
			all = append(all, map[string]string{"EventSourceArn": "arn:aws:sqs:" + Region + ":123456789012:" + queue, "State": "Enabled"})
		}
	}
	writeJSON(rw, map[string]any{"EventSourceMappings": all})
}

func writeJSON(rw http.ResponseWriter, v any) {
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(v)
}

// Deny has an operation refused, such as "GetMetricData"; "" ends it.
func (w *Tap) Deny(operation string) { w.deny.Store(operation) }

// NoBucket has the proxy function's settings name no bucket.
func (w *Tap) NoBucket() { w.noBucket.Store(true) }

// Exchange is a call at a time, with bodies.
func Exchange(at time.Time, method, path string, status int, response string) *tapway.Exchange {
	ex := &tapway.Exchange{}
	ex.ID, ex.Time, ex.Duration = tapway.NewID(at), at.UTC().Truncate(time.Microsecond), 20*time.Millisecond
	ex.Method, ex.Path, ex.Status, ex.Front, ex.Origin, ex.From = method, path, status, tapway.FrontREST, tapway.OriginBackend, "api.example.com"
	ex.RequestHeader = tapway.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "Authorization", Value: "[REDACTED]"}}
	ex.Request = tapway.Body{Bytes: []byte(`{"order":1}`), Size: 11}
	ex.ResponseHeader = tapway.Header{{Name: "Content-Type", Value: "application/json"}}
	ex.Response = tapway.Body{Bytes: []byte(response), Size: int64(len(response))}
	ex.RequestSize, ex.ResponseSize = ex.Request.Size, ex.Response.Size
	return ex
}

// Dead puts a call among the dead letters of a destination.
func (w *Tap) Dead(destination, reason string, ex *tapway.Exchange) {
	w.t.Helper()
	text := func(s string) sqstypes.MessageAttributeValue {
		return sqstypes.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
	}
	w.send("shop-"+destination+"-dead", string(record.Append(nil, ex)), map[string]sqstypes.MessageAttributeValue{
		sqsqueue.AttributeReason: text(reason), sqsqueue.AttributeAttempts: text(strconv.Itoa(5)),
	})
}

// Wait puts a call into the queue of a destination.
func (w *Tap) Wait(destination string, ex *tapway.Exchange) {
	w.t.Helper()
	w.send("shop-"+destination, string(record.Append(nil, ex)), nil)
}

func (w *Tap) send(queue, body string, attributes map[string]sqstypes.MessageAttributeValue) {
	w.t.Helper()
	out, err := w.SQS.GetQueueUrl(w.t.Context(), &sqs.GetQueueUrlInput{QueueName: &queue})
	w.must(err)
	_, err = w.SQS.SendMessage(w.t.Context(), &sqs.SendMessageInput{QueueUrl: out.QueueUrl, MessageBody: &body, MessageAttributes: attributes})
	w.must(err)
}

// Put puts a call's record into the bucket.
func (w *Tap) Put(key string, ex *tapway.Exchange) {
	w.t.Helper()
	w.must(w.Blobs.Put(w.t.Context(), key, record.Append(nil, ex)))
}

// Alarm makes an alarm above a threshold, about the metric of a queue or a function.
func (w *Tap) Alarm(name, metric, dimension, value string, above float64) {
	w.t.Helper()
	_, err := w.Metrics.PutMetricAlarm(w.t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: &name, AlarmDescription: aws.String("What to do about " + name + "."), Namespace: aws.String("AWS/SQS"), MetricName: &metric,
		Dimensions: []cwtypes.Dimension{{Name: &dimension, Value: &value}}, Statistic: cwtypes.StatisticMaximum,
		ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold, Threshold: &above, Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1),
	})
	w.must(err)
}

// Turn sets the state of an alarm: ALARM, OK, INSUFFICIENT_DATA; datum is what settled it.
func (w *Tap) Turn(alarm, state string, datum float64) {
	w.t.Helper()
	_, err := w.Metrics.SetAlarmState(w.t.Context(), &cloudwatch.SetAlarmStateInput{
		AlarmName: &alarm, StateValue: cwtypes.StateValue(state), StateReason: aws.String("Threshold Crossed"), StateReasonData: aws.String(fmt.Sprintf(`{"version":"1.0","recentDatapoints":[%g]}`, datum)),
	})
	w.must(err)
}

// Changed is what the alarms' history has: that an alarm went from one state to another.
func (w *Tap) Changed(at time.Time, alarm, from, to, reason string) {
	data := fmt.Sprintf(`{"version":"1.0","oldState":{"stateValue":%q},"newState":{"stateValue":%q,"stateReason":%q}}`, from, to, reason)
	before, _ := w.history.Load().([]any)
	w.history.Store(append([]any{map[string]any{"AlarmName": alarm, "Timestamp": at.Unix(), "HistoryItemType": "StateUpdate", "HistoryData": data}}, before...))
}

// percentiles asks moto for what it has in place of them: the least, the mean and the greatest.
func percentiles(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	text := strings.NewReplacer(`"Stat":"p50"`, `"Stat":"Minimum"`, `"Stat":"p90"`, `"Stat":"Average"`, `"Stat":"p99"`, `"Stat":"Maximum"`).Replace(string(body))
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	r.Header.Set("Content-Length", strconv.Itoa(len(text)))
}

// Hour puts what an hour of calls leaves in CloudWatch, the newest a minute old.
func (w *Tap) Hour(now time.Time) {
	w.t.Helper()
	var data []cwtypes.MetricDatum
	put := func(at time.Time, metric string, value float64, dimensions ...string) {
		d := cwtypes.MetricDatum{MetricName: &metric, Value: &value, Timestamp: &at}
		for i := 0; i+1 < len(dimensions); i += 2 {
			d.Dimensions = append(d.Dimensions, cwtypes.Dimension{Name: &dimensions[i], Value: &dimensions[i+1]})
		}
		data = append(data, d)
	}
	proxy, forwarder := []string{"function", "shop-proxy", "role", "proxy"}, []string{"function", "shop-forwarder", "role", "forwarder", "destination", "siem"}
	for ago := 1; ago <= 60; ago++ {
		at := now.Add(-time.Duration(ago) * time.Minute)
		calls := math.Round(40 + 25*math.Sin(float64(ago)/6) + 9*math.Sin(float64(ago)))
		put(at, "calls", calls, proxy...)
		put(at, "captured", calls, proxy...)
		for _, took := range []float64{8 + calls/2, 25 + calls, 60 + 2*calls} {
			put(at, "backend_ms", took, proxy...)
		}
		put(at, "delivered", calls-math.Mod(calls, 5), forwarder...)
		put(at, "returned", math.Mod(calls, 5), forwarder...)
	}
	for some := range slices.Chunk(data, 25) { // the SDK compresses longer ones, which moto does not read
		_, err := w.Metrics.PutMetricData(w.t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("tapway"), MetricData: some})
		w.must(err)
	}
}

// Metric puts one value; dimensions are "name=value,...".
func (w *Tap) Metric(namespace, name string, value float64, dimensions string) {
	w.t.Helper()
	datum := cwtypes.MetricDatum{MetricName: &name, Value: &value}
	for pair := range strings.SplitSeq(dimensions, ",") {
		k, v, _ := strings.Cut(pair, "=")
		datum.Dimensions = append(datum.Dimensions, cwtypes.Dimension{Name: &k, Value: &v})
	}
	_, err := w.Metrics.PutMetricData(w.t.Context(), &cloudwatch.PutMetricDataInput{Namespace: &namespace, MetricData: []cwtypes.MetricDatum{datum}})
	w.must(err)
}
