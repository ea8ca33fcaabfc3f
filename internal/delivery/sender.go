package delivery

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/record"
)

// Sender makes attempts to deliver to one destination. Name and URL are required; the rest
// has a useful zero value. It is safe for concurrent use and must not be changed or copied
// after the first call.
type Sender struct {
	Name   string
	URL    string      // http or https; a user and password in it become basic authentication; never logged
	Method string      // "": POST
	Header http.Header // added to every request or set instead of tapway's; values may hold secrets and are never logged
	Format Format      // "": JSON
	Batch  Batch
	Retry  Retry

	// Outage is how many attempts a record gets in all, if that is more than Retry gives, while it is the
	// destination that is down and not the record that is refused: no connection, no answer, 429, 502, 503, 504.
	// It is for whoever has no circuit breaker. It is asked when Retry would give a record up; nil: nobody is.
	Outage func() int

	// Secrets sign every request as Standard Webhooks 1.0.0 describes; all of them do, so
	// that the destination can move from one to the next. "whsec_" and base64, or any text.
	Secrets []tapway.Secret

	// Transport makes the requests. It must not follow redirects, and should keep as many
	// idle connections as the Worker has attempts at a time. nil: net/http's with 64.
	Transport http.RoundTripper

	Timeout time.Duration // of one request, from dialling to the end of the answer; 0: 10 s
	Version string        // tapway's, for User-Agent and HAR; "": "dev"

	// Encode adds a message's record, one line of JSON, to dst. nil: record.FromMessage.
	Encode func(dst []byte, m *tapway.Message) ([]byte, error)

	// Observe is told of every request, also those of a batch that was split. It must be
	// quick and safe for concurrent use. nil: nobody is.
	Observe func(Attempt)

	// Begin is told of every request before it is made, with the messages in it, and gives the
	// traceparent to send with it, "" for none; end, if not nil, is told what came of it. It
	// must be quick and safe for concurrent use, and keep nothing of the messages after end.
	Begin func(messages iter.Seq[*tapway.Message]) (traceparent string, end func(Attempt))

	Now func() time.Time // for timestamps and Retry-After dates; nil: time.Now

	once  sync.Once
	ready prepared
	wrong error
}

// Batch says how many records go into one request.
type Batch struct {
	MaxRecords int           // 0, 1: one by one
	MaxBytes   int           // of a request's body; a larger record goes alone; 0: 1 MiB
	MaxWait    time.Duration // how long a Worker waits for a batch to fill; 0: it sends what is there
}

func (b *Batch) records() int { return max(b.MaxRecords, 1) }

func (b *Batch) bytes() int {
	if b.MaxBytes <= 0 {
		return 1 << 20
	}
	return b.MaxBytes
}

// Attempt tells of one request.
type Attempt struct {
	Destination string
	ID          string // webhook-id: the exchange's id, or the batch's
	Records     int
	Number      int // of the attempt, from 1; in a batch that of its most tried record
	Class       Class
	Status      int    // 0: there was no answer
	Reason      string // why it failed, fit for a log; "" when it did not
	Bytes       int    // of the request's body
	Took        time.Duration
}

// prepared is what all requests share.
type prepared struct {
	url    *url.URL
	host   string
	method string
	header http.Header
	layout layout
	signer *signer
}

var defaultTransport = sync.OnceValue(func() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	t.DisableCompression = true
	return t
})

// own are the header fields that a destination's configuration cannot set.
var own = []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "X-Tapway-Attempt",
	"Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade"}

// Check tells what is wrong with the configuration, without showing a secret. Send and Run
// check too.
func (s *Sender) Check() error {
	s.once.Do(func() {
		if err := s.prepare(); err != nil {
			s.wrong = fmt.Errorf("destination %q: %w", s.Name, err)
		}
	})
	return s.wrong
}

func (s *Sender) prepare() error {
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("its url is not one: want http:// or https:// and a host") // it may hold a secret, so it is not shown
	}
	format, err := ParseFormat(string(s.Format))
	if err != nil {
		return err
	}
	signer, err := newSigner(s.Secrets)
	if err != nil {
		return err
	}
	version := s.Version
	if version == "" {
		version = "dev"
	}
	p := prepared{url: u, method: s.Method, signer: signer, layout: format.layout(s.Batch.records() > 1, version)}
	if p.method == "" {
		p.method = http.MethodPost
	}
	p.header = http.Header{
		"Content-Type": {p.layout.contentType},
		"User-Agent":   {"tapway/" + version},
	}
	if u.User != nil {
		password, _ := u.User.Password()
		basic := http.Request{Header: http.Header{}}
		basic.SetBasicAuth(u.User.Username(), password)
		p.header["Authorization"] = basic.Header["Authorization"]
		u.User = nil
	}
	for name, values := range s.Header {
		p.header[http.CanonicalHeaderKey(name)] = values
	}
	for _, name := range own {
		if _, set := p.header[name]; set {
			return fmt.Errorf("header %s cannot be configured: tapway sets it", name)
		}
	}
	p.host = p.header.Get("Host")
	delete(p.header, "Host")
	s.ready = p
	return nil
}

func (s *Sender) timeout() time.Duration { return orDefault(s.Timeout, 10*time.Second) }

func (s *Sender) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Sender) transport() http.RoundTripper {
	if s.Transport != nil {
		return s.Transport
	}
	return defaultTransport()
}

func (s *Sender) record(dst []byte, m *tapway.Message) ([]byte, error) {
	if s.Encode != nil {
		return s.Encode(dst, m)
	}
	return record.FromMessage(dst, m)
}

func (s *Sender) exchange(m *tapway.Message) (*tapway.Exchange, error) { return record.Exchange(m) }

func (s *Sender) harEntry(dst []byte, ex *tapway.Exchange) []byte {
	return record.AppendHAREntry(dst, ex)
}

func (s *Sender) meta(m *tapway.Message) (tapway.Meta, error) {
	if m.Frame != nil {
		return tapway.DecodeMeta(m.Frame)
	}
	ex, err := s.exchange(m)
	if err != nil {
		return tapway.Meta{}, err
	}
	return ex.Meta, nil
}

// Send makes one attempt for every message of the batch and says what became of each, in
// the same order. It makes as many requests as Batch asks for, one after the other.
//
// Delivered: the answer was 2xx. Retry: it was anything else, or there was none. Dead: that
// was the last attempt, or no record can be made of the message. Released: not attempted,
// because ctx ended, because an earlier request of the same Send showed that the destination
// is down, because twice the Timeout is over, or because the answer was 410 Gone: then the
// destination is to be left alone until an operator says otherwise.
//
// A batch refused with 400, 413 or 422 is halved and sent again to find the records
// that the destination does not like; after 32 requests halves are no longer halved. Send returns within three Timeouts.
func (s *Sender) Send(ctx context.Context, batch []tapway.Message) []tapway.Outcome {
	return s.send(ctx, batch).outcomes
}

// report is what Send found, with what a breaker wants to know.
type report struct {
	outcomes []tapway.Outcome
	requests int
	bytes    int
	accepted bool   // at least one request was
	failure  answer // of the last request that failed, if any
}

func (s *Sender) send(ctx context.Context, batch []tapway.Message) report {
	r := sending{s: s, ctx: ctx, batch: batch, begun: time.Now()}
	r.outcomes = make([]tapway.Outcome, len(batch))
	if err := s.Check(); err != nil {
		for i := range r.outcomes {
			r.outcomes[i] = tapway.Outcome{Verdict: tapway.Released, After: s.Retry.max(), Reason: err.Error()}
		}
		return r.report
	}
	r.all()
	return r.report
}

// outcome is what an answer means for one message.
func (s *Sender) outcome(m *tapway.Message, a *answer) tapway.Outcome {
	switch a.class {
	case Accepted:
		return tapway.Outcome{Verdict: tapway.Delivered, Status: a.status}
	case Stopped:
		return tapway.Outcome{Verdict: tapway.Released, Reason: a.reason}
	case Gone:
		return tapway.Outcome{Verdict: tapway.Released, After: s.Retry.max(), Reason: a.reason, Status: a.status}
	}
	made := m.Attempts + 1
	if s.Retry.last(m.Attempts) && !s.outlasts(made, a) {
		plural := "s"
		if made == 1 {
			plural = ""
		}
		return tapway.Outcome{Verdict: tapway.Dead, Status: a.status,
			Reason: fmt.Sprintf("gave up after %d attempt%s: %s", made, plural, a.reason)}
	}
	return tapway.Outcome{Verdict: tapway.Retry, After: s.Retry.Delay(made, a.retryAfter), Reason: a.reason, Status: a.status}
}

// outlasts reports whether a record is kept because it is the destination that is down.
func (s *Sender) outlasts(made int, a *answer) bool {
	return a.class.wide() && s.Outage != nil && made < s.Outage()
}
