package app

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	wholeLength = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
	chunkLength = regexp.MustCompile(`^[0-9a-f]+$`)
	refusal     = regexp.MustCompile(`^(HTTP/1\.[01] (400|501) .*)?$`)
	fieldName   = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
)

// strictBackend reads requests as nobody can read them in two ways, and tells of each what it is, or
// how it could be read otherwise by a backend that tolerates more.
func strictBackend(t *testing.T) (addr string, seen <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	told := make(chan string, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					request, err := readStrictly(r)
					if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.As(err, new(*net.OpError)) {
						return // between two requests, or in the midst of one that was broken off
					}
					if err != nil {
						told <- "AMBIGUOUS: " + err.Error()
						return
					}
					told <- request
					io.WriteString(c, okAnswer)
				}
			}()
		}
	}()
	return l.Addr().String(), told
}

func strictLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	text, whole := strings.CutSuffix(line, "\r\n")
	if !whole || strings.ContainsAny(text, "\r\n\x00") {
		return "", fmt.Errorf("the line %q", line)
	}
	return text, nil
}

// strictFields reads header or trailer lines.
func strictFields(r *bufio.Reader) (map[string][]string, error) {
	fields := map[string][]string{}
	for {
		line, err := strictLine(r)
		if err != nil || line == "" {
			return fields, err
		}
		name, value, _ := strings.Cut(line, ":")
		if !fieldName.MatchString(name) {
			return nil, fmt.Errorf("the field %q", line)
		}
		name = strings.ToLower(name)
		fields[name] = append(fields[name], strings.Trim(value, " \t"))
	}
}

func readStrictly(r *bufio.Reader) (string, error) {
	first, err := strictLine(r)
	if err != nil {
		return "", err
	}
	h, err := strictFields(r)
	if err != nil {
		return "", err
	}
	lengths, codings := h["content-length"], h["transfer-encoding"]
	switch {
	case len(strings.Split(first, " ")) != 3, len(h["host"]) != 1, len(lengths)+len(codings) > 1:
		return "", fmt.Errorf("the head %q %q", first, h)
	case h["upgrade"] != nil || h["http2-settings"] != nil || strings.Contains(strings.ToLower(fmt.Sprint(h["connection"])), "upgrade"):
		return "", fmt.Errorf("a switch of protocols: %q", h)
	}
	body := ""
	switch {
	case len(lengths) == 1:
		n, err := strconv.Atoi(lengths[0])
		if err != nil || !wholeLength.MatchString(lengths[0]) {
			return "", fmt.Errorf("the length %q", lengths)
		}
		bytes := make([]byte, n)
		if _, err := io.ReadFull(r, bytes); err != nil {
			return "", io.EOF
		}
		body = string(bytes)
	case len(codings) == 1:
		if body, err = strictChunks(r, codings[0]); err != nil {
			return "", err
		}
	}
	method, rest, _ := strings.Cut(first, " ")
	target, _, _ := strings.Cut(rest, " ")
	return method + " " + target + " " + strconv.Quote(body), nil
}

func strictChunks(r *bufio.Reader, coding string) (string, error) {
	if coding != "chunked" {
		return "", fmt.Errorf("the coding %q", coding)
	}
	var body strings.Builder
	for {
		line, err := strictLine(r)
		if err != nil {
			return "", err
		}
		n, err := strconv.ParseInt(line, 16, 32)
		if err != nil || !chunkLength.MatchString(line) {
			return "", fmt.Errorf("the chunk size %q", line)
		}
		if n == 0 {
			break
		}
		if _, err := io.CopyN(&body, r, n); err != nil {
			return "", io.EOF
		}
		if line, err := strictLine(r); err != nil || line != "" {
			return "", errors.Join(err, fmt.Errorf("%q behind a chunk", line))
		}
	}
	trailer, err := strictFields(r)
	for _, name := range []string{"content-length", "transfer-encoding", "host", "authorization"} {
		if trailer[name] != nil {
			return "", fmt.Errorf("the trailer %q", trailer)
		}
	}
	return body.String(), err
}

const hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

// TestSmuggling: whatever a client sends, the backend reads exactly the requests that tapway has read,
// each in a form that cannot be read in two ways; or none, and the client gets 400 or 501, or nothing if its request has no end.
func TestSmuggling(t *testing.T) {
	addr, seen := strictBackend(t)
	w := newWorld(t, "backend: http://"+addr+"\nlimits: {header_timeout: 5s}\ndestinations: []\n")
	const get, post = "GET /x HTTP/1.1\r\nHost: a\r\n", "POST /x HTTP/1.1\r\nHost: a\r\n"
	type attack struct{ name, bytes, want string } // want: what the backend reads, "" for nothing and 400
	all := []attack{
		{"CL.TE", post + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", 5+len(hidden), hidden), ""},
		{"TE.CL", post + fmt.Sprintf("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden), ""},
		{"CL.CL", post + fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden), ""},
		{"a length in a folded line", post + fmt.Sprintf("X: y\r\n Content-Length: %d\r\n\r\n%s", len(hidden), hidden), ""},
		{"a length behind a bare LF", post + fmt.Sprintf("X: y\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden), ""},
		{"a length behind a bare CR", post + fmt.Sprintf("X: y\rContent-Length: %d\r\n\r\n%s", len(hidden), hidden), ""},
		{"a body of GET", get + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(hidden), hidden), "GET /x " + strconv.Quote(hidden)},
		{"a body that is waited for", post + fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden), "POST /x " + strconv.Quote(hidden)},
		{"a body in chunks", post + fmt.Sprintf("Transfer-Encoding: Chunked\r\n\r\n%X\r\n%s\r\n0\r\n\r\n", len(hidden), hidden), "POST /x " + strconv.Quote(hidden)},
		{"chunks in HTTP/1.0", "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, ""},
		{"NUL in a value", get + "X: a\x00b\r\n\r\n", ""},
		{"NUL in a name", get + "X\x00: a\r\n\r\n", ""},
		{"NUL in the target", "GET /x\x00 HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"bare CR in the target", "GET /x\r/smuggled HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"bare CR as the end", "GET /x HTTP/1.1\rHost: a\r\r", ""},
		{"folding", get + "X: a\r\n\tb\r\n\r\n", ""},
		{"folding of the first field", "GET /x HTTP/1.1\r\n Host: a\r\n\r\n", ""},
		{"two Hosts", get + "Host: b\r\n\r\n", ""},
		{"two equal Hosts", get + "Host: a\r\n\r\n", ""},
		{"two Hosts in one", "GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n", ""},
		{"a Host with a path", "GET /x HTTP/1.1\r\nHost: a/smuggled\r\n\r\n", ""},
		{"a Host with a user", "GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n", ""},
		{"an empty name", get + ": a\r\n\r\n", ""},
		{"no colon", get + "GET /smuggled HTTP/1.1\r\n\r\n", ""},
		{"two spaces", "GET  /x HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"a tab", "GET\t/x HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"a space in the target", "GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"a space before the line", " GET /x HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"another version", "GET /x HTTP/1.2\r\nHost: a\r\n\r\n", "-"},
		{"HTTP/2 without a preface", "GET /x HTTP/2.0\r\nHost: a\r\n\r\n", "-"},
		{"HTTP/0.9", "GET /smuggled\r\n\r\n", ""},
		{"a request in the version", "GET /x HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	}
	for _, obscure := range []string{
		"Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: \x0bchunked", " Transfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked",
		`Transfer-Encoding: "chunked"`, "Transfer-Encoding: chunked;q=1", "Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked\x00", "Transfer-Encoding:\r\n chunked", "Transfer-Encoding: ",
		"Transfer-Encoding: CHUNKED", "Transfer-Encoding\t: chunked", "Transfer-Encoding\x00: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunkeD\r\nTransfer-encoding: cow",
	} {
		all = append(all, attack{"TE.TE " + strconv.Quote(obscure), post + fmt.Sprintf("Content-Length: %d\r\n%s\r\n\r\n0\r\n\r\n%s", 5+len(hidden), obscure, hidden), ""})
	}
	for _, length := range []string{"+10", "-0", "0x0a", "10 10", "10,", "10;", "1e1", "1_0", "\u0661\u0660", "", "10.0", "18446744073709551626", "10\x0b"} {
		all = append(all, attack{"the length " + strconv.Quote(length), post + "Content-Length: " + length + "\r\n\r\n0123456789" + hidden, ""})
	}
	for _, chunks := range []string{
		"+5\r\nhello\r\n0\r\n\r\n", "5_0\r\nhello\r\n0\r\n\r\n", "5\rhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\n\n", "5;\nhello\r\n0\r\n\r\n", "5;a\rb\r\nhello\r\n0\r\n\r\n", "5;a=\x00\r\nhello\r\n0\r\n\r\n",
		"\r\n5\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n",
		"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n", "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
	} {
		all = append(all, attack{"chunks " + strconv.Quote(chunks), post + "Transfer-Encoding: chunked\r\n\r\n" + chunks + hidden, ""})
	}
	for _, a := range all {
		answer := raw(t, w.addr, a.bytes)
		var got []string
		for len(seen) > 0 {
			got = append(got, <-seen)
		}
		read := strings.Join(got, " and ")
		switch status := firstLine(answer); {
		case a.want == "-": // of no matter, as long as it is one request or none
			if len(got) > 1 || strings.Contains(read, "AMBIGUOUS") {
				t.Errorf("%s: the backend read %s", a.name, read)
			}
		case read != a.want:
			t.Errorf("%s: the backend read %s, want %q; the client %q", a.name, read, a.want, status)
		case a.want == "" && !refusal.MatchString(status):
			t.Errorf("%s: the client got %q", a.name, status)
		case a.want != "" && !strings.Contains(answer, "HTTP/1.1 200 OK\r\n"):
			t.Errorf("%s: the client got %q", a.name, answer)
		}
	}
	w.checkLedger()
}

// TestTolerated: what RFC 9112 allows and others read in another way is written anew.
func TestTolerated(t *testing.T) {
	addr, seen := strictBackend(t)
	w := newWorld(t, "backend: http://"+addr+"\ndestinations: []\n")
	for _, tt := range []struct{ bytes, want string }{
		{"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", `POST /x "hello"`},
		{"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n005\r\nhello\r\n000\r\n\r\n", `POST /x "hello"`},
		{"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nAuthorization: x\r\n\r\n", `POST /x "hello"`},
		{"GET http://other.test/x HTTP/1.1\r\nHost: a\r\n\r\n", `GET /x ""`},
		{"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", `GET /x ""`},
		{"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: H2C, h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: upgrade\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", `GET /x ""`},
		{"GET /x HTTP/1.1\r\nHost: a\r\nupgrade: h2c\r\nUpgrade:  h2c\r\nConnection: keep-alive, Upgrade\r\n\r\n", `GET /x ""`},
		{"GET /x HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", `GET /x ""`},
		{"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", `GET /x ""`},
	} {
		answer := raw(t, w.addr, tt.bytes)
		var got []string
		for len(seen) > 0 {
			got = append(got, <-seen)
		}
		if fmt.Sprint(got) != "["+tt.want+"]" || strings.Contains(answer, "HTTP/1.1 101") {
			t.Errorf("%q: the backend read %s, want %s; the client got %q", tt.bytes, got, tt.want, answer)
		}
	}
	w.checkLedger()
}
