package access

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// ClientCertificate is the decider of mutual TLS: which of the certificates that the truststore's
// CAs have signed may come in, and what the backend is told of them. On tapway's own listener the
// handshake has verified the certificate, and who has none does not get here; behind a front it is
// in tapway.Facts.
type ClientCertificate struct {
	// A certificate has to be in one of these lists; when all are nil every one passes.
	Subjects []string // distinguished names as RFC 2253 writes them: "CN=client,O=Example"
	SANs     []string // DNS names, addresses of mail and network, URIs
	SPKI     []string // base64 of the SHA-256 of a public key, which outlives a renewal

	// Roots have to be above a certificate that came by a front, because its TLS has ended there. nil takes
	// the front's word for it, where the front has verified it.
	Roots *x509.CertPool

	Headers map[string]string // to the backend: header and the CertificateFields it gets; nobody else may send them

	once sync.Once
	own  ownHeaders
}

// CertificateFields are what the backend can be told of a certificate.
func CertificateFields() []string {
	return []string{"subject", "common_name", "issuer", "serial", "sans", "fingerprint", "spki", "not_after"}
}

func (*ClientCertificate) Phase() Phase { return Authentication }
func (*ClientCertificate) Name() string { return "client_certificate" }

var (
	certificateMissing = Forbidden("client certificate: missing")
	certificateBroken  = Forbidden("client certificate: unreadable")
	certificateForeign = Forbidden("client certificate: not of a CA in the truststore")
	certificateUnknown = Forbidden("client certificate: not allowed")
	certificateStrange = Forbidden("client certificate: a field cannot stand in a header")
)

// Decide is Decider.
func (d *ClientCertificate) Decide(r *Request) *Refusal {
	d.once.Do(func() { d.own = newOwnHeaders(d.Headers) })
	d.own.strip(r)
	cert, refusal := d.certificate(r)
	if refusal != nil {
		return refusal
	}
	if !d.allows(cert) {
		r.Because("the certificate of %q (SPKI %s) is not among those allowed", cert.Subject, spkiHash(cert))
		return certificateUnknown
	}
	values := make(map[string]string, len(d.Headers))
	for header, field := range d.Headers {
		value, ok := certificateField(cert, field)
		if !ok || !fieldValue(value) {
			r.Because("%s of the certificate of %q cannot stand in a header", field, cert.Subject)
			return certificateStrange
		}
		values[canonical(header)] = value
	}
	if r.Dry {
		r.Because("the certificate is that of %q (SPKI %s)", cert.Subject, spkiHash(cert))
		return nil
	}
	for header, value := range values {
		if value != "" {
			r.header()[header] = []string{value}
		}
	}
	return nil
}

// certificate gives the client's certificate when somebody that counts has verified it.
func (d *ClientCertificate) certificate(r *Request) (*x509.Certificate, *Refusal) {
	if r.facts == nil {
		state := r.HTTP.TLS
		if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
			r.Because("there is no client certificate")
			return nil, certificateMissing
		}
		return state.VerifiedChains[0][0], nil
	}
	if r.facts.ClientCert == nil {
		r.Because("the front tells of no client certificate")
		return nil, certificateMissing
	}
	chain, err := readChain(r.facts.ClientCert.PEM)
	if err != nil {
		r.Because("the client certificate that the front passes on cannot be read: %v", err)
		return nil, certificateBroken
	}
	if d.Roots == nil {
		if !r.facts.ClientCert.Verified {
			r.Because("the front has not verified the client certificate, and there is no truststore here")
			return nil, certificateForeign
		}
		return chain[0], nil
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{
		Roots: d.Roots, Intermediates: between, CurrentTime: r.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		r.Because("the client certificate that the front passes on is refused: %v", err)
		return nil, certificateForeign
	}
	return chain[0], nil
}

// maxChain is how many certificates a front passes on: more is nobody's chain.
const maxChain = 10

// readChain reads certificates in PEM, the client's own first.
func readChain(text string) (chain []*x509.Certificate, err error) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" || len(chain) == maxChain {
			return nil, fmt.Errorf("%s after %d certificates", block.Type, len(chain))
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	if chain == nil {
		return nil, errors.New("there is no PEM certificate")
	}
	return chain, nil
}

func (d *ClientCertificate) allows(cert *x509.Certificate) bool {
	if d.Subjects == nil && d.SANs == nil && d.SPKI == nil {
		return true
	}
	return slices.Contains(d.Subjects, cert.Subject.String()) || slices.Contains(d.SPKI, spkiHash(cert)) ||
		slices.ContainsFunc(names(cert), func(n san) bool {
			return slices.ContainsFunc(d.SANs, func(want string) bool { return want == n.value || n.kind == "DNS" && strings.EqualFold(want, n.value) })
		})
}

// san is a subject alternative name.
type san struct{ kind, value string }

func names(cert *x509.Certificate) (out []san) {
	for _, n := range cert.DNSNames {
		out = append(out, san{"DNS", n})
	}
	for _, n := range cert.EmailAddresses {
		out = append(out, san{"email", n})
	}
	for _, n := range cert.IPAddresses {
		out = append(out, san{"IP", n.String()})
	}
	for _, n := range cert.URIs {
		out = append(out, san{"URI", n.String()})
	}
	return out
}

func spkiHash(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// certificateField gives a field as a text; ok is false if it could be read as something else.
func certificateField(cert *x509.Certificate, field string) (string, bool) {
	switch field {
	case "subject":
		return cert.Subject.String(), true
	case "common_name":
		return cert.Subject.CommonName, true
	case "issuer":
		return cert.Issuer.String(), true
	case "serial":
		return hex.EncodeToString(cert.SerialNumber.Bytes()), true
	case "fingerprint":
		sum := sha256.Sum256(cert.Raw)
		return hex.EncodeToString(sum[:]), true
	case "spki":
		return spkiHash(cert), true
	case "not_after":
		return cert.NotAfter.UTC().Format(time.RFC3339), true
	case "sans":
		var list []string
		for _, n := range names(cert) {
			if strings.ContainsAny(n.value, ", ") {
				return "", false
			}
			list = append(list, n.kind+":"+n.value)
		}
		return strings.Join(list, ","), true
	}
	return "", false
}

// CheckSPKI tells what is wrong with the hash of a public key.
func CheckSPKI(text string) error {
	if b, err := base64.StdEncoding.Strict().DecodeString(text); err != nil || len(b) != sha256.Size {
		return fmt.Errorf("%q is not the base64 of a SHA-256; `openssl x509 -in cert.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64` prints it", text)
	}
	return nil
}
