// Package http1 is the two ends of HTTP/1.1 (RFC 9112), lean, behind net/http's seams: a
// [Server] that calls any http.Handler and a [Transport] that is an http.RoundTripper.
//
// Both do a call on the goroutine that asked for it, without handing it over to others,
// which is where net/http spends most of its time. What a newcomer gets wrong: requests are
// read strictly, because a message that two readers could understand differently is how
// requests are smuggled, while responses are read as leniently as RFC 9112 allows, because
// the API must keep working. HTTP/2 is left to the standard library.
package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
)

// ProtocolError says why a message was not understood. Status is what a server answers.
type ProtocolError struct {
	Status int    // 400, 408, 413, 414, 417, 431, 501, 505
	Reason string // one short sentence, safe to show to the peer
}

func (e *ProtocolError) Error() string { return "http1: " + e.Reason }

// Malformed is Reason, for those who meet the error behind net/http's seams.
func (e *ProtocolError) Malformed() string { return e.Reason }

func badRequest(reason string) error { return &ProtocolError{http.StatusBadRequest, reason} }

var errTooLarge = errors.New("http1: line too long")

// readLine reads up to and without the line end; the result is valid until the next read.
// Strict wants CRLF and no other CR or NUL in the line; lenient also takes a bare LF.
// budget is lowered by what was read; below 0 the error is errTooLarge.
func readLine(br *bufio.Reader, budget *int, strict bool) ([]byte, error) {
	line, err := br.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		long := append([]byte(nil), line...)
		for err == bufio.ErrBufferFull {
			if len(long) > *budget {
				return nil, errTooLarge
			}
			line, err = br.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	*budget -= len(line)
	if *budget < 0 {
		return nil, errTooLarge
	}
	if err != nil {
		if err == io.EOF && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	} else if strict {
		return nil, badRequest("a line ends with a bare LF")
	}
	for _, c := range line {
		if c == '\r' || c == 0 {
			return nil, badRequest("a line holds a bare CR or a NUL")
		}
	}
	return line, nil
}

// readHeader reads header lines up to the empty line into h. In strict mode an obsolete
// line folding, white space before the colon or any control character is an error; else a
// folding becomes one space (RFC 9112 §5.2) and the rest is read as net/http would.
func readHeader(br *bufio.Reader, h http.Header, budget *int, strict bool) error {
	var values []string // one backing array for all single values
	var lastName string
	folds := 0
	for {
		line, err := readLine(br, budget, strict)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		if line[0] == ' ' || line[0] == '\t' {
			if strict || lastName == "" {
				return badRequest("a header line is folded")
			}
			// Each folding copies the value anew: without a bound a peer could buy minutes of work
			// with a quarter megabyte of them.
			if folds++; folds > maxFolds {
				return badRequest("the header is folded too often")
			}
			more := trim(line)
			if hasControl(more) {
				return badRequest("a header value holds a control character")
			}
			vv := h[lastName]
			vv[len(vv)-1] += " " + string(more)
			continue
		}
		colon := 0
		for colon < len(line) && isToken(line[colon]) {
			colon++
		}
		end := colon
		for !strict && colon < len(line) && (line[colon] == ' ' || line[colon] == '\t') {
			colon++ // a proxy removes white space before the colon of a response (RFC 9112 §5.1)
		}
		if end == 0 || colon == len(line) || line[colon] != ':' {
			return badRequest("a header name is not a token")
		}
		value := trim(line[colon+1:])
		if hasControl(value) {
			return badRequest("a header value holds a control character")
		}
		name := canonical(line[:end])
		lastName = name
		if old := h[name]; old != nil {
			h[name] = append(old, string(value))
			continue
		}
		if len(values) == 0 {
			values = make([]string, 16)
		}
		one := values[:1:1]
		values = values[1:]
		one[0] = string(value)
		h[name] = one
	}
}

// maxFolds is how many folded lines a header may have in all.
const maxFolds = 100

func hasControl(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// canonical is http.CanonicalHeaderKey without the copy for names net/http knows.
func canonical(name []byte) string {
	if s, ok := commonNames[string(name)]; ok {
		return s
	}
	return textproto.CanonicalMIMEHeaderKey(string(name))
}

// commonNames spares an allocation for names in the two spellings that are usual.
var commonNames = func() map[string]string {
	m := map[string]string{}
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Access-Control-Allow-Origin", "Age",
		"Allow", "Authorization", "Cache-Control", "Connection", "Content-Disposition", "Content-Encoding",
		"Content-Language", "Content-Length", "Content-Location", "Content-Range", "Content-Type", "Cookie",
		"Date", "Etag", "Expect", "Expires", "Forwarded", "Host", "If-Match", "If-Modified-Since",
		"If-None-Match", "Keep-Alive", "Last-Modified", "Link", "Location", "Origin", "Pragma", "Range",
		"Referer", "Retry-After", "Server", "Set-Cookie", "Strict-Transport-Security", "Te", "Traceparent",
		"Tracestate", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "Vary", "Via",
		"Www-Authenticate", "X-Amzn-Trace-Id", "X-Api-Key", "X-Content-Type-Options", "X-Forwarded-For",
		"X-Forwarded-Host", "X-Forwarded-Proto", "X-Frame-Options", "X-Request-Id",
	} {
		m[name] = name
		lower := make([]byte, len(name))
		for i := range len(name) {
			c := name[i]
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			lower[i] = c
		}
		m[string(lower)] = name
	}
	return m
}()

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// isToken reports whether c may stand in a token (RFC 9110 §5.6.2).
func isToken(c byte) bool {
	return c < 0x80 && tokenChars[c]
}

var tokenChars = func() (t [0x80]bool) {
	for c := byte('0'); c <= '9'; c++ {
		t[c] = true
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-0x20] = true, true
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

// parseLength reads a Content-Length: digits only, no sign, no list (RFC 9110 §8.6).
func parseLength(s string) (int64, error) {
	if s == "" || len(s) > 18 {
		return 0, badRequest("Content-Length is not a number")
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, badRequest("Content-Length is not a number")
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, badRequest("Content-Length is not a number")
	}
	return n, nil
}

const (
	maxChunkLine   = 4 << 10  // a chunk size with its extensions
	maxTrailerSize = 16 << 10 // all trailer lines
	maxExcess      = 16 << 10 // all size lines, but for 16 bytes and the data of each chunk
)

// chunkedReader reads a chunked body (RFC 9112 §7.1) and the trailers behind it.
type chunkedReader struct {
	br      *bufio.Reader
	strict  bool
	trailer http.Header // filled at the end; nil discards what comes
	onEnd   func()      // called once the body has been read to its end
	left    int64       // of the present chunk
	excess  int         // bytes of size lines beyond what data excuses
	started bool
	err     error
}

func (c *chunkedReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if c.left == 0 {
		if err := c.next(); err != nil {
			c.err = err
			return 0, err
		}
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.br.Read(p)
	c.left -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		c.err = err
	}
	return n, err
}

// next reads up to the data of the next chunk; io.EOF after the last one.
func (c *chunkedReader) next() error {
	budget := maxChunkLine
	if c.started {
		line, err := readLine(c.br, &budget, c.strict)
		if err != nil {
			return bodyError(err)
		}
		if len(line) != 0 {
			return badRequest("a chunk is longer than its size says")
		}
	}
	c.started = true
	line, err := readLine(c.br, &budget, c.strict)
	if err != nil {
		return bodyError(err)
	}
	size, err := parseChunkSize(line)
	if err != nil {
		return err
	}
	if c.strict && !strictExtension(line) {
		return badRequest("a chunk extension is malformed")
	}
	c.excess = max(0, c.excess+len(line)-16-int(min(size, maxChunkLine)))
	if c.excess > maxExcess {
		return badRequest("the chunk extensions are too long")
	}
	c.left = size
	if size > 0 {
		return nil
	}
	budget = maxTrailerSize
	into := c.trailer
	if into == nil || c.strict {
		into = http.Header{}
	}
	if err := readHeader(c.br, into, &budget, c.strict); err != nil {
		return bodyError(err)
	}
	if c.strict {
		if err := addTrailers(c.trailer, into); err != nil {
			return err
		}
	}
	if c.onEnd != nil {
		c.onEnd()
	}
	return io.EOF
}

// addTrailers refuses what frames a message, which a reader that merges trailers into the
// headers would believe (RFC 9110 §6.5.1). into may be nil.
func addTrailers(into, trailers http.Header) error {
	for name, values := range trailers {
		if framing[name] {
			return badRequest("a trailer is not allowed to be one")
		}
		if into != nil {
			into[name] = append(into[name], values...)
		}
	}
	return nil
}

// framing are the fields that must not come as trailers.
var framing = map[string]bool{"Content-Length": true, "Transfer-Encoding": true, "Trailer": true, "Host": true}

// strictExtension reports whether a size line that parseChunkSize takes ends with its size,
// or goes on with printable extensions behind a semicolon (RFC 9112 §7.1.1). White space
// before the semicolon, which the RFC has as bad, is refused: readers disagree about it.
func strictExtension(line []byte) bool {
	size, extension, _ := bytes.Cut(line, []byte(";"))
	if len(trim(size)) != len(size) {
		return false
	}
	for _, c := range extension {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func bodyError(err error) error {
	switch err {
	case io.EOF:
		return io.ErrUnexpectedEOF
	case errTooLarge:
		return badRequest("a chunk line or the trailers are too long")
	}
	return err
}

func parseChunkSize(line []byte) (int64, error) {
	var size int64
	i := 0
	for ; i < len(line); i++ {
		c := line[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			goto ext
		}
		if i >= 15 {
			return 0, badRequest("a chunk size is too large")
		}
		size = size<<4 | int64(c)
	}
ext:
	if i == 0 {
		return 0, badRequest("a chunk size is not a hexadecimal number")
	}
	if rest := trim(line[i:]); len(rest) > 0 && rest[0] != ';' {
		return 0, badRequest("a chunk size is not a hexadecimal number")
	}
	return size, nil
}

// writeChunk writes one chunk; an empty p writes nothing, because that would end the body.
func writeChunk(bw *bufio.Writer, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	var buf [20]byte
	line := append(strconv.AppendInt(buf[:0], int64(len(p)), 16), '\r', '\n')
	if _, err := bw.Write(line); err != nil {
		return err
	}
	if _, err := bw.Write(p); err != nil {
		return err
	}
	_, err := bw.WriteString("\r\n")
	return err
}

// writeLastChunk ends a chunked body with its trailers.
func writeLastChunk(bw *bufio.Writer, trailer http.Header) error {
	bw.WriteString("0\r\n")
	if err := writeHeader(bw, trailer, nil); err != nil {
		return err
	}
	_, err := bw.WriteString("\r\n")
	return err
}

// writeHeader writes header lines, without those skip names. A name that is no token is
// left out; a CR, LF or NUL in a value becomes a space: no value can start a new line.
func writeHeader(bw *bufio.Writer, h http.Header, skip func(name string) bool) error {
	var err error
	for name, values := range h {
		if skip != nil && skip(name) || !validName(name) {
			continue
		}
		for _, v := range values {
			bw.WriteString(name)
			bw.WriteString(": ")
			writeValue(bw, v)
			_, err = bw.WriteString("\r\n")
		}
	}
	return err
}

func validName(name string) bool {
	for i := range len(name) {
		if !isToken(name[i]) {
			return false
		}
	}
	return name != ""
}

func writeValue(bw *bufio.Writer, v string) {
	from := 0
	for i := range len(v) {
		if c := v[i]; c == '\r' || c == '\n' || c == 0 {
			bw.WriteString(v[from:i])
			bw.WriteByte(' ')
			from = i + 1
		}
	}
	bw.WriteString(v[from:])
}

// statusText is the reason phrase; empty for codes the standard library does not know.
func statusLine(code int) string {
	return fmt.Sprintf("HTTP/1.1 %03d %s\r\n", code, http.StatusText(code))
}
