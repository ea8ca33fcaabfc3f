package tapway

import "slices"

// SecretHeaders are headers that hold what somebody could come in with, or a certificate or an
// assertion of who is calling: records do not have their values, and answers to calls that have
// them are not for everybody. A name that ends in "*" stands for all that begin so. Letter case
// does not count.
func SecretHeaders() []string { return slices.Clone(secretHeaders) }

// IdentityHeaders are headers by which proxies say who is calling: answers to such calls are not
// for everybody. They hold no secrets.
func IdentityHeaders() []string { return slices.Clone(identityHeaders) }

var secretHeaders = []string{
	"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie",
	"X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key",
	"X-Auth-Token", "X-Access-Token", "X-Session-Token", "X-Id-Token", "X-Csrf-Token", "X-Xsrf-Token", "X-Tapway-Secret",
	"X-Gitlab-Token", "Private-Token", "X-Vault-Token", "X-Amz-Security-Token",

	// Proxies that know the caller: AWS, Google, Cloudflare, Azure, oauth2-proxy.
	"X-Amzn-Oidc-Accesstoken", "X-Amzn-Oidc-Data", "X-Goog-Iap-Jwt-Assertion", "Cf-Access-Jwt-Assertion", "X-Ms-Token-*", "X-Auth-Request-*", "X-Forwarded-Access-Token",

	// Client certificates: AWS, Envoy, nginx, HAProxy, RFC 9440.
	"X-Amzn-Mtls-Clientcert*", "X-Forwarded-Client-Cert", "X-SSL-Client-*", "SSL-Client-*", "X-Client-Cert*", "Client-Cert*",
}

var identityHeaders = []string{
	"X-Amzn-Oidc-Identity", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Remote-User", "Remote-*",
	"X-Goog-Authenticated-User-*", "X-Ms-Client-Principal*", "Cf-Access-Authenticated-User-Email",
}
