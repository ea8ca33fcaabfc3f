package config

import (
	"fmt"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
)

// Webhook is how a provider signs its calls.
type Webhook struct {
	Provider        string          `yaml:"provider" required:"true" enum:"github standard stripe slack hmac" example:"hmac" doc:"Who signs. standard is Standard Webhooks (Svix and many others); hmac is whatever else is an HMAC of the body, as the keys below say."`
	Secret          []tapway.Secret `yaml:"secret" required:"true" example:"${WEBHOOK_SECRET:-change-me}" doc:"The shared secret as the provider shows it; a list of several while one is replaced."`
	Addresses       []string        `yaml:"addresses" kind:"addresses" example:"github-hooks" doc:"Where the provider calls from, others are answered 403: addresses, networks, and github-hooks for those that GitHub publishes (tapway access refresh github-hooks fetches them anew)."`
	Window          Duration        `yaml:"window" def:"5m" doc:"How far the time of a signature may be from ours, either way; at most 1h. GitHub signs none."`
	Replays         string          `yaml:"replays" enum:"refuse pass" doc:"What becomes of a call whose time, id and body have all been here within the window; default refuse with standard, where every attempt has a time of its own, and pass otherwise."`
	Header          string          `yaml:"header" example:"X-Signature" doc:"With hmac: the header that the signature stands in. Required there."`
	Algorithm       string          `yaml:"algorithm" enum:"sha256 sha1 sha512" doc:"With hmac: default sha256."`
	Encoding        string          `yaml:"encoding" enum:"hex base64 base64url" doc:"With hmac: default hex."`
	Prefix          string          `yaml:"prefix" example:"sha256=" doc:"With hmac: what stands before the signature in its header."`
	TimestampHeader string          `yaml:"timestamp_header" example:"X-Timestamp" doc:"With hmac: the header with the time that is signed, in seconds since 1970."`
	Template        string          `yaml:"template" example:"{timestamp}.{body}" doc:"With hmac: what is signed, of {body}, {timestamp} and {header:NAME}; default {body}, with timestamp_header {timestamp}.{body}."`
}

// Access is the webhook in the stage's words; name tells it apart from others.
func (w Webhook) Access(name string, hooks *access.HookFile) (*access.Webhook, error) {
	o := access.WebhookOptions{
		Name: name, Provider: w.Provider, Secrets: w.Secret, Window: w.Window.D(),
		Once: w.Replays == "refuse" || w.Replays == "" && w.Provider == "standard",
		HMAC: access.HMAC{Header: w.Header, Algorithm: w.Algorithm, Encoding: w.Encoding, Prefix: w.Prefix, TimestampHeader: w.TimestampHeader, Template: w.Template},
	}
	if len(w.Addresses) > 0 {
		o.From = new(access.Origins)
		var networks []string
		for _, text := range w.Addresses {
			if text == access.GitHubHooks {
				o.From.Hooks = hooks
			} else {
				networks = append(networks, text)
			}
		}
		var err error
		if o.From.Set, err = access.ParseSet(networks...); err != nil {
			return nil, err
		}
	}
	return access.NewWebhook(o)
}

func checkAddresses(s string) error {
	if s == access.GitHubHooks {
		return nil
	}
	if err := checkCIDR(s); err != nil {
		return fmt.Errorf("%w, or %s", err, access.GitHubHooks)
	}
	return nil
}

// webhook tests one webhook.
func (k *checker) webhook(key string, w *Webhook) {
	if w == nil || len(k.d.problems.At(key)) > 0 {
		return
	}
	if w.Provider != "hmac" {
		for name, value := range map[string]string{
			"header": w.Header, "algorithm": w.Algorithm, "encoding": w.Encoding, "prefix": w.Prefix, "timestamp_header": w.TimestampHeader, "template": w.Template,
		} {
			if value != "" {
				k.fail(key+"."+name, "only provider hmac can be told how it signs", "remove it, or write provider: hmac")
			}
		}
	}
	for name, value := range map[string]string{"header": w.Header, "timestamp_header": w.TimestampHeader} {
		if value != "" && !isHeaderName(value) {
			k.fail(key+"."+name, fmt.Sprintf("%q is not a header name", value), "")
		}
	}
	if len(k.d.problems.At(key)) > 0 {
		return
	}
	if _, err := w.Access(key, nil); err != nil {
		message, hint, _ := strings.Cut(err.Error(), "; ")
		k.fail(key, message, hint)
	}
}

func isHeaderName(s string) bool { return made(s, letters+"-!#$%&'*+.^_`|~", 1, 256) }
