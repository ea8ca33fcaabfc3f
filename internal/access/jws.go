package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384 and SHA512
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"
)

// algorithm is a way to sign a token (RFC 7518 §3.1, RFC 8037 §3.1).
type algorithm struct {
	hash  crypto.Hash
	pss   bool
	curve elliptic.Curve // with EC keys
	size  int            // bytes of a coordinate, with EC keys
	kty   string
}

// algorithms are those that can be allowed. "none" and the symmetric ones are not among them: a
// public key that is taken for a shared secret lets everybody sign.
var algorithms = map[string]algorithm{
	"RS256": {hash: crypto.SHA256, kty: "RSA"},
	"RS384": {hash: crypto.SHA384, kty: "RSA"},
	"RS512": {hash: crypto.SHA512, kty: "RSA"},
	"PS256": {hash: crypto.SHA256, kty: "RSA", pss: true},
	"PS384": {hash: crypto.SHA384, kty: "RSA", pss: true},
	"PS512": {hash: crypto.SHA512, kty: "RSA", pss: true},
	"ES256": {hash: crypto.SHA256, kty: "EC", curve: elliptic.P256(), size: 32},
	"ES384": {hash: crypto.SHA384, kty: "EC", curve: elliptic.P384(), size: 48},
	"ES512": {hash: crypto.SHA512, kty: "EC", curve: elliptic.P521(), size: 66},
	"EdDSA": {kty: "OKP"},
}

// Algorithms are the names of the signature algorithms that tokens can have.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// jws is a token in the compact form (RFC 7515 §7.1), not verified.
type jws struct {
	alg, kid, typ string
	signed        string // what the signature is of
	payload       []byte
	signature     []byte
}

// MaxToken is the length of the longest token that is looked at, in bytes.
const MaxToken = 16 << 10

// maxKid is the length of the longest name of a key.
const maxKid = 256

// errToken is that of a token that is none. What exactly is wrong helps nobody but an attacker.
var errToken = errors.New("malformed token")

var errCritical = errors.New("token with critical extensions")

// parseJWS takes a token apart. Nothing in its header but alg, kid and typ is followed: a key or
// an address of keys that a token brings along (jwk, jku, x5c, x5u) proves nothing.
func parseJWS(token string) (*jws, error) {
	head, rest, ok := strings.Cut(token, ".")
	body, tail, ok2 := strings.Cut(rest, ".")
	if len(token) > MaxToken || !ok || !ok2 || strings.IndexByte(tail, '.') >= 0 {
		return nil, errToken
	}
	t := &jws{signed: token[:len(head)+1+len(body)]}
	header, ok := decodePart(head)
	fields, err := strictObject(header)
	if !ok || err != nil {
		return nil, errToken
	}
	if _, critical := fields["crit"]; critical {
		return nil, errCritical // none is understood here (RFC 7515 §4.1.11)
	}
	if _, unencoded := fields["b64"]; unencoded {
		return nil, errCritical // RFC 7797
	}
	for name, to := range map[string]*string{"alg": &t.alg, "kid": &t.kid, "typ": &t.typ} {
		if raw, there := fields[name]; there && !isString(raw, to) {
			return nil, errToken
		}
	}
	if t.payload, ok = decodePart(body); !ok || t.alg == "" || len(t.kid) > maxKid {
		return nil, errToken
	}
	if t.signature, ok = decodePart(tail); !ok || len(t.signature) == 0 {
		return nil, errToken
	}
	return t, nil
}

// strictBase64 has one text for each value, so that no bit of a token can change unnoticed.
var strictBase64 = base64.RawURLEncoding.Strict()

func decodePart(text string) ([]byte, bool) {
	if strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, false
	}
	out, err := strictBase64.DecodeString(text)
	return out, err == nil && len(out) > 0
}

func isString(raw json.RawMessage, to *string) bool {
	return len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, to) == nil
}

// maxDepth is how deep objects and arrays of a token or a key set may stand within each other.
const maxDepth = 16

// strictObject reads a JSON object in which no name stands twice, at any depth: two readers of it
// could take a different one. Names are compared as they are, not in any letter case.
func strictObject(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errToken
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	if err := walk(dec, 0); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errToken
	}
	var out map[string]json.RawMessage
	if err := json.Unmarshal(data, &out); err != nil || out == nil {
		return nil, errToken
	}
	return out, nil
}

func walk(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil || depth > maxDepth {
		return errToken
	}
	open, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	var seen []string
	for dec.More() {
		if open == '{' {
			name, err := dec.Token()
			text, ok := name.(string)
			if err != nil || !ok || slices.Contains(seen, text) {
				return errToken
			}
			if seen = append(seen, text); len(seen) > 1000 {
				return errToken
			}
		}
		if err := walk(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// fits reports whether a key may verify a token's algorithm: its kind, its curve, and what it
// says of itself.
func (k *jwk) fits(alg string) bool {
	a, known := algorithms[alg]
	if !known || k.alg != "" && k.alg != alg {
		return false
	}
	switch key := k.public.(type) {
	case *rsa.PublicKey:
		return a.kty == "RSA"
	case *ecdsa.PublicKey:
		return a.kty == "EC" && key.Curve == a.curve
	case ed25519.PublicKey:
		return a.kty == "OKP"
	}
	return false
}

// verify reports whether the signature is that of the key. The key fits.
func (k *jwk) verify(t *jws) bool {
	a := algorithms[t.alg]
	if a.kty == "OKP" {
		return ed25519.Verify(k.public.(ed25519.PublicKey), []byte(t.signed), t.signature)
	}
	h := a.hash.New()
	h.Write([]byte(t.signed))
	digest := h.Sum(nil)
	switch key := k.public.(type) {
	case *rsa.PublicKey:
		if a.pss {
			return rsa.VerifyPSS(key, a.hash, digest, t.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(key, a.hash, digest, t.signature) == nil
	case *ecdsa.PublicKey:
		if len(t.signature) != 2*a.size { // R and S, not ASN.1 (RFC 7518 §3.4)
			return false
		}
		r, s := new(big.Int).SetBytes(t.signature[:a.size]), new(big.Int).SetBytes(t.signature[a.size:])
		return ecdsa.Verify(key, digest, r, s)
	}
	return false
}
