package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tapway/tapway"
)

// key is what an answer is found by: a digest, so that long keys cost no memory.
type key [sha256.Size]byte

// maxKey is how long what goes into a key may be; longer calls are not for the cache.
const maxKey = 16 << 10

// material collects what goes into a key. Every part has its length before it, so that no two
// calls give the same bytes by where one part ends.
type material []byte

func (m *material) add(s string) {
	*m = binary.AppendUvarint(*m, uint64(len(s)))
	*m = append(*m, s...)
}

func (m *material) lines(name string, lines []string) {
	m.add(name)
	*m = binary.AppendUvarint(*m, uint64(len(lines)))
	for _, l := range lines {
		m.add(l)
	}
}

func (m material) sum() key { return sha256.Sum256(m) }

// credentials are headers that say who is calling; credentialPrefixes are what the names of more begin with.
var credentials, credentialPrefixes = func() (names map[string]bool, prefixes []string) {
	names = map[string]bool{}
	for _, name := range slices.Concat(tapway.SecretHeaders(), tapway.IdentityHeaders()) {
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			prefixes = append(prefixes, http.CanonicalHeaderKey(prefix))
		} else {
			names[http.CanonicalHeaderKey(name)] = true
		}
	}
	return names, prefixes
}()

// credential reports whether a header, by its canonical name, says who is calling.
func credential(name string) bool {
	if credentials[name] {
		return true
	}
	for _, p := range credentialPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// turning are headers that make some backends and frameworks see another host, path or method
// than the request line has. They are in every key: an answer that they have turned is for those
// only who send the same.
var turning = map[string]bool{
	"X-Rewrite-Url": true, "X-Host": true, "X-Scheme": true, "X-Url-Scheme": true, "X-Script-Name": true, "X-Replaced-Path": true, "X-Envoy-Original-Path": true,
	"X-Method-Override": true, "X-Host-Override": true, "X-Waws-Unencoded-Url": true, "Front-End-Https": true, "X-Wap-Profile": true,
	"X-Requested-With": true, "X-Middleware-Prefetch": true, "X-Nextjs-Data": true, "Rsc": true, "Next-Router-Prefetch": true, "Next-Router-State-Tree": true,
	"X-Invoke-Path": true, "X-Invoke-Status": true, "X-Invoke-Query": true, "Purpose": true,

	// Backends answer these, too, and often without the Vary that should say so.
	"Accept": true, "Origin": true,
}

// turningFamilies are how further ones begin. X-Forwarded-For is none: it is a chain of addresses,
// which the proxy writes itself.
var turningFamilies = [...]string{"X-Forwarded-", "X-Original-", "X-Http-Method", "X-Http-Host"}

func isTurning(name string) bool {
	if turning[name] {
		return true
	}
	for _, family := range turningFamilies {
		if strings.HasPrefix(name, family) {
			return name != "X-Forwarded-For" && name != "X-Original-Forwarded-For"
		}
	}
	return false
}

// ofAddress are headers by which a proxy tells where a call came from. What a client sends there
// is not what the backend sees, so an answer that differs by them is for nobody else.
var ofAddress = map[string]bool{
	"X-Forwarded-For": true, "Forwarded": true, "X-Real-Ip": true, "X-Client-Ip": true, "X-Cluster-Client-Ip": true, "True-Client-Ip": true,
	"Cf-Connecting-Ip": true, "Cf-Connecting-Ipv6": true, "Fastly-Client-Ip": true, "X-Original-Forwarded-For": true, "Via": true,
}

// found is what a look through a request's headers has found.
type found struct {
	credentials []string // names, sorted
	turning     []string
	uncovered   bool // a credential that the rule's key does not have
}

// look goes through the headers. CGI and WSGI backends take X_Forwarded_Host for
// X-Forwarded-Host, and so does it: whatever has a "_" in its name counts, since the answer may be one to the header that it is
// taken for.
func look(r *http.Request, rule *Rule, more []string, query string) (f found) {
	for name := range r.Header {
		plain := name
		if strings.IndexByte(name, '_') >= 0 {
			plain = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		}
		switch {
		case credential(plain) || slices.Contains(more, plain):
			f.credentials = append(f.credentials, name)
			f.uncovered = f.uncovered || !slices.Contains(rule.Headers, name)
		case isTurning(plain) || plain != name || plain == "Forwarded" && turns(r.Header[name]):
			f.turning = append(f.turning, name)
		}
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		f.uncovered = true
	}
	if !rule.Whole && signed(query, rule.Query) {
		f.uncovered = true
	}
	slices.Sort(f.credentials)
	slices.Sort(f.turning)
	return f
}

// signing are parameters that say who is calling, without "_" and "-". Redaction has most of them, too.
var signing = map[string]bool{
	"xamzsignature": true, "xamzcredential": true, "xamzsecuritytoken": true, "awsaccesskeyid": true, "xgoogsignature": true, "xgoogcredential": true,
	"accesstoken": true, "refreshtoken": true, "idtoken": true, "authtoken": true, "sessiontoken": true, "oauthtoken": true, "bearertoken": true, "usertoken": true, "token": true, "idtokenhint": true,
	"apikey": true, "xapikey": true, "subscriptionkey": true, "privatekey": true, "key": true, "sig": true, "signature": true, "jwt": true, "auth": true, "authorization": true,
	"session": true, "sessionid": true, "sid": true, "jsessionid": true, "phpsessid": true, "password": true, "passwd": true, "pwd": true, "secret": true, "clientsecret": true,
}

// plainName is a name in small letters without what parts its words.
var plainName = strings.NewReplacer("_", "", "-", "")

// signed reports whether a query says who is calling, in a parameter that is not among those of the key.
func signed(query string, keyed []string) bool {
	for one := range strings.FieldsFuncSeq(query, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(one, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		if slices.ContainsFunc(keyed, func(n string) bool { return strings.EqualFold(n, name) }) {
			continue
		}
		for part := range strings.FieldsFuncSeq(strings.ToLower(name), func(c rune) bool { return c == '[' || c == ']' || c == '.' || c <= ' ' }) {
			if signing[plainName.Replace(part)] {
				return true
			}
		}
	}
	return false
}

// turns reports whether a Forwarded header says more than who is calling.
func turns(lines []string) bool {
	for _, l := range lines {
		l = strings.ToLower(l)
		if strings.Contains(l, "host") || strings.Contains(l, "proto") {
			return true
		}
	}
	return false
}

// keyOf makes the key of a call; ok is false when it would be too long.
func keyOf(r *http.Request, rule *Rule, f *found, path, query string, hasQuery bool) (k key, ok bool) {
	var room [512]byte
	m := material(room[:0])
	m.add(schemeOf(r))
	m.add(hostOf(r))
	m.add(path)
	if rule.Whole {
		if hasQuery {
			m.add("?")
		}
		m.add(query)
	} else {
		chosen(&m, rule.Query, query)
		m.add("") // no parameter is empty: here they end
	}
	for _, name := range rule.Headers {
		m.lines(name, r.Header[name])
	}
	for _, name := range f.turning {
		m.lines(name, r.Header[name])
	}
	if rule.Callers == Separate {
		m.add("callers")
		for _, name := range f.credentials {
			m.lines(name, r.Header[name])
		}
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			sum := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
			m.add(string(sum[:]))
		}
		if !rule.Whole && signed(query, rule.Query) {
			m.add(query)
		}
	}
	if len(m) > maxKey {
		return k, false
	}
	return m.sum(), true
}

// turningQuery are parameters that make frameworks see another method or wrap the answer in what
// the client says. They count whatever a rule's list has.
var turningQuery = []string{"_method", "x-http-method-override", "callback", "jsonp"}

// chosen adds the parameters whose names are in the key, each as it was sent. A backend may
// decode a name once more, part parameters at ";", not mind letter case, or have "_" for what a
// variable's name cannot hold (PHP): whatever it could take for one of the names counts.
func chosen(m *material, names []string, query string) {
	for one := range strings.FieldsFuncSeq(query, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(one, "=")
		decoded, err := url.QueryUnescape(name)
		mangled := mangle(decoded)
		same := func(n string) bool {
			return strings.EqualFold(n, trimName(decoded)) || strings.EqualFold(mangle(n), mangled)
		}
		if err != nil || strings.IndexByte(decoded, '%') >= 0 || slices.ContainsFunc(names, same) || slices.ContainsFunc(turningQuery, same) {
			m.add(one)
		}
	}
}

// mangle is what PHP makes of a parameter's name, up to where a list or a map begins.
func mangle(s string) string {
	s = strings.TrimLeft(s, " ")
	if end := strings.IndexByte(s, 0); end >= 0 {
		s = s[:end]
	}
	if open := strings.IndexByte(s, '['); open >= 0 && strings.IndexByte(s[open:], ']') >= 0 {
		s = s[:open]
	}
	return strings.Map(func(r rune) rune {
		if r == '.' || r == ' ' || r == '[' {
			return '_'
		}
		return r
	}, s)
}

// trimName is a parameter's name without what makes it a list or a map ("id[]", "id[x]").
func trimName(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "[")
	return s
}

// variant is the key of one of several answers that differ by what Vary names.
func variant(k key, names []string, h http.Header) key {
	var room [256]byte
	m := append(material(room[:0]), k[:]...)
	for _, name := range names {
		m.lines(name, h[name])
	}
	return m.sum()
}
