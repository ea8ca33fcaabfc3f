package access

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// TestWebhookHeadersTwice: a header of a signature that is there twice, or a list that can be read in two ways, proves nothing.
func TestWebhookHeadersTwice(t *testing.T) {
	const at = 1_750_000_000
	for provider, secret := range testSecrets {
		good := signed(provider, secret, "{}", at)
		for i := 0; i < len(good); i += 2 {
			for _, more := range []string{good[i+1], "", "x"} {
				for _, first := range []bool{false, true} {
					headers := append(good[:len(good):len(good)], good[i], more)
					if first {
						headers = append([]string{good[i], more}, good...)
					}
					w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: provider}, tapway.Secret(secret))))
					w.now = time.Unix(at, 0)
					if got, _ := w.post(t, "{}", headers...); got.status != 401 || w.served != 0 {
						t.Errorf("%s with %s twice, %q: %d", provider, good[i], more, got.status)
					}
				}
			}
		}
	}
	right := signed("stripe", testSecrets["stripe"], "{}", at)[1]
	_, v1, _ := strings.Cut(right, ",v1=")
	for header, ok := range map[string]bool{
		right: true, right + ",v1=" + v1: true, "t=1750000000,v1=00,v1=" + v1: true, "v1=" + v1 + ",t=1750000000": true, right + ",v0=00,x=y": true,
		"t=1750000000, v1=" + v1: false, right + ",": false, right + ",t=1750000000": false, "t=1750000001,v1=" + v1: false, "T=1750000000,v1=" + v1: false,
		"t=1750000000,v1=" + strings.ToUpper(v1): false, "t=1750000000,v1=" + v1 + "=": false, "t=1750000000,v2=" + v1: false, "t=1750000000;v1=" + v1: false,
		right + strings.Repeat(",v1=00", maxOffers-1): true, right + strings.Repeat(",v1=00", maxOffers): false,
	} {
		w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: "stripe"}, tapway.Secret(testSecrets["stripe"]))))
		w.now = time.Unix(at, 0)
		if got, _ := w.post(t, "{}", "Stripe-Signature", header); (got.status == 200) != ok {
			t.Errorf("%q: %d %s", header, got.status, w.call.Error)
		}
	}
}

// TestWebhookBytes: what is signed are the bytes that come, whatever coding they have, and those the backend gets.
func TestWebhookBytes(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(`{"a":1}`))
	z.Close()
	w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: "github"}, githubSecret)))
	for _, tt := range []struct {
		name, sent, signed string
		status             int
	}{
		{"packed", packed.String(), packed.String(), 200},
		{"packed, signed before that", packed.String(), `{"a":1}`, 401},
		{"no body", "", "", 200},
		{"no body, signed as an object", "", "{}", 401},
		{"bytes that are no UTF-8", "\xff\x00\xfe", "\xff\x00\xfe", 200},
		{"a line feed more", "{}\n", "{}", 401},
		{"a byte order mark more", "\ufeff{}", "{}", 401},
	} {
		headers := append(signed("github", githubSecret, tt.signed, 0), "Content-Encoding", "gzip", "X-Hub-Signature", "sha1=00")
		if got, read := w.post(t, tt.sent, headers...); got.status != tt.status || got.status == 200 && read != tt.sent {
			t.Errorf("%s: %d %s, the backend reads %q", tt.name, got.status, w.call.Error, read)
		}
	}
}
