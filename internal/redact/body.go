package redact

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/content"
)

// kind says how a body is read; one body can be of several kinds at once.
type kind uint8

const (
	kindJSON   kind = 1 << iota // one or more JSON documents
	kindEvents                  // server-sent events with JSON in them
	kindForm
	kindMultipart
	kindXML
	kindScript // JSONP, if anything
	kindText   // plain text with key=value in it
)

var errTruncated = errors.New("cut short by the capture limit")

// body redacts one side's body, or withholds it.
func (r *Redactor) body(b *tapway.Body, h tapway.Header) {
	if len(b.Bytes) == 0 || b.Withheld || r.json.none && r.form.empty() {
		return
	}
	out, changed, err := r.redactBody(b, h)
	if err == nil && !changed {
		return
	}
	if !b.Summed && !b.Truncated {
		b.Sum, b.Summed = sha256.Sum256(b.Bytes), true
	}
	if err != nil {
		b.Bytes, b.Withheld = nil, true
		return
	}
	b.Bytes = out
	if coding(h) != "" {
		b.Decoded = true
	}
}

func (r *Redactor) redactBody(b *tapway.Body, h tapway.Header) (out []byte, changed bool, err error) {
	kinds, media := r.kindsByType(h)
	if kinds == 0 && r.json.none {
		return nil, false, nil
	}
	in := b.Bytes
	if c := coding(h); c != "" && !b.Decoded {
		in, err = content.Decode(c, b.Bytes, r.maxDecoded)
		if err != nil {
			// What could be read of the beginning, or the type, may show that no rule concerns it.
			if kinds |= r.kindsByLooks(in, h); kinds == 0 && (media || len(bytes.TrimSpace(in)) > 0) {
				return nil, false, nil
			}
			return nil, false, err
		}
	}
	kinds |= r.kindsByLooks(in, h)
	if kinds&(kindJSON|kindXML) != 0 {
		kinds &^= kindText // it is read as what it is
	}
	if kinds != 0 && foreign(h) {
		return nil, false, errCharset
	}
	multi := ""
	if kinds&kindMultipart != 0 {
		multi = boundary(h)
	}
	out = in
	for _, step := range [...]struct {
		kind kind
		run  func(in []byte, truncated bool) ([]byte, error)
	}{
		{kindJSON, r.jsonBody},
		{kindEvents, r.eventsBody},
		{kindForm, r.truncatable(r.formBody)},
		{kindXML, r.xmlBody},
		{kindScript, r.scriptBody},
		{kindText, r.textBody},
		{kindMultipart, func(in []byte, truncated bool) ([]byte, error) { return r.multipartBody(in, multi, truncated) }},
	} {
		if kinds&step.kind == 0 {
			continue
		}
		next, err := step.run(out, b.Truncated)
		if err != nil {
			return nil, false, err
		}
		changed = changed || !same(next, out)
		out = next
	}
	return out, changed, nil
}

// same reports whether two slices are the very same bytes in memory.
func same(a, b []byte) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// truncatable makes a redaction fail when it would change a body that was cut short.
func (r *Redactor) truncatable(run func([]byte) ([]byte, error)) func([]byte, bool) ([]byte, error) {
	return func(in []byte, truncated bool) ([]byte, error) {
		out, err := run(in)
		if err == nil && truncated && !same(in, out) {
			err = errTruncated
		}
		return out, err
	}
}

// jsonBody redacts one or more JSON documents.
func (r *Redactor) jsonBody(in []byte, truncated bool) ([]byte, error) {
	if utf16ish(in) {
		return nil, errUTF16
	}
	if !r.json.search.inJSON(in) {
		return in, nil
	}
	if truncated {
		return nil, errTruncated
	}
	out, err := r.json.json(in, r.mark)
	if err != nil {
		if start, end, ok := unwrap(in); ok {
			return r.wrapped(in, start, end)
		}
	}
	return out, err
}

// coding is the whole Content-Encoding of a message, "" when there is none.
func coding(h tapway.Header) string {
	list := ""
	for i := range h {
		if len(h[i].Name) == len("Content-Encoding") && strings.EqualFold(h[i].Name, "Content-Encoding") && h[i].Value != "" && !strings.EqualFold(h[i].Value, "identity") {
			if list != "" {
				list += ","
			}
			list += h[i].Value
		}
	}
	return list
}

// kindsByType says what the Content-Type lines make of a body, as far as there are rules for
// it; media is true when they all name images, sound, film or fonts.
func (r *Redactor) kindsByType(h tapway.Header) (kinds kind, media bool) {
	lines, mediaLines := 0, 0
	for i := range h {
		if len(h[i].Name) != len("Content-Type") || !strings.EqualFold(h[i].Name, "Content-Type") {
			continue
		}
		lines++
		switch t := h[i].Value; {
		case content.IsMedia(t):
			mediaLines++
		case content.IsJSON(t), content.IsJSONLines(t):
			kinds |= kindJSON
		case content.IsEventStream(t):
			kinds |= kindEvents
		case content.IsForm(t):
			kinds |= kindForm
		case content.IsMultipart(t):
			kinds |= kindMultipart
		case content.IsXML(t):
			kinds |= kindXML
		case content.IsScript(t):
			kinds |= kindScript
		case content.IsPlainText(t):
			kinds |= kindText
		}
	}
	if r.json.none {
		kinds &^= kindJSON | kindEvents | kindScript
	}
	if r.fields.names.empty() {
		kinds &^= kindXML | kindText
	}
	if r.form.empty() {
		kinds &^= kindForm
	}
	return kinds, lines > 0 && lines == mediaLines
}

// kindsByLooks finds JSON and XML under a missing or wrong type. HTML is no XML, whatever it begins with.
func (r *Redactor) kindsByLooks(b []byte, h tapway.Header) kind {
	switch {
	case !r.json.none && looksJSON(b):
		return kindJSON
	case !r.fields.names.empty() && looksXML(b) && !isHTML(h):
		return kindXML
	}
	return 0
}

func isHTML(h tapway.Header) bool {
	for i := range h {
		if strings.EqualFold(h[i].Name, "Content-Type") && content.IsHTML(h[i].Value) {
			return true
		}
	}
	return false
}

// looksJSON reports whether b begins as an object or an array.
func looksJSON(b []byte) bool {
	b = bytes.TrimPrefix(b, bom)
	if len(b) >= 4 && (bytes.HasPrefix(b, []byte("\xfe\xff")) || bytes.HasPrefix(b, []byte("\xff\xfe"))) {
		b = b[2:]
	}
	if len(b) >= 2 && b[0] == 0 { // UTF-16, the big end first
		b = b[1:]
	}
	for len(b) > 0 && (blank(b[0]) || b[0] == 0x1e) {
		b = b[1:]
	}
	return len(b) > 0 && (b[0] == '{' || b[0] == '[')
}

func boundary(h tapway.Header) string {
	for i := range h {
		if strings.EqualFold(h[i].Name, "Content-Type") {
			if b, ok := content.MultipartBoundary(h[i].Value); ok {
				return b
			}
		}
	}
	return ""
}
