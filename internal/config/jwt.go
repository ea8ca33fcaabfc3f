package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/tapway/tapway/internal/access"
)

// JWT is what is asked of JSON Web Tokens.
type JWT struct {
	Issuer         string            `yaml:"issuer" required:"true" example:"https://idp.example.com/" doc:"Who issues the tokens: iss, letter for letter. Without jwks its keys are found by OpenID Connect discovery."`
	Audience       []string          `yaml:"audience" required:"true" example:"my-api" doc:"Whom tokens are for: one of aud, or client_id where there is no aud."`
	Scopes         []string          `yaml:"scopes" doc:"A token needs one of these, in scope or scp, where no route says otherwise."`
	JWKS           string            `yaml:"jwks" example:"https://idp.example.com/keys" doc:"URL, or file, of the issuer's keys."`
	Algorithms     []string          `yaml:"algorithms" enum:"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA" doc:"Signatures that are accepted, if they fit the key as well; default all of these."`
	IdentitySource string            `yaml:"identity_source" def:"$request.header.Authorization" doc:"The header that the token is in, with or without Bearer before it."`
	Leeway         Duration          `yaml:"leeway" def:"30s" doc:"How far the issuer's clock may be from ours; at most 10m."`
	Headers        map[string]string `yaml:"headers" doc:"What the backend is told: header and the claim it gets. Texts and numbers as they are, the rest as JSON. What clients send under these names is taken away from every call."`
	APIKey         string            `yaml:"api_key" example:"usage_key" doc:"Claim that holds the caller's API key, as an authorizer's usageIdentifierKey in API Gateway: for calls with a token it counts in place of x-api-key."`
	Refresh        Duration          `yaml:"refresh" def:"1h" doc:"How often the keys are fetched anew. A token with an unknown key also makes tapway look, at most twice a minute."`
	Keep           Duration          `yaml:"keep" def:"24h" doc:"How long keys serve on while they cannot be fetched anew, counted from when they were fetched. They are kept in the data directory (on Lambda in /tmp), so that a restart does not need the issuer."`
}

// Header is the name of the header that the token is in.
func (j JWT) Header() string {
	name, ok := strings.CutPrefix(j.IdentitySource, "$request.header.")
	if !ok && strings.HasPrefix(j.IdentitySource, "$") {
		return ""
	}
	return name
}

// Source is where the keys are.
func (j JWT) Source() access.KeySource {
	s := access.KeySource{Issuer: j.Issuer}
	if strings.Contains(j.JWKS, "://") {
		s.URL = j.JWKS
	} else {
		s.File = j.JWKS
	}
	return s
}

func (k *checker) jwt(c *Config) {
	j := c.Access.JWT
	if j == nil {
		return
	}
	const key = "access.jwt"
	switch u, err := url.Parse(j.Issuer); {
	case k.failed(key+".issuer") || j.Issuer == "" || j.JWKS != "":
	case err != nil || u.RawQuery != "" || access.CheckKeyURL(j.Issuer) != nil:
		k.fail(key+".issuer", fmt.Sprintf("%q is not a URL by which keys could be found; it begins with https:// and has no query", j.Issuer), "set access.jwt.jwks as well if the issuer is just a name")
	}
	if j.JWKS != "" && !k.failed(key+".jwks") {
		err := error(nil)
		if strings.Contains(j.JWKS, "://") {
			err = access.CheckKeyURL(j.JWKS)
		} else {
			err = checkFile(j.JWKS)
		}
		if err != nil {
			k.fail(key+".jwks", err.Error(), "")
		}
	}
	if len(j.Audience) == 0 && !k.failed(key+".audience") {
		k.fail(key+".audience", "tokens for anybody would do", "name the API as the issuer knows it")
	}
	if slices.Contains(j.Audience, "") {
		k.fail(key+".audience", "an empty name is none", "")
	}
	if !k.failed(key+".identity_source") && !isHeaderName(j.Header()) {
		k.fail(key+".identity_source", fmt.Sprintf("%q is not a header", j.IdentitySource), "write $request.header.Authorization")
	}
	if j.Leeway.D() > maxLeeway.D() {
		k.fail(key+".leeway", fmt.Sprintf("%v is more than clocks differ", j.Leeway), "write at most 10m")
	}
	if j.Refresh == 0 || j.Keep < j.Refresh {
		k.fail(key+".keep", fmt.Sprintf("keys that are fetched every %v cannot be kept for %v", j.Refresh, j.Keep), "")
	}
	k.scopeNames(key+".scopes", j.Scopes)
	k.backendHeaders(c, key+".headers", j.Headers)
}

const maxLeeway = Duration(10 * 60 * 1e9)

func (k *checker) scopeNames(key string, scopes []string) {
	for i, s := range scopes {
		if !made(s, letters+"!#$%&'()*+,-./:;<=>?@[]^_`{|}~", 1, 1024) { // RFC 6749 §3.3
			k.fail(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("%q is not a scope", s), "")
		}
	}
}

// notForClaims are headers whose meaning is not for a claim to change.
var notForClaims = []string{
	"authorization", "connection", "content-length", "content-type", "content-encoding", "cookie", "expect", "forwarded", "host", "keep-alive",
	"proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
}

// backendHeaders tests headers by which the backend is told who is calling.
func (k *checker) backendHeaders(c *Config, key string, headers map[string]string) {
	seen := map[string]bool{}
	for name, value := range headers {
		lower := strings.ToLower(name)
		switch {
		case !isHeaderName(name) || strings.Contains(name, "_"):
			k.fail(key, fmt.Sprintf("%q is not a header name that all backends read alike", name), "use letters, digits and '-'")
		case slices.Contains(notForClaims, lower):
			k.fail(key, fmt.Sprintf("%q has a meaning of its own", name), "choose another name, such as X-User")
		case seen[lower]:
			k.fail(key, fmt.Sprintf("%q stands here twice", name), "")
		case value == "":
			k.fail(key, fmt.Sprintf("it is not said what %q gets", name), "")
		}
		seen[lower] = true
	}
	if len(headers) > 0 && c.Proxy.NoHeaders {
		k.fail(key, "proxy.no_headers keeps these from the backend, too", "remove one of them")
	}
}
