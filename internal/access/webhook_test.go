package access

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/tapway/tapway"
)

const (
	githubSecret   = "It's a Secret to Everybody"
	slackSecret    = "8f742231b10e8888abcd99yyyzzz85a5"
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	slackBody      = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)

func hook(t testing.TB, o WebhookOptions, secrets ...tapway.Secret) *Webhook {
	t.Helper()
	o.Secrets = secrets
	w, err := NewWebhook(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func hooks(w *Webhook) *Webhooks {
	s := &State{}
	return &Webhooks{Default: ByWebhook, Webhook: w, State: s, Bodies: &Bodies{Max: 1 << 20, Total: 1 << 22, State: s}}
}

// send makes a call with a body; it gives what the backend read as well.
func (w *world) send(t testing.TB, path string, body io.Reader, length int64, headers ...string) (answer, string) {
	t.Helper()
	r := httptest.NewRequest("POST", path, body)
	r.ContentLength, r.RemoteAddr = length, w.from
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w.call = &tapway.Call{ID: tapway.NewID(time.Now())}
	out, got := httptest.NewRecorder(), ""
	w.gate.Wrap(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.served++
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the backend reads: %v", err)
		}
		if r.ContentLength != length {
			t.Errorf("the backend is told of %d bytes, not %d", r.ContentLength, length)
		}
		got = string(text)
	})).ServeHTTP(out, r.WithContext(tapway.WithCall(r.Context(), w.call)))
	return answer{out.Code, out.Body.String(), out.Header()}, got
}

func (w *world) post(t testing.TB, body string, headers ...string) (answer, string) {
	t.Helper()
	return w.send(t, "/", strings.NewReader(body), int64(len(body)), headers...)
}

// TestWebhookVectors: the signatures that the providers publish.
func TestWebhookVectors(t *testing.T) {
	github := []string{"X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}
	slack := []string{"X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503", "X-Slack-Request-Timestamp", "1531420618"}
	standard := []string{"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", "1614265330", "webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
	svix := []string{"svix-id", standard[1], "svix-timestamp", standard[3], "svix-signature", standard[5]}
	for _, tt := range []struct {
		name, provider, body string
		secret               tapway.Secret
		at                   int64
		headers              []string
	}{
		{"github", "github", "Hello, World!", githubSecret, 0, github},
		{"slack", "slack", slackBody, slackSecret, 1531420618, slack},
		{"standard", "standard", `{"test": 2432232314}`, standardSecret, 1614265330, standard},
		{"svix", "standard", `{"test": 2432232314}`, standardSecret, 1614265330, svix},
	} {
		w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: tt.provider}, tt.secret)))
		w.now = time.Unix(tt.at, 0)
		if got, body := w.post(t, tt.body, tt.headers...); got.status != 200 || body != tt.body {
			t.Errorf("%s: %d %s, and the backend read %q", tt.name, got.status, w.call.Error, body)
		}
		if got, _ := w.post(t, tt.body+" ", tt.headers...); got.status != 401 || w.call.Error != "webhook: signature wrong" {
			t.Errorf("%s with another body: %d %s", tt.name, got.status, w.call.Error)
		}
	}
}

// signed gives the headers of a call as a provider signs it.
func signed(provider, secret, body string, at int64) []string {
	sum := func(key []byte, parts ...string) []byte {
		mac := hmac.New(sha256.New, key)
		for _, p := range parts {
			mac.Write([]byte(p))
		}
		return mac.Sum(nil)
	}
	ts := strconv.FormatInt(at, 10)
	switch provider {
	case "github":
		return []string{"X-Hub-Signature-256", "sha256=" + hex.EncodeToString(sum([]byte(secret), body))}
	case "stripe":
		return []string{"Stripe-Signature", "t=" + ts + ",v1=" + hex.EncodeToString(sum([]byte(secret), ts, ".", body))}
	case "slack":
		return []string{"X-Slack-Signature", "v0=" + hex.EncodeToString(sum([]byte(secret), "v0:", ts, ":", body)), "X-Slack-Request-Timestamp", ts}
	case "standard":
		key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		return []string{"Webhook-Id", "msg_1", "Webhook-Timestamp", ts, "Webhook-Signature", "v1," + base64.StdEncoding.EncodeToString(sum(key, "msg_1.", ts, ".", body))}
	}
	panic(provider)
}

var testSecrets = map[string]string{"github": githubSecret, "stripe": "whsec_not-base64-at-all!", "slack": slackSecret, "standard": standardSecret}

// TestWebhookFlippedBit: one bit of a header or of the body changed is never admitted.
func TestWebhookFlippedBit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		provider := rapid.SampledFrom([]string{"github", "stripe", "slack", "standard"}).Draw(rt, "provider")
		body := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(rt, "body")
		at := rapid.Int64Range(1_700_000_000, 1_800_000_000).Draw(rt, "at")
		headers := signed(provider, testSecrets[provider], string(body), at)
		w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: provider}, tapway.Secret(testSecrets[provider]))))
		w.now = time.Unix(at, 0)
		if got, _ := w.post(t, string(body), headers...); got.status != 200 {
			rt.Fatalf("untouched: %d %s", got.status, w.call.Error)
		}
		parts := [][]byte{bytes.Clone(body)}
		for i := 1; i < len(headers); i += 2 {
			parts = append(parts, []byte(headers[i]))
		}
		which := rapid.IntRange(0, len(parts)-1).Draw(rt, "part")
		if len(parts[which]) == 0 {
			which = 1
		}
		at2 := rapid.IntRange(0, len(parts[which])*8-1).Draw(rt, "bit")
		parts[which][at2/8] ^= 1 << (at2 % 8)
		for i := 1; i < len(parts); i++ {
			headers[2*i-1] = string(parts[i])
		}
		if got, _ := w.post(t, string(parts[0]), headers...); got.status != 401 || w.served != 1 {
			rt.Fatalf("bit %d of part %d flipped: %d", at2, which, got.status)
		}
	})
}

func TestWebhookRefusals(t *testing.T) {
	const at = 1_750_000_000
	std := func(headers ...string) []string { return headers }
	good := signed("standard", standardSecret, "{}", at)
	sig := good[5]
	for _, tt := range []struct {
		name, provider string
		headers        []string
		want           string
	}{
		{"nothing", "standard", nil, "missing"},
		{"no id", "standard", std("Webhook-Timestamp", "1", "Webhook-Signature", sig), "missing"},
		{"no time", "standard", std("Webhook-Id", "msg_1", "Webhook-Signature", sig), "missing"},
		{"no signature", "standard", good[:4], "missing"},
		{"empty", "standard", append(good[:4:4], "Webhook-Signature", ""), "missing"},
		{"two ids", "standard", append(good[:6:6], "Webhook-Id", "msg_2"), "malformed"},
		{"two signatures' headers", "standard", append(good[:6:6], "Webhook-Signature", sig), "malformed"},
		{"names mixed", "standard", std("Svix-Id", "msg_1", "Webhook-Timestamp", good[3], "Webhook-Signature", sig), "missing"},
		{"time with a plus", "standard", std("Webhook-Id", "msg_1", "Webhook-Timestamp", "+1750000000", "Webhook-Signature", sig), "malformed"},
		{"time with a zero", "standard", std("Webhook-Id", "msg_1", "Webhook-Timestamp", "01750000000", "Webhook-Signature", sig), "malformed"},
		{"dot in the id", "standard", std("Webhook-Id", "msg.1", "Webhook-Timestamp", good[3], "Webhook-Signature", sig), "malformed"},
		{"another version", "standard", append(good[:4:4], "Webhook-Signature", "v1a,"+sig[3:]), "malformed"},
		{"too many", "standard", append(good[:4:4], "Webhook-Signature", strings.Repeat("v1,x ", 16)+sig), "malformed"},
		{"another's", "standard", append(good[:4:4], "Webhook-Signature", "v1,AAAA"), "wrong"},
		{"unpadded", "standard", append(good[:4:4], "Webhook-Signature", strings.TrimRight(sig, "=")), "wrong"},
		{"sha1", "github", std("X-Hub-Signature", "sha1=00"), "missing"},
		{"no prefix", "github", std("X-Hub-Signature-256", strings.Repeat("0", 71)), "malformed"},
		{"short", "github", std("X-Hub-Signature-256", "sha256=00"), "malformed"},
		{"upper case", "github", std("X-Hub-Signature-256", "sha256="+strings.ToUpper(signed("github", githubSecret, "{}", at)[1][7:])), "wrong"},
		{"no time", "stripe", std("Stripe-Signature", "v1=00"), "malformed"},
		{"two times", "stripe", std("Stripe-Signature", "t=1750000000,"+signed("stripe", testSecrets["stripe"], "{}", at)[1]), "malformed"},
		{"only v0", "stripe", std("Stripe-Signature", "t=1750000000,v0=00"), "malformed"},
		{"no value", "stripe", std("Stripe-Signature", "t"), "malformed"},
		{"no version", "slack", std("X-Slack-Signature", "00", "X-Slack-Request-Timestamp", "1750000000"), "malformed"},
	} {
		t.Run(tt.provider+" "+tt.name, func(t *testing.T) {
			w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: tt.provider}, tapway.Secret(testSecrets[tt.provider]))))
			w.now = time.Unix(at, 0)
			got, _ := w.post(t, "{}", tt.headers...)
			if want := "webhook: signature " + tt.want; got.status != 401 || w.call.Error != want || w.call.Origin != tapway.OriginGateway {
				t.Errorf("%d, recorded %q; want %q", got.status, w.call.Error, want)
			}
			if got.body != `{"message":"Unauthorized"}` {
				t.Errorf("the client is told %s", got.body)
			}
		})
	}
}

// TestWebhookWindow: the last second inside, the first outside, on both sides.
func TestWebhookWindow(t *testing.T) {
	const at = 1_750_000_000
	for _, provider := range []string{"standard", "stripe", "slack"} {
		for _, tt := range []struct {
			away time.Duration
			want string
		}{
			{DefaultWindow, ""}, {DefaultWindow + time.Second, "webhook: signature expired"},
			{-DefaultWindow, ""}, {-DefaultWindow - time.Second, "webhook: signature from the future"},
		} {
			w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: provider}, tapway.Secret(testSecrets[provider]))))
			w.now = time.Unix(at, 0).Add(tt.away)
			w.post(t, "{}", signed(provider, testSecrets[provider], "{}", at)...)
			if w.call.Error != tt.want {
				t.Errorf("%s, %v away: %q, want %q", provider, tt.away, w.call.Error, tt.want)
			}
		}
	}
}

// TestWebhookRotation: while a secret is replaced either is valid, at whichever end.
func TestWebhookRotation(t *testing.T) {
	const old, fresh = "the-old-secret", "the-new-secret"
	w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: "stripe"}, fresh, old)))
	w.now = time.Unix(1_750_000_000, 0)
	a, b := signed("stripe", old, "{}", w.now.Unix())[1], signed("stripe", fresh, "{}", w.now.Unix())[1]
	both := a + b[strings.IndexByte(b, ','):]
	for name, header := range map[string]string{"old": a, "new": b, "both": both} {
		if got, _ := w.post(t, "{}", "Stripe-Signature", header); got.status != 200 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	w.rules(hooks(hook(t, WebhookOptions{Provider: "stripe"}, fresh)))
	if got, _ := w.post(t, "{}", "Stripe-Signature", a); got.status != 401 {
		t.Errorf("the old one afterwards: %d", got.status)
	}
}

// TestWebhookReplay: what has been here is refused while its time is valid, also with another of
// its signatures; what a later rule refused, and a retry with its own time, are not.
func TestWebhookReplay(t *testing.T) {
	const old = "whsec_b2xkIHNlY3JldCBvZiBvdXJz"
	d := hooks(hook(t, WebhookOptions{Provider: "standard", Once: true}, standardSecret, old))
	w := newWorld(t, d)
	w.now = time.Unix(1_750_000_000, 0)
	call := signed("standard", standardSecret, "{}", w.now.Unix())
	other := signed("standard", old, "{}", w.now.Unix())
	want := func(what string, status int, reason string, headers []string) {
		t.Helper()
		if got, _ := w.post(t, "{}", headers...); got.status != status || w.call.Error != reason {
			t.Errorf("%s: %d %q, want %d %q", what, got.status, w.call.Error, status, reason)
		}
	}
	w.rules(d, &Methods{Allowed: []string{"GET"}})
	want("refused later", 403, "method not allowed", call)
	w.rules(d)
	want("first", 200, "", call)
	want("again", 401, "webhook: signature replayed", call)
	want("under another secret", 401, "webhook: signature replayed", other)
	w.now = w.now.Add(5 * time.Minute)
	want("at the end of its window", 401, "webhook: signature replayed", call)
	want("retry", 200, "", signed("standard", standardSecret, "{}", w.now.Unix()))
	if len(d.State.replays.until) != 2 {
		t.Errorf("%d are remembered, want 2", len(d.State.replays.until))
	}
	w.now = w.now.Add(11 * time.Minute)
	want("much later", 200, "", signed("standard", standardSecret, "{}", w.now.Unix()))
	if len(d.State.replays.until) != 1 {
		t.Errorf("%d are remembered after the others expired, want 1", len(d.State.replays.until))
	}
}

// TestWebhookReplayAtOnce: of many copies at the same moment one passes.
func TestWebhookReplayAtOnce(t *testing.T) {
	d := hooks(hook(t, WebhookOptions{Provider: "standard", Once: true}, standardSecret))
	call := signed("standard", standardSecret, "{}", time.Now().Unix())
	var passed sync.Map
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			w := newWorld(t, d)
			if got, _ := w.post(t, "{}", call...); got.status == 200 {
				passed.Store(i, true)
			}
		})
	}
	all.Wait()
	n := 0
	passed.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d copies passed", n)
	}
}

func TestReplayRoom(t *testing.T) {
	var p replays
	now := time.Unix(1_750_000_000, 0)
	name := func(i int) (out [sha256.Size]byte) { copy(out[:], strconv.Itoa(i)); return }
	for i := range maxReplays {
		if fresh, room := p.add(name(i), now.Add(time.Minute), now); !fresh || !room {
			t.Fatalf("%d: %v %v", i, fresh, room)
		}
	}
	if _, room := p.add(name(-1), now.Add(time.Minute), now); room {
		t.Error("there is room for one more than there should be")
	}
	if fresh, room := p.add(name(-1), now.Add(time.Hour), now.Add(61*time.Second)); !fresh || !room {
		t.Error("what has expired keeps its room")
	}
}

func TestHMAC(t *testing.T) {
	key := []byte("shared-secret")
	mac := func(text string) []byte { m := hmac.New(sha256.New, key); m.Write([]byte(text)); return m.Sum(nil) }
	for _, tt := range []struct {
		name    string
		o       HMAC
		headers []string
		want    int
	}{
		{"bare", HMAC{Header: "x-sig"}, []string{"X-Sig", hex.EncodeToString(mac("{}"))}, 200},
		{"upper case", HMAC{Header: "X-Sig"}, []string{"X-Sig", strings.ToUpper(hex.EncodeToString(mac("{}")))}, 200},
		{"shop's base64", HMAC{Header: "X-Shopify-Hmac-Sha256", Encoding: "base64"}, []string{"X-Shopify-Hmac-Sha256", base64.StdEncoding.EncodeToString(mac("{}"))}, 200},
		{"prefix", HMAC{Header: "X-Sig", Prefix: "sha256="}, []string{"X-Sig", "sha256=" + hex.EncodeToString(mac("{}"))}, 200},
		{"no prefix", HMAC{Header: "X-Sig", Prefix: "sha256="}, []string{"X-Sig", hex.EncodeToString(mac("{}"))}, 401},
		{"time", HMAC{Header: "X-Sig", TimestampHeader: "X-Time"}, []string{"X-Sig", hex.EncodeToString(mac("1750000000.{}")), "X-Time", "1750000000"}, 200},
		{"late", HMAC{Header: "X-Sig", TimestampHeader: "X-Time"}, []string{"X-Sig", hex.EncodeToString(mac("1749999699.{}")), "X-Time", "1749999699"}, 401},
		{"no time", HMAC{Header: "X-Sig", TimestampHeader: "X-Time"}, []string{"X-Sig", hex.EncodeToString(mac(".{}"))}, 401},
		{"template", HMAC{Header: "X-Sig", TimestampHeader: "X-Time", Template: "{header:X-Id}|{timestamp}|{body}!"}, []string{"X-Sig", hex.EncodeToString(mac("7|1750000000|{}!")), "X-Time", "1750000000", "X-Id", "7"}, 200},
		{"template's header missing", HMAC{Header: "X-Sig", Template: "{header:X-Id}|{body}"}, []string{"X-Sig", hex.EncodeToString(mac("|{}"))}, 401},
	} {
		w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: "hmac", HMAC: tt.o}, tapway.Secret(key))))
		w.now = time.Unix(1_750_000_000, 0)
		if got, _ := w.post(t, "{}", tt.headers...); got.status != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, got.status, w.call.Error, tt.want)
		}
	}
}

func TestNewWebhookErrors(t *testing.T) {
	for _, tt := range []struct {
		o    WebhookOptions
		want string
	}{
		{WebhookOptions{Provider: "gitlab"}, `"gitlab" is no provider`},
		{WebhookOptions{Provider: "github"}, "there is no secret"},
		{WebhookOptions{Provider: "github", Secrets: []tapway.Secret{"1234567"}}, "secret 1: it has 7 characters"},
		{WebhookOptions{Provider: "standard", Secrets: []tapway.Secret{"whsec_!!!!!!"}}, "not the base64"},
		{WebhookOptions{Provider: "standard", Secrets: []tapway.Secret{"whpk_12345678"}}, "ed25519"},
		{WebhookOptions{Provider: "github", Once: true, Secrets: []tapway.Secret{"12345678"}}, "has no time"},
		{WebhookOptions{Provider: "slack", Window: 2 * time.Hour}, "a window of 2h0m0s is none"},
		{WebhookOptions{Provider: "hmac"}, "set header"},
		{WebhookOptions{Provider: "hmac", HMAC: HMAC{Header: "X", Algorithm: "md5"}}, `"md5" is no algorithm`},
		{WebhookOptions{Provider: "hmac", HMAC: HMAC{Header: "X", Encoding: "hox"}}, `"hox" is no encoding`},
		{WebhookOptions{Provider: "hmac", HMAC: HMAC{Header: "X", Template: "{timestamp}{body}"}}, "there is no timestamp_header"},
		{WebhookOptions{Provider: "hmac", HMAC: HMAC{Header: "X", TimestampHeader: "T", Template: "{body}"}}, "can be changed"},
		{WebhookOptions{Provider: "hmac", HMAC: HMAC{Header: "X", Template: "{body}{body}"}}, "{body} once"},
		{WebhookOptions{Provider: "hmac", HMAC: HMAC{Header: "X", Template: "{body"}}, "is not closed"},
		{WebhookOptions{Provider: "hmac", HMAC: HMAC{Header: "X", Template: "{url}{body}"}}, "{url} is not known"},
		{WebhookOptions{Provider: "hmac", HMAC: HMAC{Header: "X", Template: "{header:A}{header:B}{body}"}}, "nothing between"},
	} {
		if _, err := NewWebhook(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "12345678") {
			t.Errorf("%+v: %v, want %s", tt.o, err, tt.want)
		}
	}
}

// TestWebhookRoutes: a route's own signatures, whatever spelling its path has.
func TestWebhookRoutes(t *testing.T) {
	pattern, err := ParsePattern("POST /hooks/github")
	if err != nil {
		t.Fatal(err)
	}
	d := hooks(nil)
	d.Default = NoAuth
	d.Rules = &Rules{List: []Rule{{Match: pattern, Webhook: hook(t, WebhookOptions{Provider: "github"}, githubSecret)}}}
	w := newWorld(t, d)
	for path, want := range map[string]int{"/hooks/github": 401, "/Hooks//%67ithub/": 401, "/x/../hooks/github": 401, "/hooks": 200, "/hooks/githubs": 200} {
		if got, _ := w.send(t, path, strings.NewReader("{}"), 2); got.status != want {
			t.Errorf("%s: %d, want %d", path, got.status, want)
		}
	}
	if got, _ := w.send(t, "/hooks/github", strings.NewReader("{}"), 2, signed("github", githubSecret, "{}", 0)...); got.status != 200 {
		t.Errorf("signed: %d", got.status)
	}
	d = hooks(nil)
	d.Rules = &Rules{List: []Rule{{Match: pattern, Auth: ByWebhook}}}
	w = newWorld(t, d)
	if got, _ := w.send(t, "/hooks/github", strings.NewReader("{}"), 2); got.status != 401 {
		t.Errorf("signatures asked for without any being configured: %d", got.status)
	}
}

// TestWebhookReadings: a path that can be read as either of two routes needs the signatures of
// both, and what one of them refuses is not remembered by the other.
func TestWebhookReadings(t *testing.T) {
	a, _ := ParsePattern("POST /a/{proxy+}")
	b, _ := ParsePattern("POST /b")
	d := hooks(nil)
	d.Default = NoAuth
	d.Rules = &Rules{List: []Rule{
		{Match: a, Webhook: hook(t, WebhookOptions{Name: "a", Provider: "standard", Once: true}, standardSecret)},
		{Match: b, Webhook: hook(t, WebhookOptions{Name: "b", Provider: "github"}, githubSecret)},
	}}
	w := newWorld(t, d)
	first := signed("standard", standardSecret, "{}", time.Now().Unix())
	if got, _ := w.send(t, "/a/../b", strings.NewReader("{}"), 2, first...); got.status != 401 || w.call.Error != "webhook: signature missing" {
		t.Errorf("one of two: %d %s", got.status, w.call.Error)
	}
	if got, _ := w.send(t, "/a/../b", strings.NewReader("{}"), 2, append(first, signed("github", githubSecret, "{}", 0)...)...); got.status != 200 {
		t.Errorf("both: %d %s", got.status, w.call.Error)
	}
}

// TestBodyBounds: the last byte inside, the first outside, whether the length is told or not; and
// what is held at once is bounded and given back.
func TestBodyBounds(t *testing.T) {
	d := hooks(hook(t, WebhookOptions{Provider: "github"}, githubSecret))
	d.Bodies.Max, d.Bodies.Total = 10_000, 12_000
	w := newWorld(t, d)
	for _, n := range []int{0, 1, 4095, 4096, 4097, 10_000, 10_001} {
		body := strings.Repeat("x", n)
		for _, length := range []int64{int64(n), -1} {
			if n == 0 && length < 0 {
				continue
			}
			want := 200
			if n > 10_000 {
				want = 413
			}
			got, read := w.send(t, "/", iotest.HalfReader(strings.NewReader(body)), length, signed("github", githubSecret, body, 0)...)
			if got.status != want || want == 200 && read != body {
				t.Errorf("%d bytes (length %d): %d %s, and the backend read %d", n, length, got.status, w.call.Error, len(read))
			}
			if held := d.State.bodies.Load(); held != 0 {
				t.Fatalf("%d bytes are still held", held)
			}
		}
	}
	d.State.bodies.Store(8_000)
	if got, _ := w.post(t, strings.Repeat("x", 5000), signed("github", githubSecret, strings.Repeat("x", 5000), 0)...); got.status != 503 || got.header.Get("Retry-After") != "1" {
		t.Errorf("without room: %d", got.status)
	}
	if held := d.State.bodies.Load(); held != 8_000 {
		t.Errorf("%d bytes are held, want those of the others", held)
	}
}

type slow struct{}

func (slow) Error() string { return "slow" }
func (slow) Timeout() bool { return true }

func TestBodyBroken(t *testing.T) {
	d := hooks(hook(t, WebhookOptions{Provider: "github"}, githubSecret))
	w := newWorld(t, d)
	for want, err := range map[int]error{400: io.ErrUnexpectedEOF, 408: slow{}} {
		if got, _ := w.send(t, "/", io.MultiReader(strings.NewReader("{"), iotest.ErrReader(err)), 2, signed("github", githubSecret, "{}", 0)...); got.status != want {
			t.Errorf("%v: %d, want %d", err, got.status, want)
		}
	}
	d.Bodies.Status = func(error) int { return 413 }
	if got, _ := w.send(t, "/", iotest.ErrReader(errors.New("too much")), 2, signed("github", githubSecret, "{}", 0)...); got.status != 413 {
		t.Errorf("the server's own bound: %d", got.status)
	}
}

// TestBodyUnread: who cannot be admitted is refused before a byte of the body is asked for.
func TestBodyUnread(t *testing.T) {
	w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: "slack"}, slackSecret)))
	unread := iotest.ErrReader(errors.New("it is read"))
	for _, headers := range [][]string{nil, {"X-Slack-Signature", "v0=00", "X-Slack-Request-Timestamp", "1"}} {
		if got, _ := w.send(t, "/", unread, 2, headers...); got.status != 401 {
			t.Errorf("%v: %d %s", headers, got.status, w.call.Error)
		}
	}
}

func TestWebhookExplain(t *testing.T) {
	d := hooks(hook(t, WebhookOptions{Provider: "standard", Once: true}, standardSecret))
	w := newWorld(t, d)
	ask := func(headers ...string) (string, *Refusal) {
		r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		r.RemoteAddr = w.from
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		steps, refusal := w.gate.chain.Load().Explain(r)
		for _, s := range steps {
			if s.Rule == "webhook" {
				return s.Why, refusal
			}
		}
		return "", refusal
	}
	if why, refusal := ask(); why != "the standard signature is missing" || refusal == nil {
		t.Errorf("%s", why)
	}
	for range 2 { // asking is not calling
		if why, refusal := ask(signed("standard", standardSecret, "{}", time.Now().Unix())...); why != "the standard signature is valid" || refusal != nil {
			t.Errorf("%s", why)
		}
	}
}

// TestWebhookServer: over a real connection, with chunks and a client that waits for 100.
func TestWebhookServer(t *testing.T) {
	d := hooks(hook(t, WebhookOptions{Provider: "github"}, githubSecret))
	var gate Gate
	gate.Set(NewChain(Options{}, &ClientAddress{}, d))
	server := httptest.NewServer(gate.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %s", len(body), r.Trailer.Get("X-After"))
	})))
	defer server.Close()
	body := strings.Repeat("0123456789", 10_000)
	for _, expect := range []string{"", "100-continue"} {
		req, _ := http.NewRequest("POST", server.URL, io.MultiReader(strings.NewReader(body))) // no length: chunks
		req.Trailer = http.Header{"X-After": {"done"}}
		req.Header.Set("X-Hub-Signature-256", signed("github", githubSecret, body, 0)[1])
		if expect != "" {
			req.Header.Set("Expect", expect)
		}
		res, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || string(text) != "100000 done" {
			t.Errorf("%q: %d %s", expect, res.StatusCode, text)
		}
	}
}

func FuzzWebhookHeaders(f *testing.F) {
	for provider, secret := range testSecrets {
		h := signed(provider, secret, "{}", 1_750_000_000)
		f.Add(provider, h[1], h[len(h)-1], "1750000000")
	}
	f.Add("stripe", "t=1,t=2,v1=", "", "")
	f.Fuzz(func(t *testing.T, provider, a, b, c string) {
		if testSecrets[provider] == "" {
			return
		}
		w := newWorld(t, hooks(hook(t, WebhookOptions{Provider: provider}, "another-secret-than-theirs")))
		w.now = time.Unix(1_750_000_000, 0)
		got, _ := w.post(t, "{}", "X-Hub-Signature-256", a, "Stripe-Signature", a, "X-Slack-Signature", a, "X-Slack-Request-Timestamp", c,
			"Webhook-Id", b, "Webhook-Timestamp", c, "Webhook-Signature", a)
		if got.status != 401 {
			t.Errorf("%s: %d", provider, got.status)
		}
	})
}
