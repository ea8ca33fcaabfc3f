package redact

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"

	"github.com/tapway/tapway"
)

var (
	errBoundary = errors.New("a multipart body's boundary is missing")
	errPart     = errors.New("the head of a part is not readable")
)

// maxParts is how deep multipart bodies may stand in one another.
const maxParts = 4

// multipartBody redacts the parts of a multipart body: a part that a form rule names goes whole,
// and any other is read as a body of its type would be. A body without its last boundary is kept
// when nothing in it would have to change.
func (r *Redactor) multipartBody(in []byte, boundary string, truncated bool, depth int) ([]byte, error) {
	if boundary == "" || depth > maxParts {
		return nil, errBoundary
	}
	delimiter := []byte("--" + boundary)
	var cuts []cut
	preamble, at, last := nextDelimiter(in, 0, delimiter)
	if at < 0 || r.inText(in[:preamble]) {
		return nil, errBoundary
	}
	for !last {
		head, body, ok := partHead(in, at)
		if !ok {
			// The head goes on past the end, or is not one.
			if r.inText(in[at:]) {
				return nil, errPart
			}
			truncated, at = true, len(in)
			break
		}
		end, next, isLast := nextDelimiter(in, body, delimiter)
		if next < 0 {
			end, truncated, isLast = len(in), true, true
		}
		c, err := r.part(head, in[body:max(end, body)], truncated && next < 0, depth)
		if err != nil {
			return nil, err
		}
		for _, c := range c {
			cuts = append(cuts, cut{body + c.start, body + c.end, c.by})
		}
		at, last = next, isLast
	}
	if at >= 0 && r.inText(in[at:]) {
		return nil, errBoundary
	}
	if cuts == nil {
		return in, nil
	}
	return apply(in, cuts), nil
}

// part gives the cuts within the body of one part. One that cannot be redacted goes whole.
func (r *Redactor) part(head tapway.Header, body []byte, truncated bool, depth int) ([]cut, error) {
	message, encoding := false, ""
	for _, f := range head {
		switch f.Name {
		case "content-disposition":
			_, params, err := mime.ParseMediaType(f.Value)
			if err != nil {
				if r.inHead([]byte(f.Value)) {
					return nil, errPart
				}
				continue
			}
			if r.partNamed(params["name"]) {
				return []cut{{0, len(body), r.mark.replace(body)}}, nil
			}
		case "content-type":
			message = message || isMessage(f.Value)
		case "content-transfer-encoding":
			if encoding = strings.ToLower(f.Value); encoding == "7bit" || encoding == "8bit" || encoding == "binary" {
				encoding = ""
			}
		}
	}
	out, ok := r.readPart(head, body, encoding, truncated, depth)
	if message && ok && r.mentions(body) {
		ok = false
	}
	switch {
	case !ok && len(body) > 0:
		return []cut{{0, len(body), r.mark.replace(body)}}, nil
	case !ok || same(out, body):
		return nil, nil
	}
	return []cut{{0, len(body), string(out)}}, nil
}

// readPart redacts the body of a part; ok is false when it cannot be done. What has a transfer encoding is decoded to be
// looked at only.
func (r *Redactor) readPart(head tapway.Header, body []byte, encoding string, truncated bool, depth int) (out []byte, ok bool) {
	text, err := body, error(nil)
	switch encoding {
	case "":
	case "base64":
		if text, err = base64.StdEncoding.DecodeString(string(body)); err != nil && !truncated {
			text = nil
		}
	case "quoted-printable":
		text, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body)))
	default:
		err = errPart
	}
	kinds, _ := r.kindsByType(head)
	kinds |= r.kindsByLooks(text, head)
	if kinds == 0 && head.Get("content-type") == "" && bytes.IndexByte(text, 0) < 0 {
		return r.urlsIn(text, truncated), true // a field that somebody has filled in
	}
	if err != nil && !truncated {
		return nil, kinds == 0
	}
	if out, err = r.read(text, head, kinds, truncated, depth+1); err != nil {
		return nil, false
	}
	if encoding == "" {
		return out, true
	}
	return body, same(out, text)
}

// isMessage reports whether a part is a whole message with headers of its own: a request of a
// batch, or a mail.
func isMessage(contentType string) bool {
	t := strings.ToLower(strings.TrimSpace(contentType))
	return strings.HasPrefix(t, "application/http") || strings.HasPrefix(t, "message/")
}

// mentions reports whether anything that a rule names may stand in a message.
func (r *Redactor) mentions(b []byte) bool {
	folded := bytes.ToLower(b)
	for _, names := range [...][]string{r.headers.all, r.headers.prefixes, r.cookies.all, r.query.all, r.fields.names.all} {
		for _, name := range names {
			if bytes.Contains(folded, bytes.ToLower([]byte(name))) {
				return true
			}
		}
	}
	// What is coded cannot be searched, and a name may be spelled otherwise.
	return bytes.Contains(folded, []byte("encoding:")) || bytes.ContainsAny(b, `%\`)
}

// inText reports whether a rule's name can stand in what belongs to no part: readers skip it.
func (r *Redactor) inText(b []byte) bool {
	b = trimSpace(b)
	return len(b) > 0 && (r.inHead(b) || !r.json.none && r.json.search.inJSON(b))
}

// partNamed reports whether a form rule names a part, in any of the ways in which senders escape
// its name: not at all, with backslashes, percent-encoded.
func (r *Redactor) partNamed(name string) bool {
	if hasPart(r.form, name) || strings.IndexByte(name, '\\') >= 0 && hasPart(r.form, strings.ReplaceAll(name, `\`, "")) {
		return true
	}
	decoded, ok := decodeParam(name)
	return ok && hasPart(r.form, decoded)
}

// inHead reports whether a form rule's name can stand in a part's head that cannot be parsed.
func (r *Redactor) inHead(b []byte) bool {
	if r.form.empty() {
		return false
	}
	found, ascii := r.formSearch.find(b)
	return found || !ascii || r.formSearch.always || bytes.ContainsAny(b, `%\`)
}

// nextDelimiter finds the next delimiter line at or behind from (RFC 2046 §5.1.1): where what stands before it
// ends, where what stands behind it begins (-1 if there is none), and whether it is the last.
func nextDelimiter(b []byte, from int, delimiter []byte) (end, next int, last bool) {
	for i := from; ; {
		n := bytes.Index(b[i:], delimiter)
		if n < 0 {
			return len(b), -1, false
		}
		start := i + n
		i = start + 1
		if start > 0 && b[start-1] != '\n' {
			continue
		}
		rest := start + len(delimiter)
		last = bytes.HasPrefix(b[rest:], []byte("--"))
		if last {
			rest += 2
		}
		for rest < len(b) && (b[rest] == ' ' || b[rest] == '\t') {
			rest++
		}
		switch {
		case bytes.HasPrefix(b[rest:], []byte("\r\n")):
			rest += 2
		case bytes.HasPrefix(b[rest:], []byte("\n")):
			rest++
		case last:
			// Whatever follows "--boundary--" is the epilogue.
		default:
			continue // a longer word that begins like the boundary
		}
		// The line break before the delimiter belongs to it.
		if end = start - 1; end > from && b[end-1] == '\r' {
			end--
		}
		return max(end, from), rest, last
	}
}

// maxHead is how long the header lines of a part may be.
const maxHead = 16 << 10

// partHead reads the header lines of a part; their names come in lower case.
func partHead(b []byte, at int) (head tapway.Header, body int, ok bool) {
	b = b[:min(len(b), at+maxHead)]
	for at < len(b) {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			return nil, 0, false
		}
		line := bytes.TrimSuffix(b[at:at+n], []byte("\r"))
		at += n + 1
		if len(line) == 0 {
			return head, at, true
		}
		if (line[0] == ' ' || line[0] == '\t') && len(head) > 0 {
			head[len(head)-1].Value += " " + string(bytes.TrimSpace(line)) // obsolete folding
			continue
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			return nil, 0, false
		}
		head = append(head, tapway.Field{Name: string(bytes.ToLower(bytes.TrimSpace(name))), Value: string(bytes.TrimSpace(value))})
	}
	return nil, 0, false
}
