package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/content"
	"github.com/tapway/tapway/internal/filter"
)

// Detail is one exchange as the console shows it: everything but the bytes of its bodies.
type Detail struct {
	Summary
	AccessMS    float64                `json:"access_ms,omitempty"` // part of OverheadMS
	ConnectMS   float64                `json:"connect_ms"`
	FirstByteMS float64                `json:"first_byte_ms,omitempty"`
	Request     Message                `json:"request"`
	Response    Message                `json:"response"`
	Fidelity    []string               `json:"fidelity,omitempty"`
	API         *tapway.API            `json:"api,omitempty"`
	Deliveries  []tapway.DeliveryState `json:"deliveries"`
}

// Message is one side of an exchange. Its header lines stand as they were recorded, repeated
// names included.
type Message struct {
	Headers   [][2]string `json:"headers"`
	Trailers  [][2]string `json:"trailers,omitempty"`
	Type      string      `json:"type,omitempty"`
	Coding    string      `json:"coding,omitempty"`    // of the bytes as stored; "" when they are plain
	Size      int64       `json:"size"`                // bytes that passed
	Kept      int         `json:"kept"`                // bytes stored
	Truncated bool        `json:"truncated,omitempty"` // the rest was not recorded
	Withheld  bool        `json:"withheld,omitempty"`  // nothing was
	Decoded   bool        `json:"decoded,omitempty"`   // redaction removed the content codings
}

func messageOf(h, trailer tapway.Header, b *tapway.Body) Message {
	m := Message{Headers: fields(h), Trailers: fields(trailer), Type: h.Get("Content-Type"), Size: b.Size, Kept: len(b.Bytes),
		Truncated: b.Truncated, Withheld: b.Withheld, Decoded: b.Decoded}
	if !b.Decoded && len(b.Bytes) > 0 {
		m.Coding = codings(h)
	}
	return m
}

func fields(h tapway.Header) [][2]string {
	out := make([][2]string, len(h))
	for i, f := range h {
		out[i] = [2]string{f.Name, f.Value}
	}
	return out
}

// codings joins every Content-Encoding line, in the order they were applied.
func codings(h tapway.Header) string {
	var all []string
	for _, f := range h {
		if strings.EqualFold(f.Name, "Content-Encoding") {
			all = append(all, f.Value)
		}
	}
	return strings.Join(all, ", ")
}

func (s *Server) load(w http.ResponseWriter, r *http.Request) *tapway.Exchange {
	id, err := tapway.ParseID(r.PathValue("id"))
	if err != nil {
		fail(w, &badInput{err.Error()})
		return nil
	}
	ex, err := s.history().Load(r.Context(), id)
	if err != nil {
		fail(w, err)
		return nil
	}
	return ex
}

// detail answers with one exchange and where it stands.
func (s *Server) detail(w http.ResponseWriter, r *http.Request) {
	ex := s.load(w, r)
	if ex == nil {
		return
	}
	states, err := s.history().States(r.Context(), ex.Seq)
	if err != nil {
		fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, Detail{
		Summary: summarize(&ex.Meta), AccessMS: float64(ex.Access) / 1e6, ConnectMS: float64(ex.Connect.Microseconds()) / 1000, FirstByteMS: float64(ex.FirstByte.Microseconds()) / 1000,
		Request:  messageOf(ex.RequestHeader, ex.RequestTrailer, &ex.Request),
		Response: messageOf(ex.ResponseHeader, ex.ResponseTrailer, &ex.Response),
		Fidelity: ex.Fidelity, API: ex.API, Deliveries: append([]tapway.DeliveryState{}, states...),
	})
}

// maxDecoded bounds what a body may decode to for the console.
const maxDecoded = 32 << 20

// body answers with the bytes of one body, as stored with ?form=raw, else without content
// codings. They are a stranger's: the answer says that they are bytes and nothing to show.
func (s *Server) body(w http.ResponseWriter, r *http.Request) {
	ex := s.load(w, r)
	if ex == nil {
		return
	}
	header, body := ex.RequestHeader, &ex.Request
	switch r.PathValue("side") {
	case "request":
	case "response":
		header, body = ex.ResponseHeader, &ex.Response
	default:
		fail(w, &badInput{fmt.Sprintf("%q is neither request nor response", r.PathValue("side"))})
		return
	}
	bytes := body.Bytes
	h := w.Header()
	if coding := codings(header); coding != "" && !body.Decoded && r.URL.Query().Get("form") != "raw" {
		plain, err := content.Decode(coding, bytes, maxDecoded)
		if err != nil {
			h.Set("X-Tapway-Decode-Error", url.PathEscape(err.Error()))
		}
		if err == nil || len(plain) > 0 {
			bytes = plain
		}
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+ex.ID.String()+"-"+r.PathValue("side")+`.bin"`)
	h.Set("Content-Length", strconv.Itoa(len(bytes)))
	w.Write(bytes)
}

// FilterCheck tells whether a filter can be read.
type FilterCheck struct {
	Text   string `json:"text,omitempty"`   // canonical
	Error  string `json:"error,omitempty"`  // without the column
	Column int    `json:"column,omitempty"` // in characters from 1
}

// filterCheck reads ?filter= for a search box.
func (s *Server) filterCheck(w http.ResponseWriter, r *http.Request) {
	f, err := filter.Parse(r.URL.Query().Get("filter"))
	if e, ok := err.(*filter.Error); ok {
		writeJSON(w, http.StatusOK, FilterCheck{Error: e.Message, Column: e.Column})
		return
	}
	writeJSON(w, http.StatusOK, FilterCheck{Text: f.String()})
}

// filterFields lists the fields of the filter language for completion.
func (s *Server) filterFields(w http.ResponseWriter, r *http.Request) {
	type field struct {
		Name      string   `json:"name"`
		Type      string   `json:"type"`
		Operators []string `json:"operators"`
		Values    []string `json:"values,omitempty"`
		Help      string   `json:"help"`
	}
	var out []field
	for _, f := range filter.Fields() {
		out = append(out, field(f))
	}
	writeJSON(w, http.StatusOK, out)
}
