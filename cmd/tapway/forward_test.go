package main

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// newSQS runs SQS in this process for the processes of a test, with the queue "records" and
// its dead letters.
func newSQS(t *testing.T) *sqstest.Server {
	t.Helper()
	fake := new(sqstest.Server)
	fake.Create("records-dead", nil)
	fake.Create("records", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("records-dead", 1000)})
	server := httptest.NewServer(fake)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_PROFILE": "", "AWS_REGION": sqstest.Region, "AWS_DEFAULT_REGION": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "aws-secret", "AWS_SESSION_TOKEN": "",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_SQS": server.URL,
	} {
		t.Setenv(name, value)
	}
	return fake
}

var forwardingLine = regexp.MustCompile(`msg=forwarding queue=(\S+) admin=(\S+)`)

// forward starts `tapway forward` and waits until it delivers.
func forward(t *testing.T, dir string, args ...string) (f *running, admin string) {
	t.Helper()
	f = begin(t, dir, append([]string{"forward", "--admin", "127.0.0.1:0"}, args...)...)
	waitFor(t, "tapway forward to deliver", func() bool {
		m := forwardingLine.FindStringSubmatch(f.err.String())
		if m != nil {
			admin = m[2]
		}
		return m != nil
	})
	return f, admin
}

// TestForward: two gateways and two forwarders share a queue; one of each is killed. Every
// call's record is delivered.
func TestForward(t *testing.T) {
	fake := newSQS(t)
	w := newWorld(t, "")
	send := func(data string) *gateway {
		return serve(t, t.TempDir(), "--backend", w.backend.URL, "--queue", "sqs://records", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", data)
	}
	data := filepath.Join(t.TempDir(), "one")
	one, two := send(data), send(filepath.Join(t.TempDir(), "two"))
	victim, _ := forward(t, t.TempDir(), "--queue", "sqs://records", "--destination", w.sink.URL)
	survivor, admin := forward(t, t.TempDir(), "--queue", "sqs://records", "--destination", w.sink.URL)
	for i := range 40 {
		one.calls(t, fmt.Sprintf("/one/%d", i))
		two.calls(t, fmt.Sprintf("/two/%d", i))
		if i == 20 {
			victim.cmd.Process.Kill()
			<-victim.exited
		}
	}
	one.cmd.Process.Kill()
	<-one.log.exited
	one = send(data) // what it had not sent yet it sends now
	waitFor(t, "every record", func() bool {
		fake.Expire("records") // of the one that was killed
		return w.sink.distinct("/one/") == 40 && w.sink.distinct("/two/") == 40
	})
	if status, body := get(t, "http://"+admin+"/readyz"); status != 200 || !strings.Contains(body, `"status":"ready"`) {
		t.Errorf("readyz: %d %s", status, body)
	}
	survivor.cmd.Process.Signal(syscall.SIGTERM)
	<-survivor.exited
	if code := survivor.cmd.ProcessState.ExitCode(); code != 0 || strings.Contains(survivor.err.String(), "aws-secret") {
		t.Errorf("exit %d:\n%s", code, survivor.err)
	}
	one.stop(t)
	two.stop(t)
}

// distinct is how many paths with this beginning it has a record of.
func (s *sink) distinct(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	paths := map[string]bool{}
	for _, path := range s.got {
		if strings.HasPrefix(path, prefix) {
			paths[path] = true
		}
	}
	return len(paths)
}

// TestKilledWhileSQSIsAway: what a call left is on disk, whatever SQS does.
func TestKilledWhileSQSIsAway(t *testing.T) {
	newSQS(t)
	t.Setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1")
	w := newWorld(t, "queue: sqs://records\n")
	g := serve(t, w.dir)
	g.calls(t, "/1", "/2", "/3")
	g.cmd.Process.Kill()
	<-g.log.exited
	newSQS(t)
	g = serve(t, w.dir)
	waitFor(t, "the records", func() bool { return w.sink.distinct("/") == 3 })
	g.stop(t)
}

// TestForwardUsage: what is missing, and how to say it.
func TestForwardUsage(t *testing.T) {
	newSQS(t)
	dir := t.TempDir()
	fails(t, dir, 2, "queue: disk is inside `tapway serve`, which delivers by itself; set queue: sqs://NAME (--queue, TAPWAY_QUEUE)", "forward", "--destination", "http://a")
	fails(t, dir, 2, "there is nowhere to deliver to; set destinations", "forward", "--queue", "sqs://records")
	fails(t, dir, 2, `--queue: "kafka://x" is no queue that this version knows`, "forward", "--queue", "kafka://x")
	fails(t, dir, 2, "unknown flag: --backend", "forward", "--backend", "http://a")
	fails(t, dir, 1, `the queue cannot be used: find queue "recrods"`, "forward", "--queue", "sqs://recrods", "--destination", "http://a", "--admin", "off")
	write(t, dir, "tapway.yaml", "destinations: [{name: a, url: \"http://a\"}]\n")
	fails(t, dir, 1, "set queue: sqs://NAME", "forward")
	t.Setenv("AWS_REGION", "")
	fails(t, dir, 1, "no AWS region is known; set AWS_REGION", "forward", "--queue", "sqs://records", "--admin", "off")
}
