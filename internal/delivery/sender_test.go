package delivery

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapway/tapway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seen is what a destination got.
type seen struct {
	header http.Header
	method string
	uri    string
	body   []byte
}

// destination answers with handler and keeps what it got.
type destination struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
}

func newDestination(t testing.TB, handler http.HandlerFunc) *destination {
	d := new(destination)
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d.mu.Lock()
		d.seen = append(d.seen, seen{r.Header.Clone(), r.Method, r.RequestURI, body})
		d.mu.Unlock()
		if handler != nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
			handler(w, r)
		}
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *destination) got() []seen {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.seen)
}

// transport is a fresh one, so that a test leaves no connection behind.
func transport(t testing.TB) *http.Transport {
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func answering(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	}
}

func half() float64 { return 0.5 }

func TestStatus(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		status  int
		class   Class
		verdict tapway.Verdict
		reason  string
	}{
		{200, Accepted, tapway.Delivered, ""},
		{201, Accepted, tapway.Delivered, ""},
		{204, Accepted, tapway.Delivered, ""},
		{299, Accepted, tapway.Delivered, ""},
		{300, Redirected, tapway.Retry, "300 Multiple Choices (redirects are not followed)"},
		{301, Redirected, tapway.Retry, "301 Moved Permanently (redirects are not followed)"},
		{304, Redirected, tapway.Retry, "304 Not Modified (redirects are not followed)"},
		{307, Redirected, tapway.Retry, "307 Temporary Redirect (redirects are not followed)"},
		{399, Redirected, tapway.Retry, "399 (redirects are not followed)"},
		{400, Rejected, tapway.Retry, "400 Bad Request"},
		{401, Failed, tapway.Retry, "401 Unauthorized"},
		{404, Failed, tapway.Retry, "404 Not Found"},
		{409, Failed, tapway.Retry, "409 Conflict"},
		{410, Gone, tapway.Released, "410 Gone"},
		{411, Failed, tapway.Retry, "411 Length Required"},
		{413, Rejected, tapway.Retry, "413 Request Entity Too Large"},
		{422, Rejected, tapway.Retry, "422 Unprocessable Entity"},
		{429, Busy, tapway.Retry, "429 Too Many Requests"},
		{500, Failed, tapway.Retry, "500 Internal Server Error"},
		{501, Failed, tapway.Retry, "501 Not Implemented"},
		{502, Busy, tapway.Retry, "502 Bad Gateway"},
		{503, Busy, tapway.Retry, "503 Service Unavailable"},
		{504, Busy, tapway.Retry, "504 Gateway Timeout"},
		{505, Failed, tapway.Retry, "505 HTTP Version Not Supported"},
		{599, Failed, tapway.Retry, "599"},
		{999, Failed, tapway.Retry, "999"},
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			var elsewhere atomic.Int32
			trap := newDestination(t, func(w http.ResponseWriter, r *http.Request) { elsewhere.Add(1) })
			d := newDestination(t, answering(c.status, "Location", trap.URL))
			var told Attempt
			s := &Sender{Name: "siem", URL: d.URL, Transport: transport(t), Retry: Retry{Min: 100 * ms, Rand: half},
				Observe: func(a Attempt) { told = a }}
			m := message(1)
			m.Attempts = 1
			got := s.Send(t.Context(), []tapway.Message{m})[0]
			want := tapway.Outcome{Verdict: c.verdict, Reason: c.reason, Status: c.status}
			switch c.verdict {
			case tapway.Retry:
				want.After = 100 * ms // half of twice Min
			case tapway.Released:
				want.After = 15 * time.Minute
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if told.Class != c.class || told.Number != 2 || told.Records != 1 || told.ID != m.ID.String() ||
				told.Reason != c.reason || told.Status != c.status || told.Destination != "siem" || told.Bytes == 0 {
				t.Errorf("observed %+v", told)
			}
			if elsewhere.Load() != 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

func TestLastAttempt(t *testing.T) {
	d := newDestination(t, answering(503))
	for _, c := range []struct {
		limit, made int
		verdict     tapway.Verdict
		reason      string
	}{
		{0, 6, tapway.Retry, "503 Service Unavailable"},
		{0, 7, tapway.Dead, "gave up after 8 attempts: 503 Service Unavailable"},
		{0, 99, tapway.Dead, "gave up after 100 attempts: 503 Service Unavailable"},
		{1, 0, tapway.Dead, "gave up after 1 attempt: 503 Service Unavailable"},
		{2, 0, tapway.Retry, "503 Service Unavailable"},
		{2, 1, tapway.Dead, "gave up after 2 attempts: 503 Service Unavailable"},
		{-1, 1000, tapway.Retry, "503 Service Unavailable"},
	} {
		s := &Sender{URL: d.URL, Transport: transport(t), Retry: Retry{MaxAttempts: c.limit}}
		m := message(1)
		m.Attempts = c.made
		if got := s.Send(t.Context(), []tapway.Message{m})[0]; got.Verdict != c.verdict || got.Reason != c.reason || got.Status != 503 {
			t.Errorf("limit %d, %d made: %+v", c.limit, c.made, got)
		}
	}
}

func TestRequest(t *testing.T) {
	d := newDestination(t, nil)
	s := &Sender{
		URL: strings.Replace(d.URL, "http://", "http://user:p%20w@", 1) + "/in?key=a%2Fb", Version: "1.2.3", Method: "PUT",
		Header:    http.Header{"x-team": {"a", "b"}, "Host": {"virtual.example.com"}},
		Transport: transport(t), Now: func() time.Time { return time.Unix(1614265330, 0) },
	}
	m := message(7)
	m.Attempts = 2
	if got := s.Send(t.Context(), []tapway.Message{m})[0]; got.Verdict != tapway.Delivered {
		t.Fatalf("got %+v", got)
	}
	got := d.got()[0]
	if got.method != "PUT" || got.uri != "/in?key=a%2Fb" {
		t.Errorf("%s %s", got.method, got.uri)
	}
	want := map[string]string{
		"Webhook-Id": m.ID.String(), "Webhook-Timestamp": "1614265330", "X-Tapway-Attempt": "3", "User-Agent": "tapway/1.2.3",
		"Content-Type": "application/json", "Authorization": "Basic dXNlcjpwIHc=", "X-Team": "a,b",
		"Webhook-Signature": "", "Idempotency-Key": m.ID.String(),
	}
	for name, value := range want {
		if have := strings.Join(got.header[name], ","); have != value {
			t.Errorf("%s: got %q, want %q", name, have, value)
		}
	}
	var record struct{ ID, Endpoint string }
	if err := json.Unmarshal(got.body, &record); err != nil || record.ID != m.ID.String() || record.Endpoint != "/users/7" {
		t.Errorf("record %s: %v", got.body, err)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		sender *Sender
		want   string // "": fine
	}{
		{"plain", &Sender{URL: "http://x"}, ""},
		{"https", &Sender{URL: "https://x:1/y?z"}, ""},
		{"empty", &Sender{}, "want http:// or https:// and a host"},
		{"scheme", &Sender{URL: "ftp://x/hunter2"}, "want http:// or https://"},
		{"no host", &Sender{URL: "http:///hunter2"}, "and a host"},
		{"broken", &Sender{URL: "http://x/%zz?hunter2"}, "its url is not one"},
		{"format", &Sender{URL: "http://x", Format: "xml"}, `"xml" is not a delivery format: want json, ndjson, cloudevents or har`},
		{"reserved header", &Sender{URL: "http://x", Header: http.Header{"webhook-id": {"hunter2"}}}, "header Webhook-Id cannot be configured"},
		{"framing header", &Sender{URL: "http://x", Header: http.Header{"content-length": {"2"}}}, "header Content-Length cannot be configured"},
		{"raw secret", &Sender{URL: "http://x", Secrets: []tapway.Secret{"hunter2"}}, ""},
		{"second secret empty", &Sender{URL: "http://x", Secrets: []tapway.Secret{"a", " "}}, "signing secret 2: it is empty"},
		{"not base64", &Sender{URL: "http://x", Secrets: []tapway.Secret{"whsec_hunter2!"}}, "signing secret 1: what follows whsec_ is not base64"},
		{"bare prefix", &Sender{URL: "http://x", Secrets: []tapway.Secret{"whsec_"}}, "nothing follows whsec_"},
		{"private key", &Sender{URL: "http://x", Secrets: []tapway.Secret{"whsk_hunter2"}}, "ed25519"},
	} {
		c.sender.Name = "siem"
		err := c.sender.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), `destination "siem": `)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if err == nil {
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a secret: %v", c.name, err)
		}
		if o := c.sender.Send(t.Context(), messages(1))[0]; o.Verdict != tapway.Released || o.Reason != err.Error() {
			t.Errorf("%s: Send says %+v", c.name, o)
		}
		w := &Worker{Sender: c.sender, Sub: newTestQueue(t)}
		if e := w.Run(t.Context()); e == nil || e.Error() != err.Error() {
			t.Errorf("%s: Run says %v", c.name, e)
		}
	}
}

func TestUnencodable(t *testing.T) {
	d := newDestination(t, nil)
	s := &Sender{URL: d.URL, Format: NDJSON, Batch: Batch{MaxRecords: 10}, Transport: transport(t)}
	batch := messages(4)
	batch[0].Frame = []byte("no frame")
	batch[2].Frame = batch[2].Frame[:20]
	got := s.Send(t.Context(), batch)
	if got[0].Verdict != tapway.Dead || got[2].Verdict != tapway.Dead || !strings.HasPrefix(got[0].Reason, "no record can be made of it: ") {
		t.Errorf("unreadable: %+v, %+v", got[0], got[2])
	}
	if got[1].Verdict != tapway.Delivered || got[3].Verdict != tapway.Delivered || len(d.got()) != 1 {
		t.Errorf("neighbours: %+v, %+v", got[1], got[3])
	}
	if lines := bytes.Count(d.got()[0].body, []byte("\n")); lines != 2 {
		t.Errorf("%d lines in %q", lines, d.got()[0].body)
	}

	s = &Sender{URL: d.URL, Transport: transport(t), Encode: func([]byte, *tapway.Message) ([]byte, error) { panic("odd record") }}
	if o := s.Send(t.Context(), messages(1))[0]; o.Verdict != tapway.Dead || !strings.Contains(o.Reason, "odd record") {
		t.Errorf("panic: %+v", o)
	}
	if len(d.got()) != 1 {
		t.Error("something was sent for a record that cannot be made")
	}
}

func TestNoAnswer(t *testing.T) {
	closing := rawDestination(t, func(c net.Conn) {})
	notHTTP := rawDestination(t, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		io.WriteString(c, "SSH-2.0-hunter2\r\n")
	})
	silent := rawDestination(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	refused := "http://" + unusedAddress(t)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = discardLog()
	secure.StartTLS()
	defer secure.Close()
	plain := newDestination(t, nil)

	for _, c := range []struct {
		name, url string
		class     Class
		reason    string
	}{
		{"closed at once", closing, Broken, "the connection was closed before an answer came"},
		{"not HTTP", notHTTP, Broken, "the answer is not HTTP"},
		{"silent", silent, TimedOut, "no answer within 150ms"},
		{"refused", refused, Unreachable, "cannot connect: connect: connection refused"},
		{"unknown name", "http://nothing.invalid", Unreachable, "cannot connect: "},
		{"untrusted certificate", secure.URL, Unreachable, "TLS: "},
		{"TLS to plain HTTP", strings.Replace(plain.URL, "http:", "https:", 1), Unreachable, "TLS: the destination does not speak it there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var told Attempt
			s := &Sender{URL: c.url, Transport: transport(t), Timeout: 150 * time.Millisecond, Observe: func(a Attempt) { told = a }}
			if c.class == Unreachable {
				s.Timeout = 10 * time.Second
			}
			o := s.Send(t.Context(), messages(1))[0]
			if o.Verdict != tapway.Retry || !strings.HasPrefix(o.Reason, c.reason) || o.Status != 0 || told.Class != c.class {
				t.Errorf("got %+v, class %v", o, told.Class)
			}
			if strings.Contains(o.Reason, "hunter2") {
				t.Error("the reason shows what the destination sent")
			}
		})
	}
}

func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := newDestination(t, func(w http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	s := &Sender{URL: d.URL, Transport: transport(t)}
	for i, o := range s.Send(ctx, messages(2)) {
		if o.Verdict != tapway.Released || o.After != 0 {
			t.Errorf("record %d: %+v", i, o)
		}
	}
	if n := len(d.got()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// An answer's body is not trusted with memory or time.
func TestEndlessAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(w io.Writer)
	}{
		{"ten gigabytes", func(w io.Writer) {
			io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
			page := make([]byte, 1<<20)
			for {
				if _, err := w.Write(page); err != nil {
					return
				}
			}
		}},
		{"drips", func(w io.Writer) {
			io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for {
				if _, err := io.WriteString(w, "1\r\nx\r\n"); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}},
		{"ends early", func(w io.Writer) { io.WriteString(w, "HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\nabc") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := rawDestination(t, func(conn net.Conn) {
				http.ReadRequest(bufio.NewReader(conn))
				c.answer(conn)
			})
			s := &Sender{URL: u, Transport: transport(t), Timeout: 300 * time.Millisecond}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			o := s.Send(t.Context(), messages(1))[0]
			runtime.ReadMemStats(&after)
			if o.Verdict != tapway.Delivered {
				t.Errorf("got %+v", o)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("held for %v", took)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
				t.Errorf("allocated %d bytes", grown)
			}
		})
	}
}

// A transport may read the body after RoundTrip: the buffer must not be used again before.
func TestBodyOutlivesRoundTrip(t *testing.T) {
	var kept []io.ReadCloser
	var want [][]byte
	s := &Sender{URL: "http://x", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		again, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		text, _ := io.ReadAll(again)
		again.Close()
		want = append(want, text)
		kept = append(kept, r.Body)
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})}
	for i := range 20 {
		s.Send(t.Context(), []tapway.Message{message(i)})
	}
	for i, b := range kept {
		text, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(text, want[i]) {
			t.Errorf("request %d changed to %q (%v)", i, text, err)
		}
		b.Close()
		b.Close()
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, errBodyClosed) {
			t.Errorf("read after close: %v", err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// rawDestination serves each connection with serve, and closes it.
func rawDestination(t testing.TB, serve func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return "http://" + l.Addr().String()
}

func unusedAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
