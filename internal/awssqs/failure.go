package awssqs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/tapway/tapway/internal/awsbase"
)

// Error is SQS's refusal of a call. It is a smithy.APIError, and has the status as the SDK's errors have it.
type Error struct {
	Operation string
	Status    int    // of the HTTP answer
	Code      string // as the SDK has it: of the older protocol where SQS tells it, "AWS.SimpleQueueService.NonExistentQueue"; never ""
	Message   string // the first paragraph of SQS's, at most 400 bytes of it, perhaps ""
	RequestID string // for AWS's support
	Sender    bool   // SQS blames the caller

	clock bool
}

var _ smithy.APIError = (*Error)(nil)

func (e *Error) Error() string {
	text := fmt.Sprintf("SQS %s: status %d, %s", e.Operation, e.Status, e.Code)
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

// ErrorFault tells whom SQS blames.
func (e *Error) ErrorFault() smithy.ErrorFault {
	if e.Sender {
		return smithy.FaultClient
	}
	return smithy.FaultServer
}

// HTTPStatusCode is Status.
func (e *Error) HTTPStatusCode() int { return e.Status }

// ClockSet reports whether the call was refused because our clock is wrong, and the next one goes by SQS's.
func (e *Error) ClockSet() bool { return e.clock }

// refusal reads an error: its name is in __type, perhaps behind a namespace, or in a header, and the older
// protocol's in a header of its own, with whose fault it is.
func refusal(operation string, resp *http.Response, answer []byte) *Error {
	var said struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"` // encoding/json takes "Message" as well
	}
	_ = json.Unmarshal(answer, &said) // a gateway on the way may answer with anything
	e := &Error{
		Operation: operation, Status: resp.StatusCode, Message: awsbase.Said(said.Message),
		RequestID: resp.Header.Get("X-Amzn-Requestid"), Sender: resp.StatusCode < http.StatusInternalServerError,
	}
	for _, code := range []string{resp.Header.Get("X-Amzn-Errortype"), said.Type, said.Code} {
		code, _, _ = strings.Cut(code, ":")
		if e.Code = code[strings.LastIndexByte(code, '#')+1:]; e.Code != "" {
			break
		}
	}
	if code, fault, ok := strings.Cut(resp.Header.Get("X-Amzn-Query-Error"), ";"); ok && code != "" {
		e.Code, e.Sender = code, fault == "Sender"
	}
	if e.Code = awsbase.Shorten(e.Code, 80); e.Code == "" {
		e.Code = "UnknownError"
	}
	return e
}
