package proxy

import (
	"net/http"
	"strings"
)

// Values that many calls share. Nobody appends to a header line that is already there.
var (
	teTrailers        = []string{"trailers"}
	connectionUpgrade = []string{"Upgrade"}
	noLength          = []string{"0"}
)

// valueRoom lends one-element slices out of one piece of memory.
type valueRoom struct {
	room [7]string
	used int
}

func (v *valueRoom) one(s string) []string {
	if v.used == len(v.room) {
		return []string{s}
	}
	v.room[v.used] = s
	v.used++
	return v.room[v.used-1 : v.used : v.used]
}

// hopByHop reports whether a header is about one connection only (RFC 9110 §7.6.1), or
// frames the message and is therefore written anew.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}

// forbiddenTrailer reports whether a field may not stand behind a body (RFC 9110 §6.5.1):
// what frames, routes or authorises a message is of no use after it, and who sent it is not
// for the client to say.
func forbiddenTrailer(name string) bool {
	switch name {
	case "Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Host", "Authorization", "Set-Cookie", "Cookie":
		return true
	}
	return hopByHop(name) || ofForwarding(name)
}

// ofForwarding reports whether a header says where a call came from, or whose it is or what it
// asked for before a proxy changed that: X-Forwarded-Anything, and names that proxies, CDNs and
// frameworks have made up for the same. Backends that believe them take them from proxies only.
func ofForwarding(name string) bool {
	switch name {
	case "Forwarded", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Fastly-Client-Ip",
		"X-Original-Forwarded-For", "X-Original-Host", "X-Original-Url", "X-Rewrite-Url":
		return true
	}
	const family = "X-Forwarded"
	return strings.HasPrefix(name, family) && (len(name) == len(family) || name[len(family)] == '-')
}

// forges reports whether a header passes for one that only tapway writes: CGI and WSGI
// backends take X_Forwarded_For for X-Forwarded-For.
func (f *Forwarded) forges(name string) bool {
	if strings.IndexByte(name, '_') < 0 {
		return false
	}
	name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	return name == "Content-Length" || name == "Transfer-Encoding" || !f.Off && ofForwarding(name)
}

// ofTheBody reports whether a header describes the body, so that it goes along even when
// the client's headers do not. Expect is about how the body is sent.
func ofTheBody(name string) bool {
	switch name {
	case "Content-Type", "Content-Encoding", "Content-Language", "Content-Range", "Content-Disposition",
		"Content-Md5", "Content-Digest", "Digest", "Expect":
		return true
	}
	return false
}

// hasToken reports whether a list header names token, in any letter case.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for more := true; more; {
			var element string
			element, line, more = strings.Cut(line, ",")
			if strings.EqualFold(strings.Trim(element, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// upgradeOf gives the protocols that r asks to switch to, nil if it does not. h2c is not
// passed on: the client could speak to the backend behind tapway's back.
func upgradeOf(r *http.Request) []string {
	lines := r.Header["Upgrade"]
	if len(lines) == 0 || r.ProtoMajor != 1 || r.ProtoMinor == 0 || !hasToken(r.Header["Connection"], "upgrade") {
		return nil
	}
	if hasToken(lines, "h2c") || firstElement(lines) == "" {
		return nil
	}
	return lines
}

// requestHeader is the header of the outgoing call. Values are shared with the incoming one.
func (p *pass) requestHeader() http.Header {
	in := p.in.Header
	out := make(http.Header, len(in)+5)
	only := p.NoHeaders || p.hop.OnlyMapped
	named := in["Connection"]
	stranger := p.Forwarded.distrusts(p.in)
	for name, values := range in {
		switch {
		case hopByHop(name), name == "Content-Length" && p.in.ContentLength != 0, name == "Host", p.Forwarded.forges(name):
		case name == "Expect" && !p.in.ProtoAtLeast(1, 1): // to be ignored (RFC 9110 §10.1.1), not waited for
		case only && !ofTheBody(name) && (p.upgrade == nil || !strings.HasPrefix(name, "Sec-Websocket-")):
		case named != nil && hasToken(named, name):
		case stranger && name != "X-Real-Ip" && name != "X-Forwarded-Port" && ofForwarding(name): // those two set corrects
		default:
			out[name] = values
		}
	}
	if te := in["Te"]; te != nil && hasToken(te, "trailers") {
		out["Te"] = teTrailers
	}
	if p.upgrade != nil {
		out["Connection"] = connectionUpgrade
		out["Upgrade"] = p.upgrade
	}
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = nil // net/http would name itself
	}
	p.Forwarded.set(out, p.in, &p.room)
	if t := p.call.Trace; t != nil && t.Header != "" {
		out["Traceparent"] = p.room.one(t.Header)
		if t.Fresh {
			delete(out, "Tracestate")
		}
	}
	for name, values := range p.hop.Header {
		name = http.CanonicalHeaderKey(name)
		switch {
		case hopByHop(name), name == "Content-Length", name == "Host":
		case len(values) == 0 && name != "User-Agent":
			delete(out, name)
		default:
			out[name] = values
		}
	}
	if p.upgrade != nil {
		spellWebSocket(out)
	}
	return out
}

// copyResponseHeader adds the backend's header to dst, without what is about its connection
// and with its addresses turned into the client's. Values are shared unless they change.
func (p *pass) copyResponseHeader(dst, src http.Header) {
	named := src["Connection"]
	for name, values := range src {
		if hopByHop(name) || named != nil && hasToken(named, name) {
			continue
		}
		switch name {
		case "Location", "Content-Location":
			values = mapAll(values, p.mapper().url)
		case "Refresh":
			values = mapAll(values, p.mapper().refresh)
		case "Link":
			values = mapAll(values, p.mapper().link)
		case "Set-Cookie":
			values = mapAll(values, p.mapper().cookie)
		case "Alt-Svc":
			// It names other places that serve this origin (RFC 7838): the client would go around tapway.
			continue
		}
		if old := dst[name]; len(old) > 0 {
			values = append(old[:len(old):len(old)], values...)
		}
		dst[name] = values
	}
}

// mapAll applies f to every value; the slice is copied only if one changes.
func mapAll(values []string, f func(string) string) []string {
	copied := false
	for i, v := range values {
		if mapped := f(v); mapped != v {
			if !copied {
				values, copied = append([]string(nil), values...), true
			}
			values[i] = mapped
		}
	}
	return values
}
