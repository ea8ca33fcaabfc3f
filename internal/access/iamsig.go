package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// sigV4 is what a call says of its signature (AWS General Reference, Signature Version 4).
type sigV4 struct {
	keyID, scopeDate, region, service string
	signedHeaders                     []string
	signature                         string
	date                              string // 20150830T123600Z
	payload                           string // what the call says its body's hash is; "" when nothing
	session                           string // security token

	presigned bool
	expires   time.Duration // with presigned
	path      string
	respelled string  // the path in another encoding that the client may have sent; "" when there is none
	query     []param // without the signature
}

const (
	sigAlgorithm  = "AWS4-HMAC-SHA256"
	sigAlgorithmA = "AWS4-ECDSA-P256-SHA256"

	// maxExpires is how long a presigned URL can be valid.
	maxExpires = 7 * 24 * time.Hour

	maxSignedHeaders = 64
	maxParams        = 1000
)

// unsigns are what a front may have done to a call so that an honest signature is no longer its own. Order and
// encoding of a query, and letter case of headers, are not signed.
var unsigns = []string{
	tapway.FidelityPathDecoded, tapway.FidelityQueryRepeats, tapway.FidelityHeaderRepeats, tapway.FidelityHeaderOrder, tapway.FidelityBodyEncoding,
}

// param is one parameter of a query, decoded.
type param struct{ name, value string }

// readSigV4 reads the signature of a call, from wherever it is. facts are nil on tapway's own listener.
func readSigV4(in *http.Request, facts *tapway.Facts) (*sigV4, *Refusal) {
	path, rawQuery, _, _ := tapway.Target(in)
	s := &sigV4{path: path}
	if facts != nil {
		s.behind(facts, in.URL.Path)
	}
	lines := in.Header["Authorization"]
	header := len(lines) > 0 && strings.HasPrefix(lines[0], "AWS4-")
	if len(lines) > 1 {
		return nil, sigIncomplete("There is more than one Authorization header.")
	}
	var ok bool
	if s.query, ok = readQuery(rawQuery); !ok {
		return nil, sigIncomplete("The query string is malformed.")
	}
	inQuery := slices.ContainsFunc(s.query, func(p param) bool { return p.name == "X-Amz-Signature" || p.name == "X-Amz-Algorithm" })
	switch {
	case header && inQuery:
		return nil, sigTwice
	case header:
		return s, s.fromHeader(in.Header, lines[0])
	case inQuery:
		return s, s.fromQuery()
	}
	return nil, sigMissing
}

// behind makes the path the one that the client sent to a front. Where the front has decoded it, both usual
// encodings are taken: the one that the backend gets, and the signers' own. They are the same call, because
// the backend gets it in one of them either way.
func (s *sigV4) behind(facts *tapway.Facts, decoded string) {
	s.path = facts.Base + s.path
	if !slices.Contains(facts.Fidelity, tapway.FidelityPathDecoded) {
		return
	}
	if path := facts.Base + uriEncode(decoded, true); path != s.path {
		s.respelled = path
	}
}

func (s *sigV4) fromHeader(h http.Header, line string) *Refusal {
	algorithm, rest, _ := strings.Cut(line, " ")
	if refusal := checkAlgorithm(algorithm); refusal != nil {
		return refusal
	}
	var credential, signed string
	fields := map[string]*string{"Credential": &credential, "SignedHeaders": &signed, "Signature": &s.signature}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.Trim(part, " "), "=")
		to := fields[name]
		if !ok || to == nil || *to != "" || value == "" {
			return sigIncomplete("The Authorization header is malformed.")
		}
		*to = value
	}
	var verdict, hash, token signatureVerdict
	s.date, verdict = one(h, "X-Amz-Date")
	s.payload, hash = one(h, "X-Amz-Content-Sha256")
	s.session, token = one(h, "X-Amz-Security-Token")
	if hash == signatureMalformed || token == signatureMalformed {
		return sigIncomplete("A header of the signature is there more than once.")
	}
	var missing []string
	for _, one := range []struct {
		name  string
		value string
	}{{"Credential", credential}, {"Signature", s.signature}, {"SignedHeaders", signed}} {
		if one.value == "" {
			missing = append(missing, "Authorization header requires '"+one.name+"' parameter.")
		}
	}
	if verdict != signatureValid {
		missing = append(missing, "Authorization header requires existence of one 'X-Amz-Date' header.")
	}
	if missing != nil {
		return sigIncomplete(strings.Join(missing, " "))
	}
	return s.check(credential, signed)
}

func (s *sigV4) fromQuery() *Refusal {
	s.presigned = true
	var algorithm, credential, signed, expires string
	fields := map[string]*string{
		"X-Amz-Algorithm": &algorithm, "X-Amz-Credential": &credential, "X-Amz-Date": &s.date, "X-Amz-Expires": &expires,
		"X-Amz-SignedHeaders": &signed, "X-Amz-Signature": &s.signature, "X-Amz-Security-Token": &s.session, "X-Amz-Content-Sha256": &s.payload,
	}
	kept := s.query[:0]
	for _, p := range s.query {
		if to := fields[p.name]; to != nil {
			if *to != "" || p.value == "" {
				return sigIncomplete("A query parameter of the signature is empty, or there more than once.")
			}
			*to = p.value
		}
		if p.name != "X-Amz-Signature" {
			kept = append(kept, p)
		}
	}
	s.query = kept
	if refusal := checkAlgorithm(algorithm); refusal != nil {
		return refusal
	}
	if credential == "" || signed == "" || s.signature == "" || s.date == "" {
		return sigIncomplete("AWS query-string parameters must include 'X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Signature', 'X-Amz-SignedHeaders' and 'X-Amz-Date'.")
	}
	seconds, err := strconv.ParseUint(expires, 10, 32)
	s.expires = time.Duration(seconds) * time.Second
	if err != nil || s.expires < time.Second || s.expires > maxExpires {
		return sigIncomplete("X-Amz-Expires must be between 1 and 604800 seconds.")
	}
	return s.check(credential, signed)
}

func checkAlgorithm(name string) *Refusal {
	switch name {
	case sigAlgorithm:
		return nil
	case sigAlgorithmA:
		return sigV4a
	}
	return sigIncomplete("The signing algorithm is not supported. Sign with " + sigAlgorithm + ".")
}

// check takes the credential and the list of headers apart.
func (s *sigV4) check(credential, signed string) *Refusal {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[4] != "aws4_request" {
		return sigIncomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/aws4_request.")
	}
	s.keyID, s.scopeDate, s.region, s.service = parts[0], parts[1], parts[2], parts[3]
	if len(s.signature) != hex.EncodedLen(sha256.Size) {
		return sigIncomplete("The signature is not 64 hex digits.")
	}
	if _, err := time.Parse(sigTime, s.date); err != nil {
		return sigIncomplete("X-Amz-Date must be in ISO-8601 'basic format'.")
	}
	s.signedHeaders = strings.Split(signed, ";")
	if len(s.signedHeaders) > maxSignedHeaders || !slices.IsSorted(s.signedHeaders) || len(slices.Compact(slices.Clone(s.signedHeaders))) != len(s.signedHeaders) {
		return sigIncomplete("SignedHeaders must be sorted, each of them once.")
	}
	if !slices.Contains(s.signedHeaders, "host") {
		return sigIncomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	switch {
	case strings.HasPrefix(s.payload, "STREAMING-"):
		return sigChunks
	case s.payload == "" || s.payload == unsignedPayload:
		return nil
	case len(s.payload) != hex.EncodedLen(sha256.Size) || strings.Trim(s.payload, "0123456789abcdef") != "":
		return sigIncomplete("x-amz-content-sha256 must be UNSIGNED-PAYLOAD or the hex of a SHA-256.")
	}
	return nil
}

// matches compares the signature with those that are right. There can be several, because
// signers differ in whether dot segments and doubled slashes of a path are resolved, and in
// whether parameters are sorted before they are encoded; each stands for the same call.
func (s *sigV4) matches(r *Request, secret tapway.Secret, payload string) *Refusal {
	if s.dropped(r.HTTP.Header["Connection"]) {
		return sigIncomplete("A signed header is named by Connection.")
	}
	headers, ok := s.canonicalHeaders(r.HTTP)
	if !ok {
		return sigIncomplete("A signed header is not there.")
	}
	key := signingKey(secret, s.scopeDate, s.region, s.service)
	tail := "\n" + headers + "\n" + strings.Join(s.signedHeaders, ";") + "\n" + payload
	valid, first := false, ""
	for _, path := range s.paths() {
		for _, query := range s.queries() {
			request := r.HTTP.Method + "\n" + path + "\n" + query + tail
			if first == "" {
				first = request
			}
			hashed := sha256.Sum256([]byte(request))
			toSign := sigAlgorithm + "\n" + s.date + "\n" + s.scopeDate + "/" + s.region + "/" + s.service + "/aws4_request\n" + hex.EncodeToString(hashed[:])
			if hmac.Equal([]byte(hex.EncodeToString(hmacSHA256(key, toSign))), []byte(s.signature)) {
				valid = true
			}
		}
	}
	if !valid {
		r.Because("the signature is wrong; the canonical request should have been %q", first)
		if r.facts != nil && slices.ContainsFunc(r.facts.Fidelity, func(word string) bool { return slices.Contains(unsigns, word) }) {
			return sigChanged
		}
		return sigWrong
	}
	return nil
}

// dropped reports whether Connection names a signed header: the proxy would take it out, and the backend get less than what
// was signed. Nobody needs to have signed Connection itself.
func (s *sigV4) dropped(connection []string) bool {
	for _, line := range connection {
		for token := range strings.SplitSeq(line, ",") {
			if slices.Contains(s.signedHeaders, strings.ToLower(strings.Trim(token, " \t"))) {
				return true
			}
		}
	}
	return false
}

func signingKey(secret tapway.Secret, date, region, service string) []byte {
	key := hmacSHA256([]byte("AWS4"+secret.Reveal()), date)
	return hmacSHA256(hmacSHA256(hmacSHA256(key, region), service), "aws4_request")
}

func hmacSHA256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// paths are the canonical forms of the path: what stands in the request line encoded once more,
// which only S3 leaves out.
func (s *sigV4) paths() (out []string) {
	for _, path := range []string{s.path, s.respelled} {
		switch {
		case path == "" && len(out) > 0:
		case s.service == "s3":
			out = append(out, path)
		default:
			out = appendNew(out, uriEncode(path, true))
			out = appendNew(out, uriEncode(collapse(resolveDots(collapse(path))), true))
		}
	}
	return out
}

// queries are the canonical forms of the query.
func (s *sigV4) queries() []string {
	type pair struct{ encoded, plain param }
	pairs := make([]pair, len(s.query))
	for i, p := range s.query {
		pairs[i] = pair{param{uriEncode(p.name, false), uriEncode(p.value, false)}, p}
	}
	join := func() string {
		var b strings.Builder
		for i, p := range pairs {
			if i > 0 {
				b.WriteByte('&')
			}
			b.WriteString(p.encoded.name + "=" + p.encoded.value)
		}
		return b.String()
	}
	slices.SortFunc(pairs, func(a, b pair) int { return compareParams(a.encoded, b.encoded) })
	out := []string{join()}
	slices.SortFunc(pairs, func(a, b pair) int { return compareParams(a.plain, b.plain) })
	return appendNew(out, join())
}

func compareParams(a, b param) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return strings.Compare(a.value, b.value)
}

// readQuery decodes a query. "+" is a blank, as nearly every backend has it: taken for a plus, a
// signed "%2B" could be changed into it on its way. What is not encoded well is refused.
func readQuery(raw string) ([]param, bool) {
	if raw == "" {
		return nil, true
	}
	var out []param
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		p, ok := param{}, false
		if p.name, ok = unescapeQuery(name); !ok {
			return nil, false
		}
		if p.value, ok = unescapeQuery(value); !ok || len(out) == maxParams {
			return nil, false
		}
		out = append(out, p)
	}
	return out, true
}

func unescapeQuery(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			hi, ok1 := unhex(s[i+1])
			lo, ok2 := unhex(s[i+2])
			if !ok1 || !ok2 {
				return "", false
			}
			b = append(b, hi<<4|lo)
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b), true
}

// uriEncode is AWS's UriEncode: everything but letters, digits and "-._~", and with path "/".
func uriEncode(s string, path bool) string {
	const upper = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+len(s)/2)
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~', path && c == '/':
			b = append(b, c)
		default:
			b = append(b, '%', upper[c>>4], upper[c&15])
		}
	}
	return string(b)
}

// canonicalHeaders writes the signed headers; ok is false if one is not there.
func (s *sigV4) canonicalHeaders(in *http.Request) (string, bool) {
	var b strings.Builder
	for _, name := range s.signedHeaders {
		if name == "" || strings.ToLower(name) != name {
			return "", false
		}
		values := in.Header[http.CanonicalHeaderKey(name)]
		switch { // what the server keeps apart from the other headers
		case name == "host":
			values = []string{in.Host}
		case name == "content-length" && in.ContentLength >= 0:
			values = []string{strconv.FormatInt(in.ContentLength, 10)}
		case name == "transfer-encoding" && len(in.TransferEncoding) > 0:
			values = in.TransferEncoding
		}
		if len(values) == 0 {
			return "", false
		}
		b.WriteString(name + ":")
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(squeeze(v))
		}
		b.WriteByte('\n')
	}
	return b.String(), true
}

// squeeze makes one blank of several and takes those at the ends away.
func squeeze(s string) string {
	s = strings.Trim(s, " \t")
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}
