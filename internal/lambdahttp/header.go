package lambdahttp

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/jsonstring"
)

// header makes the header and the host.
func (b *builder) header() {
	r, call := &b.request, b.call
	lines, multi := b.headers, b.hasMultiHeaders && len(b.multiHeaders) > 0
	if multi {
		lines = b.multiHeaders
	}
	r.Header = make(http.Header, len(lines)+1)
	room := make([]string, len(lines)+1)
	put := func(name, value string) {
		if old := r.Header[name]; old != nil {
			r.Header[name] = append(old, value)
			return
		}
		room[0] = value
		r.Header[name] = room[:1:1]
		room = room[1:]
	}
	// What is true at once is not looked for: such a front does not ask.
	capitals, joined, respelled := call.shape == restAPI, call.shape != httpAPI2 && call.shape != funcURL, false
	for i, l := range lines {
		name, value := textproto.CanonicalMIMEHeaderKey(l.name), strings.Trim(l.value, " \t")
		if !isToken(name) {
			b.wrong("a header name is not a token")
			continue
		}
		if !cleanValue(value) {
			b.wrong("a header value holds a control character")
			continue
		}
		capitals = capitals || hasUpper(l.name)
		joined = joined || mayBeJoined(value)
		if name == "Host" {
			if r.Host == "" {
				r.Host = value
			}
			continue
		}
		respelled = respelled || r.Header[name] != nil && lines[i-1].name != l.name
		put(name, value)
	}
	if respelled {
		b.lost(tapway.FidelityHeaderOrder)
	}
	if r.Host == "" {
		r.Host = b.event.context.domain
	}
	if len(b.cookies) > 0 {
		switch lines := r.Header["Cookie"]; {
		case lines == nil:
			put("Cookie", b.cookie())
		case len(lines) == 1 && commas(lines[0], b.cookies):
			r.Header["Cookie"] = []string{b.cookie()}
		}
	}

	switch call.shape {
	case restAPI:
		b.lost(tapway.FidelityHeaderDropped)
	case unknown:
	default:
		if !capitals {
			b.lost(tapway.FidelityHeaderCase)
		}
	}
	if call.shape == albSingle || call.shape == httpAPI1 && !multi {
		b.lost(tapway.FidelityHeaderRepeats)
	}
	if joined && (call.shape == httpAPI2 || call.shape == funcURL) {
		b.lost(tapway.FidelityHeaderJoined)
	}
}

// cookie puts the Cookie header together that HTTP APIs take apart.
func (b *builder) cookie() string {
	if len(b.cookies) > 1 {
		b.lost(tapway.FidelityCookieFormat)
	}
	var s strings.Builder
	for i, c := range b.cookies {
		if !cleanValue(c.value) {
			b.wrong("a cookie holds a control character")
			continue
		}
		if i > 0 {
			s.WriteString("; ")
		}
		s.WriteString(c.value)
	}
	return s.String()
}

// commas reports whether a Cookie header has the event's cookies with a comma between some of them. So are several
// lines joined, but of several lines of cookies one server would make one cookie (RFC 6265 §5.4, RFC 9113 §8.2.3).
func commas(header string, cookies []pair) (found bool) {
	const between = ";, \t"
	for i, c := range cookies {
		rest := strings.TrimLeft(header, between)
		gap := header[:len(header)-len(rest)]
		if i > 0 && gap == "" {
			return false
		}
		found = found || i > 0 && strings.Contains(gap, ",")
		var ok bool
		if header, ok = strings.CutPrefix(rest, c.value); !ok {
			return false
		}
	}
	return found && strings.Trim(header, between) == ""
}

// mayBeJoined reports whether a value may be several lines that the front has joined. It does
// so with a bare comma, and values neither begin nor end with white space.
func mayBeJoined(value string) bool {
	for {
		i := strings.IndexByte(value, ',')
		if i < 0 {
			return false
		}
		if value = value[i+1:]; value == "" || value[0] != ' ' && value[0] != '\t' {
			return true
		}
	}
}

// cleanValue reports whether a header's value holds no control character but tabs.
func cleanValue(s string) bool {
	for i := 0; i < len(s); {
		if i += jsonstring.Printable(s[i:]); i == len(s) {
			return true
		}
		if s[i] != '\t' {
			return false
		}
		i++
	}
	return true
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return true
		}
	}
	return false
}
