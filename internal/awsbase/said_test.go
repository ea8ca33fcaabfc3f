package awsbase_test

import (
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/awsbase"
)

// What a service quotes of a request that it found wrongly signed is never shown.
func TestSaid(t *testing.T) {
	const wrong = "The request signature we calculated does not match the signature you provided."
	for text, want := range map[string]string{
		"":                                     "",
		"  no such \t\r\n queue\r\n\r\nsecret": "no such queue",
		wrong + "\n\nThe Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:secret": wrong,
		wrong + " The Canonical String for this request should have been 'POST / x-amz-security-token:secret":         wrong,
		strings.Repeat("x", 400):                      strings.Repeat("x", 400),
		strings.Repeat("x", 399) + "é" + "and secret": strings.Repeat("x", 399) + "…",
	} {
		if got := awsbase.Said(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
