package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// serverTLS tests that a listener could begin with these certificates.
func (k *checker) serverTLS(key string, t *ServerTLS) {
	k.pair(key, t.Cert, t.Key, "clients refuse it; renew it and reload")
	k.authority(key+".client_ca", t.ClientCA)
}

// clientTLS tests that a connection could begin with these certificates.
func (k *checker) clientTLS(key string, t *ClientTLS) {
	k.authority(key+".ca", t.CA)
	if (t.Cert == "") != (t.Key == "") {
		k.fail(key, "cert and key go together", "set both, or neither")
		return
	}
	k.pair(key, t.Cert, t.Key, "the other end may refuse it; renew it and reload")
}

// pair tests a certificate and its key; expired is what to do when its time is over.
func (k *checker) pair(key, cert string, private tapway.Secret, expired string) {
	certKey, keyKey := key+".cert", key+".key"
	if cert == "" || private == "" || k.failed(certKey) || k.failed(keyKey) {
		return
	}
	certs, ok := k.pemOf(certKey, cert, "CERTIFICATE")
	if !ok {
		return
	}
	keys, ok := k.pemOf(keyKey, private.Reveal(), "PRIVATE KEY")
	if !ok {
		return
	}
	pair, err := tls.X509KeyPair(certs, keys)
	if err == nil {
		k.lifetime(certKey, pair.Certificate[0], expired)
		return
	}
	if !strings.Contains(err.Error(), "does not match") {
		k.blind(certKey, "no use as a certificate and its key: "+strings.TrimPrefix(err.Error(), "tls: "), "")
		return
	}
	hint := "take the key that the certificate was made with"
	for block, rest := pem.Decode(certs); block != nil; block, rest = pem.Decode(rest) {
		if _, err := tls.X509KeyPair(pem.EncodeToMemory(block), keys); err == nil {
			hint = "its certificate stands further down in the chain: it has to be the first one"
		}
	}
	k.blind(keyKey, "it is not the key of this certificate", hint)
}

// authority tests the certificates of a CA.
func (k *checker) authority(key, ca string) {
	if ca == "" || k.failed(key) {
		return
	}
	text, ok := k.pemOf(key, ca, "CERTIFICATE")
	if !ok {
		return
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		k.blind(key, "holds no certificate that can be read", "make it anew: openssl x509 shows what is in it")
		return
	}
	valid := false
	var last []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			last = block.Bytes
			valid = valid || time.Now().Before(c.NotAfter) && time.Now().After(c.NotBefore)
		}
	}
	if !valid && last != nil {
		k.lifetime(key, last, "what it signed is not trusted any more; set the CA's new one")
	}
}

// week is how long before its end a certificate is warned of; whoever renews by themselves has done so
// by then.
const week = 7 * 24 * time.Hour

// lifetime warns of a certificate whose time is over or has not come. It is no problem: whoever has
// served with it goes on, and some clients do not look.
func (k *checker) lifetime(key string, der []byte, expired string) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return
	}
	switch now := time.Now(); {
	case now.After(c.NotAfter):
		k.warn(key, "the certificate ran out on "+c.NotAfter.UTC().Format(time.DateTime)+" UTC", expired)
	case now.After(c.NotAfter.Add(-week)):
		k.warn(key, "the certificate runs out on "+c.NotAfter.UTC().Format(time.DateTime)+" UTC", "renew it and reload")
	case now.Before(c.NotBefore):
		k.warn(key, "the certificate holds only from "+c.NotBefore.UTC().Format(time.DateTime)+" UTC on", "is the clock of this machine right?")
	}
}

// pemOf reads a PEM file, or the PEM itself, that must hold a block of some kind, and tells what is
// there instead.
func (k *checker) pemOf(key, value, want string) ([]byte, bool) {
	text := []byte(strings.TrimSpace(value) + "\n")
	name := "FILE"
	if !IsPEM(value) {
		var err error
		if text, err = os.ReadFile(value); err != nil {
			k.fail(key, "cannot be read: "+err.Error(), "")
			return nil, false
		}
		name = value
	}
	found := ""
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY") && want == "PRIVATE KEY" && (strings.HasPrefix(block.Type, "ENCRYPTED") || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")):
			k.blind(key, "the key has a passphrase, and nobody is there to type it", "take it off: openssl pkey -in "+name+" -out plain.pem")
			return nil, false
		case strings.HasSuffix(block.Type, want):
			return text, true
		}
		found = block.Type
	}
	switch {
	case found == "" && len(text) > 0 && text[0] == 0x30:
		form := map[string]string{"CERTIFICATE": "x509", "PRIVATE KEY": "pkey"}[want]
		k.blind(key, "it is DER, and PEM is wanted", fmt.Sprintf("convert it: openssl %s -inform der -in %s -out %[2]s.pem", form, name))
	case found == "":
		k.blind(key, "there is no PEM in it", "PEM has lines such as -----BEGIN "+want+"-----")
	case want == "CERTIFICATE" && strings.HasSuffix(found, "PRIVATE KEY"):
		k.blind(key, "it holds a private key and no certificate", "are cert and key exchanged?")
	case want == "PRIVATE KEY" && found == "CERTIFICATE":
		k.blind(key, "it holds a certificate and no private key", "are cert and key exchanged?")
	default:
		k.blind(key, fmt.Sprintf("it holds a PEM block %q and no %s", found, strings.ToLower(want)), "")
	}
	return nil, false
}
