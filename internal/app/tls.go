package app

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"

	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/stages"
)

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
	pair, err := stages.ReadPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	next := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if t.ClientCA != "" {
		if next.ClientCAs, err = stages.ReadPool(t.ClientCA); err != nil {
			return nil, err
		}
		next.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return next, nil
}
