package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAccessProblems: rules that could not be kept are told, with the place.
func TestAccessProblems(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	broken := file("broken.json", "{\"Version\": \"2012-10-17\",\n \"Statement\": [{\"Effect\": \"Perhaps\"}]}")
	staged := file("staged.json", `{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/prod/GET/*"}}`)
	const key = "value: 0123456789abcdefghij"
	for _, tt := range []struct{ name, access, want string }{
		{"policy", "resource_policy: " + broken, broken + `:2:27: access.resource_policy: "Perhaps" is no Effect; write "Allow" or "Deny"`},
		{"stage", "resource_policy: " + staged, `tapway.yaml:2:27: access.resource_policy: the policy's resources name the API stage "prod", and it is not said which one this gateway is; set access.api_stage: prod`},
		{"no policy", "resource_policy: nowhere.json", `access.resource_policy: cannot be read`},
		{"PROXY of nobody", "proxy_protocol: true", `access.proxy_protocol: nobody is trusted to send a PROXY header; name the proxies in access.trusted_proxies`},
		{"header", "client_address: x-real-ip", `access.client_address: "x-real-ip" is not one of x-forwarded-for, forwarded`},
		{"method", "methods: [GET, post]", `access.methods[1]: methods are in capitals, and "post" is another than "POST"; write POST`},
		{"any method", "methods: ANY", `access.methods[0]: "ANY" is not a method; leave access.methods out to pass all on`},
		{"short key", "api_keys: [{name: a, value: short}]", `access.api_keys[0].value: an API key has 20 to 128 characters, this one has 5`},
		{"key with a space", "api_keys: [{name: a, value: 0123456789 0123456789}]", `character 11 of the API key cannot stand in a header`},
		{"same key", "api_keys: [{name: a, " + key + "}, {name: b, " + key + "}]", `access.api_keys[1].value: a key above has the same value`},
		{"same name", "api_keys: [{name: a, " + key + "}, {name: a, " + key + "x}]", `access.api_keys[1].name: "a" is taken by a key above`},
		{"plan", "{usage_plans: [{name: gold}], api_keys: [{name: a, " + key + ", plan: glod}]}", `access.api_keys[0].plan: there is no usage plan "glod"; did you mean "gold"?`},
		{"plan twice", "usage_plans: [{name: gold}, {name: gold}]", `access.usage_plans[1].name: "gold" is taken by a plan above`},
		{"burst alone", "usage_plans: [{name: gold, burst: 3}]", `access.usage_plans[0].burst: a burst without a rate bounds nothing`},
		{"rate of nothing", "usage_plans: [{name: gold, rate: 0}]", `access.usage_plans[0]: 0 calls per second is not a rate`},
		{"period", "usage_plans: [{name: gold, quota: {limit: 1, period: HOUR}}]", `access.usage_plans[0].quota.period: "HOUR" is not one of DAY, WEEK, MONTH`},
		{"offset", "usage_plans: [{name: gold, quota: {limit: 1, period: WEEK, offset: 7}}]", `access.usage_plans[0].quota: an offset of 7 is not in a WEEK; write 0 to 6`},
		{"limit", "usage_plans: [{name: gold, quota: {limit: 0, period: DAY}}]", `a limit of 0 lets nothing pass`},
		{"plan's route", "usage_plans: [{name: gold, routes: [{match: users, rate: 1}]}]", `access.usage_plans[0].routes[0].match`},
		{"throttle", "throttle: {rate: 1000001}", `access.throttle: 1.000001e+06 calls per second is not a rate`},
		{"no rate", "throttle: {burst: 5}", `access.throttle.rate: this key is missing`},
		{"webhook's provider", "webhook: {provider: gitlab, secret: a-shared-secret}", `access.webhook.provider: "gitlab" is not one of github, standard, stripe, slack, hmac`},
		{"webhook without a secret", "webhook: {provider: github}", `access.webhook.secret: this key is missing`},
		{"webhook's short secret", "webhook: {provider: github, secret: short}", `access.webhook: secret 1: it has 5 characters`},
		{"webhook's addresses", "webhook: {provider: github, secret: a-shared-secret, addresses: gitlab-hooks}", `access.webhook.addresses[0]: "gitlab-hooks" is neither an address nor a network`},
		{"webhook's template", "webhook: {provider: github, secret: a-shared-secret, template: '{body}'}", `access.webhook.template: only provider hmac can be told how it signs; remove it, or write provider: hmac`},
		{"hmac without a header", "webhook: {provider: hmac, secret: a-shared-secret}", `access.webhook: it is not said which header has the signature; set header`},
		{"replays without a time", "webhook: {provider: github, secret: a-shared-secret, replays: refuse}", `access.webhook: what github signs has no time`},
		{"window", "webhook: {provider: slack, secret: a-shared-secret, window: 61m}", `access.webhook: a window of 1h1m0s is none`},
		{"route's webhook", "routes: [{match: POST /hooks, webhook: {provider: github, secret: short}}]", `access.routes[0].webhook: secret 1`},
		{"authorization of nothing", "authorization: webhook", `access.authorization: webhook is asked for, and there is no access.webhook`},
		{"route's authorization of nothing", "routes: [{match: POST /hooks, authorization: webhook}]", `access.routes[0].authorization: webhook is asked for`},
		{"token without an audience", "jwt: {issuer: https://idp.example.com/}", `access.jwt.audience: this key is missing`},
		{"token for anybody", "jwt: {issuer: https://idp.example.com/, audience: []}", `access.jwt.audience: tokens for anybody would do`},
		{"issuer without TLS", "jwt: {issuer: http://idp.example.com/, audience: api}", `access.jwt.issuer: "http://idp.example.com/" is not a URL by which keys could be found`},
		{"keys without TLS", "jwt: {issuer: idp, audience: api, jwks: 'http://idp.example.com/'}", `access.jwt.jwks: "http://idp.example.com/" is not https://`},
		{"keys' file", "jwt: {issuer: idp, audience: api, jwks: nowhere.json}", `access.jwt.jwks: cannot be read`},
		{"algorithm", "jwt: {issuer: https://idp.example.com/, audience: api, algorithms: [HS256]}", `access.jwt.algorithms[0]: "HS256" is not one of RS256`},
		{"identity source", "jwt: {issuer: https://idp.example.com/, audience: api, identity_source: $request.querystring.token}", `access.jwt.identity_source: "$request.querystring.token" is not a header; write $request.header.Authorization`},
		{"claim's header", "jwt: {issuer: https://idp.example.com/, audience: api, headers: {host: sub}}", `access.jwt.headers: "host" has a meaning of its own`},
		{"claim's ambiguous header", "jwt: {issuer: https://idp.example.com/, audience: api, headers: {X_User: sub}}", `access.jwt.headers: "X_User" is not a header name that all backends read alike`},
		{"leeway", "jwt: {issuer: https://idp.example.com/, audience: api, leeway: 11m}", `access.jwt.leeway: 11m0s is more than clocks differ`},
		{"keep", "jwt: {issuer: https://idp.example.com/, audience: api, keep: 30m}", `access.jwt.keep: keys that are fetched every 1h0m0s cannot be kept for 30m0s`},
		{"scope", "{jwt: {issuer: https://idp.example.com/, audience: api}, routes: [{match: GET /x, scopes: [a b]}]}", `access.routes[0].scopes[0]: "a b" is not a scope`},
		{"scopes without tokens", "routes: [{match: GET /x, scopes: a}]", `access.routes[0].scopes: jwt is asked for, and there is no access.jwt`},
		{"scopes of another", "{jwt: {issuer: https://idp.example.com/, audience: api}, routes: [{match: GET /x, scopes: a, authorization: none}]}", `access.routes[0].scopes: only tokens have scopes`},
		{"two ways", "{jwt: {issuer: https://idp.example.com/, audience: api}, webhook: {provider: github, secret: a-shared-secret}}", `access: there are jwt and webhook, and it is not said which of them a call needs; set access.authorization`},
		{"nobody signs", "iam: {credentials: []}", `access.iam.credentials: nobody can sign a call`},
		{"secret that can be guessed", "iam: {credentials: [{name: a, access_key_id: AKIDA, secret_access_key: short}]}", `access.iam.credentials[0].secret_access_key: it has 5 characters`},
		{"access key id", "iam: {credentials: [{name: a, access_key_id: A/B/C, secret_access_key: a-secret-of-sixteen}]}", `access.iam.credentials[0].access_key_id: "A/B/C" is not an access key id`},
		{"access key id twice", "iam: {credentials: [{name: a, access_key_id: AKID, secret_access_key: a-secret-of-sixteen}, {name: b, access_key_id: AKID, secret_access_key: a-secret-of-sixteen}]}", `access.iam.credentials[1].access_key_id: "AKID" is taken by a credential above`},
		{"skew", "iam: {skew: 16m, credentials: [{name: a, access_key_id: AKID, secret_access_key: a-secret-of-sixteen}]}", `access.iam.skew: 16m0s is no time that clocks differ`},
		{"signer's route", "iam: {credentials: [{name: a, access_key_id: AKID, secret_access_key: a-secret-of-sixteen, routes: [pets]}]}", `access.iam.credentials[0].routes[0]`},
		{"certificates of nobody", "client_certificate: {subjects: CN=a}", `access.client_certificate: nobody is asked for a certificate; set tls.client_ca`},
		{"body", "{max_body: 2MiB, body_memory: 1MiB}", `access.body_memory: 1MiB is less than one body may have (access.max_body is 2MiB)`},
		{"route", "routes: [{match: GET users}]", `access.routes[0].match`},
		{"route's throttle", "routes: [{match: GET /users, throttle: {rate: 0}}]", `access.routes[0].throttle: 0 calls per second is not a rate`},
	} {
		text := "backend: http://a\naccess: {" + tt.access + "}\n"
		if strings.HasPrefix(tt.access, "{") {
			text = "backend: http://a\naccess: " + tt.access + "\n"
		}
		_, err := load(text)
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got  %v\nwant %s", tt.name, err, tt.want)
		}
		if strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%s: the key is in the error: %v", tt.name, err)
		}
	}
	if _, err := load("backend: http://a\nlimits: {connection_rate: 2000000}\n"); err == nil || !strings.Contains(err.Error(), "limits.connection_rate: 2e+06 calls per second is not a rate") {
		t.Errorf("connection rate: %v", err)
	}
	if _, err := load("backend: http://a\naccess: {resource_policy: " + staged + ", api_stage: prod}\n"); err != nil {
		t.Error(err)
	}
}

// TestKeyRequired: keys and plans make a key required unless it is said otherwise.
func TestKeyRequired(t *testing.T) {
	for text, want := range map[string]bool{
		"{}":                            false,
		"{api_key: required}":           true,
		"{usage_plans: [{name: gold}]}": true,
		"{api_keys: [{name: a, value: 0123456789abcdefghij}]}": true,
		"{api_key: off, usage_plans: [{name: gold}]}":          false,
	} {
		c, err := load("backend: http://a\naccess: " + text + "\n")
		if err != nil || c.Access.KeyRequired() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	c, err := load("backend: http://a\naccess: {usage_plans: [{name: a}, {name: b, rate: 1}], throttle: {rate: 2}, routes: [{match: /x}, {match: /y, throttle: {rate: 3}}]}\n")
	if err != nil || strings.Join(c.Access.Counts(), " ") != "access.usage_plans[1] access.throttle access.routes[1].throttle" {
		t.Errorf("%v %v", c.Access.Counts(), err)
	}
}
