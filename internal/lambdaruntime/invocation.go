package lambdaruntime

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Invocation is one event and what the Runtime API says about it.
type Invocation struct {
	RequestID       string    // the id in AWS's logs; never empty
	Deadline        time.Time // when Lambda ends the invocation, work after the reply included; zero: not told
	TraceID         string    // X-Ray's header, "Root=1-…;Parent=…;Sampled=1"; often empty
	FunctionARN     string    // as invoked: its end is the alias or version, if the caller named one
	ClientContext   string    // JSON, only from AWS's mobile SDKs
	CognitoIdentity string    // JSON, likewise
	TenantID        string    // of functions with tenant isolation
	Event           []byte    // the handler's to keep, unless it gives it back by Reply.Spent
	First           bool      // the first of this process: a cold start
}

type traceKey struct{}

// TraceID returns the X-Ray header of the invocation that ctx belongs to, "" if there is
// none. It works in the handler and in [Reply.After], with any concurrency; the environment
// variable _X_AMZN_TRACE_ID is set only where a process handles one invocation at a time.
func TraceID(ctx context.Context) string {
	id, _ := ctx.Value(traceKey{}).(string)
	return id
}

// newInvocation reads the header of an answer to /next. A deadline that makes no sense is no
// deadline: it must not cost the caller its reply.
func newInvocation(h getter, event []byte) (*Invocation, error) {
	in := &Invocation{
		RequestID:       h.Get("Lambda-Runtime-Aws-Request-Id"),
		TraceID:         h.Get("Lambda-Runtime-Trace-Id"),
		FunctionARN:     h.Get("Lambda-Runtime-Invoked-Function-Arn"),
		ClientContext:   h.Get("Lambda-Runtime-Client-Context"),
		CognitoIdentity: h.Get("Lambda-Runtime-Cognito-Identity"),
		TenantID:        h.Get("Lambda-Runtime-Aws-Tenant-Id"),
		Event:           event,
	}
	if in.RequestID == "" {
		return nil, errors.New("an invocation without a request id")
	}
	if !validID(in.RequestID) {
		return nil, fmt.Errorf("an invocation with the request id %.80q", in.RequestID)
	}
	in.Deadline = parseDeadline(h.Get("Lambda-Runtime-Deadline-Ms"))
	return in, nil
}

// validID says whether id may stand in a request path as it is: RFC 3986 unreserved, and no
// dot segment.
func validID(id string) bool {
	if len(id) > 256 || id == "." || id == ".." {
		return false
	}
	for _, b := range []byte(id) {
		if !isWord(b) && b != '~' {
			return false
		}
	}
	return id != ""
}

func isWord(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_' || b == '.'
}

const lastDeadline = 253402300799999 // the last millisecond of the year 9999

// parseDeadline reads milliseconds since 1970; the zero time if that is not what they are.
func parseDeadline(ms string) time.Time {
	n, err := strconv.ParseUint(ms, 10, 64)
	if err != nil || n == 0 || n > lastDeadline {
		return time.Time{}
	}
	return time.UnixMilli(int64(n))
}
