package stages

import (
	"crypto/x509"
	"fmt"
	"net/http"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/config"
)

// callers are the deciders by which callers prove who they are.
func (a Access) callers(c *config.Config, rules *access.Rules) (list []access.Decider, err error) {
	auth := c.Access.Auth()
	bodies := &access.Bodies{Max: int64(c.Access.MaxBody), Total: int64(c.Access.BodyMemory), State: a.State, Status: bodyStatus}
	if cert := c.Access.ClientCertificate; cert != nil {
		roots, err := truststore(c)
		if err != nil {
			return nil, err
		}
		list = append(list, &access.ClientCertificate{Subjects: cert.Subjects, SANs: cert.SANs, SPKI: cert.SPKI, Roots: roots, Headers: cert.Headers})
	}
	if j := c.Access.JWT; j != nil { // also where no route asks: nobody may send its headers
		list = append(list, a.jwt(*j, auth, rules))
	}
	if i := c.Access.IAM; i != nil {
		signed, err := iam(*i)
		if err != nil {
			return nil, err
		}
		signed.Default, signed.Rules, signed.Bodies = auth, rules, bodies
		list = append(list, signed)
	}
	if asked(c, access.ByWebhook) {
		hooks := &access.Webhooks{Default: auth, Rules: rules, Bodies: bodies, State: a.State}
		if c.Access.Webhook != nil {
			if hooks.Webhook, err = c.Access.Webhook.Access("access.webhook", a.Hooks); err != nil {
				return nil, err
			}
		}
		list = append(list, hooks)
	}
	return list, nil
}

// truststore is what has to be above a certificate that comes by a front; nil: the front decides.
func truststore(c *config.Config) (*x509.CertPool, error) {
	ca := c.Access.ClientCertificate.Truststore
	if ca == "" && c.TLS != nil {
		ca = c.TLS.ClientCA
	}
	if ca == "" {
		return nil, nil
	}
	pool, err := ReadPool(ca)
	if err != nil {
		return nil, fmt.Errorf("access.client_certificate: %w", err)
	}
	return pool, nil
}

// asked reports whether any call has to prove itself in that way.
func asked(c *config.Config, way access.Auth) bool {
	if c.Access.Auth() == way {
		return true
	}
	for _, r := range c.Access.Routes {
		if r.Auth() == way {
			return true
		}
	}
	return false
}

func (a Access) jwt(j config.JWT, auth access.Auth, rules *access.Rules) access.Decider {
	source := j.Source()
	var client *http.Client
	if a.Client != nil {
		client = a.Client(source.URLs()...)
	}
	return &access.JWT{
		Default: auth, Rules: rules, Issuer: j.Issuer, Audience: j.Audience, Algorithms: j.Algorithms, Scopes: j.Scopes,
		Header: j.Header(), Leeway: j.Leeway.D(), APIKey: j.APIKey, Headers: j.Headers,
		Keys: a.State.Keyring(source, access.KeyTimes{Refresh: j.Refresh.D(), Keep: j.Keep.D()}, client, a.Log),
	}
}

func iam(i config.IAM) (*access.IAM, error) {
	d := &access.IAM{
		Credentials: map[string]*access.Credential{}, Region: i.Region, Service: i.Service, Skew: i.Skew.D(), Unsigned: i.UnsignedPayload, Header: i.Header,
	}
	for _, c := range i.Credentials {
		one := &access.Credential{Name: c.Name, Secret: c.SecretAccessKey, SessionToken: c.SessionToken}
		for _, match := range c.Routes {
			pattern, err := access.ParsePattern(match)
			if err != nil {
				return nil, err
			}
			one.Routes = append(one.Routes, pattern)
		}
		d.Credentials[c.AccessKeyID] = one
	}
	return d, nil
}
