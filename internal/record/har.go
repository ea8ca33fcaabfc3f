package record

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/content"
	"github.com/tapway/tapway/internal/jsonstring"
)

// HAR writes exchanges as one HTTP Archive 1.2 (http://www.softwareishard.com/blog/har-12-spec/),
// one entry at a time. When exchanges gives an error, HAR returns it and leaves the document
// unfinished, so that half an export cannot be taken for a whole one.
func HAR(w io.Writer, exchanges iter.Seq2[*tapway.Exchange, error]) error {
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteString(`{"log":{"version":"1.2","creator":{"name":"tapway","version":"1"},"entries":[`)
	var entry []byte
	separator := "\n"
	for ex, err := range exchanges {
		if err != nil {
			out.Flush()
			return fmt.Errorf("write HAR: %w", err)
		}
		entry = AppendHAREntry(append(entry[:0], separator...), ex)
		if _, err := out.Write(entry); err != nil {
			return fmt.Errorf("write HAR: %w", err)
		}
		separator = ",\n"
	}
	out.WriteString("\n]}}\n")
	if err := out.Flush(); err != nil { // it keeps the first error of all writes
		return fmt.Errorf("write HAR: %w", err)
	}
	return nil
}

// AppendHAREntry adds ex as one element of log.entries. Bodies stand there without their content
// codings. HAR has no binary request body: such a one is base64 with "_encoding". What HAR
// has no word for is under "_tapway".
func AppendHAREntry(dst []byte, ex *tapway.Exchange) []byte {
	wait := max(ex.FirstByte-ex.Connect, 0)
	receive := max(ex.Duration-ex.Connect-wait, 0)
	dst = appendTime(append(dst, `{"startedDateTime":"`...), ex.Time)
	dst = appendMillis(append(dst, `","time":`...), ex.Connect+wait+receive)
	dst = appendHARRequest(append(dst, `,"request":`...), ex)
	dst = appendHARResponse(append(dst, `,"response":`...), ex)
	dst = append(dst, `,"cache":{},"timings":{"blocked":-1,"dns":-1,"connect":`...)
	if ex.Connect > 0 {
		dst = appendMillis(dst, ex.Connect)
	} else {
		dst = append(dst, "-1"...)
	}
	dst = appendMillis(append(dst, `,"send":0,"wait":`...), wait)
	dst = appendMillis(append(dst, `,"receive":`...), receive)
	dst = ex.ID.Append(append(dst, `,"ssl":-1},"_tapway":{"id":"`...))
	dst = appendText(append(dst, `","origin":`...), orElse(string(ex.Origin), string(tapway.OriginGateway)))
	dst = appendTextOrNull(append(dst, `,"route":`...), ex.Route)
	dst = appendTextOrNull(append(dst, `,"client_ip":`...), ex.ClientIP)
	dst = appendTextOrNull(append(dst, `,"trace_id":`...), ex.TraceID)
	dst = appendTextOrNull(append(dst, `,"error":`...), ex.Error)
	return append(dst, "}}"...)
}

func appendHARRequest(dst []byte, ex *tapway.Exchange) []byte {
	dst = appendText(append(dst, `{"method":`...), ex.Method)
	dst = appendText(append(dst, `,"url":`...), harURL(ex))
	dst = appendText(append(dst, `,"httpVersion":`...), orElse(ex.Proto, "HTTP/1.1"))
	dst = append(dst, `,"cookies":[`...)
	first := true
	for i := range ex.RequestHeader {
		if !strings.EqualFold(ex.RequestHeader[i].Name, "Cookie") {
			continue
		}
		for pair := range strings.SplitSeq(ex.RequestHeader[i].Value, ";") {
			if name, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok {
				dst = append(appendPair(dst, &first, name, value), '}')
			}
		}
	}
	dst = appendHARHeaders(append(dst, `],"headers":[`...), ex.RequestHeader)
	dst = appendHARForm(append(dst, `],"queryString":[`...), ex.Query)
	dst = append(dst, ']')
	if body := render(ex.RequestHeader, &ex.Request); len(body.bytes) > 0 {
		kind := contentType(ex.RequestHeader)
		dst = appendText(append(dst, `,"postData":{"mimeType":`...), kind)
		dst = append(dst, `,"params":[`...)
		if content.IsForm(kind) && body.encoding == encodingText {
			dst = appendHARForm(dst, string(body.bytes))
		}
		dst = appendHARText(append(dst, `],"text":`...), &body, "_encoding")
		dst = append(dst, '}')
	}
	dst = append(dst, `,"headersSize":-1,"bodySize":`...)
	return append(strconv.AppendInt(dst, max(ex.Request.Size, 0), 10), '}')
}

func appendHARResponse(dst []byte, ex *tapway.Exchange) []byte {
	dst = strconv.AppendInt(append(dst, `{"status":`...), int64(min(max(ex.Status, 0), 999)), 10)
	dst = appendText(append(dst, `,"statusText":`...), http.StatusText(ex.Status))
	dst = appendText(append(dst, `,"httpVersion":`...), orElse(ex.Proto, "HTTP/1.1"))
	dst = append(dst, `,"cookies":[`...)
	first := true
	for i := range ex.ResponseHeader {
		if strings.EqualFold(ex.ResponseHeader[i].Name, "Set-Cookie") {
			dst = appendHARSetCookie(dst, &first, ex.ResponseHeader[i].Value)
		}
	}
	dst = appendHARHeaders(append(dst, `],"headers":[`...), ex.ResponseHeader)
	body := render(ex.ResponseHeader, &ex.Response)
	dst = append(dst, `],"content":{"size":`...)
	size := int64(len(body.bytes))
	if !body.decoded {
		size = max(ex.Response.Size, 0)
	}
	dst = strconv.AppendInt(dst, size, 10)
	if body.decoded {
		dst = strconv.AppendInt(append(dst, `,"compression":`...), size-ex.Response.Size, 10)
	}
	dst = appendText(append(dst, `,"mimeType":`...), orElse(contentType(ex.ResponseHeader), "x-unknown"))
	if len(body.bytes) > 0 {
		dst = appendHARText(append(dst, `,"text":`...), &body, "encoding")
	}
	if ex.Response.Withheld {
		dst = append(dst, `,"comment":"withheld"`...)
	} else if ex.Response.Truncated {
		dst = append(dst, `,"comment":"truncated"`...)
	}
	dst = appendText(append(dst, `},"redirectURL":`...), ex.ResponseHeader.Get("Location"))
	dst = append(dst, `,"headersSize":-1,"bodySize":`...)
	dst = strconv.AppendInt(dst, max(ex.Response.Size, 0), 10)
	if ex.Error != "" {
		dst = appendText(append(dst, `,"_error":`...), ex.Error)
	}
	return append(dst, '}')
}

// harURL makes the absolute URL that HAR wants. An exchange does not know the scheme of its
// connection: AWS fronts and HTTP/2 are taken for https, others for what a proxy before them says.
func harURL(ex *tapway.Exchange) string {
	scheme := "http"
	if ex.Front != "" && ex.Front != tapway.FrontServer || ex.Proto == "HTTP/2.0" ||
		strings.EqualFold(ex.RequestHeader.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	u := scheme + "://" + ex.From
	if strings.HasPrefix(ex.Path, "/") {
		u += ex.Path
	} else {
		u += "/" + ex.Path // "*" of OPTIONS
	}
	if ex.Query != "" {
		u += "?" + ex.Query
	}
	return u
}

// appendPair writes a name and a value and leaves the object open.
func appendPair(dst []byte, first *bool, name, value string) []byte {
	if !*first {
		dst = append(dst, ',')
	}
	*first = false
	dst = appendText(append(dst, `{"name":`...), name)
	return appendText(append(dst, `,"value":`...), value)
}

func appendHARHeaders(dst []byte, h tapway.Header) []byte {
	var room [64]int32
	first := true
	for _, i := range inOrder(h, room[:]) {
		dst = append(appendPair(dst, &first, h[i].Name, h[i].Value), '}')
	}
	return dst
}

// appendHARForm writes the decoded pairs of a query or an urlencoded form, in their order.
func appendHARForm(dst []byte, raw string) []byte {
	first := true
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		dst = append(appendPair(dst, &first, unescape(name), unescape(value)), '}')
	}
	return dst
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

func appendHARSetCookie(dst []byte, first *bool, line string) []byte {
	c, err := http.ParseSetCookie(line)
	if err != nil {
		return dst // a redacted cookie, for one; the header line is there as it is
	}
	dst = appendPair(dst, first, c.Name, c.Value)
	if c.Path != "" {
		dst = appendText(append(dst, `,"path":`...), c.Path)
	}
	if c.Domain != "" {
		dst = appendText(append(dst, `,"domain":`...), c.Domain)
	}
	if !c.Expires.IsZero() {
		dst = append(c.Expires.UTC().AppendFormat(append(dst, `,"expires":"`...), time.RFC3339), '"')
	}
	dst = strconv.AppendBool(append(dst, `,"httpOnly":`...), c.HttpOnly)
	dst = strconv.AppendBool(append(dst, `,"secure":`...), c.Secure)
	return append(dst, '}')
}

// appendHARText writes a body as text; binary as base64 with the member named mark.
func appendHARText(dst []byte, body *rendered, mark string) []byte {
	if body.encoding != encodingBase64 {
		return jsonstring.AppendBytes(dst, body.bytes)
	}
	dst = base64.StdEncoding.AppendEncode(append(dst, '"'), body.bytes)
	return append(append(append(dst, `","`...), mark...), `":"base64"`...)
}
