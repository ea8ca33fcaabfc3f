package lambdahttp

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

const certPEM = "-----BEGIN CERTIFICATE-----\nMIIB+/8=\n-----END CERTIFICATE-----\n"

// TestClientCert: an API's word on the client's certificate is a fact; nothing that a client sends is.
func TestClientCert(t *testing.T) {
	for _, f := range eventtest.Fronts {
		r := eventtest.Request{Cert: certPEM, Header: []tapway.Field{{Name: "X-Amzn-Mtls-Clientcert", Value: url.PathEscape(certPEM)}, {Name: "X-Amzn-Mtls-Clientcert-Leaf", Value: url.PathEscape(certPEM)}}}
		got := decode(t, f, r).ClientCert
		switch f {
		case eventtest.REST, eventtest.HTTP1, eventtest.HTTP2:
			want := tapway.ClientCert{PEM: certPEM, Subject: "CN=www.example.com", Issuer: "CN=Example issuer", Serial: strings.TrimSuffix(strings.Repeat("a1:", 16), ":"),
				NotBefore: "May 28 12:30:02 2019 GMT", NotAfter: "Aug  5 09:36:04 2021 GMT", Verified: true}
			if got == nil || *got != want {
				t.Errorf("%v: %+v", f, got)
			}
			r.Cert = ""
			if got := decode(t, f, r).ClientCert; got != nil {
				t.Errorf("%v without one: %+v", f, got)
			}
		default:
			if got != nil {
				t.Errorf("%v: %+v", f, got)
			}
		}
	}
}

// TestBalancerCert: a load balancer's headers count in the mode that its listener is said to be in, and only
// when they can be its own.
func TestBalancerCert(t *testing.T) {
	const chain, leaf = "X-Amzn-Mtls-Clientcert", "X-Amzn-Mtls-Clientcert-Leaf"
	escaped := strings.NewReplacer("\n", "%0A", " ", "%20").Replace(certPEM) // "+", "/" and "=" stay, as a load balancer has it
	one := func(name string) []tapway.Field { return []tapway.Field{{Name: name, Value: escaped}} }
	for _, tt := range []struct {
		name   string
		front  eventtest.Front
		mode   BalancerTLS
		header []tapway.Field
		plain  bool
		want   bool
	}{
		{"verify", eventtest.ALBMulti, BalancerVerifies, one(leaf), false, true},
		{"verify, without multi-value headers", eventtest.ALB, BalancerVerifies, one(leaf), false, true},
		{"passthrough", eventtest.ALBMulti, BalancerPassthrough, one(chain), false, true},
		{"no mutual TLS", eventtest.ALBMulti, BalancerIgnores, append(one(leaf), one(chain)...), false, false},
		{"the header of the other mode", eventtest.ALBMulti, BalancerVerifies, one(chain), false, false},
		{"the header of the other mode", eventtest.ALBMulti, BalancerPassthrough, one(leaf), false, false},
		{"through a listener without TLS", eventtest.ALBMulti, BalancerVerifies, one(leaf), true, false},
		{"twice", eventtest.ALBMulti, BalancerVerifies, append(one(leaf), one(leaf)...), false, false},
		{"empty", eventtest.ALBMulti, BalancerVerifies, []tapway.Field{{Name: leaf}}, false, false},
		{"badly encoded", eventtest.ALBMulti, BalancerVerifies, []tapway.Field{{Name: leaf, Value: "%0"}}, false, false},
		{"another front", eventtest.REST, BalancerVerifies, one(leaf), false, false},
		{"another front", eventtest.FunctionURL, BalancerPassthrough, one(chain), false, false},
	} {
		event, err := tt.front.Event(eventtest.Request{Header: append(tt.header, tapway.Field{Name: "X-Amzn-Mtls-Clientcert-Subject", Value: "CN=a"}, tapway.Field{Name: "X-Amzn-Mtls-Clientcert-Validity", Value: "NotBefore=2023-09-21T01:50:17Z;NotAfter=2024-09-20T01:50:17Z"}), Plain: tt.plain})
		if err != nil {
			t.Fatal(err)
		}
		var got *tapway.ClientCert
		door := Door{BalancerTLS: tt.mode, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = tapway.FactsFrom(r.Context()).ClientCert })}
		if _, err := door.Serve(t.Context(), event); err != nil {
			t.Fatal(err)
		}
		if (got != nil) != tt.want || got != nil && (got.PEM != certPEM || got.Verified != (tt.mode == BalancerVerifies)) {
			t.Errorf("%s: %+v", tt.name, got)
		}
		if got != nil && got.Verified && (got.Subject != "CN=a" || got.NotBefore != "2023-09-21T01:50:17Z" || got.NotAfter != "2024-09-20T01:50:17Z") {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}
