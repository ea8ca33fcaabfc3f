package lambdahttp

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tapway/tapway/internal/jsonstring"
)

// appendHead begins a reply: its JSON without the body and the closing brace. withBody names a
// Content-Type where the handler did not, because the fronts would make up
// "application/json"; what it is instead is RFC 9110 §8.3's.
func appendHead(dst []byte, s shape, status int, h http.Header, withBody bool) []byte {
	dst = append(dst, `{"statusCode":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	if s == albSingle || s == albMulti {
		dst = append(dst, `,"statusDescription":`...)
		dst = appendText(dst, strings.TrimSpace(strconv.Itoa(status)+" "+http.StatusText(status)))
	}
	var room [32]string
	names := room[:0]
	for name, values := range h {
		if len(values) > 0 && passes(name) {
			names = append(names, name)
		}
	}
	if withBody && len(h["Content-Type"]) == 0 {
		names = append(names, "Content-Type")
	}
	slices.Sort(names)
	switch s {
	case httpAPI2, funcURL:
		return appendJoined(dst, names, h, true)
	case albSingle:
		return appendJoined(dst, names, h, false)
	}
	// With both maps the values would come twice: the fronts merge them.
	dst = append(dst, `,"multiValueHeaders":{`...)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, name), ':', '[')
		for j, v := range valuesOf(h, name) {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = appendText(dst, v)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

var octetStream = []string{"application/octet-stream"}

func valuesOf(h http.Header, name string) []string {
	if v := h[name]; len(v) > 0 {
		return v
	}
	return octetStream
}

// passes reports whether a header can be in a reply. Trailers have no place there, and what is
// about the connection is the front's.
func passes(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return false
	}
	return isToken(name) // which also leaves out http.TrailerPrefix
}

// appendJoined writes one value per name. Cookies, which cannot be joined, go into their own
// list, or under names that differ in letter case only.
func appendJoined(dst []byte, names []string, h http.Header, list bool) []byte {
	dst = append(dst, `,"headers":{`...)
	comma := false
	put := func(name, value string) {
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = appendText(append(appendText(dst, name), ':'), value)
	}
	for _, name := range names {
		values := valuesOf(h, name)
		switch {
		case name != "Set-Cookie":
			put(name, join(values))
		case !list:
			for i, v := range values {
				put(varied(name, i), v)
			}
		}
	}
	dst = append(dst, '}')
	if cookies := h["Set-Cookie"]; list && len(cookies) > 0 {
		dst = append(dst, `,"cookies":[`...)
		for i, v := range cookies {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendText(dst, v)
		}
		dst = append(dst, ']')
	}
	return dst
}

// varied gives the nth spelling of a name: the bits of n say which letters change their case.
func varied(name string, n int) string {
	if n == 0 {
		return name
	}
	b := []byte(name)
	for i := range b {
		if c := b[i] | 0x20; 'a' <= c && c <= 'z' {
			if n&1 == 1 {
				b[i] ^= 0x20
			}
			n >>= 1
		}
	}
	return string(b)
}

// appendBody ends a reply that appendHead has begun. A body that is not encoded is UTF-8.
func appendBody(dst, body []byte, encode bool) []byte {
	dst = append(dst, `,"body":`...)
	if encode {
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, body)
		dst = append(dst, '"')
	} else {
		dst = jsonstring.AppendBytes(dst, body)
	}
	dst = append(dst, `,"isBase64Encoded":`...)
	return append(strconv.AppendBool(dst, encode), '}')
}

// join makes one value of several; each is UTF-8 or not for itself.
func join(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = readable(v)
	}
	return strings.Join(texts, ", ")
}

// appendText writes s as a JSON string.
func appendText(dst []byte, s string) []byte { return jsonstring.Append(dst, readable(s)) }

// readable gives what is no UTF-8 as ISO-8859-1 (RFC 9110 §5.5), as the record has it: no byte of it is lost.
func readable(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}
