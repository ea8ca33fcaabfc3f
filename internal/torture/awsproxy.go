package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// cloudProxy stands before SQS or S3 and spoils calls: errors, throttling, lost connections
// before and after the call was done, slowness, and batches of which a part fails.
type cloudProxy struct {
	*httptest.Server
	name   string
	faults *tally
	pass   http.Handler

	mu      sync.Mutex
	random  *rand.Rand
	share   int                 // one in so many calls is spoiled; 0: none
	away    bool                // no call gets through
	handles map[string]receipts // by queue URL
}

// receipts are the handles under which messages of a queue were given out.
type receipts map[string]bool

func newCloudProxy(name, upstream string, seed uint64, faults *tally) (*cloudProxy, error) {
	u, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	x := &cloudProxy{name: name, faults: faults, share: 8, random: rand.New(rand.NewPCG(seed, 5)), handles: map[string]receipts{}}
	x.pass = &httputil.ReverseProxy{
		ErrorLog:     quiet,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host // it is signed
		},
	}
	x.Server = httptest.NewUnstartedServer(x)
	x.Config.ErrorLog = quiet
	x.Start()
	return x, nil
}

func (x *cloudProxy) set(f func(*cloudProxy)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f(x)
}

func (x *cloudProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// What has begun is done to its end, as it is in AWS: a message that is given out to a process which
	// is killed meanwhile has a lease, and its handle must be known to end that.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	r = r.WithContext(ctx)
	x.mu.Lock()
	fault := -1
	if x.away {
		fault = 2
	} else if x.share > 0 && x.random.IntN(x.share) == 0 {
		fault = x.random.IntN(6)
	}
	pick := x.random.IntN(10)
	x.mu.Unlock()
	switch fault {
	case 0:
		x.faults.add(x.name + " 500")
		x.refuse(w, http.StatusInternalServerError, "InternalError")
		return
	case 1:
		x.faults.add(x.name + " throttles")
		x.refuse(w, http.StatusServiceUnavailable, map[string]string{"s3": "SlowDown", "sqs": "ThrottlingException"}[x.name])
		return
	case 2:
		x.faults.add(x.name + " resets")
		panic(http.ErrAbortHandler)
	case 3:
		x.faults.add(x.name + " slow")
		time.Sleep(time.Duration(pick) * 30 * time.Millisecond)
	case 4:
		x.faults.add(x.name + " does it, answer lost")
		if x.name == "sqs" {
			x.queues(httptest.NewRecorder(), r, false, pick) // what was given out is remembered all the same
		} else {
			x.pass.ServeHTTP(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler)
	}
	if x.name == "sqs" {
		x.queues(w, r, fault == 5, pick)
		return
	}
	x.pass.ServeHTTP(w, r)
}

func (x *cloudProxy) refuse(w http.ResponseWriter, status int, code string) {
	if x.name == "sqs" {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amzn-Query-Error", code+";Sender")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"__type": "com.amazonaws.sqs#" + code, "message": "torture"})
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	io.WriteString(w, "<Error><Code>"+code+"</Code><Message>torture</Message></Error>")
}

// queues passes a call to SQS on, keeps the handles of what is received, and may let a part of a
// batch fail: those entries never reach SQS.
func (x *cloudProxy) queues(w http.ResponseWriter, r *http.Request, part bool, pick int) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in map[string]any
	if err := json.Unmarshal(body, &in); err != nil {
		in = map[string]any{}
	}
	var failed []map[string]any
	if entries, ok := in["Entries"].([]any); ok && part && len(entries) > 1 {
		x.faults.add("sqs fails a part of a batch")
		at := pick % len(entries)
		entry, _ := entries[at].(map[string]any)
		failed = append(failed, map[string]any{"Id": entry["Id"], "SenderFault": false, "Code": "InternalError", "Message": "torture"})
		in["Entries"] = append(append([]any{}, entries[:at]...), entries[at+1:]...)
		if body, err = json.Marshal(in); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	if len(failed) == 0 && action != "ReceiveMessage" {
		x.pass.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	x.pass.ServeHTTP(rec, r)
	var out map[string]any
	answer := rec.Body.Bytes()
	if rec.Code == http.StatusOK && json.Unmarshal(answer, &out) == nil {
		queue, _ := in["QueueUrl"].(string)
		x.remember(queue, out["Messages"])
		if len(failed) > 0 {
			list, _ := out["Failed"].([]any)
			for _, f := range failed {
				list = append(list, f)
			}
			out["Failed"] = list
			answer, _ = json.Marshal(out)
		}
	}
	for name, values := range rec.Header() {
		if name != "Content-Length" && name != "X-Amz-Crc32" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(rec.Code)
	w.Write(answer)
}

func (x *cloudProxy) remember(queue string, messages any) {
	list, _ := messages.([]any)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, m := range list {
		message, _ := m.(map[string]any)
		if handle, ok := message["ReceiptHandle"].(string); ok {
			if x.handles[queue] == nil {
				x.handles[queue] = receipts{}
			}
			x.handles[queue][handle] = true
		}
	}
}

// release makes all messages visible that were given out, also to a process which is gone. What is
// deleted by now, or not given out any more, is refused; what fails is tried the next time.
func (x *cloudProxy) release(client *http.Client) error {
	x.mu.Lock()
	handles := x.handles
	x.handles = map[string]receipts{}
	x.mu.Unlock()
	for queue, all := range handles {
		for handle := range all {
			body, err := json.Marshal(map[string]any{"QueueUrl": queue, "ReceiptHandle": handle, "VisibilityTimeout": 0})
			if err != nil {
				return err
			}
			req, err := http.NewRequest(http.MethodPost, x.URL, bytes.NewReader(body))
			if err != nil {
				return err
			}
			req.Header.Set("Content-Type", "application/x-amz-json-1.0")
			req.Header.Set("X-Amz-Target", "AmazonSQS.ChangeMessageVisibility")
			req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=0")
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			resp.Body.Close()
			if resp.StatusCode >= 500 {
				x.remember(queue, []any{map[string]any{"ReceiptHandle": handle}})
			}
		}
	}
	return nil
}
