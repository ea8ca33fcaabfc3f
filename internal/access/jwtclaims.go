package access

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
)

// tokenFault is what is wrong with a token, as the client is told in WWW-Authenticate.
type tokenFault string

// AWS documents the text for the audience; the others are worded alike.
const (
	tokenFine        tokenFault = ""
	tokenMissing     tokenFault = "missing"
	tokenMalformed   tokenFault = "the token is malformed"
	tokenCritical    tokenFault = "the token has critical extensions"
	tokenType        tokenFault = "the token is of another type"
	tokenAlgorithm   tokenFault = "the token's algorithm is not allowed"
	tokenKey         tokenFault = "the token's key is not known"
	tokenSignature   tokenFault = "the token's signature is invalid"
	tokenIssuer      tokenFault = "the token does not have a valid issuer"
	tokenAudience    tokenFault = "the token does not have a valid audience"
	tokenNoExpiry    tokenFault = "the token does not expire"
	tokenExpired     tokenFault = "the token has expired"
	tokenNotYet      tokenFault = "the token is not valid yet"
	tokenFromFuture  tokenFault = "the token was issued in the future"
	tokenUnspeakable tokenFault = "a claim of the token cannot stand in a header"
)

// maxHeaderClaims is how many bytes of claims go to the backend.
const maxHeaderClaims = 64 << 10

var tokenFaults = []tokenFault{
	tokenMissing, tokenMalformed, tokenCritical, tokenType, tokenAlgorithm, tokenKey, tokenSignature, tokenIssuer,
	tokenAudience, tokenNoExpiry, tokenExpired, tokenNotYet, tokenFromFuture, tokenUnspeakable,
}

// verified is what is known of a token that is right but for the time.
type verified struct {
	expires, notBefore, issued time.Time // notBefore and issued are zero when they are not there
	scopes                     []string
	headers                    []headerClaim
	apiKey                     string
	keys                       uint64 // number of the key set
}

type headerClaim struct {
	name  string
	value []string
}

// claims reads and checks what a token says, all but the time.
func (j *JWT) claims(payload []byte) (*verified, tokenFault) {
	fields, err := strictObject(payload)
	if err != nil {
		return nil, tokenMalformed
	}
	var issuer string
	if !isString(fields["iss"], &issuer) || issuer != j.Issuer {
		return nil, tokenIssuer
	}
	if !j.meantFor(fields) {
		return nil, tokenAudience
	}
	v := new(verified)
	var ok bool
	if raw, there := fields["exp"]; !there {
		return nil, tokenNoExpiry
	} else if v.expires, ok = numericDate(raw); !ok {
		return nil, tokenMalformed
	}
	for name, to := range map[string]*time.Time{"nbf": &v.notBefore, "iat": &v.issued} {
		if raw, there := fields[name]; there {
			if *to, ok = numericDate(raw); !ok {
				return nil, tokenMalformed
			}
		}
	}
	for _, name := range [...]string{"scope", "scp"} {
		list, ok := words(fields[name])
		if !ok {
			return nil, tokenMalformed
		}
		v.scopes = append(v.scopes, list...)
	}
	if raw, there := fields[j.APIKey]; there && j.APIKey != "" && !isString(raw, &v.apiKey) {
		return nil, tokenMalformed
	}
	return v, j.headerClaims(v, fields)
}

// meantFor asks for aud, and for client_id only where there is none, as API Gateway does.
func (j *JWT) meantFor(fields map[string]json.RawMessage) bool {
	raw, there := fields["aud"]
	if !there {
		var client string
		return isString(fields["client_id"], &client) && slices.Contains(j.Audience, client)
	}
	var one string
	if isString(raw, &one) {
		return slices.Contains(j.Audience, one)
	}
	var list []string
	return json.Unmarshal(raw, &list) == nil && slices.ContainsFunc(list, func(aud string) bool { return slices.Contains(j.Audience, aud) })
}

// numericDate reads seconds since 1970 (RFC 7519 §2), which may have fractions.
func numericDate(raw json.RawMessage) (time.Time, bool) {
	var n float64
	if len(raw) == 0 || raw[0] == 'n' || json.Unmarshal(raw, &n) != nil || n < 0 || n > 1e11 || n != n {
		return time.Time{}, false
	}
	whole, part := math.Modf(n)
	return time.Unix(int64(whole), int64(part*1e9)), true
}

// words are those of a text, or a list of texts; nothing has none.
func words(raw json.RawMessage) ([]string, bool) {
	var text string
	var list []string
	switch {
	case len(raw) == 0:
		return nil, true
	case isString(raw, &text):
		return strings.Fields(text), true
	}
	return list, json.Unmarshal(raw, &list) == nil && raw[0] == '['
}

// headerClaims writes down what the backend is told. Texts and numbers are sent as they are,
// everything else as JSON.
func (j *JWT) headerClaims(v *verified, fields map[string]json.RawMessage) tokenFault {
	total := 0
	for header, claim := range j.Headers {
		raw, there := fields[claim]
		if !there || string(raw) == "null" {
			continue
		}
		var text string
		if !isString(raw, &text) {
			var b bytes.Buffer
			if json.Compact(&b, raw) != nil {
				return tokenMalformed
			}
			text = b.String()
		}
		if total += len(text); !fieldValue(text) || total > maxHeaderClaims {
			return tokenUnspeakable
		}
		v.headers = append(v.headers, headerClaim{canonical(header), []string{text}})
	}
	return tokenFine
}

// judgeTime says whether a token is valid now.
func (v *verified) judgeTime(now time.Time, leeway time.Duration) tokenFault {
	switch {
	case !now.Before(v.expires.Add(leeway)):
		return tokenExpired
	case now.Before(v.notBefore.Add(-leeway)):
		return tokenNotYet
	case now.Before(v.issued.Add(-leeway)):
		return tokenFromFuture
	}
	return tokenFine
}
