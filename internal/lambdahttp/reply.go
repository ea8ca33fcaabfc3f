package lambdahttp

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// FunctionReply is what an API's client gets of another function's reply.
type FunctionReply struct {
	Status int
	Header http.Header
	Body   []byte
}

// DecodeReply reads a function's reply as API Gateway does, for those who pass it on. inferred says that the
// event was of payload 2.0: then what is no response by its members is the body of one. An error says why API
// Gateway would answer for itself; it quotes nothing of the reply.
//
// Of a REST API the body of a binary response is decoded here, although whether the client gets it so
// depends on the API's binaryMediaTypes.
func DecodeReply(text []byte, inferred bool) (*FunctionReply, error) {
	r := replyReader{scanner: scanner{data: text}, out: &FunctionReply{Header: http.Header{}}}
	if inferred && r.peek() != '{' {
		r.skip()
		r.end()
		return r.infer(text)
	}
	if r.peek() != '{' {
		return nil, errors.New("the function's reply is not a JSON object")
	}
	r.object("the reply", r.member)
	r.end()
	r.err = r.problem()
	switch {
	case r.err == nil && inferred && r.status == "":
		return r.infer(text)
	case r.err == nil && r.unknown && !inferred:
		return nil, errors.New("the function's reply has a member that API Gateway does not know")
	case r.err == nil && r.wrong != "":
		return nil, fmt.Errorf("the function's reply: %s is malformed", r.wrong)
	case r.err != nil:
		return nil, errors.New("the function's reply is not JSON, or has members of the wrong type")
	}
	return r.finish()
}

type replyReader struct {
	scanner
	out     *FunctionReply
	status  string
	body    []byte
	base64  bool
	unknown bool
	wrong   string // the first member with a value of the wrong kind
}

func (r *replyReader) member(name []byte) {
	switch string(name) {
	case "statusCode":
		r.status, _ = r.value("statusCode")
	case "headers":
		r.object("headers", func(name []byte) {
			n := http.CanonicalHeaderKey(string(name))
			if v, ok := r.value("headers"); ok {
				r.add(n, v)
			}
		})
	case "multiValueHeaders":
		r.object("multiValueHeaders", func(name []byte) {
			n := http.CanonicalHeaderKey(string(name))
			r.array("multiValueHeaders", func() {
				if v, ok := r.value("multiValueHeaders"); ok {
					r.add(n, v)
				}
			})
		})
	case "cookies":
		r.array("cookies", func() {
			if v, ok := r.value("cookies"); ok {
				r.out.Header["Set-Cookie"] = append(r.out.Header["Set-Cookie"], v)
			}
		})
	case "body":
		switch r.peek() {
		case '"':
			r.body, _ = r.take(false)
		case 'n':
			r.null()
		default:
			r.bad("body")
		}
	case "isBase64Encoded":
		if v, _ := r.value("isBase64Encoded"); v == "true" {
			r.base64 = true
		}
	default:
		r.unknown = true
		r.skip()
	}
}

// add merges the two maps: a value that is in both stands once.
func (r *replyReader) add(name, value string) {
	if isToken(name) && !slices.Contains(r.out.Header[name], value) {
		r.out.Header[name] = append(r.out.Header[name], value)
	}
}

// bad skips a value of the wrong kind.
func (r *replyReader) bad(member string) {
	if r.wrong == "" {
		r.wrong = member
	}
	r.skip()
}

// value reads a string, a number or a boolean as text. It gives false for null.
func (r *replyReader) value(member string) (string, bool) {
	switch c := r.peek(); {
	case c == '"':
		return string(r.bytes()), true
	case c == 'n':
		r.null()
	case c == '{' || c == '[':
		r.bad(member)
	default:
		start := r.pos
		r.skip()
		return string(r.data[start:r.pos]), r.err == nil
	}
	return "", false
}

// infer is payload 2.0's rule for a reply without statusCode.
func (r *replyReader) infer(text []byte) (*FunctionReply, error) {
	if r.err != nil {
		return nil, errors.New("the function's reply is not JSON")
	}
	return &FunctionReply{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: bytes.TrimSpace(text)}, nil
}

func (r *replyReader) finish() (*FunctionReply, error) {
	out := r.out
	out.Status = http.StatusOK
	if r.status != "" {
		var err error
		if out.Status, err = strconv.Atoi(r.status); err != nil || out.Status < 200 || out.Status > 599 {
			return nil, errors.New("the function's reply: statusCode is malformed")
		}
	}
	if out.Body = r.body; r.base64 {
		var err error
		if out.Body, err = decodeBase64(r.body); err != nil {
			return nil, errors.New("the function's reply: body is not base64 although isBase64Encoded says so")
		}
	}
	if len(out.Header["Content-Type"]) == 0 {
		out.Header["Content-Type"] = []string{"application/json"}
	}
	return out, nil
}
