package access

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"github.com/tapway/tapway"
)

// Webhooks is the decider of calls that a provider signs with a secret that it shares with us,
// because it cannot send an API key. The body is verified before the backend sees it.
//
// What is wrong with a signature is told in the record only: to the client every refusal but that
// of an address is the same.
type Webhooks struct {
	Default Auth     // of calls whose rule says nothing
	Webhook *Webhook // of calls whose rule has none of its own; nil refuses them
	Rules   *Rules
	Bodies  *Bodies
	State   *State
}

func (*Webhooks) Phase() Phase { return Authentication }
func (*Webhooks) Name() string { return "webhook" }

// signatureVerdict is what is made of a webhook's signature.
type signatureVerdict uint8

const (
	signatureValid     signatureVerdict = iota
	signatureMissing                    // a header that it needs is not there
	signatureMalformed                  // a header is not as the provider writes it, or there twice
	signatureWrong
	signatureExpired  // its time is too long ago
	signatureEarly    // its time is too far ahead
	signatureReplayed // it has been here before
	signatureVerdicts
)

func (v signatureVerdict) String() string {
	return [...]string{"valid", "missing", "malformed", "wrong", "expired", "from the future", "replayed"}[v]
}

var (
	signatureRefusals = func() (all [signatureVerdicts]*Refusal) {
		for v := range signatureVerdicts {
			all[v] = Unauthorized("webhook: signature " + v.String())
		}
		return all
	}()

	// damagedBody is wrong because of what a front does to bytes that are no UTF-8.
	damagedBody   = Unauthorized("webhook: signature wrong, of a body that the front has changed")
	webhookNoRule = Unauthorized("webhook: no signature is configured")
	webhookFrom   = Forbidden("webhook: address")
	replaysFull   = &Refusal{Status: http.StatusServiceUnavailable, Type: "ServiceUnavailableException", Body: unavailableBody, RetryAfter: time.Second, Reason: "webhook: no room to remember the signature"}
)

// Decide is Decider. A call whose path can be read in several ways needs the signatures of all.
func (w *Webhooks) Decide(r *Request) *Refusal {
	asked := false
	for _, rule := range w.Rules.of(r) {
		if rule.auth(w.Default) != ByWebhook {
			continue
		}
		asked = true
		hook := w.Webhook
		if rule != nil && rule.Webhook != nil {
			hook = rule.Webhook
		}
		if refusal := w.one(r, hook); refusal != nil {
			w.forget(r) // End is not called for the decider that refuses
			return refusal
		}
	}
	if !asked {
		r.Because("no webhook signature is asked for")
	}
	return nil
}

func (w *Webhooks) one(r *Request, hook *Webhook) *Refusal {
	if hook == nil {
		return webhookNoRule
	}
	if hook.from != nil && !hook.from.Contains(r.Client) {
		r.Because("%s does not call from this address", hook.provider)
		return webhookFrom
	}
	var c claim
	verdict := hook.scheme.read(r.HTTP.Header, &c)
	if verdict == signatureValid && c.timed {
		verdict = hook.judgeTime(c.unix, r.Now)
	}
	if verdict != signatureValid { // without reading the body of somebody who has proved nothing
		r.Because("the %s signature is %s", hook.provider, verdict)
		return signatureRefusals[verdict]
	}
	body, refusal := w.Bodies.read(r)
	if refusal != nil {
		return refusal
	}
	if !hook.verify(&c, body) {
		r.Because("the %s signature is wrong for a body of %d bytes", hook.provider, len(body))
		if r.facts != nil && contains(r.facts.Fidelity, tapway.FidelityBodyEncoding) {
			return damagedBody
		}
		return signatureRefusals[signatureWrong]
	}
	if hook.once && !r.Dry {
		seen := hook.fingerprint(&c, body)
		switch fresh, room := w.State.replays.add(seen, time.Unix(c.unix, 0).Add(hook.window), r.Now); {
		case !room:
			return replaysFull
		case !fresh:
			return signatureRefusals[signatureReplayed]
		}
		r.seen = append(r.seen, seen)
	}
	r.Because("the %s signature is valid", hook.provider)
	return nil
}

// End is Holder: a call that a later rule refused may come again.
func (w *Webhooks) End(r *Request, served bool) {
	if !served {
		w.forget(r)
	}
}

func (w *Webhooks) forget(r *Request) {
	for _, one := range r.seen {
		w.State.replays.remove(one)
	}
	r.seen = nil
}

// Webhook is how the calls of one provider are signed. Make one with NewWebhook.
type Webhook struct {
	name     string // sets its replays apart from those of others
	provider string
	scheme   scheme
	keys     [][]byte
	window   time.Duration
	once     bool
	from     *Origins // nil: any address
}

// WebhookOptions say how calls are signed.
type WebhookOptions struct {
	Name     string // of the route, or whatever else tells webhooks apart
	Provider string // "github", "standard", "stripe", "slack" or "hmac"

	// Secrets are the shared ones, as the provider shows them; several while one is replaced by
	// another.
	Secrets []tapway.Secret

	// Window is how far the time of a signature may be from ours, either way; 0 is 5 min. GitHub
	// signs no time.
	Window time.Duration

	// Once refuses what has been here within the window. It needs a signed time.
	Once bool

	From *Origins // where the provider calls from; nil: anywhere
	HMAC HMAC     // with Provider "hmac"
}

// The bounds of a Window.
const (
	DefaultWindow = 5 * time.Minute
	MaxWindow     = time.Hour
)

// NewWebhook makes a Webhook. Its errors never show a secret.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	w := &Webhook{name: o.Name, provider: o.Provider, window: o.Window, once: o.Once, from: o.From}
	if w.window == 0 {
		w.window = DefaultWindow
	}
	if w.window < time.Second || w.window > MaxWindow {
		return nil, fmt.Errorf("a window of %v is none; write 1s to %v", w.window, MaxWindow)
	}
	var err error
	if w.scheme, err = newScheme(o.Provider, o.HMAC); err != nil {
		return nil, err
	}
	if w.once && !w.scheme.timed() {
		return nil, fmt.Errorf("what %s signs has no time, so replays cannot be told", o.Provider)
	}
	if len(o.Secrets) == 0 {
		return nil, fmt.Errorf("there is no secret")
	}
	for i, secret := range o.Secrets {
		key, err := secretKey(o.Provider, secret)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		w.keys = append(w.keys, key)
	}
	return w, nil
}

func (w *Webhook) judgeTime(unix int64, now time.Time) signatureVerdict {
	switch away := now.Sub(time.Unix(unix, 0)); {
	case away > w.window:
		return signatureExpired
	case away < -w.window:
		return signatureEarly
	}
	return signatureValid
}

// verify reports whether any of the signatures is one of any of the keys.
func (w *Webhook) verify(c *claim, body []byte) bool {
	valid := false
	for _, key := range w.keys {
		mac := w.scheme.sum(key, c, body)
		for _, offer := range c.offers {
			if w.scheme.matches(mac, offer) {
				valid = true
			}
		}
	}
	return valid
}

// fingerprint is what a replay has in common with what it replays. It is of what was signed, not
// of a signature: there is one for every secret, and either may be left out.
func (w *Webhook) fingerprint(c *claim, body []byte) (out [sha256.Size]byte) {
	h := sha256.New()
	for _, part := range [...]string{w.name, c.before, c.after} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	h.Write(body)
	h.Sum(out[:0])
	return out
}
