package http1

import (
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
)

func transportBadReply(reason string) error {
	return &ProtocolError{http.StatusBadGateway, reason}
}

func (t *Transport) maxHeader() int64 {
	if t.MaxResponseHeaderBytes <= 0 {
		return transportMaxHeader
	}
	return t.MaxResponseHeaderBytes
}

// nextHead reads one response header into resp and gives its status code. It tells the trace
// about interim ones, 100 to 199 but not 101.
func (c *clientCall) nextHead() (int, error) {
	if !c.answered {
		if _, err := c.cc.br.Peek(1); err != nil {
			return 0, err
		}
		c.answered = true
		if c.trace != nil && c.trace.GotFirstResponseByte != nil {
			c.trace.GotFirstResponseByte()
		}
	}
	if err := c.readHead(); err != nil {
		if err == errTooLarge {
			err = transportBadReply(fmt.Sprintf("the response header is larger than %d bytes", c.t.maxHeader()))
		}
		return 0, transportEOF(err)
	}
	code := c.resp.StatusCode
	if code >= 200 || code == http.StatusSwitchingProtocols {
		return code, nil
	}
	if c.interim++; c.interim > transportMaxInterim {
		return 0, transportBadReply("too many interim responses")
	}
	if c.trace != nil {
		if code == http.StatusContinue && c.trace.Got100Continue != nil {
			c.trace.Got100Continue()
		}
		if c.trace.Got1xxResponse != nil {
			if err := c.trace.Got1xxResponse(code, textproto.MIMEHeader(c.resp.Header)); err != nil {
				return 0, err
			}
		}
	}
	return code, nil
}

// readHead reads a status line and a header.
func (c *clientCall) readHead() error {
	line, err := readLine(c.cc.br, &c.budget, false)
	if err != nil {
		return err
	}
	const proto = "HTTP/1."
	if len(line) < len("HTTP/1.1 200") || string(line[:len(proto)]) != proto || line[8] != ' ' || line[7] < '0' || line[7] > '9' {
		return transportBadReply("the response does not begin with an HTTP/1 status line")
	}
	rest := line[9:]
	for len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	if len(rest) < 3 || len(rest) > 3 && rest[3] != ' ' {
		return transportBadReply("the status code is not three digits")
	}
	code := 0
	for _, d := range rest[:3] {
		if d < '0' || d > '9' {
			return transportBadReply("the status code is not three digits")
		}
		code = code*10 + int(d-'0')
	}
	if code < 100 {
		return transportBadReply("the status code is below 100")
	}
	resp := &c.resp
	resp.StatusCode = code
	if s := transportStatus[code-100]; s == string(rest) {
		resp.Status = s
	} else {
		resp.Status = string(rest)
	}
	resp.ProtoMajor, resp.ProtoMinor = 1, int(line[7]-'0')
	switch resp.ProtoMinor {
	case 0:
		resp.Proto = "HTTP/1.0"
	case 1:
		resp.Proto = "HTTP/1.1"
	default:
		resp.Proto = string(line[:8])
	}
	resp.Header = make(http.Header, 8)
	return readHeader(c.cc.br, resp.Header, &c.budget, false)
}

// transportStatus spares an allocation for status lines as they usually are.
var transportStatus = func() (s [900]string) {
	for code := range s {
		if text := http.StatusText(code + 100); text != "" {
			s[code] = fmt.Sprintf("%d %s", code+100, text)
		}
	}
	return s
}()

// frame finds out how long the body is (RFC 9112 §6.3) and whether the connection outlives
// it. Like net/http it takes Transfer-Encoding, and Trailer of chunked bodies, out of the header.
func (c *clientCall) frame() error {
	resp := &c.resp
	h := resp.Header
	resp.Close = transportHasToken(h["Connection"], "close") ||
		resp.ProtoMinor == 0 && !transportHasToken(h["Connection"], "keep-alive")
	if told := keepAliveTold(h["Keep-Alive"]); told < 0 {
		c.noReuse = true
	} else if told > 0 {
		c.cc.told = told
	}
	chunked, err := c.transferEncoding()
	if err != nil {
		return err
	}
	length, err := transportLength(h)
	if err != nil {
		return err
	}
	if chunked && length >= 0 {
		delete(h, "Content-Length") // must not be passed on, and whoever sends both is not trusted
		length = -1
		c.noReuse = true
	}
	resp.ContentLength = length
	c.left = 0
	switch {
	case c.req.Method == http.MethodHead:
		return c.declareTrailer(chunked)
	case resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified:
		resp.ContentLength = 0
		return c.declareTrailer(chunked)
	case chunked:
		c.framing = clientInChunks
		c.chunk = chunkedReader{br: c.cc.br, trailer: http.Header{}}
		return c.declareTrailer(true)
	case length >= 0:
		c.left = length
	default:
		c.framing = clientUntilClose
		resp.Close = true
	}
	return nil
}

// transferEncoding reports whether the body is chunked. HTTP/1.0 has no chunked bodies; one
// that claims to be is read as such, and so is one that says chunked twice, as of a backend that
// copies another's headers. The connection is not trusted any further then.
func (c *clientCall) transferEncoding() (bool, error) {
	te, ok := c.resp.Header["Transfer-Encoding"]
	if !ok {
		return false, nil
	}
	delete(c.resp.Header, "Transfer-Encoding")
	chunked := false
	for _, line := range te {
		for coding := range strings.SplitSeq(line, ",") {
			switch coding = strings.Trim(coding, " \t"); {
			case strings.EqualFold(coding, "chunked"):
				chunked = true
			case coding != "" && !strings.EqualFold(coding, "identity"):
				return false, transportBadReply("a Transfer-Encoding other than chunked")
			}
		}
	}
	if c.resp.ProtoMinor == 0 || len(te) != 1 || !strings.EqualFold(te[0], "chunked") {
		c.noReuse = true
	}
	if chunked {
		c.resp.TransferEncoding = []string{"chunked"}
	}
	return chunked, nil
}

// transportLength gives the Content-Length, -1 without one. The same one said twice is taken
// for one (RFC 9110 §8.6).
func transportLength(h http.Header) (int64, error) {
	lines, ok := h["Content-Length"]
	if !ok {
		return -1, nil
	}
	if len(lines) == 1 {
		if n, err := parseLength(lines[0]); err == nil {
			return n, nil
		}
	}
	length := int64(-1)
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			n, err := parseLength(strings.Trim(part, " \t"))
			if err != nil {
				return 0, transportBadReply("Content-Length is not a number")
			}
			if length >= 0 && n != length {
				return 0, transportBadReply("several Content-Lengths that differ")
			}
			length = n
		}
	}
	h["Content-Length"] = []string{fmt.Sprint(length)}
	return length, nil
}

// declareTrailer takes the names that Trailer announces.
func (c *clientCall) declareTrailer(chunked bool) error {
	lines, ok := c.resp.Header["Trailer"]
	if !ok || !chunked {
		return nil
	}
	delete(c.resp.Header, "Trailer")
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			if !validName(name) || transportSkip(name) {
				continue
			}
			if c.resp.Trailer == nil {
				c.resp.Trailer = http.Header{}
			}
			c.resp.Trailer[name] = nil
		}
	}
	return nil
}

// readBody reads from the body. io.EOF is its proper end and nothing else.
func (c *clientCall) readBody(p []byte) (int, error) {
	switch c.framing {
	case clientUntilClose:
		return c.cc.br.Read(p)
	case clientFixed:
		if int64(len(p)) > c.left {
			p = p[:c.left]
		}
		n, err := c.cc.br.Read(p)
		c.left -= int64(n)
		if c.left == 0 {
			return n, io.EOF
		}
		return n, transportEOF(err)
	}
	n, err := c.chunk.Read(p)
	if n > 0 && err == nil && c.lastChunkAtHand() {
		err = io.EOF
	}
	if err == io.EOF {
		c.takeTrailer()
	}
	return n, err
}

// takeTrailer adds the trailers that came. Those that say how a message is framed are not
// trailers (RFC 9110 §6.5.1).
func (c *clientCall) takeTrailer() {
	for name, values := range c.chunk.trailer {
		if transportSkip(name) {
			continue
		}
		if c.resp.Trailer == nil {
			c.resp.Trailer = http.Header{}
		}
		c.resp.Trailer[name] = values
	}
}
