package access

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// ownHeaders are headers by which the backend is told who is calling. Nobody else may send them:
// what a client sends under their names is taken away from every call, whether or not anything
// is proved by it.
type ownHeaders []string // canonical

// newOwnHeaders takes the names out of a mapping.
func newOwnHeaders(names map[string]string) ownHeaders {
	var own ownHeaders
	for name := range names {
		own = append(own, http.CanonicalHeaderKey(name))
	}
	slices.Sort(own)
	return own
}

func (o ownHeaders) has(name string) bool {
	_, found := slices.BinarySearch(o, name)
	return found
}

// strip takes away what the client sent: under the names; with "_" for "-", which CGI and WSGI
// backends take for the same; as a trailer; and as the name of a header that only concerns the
// connection, by which the proxy would drop ours.
func (o ownHeaders) strip(r *Request) {
	if len(o) == 0 || r.Dry {
		return
	}
	for name := range r.HTTP.Header {
		if o.has(name) || strings.IndexByte(name, '_') >= 0 && o.has(http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))) {
			delete(r.header(), name) // of a copy at the latest now; deleting while ranging is fine
		}
	}
	if lines := r.HTTP.Header["Connection"]; lines != nil {
		o.stripConnection(r, lines)
	}
	in := r.HTTP
	if in.Body != nil && in.Body != http.NoBody && (in.ContentLength < 0 || len(in.Trailer) > 0) {
		in.Body = &guardedBody{in.Body, in, o}
	}
}

func (o ownHeaders) stripConnection(r *Request, lines []string) {
	var kept []string
	dropped := false
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.Trim(token, " \t")
			if o.has(http.CanonicalHeaderKey(token)) {
				dropped = true
			} else if token != "" {
				kept = append(kept, token)
			}
		}
	}
	switch {
	case !dropped:
	case kept == nil:
		delete(r.header(), "Connection")
	default:
		r.header()["Connection"] = []string{strings.Join(kept, ", ")}
	}
}

// header is the call's header to be changed: a copy, because the record has the client's.
func (r *Request) header() http.Header {
	if !r.ownHeader {
		r.HTTP.Header, r.ownHeader = maps.Clone(r.HTTP.Header), true
	}
	return r.HTTP.Header
}

// Withhold keeps a header of the call from the backend. The record still has it.
func (r *Request) Withhold(name string) {
	if _, ok := r.HTTP.Header[name]; ok {
		delete(r.header(), name)
	}
}

// guardedBody takes own headers out of what follows a body.
type guardedBody struct {
	io.ReadCloser
	in  *http.Request
	own ownHeaders
}

func (b *guardedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.in.Trailer {
			if b.own.has(http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))) {
				delete(b.in.Trailer, name)
			}
		}
	}
	return n, err
}

// fieldValue reports whether a text can stand in a header and will be read there as what it is:
// no control characters, no blanks at its ends that would be cut off.
func fieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return strings.Trim(s, " ") == s
}
