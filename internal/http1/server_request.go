package http1

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
)

// serverExchange is all that belongs to one request, in one allocation: a handler may keep
// the request, so none of it is used again, unless the handler has used Answer.
type serverExchange struct {
	req  http.Request
	url  url.URL
	ctx  requestContext
	body serverBody
	res  serverResponse
	room headerRoom
}

// headerRoom is the memory of a header whose request nobody has kept.
type headerRoom struct {
	header http.Header
	values []string // one for each line
}

// take gives an empty header and n empty values.
func (m *headerRoom) take(n int) (http.Header, []string) {
	if m.header == nil || len(m.values) < n {
		m.header, m.values = make(http.Header, n), make([]string, n)
	}
	return m.header, m.values[:n]
}

// maxRoom is how many header lines a connection keeps memory for.
const maxRoom = 32

// spareExchange gives an empty exchange, if it can that of a request that nobody has kept.
func (c *serverConn) spareExchange() *serverExchange {
	ex := c.spare
	if ex == nil {
		return new(serverExchange)
	}
	c.spare = nil
	return ex
}

// spareLater keeps ex for the connection's next request, if its handler has kept nothing of it:
// Answer says so, except where somebody has asked to be told when the request ends.
func (c *serverConn) spareLater(ex *serverExchange) {
	if !ex.res.answered || ex.ctx.Asked() {
		return
	}
	room := ex.room
	if len(room.values) > maxRoom {
		room = headerRoom{}
	}
	clear(room.header)
	clear(room.values)
	*ex = serverExchange{room: room}
	c.spare = ex
}

// readRequest reads a request's head. With a *ProtocolError the exchange holds what was
// understood of it.
func (c *serverConn) readRequest() (*serverExchange, error) {
	ex := c.spareExchange()
	ex.ctx.Base, ex.ctx.conn = c.base, c
	ex.body.ex = ex
	h := &c.head
	*h = requestHead{room: &ex.room}
	text, err := c.readHead()
	if _, refused := errors.AsType[*ProtocolError](err); err != nil && !refused {
		return nil, err
	}
	if bad := h.parse(text, c.server.MaxHeaders); err == nil {
		err = bad
	}
	ex.url = h.url
	r := http.Request{
		Method: h.method, URL: &ex.url, Proto: h.proto, ProtoMajor: 1, ProtoMinor: h.minor, Header: h.header,
		Host: h.host, RequestURI: h.target, RemoteAddr: c.remote, TLS: c.tls, Close: !h.keep, Body: http.NoBody,
	}
	if h.header == nil {
		r.Header = http.Header{}
	}
	if err == nil {
		r.ContentLength = max(h.length, 0)
		switch {
		case h.chunked:
			r.ContentLength = -1
			r.TransferEncoding = []string{"chunked"}
			r.Trailer = h.trailer
			r.Body = ex.body.startChunked(c, h)
		case h.length > 0:
			r.Body = ex.body.start(c, h)
		}
	}
	ex.req = *r.WithContext(&ex.ctx) // inlined, it allocates nothing
	ex.res.start(c, ex)
	return ex, err
}

var endOfHead = []byte("\r\n\r\n")

// readHead reads up to the empty line behind the headers. The whole head is one string, of
// which names and values are parts. With an error it is what came before that.
func (c *serverConn) readHead() (string, error) {
	c.skipEmptyLine()
	buffered, _ := c.br.Peek(c.br.Buffered())
	if i := bytes.Index(buffered, endOfHead); i >= 0 && i+4 <= c.server.MaxHeaderBytes {
		head := string(buffered[:i+4])
		c.br.Discard(i + 4)
		return head, nil
	}
	if !c.phase.enter(phaseHead) {
		return "", os.ErrDeadlineExceeded // it came too late
	}
	var head []byte
	for start := 0; ; { // start is that of the present line
		if _, err := c.br.Peek(1); err != nil {
			switch {
			case c.phase.load()&phaseKind == phaseExpired:
				return string(head), &ProtocolError{http.StatusRequestTimeout, "the headers did not come in time"}
			case err == io.EOF:
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		piece, _ := c.br.Peek(c.br.Buffered())
		if i := bytes.IndexByte(piece, '\n'); i >= 0 {
			piece = piece[:i+1]
		}
		head = append(head, piece...)
		c.br.Discard(len(piece))
		switch line := head[start:]; {
		case len(head) > c.server.MaxHeaderBytes && start == 0:
			return string(head), &ProtocolError{http.StatusRequestURITooLong, "the request line is too long"}
		case len(head) > c.server.MaxHeaderBytes:
			return string(head[:start]), &ProtocolError{http.StatusRequestHeaderFieldsTooLarge, "the headers are too large"}
		case line[len(line)-1] != '\n':
		case len(line) < 2 || line[len(line)-2] != '\r':
			return string(head[:start]), badRequest("a line ends with a bare LF")
		case len(line) == 2:
			return string(head), nil
		default:
			start = len(head)
		}
	}
}

// skipEmptyLine ignores one CRLF before a request, as RFC 9112 §2.2 asks.
func (c *serverConn) skipEmptyLine() {
	if first, err := c.br.Peek(1); err != nil || first[0] != '\r' {
		return
	}
	if c.br.Buffered() == 1 {
		c.phase.enter(phaseHead)
	}
	if two, err := c.br.Peek(2); err == nil && two[1] == '\n' {
		c.br.Discard(2)
		c.br.Peek(1)
	}
}

// requestHead is what a request's head says.
type requestHead struct {
	requestTarget
	method  string
	proto   string
	minor   int
	header  http.Header
	trailer http.Header // declared names, without values; never nil with a chunked body
	host    string
	keep    bool
	chunked bool
	length  int64 // -1: none
	expect  bool  // 100-continue

	hosts, lengths    int    // how many there are
	lengthText        string // the last of them
	codings, trailers []string
	closes, keeps     bool // said by Connection
	expects           string

	room *headerRoom // for header; nil: it is made anew
}

// parse reads the request line and the headers. text ends with an empty line, unless reading
// it failed; then parse understands as much of it as there is.
func (h *requestHead) parse(text string, maxHeaders int) error {
	h.length = -1
	line, rest, _ := strings.Cut(text, "\n")
	if err := h.parseLine(strings.TrimSuffix(line, "\r"), len(line) > 0 && line[len(line)-1] == '\r'); err != nil {
		return err
	}
	n := strings.Count(rest, "\n") // with the empty line
	if n-1 > maxHeaders {
		return &ProtocolError{http.StatusRequestHeaderFieldsTooLarge, "there are too many headers"}
	}
	if h.room == nil {
		h.room = new(headerRoom)
	}
	var values []string
	h.header, values = h.room.take(n)
	for len(rest) > 0 {
		end := strings.IndexByte(rest, '\n')
		if end < 0 {
			return badRequest("the headers are cut short")
		}
		if end == 0 || rest[end-1] != '\r' {
			return badRequest("a line ends with a bare LF")
		}
		line, rest = rest[:end-1], rest[end+1:]
		if line == "" {
			break
		}
		name, value, err := parseField(line)
		if err != nil {
			return err
		}
		if h.takeSpecial(name, value) {
			continue
		}
		if old := h.header[name]; old != nil {
			h.header[name] = append(old, value)
			continue
		}
		values[0] = value
		h.header[name] = values[:1:1]
		values = values[1:]
	}
	return h.check()
}

// parseLine reads the request line: method, target and version with one space between.
func (h *requestHead) parseLine(line string, complete bool) error {
	method, rest, ok := strings.Cut(line, " ")
	if !ok || !validName(method) {
		return badRequest("the method is not a token")
	}
	h.method = method
	target, proto, ok := strings.Cut(rest, " ")
	h.target = target
	err := h.parseTarget(method)
	switch {
	case !complete:
		return badRequest("the request line is cut short")
	case !ok:
		return badRequest("the request line has no version")
	}
	h.proto = proto
	switch {
	case proto == "HTTP/1.1":
		h.minor = 1
	case proto == "HTTP/1.0":
	case len(proto) == 8 && proto[:5] == "HTTP/" && isDigit(proto[5]) && proto[6] == '.' && isDigit(proto[7]):
		return &ProtocolError{http.StatusHTTPVersionNotSupported, "the version is neither HTTP/1.1 nor HTTP/1.0"}
	default:
		return badRequest("the request line does not end with a version")
	}
	return err
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// parseField takes a header line apart; name is in canonical form.
func parseField(line string) (name, value string, err error) {
	if line[0] == ' ' || line[0] == '\t' {
		return "", "", badRequest("a header line is folded, or white space precedes the headers")
	}
	i, canon, upper := 0, true, true
	for ; i < len(line) && isToken(line[i]); i++ {
		c := line[i]
		if upper && 'a' <= c && c <= 'z' || !upper && 'A' <= c && c <= 'Z' {
			canon = false
		}
		upper = c == '-'
	}
	if i == 0 || i == len(line) || line[i] != ':' {
		return "", "", badRequest("a header name is not a token followed by a colon")
	}
	name = line[:i]
	if !canon {
		var ok bool
		if name, ok = commonNames[line[:i]]; !ok {
			name = textproto.CanonicalMIMEHeaderKey(line[:i])
		}
	}
	value = line[i+1:]
	for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for len(value) > 0 && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
		value = value[:len(value)-1]
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "", "", badRequest("a header value holds a control character")
		}
	}
	return name, value, nil
}

// takeSpecial notes what frames the message; true if the header map does not get the line.
func (h *requestHead) takeSpecial(name, value string) bool {
	switch name {
	case "Host":
		h.hosts++
		h.host = value
		return true
	case "Transfer-Encoding":
		h.codings = append(h.codings, value)
		return true
	case "Trailer":
		h.trailers = append(h.trailers, value)
	case "Content-Length":
		h.lengths++
		h.lengthText = value
	case "Connection":
		for token := range strings.SplitSeq(value, ",") {
			token = strings.Trim(token, " \t")
			h.closes = h.closes || strings.EqualFold(token, "close")
			h.keeps = h.keeps || strings.EqualFold(token, "keep-alive")
		}
	case "Expect":
		if h.expects != "" {
			h.expects += ", "
		}
		h.expects += value
	}
	return false
}

// check decides what the headers mean together.
func (h *requestHead) check() error {
	if err := h.checkHost(); err != nil {
		return err
	}
	h.keep = !h.closes && (h.minor == 1 || h.keeps)
	if err := h.checkFraming(); err != nil {
		return err
	}
	if err := h.checkTrailers(); err != nil {
		return err
	}
	if h.expects != "" && h.minor == 1 {
		if !strings.EqualFold(h.expects, "100-continue") {
			return &ProtocolError{http.StatusExpectationFailed, "the expectation is unknown"}
		}
		h.expect = h.chunked || h.length > 0
	}
	return nil
}

func (h *requestHead) checkHost() error {
	if h.hosts > 1 {
		return badRequest("there are several Host headers")
	}
	if h.hosts == 0 && h.minor == 1 {
		return badRequest("there is no Host header")
	}
	if !validHost(h.host) {
		h.host = ""
		return badRequest("the Host header is not a host")
	}
	if h.authority != "" {
		h.host = h.authority // RFC 9112 §3.2.2: it replaces the header
	}
	return nil
}

func (h *requestHead) checkFraming() error {
	if len(h.codings) > 0 {
		if h.minor == 0 {
			return badRequest("Transfer-Encoding in HTTP/1.0")
		}
		for _, line := range h.codings {
			for coding := range strings.SplitSeq(line, ",") {
				coding = strings.Trim(coding, " \t")
				if coding == "" || !validName(coding) {
					return badRequest("Transfer-Encoding is not a coding")
				}
				if !strings.EqualFold(coding, "chunked") {
					return &ProtocolError{http.StatusNotImplemented, "the transfer coding is not implemented"}
				}
				if h.chunked {
					return badRequest("the body is chunked twice")
				}
				h.chunked = true
			}
		}
		if h.lengths > 0 {
			return badRequest("there are both Content-Length and Transfer-Encoding")
		}
	}
	if h.lengths > 1 {
		return badRequest("there are several Content-Length headers")
	}
	if h.lengths == 1 {
		n, err := parseLength(h.lengthText)
		if err != nil {
			return err
		}
		h.length = n
	}
	return nil
}

func (h *requestHead) checkTrailers() error {
	if !h.chunked {
		return nil // without chunks there is nowhere to put them
	}
	h.trailer = http.Header{}
	delete(h.header, "Trailer")
	for _, line := range h.trailers {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.Trim(name, " \t")
			if name == "" {
				continue
			}
			name = textproto.CanonicalMIMEHeaderKey(name)
			if !validName(name) || framing[name] {
				return badRequest("the Trailer header names what cannot be a trailer")
			}
			h.trailer[name] = nil
		}
	}
	return nil
}
