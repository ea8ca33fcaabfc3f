package apitest

import (
	"encoding/json"
	"fmt"
	"net/http"

	"sync/atomic"
)

// Error is an answer that refuses a call.
type Error struct {
	Status  int
	Code    string // "NotFoundException"
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message) }

func (e *Error) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amzn-Errortype", e.Code)
	if e.Status == http.StatusTooManyRequests {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(e.Status)
	fmt.Fprintf(w, `{"message":%s}`, quote(e.Message))
}

func refuse(format string, args ...any) error {
	return &Error{http.StatusBadRequest, "BadRequestException", fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) error {
	return &Error{http.StatusConflict, "ConflictException", fmt.Sprintf(format, args...)}
}

func missing(format string, args ...any) error {
	return &Error{http.StatusNotFound, "NotFoundException", fmt.Sprintf(format, args...)}
}

func exceeded(format string, args ...any) error {
	return &Error{http.StatusTooManyRequests, "LimitExceededException", fmt.Sprintf(format, args...)}
}

// Fault is what goes wrong with a call.
type Fault struct {
	// After lets the call take effect first: only its answer is lost or replaced.
	After bool

	// Err is the answer; nil cuts the connection without one.
	Err *Error
}

// The usual faults. Cut never reached the server, Lost did and its answer got lost; Refused
// lacks a permission, Broken is a server error and Throttled a rate (a client may try
// again), Concurrent is another user's change at the same time.
var (
	Cut     = &Fault{}
	Lost    = &Fault{After: true}
	Refused = &Fault{Err: &Error{http.StatusForbidden, "AccessDeniedException", "User: arn:aws:iam::123456789012:user/test is not authorized to perform this call"}}
	Broken  = &Fault{Err: &Error{http.StatusInternalServerError, "InternalFailure", "Internal failure"}}

	Throttled  = &Fault{Err: &Error{http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests"}}
	Concurrent = &Fault{Err: &Error{http.StatusConflict, "ConflictException", "Unable to complete operation due to concurrent modification. Please try again later."}}
)

func (f *Fault) write(w http.ResponseWriter) {
	if f.Err == nil {
		panic(http.ErrAbortHandler) // net/http closes the connection without an answer
	}
	f.Err.write(w)
}

// FailNth gives a Before that lets the nth call (from 1) fail; once says that the calls
// after it succeed again, otherwise all fail from there on, as for a client that died.
func FailNth(n int, f *Fault, once bool) func(string, *http.Request) *Fault {
	var calls atomic.Int64
	return func(string, *http.Request) *Fault {
		if i := int(calls.Add(1)); i == n || i > n && !once {
			return f
		}
		return nil
	}
}

func quote(s string) string {
	text, _ := json.Marshal(s) // a string always has a JSON form
	return string(text)
}
