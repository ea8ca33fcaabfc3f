package record

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
)

// ErrRecord is wrapped by every error of Parse.
var ErrRecord = errors.New("not a readable record")

// Parse reads a record, version 1, and passes over fields it does not know. What a record
// does not say is lost: bodies come back without the content codings they passed with
// (Decoded), JSON without its line ends and the space around it, the lines of a repeated header joined into one
// (Set-Cookie excepted), times to the millisecond and durations to the microsecond. Sum is
// that of the bytes that passed. Append makes the same record of the result.
func Parse(record []byte) (*tapway.Exchange, error) {
	// One level more than a body may nest: the record's own.
	if !validJSON(record, maxNesting+1) {
		return nil, fmt.Errorf("%w: not JSON", ErrRecord)
	}
	if !utf8.Valid(record) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrRecord)
	}
	top := gjson.ParseBytes(record)
	if !top.IsObject() {
		return nil, fmt.Errorf("%w: not a JSON object", ErrRecord)
	}
	var p parser
	top.ForEach(p.field)
	if p.err == nil && !p.versioned {
		p.err = errors.New("it has no version")
	}
	if p.err == nil {
		p.body(&p.ex.Request, p.request, p.requestInfo)
		p.body(&p.ex.Response, p.response, p.responseInfo)
	}
	if p.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, p.err)
	}
	p.ex.RequestSize, p.ex.ResponseSize = p.ex.Request.Size, p.ex.Response.Size
	return &p.ex, nil
}

// Plausible reports whether text has what every record has, also those of the original system, which
// have neither a version nor an id: it is for telling a record from anything else. Parse may
// still find fault with it.
func Plausible(text []byte) bool {
	if !validJSON(text, maxNesting+1) || !gjson.ParseBytes(text).IsObject() {
		return false
	}
	for _, field := range gjson.GetManyBytes(text, "endpoint", "method", "status") {
		if !field.Exists() {
			return false
		}
	}
	return true
}

// parser collects the fields of one record; the first error stays.
type parser struct {
	ex                        tapway.Exchange
	request, response         gjson.Result
	requestInfo, responseInfo gjson.Result
	versioned                 bool
	err                       error
}

// field takes one member of the record; a repeated one overwrites.
func (p *parser) field(key, v gjson.Result) bool {
	ex := &p.ex
	switch name := key.String(); name {
	case "from":
		ex.From = p.text(name, v)
	case "endpoint":
		ex.Path = p.text(name, v)
	case "method":
		ex.Method = p.text(name, v)
	case "body":
		p.request = v
	case "request_headers":
		ex.RequestHeader = p.headers(name, v)
	case "response":
		p.response = v
	case "response_headers":
		ex.ResponseHeader = p.headers(name, v)
	case "status":
		ex.Status = int(min(p.count(name, v), 999))
	case "version":
		if p.versioned = true; v.Type != gjson.Number || v.Raw != "1" {
			p.fail("version %.20s is not known here", v.Raw)
		}
	case "id":
		id, err := tapway.ParseID(p.text(name, v))
		if err != nil {
			p.fail("%w", err)
		}
		ex.ID = id
	case "time":
		t, err := time.Parse(time.RFC3339Nano, p.text(name, v))
		if err != nil {
			p.fail("its time is not RFC 3339")
		}
		ex.Time = t.UTC()
	default:
		p.more(name, v)
	}
	return p.err == nil
}

// more takes the fields that lists and readers ask for less often.
func (p *parser) more(name string, v gjson.Result) {
	ex := &p.ex
	switch name {
	case "duration_ms":
		ex.Duration = p.millis(name, v)
	case "overhead_ms":
		ex.Overhead = p.millis(name, v)
	case "access_ms":
		ex.Access = p.millis(name, v)
	case "connect_ms":
		ex.Connect = p.millis(name, v)
	case "query":
		ex.Query = p.text(name, v)
	case "client_ip":
		ex.ClientIP = p.text(name, v)
	case "front":
		ex.Front = tapway.Front(p.text(name, v))
	case "origin":
		ex.Origin = tapway.Origin(p.text(name, v))
	case "route":
		ex.Route = p.text(name, v)
	case "body_info":
		p.requestInfo = v
	case "response_info":
		p.responseInfo = v
		ex.FirstByte = p.millis("first_byte_ms", v.Get("first_byte_ms"))
	case "trace_id":
		ex.TraceID = p.text(name, v)
	case "api":
		if v.Type != gjson.Null {
			ex.API = &tapway.API{
				ID:        p.text("api.id", v.Get("id")),
				Stage:     p.text("api.stage", v.Get("stage")),
				RequestID: p.text("api.request_id", v.Get("request_id")),
			}
		}
	case "fidelity":
		ex.Fidelity = nil
		v.ForEach(func(_, item gjson.Result) bool {
			ex.Fidelity = append(ex.Fidelity, p.text(name, item))
			return p.err == nil
		})
	case "error":
		ex.Error = p.text(name, v)
	case "proto":
		ex.Proto = p.text(name, v)
	case "request_trailers":
		ex.RequestTrailer = p.headers(name, v)
	case "response_trailers":
		ex.ResponseTrailer = p.headers(name, v)
	}
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// text takes a string; null and a missing field are "".
func (p *parser) text(name string, v gjson.Result) string {
	if v.Type != gjson.String && v.Type != gjson.Null {
		p.fail("%s is not a string", name)
		return ""
	}
	return v.Str
}

func (p *parser) count(name string, v gjson.Result) int64 {
	if v.Type == gjson.Null {
		return 0
	}
	if n := v.Int(); v.Type == gjson.Number && n >= 0 {
		return n
	}
	p.fail("%s is not a number from 0", name)
	return 0
}

func (p *parser) millis(name string, v gjson.Result) time.Duration {
	if v.Type == gjson.Null {
		return 0
	}
	if v.Type != gjson.Number || !(v.Num >= 0) {
		p.fail("%s is not a number from 0", name)
		return 0
	}
	us := math.Round(v.Num * 1000)
	if us >= math.MaxInt64/1000 {
		return math.MaxInt64
	}
	return time.Duration(us) * time.Microsecond
}

func (p *parser) headers(name string, v gjson.Result) tapway.Header {
	if v.Type != gjson.Null && !v.IsObject() {
		p.fail("%s is not an object", name)
		return nil
	}
	var h tapway.Header
	v.ForEach(func(key, value gjson.Result) bool {
		field, text := key.String(), p.text(name, value)
		if separator(field) == "\n" {
			for line := range strings.SplitSeq(text, "\n") {
				h = append(h, tapway.Field{Name: field, Value: line})
			}
		} else {
			h = append(h, tapway.Field{Name: field, Value: text})
		}
		return p.err == nil
	})
	return h
}

// body undoes what render and appendInfo did.
func (p *parser) body(b *tapway.Body, v, info gjson.Result) {
	if !info.IsObject() {
		p.fail("a body has no info")
		return
	}
	b.Size = p.count("size", info.Get("size"))
	b.Truncated = info.Get("truncated").Bool()
	b.Decoded = info.Get("decoded").Bool()
	if sum := info.Get("sha256"); sum.Type != gjson.Null {
		raw, err := hex.DecodeString(p.text("sha256", sum))
		if err != nil || len(raw) != len(b.Sum) {
			p.fail("sha256 is not 64 hex digits")
			return
		}
		b.Summed = true
		copy(b.Sum[:], raw)
	}
	switch encoding := p.text("encoding", info.Get("encoding")); encoding {
	case encodingJSON:
		b.Bytes = []byte(v.Raw)
	case encodingText:
		b.Bytes = []byte(p.text("a text body", v))
	case encodingBase64:
		raw, err := base64.StdEncoding.DecodeString(p.text("a base64 body", v))
		if err != nil {
			p.fail("a base64 body is not base64")
		}
		b.Bytes = raw
	case encodingNone:
	case encodingWithheld:
		b.Withheld = true
	default:
		p.fail("body encoding %.20q is not known here", encoding)
	}
}
