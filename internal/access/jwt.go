package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// JWT is the decider of calls that prove themselves by a JSON Web Token, as API Gateway's JWT
// authorizer of HTTP APIs: signature, issuer, audience (or client_id), times, and scopes by route.
// It is stricter where that costs no honest client anything: exp must be there, no name may stand
// twice in a token, and neither "none" nor a shared secret is an algorithm.
type JWT struct {
	Default Auth // of calls whose rule says nothing
	Rules   *Rules

	Issuer     string
	Audience   []string
	Algorithms []string          // nil: all of Algorithms
	Types      []string          // "typ" in lower case; nil: JWT, at+jwt, and none
	Scopes     []string          // one of them is needed where no rule says otherwise; nil: none is
	Header     string            // that the token is in, with or without "Bearer "; "" is Authorization
	Leeway     time.Duration     // between clocks
	APIKey     string            // claim that holds the caller's API key, for Keys; "" is none
	Headers    map[string]string // to the backend: header and the claim it gets; nobody else may send them
	Keys       *Keyring

	once  sync.Once
	own   ownHeaders
	known tokenCache
}

func (*JWT) Phase() Phase { return Authentication }
func (*JWT) Name() string { return "jwt" }

// tokenRefusals by fault. They are made once: an attack is refused without allocating.
var tokenRefusals = func() map[tokenFault]*Refusal {
	all := map[tokenFault]*Refusal{}
	for _, fault := range tokenFaults {
		r := Unauthorized("jwt: " + strings.TrimPrefix(string(fault), "the "))
		if fault == tokenMissing {
			r.Reason = "jwt: token missing"
			r.Header = http.Header{"Www-Authenticate": {"Bearer"}} // without an error code (RFC 6750 §3.1)
		} else {
			r.Header = http.Header{"Www-Authenticate": {`Bearer scope="" error="invalid_token" error_description="` + string(fault) + `"`}}
		}
		all[fault] = r
	}
	return all
}()

// keysUnknown is the answer while the identity provider's keys cannot be had: the token may be
// right, so the client must not take it for wrong.
var keysUnknown = &Refusal{Status: http.StatusServiceUnavailable, Type: "ServiceUnavailableException", Body: unavailableBody, RetryAfter: retryKeys, Reason: "jwt: no keys of the identity provider"}

func (j *JWT) init() {
	j.once.Do(func() {
		j.own = newOwnHeaders(j.Headers)
		if j.Header == "" {
			j.Header = "Authorization"
		}
		j.Header = canonical(j.Header)
		if j.Algorithms == nil {
			j.Algorithms = Algorithms()
		}
		if j.Types == nil {
			j.Types = []string{"", "jwt", "at+jwt", "application/jwt", "application/at+jwt"}
		}
	})
}

func canonical(name string) string { return http.CanonicalHeaderKey(name) }

// Decide is Decider.
func (j *JWT) Decide(r *Request) *Refusal {
	j.init()
	j.own.strip(r)
	if !j.Rules.demands(r, j.Default, ByJWT) {
		r.Because("no token is asked for")
		return nil
	}
	token, fault := j.token(r.HTTP.Header)
	if fault != tokenFine {
		if r.Dry {
			r.Because("%s: %s", j.Header, fault)
		}
		return tokenRefusals[fault]
	}
	if r.Dry && !j.Keys.canFetch() && j.Keys.set.Load() == nil {
		return j.explainUnverified(r, token)
	}
	keys := j.Keys.keys(r.HTTP.Context(), r.Now)
	if keys == nil {
		if r.Dry {
			r.Because("the keys of %s cannot be had", j.Issuer)
		}
		return keysUnknown
	}
	v, fault := j.verify(r, token, keys)
	if fault != tokenFine {
		if r.Dry {
			r.Because("%s", fault)
		}
		return tokenRefusals[fault]
	}
	if refusal := j.scopes(r, v); refusal != nil {
		return refusal
	}
	j.tellKey(r, v)
	if r.Dry {
		r.Because("the token is valid until %s, with the scopes %q", v.expires.UTC().Format(time.RFC3339), strings.Join(v.scopes, " "))
		return nil
	}
	for _, h := range v.headers {
		r.header()[h.name] = h.value
	}
	return nil
}

// token finds the token of a call.
func (j *JWT) token(h http.Header) (string, tokenFault) {
	value, verdict := "", signatureMissing
	if lines := h[j.Header]; len(lines) > 0 {
		value, verdict = lines[0], signatureValid
		if len(lines) > 1 || len(value) > MaxToken {
			verdict = signatureMalformed
		}
	}
	if len(value) >= 7 && strings.EqualFold(value[:7], "Bearer ") {
		value = strings.TrimLeft(value[7:], " ")
	}
	switch {
	case verdict == signatureMalformed:
		return "", tokenMalformed
	case value == "" || strings.EqualFold(value, "Bearer"):
		return "", tokenMissing
	}
	return value, tokenFine
}

func (j *JWT) verify(r *Request, token string, keys *keySet) (*verified, tokenFault) {
	var room [4096]byte
	name := sha256.Sum256(append(room[:0], token...))
	v := j.known.get(name, r.Now)
	if v != nil && v.keys == keys.number {
		return v, v.judgeTime(r.Now, j.Leeway)
	}
	t, err := parseJWS(token)
	switch {
	case errors.Is(err, errCritical):
		return nil, tokenCritical
	case err != nil:
		return nil, tokenMalformed
	case !slices.Contains(j.Algorithms, t.alg):
		return nil, tokenAlgorithm
	case !slices.Contains(j.Types, strings.ToLower(t.typ)):
		return nil, tokenType
	}
	v, fault := j.claims(t.payload)
	if fault != tokenFine {
		return nil, fault
	}
	if fault = v.judgeTime(r.Now, j.Leeway); fault != tokenFine {
		return nil, fault // before anything that costs time, and before keys are looked for
	}
	key := keys.find(t)
	if key == nil {
		if keys = j.Keys.newer(r.HTTP.Context(), r.Now, keys); keys != nil {
			key = keys.find(t)
		}
	}
	switch {
	case key == nil:
		return nil, tokenKey
	case !key.verify(t):
		return nil, tokenSignature
	}
	v.keys = keys.number
	j.known.put(name, v, v.expires.Add(j.Leeway), r.Now)
	return v, tokenFine
}

// find gives the key that a token names, and without a name the only one that fits. A key that
// does not fit the algorithm is none.
func (s *keySet) find(t *jws) (found *jwk) {
	for i := range s.keys {
		k := &s.keys[i]
		if !k.fits(t.alg) || t.kid != "" && t.kid != k.kid {
			continue
		}
		if found != nil {
			return nil // which one is meant cannot be told
		}
		found = k
	}
	return found
}

// scopes asks every rule of the call for one of its scopes.
func (j *JWT) scopes(r *Request, v *verified) *Refusal {
	for _, rule := range j.Rules.of(r) {
		need := j.Scopes
		if rule.auth(j.Default) != ByJWT {
			continue
		}
		if rule != nil && rule.Scopes != nil {
			need = rule.Scopes
		}
		if len(need) > 0 && !slices.ContainsFunc(need, func(s string) bool { return slices.Contains(v.scopes, s) }) {
			r.Because("the token has the scopes %q, and one of %q is needed", strings.Join(v.scopes, " "), strings.Join(need, " "))
			f := Forbidden("jwt: scope")
			f.Header = http.Header{"Www-Authenticate": {`Bearer scope="` + strings.Join(need, " ") + `" error="insufficient_scope" error_description="the token does not have a required scope"`}}
			return f
		}
	}
	return nil
}

// tellKey gives the decider of API keys the one that the token holds.
func (j *JWT) tellKey(r *Request, v *verified) {
	if j.APIKey != "" {
		r.APIKey, r.Keyed = v.apiKey, true
	}
}

// explainUnverified judges all but the signature, for those who ask where no keys are fetched.
func (j *JWT) explainUnverified(r *Request, token string) *Refusal {
	t, err := parseJWS(token)
	fault := tokenMalformed
	v := new(verified)
	if err == nil {
		if v, fault = j.claims(t.payload); fault == tokenFine {
			fault = v.judgeTime(r.Now, j.Leeway)
		}
		if !slices.Contains(j.Algorithms, t.alg) {
			fault = tokenAlgorithm
		}
	}
	if fault != tokenFine {
		r.Because("%s", fault)
		return tokenRefusals[fault]
	}
	if refusal := j.scopes(r, v); refusal != nil {
		return refusal
	}
	j.tellKey(r, v)
	r.Because("what the token says is right; its signature is not checked here, because the keys are not fetched (--fetch-keys does)")
	return nil
}

// Tend is Tender: it refreshes the keys before calls need them.
func (j *JWT) Tend(ctx context.Context, now time.Time) { j.Keys.tend(ctx, now) }

// maxTokens is how many tokens one generation of the cache holds.
const maxTokens = 4096

// tokenCache knows tokens by their hash, so that a signature is verified once. It holds what was
// used lately: two generations, of which the older goes when the newer is full. The zero value is
// empty.
type tokenCache struct {
	mu       sync.Mutex
	new, old map[[sha256.Size]byte]cachedToken
}

type cachedToken struct {
	*verified
	until time.Time
}

func (c *tokenCache) get(name [sha256.Size]byte, now time.Time) *verified {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.new[name]
	if !ok {
		if t, ok = c.old[name]; !ok {
			return nil
		}
		delete(c.old, name)
		c.putLocked(name, t)
	}
	if !now.Before(t.until) {
		delete(c.new, name)
		return nil
	}
	return t.verified
}

func (c *tokenCache) put(name [sha256.Size]byte, v *verified, until, now time.Time) {
	if !now.Before(until) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(name, cachedToken{v, until})
}

func (c *tokenCache) putLocked(name [sha256.Size]byte, t cachedToken) {
	if c.new == nil || len(c.new) >= maxTokens {
		c.old, c.new = c.new, make(map[[sha256.Size]byte]cachedToken)
	}
	c.new[name] = t
}
