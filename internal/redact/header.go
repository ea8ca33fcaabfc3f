package redact

import (
	"strings"

	"github.com/tapway/tapway"
)

// Header gives the value of a header line as it may be shown: for logs and dumps. Apply does
// the same to every line of an exchange.
func (r *Redactor) Header(name, value string) string {
	if value == "" || !r.on {
		return value
	}
	if r.headers.has(name) {
		return r.mark.replace([]byte(value))
	}
	if !r.cookies.empty() && (strings.EqualFold(name, "Cookie") || strings.EqualFold(name, "Set-Cookie")) {
		value = r.cookie(value, len(name) == len("Cookie"))
	}
	// Any header may hold a URL: Referer, Location, Link, Refresh, X-Forwarded-Uri, …
	if r.urls && strings.IndexByte(value, '=') >= 0 {
		i := strings.IndexAny(value, "?#")
		if n := strings.IndexByte(value[:max(i, 0)], ';'); i < 0 || n >= 0 {
			i = pathParam(value, i)
		}
		if i >= 0 {
			value = r.params(value, i+1, "&#>\" \t", newDive(len(value)))
		}
	}
	if strings.IndexByte(value, '@') >= 0 {
		value = r.userinfo(value)
	}
	if c := value[0]; (c == '{' || c == '[' || c == '%') && r.hidesFields(value) {
		return r.mark.replace([]byte(value))
	}
	return value
}

// pathParam finds the ";" of a URL's path in value (/a;jsessionid=…), or gives i.
func pathParam(value string, i int) int {
	slash := strings.IndexByte(value, '/')
	if slash < 0 {
		return i
	}
	n := strings.IndexByte(value[slash:], ';')
	if n < 0 || slash+n+1 < len(value) && value[slash+n+1] == ' ' {
		return i
	}
	return slash + n
}

func (r *Redactor) header(h tapway.Header) {
	for i := range h {
		if v := r.Header(h[i].Name, h[i].Value); len(v) != len(h[i].Value) || v != h[i].Value {
			h[i].Value = v
		}
	}
}

// cookie redacts the values of the named cookies in a Cookie value (RFC 6265 §4.2), or in a
// Set-Cookie value, where only the first pair is a cookie. A comma begins a cookie too, as
// old clients joined them, but ends none.
func (r *Redactor) cookie(value string, list bool) string {
	var cuts []cut
	for i := 0; i < len(value); {
		stop := endOf(value, i, "=;,")
		if stop == len(value) {
			break
		}
		if value[stop] == '=' {
			start, end := stop+1, endOf(value, stop+1, ";")
			switch {
			case !hasName(r.cookies, trimSpace(value[i:stop])):
				end = endOf(value, start, ";,")
			default:
				// A quoted value may hold what ends others.
				if start < len(value) && value[start] == '"' {
					if n := strings.IndexByte(value[start+1:], '"'); n >= 0 {
						end = max(end, endOf(value, start+n+2, ";"))
					}
				}
				if end > start {
					cuts = append(cuts, cut{start, end, r.mark.replace([]byte(value[start:end]))})
				}
			}
			stop = end
		}
		if !list {
			break
		}
		i = stop + 1
	}
	if cuts == nil {
		return value
	}
	return string(apply([]byte(value), cuts))
}

// userinfo redacts the user and password of URLs (https://user:password@host/).
func (r *Redactor) userinfo(value string) string {
	var cuts []cut
	for i := 0; ; {
		n := strings.Index(value[i:], "//")
		if n < 0 {
			break
		}
		start := i + n + 2
		i = endOf(value, start, "/?#<>\" \t")
		if at := strings.LastIndexByte(value[start:i], '@'); at > 0 {
			cuts = append(cuts, cut{start, start + at, r.mark.replace([]byte(value[start : start+at]))})
		}
	}
	if cuts == nil {
		return value
	}
	return string(apply([]byte(value), cuts))
}
