package awsconsole_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/alarm"
	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/awsconsole"
	"github.com/tapway/tapway/internal/awsconsole/awsconsoletest"
	"github.com/tapway/tapway/internal/tapstate"
)

type site struct {
	*testing.T
	url string
}

// show serves the tap as a fresh console would.
func show(t *testing.T, w *awsconsoletest.Tap, change func(*awsconsole.Options)) *site {
	t.Helper()
	clients, err := attach.NewClients(w.Account.Config, w.Account.Endpoint, attach.NewPacer(100), 1)
	if err != nil {
		t.Fatal(err)
	}
	o := awsconsole.Options{
		Reader: &tapstate.Reader{SQS: w.SQS, CloudWatch: w.Metrics, Lambda: clients.Lambda}, Queues: w.Messages, Tap: tapstate.Tap{Project: "shop"}, Region: awsconsoletest.Region,
		Version: "v1.2.3", Log: slog.New(slog.DiscardHandler),
	}
	var bucket string
	if bucket, o.DeleteObjects, o.NoBucket = awsconsole.Bucket(t.Context(), clients.Lambda, "shop-proxy"); bucket != "" {
		o.Bucket = w.Blobs
	}
	if change != nil {
		change(&o)
	}
	c, err := awsconsole.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	server := httptest.NewServer(c.Server().Handler())
	t.Cleanup(server.Close)
	return &site{t, server.URL}
}

func (s *site) ask(method, path, body string) (status int, text string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(all)
}

// get reads an answer of 200 into v.
func (s *site) get(path string, v any) {
	s.Helper()
	status, text := s.ask("GET", path, "")
	if err := json.Unmarshal([]byte(text), v); status != 200 || err != nil {
		s.Fatalf("%s: %d %s", path, status, text)
	}
}

// lines reads an answer of JSON lines.
func lines[T any](s *site, method, path, body string) (all []T) {
	s.Helper()
	status, text := s.ask(method, path, body)
	if status != 200 {
		s.Fatalf("%s: %d %s", path, status, text)
	}
	for line := range strings.Lines(text) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil || strings.HasPrefix(line, `{"error":`) {
			s.Fatalf("%s: %s", path, line)
		}
		all = append(all, v)
	}
	return all
}

type queueAnswer struct {
	Destinations []tapway.DestinationStats
	Tap          struct {
		Queues []struct {
			tapstate.Queue
			Alarms []tapstate.Alarm
		}
		Functions []tapstate.Function
		Unread    []tapstate.Unread
	}
}

type ledgerAnswer struct {
	admin.LedgerState
	Known    bool
	Window   float64 `json:"window_s"`
	Returned map[string]uint64
	Unread   []tapstate.Unread
}

// TestViews: what every view shows of a tap in trouble.
func TestViews(t *testing.T) {
	w := awsconsoletest.Start(t)
	now := time.Now()
	w.Wait("siem", awsconsoletest.Exchange(now, "GET", "/waiting", 200, "{}"))
	w.Dead("siem", "422 Unprocessable Entity", awsconsoletest.Exchange(now, "GET", "/dead", 200, "{}"))
	w.Alarm("shop-siem-dead-critical", "ApproximateNumberOfMessagesVisible", "QueueName", "shop-siem-dead", 0)
	w.Alarm("shop-lake-oldest-warning", "ApproximateAgeOfOldestMessage", "QueueName", "shop-lake", 600)
	w.Alarm("shop-proxy-errors-warning", "Errors", "FunctionName", "shop-proxy", 0)
	w.Turn("shop-siem-dead-critical", "ALARM", 1)
	w.Turn("shop-lake-oldest-warning", "OK", 12.5)
	w.Changed(now, "shop-siem-dead-critical", "OK", "ALARM", "1 > 0")
	w.Changed(now, "another-alarm", "OK", "ALARM", "another tap's")
	w.Metric("tapway", "calls", 13, "function=shop-proxy,role=proxy")
	w.Metric("tapway", "captured", 10, "function=shop-proxy,role=proxy")
	w.Metric("tapway", "lost", 2, "function=shop-proxy,role=proxy")
	w.Metric("tapway", "delivered", 7, "function=shop-forwarder,role=forwarder,destination=siem")
	w.Metric("tapway", "returned", 3, "function=shop-forwarder,role=forwarder,destination=siem")
	w.Metric("tapway", "dead", 1, "function=shop-forwarder,role=forwarder,destination=siem")
	w.Metric("AWS/SQS", "ApproximateAgeOfOldestMessage", 95, "QueueName=shop-siem")
	w.Metric("AWS/Lambda", "Errors", 4, "FunctionName=shop-forwarder")
	s := show(t, w, func(o *awsconsole.Options) {
		o.Attached = &attach.State{Plan: &attach.Plan{Changes: []attach.Change{{Route: "GET /users", From: "HTTP_PROXY https://users.example.com"}}}}
	})

	var place admin.Place
	s.get("/api/v1/place", &place)
	if e := place.Elsewhere; e == nil || e.Name != "shop" || e.Where != "AWS eu-west-1" || !place.History || place.Live || place.Queue != "sqs" ||
		len(place.Routes) != 1 || place.Routes[0].Backend != "HTTP_PROXY https://users.example.com" || !strings.Contains(e.Notes["traffic"], awsconsoletest.Bucket) {
		t.Errorf("place: %+v", place)
	}

	var q queueAnswer
	s.get("/api/v1/queue", &q)
	if d := q.Destinations; len(d) != 2 || d[1].Destination != "siem" || d[1].Queued != 1 || d[1].Dead != 1 || d[0].Queued != 0 || time.Since(d[1].OldestQueued) < 94*time.Second {
		t.Errorf("destinations: %+v", d)
	}
	if one := q.Tap.Queues[0]; one.Destination != "siem" || *one.Visible != 1 || *one.InFlight != 0 || *one.Delayed != 0 || *one.OldestAge != 95 || len(one.Alarms) != 1 || one.Alarms[0].State != "ALARM" || one.Feeding != "Enabled" {
		t.Errorf("queue: %+v", one)
	}
	if f := q.Tap.Functions; len(f) != 2 || *f[1].Errors != 4 || f[0].Errors != nil || len(q.Tap.Unread) != 0 {
		t.Errorf("functions: %+v, %+v", f, q.Tap.Unread)
	}

	var l ledgerAnswer
	s.get("/api/v1/ledger", &l)
	if !l.Known || l.Scope != admin.ScopeWindow || l.Window != 3600 || l.Calls != 13 || l.Stored != 10 || l.Dropped["lost"] != 2 || l.Difference != 1 || l.Returned["siem"] != 3 {
		t.Errorf("ledger: %+v", l)
	}
	if d := l.Destinations[0]; d.Destination != "siem" || d.Captured != 8 || d.Delivered != 7 || d.Dead != 1 || d.Queued != 1 {
		t.Errorf("ledger of siem: %+v", d)
	}

	var a alarm.Listing
	s.get("/api/v1/alarms", &a)
	if !a.Watching || len(a.Alarms) != 3 {
		t.Fatalf("alarms: %+v", a)
	}
	if one := a.Alarms[0]; one.Name != "dead_letters" || one.Destination != "siem" || one.State != alarm.Firing || one.Severity != alarm.Critical || one.Value != 1 || one.Unit != alarm.Records ||
		one.Command != "tapway dlq list --queue sqs://shop-siem" || one.Message != "What to do about shop-siem-dead-critical." || one.Unknown != "" || time.Since(one.Since) > time.Hour {
		t.Errorf("alarm: %+v", one)
	}
	if e := a.History; len(e) != 1 || e[0].Name != "dead_letters" || e[0].Destination != "siem" || e[0].From != alarm.OK || e[0].To != alarm.Firing || e[0].Message != "1 > 0" || e[0].At.Unix() != now.Unix() {
		t.Errorf("history: %+v", e)
	}
	for _, one := range a.Alarms[1:] {
		switch one.Name {
		case "oldest_age":
			if one.Destination != "lake" || one.State != alarm.OK || one.Value != 12.5 || one.Threshold != 600 || one.Unit != alarm.Seconds {
				t.Errorf("alarm: %+v", one)
			}
		case "proxy_errors":
			if one.Destination != "" || one.Unknown == "" || one.Severity != alarm.Warning || one.Command != "aws cloudwatch describe-alarms --alarm-names shop-proxy-errors-warning --region eu-west-1" {
				t.Errorf("alarm: %+v", one)
			}
		default:
			t.Errorf("alarm: %+v", one)
		}
	}
	if status, text := s.ask("POST", "/api/v1/alarms/ack", `{"name":"dead_letters","destination":"siem"}`); status != 501 || !strings.Contains(text, "CloudWatch") {
		t.Errorf("ack: %d %s", status, text)
	}
	if status, text := s.ask("POST", "/api/v1/destinations/siem/pause", ""); status != 501 || !strings.Contains(text, "trigger") {
		t.Errorf("pause: %d %s", status, text)
	}
	if status, text := s.ask("GET", "/api/v1/live", ""); status != 501 {
		t.Errorf("live: %d %s", status, text)
	}
}

// TestDeadLetters: they are grouped by what they say, opened with their bodies, redriven after a
// count, and purged.
func TestDeadLetters(t *testing.T) {
	w := awsconsoletest.Start(t)
	now := time.Now()
	one := awsconsoletest.Exchange(now, "POST", "/orders", 201, `{"ok":true}`)
	w.Dead("siem", "422 Unprocessable Entity", one)
	w.Dead("siem", "422 Unprocessable Entity", awsconsoletest.Exchange(now, "GET", "/two", 200, "{}"))
	w.Dead("lake", "expired", awsconsoletest.Exchange(now, "GET", "/three", 200, "{}"))
	s := show(t, w, nil)

	by := map[string]int{}
	for _, l := range lines[admin.DeadLetter](s, "GET", "/api/v1/deadletters", "") {
		by[l.Destination+": "+l.Reason]++
	}
	if len(by) != 2 || by["siem: 422 Unprocessable Entity"] != 2 || by["lake: expired"] != 1 {
		t.Errorf("groups: %v", by)
	}

	var d admin.Detail
	s.get("/api/v1/exchanges/"+one.ID.String()+"/detail", &d)
	if d.Path != "/orders" || len(d.Deliveries) != 1 || d.Deliveries[0].State != "dead" || d.Deliveries[0].Reason != "422 Unprocessable Entity" || d.Request.Kept != 11 {
		t.Errorf("detail: %+v", d)
	}
	if status, text := s.ask("GET", "/api/v1/exchanges/"+one.ID.String()+"/body/response", ""); status != 200 || text != `{"ok":true}` {
		t.Errorf("body: %d %s", status, text)
	}
	if status, text := s.ask("GET", "/api/v1/exchanges/"+tapway.NewID(now).String()+"/detail", ""); status != 404 {
		t.Errorf("one that is not there: %d %s", status, text)
	}

	count := func(what, body string) admin.Progress {
		t.Helper()
		all := lines[admin.Progress](s, "POST", "/api/v1/deadletters/"+what, body)
		last := all[len(all)-1]
		if !last.Done || last.Failed != 0 {
			t.Errorf("%s %s: %+v", what, body, last)
		}
		return last
	}
	siem := `{"destination":"siem","filter":"method == 'GET'"`
	if p := count("redrive", siem+`,"dry_run":true}`); p.Matched != 1 || p.OK != 0 {
		t.Errorf("count: %+v", p)
	}
	if p := count("redrive", siem+`}`); p.OK != 1 {
		t.Errorf("redrive: %+v", p)
	}
	if p := count("purge", `{"destination":"lake","each":true}`); p.OK != 1 {
		t.Errorf("purge: %+v", p)
	}
	left := lines[admin.DeadLetter](s, "GET", "/api/v1/deadletters", "")
	if len(left) != 1 || left[0].Exchange.ID != one.ID.String() {
		t.Errorf("left: %+v", left)
	}
	var q queueAnswer
	show(t, w, nil).get("/api/v1/queue", &q)
	if *q.Tap.Queues[0].Visible != 1 || *q.Tap.Queues[0].Dead != 1 || *q.Tap.Queues[1].Dead != 0 {
		t.Errorf("afterwards: %+v", q.Tap.Queues)
	}
}

// TestArchive: what lies in the bucket is listed newest first in pages, filtered, opened and exported.
func TestArchive(t *testing.T) {
	w := awsconsoletest.Start(t)
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	spilled := awsconsoletest.Exchange(base, "GET", "/spilled", 503, "{}")
	for _, destination := range []string{"siem", "lake"} {
		w.Put("spill/"+destination+"/2026/01/02/"+spilled.ID.String()+".json", spilled)
	}
	large := awsconsoletest.Exchange(base.Add(time.Minute), "POST", "/large", 200, strings.Repeat("x", 300<<10))
	w.Put("records/"+tapway.NewID(large.Time.Add(2*time.Second)).String(), large)
	shared := awsconsoletest.Exchange(base.Add(2*time.Minute), "GET", "/shared", 200, "{}")
	w.Put("records/shared/"+tapway.NewID(shared.Time.Add(time.Second)).String(), shared)
	w.Put("records/"+tapway.NewID(shared.Time.Add(time.Second)).String(), shared) // stored twice, shown once
	w.Put("records/elsewhere.txt", shared)
	s := show(t, w, nil)

	paths := func(query string) (out []string, last uint64) {
		t.Helper()
		for _, m := range lines[admin.Summary](s, "GET", "/api/v1/exchanges"+query, "") {
			out, last = append(out, m.Path), m.Seq
		}
		return out, last
	}
	expect := func(query, want string) {
		t.Helper()
		if got, _ := paths(query); strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	expect("", "/shared /large /spilled")
	expect("?oldest=1", "/spilled /large /shared")
	expect("?filter=status+%3E%3D+500", "/spilled")
	expect("?filter=response_body+contains+%22xxx%22", "/large")
	expect("?filter=time+%3C+%22"+large.Time.Add(time.Millisecond).Format("2006-01-02T15:04:05.000Z")+"%22", "/large /spilled")
	expect("?filter=time+%3E%3D+%22"+large.Time.Format("2006-01-02T15:04:05.000Z")+"%22", "/shared /large")
	first, seq := paths("?limit=2")
	rest, _ := paths("?limit=2&before=" + json.Number(jsonOf(t, seq)).String())
	if strings.Join(append(first, rest...), " ") != "/shared /large /spilled" || seq >= 1<<53 {
		t.Errorf("pages: %v, then %v", first, rest)
	}

	fresh := show(t, w, nil) // has read nothing yet: a link from a colleague
	var d admin.Detail
	fresh.get("/api/v1/exchanges/"+large.ID.String()+"/detail", &d)
	if d.Response.Kept != 300<<10 || len(d.Deliveries) != 0 {
		t.Errorf("detail: %+v", d)
	}
	fresh.get("/api/v1/exchanges/"+spilled.ID.String()+"/detail", &d)
	if len(d.Deliveries) != 2 || d.Deliveries[0].State != "spilled" {
		t.Errorf("where the spilled one is: %+v", d.Deliveries)
	}
	if status, text := s.ask("GET", "/api/v1/export?format=ndjson&filter=method+%3D%3D+%22GET%22", ""); status != 200 || strings.Count(text, "\n") != 2 || !strings.Contains(text, "/shared") {
		t.Errorf("export: %d %s", status, text)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRefused: a part that may not be read names its permission, and the rest is there.
func TestRefused(t *testing.T) {
	w := awsconsoletest.Start(t)
	w.Alarm("shop-lost-warning", "lost", "function", "shop-proxy", 0)
	for _, tt := range []struct{ op, path, want string }{
		{"DescribeAlarms", "/api/v1/alarms", "cloudwatch:DescribeAlarms"},
		{"DescribeAlarms", "/api/v1/queue", "cloudwatch:DescribeAlarms"},
		{"DescribeAlarmHistory", "/api/v1/alarms", "cloudwatch:DescribeAlarmHistory"},
		{"GetMetricData", "/api/v1/ledger", "cloudwatch:GetMetricData"},
		{"GetMetricData", "/api/v1/queue", "cloudwatch:GetMetricData"},
		{"GetQueueAttributes", "/api/v1/queue", "sqs:GetQueueAttributes"},
		{"ReceiveMessage", "/api/v1/deadletters", "sqs:ReceiveMessage"},
		{"ListObjectsV2", "/api/v1/exchanges", "s3:ListBucket"},
		{"GetFunctionConfiguration", "/api/v1/place", "lambda:GetFunctionConfiguration"},
	} {
		w.Deny(tt.op)
		if _, text := show(t, w, nil).ask("GET", tt.path, ""); !strings.Contains(text, tt.want) {
			t.Errorf("%s refused: %s says %s", tt.op, tt.path, text)
		}
	}
	w.Deny("GetMetricData")
	var q queueAnswer
	show(t, w, nil).get("/api/v1/queue", &q)
	if len(q.Tap.Queues) != 2 || *q.Tap.Queues[0].Visible != 0 {
		t.Errorf("the rest: %+v", q)
	}
}

// TestNothing: a tap without a bucket or metrics says why there is nothing, and one without queues
// is none.
func TestNothing(t *testing.T) {
	w := awsconsoletest.Start(t)
	w.NoBucket()
	s := show(t, w, nil)
	var place admin.Place
	s.get("/api/v1/place", &place)
	for view, want := range map[string]string{"traffic": "There is no history on AWS", "routes": "--api", "overview": "CloudWatch", "keys": "tapway keys", "alarms": "acknowledged", "delivery": "trigger"} {
		if got := place.Elsewhere.Notes[view]; !strings.Contains(got, want) {
			t.Errorf("%s: %q", view, got)
		}
	}
	if got := lines[admin.Summary](s, "GET", "/api/v1/exchanges", ""); len(got) != 0 {
		t.Errorf("exchanges: %v", got)
	}
	var l ledgerAnswer
	if s.get("/api/v1/ledger", &l); l.Known || l.Calls != 0 {
		t.Errorf("ledger: %+v", l)
	}
	clients, err := attach.NewClients(w.Account.Config, w.Account.Endpoint, attach.NewPacer(100), 1)
	if err != nil {
		t.Fatal(err)
	}
	reader := &tapstate.Reader{SQS: w.SQS, CloudWatch: w.Metrics, Lambda: clients.Lambda}
	if _, err := awsconsole.New(t.Context(), awsconsole.Options{Reader: reader, Tap: tapstate.Tap{Project: "none"}}); err == nil || !strings.Contains(err.Error(), "--queue") {
		t.Errorf("a tap without queues: %v", err)
	}
	w.Deny("ListEventSourceMappings")
	if _, err := awsconsole.New(t.Context(), awsconsole.Options{Reader: reader, Tap: tapstate.Tap{Project: "shop"}}); err == nil || !strings.Contains(err.Error(), "lambda:ListEventSourceMappings") || !strings.Contains(err.Error(), "--queue") {
		t.Errorf("a tap whose queues may not be found: %v", err)
	}
}

// TestCharts: CloudWatch's figures in steps that fit the time, each in its place.
func TestCharts(t *testing.T) {
	w := awsconsoletest.Start(t)
	now := time.Now()
	w.Hour(now)
	s := show(t, w, nil)
	type answer struct {
		Step   string
		Points []struct {
			At                             time.Time
			Calls, Errors, Delivered, Dead float64
			P50, P90, P99                  *float64
		}
	}
	for _, tt := range []struct {
		span   time.Duration
		step   string
		points int
	}{{15 * time.Minute, "1m", 15}, {6 * time.Hour, "1m", 360}, {6*time.Hour + time.Second, "5m", 73}, {36 * time.Hour, "5m", 432}, {37 * time.Hour, "1h", 37}} {
		var got answer
		s.get("/api/v1/charts?"+url.Values{"from": {now.Add(-tt.span).Format(time.RFC3339Nano)}, "to": {now.Format(time.RFC3339Nano)}}.Encode(), &got)
		if got.Step != tt.step || len(got.Points) != tt.points {
			t.Errorf("%v: %d steps of %s", tt.span, len(got.Points), got.Step)
			continue
		}
		if last := got.Points[len(got.Points)-1]; last.At.After(now) || now.Sub(last.At) > time.Hour {
			t.Errorf("%v: the last step begins at %v", tt.span, last.At)
		}
		var calls float64
		for _, p := range got.Points {
			calls += p.Calls
			if p.P50 != nil && !(*p.P50 < *p.P90 && *p.P90 < *p.P99) {
				t.Errorf("%v: %v %v %v", p.At, *p.P50, *p.P90, *p.P99)
			}
		}
		if calls == 0 {
			t.Errorf("%v: no call", tt.span)
		}
	}
	for _, bad := range []string{"from=x", "to=yesterday", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from=2026-01-01T00:00:00Z&to=2026-02-02T00:00:00Z"} {
		if status, _ := s.ask("GET", "/api/v1/charts?"+bad, ""); status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, status)
		}
	}
	w.Deny("GetMetricData")
	if status, _ := s.ask("GET", "/api/v1/charts?to=2026-01-01T00:00:00Z", ""); status != http.StatusBadGateway {
		t.Errorf("refused: %d", status)
	}
}
