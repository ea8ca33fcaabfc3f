package apitest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Server is one account in one region. The zero value is not usable; see [New]. The exported
// fields are set before the first call. All methods may be called at any time, from Before
// too.
type Server struct {
	Region  string
	Account string

	// Now is the clock of creation dates and rate limits; time.Now unless set.
	Now func() time.Time

	// Before is asked before every call, without any lock, and decides what goes wrong with
	// it; nil: nothing. It may read the request's body, and change the server's state as
	// somebody else would.
	Before func(op string, r *http.Request) *Fault

	// Limits are the rates above which a call is answered with 429, by operation; the entry
	// "" is for all operations of API Gateway together. None are kept unless set; see
	// [DocumentedLimits].
	Limits map[string]Rate

	// MaxResources and MaxStages are account quotas per REST API; 0: no limit. API Gateway
	// has 300 and 10 unless raised.
	MaxResources int
	MaxStages    int

	// MaxTimeout is the longest integration timeout of a REST API in milliseconds that is
	// not streamed; 29000 unless the quota was raised.
	MaxTimeout int

	// StableVersion makes the exports of an API without a version of its own carry the
	// API's creation date. Otherwise they carry the deployment's, which is the harder case
	// for whoever compares exports.
	StableVersion bool

	mu        sync.Mutex
	mux       *http.ServeMux
	rest      map[string]*RestAPI
	http      map[string]*HTTPAPI
	functions map[string]*Function
	plans     map[string]*UsagePlan
	mappings  []Mapping
	links     map[string][]string // security groups of VPC links
	calls     []Call
	buckets   map[string]*bucket
	ids       int
}

// New gives a server for account 123456789012 in us-east-1, with nothing in it.
func New() *Server {
	s := &Server{Region: "us-east-1", Account: "123456789012", Now: time.Now, MaxTimeout: 29000,
		rest: map[string]*RestAPI{}, http: map[string]*HTTPAPI{}, functions: map[string]*Function{},
		plans: map[string]*UsagePlan{}, links: map[string][]string{}, buckets: map[string]*bucket{}, mux: http.NewServeMux()}
	for _, list := range [][]operation{restOperations, restPartOperations, restStageOperations, httpOperations, httpPartOperations, lambdaOperations} {
		for _, op := range list {
			s.mux.HandleFunc(op.pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, op) })
		}
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r, operation{name: "Unknown", do: func(*Server, *request) (any, error) {
			return nil, &Error{http.StatusNotImplemented, "UnknownOperationException", "apitest does not know " + r.Method + " " + r.URL.EscapedPath()}
		}})
	})
	return s
}

// operation is one call of one of the three services.
type operation struct {
	name    string
	pattern string // of http.ServeMux
	status  int    // of success
	do      func(*Server, *request) (any, error)
}

// request is a call on its way to its operation.
type request struct {
	*http.Request
	body []byte
}

// decode reads the body strictly: a member that the operation does not know is an error.
func (q *request) decode(v any) error {
	if len(bytes.TrimSpace(q.body)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(q.body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &Error{http.StatusBadRequest, "SerializationException", "apitest: " + err.Error()}
	}
	return nil
}

// raw is an answer that is no JSON of ours.
type raw struct {
	body   []byte
	header http.Header
}

// ServeHTTP answers API Gateway's and Lambda's calls. Signatures are not checked.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request, op operation) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	q := &request{r, body}
	internal := r.Context().Value(internalCall{}) != nil
	var fault *Fault
	if s.Before != nil && !internal {
		r.Body = io.NopCloser(bytes.NewReader(body))
		fault = s.Before(op.name, r)
	}
	if fault != nil && !fault.After {
		s.note(op, q, fault.Err)
		fault.write(w)
		return
	}
	status, payload, err := s.do(op, q, internal)
	if fault != nil {
		fault.write(w)
		return
	}
	answer(w, status, payload, err)
}

// do carries a call out.
func (s *Server) do(op operation, q *request, internal bool) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !internal {
		if err := s.throttleLocked(op.name, q.URL.Path); err != nil {
			s.noteLocked(op, q, err)
			return 0, nil, err
		}
	}
	payload, err := op.do(s, q)
	if !internal {
		s.noteLocked(op, q, err)
	}
	if payload != nil {
		if _, isRaw := payload.(raw); !isRaw { // before the lock goes: the value is the live one
			text, marshalErr := json.Marshal(payload)
			payload, err = json.RawMessage(text), errors.Join(err, marshalErr)
		}
	}
	return cmp.Or(op.status, http.StatusOK), payload, err
}

func answer(w http.ResponseWriter, status int, payload any, err error) {
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{http.StatusInternalServerError, "InternalFailure", err.Error()}
		}
		e.write(w)
		return
	}
	switch p := payload.(type) {
	case raw:
		for name, values := range p.header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = w.Write(p.body) // a client that went away is its own business
	case json.RawMessage:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(p)
	default:
		w.WriteHeader(status)
	}
}

type internalCall struct{}

// Call makes a call as somebody else: it meets no Before, no rate limit, and is not counted.
// path is as in the AWS documentation, with its query, "/restapis/ID/stages/prod"; in is
// the body and nil for none. Failures are of type *Error.
func (s *Server) Call(method, path string, in any) (json.RawMessage, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	_, pattern := s.mux.Handler(r)
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), internalCall{}, true)))
	if w.Code >= 300 {
		var m struct{ Message string }
		_ = json.Unmarshal(w.Body.Bytes(), &m) // an answer without a message is shown without one
		return nil, &Error{w.Code, w.Header().Get("X-Amzn-Errortype"), strings.TrimSpace(pattern + ": " + m.Message)}
	}
	return w.Body.Bytes(), nil
}

// Client calls the server without a network. It serves as the HTTPClient of an AWS client
// with any endpoint, and in a synctest bubble.
func (s *Server) Client() *http.Client { return &http.Client{Transport: direct{s}} }

type direct struct{ s *Server }

// errCut is what a caller sees of a connection that breaks off.
var errCut = errors.New("read: connection reset by peer")

func (d direct) RoundTrip(r *http.Request) (res *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close()
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			res, err = nil, errCut
		} else if p != nil {
			panic(p)
		}
	}()
	w := httptest.NewRecorder()
	d.s.ServeHTTP(w, in)
	res = w.Result()
	res.Request = r
	return res, nil
}

// Call is one call that was made.
type Call struct {
	Op     string // "PutIntegration"
	Method string
	Path   string // as sent, without the query
	Body   []byte
	Time   time.Time
	Err    error // what it was answered; nil: success, known or lost
}

// Changes says that the call was not only reading.
func (c Call) Changes() bool { return c.Method != http.MethodGet }

func (s *Server) note(op operation, q *request, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(op, q, err)
}

func (s *Server) noteLocked(op operation, q *request, err error) {
	s.calls = append(s.calls, Call{op.name, q.Method, q.URL.EscapedPath(), q.body, s.Now(), err})
}

// Calls gives all calls since the start or the last Forget, in order.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Count says how many calls of an operation there were; "" for all.
func (s *Server) Count(op string) int {
	n := 0
	for _, c := range s.Calls() {
		if op == "" || c.Op == op {
			n++
		}
	}
	return n
}

// Forget forgets the calls so far.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

// idLocked gives a new id of n characters that looks like one of API Gateway's.
func (s *Server) idLocked(n int) string {
	const digits = "abcdefghijklmnopqrstuvwxyz0123456789"
	s.ids++
	id := make([]byte, n)
	rest := uint64(s.ids)*0x9E3779B97F4A7C15>>20 | 1
	for i := range id {
		id[i] = digits[rest%36]
		rest /= 36
	}
	for i, k := n-1, s.ids; i >= n-4 && i >= 0; i-- { // the last characters make it unique
		id[i] = digits[k%36]
		k /= 36
	}
	return string(id)
}
