package stages

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
)

// ClientTLS is TLS towards a backend or a destination.
func ClientTLS(c config.ClientTLS) (*tls.Config, error) {
	out := &tls.Config{InsecureSkipVerify: c.InsecureSkipVerify, ServerName: c.ServerName, MinVersion: tls.VersionTLS12} // #nosec G402 -- only if the configuration says so
	if c.CA != "" {
		pool, err := ReadPool(c.CA)
		if err != nil {
			return nil, err
		}
		out.RootCAs = pool
	}
	if c.Cert != "" {
		pair, err := ReadPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("client %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// ReadPair reads a certificate chain and its key, each a PEM file or the PEM itself.
func ReadPair(cert string, key tapway.Secret) (tls.Certificate, error) {
	certPEM, from, err := readPEM(cert)
	var keyPEM []byte
	if err == nil {
		keyPEM, _, err = readPEM(key.Reveal())
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.X509KeyPair(certPEM, keyPEM)
	}
	if err != nil {
		return pair, fmt.Errorf("certificate %s: %w", from, err)
	}
	return pair, nil
}

// ReadPool reads CA certificates: a PEM file, or the PEM itself.
func ReadPool(ca string) (*x509.CertPool, error) {
	pem, from, err := readPEM(ca)
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the CA %s holds no PEM certificate", from)
	}
	return pool, nil
}

// readPEM gives the content, and the name of the file for errors: the content may be a key.
func readPEM(value string) (content []byte, from string, err error) {
	if config.IsPEM(value) {
		return []byte(strings.TrimSpace(value) + "\n"), "in the configuration", nil
	}
	content, err = os.ReadFile(value)
	return content, value, err
}
