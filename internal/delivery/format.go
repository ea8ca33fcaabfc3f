package delivery

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// Format says how records are laid out in a request's body.
type Format string

const (
	// JSON is one record as an object, or an array of records when the destination takes
	// batches (also for a batch of one). The zero Format is JSON.
	JSON Format = "json"
	// NDJSON is one record per line, each line ended by "\n".
	NDJSON Format = "ndjson"
	// CloudEvents is CloudEvents 1.0 in structured mode, or in batched mode when the
	// destination takes batches. The record is the event's data.
	CloudEvents Format = "cloudevents"
	// HAR is an HTTP Archive 1.2 with one entry per record.
	HAR Format = "har"
)

// eventType is the CloudEvents type of a record; its last part is the record's version.
const eventType = "dev.tapway.exchange.v1"

// ParseFormat reads a format's name; "" is JSON.
func ParseFormat(name string) (Format, error) {
	switch f := Format(name); f {
	case "":
		return JSON, nil
	case JSON, NDJSON, CloudEvents, HAR:
		return f, nil
	}
	return "", fmt.Errorf("%q is not a delivery format: want json, ndjson, cloudevents or har", name)
}

// layout is what stands around and between the records of one request.
type layout struct {
	contentType            string
	prefix, between, after string
}

func (f Format) layout(batched bool, version string) layout {
	switch {
	case f == NDJSON:
		return layout{"application/x-ndjson", "", "\n", "\n"}
	case f == HAR:
		creator, _ := json.Marshal(version) // a string always marshals
		return layout{"application/json", `{"log":{"version":"1.2","creator":{"name":"tapway","version":` + string(creator) + `},"entries":[`, ",", "]}}"}
	case f == CloudEvents && batched:
		return layout{"application/cloudevents-batch+json", "[", ",", "]"}
	case f == CloudEvents:
		return layout{"application/cloudevents+json", "", "", ""}
	case batched:
		return layout{"application/json", "[", ",", "]"}
	}
	return layout{"application/json", "", "", ""}
}

// encode adds m in the sender's format to dst. A panic of an encoder becomes an error: one
// unreadable record must not take the gateway down, again at every start.
func (s *Sender) encode(dst []byte, m *tapway.Message) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	switch s.Format {
	case HAR:
		ex, err := s.exchange(m)
		if err != nil {
			return dst, err
		}
		return s.harEntry(dst, ex), nil
	case CloudEvents:
		return s.appendEvent(dst, m)
	}
	return s.record(dst, m)
}

// appendEvent adds the record as a CloudEvents 1.0 event in JSON.
func (s *Sender) appendEvent(dst []byte, m *tapway.Message) ([]byte, error) {
	meta, err := s.meta(m)
	if err != nil {
		return dst, err
	}
	source := "/tapway"
	if meta.From != "" {
		source = "//" + escapeHost(meta.From)
	}
	dst = append(dst, `{"specversion":"1.0","id":"`...)
	dst = m.ID.Append(dst)
	dst = append(dst, `","source":`...)
	dst = appendString(dst, source)
	dst = append(dst, `,"type":"`+eventType+`","time":"`...)
	dst = meta.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","subject":`...)
	dst = appendString(dst, meta.Method+" "+meta.Path)
	dst = append(dst, `,"datacontenttype":"application/json","data":`...)
	if dst, err = s.record(dst, m); err != nil {
		return dst, err
	}
	return append(dst, '}'), nil
}

func appendString(dst []byte, text string) []byte {
	quoted, _ := json.Marshal(text) // a string always marshals; bad UTF-8 becomes U+FFFD
	return append(dst, quoted...)
}

// escapeHost makes any Host header fit into a URI: the client chose it.
func escapeHost(host string) string {
	var out []byte
	for i := range len(host) {
		c := host[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(".-:[]_~", c) >= 0:
			out = append(out, c)
		default:
			out = fmt.Appendf(out, "%%%02X", c)
		}
	}
	return string(out)
}
