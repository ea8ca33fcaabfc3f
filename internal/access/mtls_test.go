package access

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// certificate makes one, signed by itself.
func certificate(t testing.TB, signer crypto.Signer, template x509.Certificate) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(0x0a1b2c)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func adas(t testing.TB) *x509.Certificate {
	id, _ := url.Parse("spiffe://example.com/ada")
	return certificate(t, signers()["P-256"], x509.Certificate{
		Subject:  pkix.Name{CommonName: "ada", Organization: []string{"Example, Inc."}},
		DNSNames: []string{"ada.example.com"}, EmailAddresses: []string{"ada@example.com"}, IPAddresses: []net.IP{net.ParseIP("192.0.2.1")}, URIs: []*url.URL{id},
	})
}

func (w *world) with(cert *x509.Certificate, headers ...string) (int, http.Header) {
	r := httptest.NewRequest("GET", "/", nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header[headers[i]] = []string{headers[i+1]}
	}
	if cert != nil {
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert}}, PeerCertificates: []*x509.Certificate{cert}}
	}
	var seen http.Header
	out := httptest.NewRecorder()
	w.gate.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })).ServeHTTP(out, r)
	return out.Code, seen
}

func TestClientCertificateLists(t *testing.T) {
	cert := adas(t)
	for _, tt := range []struct {
		name string
		d    *ClientCertificate
		want int
	}{
		{"any", &ClientCertificate{}, 200},
		{"subject", &ClientCertificate{Subjects: []string{"CN=bob", `CN=ada,O=Example\, Inc.`}}, 200},
		{"another subject", &ClientCertificate{Subjects: []string{"CN=ada"}}, 403},
		{"an empty list", &ClientCertificate{Subjects: []string{}}, 403},
		{"DNS name", &ClientCertificate{SANs: []string{"ADA.example.com"}}, 200},
		{"mail", &ClientCertificate{SANs: []string{"ada@example.com"}}, 200},
		{"mail in another case", &ClientCertificate{SANs: []string{"Ada@example.com"}}, 403},
		{"address", &ClientCertificate{SANs: []string{"192.0.2.1"}}, 200},
		{"URI", &ClientCertificate{SANs: []string{"spiffe://example.com/ada"}}, 200},
		{"another URI", &ClientCertificate{SANs: []string{"spiffe://example.com/ad"}}, 403},
		{"the common name is no SAN", &ClientCertificate{SANs: []string{"ada"}}, 403},
		{"SPKI", &ClientCertificate{SPKI: []string{spkiHash(cert)}}, 200},
		{"in one of several lists", &ClientCertificate{Subjects: []string{"CN=x"}, SPKI: []string{spkiHash(cert)}}, 200},
		{"another SPKI", &ClientCertificate{SPKI: []string{strings.Repeat("A", 43) + "="}}, 403},
	} {
		w := newWorld(t, tt.d)
		if got, _ := w.with(cert); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
		if got, _ := w.with(nil); got != 403 {
			t.Errorf("%s, without a certificate: %d", tt.name, got)
		}
	}
	if err := CheckSPKI(spkiHash(cert)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "AAAA", spkiHash(cert)[1:], spkiHash(cert) + "="} {
		if CheckSPKI(bad) == nil {
			t.Errorf("%q is taken for a hash", bad)
		}
	}
}

func TestClientCertificateHeaders(t *testing.T) {
	cert := adas(t)
	d := &ClientCertificate{Headers: map[string]string{}}
	for _, field := range CertificateFields() {
		d.Headers["X-Client-"+strings.ReplaceAll(field, "_", "-")] = field
	}
	w := newWorld(t, d)
	_, got := w.with(cert, "X-Client-Subject", "root", "X_Client_Subject", "root", "X-Client-Serial", "1", "X-Other", "stays")
	for name, want := range map[string]string{
		"X-Client-Subject": `CN=ada,O=Example\, Inc.`, "X-Client-Common-Name": "ada", "X-Client-Issuer": `CN=ada,O=Example\, Inc.`,
		"X-Client-Serial": "0a1b2c", "X-Client-Sans": "DNS:ada.example.com,email:ada@example.com,IP:192.0.2.1,URI:spiffe://example.com/ada",
		"X-Client-Not-After": "2036-01-02T03:04:05Z", "X-Client-Spki": spkiHash(cert), "X-Other": "stays",
	} {
		if strings.Join(got[name], "|") != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if len(got["X-Client-Fingerprint"]) != 1 || len(got["X-Client-Fingerprint"][0]) != 64 || slices.Contains(slices.Collect(maps.Keys(got)), "X_Client_Subject") || len(got) != 9 {
		t.Errorf("the backend gets %v", got)
	}
	for name, strange := range map[string]x509.Certificate{
		"line feed": {Subject: pkix.Name{CommonName: "ada\r\nX-Admin: yes"}},
		"comma":     {Subject: pkix.Name{CommonName: "ada"}, EmailAddresses: []string{"a,DNS:root@example.com"}},
	} {
		if code, _ := newWorld(t, d).with(certificate(t, signers()["P-256"], strange)); code != 403 {
			t.Errorf("%s: %d", name, code)
		}
	}
}

// TestClientCertificateServer: as a handshake gives it, also when it is resumed.
func TestClientCertificateServer(t *testing.T) {
	cert := adas(t)
	var gate Gate
	gate.Set(NewChain(Options{}, &ClientAddress{}, &ClientCertificate{Headers: map[string]string{"X-Client": "common_name"}}))
	server := httptest.NewUnstartedServer(gate.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Client"), r.TLS.DidResume)
	})))
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	server.TLS = &tls.Config{ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: signers()["P-256"]}}
	transport.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	transport.DisableKeepAlives = true
	for _, want := range []string{"adafalse", "adatrue"} {
		res, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(text) != want {
			t.Errorf("%d %s, want %s", res.StatusCode, text, want)
		}
	}
}

// TestClientCertificateFront: behind a front the certificate is in the facts, and counts when the front, or the
// truststore here, has verified it. The connection's own, which is the front's, never counts.
func TestClientCertificateFront(t *testing.T) {
	ada, other := adas(t), certificate(t, signers()["P-256"], x509.Certificate{Subject: pkix.Name{CommonName: "eve"}})
	text := func(cert *x509.Certificate) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	roots := func(certs ...*x509.Certificate) *x509.CertPool {
		pool := x509.NewCertPool()
		for _, cert := range certs {
			pool.AddCert(cert)
		}
		return pool
	}
	for _, tt := range []struct {
		name   string
		roots  *x509.CertPool
		cert   *tapway.ClientCert
		now    time.Time
		reason string
	}{
		{"verified by the front", nil, &tapway.ClientCert{PEM: text(ada), Verified: true}, time.Time{}, ""},
		{"passed on alone", nil, &tapway.ClientCert{PEM: text(ada)}, time.Time{}, "client certificate: not of a CA in the truststore"},
		{"verified here", roots(ada), &tapway.ClientCert{PEM: text(ada)}, time.Time{}, ""},
		{"verified here, until its last second", roots(ada), &tapway.ClientCert{PEM: text(ada)}, ada.NotAfter, ""},
		{"expired", roots(ada), &tapway.ClientCert{PEM: text(ada)}, ada.NotAfter.Add(time.Second), "client certificate: not of a CA in the truststore"},
		{"verified by the front alone", roots(other), &tapway.ClientCert{PEM: text(ada), Verified: true}, time.Time{}, "client certificate: not of a CA in the truststore"},
		{"none", roots(ada), nil, time.Time{}, "client certificate: missing"},
		{"no PEM", nil, &tapway.ClientCert{PEM: "CERT_CONTENT", Verified: true}, time.Time{}, "client certificate: unreadable"},
		{"a key", nil, &tapway.ClientCert{PEM: text(ada) + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", Verified: true}, time.Time{}, "client certificate: unreadable"},
		{"as many as are read", nil, &tapway.ClientCert{PEM: strings.Repeat(text(ada), 10), Verified: true}, time.Time{}, ""},
		{"more", nil, &tapway.ClientCert{PEM: strings.Repeat(text(ada), 11), Verified: true}, time.Time{}, "client certificate: unreadable"},
		{"not in the list", roots(other), &tapway.ClientCert{PEM: text(other), Verified: true}, time.Time{}, "client certificate: not allowed"},
	} {
		w := newWorld(t, &ClientCertificate{SANs: []string{"ada.example.com"}, Roots: tt.roots, Headers: map[string]string{"X-Client": "common_name"}})
		w.now = tt.now
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Client", "root")
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{ada}}, PeerCertificates: []*x509.Certificate{ada}}
		call, seen := new(tapway.Call), ""
		ctx := tapway.WithFacts(tapway.WithCall(r.Context(), call), &tapway.Facts{Front: tapway.FrontREST, ClientCert: tt.cert})
		w.gate.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Get("X-Client") })).ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
		if call.Error != tt.reason || (seen == "ada") != (tt.reason == "") {
			t.Errorf("%s: %q, the backend is told %q", tt.name, call.Error, seen)
		}
	}
}
