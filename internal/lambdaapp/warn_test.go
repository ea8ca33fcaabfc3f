package lambdaapp

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

// The timeout that the documentation asks for is enough: what has passed of it when the event comes does not count. A deadline
// that is over tells nothing of the timeout, and the next one is heard.
func TestTimeoutWarning(t *testing.T) {
	for _, tt := range []struct {
		left    []time.Duration // of the invocations, one after the other
		timeout time.Duration
		want    []string
	}{
		{[]time.Duration{13*time.Second - 5*time.Millisecond}, 11 * time.Second, nil},
		{[]time.Duration{13*time.Second + 5*time.Millisecond}, 11 * time.Second, nil},
		{[]time.Duration{12*time.Second - 5*time.Millisecond}, 11 * time.Second, []string{`"function_timeout":"12s"`, `"cut_off_after":"10s"`}},
		{[]time.Duration{4*time.Second - 5*time.Millisecond}, 3 * time.Second, nil},
		{[]time.Duration{3*time.Second - 5*time.Millisecond}, 3 * time.Second, []string{`"cut_off_after":"2.3s"`}},
		{[]time.Duration{900 * time.Second}, 0, []string{`"proxy_timeout":"0s"`}},
		{[]time.Duration{-5 * time.Second}, 11 * time.Second, nil},
		{[]time.Duration{-5 * time.Second, 4 * time.Second, 3 * time.Second}, 11 * time.Second, []string{`"function_timeout":"4s"`}},
	} {
		log := new(buffer)
		p := &proxyFunction{timeout: tt.timeout, log: NewLog(log, slog.LevelInfo)}
		for _, left := range tt.left {
			p.warn(left)
		}
		if lines := strings.Count(log.String(), "\n"); lines != min(len(tt.want), 1) {
			t.Errorf("%v, %v: %d lines: %s", tt.left, tt.timeout, lines, log)
		}
		for _, want := range tt.want {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%v, %v: %s, want %s in it", tt.left, tt.timeout, log, want)
			}
		}
	}
}
