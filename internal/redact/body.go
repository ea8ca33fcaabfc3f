package redact

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/content"
)

// kind says how a body is read; one body can be of several kinds at once.
type kind uint16

const (
	kindJSON   kind = 1 << iota // one or more JSON documents
	kindEvents                  // server-sent events with JSON in them
	kindForm
	kindMultipart
	kindXML
	kindScript  // JSONP, if anything
	kindText    // plain text with key=value in it
	kindGraphQL // a document, and nothing around it
	kindPacked  // MessagePack, CBOR and the like, where names stand between lengths
)

var (
	errTruncated  = errors.New("cut short by the capture limit")
	errCompressed = errors.New("compressed without a content coding that says so")
)

// body redacts one side's body, or withholds it.
func (r *Redactor) body(b *tapway.Body, h tapway.Header) {
	if len(b.Bytes) == 0 || b.Withheld || r.json.none && r.form.empty() && !r.urls {
		return
	}
	out, changed, err := r.redactBody(b, h)
	if err == nil && !changed {
		return
	}
	if !b.Summed && (!b.Truncated || int64(len(b.Bytes)) == b.Size) {
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
	if kinds == 0 && r.json.none && !r.urls {
		return nil, false, nil
	}
	in := b.Bytes
	if c := coding(h); c != "" && !b.Decoded {
		in, err = content.Decode(c, b.Bytes, r.maxDecoded)
		// The beginning of what was cut short is all that a record shows of it.
		if err != nil && !(b.Truncated && len(in) > 0 && errors.Is(err, io.ErrUnexpectedEOF)) {
			// What could be read of the beginning, or the type, may show that no rule concerns it.
			if kinds |= r.kindsByLooks(in, h); kinds == 0 && (media || len(bytes.TrimSpace(in)) > 0) {
				return nil, false, nil
			}
			return nil, false, err
		}
	}
	out, err = r.read(in, h, r.kindsByLooks(in, h)|kinds, b.Truncated, 0)
	return out, err == nil && !same(out, in), err
}

// read redacts what is not coded any more, by each of the kinds that it may be read as. h has its type; depth is how many
// multipart bodies it stands in.
func (r *Redactor) read(in []byte, h tapway.Header, kinds kind, truncated bool, depth int) (out []byte, err error) {
	if kinds&(kindJSON|kindXML) != 0 {
		kinds &^= kindText // it is read as what it is
	}
	if kinds != 0 && foreign(h) {
		return nil, errCharset
	}
	if kinds != 0 && compressed(in) {
		return nil, errCompressed
	}
	out = in
	for _, step := range [...]struct {
		kind kind
		run  func(in []byte, truncated bool) ([]byte, error)
	}{
		{kindJSON, r.jsonBody},
		{kindEvents, r.eventsBody},
		{kindForm, r.formBody},
		{kindXML, r.xmlBody},
		{kindScript, r.scriptBody},
		{kindText, r.textBody},
		{kindGraphQL, r.graphQLBody},
		{kindPacked, r.packedBody},
		{kindMultipart, func(in []byte, truncated bool) ([]byte, error) {
			return r.multipartBody(in, boundary(h), truncated, depth)
		}},
	} {
		if kinds&step.kind == 0 {
			continue
		}
		if out, err = step.run(out, truncated); err != nil {
			return nil, err
		}
	}
	if kinds&^(kindMultipart|kindPacked|kindScript) != 0 || kinds == 0 && isText(h) {
		out = r.urlsIn(out, truncated)
	}
	return out, nil
}

// compressed reports whether a body that should be text begins as compressed data does: gzip, zlib or zstd. Names
// cannot be searched for in it.
func compressed(b []byte) bool {
	for _, magic := range [...]string{"\x1f\x8b", "\x28\xb5\x2f\xfd", "\x78\x9c", "\x78\xda", "\x78\x01"} {
		if len(b) >= len(magic) && string(b[:len(magic)]) == magic {
			return true
		}
	}
	return false
}

// isText reports whether a body that no other rule concerns is text in which URLs may stand, such as HTML. A script
// is not: its URLs are made by code.
func isText(h tapway.Header) bool {
	for i := range h {
		if strings.EqualFold(h[i].Name, "Content-Type") && content.IsText(h[i].Value) && !content.IsScript(h[i].Value) {
			return true
		}
	}
	return false
}

// same reports whether two slices are the very same bytes in memory.
func same(a, b []byte) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// jsonBody redacts one or more JSON documents.
func (r *Redactor) jsonBody(in []byte, truncated bool) ([]byte, error) {
	if utf16ish(in) {
		return nil, errUTF16
	}
	found := r.json.search.inJSON(in)
	if !found && !truncated {
		return in, nil
	}
	out, err := r.json.read(in, r.mark, truncated)
	if err != nil && !found {
		return in, nil
	}
	if err != nil && !truncated {
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
		case content.IsGraphQL(t):
			kinds |= kindGraphQL
		case content.IsPacked(t):
			kinds |= kindPacked
		}
	}
	if r.json.none {
		kinds &^= kindJSON | kindEvents | kindScript
	}
	if r.fields.names.empty() {
		kinds &^= kindXML | kindText | kindGraphQL | kindPacked
	}
	if r.form.empty() {
		kinds &^= kindForm
	}
	return kinds, lines > 0 && lines == mediaLines
}

// kindsByLooks finds JSON and XML under a missing or wrong type, and forms under one that says nothing. HTML is no XML,
// whatever it begins with.
func (r *Redactor) kindsByLooks(b []byte, h tapway.Header) kind {
	switch {
	case !r.json.none && looksJSON(b):
		return kindJSON
	case !r.fields.names.empty() && looksXML(b) && !isHTML(h):
		return kindXML
	case !r.form.empty() && looksForm(b) && typeless(h):
		return kindForm
	}
	return 0
}

// typeless reports whether a body has no type, or the one that stands for anything.
func typeless(h tapway.Header) bool {
	for i := range h {
		if strings.EqualFold(h[i].Name, "Content-Type") && h[i].Value != "" && !content.IsAnything(h[i].Value) {
			return false
		}
	}
	return true
}

// looksForm reports whether b is all of one line, as browsers write forms, and begins with a name and "=".
func looksForm(b []byte) bool {
	b = bytes.TrimRight(b, " \t\r\n")
	equals := bytes.IndexByte(b[:min(len(b), maxFormName)], '=')
	if equals <= 0 {
		return false
	}
	for _, c := range b[:equals] {
		if !wordByte(c) && bytes.IndexByte([]byte("-.[]%+$"), c) < 0 {
			return false
		}
	}
	for _, c := range b[equals:] {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// maxFormName is how long the first name of what may be a form can be.
const maxFormName = 128

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
