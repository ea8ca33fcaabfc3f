package waf

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/corazawaf/coraza/v3/types"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
)

// What of responses is inspected.
const (
	ResponseOff     = "off"
	ResponseHeaders = "headers" // status and header
	ResponseBody    = "body"    // and the first bytes of bodies of text
)

// Answer is access.Answerer: where responses are inspected, it puts itself before the client.
func (f *Firewall) Answer(r *access.Request, w http.ResponseWriter) (http.ResponseWriter, func()) {
	if f.config.Response == ResponseOff {
		return w, nil
	}
	open, ok := f.open.Load(r)
	if !ok {
		return w, nil
	}
	if f.config.Response == ResponseBody {
		r.Withhold("Accept-Encoding") // what is compressed cannot be inspected
	}
	a := &answer{ResponseWriter: w, f: f, r: r, inspected: open.(*inspected)}
	return a, a.end
}

// inspected is what is kept of a call until its response has been inspected.
type inspected struct {
	tx   types.Transaction
	lent int64 // bytes of the response that are held
}

// stage is how far an answer is.
type stage uint8

const (
	begun    stage = iota // no head yet
	holding               // head and body wait for the verdict
	copying               // the client has them already: detect mode
	passing               // nothing is inspected any more
	withheld              // the client has another answer
)

// errorPage is what API Gateway answers when it can make nothing of an integration's response.
const errorPage = `{"message":"Internal server error"}`

// answer inspects one response. In block mode the client gets nothing before the verdict.
type answer struct {
	http.ResponseWriter
	*inspected
	f *Firewall
	r *access.Request

	stage  stage
	status int
	header http.Header // as it was with the head, while holding
	buf    []byte
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Hijack is for http.ResponseController: what follows an upgrade is not inspected.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.stage = passing
	}
	return conn, rw, err
}

func (a *answer) WriteHeader(status int) {
	switch {
	case a.stage == withheld:
		return
	case status == http.StatusSwitchingProtocols:
		a.stage = passing
		a.ResponseWriter.WriteHeader(status)
		return
	case a.stage != begun || status < 200:
		a.ResponseWriter.WriteHeader(status)
		return
	}
	a.status = status
	hit, bodyToo, err := a.head()
	if (hit || err != nil) && a.conclude(err) {
		return
	}
	if hit || err != nil || !bodyToo || a.r.HTTP.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		a.stage = passing
		a.ResponseWriter.WriteHeader(status)
		return
	}
	if a.f.config.Mode == Block {
		a.stage, a.header = holding, a.Header().Clone()
		return
	}
	a.stage = copying
	a.ResponseWriter.WriteHeader(status)
}

// head asks the rules about status and header. hit: they refuse them. bodyToo: the body is one
// that is inspected.
func (a *answer) head() (hit, bodyToo bool, err error) {
	err = a.safely(func() error {
		h := a.Header()
		for name, values := range h {
			for _, value := range values {
				a.tx.AddResponseHeader(name, value)
			}
		}
		hit = a.tx.ProcessResponseHeaders(a.status, a.r.HTTP.Proto) != nil
		coding := h.Get("Content-Encoding")
		bodyToo = a.f.config.Response == ResponseBody && (coding == "" || coding == "identity") && a.tx.IsResponseBodyProcessable()
		return nil
	})
	return hit, bodyToo, err
}

func (a *answer) Write(b []byte) (int, error) {
	if a.stage == begun {
		a.WriteHeader(http.StatusOK)
	}
	switch a.stage {
	case withheld:
		return len(b), nil // of the answer in place of which another is given
	case passing:
		return a.ResponseWriter.Write(b)
	case copying:
		n, err := a.ResponseWriter.Write(b)
		a.take(b[:n])
		return n, err
	}
	rest := a.take(b)
	if a.stage == holding {
		return len(b), nil
	}
	if a.stage == withheld || len(rest) == 0 {
		return len(b), nil
	}
	n, err := a.ResponseWriter.Write(rest)
	return len(b) - len(rest) + n, err
}

// take keeps b for the inspection, which begins when enough is there; rest is what is beyond it.
func (a *answer) take(b []byte) (rest []byte) {
	n := min(len(b), int(a.f.config.MaxResponse)-len(a.buf))
	if need := len(a.buf) + n; need > cap(a.buf) {
		size := int64(min(max(need, 2*cap(a.buf), firstPiece), int(a.f.config.MaxResponse)))
		if a.f.held.Add(size-a.lent) > int64(a.f.config.BodyMemory) {
			a.f.held.Add(a.lent - size)
			a.verdict(errNoRoom)
			return b
		}
		a.lent = size
		a.buf = append(make([]byte, 0, size), a.buf...)
	}
	a.buf = append(a.buf, b[:n]...)
	if n < len(b) {
		a.verdict(nil)
	}
	return b[n:]
}

// end is when all of the response has come.
func (a *answer) end() {
	if a.stage == begun {
		a.WriteHeader(http.StatusOK)
	}
	if a.stage == holding || a.stage == copying {
		a.verdict(nil)
	}
}

// verdict asks the rules about the body as far as it is there, and lets go what was held, or not.
func (a *answer) verdict(err error) {
	hit := false
	if err == nil {
		err = a.safely(func() error {
			if _, _, err := a.tx.WriteResponseBody(a.buf); err != nil {
				return fmt.Errorf("take the response: %w", err)
			}
			if _, err := a.tx.ProcessResponseBody(); err != nil {
				return fmt.Errorf("read the response: %w", err)
			}
			hit = a.tx.IsInterrupted()
			return nil
		})
	}
	was := a.stage
	if hit || err != nil {
		a.conclude(err)
	}
	if a.stage != withheld {
		a.stage = passing
		if was == holding {
			a.release()
		}
	}
	a.buf = nil
	a.f.held.Add(-a.lent)
	a.lent = 0
}

// release sends head and body as they came. What the header has got since are trailers.
func (a *answer) release() {
	h := a.Header()
	trailers := http.Header{}
	for name, values := range h {
		if _, before := a.header[name]; !before {
			trailers[name] = values
			delete(h, name)
		}
	}
	a.ResponseWriter.WriteHeader(a.status)
	if len(a.buf) > 0 {
		_, _ = a.ResponseWriter.Write(a.buf) // a client that does not take its answer cannot be helped
	}
	for name, values := range trailers {
		h[name] = values
	}
}

// conclude writes down what was found, or that nothing could be, and reports whether the client
// gets another answer instead.
func (a *answer) conclude(err error) bool {
	f, r := a.f, a.r
	refuse := f.config.Mode == Block && (err == nil || f.config.OnError == Refuse) && (a.stage == begun || a.stage == holding)
	text := "waf: response could not be inspected"
	if err != nil {
		f.log.Error("waf", "id", r.Call.ID, "verdict", "response not inspected", "refused", refuse, "err", err)
	} else {
		found := f.report(a.tx, types.PhaseResponseHeaders)
		verdict := "response detected"
		if text = "waf would withhold the response: " + found.String(); refuse {
			verdict, text = "response withheld", "waf: response withheld: "+found.String()
		}
		f.log.Warn("waf", "id", r.Call.ID, "verdict", verdict, "client", r.Client, "rules", found.rules, "score", found.score,
			"messages", found.messages, "variables", found.variables)
	}
	if r.Call.Error == "" || refuse {
		r.Call.Error = text
	}
	if !refuse {
		return false
	}
	a.stage = withheld
	r.Call.Origin = tapway.OriginGateway
	h := a.Header()
	clear(h)
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(errorPage))}
	a.ResponseWriter.WriteHeader(http.StatusBadGateway)
	if r.HTTP.Method != http.MethodHead {
		_, _ = a.ResponseWriter.Write([]byte(errorPage)) // likewise
	}
	return true
}

// safely keeps a rule that panics from taking the gateway down.
func (a *answer) safely(ask func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the rules panicked: %T", p) // p itself may quote the response
		}
	}()
	return ask()
}

// FlushError is for http.ResponseController. What is held stays held.
func (a *answer) FlushError() error {
	switch a.stage {
	case holding, withheld:
		return nil
	case begun:
		a.WriteHeader(http.StatusOK)
		return a.FlushError()
	}
	if err := http.NewResponseController(a.ResponseWriter).Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
