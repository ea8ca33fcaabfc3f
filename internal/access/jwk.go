package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// jwk is a public key of an identity provider (RFC 7517).
type jwk struct {
	kid    string
	alg    string // "" is any that its kind fits
	public crypto.PublicKey
}

const (
	maxKeySet = 512 << 10 // bytes of a set
	maxKeys   = 100       // of a set; further ones are not looked at
	minRSA    = 2048      // bits (RFC 7518 §3.3)
	maxRSA    = 8192      // bits: verifying takes time that a stranger could make us spend
)

// parseKeys reads a set of keys. Those that are not for signatures, or of kinds that are not known
// here, are left out, as RFC 7517 §5 has it.
func parseKeys(text []byte) ([]jwk, error) {
	fields, err := strictObject(text)
	if err != nil {
		return nil, errors.New("it is no JSON object, or a name stands in it twice")
	}
	var list []json.RawMessage
	if err := json.Unmarshal(fields["keys"], &list); err != nil {
		return nil, errors.New("it has no list under \"keys\"")
	}
	var keys []jwk
	for _, one := range list {
		if k, ok := parseKey(one); ok && len(keys) < maxKeys {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of its %d keys can verify a signature", len(list))
	}
	return keys, nil
}

func parseKey(text json.RawMessage) (k jwk, ok bool) {
	fields, err := strictObject(text)
	if err != nil {
		return k, false
	}
	var f struct{ kty, use, crv, n, e, x, y string }
	for name, to := range map[string]*string{
		"kty": &f.kty, "use": &f.use, "crv": &f.crv, "n": &f.n, "e": &f.e, "x": &f.x, "y": &f.y, "kid": &k.kid, "alg": &k.alg,
	} {
		if raw, there := fields[name]; there && !isString(raw, to) {
			return k, false
		}
	}
	if f.use != "" && f.use != "sig" || len(k.kid) > maxKid {
		return k, false
	}
	if raw, there := fields["key_ops"]; there {
		var ops []string
		if json.Unmarshal(raw, &ops) != nil || !slices.Contains(ops, "verify") {
			return k, false
		}
	}
	switch f.kty {
	case "RSA":
		k.public, ok = rsaKey(f.n, f.e)
	case "EC":
		k.public, ok = ecKey(f.crv, f.x, f.y)
	case "OKP":
		x, decoded := decodePart(f.x)
		ok = decoded && f.crv == "Ed25519" && len(x) == ed25519.PublicKeySize
		k.public = ed25519.PublicKey(x)
	}
	return k, ok
}

func rsaKey(n, e string) (*rsa.PublicKey, bool) {
	modulus, ok := decodePart(n)
	exponent, ok2 := decodePart(e)
	if !ok || !ok2 || len(exponent) > 4 {
		return nil, false
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(new(big.Int).SetBytes(exponent).Int64())}
	bits := key.N.BitLen()
	return key, bits >= minRSA && bits <= maxRSA && key.N.Bit(0) == 1 && key.E >= 3 && key.E < 1<<31 && key.E%2 == 1
}

func ecKey(crv, x, y string) (*ecdsa.PublicKey, bool) {
	var curve elliptic.Curve
	switch crv {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil, false
	}
	a, ok := decodePart(x)
	b, ok2 := decodePart(y)
	if size := (curve.Params().BitSize + 7) / 8; !ok || !ok2 || len(a) != size || len(b) != size {
		return nil, false
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, a...), b...)) // tells whether it is on the curve
	return key, err == nil
}
