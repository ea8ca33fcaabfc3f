package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/egress"
)

// Alarms is when somebody is to be told, and who. The rules hold without any configuration; they
// are then only shown.
type Alarms struct {
	DeadLetters       DeadLettersAlarm   `yaml:"dead_letters" doc:"Records that a destination would not take, for each destination."`
	OldestAge         OldestAgeAlarm     `yaml:"oldest_age" doc:"How long the oldest record has waited for a destination, for each destination."`
	ErrorRate         ErrorRateAlarm     `yaml:"error_rate" doc:"Share of the calls passed to the backend that it answered with 5xx or not at all."`
	DeliveryErrorRate DeliveryErrorAlarm `yaml:"delivery_error_rate" doc:"Share of the attempts to deliver that failed, for each destination."`
	Disk              DiskAlarm          `yaml:"disk" doc:"Free space where the data directory is."`
	LedgerDrops       LedgerDropsAlarm   `yaml:"ledger_drops" doc:"Calls that left no record because it could not be stored, or was damaged. What a rule leaves out is not counted."`

	Repeat  Duration `yaml:"repeat" def:"4h" doc:"Time between two messages of an alarm that goes on and that nobody has acknowledged. 0: there is one message only."`
	Notify  []Notify `yaml:"notify" doc:"Who is told. Without it alarms are shown by tapway alarm list, the console, the log and the metrics."`
	SMTP    SMTP     `yaml:"smtp" doc:"The server that mails are sent through."`
	Console string   `yaml:"console" kind:"console" example:"https://tapway.example.com" doc:"URL under which people reach the web console, for links in messages."`
}

// DeadLettersAlarm is one alarm's rule, as are the following.
type DeadLettersAlarm struct {
	Above    int      `yaml:"above" def:"0" doc:"Fires above so many."`
	For      Duration `yaml:"for" def:"0s" doc:"How long it must last before it fires."`
	Severity string   `yaml:"severity" def:"critical" enum:"critical warning" doc:"How bad it is."`
	Off      bool     `yaml:"off" doc:"Do not watch it."`
}

type OldestAgeAlarm struct {
	Above    Duration `yaml:"above" def:"5m" doc:"Fires above this age."`
	For      Duration `yaml:"for" def:"3m" doc:"How long it must last before it fires."`
	Severity string   `yaml:"severity" def:"warning" enum:"critical warning" doc:"How bad it is."`
	Off      bool     `yaml:"off" doc:"Do not watch it."`
}

type ErrorRateAlarm struct {
	Above    Share    `yaml:"above" def:"5%" doc:"Fires above this share."`
	Window   Duration `yaml:"window" def:"5m" doc:"Time over which calls are counted."`
	MinCalls int      `yaml:"min_calls" def:"20" doc:"With fewer calls in the window there is no alarm."`
	For      Duration `yaml:"for" def:"1m" doc:"How long it must last before it fires."`
	Severity string   `yaml:"severity" def:"warning" enum:"critical warning" doc:"How bad it is."`
	Off      bool     `yaml:"off" doc:"Do not watch it."`
}

type DeliveryErrorAlarm struct {
	Above       Share    `yaml:"above" def:"20%" doc:"Fires above this share."`
	Window      Duration `yaml:"window" def:"10m" doc:"Time over which attempts are counted."`
	MinAttempts int      `yaml:"min_attempts" def:"5" doc:"With fewer attempts in the window there is no alarm."`
	For         Duration `yaml:"for" def:"1m" doc:"How long it must last before it fires."`
	Severity    string   `yaml:"severity" def:"warning" enum:"critical warning" doc:"How bad it is."`
	Off         bool     `yaml:"off" doc:"Do not watch it."`
}

type DiskAlarm struct {
	Below    Size     `yaml:"below" def:"1GiB" doc:"Fires below so much free space."`
	For      Duration `yaml:"for" def:"1m" doc:"How long it must last before it fires."`
	Severity string   `yaml:"severity" def:"critical" enum:"critical warning" doc:"How bad it is."`
	Off      bool     `yaml:"off" doc:"Do not watch it."`
}

type LedgerDropsAlarm struct {
	Above    int      `yaml:"above" def:"0" doc:"Fires above so many in the window."`
	Window   Duration `yaml:"window" def:"5m" doc:"Time over which they are counted."`
	For      Duration `yaml:"for" def:"0s" doc:"How long it must last before it fires."`
	Severity string   `yaml:"severity" def:"warning" enum:"critical warning" doc:"How bad it is."`
	Off      bool     `yaml:"off" doc:"Do not watch it."`
}

// Notify is somebody to be told: by email or by a webhook.
type Notify struct {
	Name       string                   `yaml:"name" required:"true" example:"ops" doc:"Its name in commands, the log and metrics: letters, digits, '-', '_'."`
	Email      []string                 `yaml:"email" kind:"email" example:"ops@example.com" doc:"Addresses that get a mail, by way of alarms.smtp. Use this or webhook."`
	Webhook    tapway.Secret            `yaml:"webhook" doc:"URL that messages are POSTed to; it is a secret. With format: pagerduty it may be left out."`
	Format     string                   `yaml:"format" def:"json" enum:"json slack teams pagerduty" doc:"Form of a webhook's messages: plain JSON, Slack blocks, an adaptive card for a Teams workflow, or an event of PagerDuty's Events API v2."`
	RoutingKey tapway.Secret            `yaml:"routing_key" doc:"Integration key of a PagerDuty service."`
	Headers    map[string]tapway.Secret `yaml:"headers" doc:"Headers of a webhook's messages; values are secrets."`
	Signing    []tapway.Secret          `yaml:"signing_secret" doc:"Standard Webhooks secret (whsec_…) to sign a webhook's messages with; a list of several while rotating."`
	Severity   string                   `yaml:"severity" def:"warning" enum:"warning critical" doc:"The least severe alarms it is told of: warning is all of them, critical only those."`
}

// PagerDuty is where its Events API v2 is.
const PagerDuty = "https://events.pagerduty.com/v2/enqueue"

// URL is where a webhook's messages go; "" for mails.
func (n *Notify) URL() tapway.Secret {
	if n.Webhook == "" && n.Format == "pagerduty" {
		return PagerDuty
	}
	return n.Webhook
}

// SMTP is a mail server.
type SMTP struct {
	Host     string        `yaml:"host" example:"smtp.example.com" doc:"Its name."`
	Port     int           `yaml:"port" def:"0" doc:"Its port; 0 is 587 with starttls, 465 with implicit and 25 with none."`
	Username string        `yaml:"username" doc:"User name, if it wants one. It is sent over TLS only."`
	Password tapway.Secret `yaml:"password" doc:"Password."`
	TLS      string        `yaml:"tls" def:"starttls" enum:"starttls implicit none" doc:"starttls: a connection that does not become TLS is given up. implicit: TLS from the start. none: mails pass in the clear, and without a password. Certificates are verified."`
	CA       string        `yaml:"ca" kind:"pem" doc:"CA that signed its certificate: a PEM file, or the PEM itself; default the system's."`
	From     string        `yaml:"from" kind:"email" example:"tapway@example.com" doc:"Sender's address."`
}

// PortOrDefault is the port to be dialled.
func (s SMTP) PortOrDefault() int {
	if s.Port != 0 {
		return s.Port
	}
	return map[string]int{"starttls": 587, "implicit": 465, "none": 25}[s.TLS]
}

// Share is a part of a whole, 0 to 1, written as "5%" or 0.05.
type Share float64

// ParseShare reads "5%", "0.5%" or 0.05; a number without a percent sign is at most 1.
func ParseShare(s string) (Share, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		f /= 100
	}
	if err != nil || !(f >= 0 && f <= 1) {
		return 0, fmt.Errorf("%q is not a share: write 5%% or 0.05", s)
	}
	return Share(f), nil
}

func (s Share) String() string { return strconv.FormatFloat(float64(s)*100, 'f', -1, 64) + "%" }

// checkEmail wants a bare address of ASCII. What could end a line or an address is refused.
func checkEmail(s string) error {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > 254 || !made(local, letters+".!#$%&'*+-/=?^_`{|}~", 1, 64) || !made(domain, letters+".-", 1, 253) ||
		strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Trim(domain, ".-") != domain || strings.Contains(s, "..") {
		return fmt.Errorf("%q is not an email address; write name@example.com alone", s)
	}
	return nil
}

func checkConsole(s string) error { return checkURL(s, false) }

const (
	minRepeat = Duration(time.Minute)
	minWindow = Duration(10 * time.Second)
	maxWindow = Duration(24 * time.Hour)
)

func (k *checker) alarms(c *Config) {
	a := &c.Alarms
	if a.Repeat != 0 && a.Repeat < minRepeat && !k.failed("alarms.repeat") {
		k.fail("alarms.repeat", fmt.Sprintf("%v would be a flood of messages", a.Repeat), "write at least 1m, or 0 for no repeats")
	}
	k.window("alarms.error_rate.window", a.ErrorRate.Window)
	k.window("alarms.delivery_error_rate.window", a.DeliveryErrorRate.Window)
	k.window("alarms.ledger_drops.window", a.LedgerDrops.Window)
	k.share("alarms.error_rate.above", a.ErrorRate.Above)
	k.share("alarms.delivery_error_rate.above", a.DeliveryErrorRate.Above)
	k.positive("alarms.error_rate.min_calls", a.ErrorRate.MinCalls)
	k.positive("alarms.delivery_error_rate.min_attempts", a.DeliveryErrorRate.MinAttempts)
	if a.Disk.Below == 0 && !a.Disk.Off && !k.failed("alarms.disk.below") {
		k.fail("alarms.disk.below", "no disk ever has less than nothing", "write 1GiB, or off: true beside it")
	}
	seen := map[string]bool{}
	mails := false
	for i := range a.Notify {
		n := &a.Notify[i]
		key := fmt.Sprintf("alarms.notify[%d]", i)
		switch {
		case n.Name == "", k.d.isUnchecked(key + ".name"):
		case !made(n.Name, letters+"-_", 1, 64) || !made(n.Name[:1], letters, 1, 1):
			k.fail(key+".name", fmt.Sprintf("%q is not a name", n.Name), "use up to 64 letters, digits, '-' and '_'")
		case seen[n.Name]:
			k.fail(key+".name", fmt.Sprintf("%q is taken by one above", n.Name), "")
		}
		seen[n.Name] = true
		mails = mails || len(n.Email) > 0
		k.notify(key, n)
	}
	k.smtp(a, mails)
}

func (k *checker) window(key string, w Duration) {
	if (w < minWindow || w > maxWindow) && !k.failed(key) {
		k.fail(key, fmt.Sprintf("%v is no window to count in", w), "write 10s to 24h")
	}
}

func (k *checker) share(key string, s Share) {
	if s >= 1 && !k.failed(key) {
		k.fail(key, "nothing is ever above 100%", "write 5%, or off: true beside it")
	}
}

func (k *checker) notify(key string, n *Notify) {
	posts := n.Webhook != "" || n.Format == "pagerduty" || k.failed(key+".webhook")
	switch {
	case len(n.Email) > 0 && (n.Webhook != "" || n.Format == "pagerduty"):
		k.fail(key, "email and webhook exclude each other", "make two of them, each with a name")
	case len(n.Email) == 0 && !posts && !k.failed(key+".email"):
		k.fail(key, "there is nobody to tell", "set email or webhook")
	case len(n.Email) > 0 && (n.RoutingKey != "" || len(n.Headers) > 0 || len(n.Signing) > 0):
		k.fail(key, "headers, signing_secret and routing_key belong to a webhook", "remove them")
	}
	if n.Webhook != "" && !k.failed(key+".webhook") {
		if message, hint := webhookMistake(n.Webhook); message != "" {
			k.fail(key+".webhook", message, hint)
		}
	}
	if n.Format == "pagerduty" && n.RoutingKey == "" && !k.failed(key+".routing_key") {
		k.fail(key+".routing_key", "PagerDuty wants an integration key", "set routing_key: ${PAGERDUTY_KEY}")
	}
	if n.Format != "pagerduty" && n.RoutingKey != "" {
		k.fail(key+".routing_key", "only PagerDuty has one", "set format: pagerduty, or remove it")
	}
	for name := range n.Headers {
		if !made(name, letters+"-!#$%&'*+.^_`|~", 1, 1<<16) {
			k.fail(key+".headers", fmt.Sprintf("%q is not a header name", name), "")
		}
	}
}

// webhookMistake is checkURL that does not quote the URL.
func webhookMistake(secret tapway.Secret) (message, hint string) {
	u, err := url.Parse(secret.Reveal())
	switch {
	case err != nil:
		return "it is not a URL", "write https://host/path"
	case u.Scheme != "http" && u.Scheme != "https":
		return "it does not begin with http:// or https://", "write https://host/path"
	case u.Hostname() == "":
		return "it names no host", "write https://host/path"
	case u.User != nil:
		return "a URL must not hold a user name or password", "put it into headers"
	case u.Fragment != "":
		return "it has a #fragment, which is never sent", "remove it"
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "it has no port between 1 and 65535", ""
		}
	}
	return "", ""
}

func (k *checker) smtp(a *Alarms, mails bool) {
	s := &a.SMTP
	if s.Host != "" && (!made(s.Host, letters+"-.:", 1, 253) || strings.Contains(s.Host, ":") && net.ParseIP(s.Host) == nil) && !k.failed("alarms.smtp.host") {
		k.fail("alarms.smtp.host", fmt.Sprintf("%q is not a host", s.Host), "write smtp.example.com, and the port as smtp.port")
	}
	if s.Port > 65535 {
		k.fail("alarms.smtp.port", fmt.Sprintf("%d is not a port", s.Port), "")
	}
	if mails && s.Host == "" && !k.failed("alarms.smtp.host") {
		k.fail("alarms.smtp.host", "mails need a server to be sent through", "set alarms.smtp.host")
	}
	if mails && s.From == "" && !k.failed("alarms.smtp.from") {
		k.fail("alarms.smtp.from", "mails need a sender", "set alarms.smtp.from: tapway@example.com")
	}
	if (s.Username == "") != (s.Password == "") && !k.failed("alarms.smtp.password") && !k.failed("alarms.smtp.username") {
		k.fail("alarms.smtp", "username and password go together", "set both, or neither")
	}
	if s.Username != "" && s.TLS == "none" {
		k.fail("alarms.smtp.tls", "a password is not sent in the clear", "set tls: starttls or implicit, or remove username and password")
	}
}

// places tells of the URLs that alarm messages go to, the mail server's as one of http.
func (a *Alarms) places(one func(key, to string)) {
	for i := range a.Notify {
		if to := a.Notify[i].URL(); to != "" {
			one(fmt.Sprintf("alarms.notify[%d].webhook", i), to.Reveal())
		}
	}
	if a.SMTP.Host != "" {
		one("alarms.smtp.host", a.SMTP.url())
	}
}

func (s SMTP) url() string {
	return "http://" + net.JoinHostPort(s.Host, strconv.Itoa(s.PortOrDefault()))
}

// MailServer is egress.Known for the mail server alone.
func (s SMTP) MailServer() egress.Known { return egress.URLs(s.url()) }
