package proxy

import (
	"html"
	"net/http"
	"strconv"
	"strings"

	"github.com/tapway/tapway"
)

const (
	originBackend = tapway.OriginBackend
	originGateway = tapway.OriginGateway
)

// page is an answer of tapway's own. It never holds a backend's address.
type page struct {
	status  int
	message string // for the client
	reason  string // for the record
}

// answer sends pg, as HTML to those who prefer it and as JSON to all others.
func (p *pass) answer(pg page) {
	p.call.Origin, p.call.Error, p.call.Backend = originGateway, pg.reason, p.waited
	var body, contentType string
	if prefersHTML(p.in.Header["Accept"]) {
		body, contentType = p.splash(pg), "text/html; charset=utf-8"
	} else {
		body, contentType = jsonMessage(pg.message), "application/json"
	}
	h := p.w.Header()
	if contentType[0] == 't' {
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Accept")
	if p.body.interrupted.Load() && p.in.ProtoMajor == 1 {
		h.Set("Connection", "close") // or the rest of the body would be read as a request
	}
	p.w.WriteHeader(pg.status)
	if p.in.Method != http.MethodHead {
		// Nothing can be done for a client that does not take its answer.
		_, _ = p.w.Write([]byte(body))
	}
}

// splash is the page for people.
func (p *pass) splash(pg page) string {
	title, hint := http.StatusText(pg.status), ""
	if pg.status >= 500 {
		title, hint = p.ErrorTitle, "Please try again in a moment."
	}
	var b strings.Builder
	b.Grow(len(splashHead) + 1024)
	b.WriteString(splashHead)
	write := func(before, text, after string) {
		b.WriteString(before)
		b.WriteString(html.EscapeString(text))
		b.WriteString(after)
	}
	write("<title>", title+" · "+p.AppName, "</title>\n</head>\n<body>\n<main>\n")
	write("<p class=\"app\">", p.AppName, "</p>\n")
	write("<h1>", title, "</h1>\n")
	write("<p>", pg.message, "</p>\n")
	if hint != "" {
		write("<p>", hint, "</p>\n")
	}
	b.WriteString("<footer>")
	write("<span>", strconv.Itoa(pg.status)+" "+http.StatusText(pg.status), "</span>")
	if !p.call.ID.IsZero() {
		write("<span>Request <code>", p.call.ID.String(), "</code></span>")
	}
	b.WriteString("</footer>\n</main>\n</body>\n</html>\n")
	return b.String()
}

const splashHead = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<style>
:root { color-scheme: light dark; --bg: #f4f5f7; --card: #fff; --ink: #1c2330; --soft: #626b7a; --line: #e2e5ea; --mark: #d9482b }
@media (prefers-color-scheme: dark) { :root { --bg: #12151b; --card: #1b2028; --ink: #e8eaee; --soft: #98a1b0; --line: #2c333f; --mark: #ff7a5c } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--bg); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif }
main { width: 100%; max-width: 34rem; padding: 2.5rem; background: var(--card); border: 1px solid var(--line); border-top: 4px solid var(--mark); border-radius: .75rem }
.app { margin: 0; color: var(--soft); font-weight: 600; overflow-wrap: anywhere }
h1 { margin: .25rem 0 1rem; font-size: 1.75rem; line-height: 1.2; overflow-wrap: anywhere }
p { margin: 0 0 .5rem; overflow-wrap: anywhere }
footer { margin-top: 2rem; padding-top: 1rem; border-top: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; color: var(--soft); font-size: .85rem }
</style>
`

// jsonMessage is {"message": …} as API Gateway words it. <, > and & are escaped: a browser
// that takes JSON for HTML must find none.
func jsonMessage(message string) string {
	const hex = "0123456789abcdef"
	b := append(make([]byte, 0, len(message)+16), `{"message":"`...)
	for _, r := range strings.ToValidUTF8(message, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == '<' || r == '>' || r == '&' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4&15], hex[r&15])
		default:
			b = append(b, string(r)...)
		}
	}
	return string(append(b, '"', '}'))
}
