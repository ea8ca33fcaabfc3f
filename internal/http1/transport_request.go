package http1

import (
	"bufio"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// writeHead writes the request line and the header with its empty line.
func (c *clientCall) writeHead(bw *bufio.Writer) error {
	req := c.req
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	bw.WriteString(method)
	bw.WriteByte(' ')
	transportWriteTarget(bw, req.URL)
	bw.WriteString(" HTTP/1.1\r\nHost: ")
	bw.WriteString(transportWithoutZone(c.plan.host))
	bw.WriteString("\r\n")
	switch c.plan.body {
	case clientNoBody:
		// Many servers insist on one with these, and a signature may cover one that the client has sent.
		if method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch || len(req.Header["Content-Length"]) > 0 {
			bw.WriteString("Content-Length: 0\r\n")
		}
	case clientChunked:
		bw.WriteString("Transfer-Encoding: chunked\r\n")
		if len(req.Trailer) > 0 {
			names := make([]string, 0, len(req.Trailer))
			for name := range req.Trailer {
				if validName(name) {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			bw.WriteString("Trailer: ")
			bw.WriteString(strings.Join(names, ", "))
			bw.WriteString("\r\n")
		}
	default:
		bw.WriteString("Content-Length: ")
		bw.Write(strconv.AppendInt(bw.AvailableBuffer(), c.plan.length, 10))
		bw.WriteString("\r\n")
	}
	if req.Close && !transportHasToken(req.Header["Connection"], "close") {
		bw.WriteString("Connection: close\r\n")
	}
	if err := writeHeader(bw, req.Header, transportSkip); err != nil {
		return err
	}
	_, err := bw.WriteString("\r\n")
	return err
}

// transportWriteTarget writes the origin form. It differs from URL.RequestURI where that
// would put a scheme before an opaque "//path".
func transportWriteTarget(bw *bufio.Writer, u *url.URL) {
	switch {
	case u.Opaque != "":
		bw.WriteString(u.Opaque)
	default:
		path := u.EscapedPath()
		if path == "" {
			path = "/"
		}
		bw.WriteString(path)
	}
	if u.ForceQuery || u.RawQuery != "" {
		bw.WriteByte('?')
		bw.WriteString(u.RawQuery)
	}
}

// transportSkip names the header lines that say how the message is framed. They are made
// here and never copied, in whatever letter case they come.
func transportSkip(name string) bool {
	switch len(name) {
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// transportTrailer is what may be sent of a request's trailers.
func transportTrailer(h http.Header) http.Header {
	for name := range h {
		if transportSkip(name) {
			h = h.Clone()
			for name := range h {
				if transportSkip(name) {
					delete(h, name)
				}
			}
			return h
		}
	}
	return h
}

// transportWithoutZone takes the zone out of "[fe80::1%en0]:80": it means nothing elsewhere.
func transportWithoutZone(host string) string {
	if !strings.HasPrefix(host, "[") {
		return host
	}
	end := strings.LastIndexByte(host, ']')
	if end < 0 {
		return host
	}
	zone := strings.LastIndexByte(host[:end], '%')
	if zone < 0 {
		return host
	}
	return host[:zone] + host[end:]
}

// transportHasToken reports whether a comma-separated header has a token, in any letter case.
func transportHasToken(values []string, token string) bool {
	for _, v := range values {
		for v != "" {
			var part string
			part, v, _ = strings.Cut(v, ",")
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// transportIdempotent reports whether a request may be sent twice (RFC 9110 §9.2.2).
func transportIdempotent(req *http.Request) bool {
	switch req.Method {
	case "", "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return len(req.Header["Idempotency-Key"]) > 0 || len(req.Header["X-Idempotency-Key"]) > 0
}
