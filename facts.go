package tapway

import "context"

// Facts is what a front has told about a call before any stage sees it. The door that decodes
// the front's event attaches them to the request's context; on tapway's own listener there
// are none. They belong to the request's goroutine.
type Facts struct {
	Front    Front
	API      *API
	Fidelity []string // the Fidelity constants that hold for this call

	// VPC and VPCEndpoint are those that a call of a private API came through, "" otherwise.
	VPC, VPCEndpoint string

	// Base is what the client's path has before the request's: the API stage ("/prod") or a custom
	// domain's base path. "" when there is none, or when the front does not tell.
	Base string

	// ClientCert is the client's certificate, when the front asked for one; nil otherwise.
	ClientCert *ClientCert

	// Whole says that the front delivers complete responses only: the client of one that breaks
	// off, or that is shorter than its Content-Length, gets a 502 instead.
	Whole bool

	// Verbatim, if not nil, is set by a stage before the response is written: the front gets it in place of
	// what is written, if that has its status. What is written is for the capture then.
	Verbatim *Verbatim

	// Problem is set by the door while the response is written, when the front cannot carry it:
	// few words, no addresses, no secrets. The client gets a 502 instead; the record has that
	// status and keeps the headers and the body that could not be carried.
	Problem string
}

// ClientCert is the certificate of a client whose TLS ended at the front, which has proved there that it has
// the key. The texts are the front's and for people: what counts is in PEM.
type ClientCert struct {
	PEM                     string // the certificate; after it, perhaps, those that lead to a CA
	Subject, Issuer, Serial string
	NotBefore, NotAfter     string // "May 28 12:30:02 2019 GMT"

	// Verified says that the front has found a CA of its truststore above it.
	Verified bool
}

// Verbatim is a reply in a front's own form that somebody else has made.
type Verbatim struct {
	Status int // that the client will get
	Reply  []byte
}

// What a front destroys before tapway sees a request, or when it takes the response. A call
// has such a word unless it is certain that the call was not affected.
const (
	// FidelityPathDecoded: the percent-encoding of the path was removed and made anew, so that
	// "%2F" became "/". HTTP APIs also decode "%252F" twice, and cut a path at "%3F".
	FidelityPathDecoded = "path-decoded"

	// FidelityQueryOrder: the order of parameters with different names is not the client's.
	FidelityQueryOrder = "query-order"

	// FidelityQueryEncoding: the query was decoded and encoded again ("+" became "%20" or the
	// other way round), or a parameter without "=" got one.
	FidelityQueryEncoding = "query-encoding"

	// FidelityQueryRepeats: of parameters with the same name only the last came.
	FidelityQueryRepeats = "query-repeats"

	// FidelityHeaderCase: header names came in lower case.
	FidelityHeaderCase = "header-case"

	// FidelityHeaderOrder: the lines of a header that came in several spellings ("X-A" and "x-a")
	// are not in the client's order.
	FidelityHeaderOrder = "header-order"

	// FidelityHeaderJoined: a header with commas may have been several lines.
	FidelityHeaderJoined = "header-joined"

	// FidelityHeaderRepeats: of headers with the same name only the last came.
	FidelityHeaderRepeats = "header-repeats"

	// FidelityHeaderDropped: the front keeps headers to itself that the client may have sent
	// (Connection, Content-MD5, Expect, Max-Forwards, TE, Trailer, Transfer-Encoding, Upgrade, …).
	FidelityHeaderDropped = "header-dropped"

	// FidelityCookieFormat: the Cookie header was taken apart and put together again.
	FidelityCookieFormat = "cookie-format"

	// FidelityBodyEncoding: the request's body holds U+FFFD, which may stand for bytes that were
	// no UTF-8.
	FidelityBodyEncoding = "body-encoding"

	// FidelityResponseTrailers: the response had trailers, which the front does not carry.
	FidelityResponseTrailers = "response-trailers"
)

type factsKey struct{}

// WithFacts attaches a front's facts to a context.
func WithFacts(ctx context.Context, f *Facts) context.Context {
	return context.WithValue(ctx, factsKey{}, f)
}

// FactsFrom gives the facts of a request; nil on tapway's own listener.
func FactsFrom(ctx context.Context) *Facts {
	f, _ := ctx.Value(factsKey{}).(*Facts)
	return f
}
