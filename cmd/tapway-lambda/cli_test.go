package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// destination keeps what it is given, and refuses what names the endpoint /refused.
type destination struct {
	mu  sync.Mutex
	got [][]byte
}

func (d *destination) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if gjson.GetBytes(body, "endpoint").String() == "/refused" {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, body)
}

// take gives what has come since, each valid, by endpoint.
func (d *destination) take(t *testing.T) map[string][]byte {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string][]byte{}
	for _, rec := range d.got {
		recordtest.Validate(t, rec)
		out[gjson.GetBytes(rec, "endpoint").String()] = rec
	}
	if len(out) != len(d.got) {
		t.Errorf("%d deliveries of %d records", len(d.got), len(out))
	}
	d.got = nil
	return out
}

// start runs the bootstrap under a Runtime API of its own.
func start(t *testing.T, bin string, env ...string) *runtimetest.API {
	t.Helper()
	api := runtimetest.Config{Timeout: 30 * time.Second}.Start(t)
	var log bytes.Buffer
	process := api.Go(func(ctx context.Context) error {
		cmd := command(ctx, bin, append(env, "AWS_LAMBDA_RUNTIME_API="+api.Addr())...)
		cmd.Stderr = &log
		if err := cmd.Run(); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
	t.Cleanup(func() {
		if err := process.Stop(); err != nil || t.Failed() {
			t.Logf("%s: %v\n%s", env[0], err, log.String())
		}
	})
	return api
}

func frozen(t *testing.T, api *runtimetest.API) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := api.WaitFrozen(ctx); err != nil {
		t.Fatal(err)
	}
}

// bodies are what goes in and comes back, by path.
func bodies(t *testing.T) map[string]struct{ contentType, coding, body string } {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(z, `{"compressed":"é"}`); err != nil || z.Close() != nil {
		t.Fatal("gzip fails")
	}
	return map[string]struct{ contentType, coding, body string }{
		"/small":      {"application/json", "", `{"name":"morpheus","password":"hunter2"}`},
		"/text":       {"text/plain; charset=utf-8", "", "grüße \"\\\n\t"},
		"/binary":     {"application/octet-stream", "", "\xff\x00\x01\xfe"},
		"/compressed": {"application/json", "gzip", zipped.String()},
		"/large":      {"text/plain", "", strings.Repeat("0123456789abcdef", 6<<10)}, // 96 KiB, twice, over the queue's 64 KiB
	}
}

// TestCommandLine: events go in at the proxy, the AWS CLI takes their messages out of SQS, and the bytes
// come out at the destination; what the CLI sends is delivered as well, and what cannot be is
// in the dead-letter queue, where the CLI sees why.
func TestCommandLine(t *testing.T) {
	m := startMoto(t)
	bin := build(t)
	m.create([]newQueue{{name: "records-dead"}, {"records", map[string]string{
		"MaximumMessageSize": "65536", "RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:records-dead","maxReceiveCount":"1000"}`,
	}}}, "objects")
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = r.Header["Content-Type"]
		if coding := r.Header.Get("Content-Encoding"); coding != "" {
			w.Header().Set("Content-Encoding", coding)
		}
		body, _ := io.ReadAll(r.Body) // or net/http cuts its own answer short
		_, _ = w.Write(body)
	}))
	defer backend.Close()
	d := new(destination)
	sink := httptest.NewServer(d)
	defer sink.Close()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "tapway.yaml"), fmt.Appendf(nil, "destinations: [{name: siem, url: %q, retry: {max_attempts: 1}}]\n", sink.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	endpoints := []string{"AWS_ENDPOINT_URL_SQS=" + m.url, "AWS_ENDPOINT_URL_S3=" + m.url, "TAPWAY_BUCKET=objects"}
	proxy := start(t, bin, append(endpoints, "TAPWAY_ROLE=proxy", "TAPWAY_BACKEND="+backend.URL, "TAPWAY_QUEUE=records")...)
	forwarder := start(t, bin, append(endpoints, "TAPWAY_ROLE=forwarder", "LAMBDA_TASK_ROOT="+root)...)
	forward := func(all []message) {
		t.Helper()
		result := forwarder.Invoke(t.Context(), m.event("records", all))
		if result.Err != nil || result.Error != nil || string(result.Body) != `{"batchItemFailures":[]}` {
			t.Fatalf("the forwarder answers %s, %v, %v", result.Body, result.Error, result.Err)
		}
		frozen(t, forwarder)
	}

	pass(t, proxy)
	all := m.receive("records", len(bodies(t)))
	pointers := 0
	for _, one := range all {
		if _, ok := one.MessageAttributes["ExtendedPayloadSize"]; ok {
			pointers++
		}
	}
	if pointers != 1 {
		t.Errorf("%d of the messages are in the bucket, want the large one", pointers)
	}
	forward(all)
	arrived := d.take(t)
	checkArrived(t, arrived)

	again := string(arrived["/text"]) // a plain record by the CLI
	m.aws("sqs", "send-message", "--queue-url", m.queue("records"), "--message-body", m.file([]byte(again)))
	m.aws("sqs", "send-message-batch", "--queue-url", m.queue("records"), "--entries", m.json([]map[string]string{
		{"Id": "1", "MessageBody": strings.Replace(again, `"endpoint":"/text"`, `"endpoint":"/refused"`, 1)}, {"Id": "2", "MessageBody": "this is no record"},
	}))
	forward(m.receive("records", 3))
	if got := d.take(t); len(got) != 1 || string(got["/text"]) != again {
		t.Errorf("the CLI's record arrived as %s", got["/text"])
	}
	checkDead(t, m.receive("records-dead", 2))
}

// pass sends every body through the proxy and checks what the client gets.
func pass(t *testing.T, proxy *runtimetest.API) {
	t.Helper()
	for path, tt := range bodies(t) {
		r := eventtest.Request{Method: "POST", Target: path + "?a=b", Body: []byte(tt.body), BinaryMediaTypes: []string{"*/*"},
			Header: []tapway.Field{{Name: "Content-Type", Value: tt.contentType}, {Name: "Accept", Value: "*/*"}, {Name: "Authorization", Value: "Bearer hunter2"}}}
		if tt.coding != "" {
			r.Header = append(r.Header, tapway.Field{Name: "Content-Encoding", Value: tt.coding})
		}
		event, err := eventtest.REST.Event(r)
		if err != nil {
			t.Fatal(err)
		}
		result := proxy.Invoke(t.Context(), event)
		if result.Err != nil || result.Error != nil {
			t.Fatalf("%s: %v %v", path, result.Err, result.Error)
		}
		resp, err := eventtest.REST.Response(r, result.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Status != 200 || string(resp.Body) != tt.body || resp.Header.Get("Content-Encoding") != tt.coding {
			t.Errorf("%s: the client got %d, %d bytes, %v", path, resp.Status, len(resp.Body), resp.Header)
		}
	}
	frozen(t, proxy)
}

func checkArrived(t *testing.T, arrived map[string][]byte) {
	t.Helper()
	all := bodies(t)
	if len(arrived) != len(all) {
		t.Errorf("%d records arrived", len(arrived))
	}
	want := map[string]string{ // as JSON
		"/small":      `{"name":"morpheus","password":"[REDACTED]"}`,
		"/binary":     `"` + base64.StdEncoding.EncodeToString([]byte(all["/binary"].body)) + `"`,
		"/compressed": `{"compressed":"é"}`,
	}
	for path, tt := range all {
		rec := gjson.ParseBytes(arrived[path])
		for _, side := range []string{"body", "response"} {
			got := rec.Get(side)
			if text, ok := want[path]; ok && got.Raw != text || !ok && got.String() != tt.body {
				t.Errorf("%s: %s is %.200s", path, side, got.Raw)
			}
			if n := rec.Get(side + "_info.size").Int(); n != int64(len(tt.body)) {
				t.Errorf("%s: %s has %d bytes, want %d", path, side, n, len(tt.body))
			}
		}
		if strings.Contains(rec.Raw, "hunter2") {
			t.Errorf("%s: a secret arrived", path)
		}
	}
}

func checkDead(t *testing.T, all []message) {
	t.Helper()
	for _, one := range all {
		value := func(name string) string { return one.MessageAttributes["tapway."+name].StringValue }
		reason, status := "it is not a record", ""
		if strings.Contains(one.Body, "/refused") {
			reason, status = "gave up after 1 attempt", "422"
		}
		if !strings.Contains(value("reason"), reason) || value("status") != status || value("destination") != "siem" || value("attempts") != "1" {
			t.Errorf("the dead letter %.60s has %v", one.Body, one.MessageAttributes)
		}
		if _, err := time.Parse(time.RFC3339Nano, value("died")); err != nil {
			t.Errorf("it died at %q", value("died"))
		}
	}
}
