package lambdahttp

import (
	"net/url"
	"strings"

	"github.com/tapway/tapway"
)

// clientPath gives the path as the client sent it, as far as can be known, without the API
// stage and a custom domain's base path. Call.Base is what was left out.
func (b *builder) clientPath() string {
	call, c := b.call, &b.event.context
	switch call.shape {
	case httpAPI2:
		path := b.rawPath
		b.lost(tapway.FidelityPathDecoded) // even "/" may have been "/%3Fa"
		call.Base, path = cutStage(path, c.stage)
		if c.custom() {
			call.Base = "" // the client did not send the stage, and the mapping's key is not told
		}
		return encode(path, false)
	case funcURL:
		return encode(b.rawPath, true)
	case httpAPI1:
		path := b.path
		b.lost(tapway.FidelityPathDecoded)
		call.Base, path = cutStage(path, c.stage)
		switch {
		case !c.custom():
		case call.Base != "":
			call.Base = "" // as with payload 2.0
		default:
			call.Base, path = b.cutBase(path)
		}
		if !encoded(path) {
			path = encode(path, false)
		}
		return path
	case restAPI:
		path := b.path
		before := "/" + c.stage // what requestContext.path has before it
		if c.custom() {
			call.Base, path = b.cutBase(path)
			before = call.Base
		} else if c.stage == "" {
			before = ""
		}
		if rest, ok := strings.CutPrefix(c.path, before); ok && (rest == "" || rest[0] == '/') {
			call.Base = before
			// The event's path has a leading "//" made one; this one has not.
			if strings.TrimLeft(rest, "/") == strings.TrimLeft(path, "/") && len(rest) > len(path) {
				path = rest
			}
		}
		return encode(path, true)
	}
	return encode(b.path, true)
}

// custom reports whether the call came by a custom domain. The console's test calls have a
// domain of no kind, which does no harm.
func (c *requestContext) custom() bool {
	return c.domain != "" && !strings.Contains(c.domain, ".execute-api.")
}

// cutStage takes the stage off a path.
func cutStage(path, stage string) (base, rest string) {
	if stage == "" || stage == "$default" {
		return "", path
	}
	rest, ok := strings.CutPrefix(path, "/"+stage)
	switch {
	case !ok || rest != "" && rest[0] != '/':
		return "", path
	case rest == "":
		rest = "/"
	}
	return "/" + stage, rest
}

// cutBase takes a custom domain's base path off a path: what the resource's template does not
// account for. pathParameters.proxy alone would lose slashes at the ends.
func (b *builder) cutBase(path string) (base, rest string) {
	if b.resource == "" || b.resource[0] != '/' {
		return "", path
	}
	head := strings.TrimRight(path, "/")
	if b.resource == "/" {
		if rest = path[len(head):]; rest == "" {
			rest = "/"
		}
		return head, rest
	}
	template := strings.Split(b.resource[1:], "/")
	at := len(head)
	if name, ok := strings.CutSuffix(template[len(template)-1], "+}"); ok {
		value := strings.Trim(b.pathParam(strings.TrimPrefix(name, "{")), "/")
		if value == "" || !strings.HasSuffix(head, "/"+value) {
			return "", path
		}
		at -= len(value) + 1
		template = template[:len(template)-1]
	}
	for i := len(template) - 1; i >= 0; i-- {
		slash := strings.LastIndexByte(head[:at], '/')
		if slash < 0 || !fits(template[i], head[slash+1:at]) {
			return "", path
		}
		at = slash
	}
	base = strings.TrimRight(path[:at], "/") // the slashes behind it are the client's
	return base, path[len(base):]
}

func (b *builder) pathParam(name string) string {
	for _, p := range b.pathParams {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// fits reports whether a segment of a path matches one of a template.
func fits(template, segment string) bool {
	if strings.HasPrefix(template, "{") {
		return segment != ""
	}
	decoded, err := url.PathUnescape(segment)
	return segment == template || err == nil && decoded == template
}

// clientQuery gives the query, without "?".
func (b *builder) clientQuery() string {
	switch b.call.shape {
	case httpAPI2, funcURL:
		return escape(b.rawQuery, &inQuery)
	}
	params, multi := b.query, b.hasMultiQuery && len(b.multiQuery) > 0
	if multi {
		params = b.multiQuery
	}
	if len(params) == 0 {
		return ""
	}
	alb := b.call.Front == tapway.FrontALB
	var s strings.Builder
	several, empty := false, false
	for i, p := range params {
		if i > 0 {
			s.WriteByte('&')
			several = several || p.name != params[0].name
		}
		empty = empty || p.value == ""
		name, value := p.name, p.value
		if !alb { // load balancers decode nothing
			name, value = url.QueryEscape(name), url.QueryEscape(value)
		}
		s.WriteString(name)
		s.WriteByte('=')
		s.WriteString(value)
	}
	if several {
		b.lost(tapway.FidelityQueryOrder)
	}
	if !alb || empty {
		b.lost(tapway.FidelityQueryEncoding)
	}
	if !multi {
		b.lost(tapway.FidelityQueryRepeats)
	}
	if alb {
		return escape(s.String(), &inQuery)
	}
	return s.String()
}

// encode makes a path that can stand in a request target. Of one that is encoded already only
// what would end it is touched; a decoded one keeps what RFC 3986 §3.3 lets stand, because that
// is what most clients send.
func encode(path string, already bool) string {
	if already {
		return escape(path, &inPath)
	}
	return escape(path, &decodedPath)
}

// escape percent-encodes the bytes that are not allowed.
func escape(s string, allowed *[256]bool) string {
	n := 0
	for i := range len(s) {
		if !allowed[s[i]] {
			n++
		}
	}
	if n == 0 {
		return s
	}
	out := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; allowed[c] {
			out = append(out, c)
		} else {
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(out)
}

const upperHex = "0123456789ABCDEF"

// What can stand in a query, in a path, and in one whose encoding was removed.
var inQuery, inPath, decodedPath = func() (query, path, decoded [256]bool) {
	for c := range 256 {
		query[c] = c > ' ' && c != 0x7f && c != '#'
		path[c] = query[c] && c != '?'
		decoded[c] = 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c < 0x80 && strings.IndexByte("/-._~!$&'()*+,;=:@", byte(c)) >= 0
	}
	return
}()

// encoded reports whether a path can be as the client sent it: nothing in it needs encoding,
// and every "%" begins an escape.
func encoded(path string) bool {
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case !inPath[c] || c >= 0x80:
			return false
		case c == '%':
			if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return false
			}
			i += 2
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}
