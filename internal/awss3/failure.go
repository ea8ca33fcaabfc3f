package awss3

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/tapway/tapway/internal/awsbase"
)

// Error is S3's refusal of a call. It is a smithy.APIError, and has the status as the SDK's errors have it.
type Error struct {
	Operation string
	Status    int    // of the HTTP answer
	Code      string // "NoSuchKey"; of an answer without one its status, "NotFound"; never ""
	Message   string // the first paragraph of S3's, perhaps ""
	RequestID string // for AWS's support, with HostID
	HostID    string
	Region    string // where the bucket is, if S3 has said it and it is not where the call went

	skewed bool // S3's clock differs from ours, and the next try goes by S3's
}

var _ smithy.APIError = (*Error)(nil)

func (e *Error) Error() string {
	text := fmt.Sprintf("S3 %s: status %d, %s", e.Operation, e.Status, e.Code)
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ", host " + e.HostID + ")"
	}
	return text
}

// ErrorCode is Code.
func (e *Error) ErrorCode() string { return e.Code }

// ErrorMessage is Message.
func (e *Error) ErrorMessage() string { return e.Message }

// ErrorFault tells whom S3 blames.
func (e *Error) ErrorFault() smithy.ErrorFault {
	if e.Status < http.StatusInternalServerError {
		return smithy.FaultClient
	}
	return smithy.FaultServer
}

// HTTPStatusCode is Status.
func (e *Error) HTTPStatusCode() int { return e.Status }

// wayError is a call that did not reach S3, or whose answer did not come as it was sent.
type wayError struct{ err error }

func (e *wayError) Error() string { return e.err.Error() }
func (e *wayError) Unwrap() error { return e.err }

// refusal reads an error. Not every one has a body.
func (c *Client) refusal(call *call, resp *http.Response, body []byte) *Error {
	e := &Error{
		Operation: call.operation, Status: resp.StatusCode, Region: resp.Header.Get("X-Amz-Bucket-Region"),
		RequestID: resp.Header.Get("X-Amz-Request-Id"), HostID: resp.Header.Get("X-Amz-Id-2"),
	}
	// A gateway on the way may answer with anything.
	_ = walk(body, func(path, value string) {
		switch path {
		case "Error/Code":
			e.Code = awsbase.Shorten(strings.Join(strings.Fields(value), " "), 80)
		case "Error/Message":
			e.Message = awsbase.Said(value)
		case "Error/Region":
			e.Region = strings.Join(strings.Fields(value), " ")
		}
	})
	if e.Code == "" {
		if e.Code = strings.ReplaceAll(http.StatusText(e.Status), " ", ""); e.Code == "" {
			e.Code = "UnknownError"
		}
	}
	if e.Region = awsbase.Shorten(e.Region, 40); e.Region == c.region {
		e.Region = ""
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil && e.Code == "RequestTimeTooSkewed" {
		e.skewed = true
		c.skew.Store(int64(at.Sub(c.now())))
	}
	return e
}
