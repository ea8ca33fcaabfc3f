package sqsqueue

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// strict is an SQS that refuses calls of another time than its own, which is ahead of ours.
type strict struct {
	aws.HTTPClient
	ahead   atomic.Int64
	refused atomic.Int64
}

func (s *strict) Do(r *http.Request) (*http.Response, error) {
	now := time.Now().Add(time.Duration(s.ahead.Load()))
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err == nil && at.Sub(now).Abs() < 5*time.Minute {
		return s.HTTPClient.Do(r)
	}
	s.refused.Add(1)
	return &http.Response{
		StatusCode: http.StatusForbidden, Header: http.Header{"Date": {now.UTC().Format(http.TimeFormat)}},
		Body: io.NopCloser(strings.NewReader(`{"__type":"com.amazon.coral.service#InvalidSignatureException"}`)),
	}, nil
}

// TestClock: a record is not lost because the machine's clock has jumped, there or back.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &strict{}
		w := newWorld(t, func(w *world, c *Config) {
			onlyA(w, c)
			s.HTTPClient = w.sqs.Client()
			cfg := staticConfig()
			cfg.HTTPClient = s
			c.Client = awssqs.New(cfg, aws.String(sqstest.URL))
		})
		for i, ahead := range []time.Duration{0, time.Hour, 0, -time.Hour} {
			s.ahead.Store(int64(ahead))
			if err := w.q.Enqueue(t.Context(), queuetest.Exchange(i, 10)); err != nil {
				t.Errorf("SQS's clock is %v ahead: %v", ahead, err)
			}
		}
		if n := s.refused.Load(); n != 3 {
			t.Errorf("%d calls were refused, want one for each jump", n)
		}
	})
}
