package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
)

// IAM is what is asked of calls signed with AWS Signature Version 4.
type IAM struct {
	Credentials     []IAMCredential `yaml:"credentials" required:"true" doc:"Who may sign, and with what. Secrets of AWS's own users are known to AWS alone: for those let API Gateway verify calls."`
	Region          string          `yaml:"region" example:"eu-west-1" doc:"Region that signatures have to be scoped to; default any."`
	Service         string          `yaml:"service" def:"execute-api" doc:"Service that signatures have to be scoped to."`
	Skew            Duration        `yaml:"skew" def:"5m" doc:"How far a caller's clock may be from ours; at most 15m."`
	UnsignedPayload bool            `yaml:"unsigned_payload" doc:"Accept UNSIGNED-PAYLOAD. Whoever is in between could then change the body."`
	Header          string          `yaml:"header" example:"X-Caller" doc:"Header by which the backend is told the credential's name. What clients send under it is taken away from every call."`
}

// IAMCredential is what a caller signs with.
type IAMCredential struct {
	Name            string        `yaml:"name" required:"true" example:"partner" doc:"Whose it is; letters, digits, '-', '_', '.'."`
	AccessKeyID     string        `yaml:"access_key_id" required:"true" example:"AKIDEXAMPLE" doc:"Its public part, up to 128 letters, digits and '_'."`
	SecretAccessKey tapway.Secret `yaml:"secret_access_key" required:"true" example:"${PARTNER_SECRET:-change-me-at-least-16}" doc:"The secret, at least 16 characters."`
	SessionToken    tapway.Secret `yaml:"session_token" doc:"What X-Amz-Security-Token has to be; without it callers must not send any."`
	Routes          []string      `yaml:"routes" kind:"match" example:"GET /{proxy+}" doc:"Method (or ANY) and path templates of what it may call; default everything."`
}

const minIAMSecret = 16

func (k *checker) iam(c *Config) {
	i := c.Access.IAM
	if i == nil {
		return
	}
	const key = "access.iam"
	if len(i.Credentials) == 0 && !k.failed(key+".credentials") {
		k.fail(key+".credentials", "nobody can sign a call", "add a name, an access_key_id and a secret_access_key")
	}
	if i.Skew == 0 || i.Skew.D() > access.MaxSkew {
		k.fail(key+".skew", fmt.Sprintf("%v is no time that clocks differ", i.Skew), "write 1s to 15m")
	}
	for name, value := range map[string]string{"region": i.Region, "service": i.Service} {
		if value != "" && !made(value, small+"-", 1, 64) {
			k.fail(key+"."+name, fmt.Sprintf("%q is not a %s", value, name), "")
		}
	}
	if i.Header != "" {
		k.backendHeaders(c, key+".header", map[string]string{i.Header: "name"})
	}
	seen := map[string]bool{}
	for n, cred := range i.Credentials {
		at := fmt.Sprintf("%s.credentials[%d]", key, n)
		if cred.Name != "" && !made(cred.Name, letters+"-_.", 1, 64) {
			k.fail(at+".name", fmt.Sprintf("%q is not a name", cred.Name), "use up to 64 letters, digits, '-', '_' and '.'")
		}
		switch {
		case cred.AccessKeyID == "":
		case !made(cred.AccessKeyID, letters+"_", 4, 128):
			k.fail(at+".access_key_id", fmt.Sprintf("%q is not an access key id", cred.AccessKeyID), "use 4 to 128 letters, digits and '_'")
		case seen[cred.AccessKeyID]:
			k.fail(at+".access_key_id", fmt.Sprintf("%q is taken by a credential above", cred.AccessKeyID), "")
		}
		seen[cred.AccessKeyID] = true
		if s := cred.SecretAccessKey; s != "" && len(s.Reveal()) < minIAMSecret {
			k.fail(at+".secret_access_key", fmt.Sprintf("it has %d characters, which can be guessed", len(s.Reveal())), "take at least 16")
		}
		for m, match := range cred.Routes {
			k.pattern(fmt.Sprintf("%s.routes[%d]", at, m), match)
		}
	}
}

// ClientCertificate is what is asked of client certificates beyond their CA.
type ClientCertificate struct {
	Subjects   []string          `yaml:"subjects" example:"CN=client,O=Example" doc:"Subjects that may come in, as RFC 2253 writes them. With one or more of subjects, sans and spki a certificate has to be in one of these lists."`
	SANs       []string          `yaml:"sans" example:"client.example.com" doc:"Subject alternative names that may come in: DNS names, addresses of mail and network, URIs."`
	SPKI       []string          `yaml:"spki" doc:"Public keys that may come in: the base64 of their SHA-256, which outlives a renewal."`
	Truststore string            `yaml:"truststore" kind:"pem" doc:"On Lambda, CAs that a certificate must be of: a PEM file, or the PEM itself, with those in between. Elsewhere tls.client_ca is that, and on Lambda too where this is not set; without both the front's own truststore decides."`
	ALB        string            `yaml:"alb" def:"off" enum:"off verify passthrough" doc:"On Lambda, what the load balancer's listeners do with client certificates. Only where every HTTPS listener of the target group is in this mode: otherwise anybody can write the headers that the certificate comes in. passthrough needs a truststore."`
	Headers    map[string]string `yaml:"headers" doc:"What the backend is told: header and subject, common_name, issuer, serial, sans, fingerprint, spki or not_after. What clients send under these names is taken away from every call."`
}

func (k *checker) clientCertificate(c *Config) {
	cert := c.Access.ClientCertificate
	if cert == nil {
		return
	}
	const key = "access.client_certificate"
	switch ca := c.TLS != nil && c.TLS.ClientCA != ""; {
	case !ca && cert.Truststore == "" && !k.d.forwards && !k.d.function:
		k.fail(key, "nobody is asked for a certificate", "set tls.client_ca to the CA of the clients; for Lambda set access.client_certificate.truststore")
	case !ca && cert.Truststore == "" && cert.ALB == "passthrough" && !k.failed(key+".truststore"):
		k.fail(key+".alb", "a load balancer in passthrough mode verifies no certificate", "set access.client_certificate.truststore to the CA of the clients")
	}
	for i, text := range cert.SPKI {
		if err := access.CheckSPKI(text); err != nil {
			message, hint, _ := strings.Cut(err.Error(), "; ")
			k.fail(fmt.Sprintf("%s.spki[%d]", key, i), message, hint)
		}
	}
	fields := access.CertificateFields()
	for name, field := range cert.Headers {
		if field != "" && !slices.Contains(fields, field) {
			k.fail(key+".headers", fmt.Sprintf("%q gets %q, which is not one of %s", name, field, strings.Join(fields, ", ")), didYouMean(field, fields))
		}
	}
	k.backendHeaders(c, key+".headers", cert.Headers)
}

// sameHeaders tests that no two rules tell the backend something by one header.
func (k *checker) sameHeaders(a *Access) {
	taken := map[string]string{}
	add := func(key, name string) {
		lower := strings.ToLower(name)
		if before := taken[lower]; before != "" && before != key {
			k.fail(key, fmt.Sprintf("%q is taken by %s", name, before), "choose another name")
		}
		taken[lower] = key
	}
	if a.JWT != nil {
		for name := range a.JWT.Headers {
			add("access.jwt.headers", name)
		}
	}
	if a.IAM != nil && a.IAM.Header != "" {
		add("access.iam.header", a.IAM.Header)
	}
	if a.ClientCertificate != nil {
		for name := range a.ClientCertificate.Headers {
			add("access.client_certificate.headers", name)
		}
	}
}
