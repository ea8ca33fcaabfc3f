package awsec2

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/tapway/tapway/internal/awsbase"
)

// Error is EC2's refusal of a call. It is a smithy.APIError, and has the status as the SDK's errors have it.
type Error struct {
	Status    int    // of the HTTP answer
	Code      string // "InvalidGroup.NotFound"; "UnknownError" when it said none
	Message   string // the first paragraph of EC2's, perhaps ""
	RequestID string // for AWS's support
}

var _ smithy.APIError = (*Error)(nil)

func (e *Error) Error() string {
	text := fmt.Sprintf("status %d, %s", e.Status, e.Code)
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// ErrorCode is Code.
func (e *Error) ErrorCode() string { return e.Code }

// ErrorMessage is Message.
func (e *Error) ErrorMessage() string { return e.Message }

// ErrorFault tells by the status whom EC2 blames.
func (e *Error) ErrorFault() smithy.ErrorFault {
	if e.Status >= http.StatusInternalServerError {
		return smithy.FaultServer
	}
	return smithy.FaultClient
}

// HTTPStatusCode is Status.
func (e *Error) HTTPStatusCode() int { return e.Status }

// refusal reads an error.
func refusal(resp *http.Response, answer []byte) *Error {
	var said struct {
		XMLName   xml.Name `xml:"Response"`
		Code      string   `xml:"Errors>Error>Code"`
		Message   string   `xml:"Errors>Error>Message"`
		RequestID string   `xml:"RequestID"`
	}
	e := &Error{Status: resp.StatusCode, Code: "UnknownError", RequestID: resp.Header.Get("X-Amzn-Requestid")}
	if xml.Unmarshal(answer, &said) != nil { // a gateway on the way may answer with anything
		return e
	}
	if code := strings.TrimSpace(said.Code); code != "" {
		e.Code = code
	}
	if said.RequestID != "" {
		e.RequestID = said.RequestID
	}
	e.Message = awsbase.Said(said.Message)
	return e
}

// connectionError is a call that did not arrive, or whose answer did not. The SDK's retryers know it by
// its method.
type connectionError struct{ error }

func (e connectionError) Unwrap() error       { return e.error }
func (connectionError) ConnectionError() bool { return true }
