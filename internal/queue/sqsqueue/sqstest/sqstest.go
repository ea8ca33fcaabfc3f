// Package sqstest is Amazon SQS in this process: standard queues over the JSON 1.0
// protocol, with the limits SQS has and with faults on demand.
//
// What a newcomer gets wrong: it is stricter than most emulators where SQS is strict
// (characters, sizes, old receipt handles, visibility beyond twelve hours), and it takes the time
// from package time, so that in a synctest bubble, reached by [Server.Client], twelve hours pass at
// once. It has no signatures, no FIFO queues, and counts exactly what SQS counts approximately.
package sqstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// The names of this account's queues: http://sqs.test/000000000000/NAME.
const (
	URL     = "http://sqs.test"
	Account = "000000000000"
	Region  = "eu-west-1"
)

// Call is one request, for faults.
type Call struct {
	Action string // "SendMessageBatch"
	Queue  string // its name; "" when the call names none
	Number int    // of this action so far, from 1
	Bodies []string
}

// Fault is what goes wrong with a call.
type Fault struct {
	Delay time.Duration // before anything else

	// Status and Code answer with an error and do nothing: 503 "ServiceUnavailable",
	// 400 "RequestThrottled".
	Status int
	Code   string

	Lost bool // the call is done, but its answer is lost with the connection
	Cut  bool // the connection is lost before the call is done

	// Entries of a batch, by index, that fail alone with Code.
	Entries     []int
	SenderFault bool // of Entries: trying again does not help
}

// Server is the service. The zero Server has no queues and no faults. Set the fields before the
// first call.
type Server struct {
	// Fault is asked before every call; nil, or a nil result, is no fault. It must be safe for
	// concurrent use.
	Fault func(Call) *Fault

	// Order rearranges the messages that could be received now; nil: in the order they were sent.
	Order func(n int, swap func(i, j int))

	// Again reports whether a message that is being received stays visible to others, as
	// at-least-once delivery allows.
	Again func() bool

	// NoGroups refuses message groups, as standard queues did before there were fair queues, and as some
	// services that speak SQS's protocol still do.
	NoGroups bool

	mu      sync.Mutex
	queues  map[string]*queue
	calls   map[string]int
	changed chan struct{}
	ids     uint64
	tasks   []*task
}

// Message is what a queue holds.
type Message struct {
	ID         string
	Body       string
	Attributes map[string]Attribute
	Group      string
	Receives   int
	Sent       time.Time
	Visible    time.Time // not received before
}

// Attribute is a message attribute.
type Attribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

// String is the attribute's text.
func (a Attribute) String() string {
	if a.StringValue == nil {
		return ""
	}
	return *a.StringValue
}

// Create makes a queue and returns its URL. It panics on attributes SQS would refuse.
func (s *Server) Create(name string, attributes map[string]string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := newQueue(name, attributes)
	if err != nil {
		panic(err)
	}
	if s.queues == nil {
		s.queues = map[string]*queue{}
	}
	s.queues[name] = q
	return q.url()
}

// ARN names a queue for a redrive policy.
func ARN(name string) string { return "arn:aws:sqs:" + Region + ":" + Account + ":" + name }

// RedrivePolicy is the attribute that gives a queue its dead-letter queue.
func RedrivePolicy(deadLetters string, maxReceives int) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, ARN(deadLetters), maxReceives)
}

// Messages is what a queue holds, in the order it was sent, whether visible or not.
func (s *Server) Messages(name string) (all []Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.queues[name].messages {
		c := m.Message
		c.Attributes = maps.Clone(c.Attributes)
		all = append(all, c)
	}
	return all
}

// Put stores a message as somebody else would have sent it.
func (s *Server) Put(name, body string, attributes map[string]Attribute) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[name].add(s.newIDLocked(), body, attributes, "", 0)
	s.wakeLocked()
}

// Expire ends every lease and delay of a queue, as if their time were over.
func (s *Server) Expire(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, m := range s.queues[name].messages {
		if m.Visible.After(now) {
			m.Visible = now
		}
	}
	s.wakeLocked()
}

// Calls is how often an action was asked for, "" for all of them together.
func (s *Server) Calls(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if action != "" {
		return s.calls[action]
	}
	n := 0
	for _, c := range s.calls {
		n += c
	}
	return n
}

func (s *Server) newIDLocked() string {
	s.ids++
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", s.ids)
}

func (s *Server) wakeLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

func (s *Server) waitLocked() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// Client reaches the server without a socket.
func (s *Server) Client() *http.Client { return &http.Client{Transport: direct{s}} }

type direct struct{ s *Server }

func (d direct) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	defer func() {
		switch r := recover(); {
		case r == http.ErrAbortHandler && req.Context().Err() != nil:
			err = req.Context().Err()
		case r == http.ErrAbortHandler:
			err = io.ErrUnexpectedEOF
		case r != nil:
			panic(r)
		}
	}()
	var body []byte
	if req.Body != nil {
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body.Close()
	}
	in := req.Clone(req.Context())
	in.Body = io.NopCloser(bytes.NewReader(body))
	w := httptest.NewRecorder()
	d.s.ServeHTTP(w, in)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// apiError is an answer other than 200.
type apiError struct {
	status  int
	code    string // SQS's name for it
	query   string // the name in the older protocol, where it differs
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func refuse(code, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, code: code, message: fmt.Sprintf(format, args...)}
}

var errNoQueue = &apiError{http.StatusBadRequest, "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist."}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	action, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	handle := actions[action]
	if !ok || handle == nil || r.Method != http.MethodPost {
		answer(w, nil, refuse("UnknownOperationException", "%s %q", r.Method, action))
		return
	}
	var in request
	if err := json.Unmarshal(body, &in); err != nil {
		answer(w, nil, refuse("SerializationException", "%v", err))
		return
	}
	f := s.fault(action, &in)
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if f.Cut {
		panic(http.ErrAbortHandler)
	}
	if f.Status != 0 {
		answer(w, nil, &apiError{status: f.Status, code: f.Code, message: "injected"})
		return
	}
	in.fault = f
	out, err := handle(s, r.Context(), &in)
	if f.Lost {
		panic(http.ErrAbortHandler)
	}
	answer(w, out, err)
}

func (s *Server) fault(action string, in *request) Fault {
	s.mu.Lock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[action]++
	c := Call{Action: action, Queue: nameOf(in.QueueUrl), Number: s.calls[action]}
	s.mu.Unlock()
	if s.Fault == nil {
		return Fault{}
	}
	if in.MessageBody != "" {
		c.Bodies = append(c.Bodies, in.MessageBody)
	}
	for _, e := range in.Entries {
		c.Bodies = append(c.Bodies, e.MessageBody)
	}
	if f := s.Fault(c); f != nil {
		return *f
	}
	return Fault{}
}

func nameOf(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

func answer(w http.ResponseWriter, out any, err error) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	var refused *apiError
	if errors.As(err, &refused) {
		query := refused.query
		if query == "" {
			query = refused.code
		}
		side := "Sender"
		if refused.status >= 500 {
			side = "Receiver"
		}
		w.Header().Set("X-Amzn-Query-Error", query+";"+side)
		w.WriteHeader(refused.status)
		out = map[string]string{"__type": "com.amazonaws.sqs#" + refused.code, "message": refused.message}
	}
	if out == nil {
		out = struct{}{}
	}
	json.NewEncoder(w).Encode(out)
}

// queueLocked finds the queue a call is about.
func (s *Server) queueLocked(url string) (*queue, error) {
	q := s.queues[nameOf(url)]
	if q == nil {
		return nil, errNoQueue
	}
	return q, nil
}

// expireLocked ends leases and moves to the dead-letter queue what was received too often.
func (s *Server) expireLocked(q *queue, now time.Time) {
	target, limit := q.redrive()
	if target == "" || s.queues[target] == nil {
		return
	}
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool {
		if m.Receives < limit || m.Visible.After(now) {
			return false
		}
		m.source = q.name
		s.queues[target].messages = append(s.queues[target].messages, m)
		return true
	})
}
