package access

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- some providers still sign with it; an HMAC does not suffer from SHA-1's collisions
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"

	"github.com/tapway/tapway"
)

// claim is what the headers of a call say of its signature.
type claim struct {
	before, after string // what is signed around the body
	unix          int64  // when it was signed, if timed
	timed         bool
	offers        []string // signatures, any of which will do
}

// scheme is a provider's way to sign: an HMAC of texts from headers and the body.
type scheme struct {
	read func(h http.Header, c *claim) signatureVerdict
	hash func() hash.Hash

	// encode writes a sum as the provider does. Texts are compared, not sums: a text that is read
	// leniently would have several that are right.
	encode   func(sum []byte) string
	anyCase  bool // of hex
	withTime bool
}

func (s *scheme) timed() bool { return s.withTime }

func (s *scheme) sum(key []byte, c *claim, body []byte) string {
	mac := hmac.New(s.hash, key)
	mac.Write([]byte(c.before))
	mac.Write(body)
	mac.Write([]byte(c.after))
	return s.encode(mac.Sum(nil))
}

func (s *scheme) matches(want, offer string) bool {
	return hmac.Equal([]byte(offer), []byte(want)) || s.anyCase && hmac.Equal([]byte(offer), []byte(strings.ToUpper(want)))
}

// maxOffers is how many signatures a call may have: as many as a provider has secrets at once.
const maxOffers = 16

// maxSigned is the length of what is signed around a body, and of a list of signatures.
const maxSigned = 4096

// one gives the value of a header that stands there once.
func one(h http.Header, name string) (string, signatureVerdict) {
	switch lines := h[name]; {
	case len(lines) == 0 || len(lines) == 1 && lines[0] == "":
		return "", signatureMissing
	case len(lines) > 1 || len(lines[0]) > maxSigned:
		return "", signatureMalformed
	default:
		return lines[0], signatureValid
	}
}

// readUnix reads seconds since 1970. There is one way to write them.
func readUnix(text string) (int64, bool) {
	if text == "" || len(text) > 12 || text[0] == '0' || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

func newScheme(provider string, o HMAC) (scheme, error) {
	s := scheme{hash: sha256.New, encode: hex.EncodeToString}
	switch provider {
	case "github":
		s.read = readGitHub
	case "standard":
		s.read, s.encode, s.withTime = readStandard, base64.StdEncoding.EncodeToString, true
	case "stripe":
		s.read, s.withTime = readStripe, true
	case "slack":
		s.read, s.withTime = readSlack, true
	case "hmac":
		return newHMAC(o)
	default:
		return s, fmt.Errorf("%q is no provider; write github, standard, stripe, slack or hmac", provider)
	}
	return s, nil
}

// readGitHub: X-Hub-Signature-256 is "sha256=" and the hex of the body's HMAC. The older
// X-Hub-Signature is not asked for.
func readGitHub(h http.Header, c *claim) signatureVerdict {
	value, verdict := one(h, "X-Hub-Signature-256")
	if verdict != signatureValid {
		return verdict
	}
	offer, ok := strings.CutPrefix(value, "sha256=")
	if !ok || len(offer) != hex.EncodedLen(sha256.Size) {
		return signatureMalformed
	}
	c.offers = []string{offer}
	return signatureValid
}

// readStandard: Standard Webhooks 1.0.0, also with the header names that Svix had before it. "v1,"
// and the base64 of the HMAC of "id.timestamp.body", several with spaces between; other versions
// are not asked.
func readStandard(h http.Header, c *claim) signatureVerdict {
	prefix := "Webhook-"
	if len(h["Webhook-Id"])+len(h["Webhook-Timestamp"])+len(h["Webhook-Signature"]) == 0 {
		prefix = "Svix-"
	}
	id, verdict := one(h, prefix+"Id")
	if verdict != signatureValid {
		return verdict
	}
	at, verdict := one(h, prefix+"Timestamp")
	if verdict != signatureValid {
		return verdict
	}
	list, verdict := one(h, prefix+"Signature")
	if verdict != signatureValid {
		return verdict
	}
	unix, ok := readUnix(at)
	if !ok || strings.Contains(id, ".") || strings.Count(list, " ") >= maxOffers { // a dot would let the id end elsewhere
		return signatureMalformed
	}
	for part := range strings.SplitSeq(list, " ") {
		if offer, ok := strings.CutPrefix(part, "v1,"); ok {
			c.offers = append(c.offers, offer)
		}
	}
	if len(c.offers) == 0 {
		return signatureMalformed
	}
	c.before, c.unix, c.timed = id+"."+at+".", unix, true
	return signatureValid
}

// readStripe: Stripe-Signature is "t=…,v1=…", with one v1 for every secret in force: the hex of
// the HMAC of "t.body". v0 is for tests and not asked.
func readStripe(h http.Header, c *claim) signatureVerdict {
	value, verdict := one(h, "Stripe-Signature")
	if verdict != signatureValid {
		return verdict
	}
	at := ""
	if strings.Count(value, ",") > maxOffers {
		return signatureMalformed
	}
	for part := range strings.SplitSeq(value, ",") {
		name, v, ok := strings.Cut(part, "=")
		switch {
		case !ok || name == "t" && at != "":
			return signatureMalformed
		case name == "t":
			at = v
		case name == "v1":
			c.offers = append(c.offers, v)
		}
	}
	unix, ok := readUnix(at)
	if !ok || len(c.offers) == 0 {
		return signatureMalformed
	}
	c.before, c.unix, c.timed = at+".", unix, true
	return signatureValid
}

// readSlack: X-Slack-Signature is "v0=" and the hex of the HMAC of "v0:timestamp:body".
func readSlack(h http.Header, c *claim) signatureVerdict {
	value, verdict := one(h, "X-Slack-Signature")
	if verdict != signatureValid {
		return verdict
	}
	at, verdict := one(h, "X-Slack-Request-Timestamp")
	if verdict != signatureValid {
		return verdict
	}
	offer, ok := strings.CutPrefix(value, "v0=")
	unix, timed := readUnix(at)
	if !ok || !timed {
		return signatureMalformed
	}
	c.offers, c.before, c.unix, c.timed = []string{offer}, "v0:"+at+":", unix, true
	return signatureValid
}

// HMAC describes the signatures of a provider that has no name here.
type HMAC struct {
	Header    string // that the signature stands in
	Algorithm string // "sha256" (""), "sha1" or "sha512"
	Encoding  string // "hex" (""), "base64" or "base64url"
	Prefix    string // before the signature in the header, such as "sha256="

	// TimestampHeader holds seconds since 1970; "" when no time is signed.
	TimestampHeader string

	// Template is what is signed: text with {body} once, {timestamp}, and {header:NAME}. "" is
	// "{body}", with a TimestampHeader "{timestamp}.{body}".
	Template string
}

// piece is a part of a template: a text, or the header of that name.
type piece struct{ text, header string }

func newHMAC(o HMAC) (scheme, error) {
	s := scheme{withTime: o.TimestampHeader != ""}
	switch o.Algorithm {
	case "", "sha256":
		s.hash = sha256.New
	case "sha1":
		s.hash = sha1.New
	case "sha512":
		s.hash = sha512.New
	default:
		return s, fmt.Errorf("%q is no algorithm; write sha256, sha1 or sha512", o.Algorithm)
	}
	switch o.Encoding {
	case "", "hex":
		s.encode, s.anyCase = hex.EncodeToString, true
	case "base64":
		s.encode = base64.StdEncoding.EncodeToString
	case "base64url":
		s.encode = base64.RawURLEncoding.EncodeToString
	default:
		return s, fmt.Errorf("%q is no encoding; write hex, base64 or base64url", o.Encoding)
	}
	if o.Header == "" {
		return s, errors.New("it is not said which header has the signature; set header")
	}
	if o.Template == "" {
		o.Template = "{body}"
		if s.withTime {
			o.Template = "{timestamp}.{body}"
		}
	}
	before, after, err := parseTemplate(o.Template, http.CanonicalHeaderKey(o.TimestampHeader))
	if err != nil {
		return s, err
	}
	header, timestamp := http.CanonicalHeaderKey(o.Header), http.CanonicalHeaderKey(o.TimestampHeader)
	s.read = func(h http.Header, c *claim) signatureVerdict {
		value, verdict := one(h, header)
		if verdict != signatureValid {
			return verdict
		}
		offer, ok := strings.CutPrefix(value, o.Prefix)
		if !ok {
			return signatureMalformed
		}
		c.offers = []string{offer}
		if timestamp != "" {
			at, verdict := one(h, timestamp)
			if verdict != signatureValid {
				return verdict
			}
			if c.unix, c.timed = readUnix(at); !c.timed {
				return signatureMalformed
			}
		}
		if c.before, verdict = fill(before, h); verdict == signatureValid {
			c.after, verdict = fill(after, h)
		}
		return verdict
	}
	return s, nil
}

func fill(pieces []piece, h http.Header) (string, signatureVerdict) {
	var b strings.Builder
	for _, p := range pieces {
		text := p.text
		if p.header != "" {
			var verdict signatureVerdict
			if text, verdict = one(h, p.header); verdict != signatureValid {
				return "", verdict
			}
		}
		b.WriteString(text)
	}
	return b.String(), signatureValid
}

// parseTemplate gives what stands before and behind {body}.
func parseTemplate(template, timestamp string) (before, after []piece, err error) {
	bodies, times, last := 0, 0, false
	add := func(p piece) {
		if bodies == 0 {
			before = append(before, p)
		} else {
			after = append(after, p)
		}
		if last && p.header != "" {
			err = fmt.Errorf("%q joins two headers with nothing between, so that one could take from the other", template)
		}
		last = p.header != ""
	}
	for rest := template; rest != ""; {
		text, inner, open := strings.Cut(rest, "{")
		if text != "" {
			add(piece{text: text})
		}
		if !open {
			break
		}
		word, more, closed := strings.Cut(inner, "}")
		name, isHeader := strings.CutPrefix(word, "header:")
		switch {
		case !closed:
			return nil, nil, fmt.Errorf("%q: a { is not closed", template)
		case word == "body":
			bodies, last = bodies+1, false
		case word == "timestamp" && timestamp != "":
			times++
			add(piece{header: timestamp})
		case word == "timestamp":
			return nil, nil, fmt.Errorf("%q: there is no timestamp_header", template)
		case isHeader && name != "":
			add(piece{header: http.CanonicalHeaderKey(name)})
		default:
			return nil, nil, fmt.Errorf("%q: {%s} is not known; write {body}, {timestamp} or {header:NAME}", template, word)
		}
		rest = more
	}
	switch {
	case err != nil:
	case bodies != 1:
		err = fmt.Errorf("%q has to hold {body} once", template)
	case timestamp != "" && times == 0:
		err = fmt.Errorf("%q does not hold {timestamp}: a time that is not signed can be changed", template)
	}
	return before, after, err
}

// minSecret is the length of the shortest secret that is taken.
const minSecret = 8

// secretKey is the key that a provider's secret stands for.
func secretKey(provider string, secret tapway.Secret) ([]byte, error) {
	text := secret.Reveal()
	if len(text) < minSecret {
		return nil, fmt.Errorf("it has %d characters, which can be guessed; take at least %d", len(text), minSecret)
	}
	encoded, ok := strings.CutPrefix(text, "whsec_")
	if provider != "standard" || !ok { // Stripe's begin so as well, but stand for themselves
		if provider == "standard" && (strings.HasPrefix(text, "whpk_") || strings.HasPrefix(text, "whsk_")) {
			return nil, errors.New("it is an ed25519 key; only symmetric secrets (whsec_) are supported")
		}
		return []byte(text), nil
	}
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil || len(key) < minSecret {
		return nil, errors.New("what follows whsec_ is not the base64 of a key")
	}
	return key, nil
}
