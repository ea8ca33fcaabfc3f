package lambdaruntime

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
)

// head is the head of an answer as the Runtime API mostly gives them: whole in the reader's buffer, with one
// Content-Length or a chunked body. Its bytes are the reader's, valid until the next read.
type head struct {
	status int
	length int64 // -1: chunked
	close  bool
	fields [maxFields]rawField
	n      int

	framed bool // there was a line about the body's length
}

type rawField struct{ name, value []byte }

// maxFields is several times what the API sends.
const maxFields = 32

// parse reads the head at the front of what br has buffered, and takes it out. When it gives false the head is another
// than this can read, br is as it was, and net/http's reader is the one to ask.
func (h *head) parse(br *bufio.Reader) bool {
	b, _ := br.Peek(br.Buffered())
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return false
	}
	size := end + len("\r\n\r\n")
	line, rest := cutLine(b[:end+len("\r\n")])
	h.status, h.length, h.close, h.n, h.framed = 0, -1, false, 0, false
	const proto = "HTTP/1.1 "
	if len(line) < len(proto)+3 || string(line[:len(proto)]) != proto || len(line) > len(proto)+3 && line[len(proto)+3] != ' ' {
		return false
	}
	for _, d := range line[len(proto) : len(proto)+3] {
		if d < '0' || d > '9' {
			return false
		}
		h.status = 10*h.status + int(d-'0')
	}
	if h.status < 200 || h.status == http.StatusNoContent || h.status == http.StatusNotModified {
		return false // they have no body, whatever their length is
	}
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		if !h.add(line) {
			return false
		}
	}
	if !h.framed {
		return false
	}
	_, err := br.Discard(size)
	return err == nil
}

// cutLine takes the first line, without its end, off lines that all have one.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	line, rest = b[:i], b[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest
}

// add takes one line. It gives false for what is not to be read in a hurry: foldings, names that are none, other
// framings than the two.
func (h *head) add(line []byte) bool {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || h.n == maxFields {
		return false
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	for _, c := range name {
		if !isWord(c) {
			return false
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	switch {
	case same(name, "Content-Length"):
		n, ok := decimal(value)
		if !ok || h.framed {
			return false
		}
		h.length, h.framed = n, true
	case same(name, "Transfer-Encoding"):
		if h.framed || !same(value, "chunked") {
			return false
		}
		h.framed = true
	case same(name, "Connection"):
		if h.close = same(value, "close"); !h.close && !same(value, "keep-alive") {
			return false
		}
	case same(name, "Trailer"):
		return false
	}
	h.fields[h.n] = rawField{name, value}
	h.n++
	return true
}

// Get is http.Header's: the first value of a name in any letter case, "" if there is none.
func (h *head) Get(name string) string {
	for _, f := range h.fields[:h.n] {
		if same(f.name, name) {
			return string(f.value)
		}
	}
	return ""
}

// same reports whether b is the ASCII text s in any letter case.
func same(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		d := s[i]
		if c != d && (c^d != 0x20 || c|0x20 < 'a' || 'z' < c|0x20) {
			return false
		}
	}
	return true
}

// body is what follows the head in br. end reads what comes behind it.
func (h *head) body(br *bufio.Reader) (body io.Reader, end func() error) {
	if h.length >= 0 {
		return io.LimitReader(br, h.length), func() error { return nil }
	}
	return httputil.NewChunkedReader(br), func() error {
		for { // trailers, of which the API knows none, and an empty line
			line, err := br.ReadSlice('\n')
			if err != nil || len(bytes.TrimRight(line, "\r\n")) == 0 {
				return err
			}
		}
	}
}

// decimal reads digits and nothing else.
func decimal(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 15 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// getter is a header that can be asked.
type getter interface{ Get(name string) string }

var (
	_ getter = http.Header(nil)
	_ getter = (*head)(nil)
)
