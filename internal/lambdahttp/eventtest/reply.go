package eventtest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Response is what the client gets.
type Response struct {
	Status      int
	Description string // of a load balancer's status line
	Header      http.Header
	Body        []byte
	Stream      io.Reader // of a streamed reply, in place of Body
}

// reply has every field that any front knows.
type reply struct {
	StatusCode        *int                `json:"statusCode"`
	StatusDescription string              `json:"statusDescription"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Cookies           []string            `json:"cookies"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

// fields are what each front takes. A REST API answers 502 when there is any other.
var fields = map[Front][]string{
	REST:        {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"},
	HTTP1:       {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"},
	HTTP2:       {"statusCode", "headers", "cookies", "body", "isBase64Encoded"},
	FunctionURL: {"statusCode", "headers", "cookies", "body", "isBase64Encoded"},
	ALB:         {"statusCode", "statusDescription", "headers", "body", "isBase64Encoded"},
	ALBMulti:    {"statusCode", "statusDescription", "multiValueHeaders", "body", "isBase64Encoded"},
}

// Limit is how large a reply may be.
func (f Front) Limit() int {
	if f == ALB || f == ALBMulti {
		return 1 << 20
	}
	return 6 << 20
}

// Response reads the reply to r. The error says why the client would get the front's own 502.
func (f Front) Response(r Request, text []byte) (*Response, error) {
	if len(text) > f.Limit() {
		return nil, fmt.Errorf("the reply has %d bytes, more than %d", len(text), f.Limit())
	}
	re, err := f.parse(text, fields[f])
	if err != nil {
		return nil, err
	}
	out := f.head(re)
	out.Body = []byte(re.Body)
	if re.IsBase64Encoded && (f != REST || r.decodes()) {
		if out.Body, err = base64.StdEncoding.DecodeString(re.Body); err != nil {
			return nil, fmt.Errorf("the body is not base64: %w", err)
		}
	}
	if r.method() == http.MethodHead || out.Status == 204 || out.Status == 304 {
		if len(out.Body) > 0 {
			return nil, errors.New("there is a body where there can be none")
		}
	}
	return out, nil
}

// decodes reports whether a REST API decodes base64 in its response: if what the client accepts
// first is a binary type.
func (r Request) decodes() bool {
	first := ""
	for _, h := range r.Header {
		if strings.EqualFold(h.Name, "Accept") {
			first, _, _ = strings.Cut(h.Value, ",")
			break
		}
	}
	first, _, _ = strings.Cut(first, ";")
	return matches(r.BinaryMediaTypes, strings.TrimSpace(first))
}

func (f Front) parse(text []byte, allowed []string) (*reply, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("the reply is not JSON: %w", err)
	}
	for name := range members {
		if !slices.Contains(allowed, name) {
			return nil, fmt.Errorf("the reply has a member %q", name)
		}
	}
	var re reply
	if err := json.Unmarshal(text, &re); err != nil {
		return nil, fmt.Errorf("the reply is malformed: %w", err)
	}
	if re.StatusCode == nil || *re.StatusCode < 200 || *re.StatusCode > 999 {
		return nil, errors.New("the reply has no status")
	}
	return &re, nil
}

// remapped are the response headers that a REST API renames.
var remapped = []string{"Authorization", "Connection", "Content-Length", "Content-Md5", "Date", "Expect", "Host", "Max-Forwards",
	"Proxy-Authenticate", "Server", "Trailer", "Upgrade", "User-Agent", "Www-Authenticate", "X-Amzn-Requestid"}

// head makes status and headers. Both maps count; a repeated name in headers stands once.
func (f Front) head(re *reply) *Response {
	out := &Response{Status: *re.StatusCode, Description: re.StatusDescription, Header: http.Header{}}
	add := func(name, value string) {
		if name = http.CanonicalHeaderKey(name); f == REST && slices.Contains(remapped, name) {
			name = "X-Amzn-Remapped-" + name
		}
		out.Header.Add(name, value)
	}
	for name, value := range re.Headers {
		add(name, value)
	}
	for name, values := range re.MultiValueHeaders {
		for _, v := range values {
			add(name, v)
		}
	}
	for _, c := range re.Cookies {
		out.Header.Add("Set-Cookie", c)
	}
	if f != ALB && f != ALBMulti && out.Header["Content-Type"] == nil {
		out.Header.Set("Content-Type", "application/json")
	}
	return out
}

// StreamResponse reads the beginning of a streamed reply. It blocks until that is there.
func (f Front) StreamResponse(stream io.Reader) (*Response, error) {
	const maxPrelude = 16 << 10
	in := bufio.NewReaderSize(stream, 64<<10)
	var prelude []byte
	for !bytes.HasSuffix(prelude, make([]byte, 8)) {
		c, err := in.ReadByte()
		if err != nil {
			return nil, fmt.Errorf("the stream ends within its prelude: %w", err)
		}
		if prelude = append(prelude, c); len(prelude) > maxPrelude {
			return nil, errors.New("the prelude is too long")
		}
	}
	re, err := f.parse(prelude[:len(prelude)-8], []string{"statusCode", "headers", "multiValueHeaders", "cookies"})
	if err != nil {
		return nil, err
	}
	out := f.head(re)
	out.Stream = in
	return out, nil
}
