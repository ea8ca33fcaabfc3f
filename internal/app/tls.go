package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/tapway/tapway/internal/config"
)

// ClientTLS is TLS towards a backend or a destination.
func ClientTLS(c config.ClientTLS) (*tls.Config, error) {
	out := &tls.Config{InsecureSkipVerify: c.InsecureSkipVerify, ServerName: c.ServerName, MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pool, err := readPool(c.CA)
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

func readPool(file string) (*x509.CertPool, error) {
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

// certificate is the front's TLS, which a reload renews.
type certificate struct {
	current atomic.Pointer[tls.Config]
}

// load reads the files and puts them into force for new connections.
func (c *certificate) load(t *config.ServerTLS) (*tls.Config, error) {
	next, err := readCertificate(t)
	if err != nil {
		return nil, err
	}
	c.current.Store(next)
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: next.NextProtos,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil },
	}, nil
}

func readCertificate(t *config.ServerTLS) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", t.Cert, err)
	}
	next := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if t.ClientCA != "" {
		if next.ClientCAs, err = readPool(t.ClientCA); err != nil {
			return nil, err
		}
		next.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return next, nil
}
