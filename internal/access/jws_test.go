package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
)

// Tokens and keys of RFC 7515 appendix A and RFC 8037 appendix A.
const (
	rfcPayload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

	rfcRSA      = `{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}`
	rfcRSAToken = "eyJhbGciOiJSUzI1NiJ9." + rfcPayload + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"

	rfcEC      = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	rfcECToken = "eyJhbGciOiJFUzI1NiJ9." + rfcPayload + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

	rfcEd      = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	rfcEdToken = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

	rfcHMACToken = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + rfcPayload + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	rfcNoneToken = "eyJhbGciOiJub25lIn0." + rfcPayload + "."
)

func TestJWSVectors(t *testing.T) {
	for _, tt := range []struct{ name, key, token string }{
		{"RFC 7515 A.2", rfcRSA, rfcRSAToken}, {"RFC 7515 A.3", rfcEC, rfcECToken}, {"RFC 8037 A.4", rfcEd, rfcEdToken},
	} {
		k, ok := parseKey(json.RawMessage(tt.key))
		token, err := parseJWS(tt.token)
		if !ok || err != nil {
			t.Fatalf("%s: key %v, token %v", tt.name, ok, err)
		}
		if !k.fits(token.alg) || !k.verify(token) {
			t.Errorf("%s: not verified", tt.name)
		}
		for i := range 8 * len(token.signature) {
			token.signature[i/8] ^= 1 << (i % 8)
			if k.verify(token) {
				t.Fatalf("%s: verified with bit %d flipped", tt.name, i)
			}
			token.signature[i/8] ^= 1 << (i % 8)
			if tt.key == rfcRSA && i > 256 {
				break
			}
		}
	}
	if token, err := parseJWS(rfcHMACToken); err != nil || algorithms[token.alg].kty != "" {
		t.Errorf("HS256: %v", err)
	}
	if _, err := parseJWS(rfcNoneToken); err == nil {
		t.Error("a token without a signature was read")
	}
}

// signers are one of each kind; making RSA keys takes time.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	out := map[string]crypto.Signer{}
	out["RSA"], _ = rsa.GenerateKey(rand.Reader, 2048)
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		out[name], _ = ecdsa.GenerateKey(curve, rand.Reader)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	out["Ed25519"] = ed
	return out
})

// signerOf is the one for an algorithm.
func signerOf(alg string) crypto.Signer {
	switch alg {
	case "ES256":
		return signers()["P-256"]
	case "ES384":
		return signers()["P-384"]
	case "ES512":
		return signers()["P-521"]
	case "EdDSA":
		return signers()["Ed25519"]
	}
	return signers()["RSA"]
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// keyText is a public key as a provider publishes it.
func keyText(s crypto.Signer, kid, more string) string {
	if kid != "" {
		more += `,"kid":"` + kid + `"`
	}
	switch k := s.Public().(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf(`{"kty":"RSA","n":%q,"e":%q%s}`, b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes()), more)
	case *ecdsa.PublicKey:
		point, _ := k.Bytes()
		size := (len(point) - 1) / 2
		return fmt.Sprintf(`{"kty":"EC","crv":%q,"x":%q,"y":%q%s}`, k.Curve.Params().Name, b64(point[1:1+size]), b64(point[1+size:]), more)
	case ed25519.PublicKey:
		return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q%s}`, b64(k), more)
	}
	panic("unknown key")
}

// mint makes a token out of texts.
func mint(alg, header, payload string) string {
	text := b64([]byte(header)) + "." + b64([]byte(payload))
	s := signerOf(alg)
	a := algorithms[alg]
	var sig []byte
	if alg == "EdDSA" {
		sig = ed25519.Sign(s.(ed25519.PrivateKey), []byte(text))
		return text + "." + b64(sig)
	}
	if strings.HasPrefix(alg, "HS") {
		mac := hmac.New(sha256.New, []byte(keyText(s, "", "")))
		mac.Write([]byte(text))
		return text + "." + b64(mac.Sum(nil))
	}
	h := a.hash.New()
	h.Write([]byte(text))
	digest := h.Sum(nil)
	switch k := s.(type) {
	case *rsa.PrivateKey:
		if a.pss {
			sig, _ = rsa.SignPSS(rand.Reader, k, a.hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, _ = rsa.SignPKCS1v15(rand.Reader, k, a.hash, digest)
		}
	case *ecdsa.PrivateKey:
		r, ss, _ := ecdsa.Sign(rand.Reader, k, digest)
		sig = append(r.FillBytes(make([]byte, a.size)), ss.FillBytes(make([]byte, a.size))...)
	}
	return text + "." + b64(sig)
}

func TestParseKey(t *testing.T) {
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	ec := signers()["P-256"]
	for name, text := range map[string]string{
		"for encryption":  keyText(ec, "a", `,"use":"enc"`),
		"for signing":     keyText(ec, "a", `,"key_ops":["sign"]`),
		"shared":          `{"kty":"oct","k":"AAAA"}`,
		"unknown kind":    `{"kty":"AKP"}`,
		"short RSA":       keyText(small, "a", ""),
		"even exponent":   strings.Replace(rfcRSA, "AQAB", "AQAA", 1),
		"exponent 1":      strings.Replace(rfcRSA, "AQAB", "AQ", 1),
		"long exponent":   strings.Replace(rfcRSA, "AQAB", "AQAAAAAB", 1),
		"not on curve":    strings.Replace(rfcEC, "x_FE", "x_FF", 1),
		"other curve":     strings.Replace(rfcEC, "P-256", "P-384", 1),
		"no curve":        strings.Replace(rfcEC, "P-256", "secp256k1", 1),
		"X25519":          strings.Replace(rfcEd, "Ed25519", "X25519", 1),
		"short Ed25519":   `{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`,
		"padded":          strings.Replace(rfcEd, "HURo", "HURo=", 1),
		"name twice":      strings.Replace(rfcEd, `"x"`, `"kty":"OKP","x"`, 1),
		"kid of a number": strings.Replace(rfcEd, `"x"`, `"kid":1,"x"`, 1),
		"long kid":        keyText(ec, strings.Repeat("k", 257), ""),
	} {
		if k, ok := parseKey(json.RawMessage(text)); ok {
			t.Errorf("%s was taken as %T", name, k.public)
		}
	}
	for name, text := range map[string]string{
		"plain": rfcEd, "for signatures": keyText(ec, "a", `,"use":"sig","key_ops":["verify"],"x5t":"?"`), "longest kid": keyText(ec, strings.Repeat("k", 256), ""),
	} {
		if _, ok := parseKey(json.RawMessage(text)); !ok {
			t.Errorf("%s was not taken", name)
		}
	}
	if _, err := parseKeys([]byte(`{"keys":[` + strings.Repeat(rfcEd+",", 200) + rfcEd + `]}`)); err != nil {
		t.Errorf("many keys: %v", err)
	}
	for _, text := range []string{`{}`, `{"keys":[]}`, `{"keys":[{"kty":"oct"}]}`, `[]`, ``, `{"keys":[` + rfcEd + `],"keys":[]}`} {
		if keys, err := parseKeys([]byte(text)); err == nil {
			t.Errorf("%s has keys: %v", text, keys)
		}
	}
}

// TestFits: no key verifies an algorithm of another kind or curve.
func TestFits(t *testing.T) {
	for name, s := range signers() {
		k, ok := parseKey(json.RawMessage(keyText(s, "", "")))
		if !ok {
			t.Fatal(name)
		}
		for _, alg := range append(Algorithms(), "none", "HS256", "") {
			if want := algorithms[alg].kty != "" && keyText(signerOf(alg), "", "") == keyText(s, "", ""); k.fits(alg) != want {
				t.Errorf("%s and %q: %v", name, alg, !want)
			}
		}
		k.alg = "ES999"
		if k.fits("RS256") || k.fits("EdDSA") || k.fits("ES256") || k.fits("ES999") {
			t.Errorf("%s fits although it says it is for something else", name)
		}
	}
}

func TestStrictObject(t *testing.T) {
	deep := strings.Repeat(`{"a":`, maxDepth) + "1" + strings.Repeat("}", maxDepth)
	for _, ok := range []string{`{}`, `{"a":1,"A":2}`, `{"a":{"b":1},"c":{"b":1}}`, `{"a":[{"b":1},{"b":2}]}`, deep} {
		if _, err := strictObject([]byte(ok)); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range []string{``, `null`, `[]`, `1`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":[{"b":1,"b":2}]}`, `{"a":1}{}`, `{"a":1} x`, `{"a":1,}`, "{\"a\":\"\xff\"}", `{"a":` + deep + `}`, `{"a"`} {
		if _, err := strictObject([]byte(bad)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func FuzzJWS(f *testing.F) {
	for _, seed := range []string{rfcRSAToken, rfcECToken, rfcEdToken, rfcHMACToken, rfcNoneToken, "..", "a.b.c", "e30.e30.e30"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		parsed, err := parseJWS(token)
		if err != nil {
			return
		}
		// What was read is what stands there: there is one text for it.
		if again := token[:strings.IndexByte(token, '.')] + "." + b64(parsed.payload) + "." + b64(parsed.signature); again != token {
			t.Errorf("%q is read as %q", token, again)
		}
		for _, text := range []string{rfcEC, rfcEd} {
			k, _ := parseKey(json.RawMessage(text))
			if k.fits(parsed.alg) && k.verify(parsed) && token != rfcECToken && token != rfcEdToken {
				t.Errorf("%q is verified", token)
			}
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[` + rfcEd + `,` + rfcEC + `,` + rfcRSA + `]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys(text)
		if err == nil && (len(keys) == 0 || len(keys) > maxKeys) {
			t.Errorf("%d keys", len(keys))
		}
		for i := range keys {
			keys[i].fits("RS256")
		}
	})
}
