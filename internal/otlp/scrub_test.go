package otlp

import (
	"net/http"
	"strings"
	"testing"
)

// TestReplyWithSecret: a collector that says the key back, or the address, does not bring it into the log.
func TestReplyWithSecret(t *testing.T) {
	for name, header := range map[string]http.Header{
		"refused":            {"Content-Type": {"application/json"}},
		"partly taken":       {"Content-Type": {"application/json"}},
		"refused, in a word": {"Content-Type": {"application/json"}},
	} {
		code, said := http.StatusUnauthorized, `{"message":"no: Bearer key-of-the-collector, /t/tenant-0123456789abcdef/v1/traces?k=key-of-the-query"}`
		switch name {
		case "partly taken":
			code, said = http.StatusOK, `{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no: key-of-the-collector"}}`
		case "refused, in a word":
			said = `{"message":"no: key-of-the-collector key-of-the-query tenant-0123456789abcdef"}`
		}
		c := &Client{
			URL: "http://collector/t/tenant-0123456789abcdef/v1/traces?k=key-of-the-query", Header: http.Header{"authorization": {"Bearer key-of-the-collector"}},
			Transport: transport(func(*http.Request) (*http.Response, error) { return reply(code, header, said), nil }),
		}
		got := c.post(t.Context(), nil).reason
		for _, secret := range []string{"key-of-the-collector", "key-of-the-query", "tenant-0123456789abcdef"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s: %q is in %q", name, secret, got)
			}
		}
		if !strings.Contains(got, "no: ") {
			t.Errorf("%s: what was said is gone: %q", name, got)
		}
	}
}
