// Package redact takes out of an exchange what must not be recorded, before it is written
// anywhere: header lines, cookies, query and path parameters, and fields of JSON, urlencoded and
// multipart bodies, in both directions.
//
// It fails closed. A body whose kind has rules is kept as it is only when a fast search proves that
// no rule's name stands in it; otherwise it is parsed, and what cannot be (broken, in a content coding that cannot be undone, nested
// too deeply) is withheld: the whole body, or the part, event or text that it is in, where it is sure to end there. Of a body that was cut
// short, the value at its end goes as if it were whole. What a newcomer gets wrong: the search is not the
// redaction, it only saves the parsing, so it may say yes too often but never wrongly no, however
// a name is spelled (letter case, \u escapes, percent-encoding).
//
// Which way a body is read goes by its type, and by its first byte: what begins as a JSON object or
// array is JSON whatever its type says, what begins as XML is XML unless it is called HTML, and what begins as a form is one if its
// type says nothing. The names of form and JSON rules are looked for in XML, JSONP, GraphQL and plain text ("key=value") too, and
// URLs in all text. MessagePack, CBOR, BSON, Smile and UBJSON with a member that a rule names are withheld. Not
// looked into but for URLs: HTML and text of other types. Not looked into: scripts other than JSONP, other binary formats, base64
// within JSON.
//
// Nothing here may take time in the square of what a stranger writes: see TestLinearCost.
package redact

import (
	"strings"

	"github.com/tapway/tapway"
)

// Redactor applies prepared rules. It is safe for concurrent use.
type Redactor struct {
	headers                    headerSet
	cookies, query, path, form *nameSet
	json                       *program
	fields                     fieldNames // of bodies that are neither
	formSearch                 *search    // for the heads of parts
	mark                       marker
	maxDecoded                 int64
	on                         bool // there is at least one rule
	urls                       bool // there is one that concerns parameters of URLs
}

// Apply redacts ex in place: its strings and the lines of its headers are replaced, but a body that
// changes gets a new Bytes, and the array of the old one is never written to.
//
// A body that changes loses its content codings (Decoded); one that cannot be redacted loses
// its bytes (Withheld). Either way Sum is made of the bytes that passed, unless the capture
// has set it already. A changed body costs its SHA-256 and one copy, any other nothing.
func (r *Redactor) Apply(ex *tapway.Exchange) {
	if !r.on {
		return
	}
	// Bodies first: they are classified by headers that a rule may name.
	r.body(&ex.Request, ex.RequestHeader)
	r.body(&ex.Response, ex.ResponseHeader)
	r.pathParams(ex)
	if r.urls {
		ex.Query = r.Query(ex.Query)
		if i := strings.IndexByte(ex.Path, ';'); i >= 0 {
			ex.Path = r.params(ex.Path, i+1, "/", newDive(len(ex.Path))) // "/a;jsessionid=…/b"
		}
		if strings.IndexByte(ex.Path, '@') >= 0 && strings.Contains(ex.Path, "://") {
			ex.Path = r.userinfo(ex.Path) // "/proxy/https://user:password@host/"
		}
	}
	r.header(ex.RequestHeader)
	r.header(ex.ResponseHeader)
	r.header(ex.RequestTrailer)
	r.header(ex.ResponseTrailer)
}
