package lambdaapp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// clientPEM makes a certificate signed by ca, or by itself without one; it gives it as PEM.
func clientPEM(t *testing.T, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (string, *x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: ca == nil, BasicConstraintsValid: true,
	}
	if ca == nil {
		ca, caKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), cert, key
}

// TestClientCertificates: who may come in by its certificate, and what the backend is told, is the same on Lambda,
// wherever the front has the certificate.
func TestClientCertificates(t *testing.T) {
	caPEM, ca, caKey := clientPEM(t, "Example CA", nil, nil)
	ada, _, _ := clientPEM(t, "ada", ca, caKey)
	bob, _, _ := clientPEM(t, "bob", ca, caKey)
	_, foreignCA, foreignKey := clientPEM(t, "Example CA", nil, nil)
	stranger, _, _ := clientPEM(t, "ada", foreignCA, foreignKey)
	dir := t.TempDir()
	writeFile(t, dir+"/ca.pem", caPEM)
	for _, tt := range []struct {
		front eventtest.Front
		alb   string
	}{{eventtest.REST, "off"}, {eventtest.HTTP1, "off"}, {eventtest.HTTP2, "off"}, {eventtest.ALBMulti, "verify"}, {eventtest.ALBMulti, "passthrough"}} {
		writeFile(t, dir+"/tapway.yaml", "access: {client_certificate: {truststore: "+dir+"/ca.pem, alb: "+tt.alb+", subjects: CN=ada, headers: {X-Client: common_name}}}\n")
		w := newWorld(t)
		f := w.start(Proxy, "TAPWAY_CONFIG="+dir+"/tapway.yaml")
		for i, one := range []struct{ cert, reason string }{
			{ada, ""}, {bob, "client certificate: not allowed"}, {stranger, "client certificate: not of a CA in the truststore"}, {"", "client certificate: missing"},
		} {
			request := eventtest.Request{Target: "/x", Header: []tapway.Field{{Name: "X-Client", Value: "root"}}}
			switch {
			case one.cert == "":
			case tt.alb == "verify":
				request.Header = append(request.Header, tapway.Field{Name: "X-Amzn-Mtls-Clientcert-Leaf", Value: url.PathEscape(one.cert)})
			case tt.alb == "passthrough":
				request.Header = append(request.Header, tapway.Field{Name: "X-Amzn-Mtls-Clientcert", Value: url.PathEscape(one.cert)})
			default:
				request.Cert = one.cert
			}
			event, err := tt.front.Event(request)
			if err != nil {
				t.Fatal(err)
			}
			result := f.Do(t.Context(), invocation(event, 10*time.Second))
			same(t, tt.front.String()+" status", gjson.GetBytes(result.Body, "statusCode").Int(), map[bool]int{true: 200, false: 403}[one.reason == ""])
			f.settled(t)
			messages := w.sqs.Messages("records")
			if len(messages) != i+1 {
				t.Fatalf("%d records", len(messages))
			}
			same(t, tt.front.String()+" "+tt.alb+" reason", gjson.Get(messages[i].Body, "error").String(), one.reason)
			if strings.Contains(messages[i].Body, url.PathEscape(one.cert)) && one.cert != "" {
				t.Error("the certificate is in the record")
			}
		}
		same(t, "calls of the backend", len(w.asks), 1)
		same(t, "what it is told", w.asks[0].Header.Get("X-Client"), "ada")
	}
}

// TestSignatures: what AWS's own signer signs is admitted through every front, unless the front has destroyed what
// was signed; and nothing of it can be changed on its way.
func TestSignatures(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/tapway.yaml", "access: {iam: {credentials: [{name: batch, access_key_id: AKIDBATCH, secret_access_key: a-secret-of-sixteen}], header: X-Caller}}\n")
	w := newWorld(t)
	f := w.start(Proxy, "TAPWAY_CONFIG="+dir+"/tapway.yaml")
	ask := func(front eventtest.Front, r eventtest.Request) int {
		t.Helper()
		event, err := front.Event(r)
		if err != nil {
			t.Fatal(err)
		}
		return int(gjson.GetBytes(f.Do(t.Context(), invocation(event, 10*time.Second)).Body, "statusCode").Int())
	}
	all := eventtest.Fronts
	exact := []eventtest.Front{eventtest.REST, eventtest.FunctionURL, eventtest.ALB, eventtest.ALBMulti}
	for _, tt := range []struct {
		name, path, target, stage string // path is with the stage, as it is signed
		custom                    bool
		fronts, not               []eventtest.Front
	}{
		{"plain", "/orders/7?b=2&a=1&a=0", "/orders/7?b=2&a=1&a=0", "", false, []eventtest.Front{eventtest.HTTP1, eventtest.HTTP2, eventtest.FunctionURL, eventtest.ALBMulti}, []eventtest.Front{eventtest.ALB}},
		{"stage of a REST API", "/prod/orders//7/", "/orders//7/", "", false, []eventtest.Front{eventtest.REST}, nil},
		{"stage of an HTTP API", "/dev/orders", "/orders", "dev", false, []eventtest.Front{eventtest.HTTP1, eventtest.HTTP2}, nil},
		{"another stage", "/prod/orders", "/orders", "dev", false, nil, []eventtest.Front{eventtest.REST, eventtest.HTTP1, eventtest.HTTP2}},
		{"custom domain", "/orders", "/orders", "dev", true, []eventtest.Front{eventtest.REST, eventtest.HTTP1, eventtest.HTTP2}, nil},
		{"escapes", "/a%20b/%C3%A9%2B", "/a%20b/%C3%A9%2B", "", true, all, nil},
		{"escapes that a signer need not make", "/a!b:c", "/a!b:c", "", true, all, nil},
		{"an encoded slash", "/a%2Fb", "/a%2Fb", "", true, exact, []eventtest.Front{eventtest.HTTP1, eventtest.HTTP2}},
		{"a query with blanks and pluses", "/x?q=a%20b&p=%2B&empty=", "/x?q=a%20b&p=%2B&empty=", "", true, all, nil},
	} {
		body := []byte(`{"a":1}`)
		try := func(front eventtest.Front, want int) {
			host := map[bool]string{true: "api.example.com", false: "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com"}[tt.custom]
			req, err := http.NewRequest("POST", "https://"+host+tt.path, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			sum := sha256.Sum256(body)
			creds := aws.Credentials{AccessKeyID: "AKIDBATCH", SecretAccessKey: "a-secret-of-sixteen"}
			if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, hex.EncodeToString(sum[:]), "execute-api", "eu-west-1", time.Now()); err != nil {
				t.Fatal(err)
			}
			call := eventtest.Request{Method: "POST", Target: tt.target, Host: host, Custom: tt.custom, Stage: tt.stage, Body: body}
			for name, values := range req.Header {
				call.Header = append(call.Header, tapway.Field{Name: name, Value: values[0]})
			}
			if got := ask(front, call); got != want {
				t.Errorf("%s through %v: %d, want %d", tt.name, front, got, want)
			}
			changed := call
			changed.Body = []byte(`{"a":2}`)
			if got := ask(front, changed); got != 403 {
				t.Errorf("%s through %v, with another body: %d", tt.name, front, got)
			}
			changed = call
			changed.Target = "/z" + call.Target
			if got := ask(front, changed); got != 403 {
				t.Errorf("%s through %v, with another path: %d", tt.name, front, got)
			}
		}
		for _, front := range tt.fronts {
			try(front, 200)
		}
		for _, front := range tt.not {
			try(front, 403)
		}
	}
	for _, asked := range w.asks {
		if asked.Header.Get("X-Caller") != "batch" {
			t.Fatalf("the backend is told %q", asked.Header.Get("X-Caller"))
		}
	}
}

// TestKeysOutliveAnEnvironmentsProcess: an environment whose process begins anew verifies tokens while the identity
// provider is down.
func TestKeysOutliveAnEnvironmentsProcess(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":%q}]}`, b64(public))
	}))
	defer idp.Close()
	text := b64([]byte(`{"alg":"EdDSA"}`)) + "." + b64(fmt.Appendf(nil, `{"iss":"idp","aud":"api","exp":%d}`, time.Now().Unix()+600))
	event, err := eventtest.HTTP2.Event(eventtest.Request{Target: "/x", Header: []tapway.Field{{Name: "Authorization", Value: "Bearer " + text + "." + b64(ed25519.Sign(private, []byte(text)))}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, dir+"/tapway.yaml", "access: {jwt: {issuer: idp, audience: api, jwks: \""+idp.URL+"\"}}\n")
	w := newWorld(t)
	ask := func(scratch string, want int) {
		t.Helper()
		f := w.start(Proxy, "TAPWAY_CONFIG="+dir+"/tapway.yaml", "TMPDIR="+scratch)
		same(t, "status", gjson.GetBytes(f.Do(t.Context(), invocation(event, 10*time.Second)).Body, "statusCode").Int(), want)
		f.settled(t)
	}
	scratch := t.TempDir()
	ask(scratch, 200)
	idp.Close()
	ask(scratch, 200)
	ask(t.TempDir(), 503)
}
