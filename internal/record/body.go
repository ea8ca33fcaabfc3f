package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/content"
	"github.com/tapway/tapway/internal/jsonstring"
)

// The values of body_info.encoding.
const (
	encodingJSON     = "json"
	encodingText     = "text"
	encodingBase64   = "base64"
	encodingNone     = "none"
	encodingWithheld = "withheld"
)

// maxDecoded bounds what a compressed body may grow to in a record, against decompression
// bombs; a body beyond it stands in the record as it passed.
const maxDecoded = 64 << 20

// maxNesting is how deep a JSON body may nest and still be embedded; deeper ones are text.
// Common readers of records stop at 512 or 1,000 levels.
const maxNesting = 500

// rendered is a body in the form in which a record shows it.
type rendered struct {
	encoding string
	bytes    []byte // before quoting; may alias the exchange
	coding   string // Content-Encoding; "" if none or if there is no body
	decoded  bool
}

// render decides how b is shown: without its content codings, as JSON, text or base64.
func render(h tapway.Header, b *tapway.Body) rendered {
	if b.Withheld {
		return rendered{encoding: encodingWithheld}
	}
	if len(b.Bytes) == 0 {
		return rendered{encoding: encodingNone}
	}
	r := rendered{bytes: b.Bytes, coding: codings(h)}
	if r.coding != "" {
		r.decoded = b.Decoded
		if !b.Decoded {
			plain, err := content.Decode(r.coding, b.Bytes, maxDecoded)
			// The beginning of a body that is known to be cut short is worth showing.
			if err == nil || b.Truncated && len(plain) > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
				r.bytes, r.decoded = plain, true
			}
		}
		if !r.decoded {
			r.encoding = encodingBase64
			return r
		}
	}
	if b.Truncated && !jsonstring.Valid(r.bytes) {
		if whole := wholeRunes(r.bytes); jsonstring.Valid(whole) {
			r.bytes = whole
		}
	}
	switch {
	case len(r.bytes) == 0:
		return rendered{encoding: encodingNone}
	case !jsonstring.Valid(r.bytes):
		r.encoding = encodingBase64
	case !b.Truncated && isJSONType(h) && validJSON(r.bytes, maxNesting):
		r.encoding = encodingJSON
	case bytes.IndexByte(r.bytes, 0) >= 0:
		r.encoding = encodingBase64 // binary that happens to be UTF-8; databases refuse NUL in text
	default:
		r.encoding = encodingText
	}
	return r
}

func (r *rendered) length() int {
	if r.encoding == encodingBase64 {
		return base64.StdEncoding.EncodedLen(len(r.bytes))
	}
	return len(r.bytes) + len(r.bytes)/16
}

func (r *rendered) appendValue(dst []byte) []byte {
	switch r.encoding {
	case encodingJSON:
		return appendJSON(dst, r.bytes)
	case encodingText:
		return jsonstring.AppendBytes(dst, r.bytes)
	case encodingBase64:
		dst = base64.StdEncoding.AppendEncode(append(dst, '"'), r.bytes)
		return append(dst, '"')
	}
	return append(dst, "null"...)
}

// appendJSON copies valid JSON without the space around it and without its line ends: they
// can only stand between tokens, and a record is one line.
func appendJSON(dst, b []byte) []byte {
	b = bytes.Trim(b, " \t\r\n")
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			i = len(b)
		}
		line := b[:i]
		for {
			cr := bytes.IndexByte(line, '\r')
			if cr < 0 {
				break
			}
			dst = append(dst, line[:cr]...)
			line = line[cr+1:]
		}
		dst = append(dst, line...)
		b = b[min(i+1, len(b)):]
	}
	return dst
}

// isJSONType reports whether the body may be taken for JSON: its type says so or there is no type.
func isJSONType(h tapway.Header) bool {
	t := contentType(h)
	return t == "" || content.IsJSON(t)
}

// contentType is the first Content-Type. A second one, or one joined to it, is not asked.
func contentType(h tapway.Header) string {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ",")
	return strings.Trim(t, " \t")
}

// codings is the Content-Encoding of all header lines, "" for none and for identity.
func codings(h tapway.Header) string {
	all, lines := "", 0
	for i := range h {
		if len(h[i].Name) != len("Content-Encoding") || !strings.EqualFold(h[i].Name, "Content-Encoding") {
			continue
		}
		if lines++; lines == 1 {
			all = h[i].Value
		} else {
			all += ", " + h[i].Value
		}
	}
	all = strings.Trim(all, " \t")
	if strings.EqualFold(all, "identity") {
		return ""
	}
	return all
}

// wholeRunes cuts a character off that truncation has halved, lest one byte turn a text into base64.
func wholeRunes(b []byte) []byte {
	for n := 1; n <= min(utf8.UTFMax-1, len(b)); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return b[:len(b)-n]
			}
			break
		}
	}
	return b
}

// sumOf is the SHA-256 of the bytes that passed, if it can be told.
func sumOf(b *tapway.Body) (sum [32]byte, ok bool) {
	switch {
	case b.Summed:
		return b.Sum, true
	case b.Decoded || len(b.Bytes) == 0 || int64(len(b.Bytes)) != b.Size:
		return sum, false
	}
	return sha256.Sum256(b.Bytes), true
}
