package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/awss3"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/blob/s3blob"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
	"github.com/tapway/tapway/internal/record"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// sqsWorld is SQS and S3, and a directory whose tapway.yaml names a queue of theirs for each of
// the destinations siem and lake.
type sqsWorld struct {
	*testing.T
	dir   string
	env   []string
	url   string // of SQS
	s3URL string
	sqs   *sqstest.Server
	blobs *s3blob.Store
	queue *sqsqueue.Queue // as a forwarder has it
}

func newAWS(t *testing.T) *sqsWorld {
	t.Helper()
	return newAWSWith(t, "siem", "lake")
}

// newAWSWith makes queues for other destinations.
func newAWSWith(t *testing.T, names ...string) *sqsWorld {
	t.Helper()
	w := &sqsWorld{T: t, dir: t.TempDir(), sqs: &sqstest.Server{}}
	for _, name := range names {
		w.sqs.Create("records-"+name+"-dead", nil)
		w.sqs.Create("records-"+name, map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("records-"+name+"-dead", 1000)})
	}
	front := httptest.NewServer(w.sqs)
	t.Cleanup(front.Close)
	w.connect(front.URL, newS3(t, "records"), sqstest.URL+"/"+sqstest.Account+"/")
	write(t, w.dir, "tapway.yaml", "admin: {listen: \"off\"}\nqueue: sqs://records-{destination}\nbucket: records\n"+
		"destinations:\n  - {name: siem, url: http://127.0.0.1:1/}\n  - {name: lake, url: http://127.0.0.1:1/}\n")
	return w
}

// newS3 runs S3 in this process, with these buckets, and gives its URL.
func newS3(t *testing.T, buckets ...string) string {
	t.Helper()
	objects := s3mem.New()
	for _, name := range buckets {
		if err := objects.CreateBucket(name); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(gofakes3.New(objects, gofakes3.WithLogger(gofakes3.StdLog(log.New(io.Discard, "", 0)))).Server())
	t.Cleanup(server.Close)
	return server.URL
}

// connect makes the clients of the test itself, and the environment of the commands.
func (w *sqsWorld) connect(sqsURL, s3URL, queues string) {
	w.Helper()
	w.url, w.s3URL = sqsURL, s3URL
	cfg := aws.Config{Region: sqstest.Region, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "SECRETTEST"}, nil
	})}
	w.blobs = &s3blob.Store{Client: awss3.New(cfg, &s3URL), Bucket: "records"}
	q, err := sqsqueue.New(sqsqueue.Config{
		Client: awssqs.New(cfg, &sqsURL), Queues: map[string]string{"siem": queues + "records-siem", "lake": queues + "records-lake"},
		CallTimeout: 20 * time.Second,
	})
	if err != nil {
		w.Fatal(err)
	}
	w.queue = q
	w.Cleanup(func() { q.Close() })
	w.env = []string{
		"AWS_ENDPOINT_URL=" + sqsURL, "AWS_ENDPOINT_URL_S3=" + s3URL, "AWS_REGION=" + sqstest.Region, "AWS_ACCESS_KEY_ID=AKIDTEST",
		"AWS_SECRET_ACCESS_KEY=SECRETTEST", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "TAPWAY_QUEUE=", "TAPWAY_BUCKET=",
	}
}

// run runs a command to its end, with in on its standard input.
func (w *sqsWorld) run(in string, args ...string) (out, errOut string, code int) {
	w.Helper()
	cmd := w.command(args...)
	cmd.Stdin = strings.NewReader(in)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		w.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func (w *sqsWorld) command(args ...string) *exec.Cmd {
	cmd := command(w.dir, args...)
	cmd.Env = append(cmd.Env, w.env...)
	return cmd
}

// must is run that has to succeed and to say all of this, on either output.
func (w *sqsWorld) must(line string, says ...string) string {
	w.Helper()
	out, errOut, code := w.run("", words(line)...)
	if code != 0 {
		w.Fatalf("tapway %s: exit %d\n%s%s", line, code, out, errOut)
	}
	mustContain(w.T, out+errOut, says...)
	return out
}

// fails is run that has to fail.
func (w *sqsWorld) fails(code int, line string, says ...string) {
	w.Helper()
	out, errOut, got := w.run("", words(line)...)
	if got != code {
		w.Errorf("tapway %s: exit %d, want %d:\n%s%s", line, got, code, out, errOut)
	}
	mustContain(w.T, errOut, says...)
}

// words splits a command line at blanks; what stands between bars is one word.
func words(line string) (all []string) {
	for i, part := range strings.Split(line, "|") {
		if i%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}

// enqueue puts exchanges number from to to-1 into a destination's queue.
func (w *sqsWorld) enqueue(destination string, from, to int) {
	w.Helper()
	for n := from; n < to; n++ {
		if err := w.queue.EnqueueRecord(w.Context(), record.Append(nil, exchange(n)), destination); err != nil {
			w.Fatal(err)
		}
	}
}

// kill makes dead letters of them.
func (w *sqsWorld) kill(destination string, from, to int) {
	w.Helper()
	w.enqueue(destination, from, to)
	s, err := w.queue.Subscribe(destination)
	if err != nil {
		w.Fatal(err)
	}
	for n := from; n < to; {
		msgs, err := s.Receive(w.Context(), 10)
		if err != nil {
			w.Fatal(err)
		}
		var all []tapway.Settlement
		for _, m := range msgs {
			all = append(all, tapway.Settlement{Message: m, Outcome: tapway.Outcome{Verdict: tapway.Dead, Reason: "422 Unprocessable Entity", Status: 422}})
		}
		if err := s.Settle(w.Context(), all); err != nil {
			w.Fatal(err)
		}
		n += len(msgs)
	}
}

func (w *sqsWorld) want(queue string, n int) {
	w.Helper()
	all := w.sqs.Messages(queue)
	if len(all) != n {
		w.Errorf("%s holds %d messages, want %d", queue, len(all), n)
	}
	for _, m := range all {
		if m.Visible.After(time.Now()) {
			w.Errorf("%s: message %s is hidden until %v", queue, m.ID, m.Visible)
		}
	}
}

// exchange is the n-th of a series; its ID is always the same.
func exchange(n int) *tapway.Exchange {
	ex := queuetest.Exchange(n, 10)
	ex.ID, _ = tapway.ParseID(fmt.Sprintf("0198c2f0-7c1e-7b3a-9d2e-%012x", n))
	return ex
}

func (w *sqsWorld) id(n int) string { return exchange(n).ID.String() }

// TestSQSDeadLetters: looking, redriving and purging without a process.
func TestSQSDeadLetters(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	w.kill("siem", 1, 14)
	w.kill("lake", 1, 3)
	out := w.must("dlq list", "siem: 422 Unprocessable Entity, after 1 attempt; died ", "lake: ", "hidden from others")
	if n := strings.Count(out, "died "); n != 15 {
		t.Errorf("%d dead letters listed:\n%s", n, out)
	}
	if all := jsonLines[admin.DeadLetter](t, w.must("dlq list --json --destination lake --limit 1")); len(all) != 1 || all[0].Destination != "lake" {
		t.Errorf("list --json: %+v", all)
	}
	w.must("dlq list |path == '/nothing'|", "No dead letters.")
	w.fails(1, "dlq list --destination nobody", `destination "nobody": not found`)
	w.want("records-siem-dead", 13) // nothing is kept hidden

	w.must("dlq show "+w.id(2), "siem: dead: 422 Unprocessable Entity, after 1 attempt, first attempt ", ", died ", "lake: dead", `"id": "`+w.id(2)+`"`)
	found := decode[admin.Found](t, w.must("dlq show --json "+w.id(5)))
	if len(found.Deliveries) != 1 || found.Deliveries[0].LastStatus != 422 {
		t.Errorf("show --json: %+v", found.Deliveries)
	}
	w.fails(1, "dlq show "+w.id(99), "not found")

	w.must("dlq redrive --dry-run", "about 15 would be redriven.")
	w.must("dlq redrive --dry-run --id "+w.id(2), "2 would be redriven.")
	w.must("dlq redrive --destination siem |query contains 'n=2'|", "1 of 1 redriven.")
	w.want("records-siem", 1)
	w.want("records-siem-dead", 12)

	elsewhere := newSink(t)
	w.must("dlq redrive --rate 1000 --to "+elsewhere.URL+" --id "+w.id(1), "2 of 2 redriven.")
	if got := len(elsewhere.got); got != 2 {
		t.Errorf("%d records went elsewhere", got)
	}
	w.want("records-siem-dead", 11)
	elsewhere.set(func(s *sink) { s.down = true })
	w.fails(1, "dlq redrive --destination lake --to "+elsewhere.URL)
	w.want("records-lake-dead", 1)

	w.must("dlq redrive --destination siem --each --rate 1000", "11 of 11 redriven.")
	w.must("dlq redrive", "about 1 of 1 redriven.")
	if w.sqs.Calls("StartMessageMoveTask") != 2 {
		t.Errorf("%d moves by SQS itself, want one for each queue", w.sqs.Calls("StartMessageMoveTask"))
	}
	w.want("records-siem", 12)
	w.want("records-lake", 2-1) // the other one went elsewhere
	w.must("dlq redrive --cancel", "siem: nothing is being moved.", "lake: nothing is being moved.")
}

// TestSQSPurge: all at once by SQS itself, or what a filter takes.
func TestSQSPurge(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	w.kill("siem", 1, 6)
	if _, errOut, code := w.run("no\n", "dlq", "purge"); code != 1 || !strings.Contains(errOut, "Purge about 5 dead letters for good? [y/N]") {
		t.Errorf("exit %d\n%s", code, errOut)
	}
	if _, errOut, code := w.run("\n", "dlq", "purge", "--id", w.id(3)); code != 1 || !strings.Contains(errOut, "Purge 1 dead letter for good? [y/N]") {
		t.Errorf("exit %d\n%s", code, errOut)
	}
	w.want("records-siem-dead", 5)
	w.must("dlq purge --yes --id "+w.id(3), "1 of 1 purged.")
	w.want("records-siem-dead", 4)
	w.must("dlq purge --yes --destination siem", "about 4 of 4 purged.", "SQS takes up to a minute")
	w.want("records-siem-dead", 0)
	w.must("dlq purge --id "+w.id(3), "No dead letters match.")
}

// TestSQSUnreadable: a message that is no record is shown, matches no condition, and goes by
// its id.
func TestSQSUnreadable(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	w.sqs.Put("records-siem-dead", "what is this?", nil)
	w.must("dlq list", "its record cannot be read: ")
	id := jsonLines[admin.DeadLetter](t, w.must("dlq list --json"))[0].Exchange.ID
	w.must("dlq purge --yes |status < 500|", "0 of 0 purged.")
	w.want("records-siem-dead", 1)
	w.must("dlq show "+id, "its record cannot be read")
	w.must("dlq purge --yes --id "+id, "1 of 1 purged.")
}

// TestSQSShared: of a dead-letter queue that two destinations share each has its own letters, also when they are only
// counted.
func TestSQSShared(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	w.sqs.Create("common-dead", nil)
	write(t, w.dir, "tapway.yaml", "admin: {listen: \"off\"}\nqueue: sqs://records-{destination}\nlambda: {dead_letter_queue: sqs://common-dead}\n"+
		"destinations:\n  - {name: siem, url: http://127.0.0.1:1/}\n  - {name: lake, url: http://127.0.0.1:1/}\n")
	for n := range 5 {
		name := []string{"siem", "lake"}[n%2]
		w.sqs.Put("common-dead", string(record.Append(nil, exchange(n))), map[string]sqstest.Attribute{sqsqueue.AttributeDestination: {DataType: "String", StringValue: &name}})
	}
	w.must("dlq redrive --dry-run --destination lake", "2 would be redriven.")
	w.must("dlq purge --dry-run", "5 would be purged.")
	w.want("common-dead", 5)
}

// TestSQSNoMove: where SQS does not move by itself, everything is redriven one by one, and what
// dies again meanwhile stays dead.
func TestSQSNoMove(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	w.sqs.Create("other-dead", nil)
	write(t, w.dir, "tapway.yaml", "admin: {listen: \"off\"}\nqueue: sqs://records-siem\nlambda: {dead_letter_queue: sqs://other-dead}\n")
	for n := range 3 {
		w.sqs.Put("other-dead", string(record.Append(nil, exchange(n))), nil)
	}
	w.must("dlq redrive", "SQS does not move them by itself", "it is done one by one", "3 of 3 redriven.")
	w.want("records-siem", 3)
	w.want("other-dead", 0)
}

// TestSQSStats: stats and ledger tell what SQS knows, and say what they do not know.
func TestSQSStats(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	w.kill("siem", 1, 4)
	w.enqueue("siem", 4, 6)
	w.enqueue("lake", 4, 5)
	w.must("queue stats", "About 6 records in SQS", "SQS counts approximately", "siem         2        0                    3     -")
	q := decode[admin.QueueState](t, w.must("queue stats --json"))
	if !q.Approximate || q.Destinations[1].Queued != 2 || q.Destinations[1].Dead != 3 {
		t.Errorf("stats --json: %+v", q)
	}
	w.spill("siem", 7, record.Append(nil, exchange(7)))
	w.must("ledger", "siem         2       3", "1 record in the bucket that SQS did not take (1 siem)", "CloudWatch metrics")
	text := w.must("ledger --json", `"scope": "queue"`)
	if strings.Contains(text, "captured") || strings.Contains(text, "difference") {
		t.Errorf("the ledger claims to know what it cannot: %s", text)
	}
	for _, line := range []string{"queue check", "export", "replay --to http://127.0.0.1:1 " + w.id(1), "queue pause siem", "queue forget siem --yes"} {
		w.fails(1, line, "is not possible here: ")
	}
	w.fails(2, "ledger --queue x --data y", "--queue names the queue itself")
	w.fails(2, "ledger --queue sqs://", "does not name a queue")

	// Any directory, by flag or environment.
	w.dir = t.TempDir()
	w.must("queue stats --queue sqs://records-lake", "About 1 record in SQS", "default")
	w.env = append(w.env, "TAPWAY_QUEUE="+sqstest.URL+"/"+sqstest.Account+"/records-lake")
	w.must("queue stats", "About 1 record in SQS")
	w.fails(1, "queue stats --data nowhere", "there is no data directory nowhere")
	w.fails(1, "queue stats --queue sqs://nothing", "find queue \"nothing\"")
}

// TestSQSTail: without a process tail looks into the queue and leaves it as it was.
func TestSQSTail(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	w.enqueue("siem", 1, 4)
	r := beginCommand(t, w.command("tail", "--json"))
	waitFor(t, "three exchanges", func() bool { return strings.Count(r.out.String(), "\n") >= 3 })
	w.enqueue("lake", 7, 8)
	waitFor(t, "one more", func() bool { return strings.Contains(r.out.String(), w.id(7)) })
	r.interrupt(t, 5*time.Second)
	mustContain(t, r.err.String(), "every look counts as a receive")
	if n := strings.Count(r.out.String(), "\n"); n != 4 {
		t.Errorf("%d lines:\n%s", n, r.out)
	}
	w.want("records-siem", 3)
	w.want("records-lake", 1)
}

// TestSQSRunning: a process that works on the same queues is asked, and no other.
func TestSQSRunning(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	w.enqueue("siem", 1, 3)
	destinations := func() []admin.Destination { return nil }
	process := httptest.NewServer((&admin.Server{SQS: w.queue, Live: destinations, Token: "s3same"}).Handler())
	defer process.Close()
	listen := strings.TrimPrefix(process.URL, "http://")
	conf := func(queue, token string) {
		write(t, w.dir, "tapway.yaml", fmt.Sprintf("admin: {listen: %q, token: %q}\nqueue: %s\ndestinations:\n  - {name: siem, url: http://127.0.0.1:1/}\n  - {name: lake, url: http://127.0.0.1:1/}\n", listen, token, queue))
	}
	const same = sqstest.URL + "/" + sqstest.Account + "/records-{destination}"
	conf(same, "s3same")
	w.must("ledger", "DIFFERENCE", "these are this process's"[len("these are "):])
	if l := decode[admin.LedgerState](t, w.must("ledger --json")); l.Scope != admin.ScopeProcess || l.Destinations[1].Captured == 0 {
		t.Errorf("ledger --json: %+v", l)
	}
	w.must("dlq list", "hidden from others")
	conf(same, "wrong")
	w.must("ledger", "wants its token", "This is what lies in SQS")
	conf("sqs://records-{destination}", "s3same") // said otherwise: who can tell that it is the same?
	w.must("ledger", "This is what lies in SQS")
}

func (w *sqsWorld) spill(destination string, n int, text []byte) string {
	w.Helper()
	ex := exchange(n)
	key := "spill/" + destination + "/" + ex.Time.UTC().Format("2006/01/02/") + ex.ID.String() + ".json"
	if err := w.blobs.Put(w.Context(), key, text); err != nil {
		w.Fatal(err)
	}
	return key
}

func (w *sqsWorld) objects() (keys []string) {
	w.Helper()
	for key, err := range w.blobs.List(w.Context(), "") {
		if err != nil {
			w.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

// TestRecover: every spilled record gets into its destination's queue once; what cannot stays
// and is named.
func TestRecover(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	for n := 1; n <= 25; n++ {
		w.spill("siem", n, record.Append(nil, exchange(n)))
	}
	w.spill("lake", 1, record.Append(nil, exchange(1)))
	w.must("queue recover --dry-run", "26 would be recovered.")
	w.must("queue recover --destination lake", "1 of 1 recovered.")
	w.want("records-lake", 1)
	w.want("records-siem", 0)
	bad := []string{
		w.spill("siem", 30, []byte("no record")), w.spill("siem", 31, record.Append(nil, exchange(32))),
		w.spill("nobody", 33, record.Append(nil, exchange(33))),
	}
	if err := w.blobs.Put(t.Context(), "spill/readme.txt", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	bad = append(bad, "spill/readme.txt")
	w.fails(1, "queue recover --rate 1000", bad...)
	if left := w.objects(); len(left) != len(bad) {
		t.Errorf("left in the bucket: %q", left)
	}
	w.want("records-siem", 25)
	for _, m := range w.sqs.Messages("records-siem") {
		recordtest.Validate(t, []byte(m.Body))
	}
	w.fails(1, "queue recover", bad...) // and again, with nothing new
	w.want("records-siem", 25)
	w.must("queue recover --prefix spill/lake/", "0 of 0 recovered.")
	w.fails(1, "queue recover --destination typo", `destination "typo": not found`)
	w.fails(2, "queue recover --queue disk", "no queue on SQS is named")
}

// TestRecoverDefault: a function that knows of no destination names its queue "default"; where the configuration has
// one queue it is that one, whatever its destination is called. A dry run counts what would fail as well.
func TestRecoverDefault(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	write(t, w.dir, "one.yaml", "queue: sqs://records-siem\nbucket: records\ndestinations: [{name: siem, url: \"http://127.0.0.1:9/\"}]\n")
	w.spill("default", 1, record.Append(nil, exchange(1)))
	w.spill("default", 2, record.Append(nil, exchange(2)))
	nobody := w.spill("nobody", 3, record.Append(nil, exchange(3)))
	w.must("queue recover --dry-run -c one.yaml", "2 would be recovered.", nobody)
	w.must("queue recover -c one.yaml --destination siem", "2 of 2 recovered.")
	w.want("records-siem", 2)
	write(t, w.dir, "function.log", fmt.Sprintf(`{"id":%q,"destinations":["default"],"whole":true,"record":%s}`, w.id(4), record.Append(nil, exchange(4))))
	w.must("queue recover -c one.yaml --from-log function.log --destination siem", "1 of 1 recovered.")
	w.want("records-siem", 3)
	w.spill("default", 5, record.Append(nil, exchange(5))) // several queues: nobody knows which
	w.fails(1, "queue recover", `destination default: not found`)
}

// TestRecoverQueueDown: what SQS does not take stays in the bucket, the rest of a long list is
// not tried, and the next run brings all of it.
func TestRecoverQueueDown(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	down := make(chan struct{})
	w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
		select {
		case <-down:
			return nil
		default:
		}
		if strings.HasPrefix(c.Action, "SendMessage") {
			return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
		}
		return nil
	}
	const n = 60
	for i := range n {
		w.spill("siem", i, record.Append(nil, exchange(i)))
	}
	w.fails(1, "queue recover", "AccessDenied", "stopped after 10 failures in a row; call it again to go on")
	if left := len(w.objects()); left != n {
		t.Errorf("%d objects left, want %d", left, n)
	}
	close(down)
	w.must("queue recover --json", `"ok": 60`)
	w.want("records-siem", n)
	if left := w.objects(); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// TestRecoverFromLog: records that stand in a log, in every form CloudWatch gives it.
func TestRecoverFromLog(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	line := func(n int, whole bool, destinations string) string {
		return fmt.Sprintf(`{"time":"2026-01-02T03:04:05Z","level":"ERROR","msg":"neither","id":%q,"destinations":[%s],"whole":%t,"record":%s}`,
			w.id(n), destinations, whole, record.Append(nil, exchange(n)))
	}
	log := strings.Join([]string{
		`{"level":"INFO","msg":"call"}`, "START RequestId: x", line(1, true, `"siem"`),
		"2026-01-02T03:04:05 " + line(2, true, `"siem","lake"`) + "\t" + line(3, true, `"siem"`),
		fmt.Sprintf(`{"timestamp":1,"message":%q}`, line(4, true, `"siem"`)),
		line(5, false, `"siem"`), `{"destinations":5,"record":{}} {broken`, "{ {" + line(7, true, `"siem"`), line(6, true, `"siem"`)[:200],
	}, "\n")
	if _, errOut, code := w.run(log, "queue", "recover", "--from-log", "-", "--dry-run"); code != 0 || !strings.Contains(errOut, w.id(5)+": the log has it without its bodies") {
		t.Errorf("dry run: exit %d\n%s", code, errOut)
	}
	w.want("records-siem", 0)
	write(t, w.dir, "function.log", log)
	w.must("queue recover --from-log function.log", "5 of 6 recovered, 1 skipped.")
	w.want("records-siem", 5)
	w.want("records-lake", 1)
	w.fails(1, "queue recover --from-log "+filepath.Join("no", "such"), "read the log")
	w.fails(2, "queue recover --from-log - --prefix x", "--prefix is of the bucket")
}

// FuzzRecordsIn: no line of a log breaks the reader, and a line that holds a record is found
// behind anything that is no brace.
func FuzzRecordsIn(f *testing.F) {
	good := fmt.Sprintf(`{"destinations":["siem"],"whole":true,"record":%s}`, record.Append(nil, exchange(1)))
	for _, s := range []string{"", "{", "x {} y", strings.Repeat(`{"a":`, 20_000), strings.Repeat(`{"a":`, 20_000) + "x", `{"message":"{\"record\":1}"}`, good, good + good, `{"a":` + good, `[{"whole":"x"}]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		recordsIn([]byte(s))
		if !strings.ContainsAny(s, "{") {
			if got := recordsIn([]byte(s + good)); len(got) != 1 || got[0].Destinations[0] != "siem" {
				t.Errorf("behind %q: %+v", s, got)
			}
		}
	})
}

// TestSQSForward: while `tapway forward` runs, the same commands ask it.
func TestSQSForward(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	sink := newSink(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	write(t, w.dir, "tapway.yaml", fmt.Sprintf("admin: {listen: %q}\nqueue: sqs://records-{destination}\n"+
		"destinations:\n  - {name: siem, url: %s}\n  - {name: lake, url: http://127.0.0.1:1/}\n", address, sink.URL))
	process := beginCommand(t, w.command("forward"))
	waitFor(t, "the forwarder", func() bool {
		_, _, code := w.run("", "queue", "stats", "--admin", address)
		return code == 0
	})
	watch := beginCommand(t, w.command("tail"))
	waitFor(t, "what is delivered, in tail", func() bool {
		w.enqueue("siem", 1, 2) // until tail is connected
		return strings.Contains(watch.out.String(), "n=1")
	})
	watch.interrupt(t, 5*time.Second)
	if strings.Contains(watch.err.String(), "looks into the queue") {
		t.Errorf("tail looked into the queue beside the process: %s", watch.err)
	}
	w.must("queue stats", "delivering")
	waitFor(t, "the ledger", func() bool {
		l := decode[admin.LedgerState](t, w.must("ledger --json"))
		return l.Scope == admin.ScopeProcess && l.Destinations[1].Delivered > 0
	})
	w.must("ledger", "DIFFERENCE", "no loss")
	w.must("queue pause siem", "siem paused.")
	w.must("queue resume siem", "siem resumed.")
	w.fails(1, "export", "SQS keeps no history")
	process.interrupt(t, 30*time.Second)
	w.must("ledger", "This is what lies in SQS")
}

// TestRecoverOutOfTime: a call to SQS that is given up because its time is over has failed, although
// giving it up canceled it. Only an interruption is neither done nor failed.
func TestRecoverOutOfTime(t *testing.T) {
	for err, failed := range map[error]int64{
		fmt.Errorf("%w after: %w", context.DeadlineExceeded, context.Canceled): 1,
		context.DeadlineExceeded:                    1,
		fmt.Errorf("enqueue: %w", context.Canceled): 0,
		nil: 0,
	} {
		r := &recovery{bar: newProgress(io.Discard), complain: func(string, error) {}}
		if r.booked("x", err); r.p.Failed != failed || r.inRow != int(failed) {
			t.Errorf("%v: %+v", err, r.p)
		}
	}
}
