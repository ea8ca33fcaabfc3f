package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/tapway/tapway/internal/attach/apitest"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/deploy"
	"github.com/tapway/tapway/internal/mototest"
	"github.com/tapway/tapway/internal/tapstate"
)

// tapWorld is an API that is attached to shop-proxy, and the tap behind it on moto.
type tapWorld struct {
	*gatewayWorld
	t       *testing.T
	account *cloud.Account
	sqs     *sqs.Client
	metrics *cloudwatch.Client
	deny    atomic.Value // of a string: an operation that is refused
	feeding atomic.Value // of a string: the state of what feeds the forwarder, if it is not enabled
}

func newTapWorld(t *testing.T) *tapWorld {
	t.Helper()
	moto := (&cloudWorld{T: t}).startMoto()
	w := &tapWorld{gatewayWorld: newGatewayWorld(t), t: t}
	to, err := url.Parse(moto)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		if r.Method == "GET" && strings.Contains(r.URL.Path, "event-source-mappings") {
			op = "ListEventSourceMappings"
		}
		switch deny, _ := w.deny.Load().(string); {
		case deny != "" && deny == op:
			rw.Header().Set("Content-Type", "application/x-amz-json-1.0")
			rw.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
			rw.WriteHeader(http.StatusForbidden)
			io.WriteString(rw, `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"no"}`)
		case op == "ListEventSourceMappings":
			w.mappings(rw, r)
		case strings.Contains(r.URL.Path, "/functions/shop-proxy") || strings.Contains(r.URL.Path, "/functions/arn"):
			w.ServeHTTP(rw, r)
		default:
			proxy.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(front.Close)
	for _, service := range []string{"SQS", "CLOUDWATCH", "LAMBDA", "S3"} {
		t.Setenv("AWS_ENDPOINT_URL_"+service, front.URL)
	}
	w.AddFunction("shop-proxy", false)
	account, err := cloud.Open(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(account.Close)
	w.account = account
	if w.sqs, err = account.SQS(); err != nil {
		t.Fatal(err)
	}
	if w.metrics, err = account.CloudWatch(); err != nil {
		t.Fatal(err)
	}
	w.queues()
	return w
}

// queues makes the forwarder's queues, and their dead letters.
func (w *tapWorld) queues() {
	w.t.Helper()
	for _, queue := range []string{"shop-siem", "shop-lake"} {
		_, err := w.sqs.CreateQueue(w.t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(queue + "-dead")})
		if err == nil {
			_, err = w.sqs.CreateQueue(w.t.Context(), &sqs.CreateQueueInput{QueueName: &queue, Attributes: map[string]string{
				"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:%s:123456789012:%s-dead","maxReceiveCount":5}`, w.Region, queue)}})
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// mappings is what feeds the forwarder. moto's own would empty the queues.
func (w *tapWorld) mappings(rw http.ResponseWriter, r *http.Request) {
	all := []map[string]string{}
	if r.URL.Query().Get("FunctionName") == "shop-forwarder" {
		for _, queue := range []string{"shop-siem", "shop-lake"} {
			state, _ := w.feeding.Load().(string)
			all = append(all, map[string]string{"EventSourceArn": "arn:aws:sqs:" + w.Region + ":123456789012:" + queue, "State": firstOf(state, "Enabled")})
		}
	}
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(map[string]any{"EventSourceMappings": all})
}

func (w *tapWorld) send(queue string) {
	w.t.Helper()
	out, err := w.sqs.GetQueueUrl(w.t.Context(), &sqs.GetQueueUrlInput{QueueName: &queue})
	if err == nil {
		_, err = w.sqs.SendMessage(w.t.Context(), &sqs.SendMessageInput{QueueUrl: out.QueueUrl, MessageBody: aws.String("x")})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *tapWorld) alarm(name, dimension, value string) {
	w.t.Helper()
	_, err := w.metrics.PutMetricAlarm(w.t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: &name, AlarmDescription: aws.String("What to do."), Namespace: aws.String("x"), MetricName: aws.String("x"), Dimensions: []types.Dimension{{Name: &dimension, Value: &value}},
		Statistic: types.StatisticSum, ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, Threshold: aws.Float64(0), Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *tapWorld) turn(alarm string, state types.StateValue) {
	w.t.Helper()
	if _, err := w.metrics.SetAlarmState(w.t.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: &alarm, StateValue: state, StateReason: aws.String("x")}); err != nil {
		w.t.Fatal(err)
	}
}

// metric puts one value; dimensions are "name=value,...".
func (w *tapWorld) metric(namespace, name string, value float64, dimensions string) {
	w.t.Helper()
	datum := types.MetricDatum{MetricName: &name, Value: &value}
	for pair := range strings.SplitSeq(dimensions, ",") {
		k, v, _ := strings.Cut(pair, "=")
		datum.Dimensions = append(datum.Dimensions, types.Dimension{Name: &k, Value: &v})
	}
	if _, err := w.metrics.PutMetricData(w.t.Context(), &cloudwatch.PutMetricDataInput{Namespace: &namespace, MetricData: []types.MetricDatum{datum}}); err != nil {
		w.t.Fatal(err)
	}
}

// status runs the command that is expected to end with this code, and gives its JSON.
func (w *tapWorld) status(code int, more ...string) (s struct {
	TapFrom string `json:"tap_from"`
	Good    bool
	Tap     *tapstate.State
}) {
	w.t.Helper()
	out, errOut, got := execute(w.t, w.dir, w.args("status", append(more, "--json")...)...)
	if got != code || errOut != "" {
		w.t.Fatalf("exit %d, want %d\n%s%s", got, code, out, errOut)
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		w.t.Fatal(err)
	}
	if s.Good != (code == 0) {
		w.t.Errorf("good is %v with exit status %d", s.Good, code)
	}
	return s
}

// TestStatusOfTap: what status tells of the tap, from an empty one to one with every trouble.
func TestStatusOfTap(t *testing.T) {
	w := newTapWorld(t)
	must(t, w.dir, w.args("attach", "--via", "lambda:shop-proxy", "--yes")...)

	s := w.status(0)
	if s.TapFrom != "the attached function" || s.Tap.Project != "shop" || len(s.Tap.Queues) != 2 || *s.Tap.Queues[0].Visible != 0 || s.Tap.Queues[0].OldestAge != nil || s.Tap.Ledger.Calls != nil || len(s.Tap.Alarms) != 0 {
		t.Errorf("of an empty tap: %+v", s.Tap)
	}
	mustContain(t, must(t, w.dir, w.args("status")...), "Tap shop, as the attached function says", "Alarms: none known", "unknown")

	for range 3 {
		w.send("shop-siem")
	}
	w.alarm("shop-lost-warning", "function", "shop-proxy")
	w.alarm("shop-siem-dead-critical", "QueueName", "shop-siem-dead")
	w.alarm("shop-two-lost-warning", "function", "shop-two-proxy") // another installation's
	w.metric("tapway", "calls", 12, "function=shop-proxy,role=proxy")
	w.metric("tapway", "calls", 1, "function=shop-proxy,role=proxy")
	w.metric("tapway", "lost", 2, "function=shop-proxy,role=proxy")
	w.metric("tapway", "delivered", 7, "function=shop-forwarder,role=forwarder,destination=siem")
	w.metric("AWS/SQS", "ApproximateAgeOfOldestMessage", 95, "QueueName=shop-siem")
	w.metric("AWS/Lambda", "Errors", 4, "FunctionName=shop-forwarder")
	w.metric("AWS/Lambda", "Throttles", 5, "FunctionName=shop-proxy")
	s = w.status(0)
	if q := s.Tap.Queues[0]; q.Name != "shop-siem" || q.Destination != "siem" || *q.Visible != 3 || *q.InFlight != 0 || *q.Delayed != 0 || q.OldestAge == nil || *q.OldestAge != 95 || *q.Dead != 0 || q.DeadLetterQueue != "shop-siem-dead" {
		t.Errorf("queue: %+v", q)
	}
	if l := s.Tap.Ledger; *l.Calls != 13 || *l.Lost != 2 || l.Spilled != nil || *l.Destinations[0].Delivered != 7 || l.Destinations[1].Delivered != nil {
		t.Errorf("ledger: %+v", l)
	}
	if f := s.Tap.Functions; *f[1].Errors != 4 || *f[0].Throttles != 5 || f[0].Errors != nil {
		t.Errorf("functions: %+v", f)
	}
	if a := s.Tap.Alarms; len(a) != 2 || a[0].Name != "shop-lost-warning" || a[1].Name != "shop-siem-dead-critical" {
		t.Errorf("alarms: %+v", a)
	}

	w.turn("shop-siem-dead-critical", types.StateValueAlarm)
	s = w.status(1)
	if len(s.Tap.Problems) != 1 || s.Tap.Alarms[0].State != "ALARM" {
		t.Errorf("with an alarm: %+v", s.Tap)
	}
	w.turn("shop-siem-dead-critical", types.StateValueOk)
	w.send("shop-siem-dead")
	fails(t, w.dir, 1, "dead letters of siem: 1; `tapway dlq list --queue sqs://shop-siem` says why", w.args("status")...)
	w.feeding.Store("Disabled")
	fails(t, w.dir, 1, "queue shop-lake does not feed function shop-forwarder (Disabled): its records wait", w.args("status")...)
	w.status(0, "--no-tap")
	w.feeding.Store("")
	w.status(0, "--project", "none", "--queue", "sqs://shop-lake", "--function", "f", "--forwarder", "shop-forwarder", "--dlq", "shop-lake-dead")
	fails(t, w.dir, 1, "there is no queue nowhere", w.args("status", "--queue", "nowhere")...)
}

// TestStatusRefused: every part that cannot be read names its permission, and the rest is there.
func TestStatusRefused(t *testing.T) {
	w := newTapWorld(t)
	must(t, w.dir, w.args("attach", "--via", "lambda:shop-proxy", "--yes")...)
	w.alarm("shop-lost-warning", "function", "shop-proxy")
	for op, c := range map[string]struct {
		action         string
		queues, alarms int
	}{
		"DescribeAlarms":          {"cloudwatch:DescribeAlarms", 2, 0},
		"GetMetricData":           {"cloudwatch:GetMetricData", 2, 1},
		"GetQueueUrl":             {"sqs:GetQueueUrl", 2, 1},
		"GetQueueAttributes":      {"sqs:GetQueueAttributes", 2, 1},
		"ListEventSourceMappings": {"lambda:ListEventSourceMappings", 0, 1},
	} {
		w.deny.Store(op)
		s := w.status(1)
		if len(s.Tap.Queues) != c.queues || len(s.Tap.Alarms) != c.alarms || len(s.Tap.Unread) == 0 || !strings.Contains(s.Tap.Unread[0].Error, "lack the permission "+c.action) {
			t.Errorf("%s refused: %+v", op, s.Tap)
		}
		out, errOut, code := execute(t, w.dir, w.args("status")...)
		if code != 1 || !strings.Contains(errOut, c.action) || !strings.Contains(out, "GET /users  attached") || !strings.Contains(out, "LEDGER") {
			t.Errorf("%s refused: exit %d\n%s%s", op, code, out, errOut)
		}
		policy := must(t, w.dir, w.args("status", "--print-policy", "--project", "shop")...)
		mustContain(t, policy, c.action, "function:shop-proxy", ":shop-*")
		if strings.Contains(must(t, w.dir, w.args("status", "--print-policy", "--no-tap")...), c.action) {
			t.Errorf("--no-tap needs %s", c.action)
		}
	}
}

// TestDefaultVia: attach takes the function that deploy made, and gives it its routes.
func TestDefaultVia(t *testing.T) {
	w := newTapWorld(t)
	fails(t, w.dir, 2, "say by which way with --via lambda:FUNCTION or --via url:https://...; or let `tapway deploy` make the function first", w.args("attach", "--yes")...)
	answers := &deploy.Answers{Project: "shop", Region: w.Region, Began: true}
	if err := answers.Save(filepath.Join(w.dir, deploy.AnswersFile)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_REGION", "eu-central-1") // deploy's wins
	settled := w.Settled()
	mustContain(t, must(t, w.dir, w.args("attach", "--dry-run")...), "function:shop-proxy", "The function's routes are written to where its TAPWAY_ROUTES says")
	mustContain(t, must(t, w.dir, w.args("attach", "--print-policy")...), "function:shop-proxy", "arn:aws:s3:::shop-records-*/routes/"+w.api+".json")
	fails(t, w.dir, 1, "function shop-proxy has no TAPWAY_ROUTES", w.args("attach", "--yes")...)
	if d := apitest.Diff(settled, w.Settled()); d != "" {
		t.Fatalf("an attach without routes changed something:\n%s", d)
	}
	w.call(t, "PUT", "/2015-03-31/functions/shop-proxy/configuration", map[string]any{"Environment": map[string]any{"Variables": map[string]string{"TAPWAY_ROUTES": "s3://shop-records-1/routes/"}}}, nil)
	store, err := w.account.Blobs("shop-records-1")
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := w.account.Endpoint("S3")
	if err != nil {
		t.Fatal(err)
	}
	mototest.CreateBucket(t, *endpoint, store.Bucket)
	must(t, w.dir, w.args("attach", "--dry-run")...)
	if text, err := store.Get(t.Context(), deploy.RouteKey(w.api)); err == nil {
		t.Errorf("a dry run writes the routes: %s", text)
	}
	must(t, w.dir, w.args("attach", "--yes")...)
	if text, err := store.Get(t.Context(), deploy.RouteKey(w.api)); err != nil || !strings.Contains(string(text), "https://users.example.com/v1") {
		t.Errorf("the function's routes: %s, %v", text, err)
	}
	if s := w.status(0); s.TapFrom != deploy.AnswersFile || s.Tap.Project != "shop" || len(s.Tap.Queues) != 2 {
		t.Errorf("as deploy remembers: %+v", s)
	}
	fails(t, w.dir, 2, "--window: want 1m to 336h", w.args("status", "--window", "1s")...)
	fails(t, w.dir, 2, "--dlq goes with a --queue", w.args("status", "--dlq", "x")...)
	fails(t, w.dir, 2, "--project is empty", w.args("status", "--project", "")...)
}
