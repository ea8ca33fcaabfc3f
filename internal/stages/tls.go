package stages

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/tapway/tapway/internal/config"
)

// ClientTLS is TLS towards a backend or a destination.
func ClientTLS(c config.ClientTLS) (*tls.Config, error) {
	out := &tls.Config{InsecureSkipVerify: c.InsecureSkipVerify, ServerName: c.ServerName, MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pool, err := ReadPool(c.CA)
		if err != nil {
			return nil, err
		}
		out.RootCAs = pool
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("client certificate %s: %w", c.Cert, err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// ReadPool reads a file of CA certificates, PEM.
func ReadPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}
