package admin

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// Edited is a recorded request as an operator wants it sent.
type Edited struct {
	ID      string      `json:"id"` // of the exchange it was made from; the request names it as X-Tapway-Replay
	To      string      `json:"to"`
	Method  string      `json:"method"`
	Path    string      `json:"path"` // escaped
	Query   string      `json:"query,omitempty"`
	Headers [][2]string `json:"headers"`
	Body    string      `json:"body,omitempty"` // base64; not read with Keep
	Keep    bool        `json:"keep,omitempty"` // send the recorded body as it is stored
}

// Resent is what became of it. What was answered is not told: it has not been through
// redaction. Sent through the gateway, it is recorded like any call and can be read there.
type Resent struct {
	Status     int     `json:"status"`
	DurationMS float64 `json:"duration_ms"`
}

// resend sends one edited request. Redacted header values are left out, as in every replay.
func (s *Server) resend(w http.ResponseWriter, r *http.Request) {
	var e Edited
	if err := readJSON(w, r, 64<<20, &e); err != nil {
		fail(w, err)
		return
	}
	id, err := tapway.ParseID(e.ID)
	if err == nil {
		err = e.check()
	}
	if err != nil {
		fail(w, &badInput{err.Error()})
		return
	}
	if s.Resend == nil {
		fail(w, &badInput{"replay is not possible here"})
		return
	}
	ex, err := s.Store.Load(r.Context(), id)
	if err != nil {
		fail(w, err)
		return
	}
	again, err := s.Resend(e.To)
	if err == nil {
		err = e.apply(ex)
	}
	if err != nil {
		fail(w, &badInput{err.Error()})
		return
	}
	start := time.Now()
	status, err := again(r.Context(), ex)
	s.log().Info("replay", "id", e.ID, "method", e.Method, "path", e.Path, "status", status, "err", err)
	if err != nil {
		writeError(w, http.StatusBadGateway, "the request got no answer: "+err.Error())
		return
	}
	writeJSON(w, http.StatusOK, Resent{status, float64(time.Since(start).Microseconds()) / 1000})
}

// check refuses what could not stand in a request as it is.
func (e *Edited) check() error {
	to, err := url.Parse(e.To)
	switch {
	case err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Host == "":
		return &badInput{"to: say which http:// or https:// URL to send to"}
	case !isToken(e.Method):
		return &badInput{"method: it is a word such as GET"}
	case !strings.HasPrefix(e.Path, "/") || !isVisible(e.Path) || strings.ContainsAny(e.Path, "?#"):
		return &badInput{"path: it begins with / and has neither spaces nor ? in it; write a space as %20"}
	case !isVisible(e.Query) || strings.Contains(e.Query, "#"):
		return &badInput{"query: it has no spaces in it; write them as %20"}
	}
	for _, h := range e.Headers {
		if !isToken(h[0]) {
			return &badInput{"headers: " + h[0] + " is not a header's name"}
		}
		if strings.ContainsFunc(h[1], func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return &badInput{"headers: the value of " + h[0] + " has control characters in it"}
		}
	}
	return nil
}

// apply writes the changes over the recorded request.
func (e *Edited) apply(ex *tapway.Exchange) error {
	ex.Method, ex.Path, ex.Query = e.Method, e.Path, e.Query
	ex.RequestHeader = nil
	for _, h := range e.Headers {
		ex.RequestHeader = append(ex.RequestHeader, tapway.Field{Name: http.CanonicalHeaderKey(h[0]), Value: h[1]})
	}
	if e.Keep {
		if ex.Request.Withheld || ex.Request.Truncated {
			return &badInput{"the recorded body is not whole: write one, or none"}
		}
		return nil
	}
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return &badInput{"body: " + err.Error()}
	}
	ex.Request = tapway.Body{Bytes: body, Size: int64(len(body)), Decoded: true}
	return nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", c))
	})
}

func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f })
}
