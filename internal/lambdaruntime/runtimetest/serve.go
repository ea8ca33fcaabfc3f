package runtimetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

func (a *API) intercepted(call string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.cfg.Intercept != nil && a.cfg.Intercept(call, w, r) {
			return
		}
		h(w, r)
	}
}

// next gives a loop its next invocation. Of several loops it is not known which one is back; it
// is taken to be the one that answered longest ago.
func (a *API) next(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if i := slices.IndexFunc(a.begun, func(v *invocation) bool { return v.answered }); i >= 0 {
		a.begun[i].timer.Stop()
		a.begun = slices.Delete(a.begun, i, i+1)
	} else if len(a.begun) >= a.cfg.Concurrency {
		a.violationLocked("/next while invocation %s is not answered", a.begun[0].id)
		a.mu.Unlock()
		refuse(w, http.StatusForbidden, "InvalidStateTransition")
		return
	}
	a.waiting++
	a.noteLocked(Next, "")
	a.mu.Unlock()

	var v *invocation
	select {
	case v = <-a.queue:
	case <-a.stop:
		panic(http.ErrAbortHandler) // the connection ends without an answer
	case <-r.Context().Done():
	}

	a.mu.Lock()
	a.waiting--
	if v == nil {
		a.mu.Unlock()
		return
	}
	a.pending--
	a.begun = append(a.begun, v)
	timeout := v.call.Timeout
	if timeout == 0 {
		timeout = a.cfg.Timeout
	}
	deadline := time.Now().Add(timeout)
	v.timer = time.AfterFunc(timeout, func() { a.timeOut(v, timeout) })
	a.noteLocked(Delivered, v.id)
	a.mu.Unlock()
	a.deliver(w, v, deadline)
}

func (a *API) deliver(w http.ResponseWriter, v *invocation, deadline time.Time) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", v.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", a.cfg.FunctionARN)
	if v.call.TraceID != "" {
		h.Set("Lambda-Runtime-Trace-Id", v.call.TraceID)
	}
	for name, values := range v.call.Header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	if v.call.Chunked {
		w.(http.Flusher).Flush()
	} else {
		h.Set("Content-Length", strconv.Itoa(len(v.call.Event)))
	}
	w.Write(v.call.Event)
}

// timeOut is where Lambda would kill the process: the caller gets an error unless it has a reply.
func (a *API) timeOut(v *invocation, timeout time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noteLocked(TimedOut, v.id)
	if !v.answered {
		v.answered, v.late = true, true
		v.fail(&FunctionError{Type: "Sandbox.Timedout", Message: fmt.Sprintf("Task timed out after %.2f seconds", timeout.Seconds())})
	}
}

// take finds the invocation that a POST answers, and marks it answered.
func (a *API) take(w http.ResponseWriter, r *http.Request) *invocation {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.known[r.PathValue("id")]
	if v == nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestID")
		return nil
	}
	if v.late {
		refuse(w, http.StatusGone, "InvokeTimeout")
		return nil
	}
	if v.answered {
		refuse(w, http.StatusForbidden, "InvalidStateTransition")
		return nil
	}
	v.answered = true
	return v
}

func (a *API) note(what, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noteLocked(what, id)
}

func (a *API) response(w http.ResponseWriter, r *http.Request) {
	v := a.take(w, r)
	if v == nil {
		return
	}
	if mode := r.Header.Get("Lambda-Runtime-Function-Response-Mode"); mode == "streaming" {
		a.stream(w, r, v)
		return
	} else if mode != "" {
		v.fail(&FunctionError{Type: "Runtime.InvalidResponseModeHeader", Message: mode})
		refuse(w, http.StatusBadRequest, "InvalidFunctionResponseMode")
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(a.cfg.MaxReply)+1))
	if err != nil {
		v.fail(&FunctionError{Type: "Runtime.TruncatedResponse", Message: err.Error()})
		refuse(w, http.StatusBadRequest, "TruncatedHTTPRequest")
		return
	}
	if len(body) > a.cfg.MaxReply {
		a.note(Refused, v.id)
		v.fail(&FunctionError{Type: "Function.ResponseSizeTooLarge", Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", a.cfg.MaxReply)})
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge")
		return
	}
	a.note(ReplyBegun, v.id)
	v.trailer = r.Trailer
	close(v.ended)
	v.answer(&Response{ContentType: r.Header.Get("Content-Type"), Body: io.NopCloser(bytes.NewReader(body))})
	a.accept(w, ReplyDone, v)
}

// stream passes the body on as it comes. A caller that went away does not stop the function:
// the rest is read and thrown away, as Lambda does.
func (a *API) stream(w http.ResponseWriter, r *http.Request, v *invocation) {
	pr, pw := io.Pipe()
	a.note(ReplyBegun, v.id)
	v.answer(&Response{ContentType: r.Header.Get("Content-Type"), Streaming: true, Body: pr})
	_, err := io.Copy(onlyWriter{pw}, r.Body)
	if errors.Is(err, io.ErrClosedPipe) {
		_, err = io.Copy(io.Discard, r.Body)
	}
	v.trailer = r.Trailer
	close(v.ended)
	if err != nil {
		pw.CloseWithError(&FunctionError{Type: "Runtime.TruncatedResponse", Message: err.Error()})
		refuse(w, http.StatusBadRequest, "TruncatedHTTPRequest")
		return
	}
	pw.CloseWithError(streamError(r.Trailer)) // nil is io.EOF
	a.accept(w, ReplyDone, v)
}

// onlyWriter keeps io.Copy from other ways to copy, so that every piece passes when it comes.
type onlyWriter struct{ io.Writer }

func (a *API) failed(w http.ResponseWriter, r *http.Request) {
	v := a.take(w, r)
	if v == nil {
		return
	}
	e, err := a.readError(r)
	if err != nil {
		v.fail(&FunctionError{Type: "Runtime.Unknown", Message: err.Error()})
		refuse(w, http.StatusBadRequest, "InvalidErrorShape")
		return
	}
	v.fail(e)
	a.accept(w, Failed, v)
}

func (a *API) initFailed(w http.ResponseWriter, r *http.Request) {
	e, err := a.readError(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidErrorShape")
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.initErr = e
	a.noteLocked(InitFailed, "")
	w.WriteHeader(http.StatusAccepted)
}

func (a *API) readError(r *http.Request) (*FunctionError, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	e, err := decodeError(r.Header.Get("Lambda-Runtime-Function-Error-Type"), r.Header, raw)
	if err != nil {
		return nil, fmt.Errorf("the error %q: %w", raw, err)
	}
	return e, nil
}

func (a *API) accept(w http.ResponseWriter, what string, v *invocation) {
	a.note(what, v.id)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, `{"status":"OK"}`+"\n")
}

func refuse(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errorMessage":%q,"errorType":%q}`+"\n", http.StatusText(status), kind)
}
