package lambdaapp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway/internal/awsbase"
)

// mapping is what is known of the event source mapping that joins a queue to this function. Without
// ReportBatchItemFailures Lambda deletes every message of a batch that is answered, whatever the answer says.
type mapping struct {
	asked time.Time
	done  chan struct{} // closed when whole is known
	whole bool          // it knows nothing but whole batches
}

// mended is when a mapping that knows only whole batches is asked about again: somebody may have mended it.
const mended = time.Minute

func (m *mapping) stale() bool {
	select {
	case <-m.done:
		return m.whole && time.Since(m.asked) >= mended
	default:
		return false
	}
}

// mappings asks once for each queue, beside the first deliveries, so that it costs them no time.
type mappings struct {
	ask func(ctx context.Context, function, queue string) (whole bool, err error) // nil: nobody can be asked
	log *slog.Logger

	mu      sync.Mutex
	byQueue map[string]*mapping
}

// of gives the mapping of a queue to a function, which is being asked about from now on.
func (m *mappings) of(ctx context.Context, function, queue string) *mapping {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.byQueue[queue]
	if one != nil && !one.stale() {
		return one
	}
	one = &mapping{asked: time.Now(), done: make(chan struct{})}
	if m.ask == nil || queue == "" || function == "" {
		close(one.done)
		return one
	}
	if m.byQueue == nil {
		m.byQueue = map[string]*mapping{}
	}
	m.byQueue[queue] = one
	go func() {
		defer close(one.done)
		ctx, cancel := context.WithTimeout(ctx, adviceTime)
		defer cancel()
		var err error
		switch one.whole, err = m.ask(ctx, function, queue); {
		case err != nil:
			m.log.Debug("the event source mapping could not be checked; that needs lambda:ListEventSourceMappings", "queue", queueName(queue), "error", err)
		case one.whole:
			m.log.Error("the event source mapping has no ReportBatchItemFailures: until it has, a batch with a failure ends as a failed invocation, so that Lambda does not delete what was not delivered; set its FunctionResponseTypes", "queue", queueName(queue), "function", function)
		}
	}()
	return one
}

// known gives the mapping of a queue that was asked about; nil when it was not.
func (m *mappings) known(queue string) *mapping {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byQueue[queue]
}

// wholeBatches waits until it is known, which is not long.
func (m *mapping) wholeBatches(ctx context.Context) bool {
	if m == nil {
		return false
	}
	select {
	case <-m.done:
		return m.whole
	case <-ctx.Done():
		return false
	}
}

// wholeBatches asks Lambda what the mapping of a queue to a function reports. See
// https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html.
func (f *functions) wholeBatches(ctx context.Context, function, queue string) (bool, error) {
	parts := strings.Split(queue, ":")
	if len(parts) != 6 {
		return false, fmt.Errorf("%q is not the ARN of a queue", queue)
	}
	region := parts[3]
	base := "https://lambda." + region + "." + awsbase.Domain(region)
	if f.endpoint != nil {
		base = strings.TrimSuffix(*f.endpoint, "/")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/2015-03-31/event-source-mappings/?EventSourceArn="+url.QueryEscape(queue), nil)
	if err != nil {
		return false, err
	}
	if f.config.Credentials == nil {
		return false, errors.New("there are no AWS credentials")
	}
	credentials, err := f.config.Credentials.Retrieve(ctx)
	if err != nil {
		return false, err
	}
	f.signer.Sign(req, credentials, region, time.Now(), sha256.Sum256(nil))
	res, err := f.client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch {
	case err != nil:
		return false, err
	case res.StatusCode != http.StatusOK:
		return false, fmt.Errorf("status %d, %s", res.StatusCode, cmp.Or(res.Header.Get("X-Amzn-Errortype"), "UnknownError"))
	case !gjson.ValidBytes(text):
		return false, errors.New("the answer is no JSON")
	}
	return onlyWhole(text, function)
}

// onlyWhole looks for mappings of a function: for the one that was invoked, with its alias, or else for any of its
// versions. One that is disabled invokes nobody.
func onlyWhole(list []byte, function string) (bool, error) {
	for _, same := range []func(arn string) bool{
		func(arn string) bool { return arn == function },
		func(arn string) bool { return unqualified(arn) == unqualified(function) },
	} {
		found, whole := false, false
		for _, one := range gjson.GetBytes(list, "EventSourceMappings").Array() {
			if !same(one.Get("FunctionArn").String()) || strings.HasPrefix(one.Get("State").String(), "Disabl") {
				continue
			}
			found, whole = true, whole || !strings.Contains(one.Get("FunctionResponseTypes").Raw, `"ReportBatchItemFailures"`)
		}
		if found {
			return whole, nil
		}
	}
	return false, errors.New("none of the queue's mappings is this function's")
}
