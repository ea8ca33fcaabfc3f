package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pemPair makes a certificate that holds from an hour ago for so long from now on, and its key.
func pemPair(t *testing.T, left time.Duration) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: now.Add(-3 * time.Hour), NotAfter: now.Add(left),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", keyDER)
}

// TestCertificates: what a listener or a connection could not begin with is told where it stands.
func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key := pemPair(t, 2*week)
	other, otherKey := pemPair(t, 2*week)
	soon, soonKey := pemPair(t, week-time.Hour)
	old, oldKey := pemPair(t, -time.Hour)
	der, _ := pem.Decode([]byte(cert))
	for name, text := range map[string]string{
		"cert.pem": cert, "key.pem": key, "both.pem": cert + key, "chain.pem": other + cert, "other-key.pem": otherKey, "old.pem": old, "soon.pem": soon, "soon-key.pem": soonKey, "old-key.pem": oldKey,
		"locked.pem":      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
		"locked-old.pem":  "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIB\n-----END EC PRIVATE KEY-----\n",
		"request.pem":     "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n",
		"unreadable.pem":  "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
		"cert.der":        string(der.Bytes),
		"nothing.pem":     "",
		"text.pem":        "hello\n",
		"old-and-new.pem": old + cert,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"tls: {cert: cert.pem, key: key.pem}", ""},
		{"tls: {cert: both.pem, key: both.pem}", ""},
		{"tls: {cert: cert.pem, key: key.pem, client_ca: both.pem}", ""},
		{"tls: {cert: key.pem, key: cert.pem}", "tapway.yaml:2:13: tls.cert: it holds a private key and no certificate; are cert and key exchanged?"},
		{"tls: {cert: cert.pem, key: cert.pem}", "tapway.yaml:2:28: tls.key: it holds a certificate and no private key; are cert and key exchanged?"},
		{"tls: {cert: cert.pem, key: locked.pem}", "tls.key: the key has a passphrase, and nobody is there to type it; take it off: openssl pkey -in "},
		{"tls: {cert: cert.pem, key: locked-old.pem}", "tls.key: the key has a passphrase"},
		{"tls: {cert: cert.pem, key: other-key.pem}", "tapway.yaml:2:28: tls.key: it is not the key of this certificate; take the key that"},
		{"tls: {cert: chain.pem, key: key.pem}", "tls.key: it is not the key of this certificate; its certificate stands further down in the chain"},
		{"tls: {cert: request.pem, key: key.pem}", `tls.cert: it holds a PEM block "CERTIFICATE REQUEST" and no certificate`},
		{"tls: {cert: unreadable.pem, key: key.pem}", "tls.cert: no use as a certificate and its key: "},
		{"tls: {cert: cert.der, key: key.pem}", "tls.cert: it is DER, and PEM is wanted; convert it: openssl x509 -inform der -in "},
		{"tls: {cert: nothing.pem, key: key.pem}", "tls.cert: there is no PEM in it"},
		{"tls: {cert: ., key: key.pem}", "tls.cert: cannot be read: read "},
		{"tls: {cert: old.pem, key: old-key.pem}", "tapway.yaml:2:13: warning: tls.cert: the certificate ran out on "},
		{"tls: {cert: soon.pem, key: soon-key.pem}", "warning: tls.cert: the certificate runs out on "},
		{"tls: {cert: cert.pem, key: key.pem, client_ca: key.pem}", "tls.client_ca: it holds a private key and no certificate"},
		{"proxy: {tls: {ca: key.pem}}", "tapway.yaml:2:19: proxy.tls.ca: it holds a private key and no certificate"},
		{"proxy: {tls: {ca: text.pem}}", "proxy.tls.ca: there is no PEM in it"},
		{"proxy: {tls: {ca: unreadable.pem}}", "proxy.tls.ca: holds no certificate that can be read"},
		{"proxy: {tls: {ca: old.pem}}", "warning: proxy.tls.ca: the certificate ran out on "},
		{"proxy: {tls: {ca: old-and-new.pem}}", ""},
		{"proxy: {tls: {cert: cert.pem, key: other-key.pem}}", "proxy.tls.key: it is not the key"},
		{"destinations: [{name: a, url: http://b, tls: {ca: key.pem}}]", "destinations[0].tls.ca: it holds a private key"},
		{"telemetry: {otlp: {endpoint: http://b, tls: {ca: key.pem}}}", "telemetry.otlp.tls.ca: it holds a private key"},
	} {
		problems, err := Check(Source{File: "tapway.yaml", Text: []byte("backend: http://a\n" + tt.text + "\n"), Dir: dir, Getenv: env()})
		if err != nil {
			t.Fatal(err)
		}
		if tt.want == "" && len(problems) > 0 || tt.want != "" && (len(problems) != 1 || !strings.Contains(problems.Error(), tt.want)) {
			t.Errorf("%s\n got  %v\n want %s", tt.text, problems, tt.want)
		}
		if strings.Contains(problems.Error(), "PRIVATE") {
			t.Errorf("%s: the key is shown: %v", tt.text, problems)
		}
		if _, err := Load(Source{File: "tapway.yaml", Text: []byte("backend: http://a\n" + tt.text + "\n"), Dir: dir, Getenv: env()}); (err != nil) != (tt.want != "" && !strings.Contains(tt.want, "warning")) {
			t.Errorf("%s: Load gives %v", tt.text, err)
		}
	}
}
