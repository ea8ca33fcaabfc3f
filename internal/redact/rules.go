package redact

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapway/tapway"
)

// Rules say what must not be recorded. The zero value redacts nothing.
//
// Names match in any letter case, parameter names after percent-decoding. In Query and Form a
// rule also matches a part of a composed name: "password" matches user[password] and
// user.password.
type Rules struct {
	Headers []string // whole values of header and trailer lines, in both directions; "X-Auth-*" is every name that begins so, "_" is "-"
	Cookies []string // values of these cookies in Cookie and Set-Cookie; for all of them name the headers
	Query   []string // parameters of the query and the path (;name=…), and of URLs in any header and in bodies of text, fragments too
	Path    []string // path parameters of the route, without braces
	Form    []string // fields of urlencoded and multipart bodies, of XML and of plain text

	// JSON holds RFC 9535 JSONPaths; filters are not supported. They are case-sensitive as the RFC
	// has it, but the paths that Defaults lists match in any letter case. Paths of the form
	// $..name reach into strings that hold JSON, GraphQL, forms or settings (a=b) of their own, and into members that are a name and a
	// value ({"name":"password","value":"x"}, RFC 6902), which the RFC does not. A name shorter than
	// five bytes slows the search down for all bodies, one shorter than three, or a path
	// without any name, has every JSON body parsed. In XML and plain text the last names of each path
	// count by themselves, in any letter case.
	JSON []string

	// Key, if set, replaces values by tokens such as [REDACTED:3f9a1c07], the first eight hex digits of
	// their HMAC-SHA256: equal values have equal tokens wherever they stand, so that two
	// records can be joined. Use 32 random bytes: a guessable key makes values guessable.
	Key tapway.Secret

	// MaxDecoded is up to how many bytes a compressed body is decoded to be looked at; a larger
	// one is withheld. 0 means 32 MiB.
	MaxDecoded int64
}

const defaultMaxDecoded = 32 << 20

// tokenNames are credentials wherever a name can stand: query, form or JSON.
var tokenNames = []string{
	"password", "passwd", "passphrase", "secret", "client_secret", "clientSecret",
	"token", "access_token", "accessToken", "refresh_token", "refreshToken", "id_token", "idToken",
	"auth_token", "authToken", "session_token", "sessionToken", "api_key", "apiKey",
	"private_key", "privateKey", "client_assertion", "code_verifier",
	"access-token", "refresh-token", "auth-token", "client-secret", "api-key", "x-api-key", "private-key",
	"oauth_token", "oauth_token_secret", "oauth_signature", "oauth_verifier", "device_code", "subject_token", "actor_token",
	"id_token_hint", "logout_token", "registration_access_token", "bot_access_token", "bearer_token", "bearerToken", "security_token", "securityToken",
	"csrf_token", "csrfToken", "authenticity_token", "csrfmiddlewaretoken", "consumer_secret", "consumerSecret", "app_secret", "appSecret", "appsecret_proof",
	"webhook_secret", "webhookSecret", "signing_secret", "signingSecret", "shared_secret", "sharedSecret", "user_password", "userPassword", "db_password", "dbPassword",
	"passcode", "SAMLResponse", "SecretString",
}

// jsonPaths are the paths whose names match in any letter case.
var jsonPaths = makeJSONPaths()

func makeJSONPaths() []string {
	names := append(slices.Clone(tokenNames),
		"current_password", "currentPassword", "new_password", "newPassword", "old_password", "oldPassword",
		"password_confirmation", "passwordConfirmation", "confirm_password", "confirmPassword",
		"secret_key", "secretKey", "secret_access_key", "secretAccessKey", "signing_key", "signingKey", "encryption_key", "encryptionKey",
		"connection_string", "connectionString", "authorization", "proxy-authorization", "cookie", "set-cookie", "x-amz-security-token", "x-auth-token", "x-access-token")
	for i, name := range names {
		if strings.Contains(name, "-") {
			names[i] = "$..['" + name + "']"
		} else {
			names[i] = "$.." + name
		}
	}
	return names
}

// Defaults are the names that hold credentials almost everywhere: the usual authentication headers and
// all cookies, passwords, tokens and keys by their common names, signatures of presigned
// URLs (AWS, Azure, Google), and "key", which is the API key of every Google API.
//
// Left out on purpose: the query parameter "code" (an OAuth code is good for one use within a
// minute and useless without the client's secret, and the name is common for harmless things),
// "state", and three-letter JSON names such as "pwd" and "pin" (see Rules.JSON).
func Defaults() Rules {
	return Rules{
		Headers: tapway.SecretHeaders(),
		Query: append(slices.Clone(tokenNames), "key", "sig", "signature", "pwd", "auth", "authorization", "jwt", "sessionid", "session_id", "jsessionid", "phpsessid",
			"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "X-Goog-Signature", "X-Goog-Credential", "AWSAccessKeyId"),
		Form: append(slices.Clone(tokenNames), "pwd", "assertion", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token",
			"new_password", "old_password", "current_password", "password_confirmation", "confirm_password"),
		JSON: slices.Clone(jsonPaths),
	}
}

// Merge gives the rules of both; other's Key and MaxDecoded count where they are set.
func (r Rules) Merge(other Rules) Rules {
	out := Rules{
		Headers:    union(r.Headers, other.Headers, strings.EqualFold),
		Cookies:    union(r.Cookies, other.Cookies, strings.EqualFold),
		Query:      union(r.Query, other.Query, strings.EqualFold),
		Path:       union(r.Path, other.Path, strings.EqualFold),
		Form:       union(r.Form, other.Form, strings.EqualFold),
		JSON:       union(r.JSON, other.JSON, func(a, b string) bool { return a == b }),
		Key:        r.Key,
		MaxDecoded: r.MaxDecoded,
	}
	if other.Key != "" {
		out.Key = other.Key
	}
	if other.MaxDecoded != 0 {
		out.MaxDecoded = other.MaxDecoded
	}
	return out
}

func union(a, b []string, same func(a, b string) bool) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.ContainsFunc(out, func(t string) bool { return same(s, t) }) {
			out = append(out, s)
		}
	}
	return out
}

// RuleError says which rule cannot be used, and where in it the trouble is.
type RuleError struct {
	List   string // "headers", "cookies", "query", "path", "form" or "json"
	Index  int    // in that list
	Rule   string
	Column int // in characters, from 1
	Reason string
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("redact %s[%d] %q: column %d: %s", e.List, e.Index, e.Rule, e.Column, e.Reason)
}

// New prepares the rules. Its error is an errors.Join of one *RuleError for every rule that cannot
// be used.
func New(rules Rules) (*Redactor, error) {
	var errs []error
	for _, list := range []struct {
		kind  string
		names []string
		token bool // only the characters that header and cookie names have (RFC 9110 §5.6.2)
	}{
		{"headers", rules.Headers, true}, {"cookies", rules.Cookies, true}, {"query", rules.Query, false},
		{"path", rules.Path, false}, {"form", rules.Form, false},
	} {
		for i, name := range list.names {
			if column, reason := checkName(name, list.token); reason != "" {
				errs = append(errs, &RuleError{list.kind, i, name, column, reason})
			}
		}
	}
	var paths []path
	for i, text := range rules.JSON {
		p, err := parsePath(text, slices.Contains(jsonPaths, text))
		if err != nil {
			errs = append(errs, &RuleError{"json", i, text, err.column, err.msg})
			continue
		}
		paths = append(paths, p)
	}
	if rules.MaxDecoded < 0 {
		errs = append(errs, fmt.Errorf("redact: MaxDecoded %d is less than 0", rules.MaxDecoded))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if rules.MaxDecoded == 0 {
		rules.MaxDecoded = defaultMaxDecoded
	}
	return &Redactor{
		headers:    newHeaderSet(rules.Headers),
		cookies:    newNameSet(rules.Cookies),
		query:      newNameSet(rules.Query),
		path:       newNameSet(rules.Path),
		form:       newNameSet(rules.Form),
		formSearch: newSearch(rules.Form, false),
		json:       newProgram(paths),
		fields:     newFieldNames(rules.Form, paths),
		mark:       newMarker(rules.Key),
		maxDecoded: rules.MaxDecoded,
		on:         len(rules.Headers)+len(rules.Cookies)+len(rules.Query)+len(rules.Path)+len(rules.Form)+len(paths) > 0,
		urls:       len(rules.Query)+len(paths) > 0,
	}, nil
}

// checkName gives the reason why a name cannot be a rule, "" when it can.
func checkName(name string, token bool) (column int, reason string) {
	if name == "" {
		return 1, "an empty name matches nothing"
	}
	if !token {
		return 0, ""
	}
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return i + 1, fmt.Sprintf("%q cannot stand in such a name", c)
		}
	}
	return 0, ""
}
