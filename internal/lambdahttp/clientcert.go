package lambdahttp

import (
	"net/url"
	"strings"

	"github.com/tapway/tapway"
)

// clientCert is the member of that name: API Gateway's word on a client's certificate. It is there when the
// call came by a custom domain with mutual TLS, and has been verified with the domain's truststore.
type clientCert struct {
	pem, subject, issuer, serial, notBefore, notAfter string
}

func (c *clientCert) take(s *scanner, field string) {
	*c = clientCert{}
	s.object(field, func(name []byte) {
		switch string(name) {
		case "clientCertPem":
			c.pem = s.text(field + ".clientCertPem")
		case "subjectDN":
			c.subject = s.text(field + ".subjectDN")
		case "issuerDN":
			c.issuer = s.text(field + ".issuerDN")
		case "serialNumber":
			c.serial = s.text(field + ".serialNumber")
		case "validity":
			s.object(field+".validity", func(name []byte) {
				switch string(name) {
				case "notBefore":
					c.notBefore = s.text(field + ".validity.notBefore")
				case "notAfter":
					c.notAfter = s.text(field + ".validity.notAfter")
				default:
					s.skip()
				}
			})
		default:
			s.skip()
		}
	})
}

func (c *clientCert) fact() *tapway.ClientCert {
	if c.pem == "" {
		return nil
	}
	return &tapway.ClientCert{PEM: c.pem, Subject: c.subject, Issuer: c.issuer, Serial: c.serial, NotBefore: c.notBefore, NotAfter: c.notAfter, Verified: true}
}

// BalancerTLS is what a load balancer's listener does with client certificates. Nothing in an event tells,
// and without it anybody can send the headers by which it passes them on.
type BalancerTLS string

const (
	BalancerIgnores     BalancerTLS = ""            // no mutual TLS: the headers are the client's own words
	BalancerVerifies    BalancerTLS = "verify"      // it has a trust store, and sends the certificate alone
	BalancerPassthrough BalancerTLS = "passthrough" // it proves the key alone, and sends the chain as it came
)

// The headers of the two modes (Elastic Load Balancing, Mutual authentication with TLS).
const (
	leafHeader  = "X-Amzn-Mtls-Clientcert-Leaf"
	chainHeader = "X-Amzn-Mtls-Clientcert"
)

// balancerCert takes a client's certificate out of a load balancer's header. Through a listener without TLS, and
// when the header stands twice, it is not the load balancer's word.
func (d *Door) balancerCert(call *Call) {
	if call.Front != tapway.FrontALB || d.BalancerTLS == BalancerIgnores || call.Request.TLS == nil {
		return
	}
	h := call.Request.Header
	name, rest := chainHeader, ""
	if d.BalancerTLS == BalancerVerifies {
		name, rest = leafHeader, chainHeader+"-"
	}
	text, ok := single(h[name])
	if !ok {
		return
	}
	// Percent-encoded, with "+", "=" and "/" as they are.
	text, err := url.PathUnescape(text)
	if err != nil || text == "" {
		return
	}
	cert := &tapway.ClientCert{PEM: text, Verified: d.BalancerTLS == BalancerVerifies}
	if cert.Verified {
		cert.Subject, _ = single(h[rest+"Subject"])
		cert.Issuer, _ = single(h[rest+"Issuer"])
		cert.Serial, _ = single(h[rest+"Serial-Number"])
		validity, _ := single(h[rest+"Validity"]) // NotBefore=2023-09-21T01:50:17Z;NotAfter=2024-09-20T01:50:17Z
		from, until, _ := strings.Cut(validity, ";")
		cert.NotBefore, cert.NotAfter = strings.TrimPrefix(from, "NotBefore="), strings.TrimPrefix(until, "NotAfter=")
	}
	call.Facts.ClientCert = cert
}

func single(lines []string) (string, bool) {
	if len(lines) != 1 {
		return "", false
	}
	return lines[0], true
}
