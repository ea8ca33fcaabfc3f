package app

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// account is AWS in this process: the queue "records" with its dead letters, and the bucket
// "objects".
type account struct {
	t   *testing.T
	sqs *sqstest.Server
	s3  *s3mem.Backend

	fault   atomic.Pointer[func(sqstest.Call) *sqstest.Fault]
	s3Fault atomic.Bool // S3 answers 503
}

func newAccount(t *testing.T) *account {
	a := &account{t: t, sqs: new(sqstest.Server), s3: s3mem.New()}
	a.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
		if f := a.fault.Load(); f != nil {
			return (*f)(c)
		}
		return nil
	}
	a.sqs.Create("records-dead", nil)
	a.sqs.Create("records", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("records-dead", 1000), "MaximumMessageSize": "262144"})
	if err := a.s3.CreateBucket("objects"); err != nil {
		t.Fatal(err)
	}
	objects := gofakes3.New(a.s3, gofakes3.WithLogger(gofakes3.StdLog(log.New(io.Discard, "", 0)))).Server()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_PROFILE": "", "AWS_REGION": sqstest.Region, "AWS_DEFAULT_REGION": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "aws-secret", "AWS_SESSION_TOKEN": "",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_SQS": a.serve(a.sqs),
		"AWS_ENDPOINT_URL_S3": a.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if a.s3Fault.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			objects.ServeHTTP(w, r)
		})),
	} {
		t.Setenv(name, value)
	}
	return a
}

// serve gives a handler an address. The server is closed without waiting for long polls.
func (a *account) serve(h http.Handler) string {
	s := httptest.NewServer(h)
	a.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// fail sets what goes wrong with SQS from now on; nil is nothing.
func (a *account) fail(f func(sqstest.Call) *sqstest.Fault) {
	if f == nil {
		a.fault.Store(nil)
		return
	}
	a.fault.Store(&f)
}

// away is SQS that takes no connection.
func away(sqstest.Call) *sqstest.Fault { return &sqstest.Fault{Cut: true} }

// objects are the keys in the bucket.
func (a *account) objects(prefix string) (keys []string) {
	list, err := a.s3.ListBucket("objects", &gofakes3.Prefix{HasPrefix: true, Prefix: prefix}, gofakes3.ListBucketPage{})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, o := range list.Contents {
		keys = append(keys, o.Key)
	}
	return keys
}

// gone waits until the queue holds nothing.
func (a *account) gone(queue string) {
	a.t.Helper()
	eventually(a.t, "an empty queue", func() bool { return len(a.sqs.Messages(queue)) == 0 })
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// forwarder is a running Forwarder.
type forwarder struct {
	*Forwarder
	log  *lockedLog
	stop func()
}

func loadForward(t *testing.T, yaml string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Source{
		File: "test.yaml", Text: []byte("admin: {listen: 127.0.0.1:0}\nqueue: sqs://records\nbucket: objects\n" + yaml),
		Forwards: true, Getenv: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func startForwarder(t *testing.T, yaml string) *forwarder {
	t.Helper()
	f := &forwarder{log: new(lockedLog)}
	var err error
	f.Forwarder, err = NewForwarder(loadForward(t, yaml), Options{Version: "test", Log: slog.New(slog.NewTextHandler(f.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() { done <- f.RunNotify(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("Run: %v\n%s", err, f.log)
	}
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(f.stop)
	return f
}

// balanced waits until the ledger accounts for everything: while a record is on its way from
// one place to another it may be counted in both.
func balanced(t *testing.T, e engine) (l tapway.Ledger) {
	t.Helper()
	eventually(t, "a ledger that adds up", func() bool {
		var err error
		if l, err = e.Ledger(t.Context()); err != nil {
			t.Fatal(err)
		}
		return l.Difference() == 0 && !slices.ContainsFunc(l.Destinations, func(line tapway.LedgerLine) bool { return line.Difference() != 0 })
	})
	return l
}

// readiness is the answer of /readyz.
func readiness(t *testing.T, admin string) (status int, warning string) {
	t.Helper()
	status, body := call(t, "http://"+admin+"/readyz")
	var answer struct{ Warning string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	return status, answer.Warning
}
