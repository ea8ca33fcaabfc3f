package capture

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/http1"
)

type answerer interface {
	Answer(status int, header []string, body string) bool
}

var refusal = []string{"X-Amzn-Errortype", "ForbiddenException", "Content-Type", "application/json"}

const refusalBody = `{"message":"Forbidden"}`

// lean runs tapway's own server, which answers at once, and gives its address.
func lean(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http1.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String()
}

// post sends a call with a body that nobody reads.
func post(t *testing.T, addr string) *bufio.Reader {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "POST /a?b=c HTTP/1.1\r\nHost: example.com\r\nX-Api-Key: k\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(c)
}

// What is answered at once leaves the same record as what is written in pieces.
func TestAnswerLeavesTheSameRecord(t *testing.T) {
	record := func(h http.HandlerFunc) (*tapway.Exchange, string) {
		q := newQueue(t)
		rec := &Recorder{Queue: q}
		res, err := http.ReadResponse(post(t, lean(t, rec.Wrap(h))), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		ex := q.one(t)
		nothingHeld(t, rec)
		return ex, string(body)
	}
	at, body := record(func(w http.ResponseWriter, r *http.Request) {
		if !w.(answerer).Answer(403, refusal, refusalBody) || w.(answerer).Answer(200, nil, "again") {
			t.Error("it was not answered, or twice")
		}
		w.WriteHeader(200)
		if n, err := io.WriteString(w, "!"); n != 0 || err != http.ErrContentLength {
			t.Errorf("wrote %d more: %v", n, err)
		}
	})
	in, sameBody := record(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(refusal); i += 2 {
			w.Header().Set(refusal[i], refusal[i+1])
		}
		withLength(len(refusalBody))(w)
		w.WriteHeader(403)
		io.WriteString(w, refusalBody)
	})
	if body != refusalBody || sameBody != body {
		t.Errorf("the client got %q and %q", body, sameBody)
	}
	fields := func(h tapway.Header) map[string]string {
		m := map[string]string{}
		for _, f := range h {
			m[f.Name] = f.Value
		}
		if len(m) != len(h) {
			t.Errorf("a name stands twice: %v", h)
		}
		return m
	}
	if a, b := fields(at.ResponseHeader), fields(in.ResponseHeader); !reflect.DeepEqual(a, b) || len(a) != 3 {
		t.Errorf("headers %v and %v", a, b)
	}
	if a, b := fields(at.RequestHeader), fields(in.RequestHeader); !reflect.DeepEqual(a, b) || a["X-Api-Key"] != "k" {
		t.Errorf("headers %v and %v", a, b)
	}
	if !reflect.DeepEqual(at.Response, in.Response) || string(at.Response.Bytes) != refusalBody || !reflect.DeepEqual(at.Request, in.Request) {
		t.Errorf("bodies %+v, %+v and %+v, %+v", at.Request, at.Response, in.Request, in.Response)
	}
	if at.Status != 403 || at.Path != "/a" || at.Query != "b=c" || at.Error != in.Error || at.Origin != in.Origin || at.ResponseSize != in.ResponseSize {
		t.Errorf("%+v and %+v", at.Meta, in.Meta)
	}
}

// No byte of such an answer leaves before its record is stored, a flush or not.
func TestAnswerWaitsForTheRecord(t *testing.T) {
	q := newQueue(t)
	storing, stored := make(chan struct{}), make(chan struct{})
	q.before = func(context.Context) error {
		close(storing)
		<-stored
		return nil
	}
	r := post(t, lean(t, (&Recorder{Queue: q}).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !w.(answerer).Answer(403, refusal, refusalBody) {
			t.Error("it was not answered")
		}
		flush(w)
	}))))
	came := make(chan error, 1)
	go func() {
		_, err := r.Peek(1)
		came <- err
	}()
	<-storing
	select {
	case err := <-came:
		close(stored)
		t.Fatalf("the client had a byte before the record was stored: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(stored)
	if err := <-came; err != nil {
		t.Fatal(err)
	}
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 403 {
		t.Errorf("%v %v", res, err)
	}
}

// Where answers can be replaced, after a handler has begun, and behind another server nothing is
// answered at once.
func TestAnswerIsRefused(t *testing.T) {
	refuses := func(w http.ResponseWriter, _ *http.Request) {
		if w.(answerer).Answer(403, refusal, refusalBody) {
			t.Error("it was answered at once")
		}
		w.WriteHeader(299)
		if w.(answerer).Answer(403, refusal, refusalBody) {
			t.Error("it was answered twice")
		}
	}
	for name, addr := range map[string]string{
		"refuse":         lean(t, (&Recorder{Queue: newQueue(t), Refuse: true}).Wrap(http.HandlerFunc(refuses))),
		"another server": serve(t, &Recorder{}, refuses, false).addr,
	} {
		if res, err := http.ReadResponse(post(t, addr), nil); err != nil || res.StatusCode != 299 {
			t.Errorf("%s: %v %v", name, res, err)
		}
	}
}

// A call that uses the memory of one that was answered at once begins with nothing of it, and so does its
// record; a call whose response was written keeps its memory.
func TestAnswerLeavesNothing(t *testing.T) {
	q := newQueue(t)
	rec := &Recorder{Queue: q}
	calls := make(chan *tapway.Call, 1)
	addr := lean(t, rec.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := tapway.CallFrom(r.Context())
		fresh := *call
		fresh.ID, fresh.Start = tapway.ID{}, time.Time{}
		if call.ID.IsZero() || call.Start.IsZero() || !reflect.DeepEqual(fresh, tapway.Call{}) {
			t.Errorf("%s begins with %+v", r.URL.Path, *call)
		}
		if r.URL.Path != "/last" {
			call.Route, call.Error, call.Rule, call.ClientIP, call.Origin = "GET /x", "refused", "rule", "192.0.2.1", tapway.OriginGateway
			call.Params, call.Backend, call.InvalidateCache = []tapway.PathParam{{Name: "a", Value: "b"}}, time.Hour, true
		}
		if r.URL.Path == "/first" && !w.(answerer).Answer(403, refusal, refusalBody) {
			t.Error("it was not answered")
		}
		calls <- call
	})))
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	reader := bufio.NewReader(c)
	ask := func(path string) *tapway.Call {
		if _, err := io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		return <-calls
	}
	var kept []*tapway.Call
	for range 3 { // whether memory is used again is for a pool to choose
		ask("/first")
		kept = append(kept, ask("/written"))
		ask("/last")
	}
	for _, call := range kept {
		if call.Route != "GET /x" {
			t.Errorf("what was kept has changed: %+v", *call)
		}
	}
	for i, ex := range q.all() {
		wants := []string{"refused", "refused", ""}
		if ex.Error != wants[i%3] || (ex.Route == "") != (i%3 == 2) || ex.Path != []string{"/first", "/written", "/last"}[i%3] {
			t.Errorf("record %d: %+v", i, ex.Meta)
		}
	}
	nothingHeld(t, rec)
}
