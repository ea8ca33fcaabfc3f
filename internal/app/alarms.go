package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/alarm"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/stages"
)

// alarms measures what the alarms are about. Calls and attempts are counted as they happen, the
// rest is read when it is asked for.
type alarms struct {
	watch *alarm.Watch
	queue engine
	data  string
	names func() []string // of the destinations that are delivered to

	mu         sync.Mutex
	config     config.Alarms
	calls      tally // that went to the backend
	deliveries map[string]*tally
	drops      alarm.Window
	dropped    map[string]uint64 // by reason, when read last
	lastDrop   string            // the reason whose count has grown last
}

// tally counts what happened and how often it failed, and remembers the last failures.
type tally struct {
	total, bad uint64
	window     alarm.Window
	error      string
	records    []string // ids, newest last, at most shownRecords
}

const shownRecords = 3

// note counts one; id "" is that of no record. Its owner's mu is held.
func (t *tally) note(failed bool, id, why string) {
	t.total++
	if !failed {
		return
	}
	t.bad++
	t.error = why
	if id != "" {
		t.records = append(t.records[max(0, len(t.records)-shownRecords+1):], id)
	}
}

func (t *tally) detail() alarm.Detail {
	return alarm.Detail{LastError: t.error, Records: append([]string(nil), t.records...)}
}

// newAlarms reads what alarms were told before. Where that cannot be read they begin anew.
func newAlarms(c *config.Config, o Options, queue engine, log *slog.Logger) *alarms {
	watch, err := alarm.New(filepath.Join(c.Data, "alarms.json"), time.Now())
	if err != nil {
		log.Error("alarms begin anew", "err", err)
	}
	a := &alarms{watch: watch, queue: queue, data: c.Data, deliveries: map[string]*tally{}, dropped: map[string]uint64{}}
	watch.Log, watch.Version, watch.Read = log, o.Version, a.read
	watch.Host, _ = os.Hostname()
	return a
}

// use puts a configuration into force.
func (a *alarms) use(c *config.Config, targets []alarm.Target) {
	a.mu.Lock()
	a.config = c.Alarms
	a.mu.Unlock()
	a.watch.Use(alarm.Settings{Rules: alarmRules(&c.Alarms), Repeat: c.Alarms.Repeat.D(), Targets: targets, Console: c.Alarms.Console})
}

func alarmRules(c *config.Alarms) map[string]alarm.Rule {
	rules := map[string]alarm.Rule{}
	add := func(name string, off bool, severity string, r alarm.Rule) {
		if r.Severity = alarm.Severity(severity); !off {
			rules[name] = r
		}
	}
	add(alarm.DeadLetters, c.DeadLetters.Off, c.DeadLetters.Severity, alarm.Rule{Threshold: float64(c.DeadLetters.Above), For: c.DeadLetters.For.D()})
	add(alarm.OldestAge, c.OldestAge.Off, c.OldestAge.Severity, alarm.Rule{Threshold: c.OldestAge.Above.D().Seconds(), For: c.OldestAge.For.D()})
	add(alarm.ErrorRate, c.ErrorRate.Off, c.ErrorRate.Severity,
		alarm.Rule{Threshold: float64(c.ErrorRate.Above), For: c.ErrorRate.For.D(), Window: c.ErrorRate.Window.D()})
	add(alarm.DeliveryErrorRate, c.DeliveryErrorRate.Off, c.DeliveryErrorRate.Severity,
		alarm.Rule{Threshold: float64(c.DeliveryErrorRate.Above), For: c.DeliveryErrorRate.For.D(), Window: c.DeliveryErrorRate.Window.D()})
	add(alarm.Disk, c.Disk.Off, c.Disk.Severity, alarm.Rule{Threshold: float64(c.Disk.Below), For: c.Disk.For.D()})
	add(alarm.LedgerDrops, c.LedgerDrops.Off, c.LedgerDrops.Severity,
		alarm.Rule{Threshold: float64(c.LedgerDrops.Above), For: c.LedgerDrops.For.D(), Window: c.LedgerDrops.Window.D()})
	return rules
}

// alarmTargets are those who are told. Every connection goes through way.
func alarmTargets(c *config.Config, way *egress.Dialer) ([]alarm.Target, error) {
	var out []alarm.Target
	for _, n := range c.Alarms.Notify {
		t := alarm.Target{Name: n.Name, From: alarm.Severity(n.Severity)}
		var err error
		if len(n.Email) > 0 {
			t.Kind = "email"
			t.Send, err = mailer(&c.Alarms.SMTP, n, way)
		} else {
			t.Kind, t.Format, t.Acks = "webhook", n.Format, n.Format == "pagerduty"
			t.Send, err = poster(n, way)
		}
		if err != nil {
			return nil, fmt.Errorf("alarms.notify %q: %w", n.Name, err)
		}
		out = append(out, t)
	}
	return out, nil
}

type sendMessage = func(context.Context, *alarm.Message) (string, error)

func mailer(s *config.SMTP, n config.Notify, way *egress.Dialer) (sendMessage, error) {
	settings, err := stages.ClientTLS(config.ClientTLS{CA: s.CA})
	if err != nil {
		return nil, err
	}
	hello, _ := os.Hostname()
	e := &alarm.Email{
		Host: s.Host, Port: s.PortOrDefault(), TLS: s.TLS, Config: settings, Username: s.Username, Password: s.Password,
		From: s.From, To: n.Email, Hello: hello, Dial: way.For(s.MailServer()),
	}
	return e.Send, nil
}

func poster(n config.Notify, way *egress.Dialer) (sendMessage, error) {
	w := &alarm.Webhook{URL: n.URL(), Format: n.Format, Header: n.Headers, RoutingKey: n.RoutingKey}
	sign, err := delivery.Signature(n.Signing)
	if err != nil {
		return nil, err
	}
	w.Sign = sign
	w.Transport = &http.Transport{
		DialContext: way.For(egress.URLs(w.URL.Reveal())), DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}
	return w.Send, nil
}

// call is told of every call.
func (a *alarms) call(ex *tapway.Exchange) {
	counts, failed := backendFailed(ex)
	if !counts {
		return
	}
	why, id := "", ""
	if failed {
		id = ex.ID.String()
		if why = ex.Error; why == "" {
			why = fmt.Sprintf("the backend answered %d %s", ex.Status, http.StatusText(ex.Status))
		}
	}
	a.mu.Lock()
	a.calls.note(failed, id, why)
	a.mu.Unlock()
}

// backendFailed tells whether a call went to the backend, and whether that failed: it answered
// 5xx, or tapway had to answer 502 or 504 in its place.
func backendFailed(ex *tapway.Exchange) (counts, failed bool) {
	switch ex.Origin {
	case tapway.OriginBackend:
		return ex.Status != 0, ex.Status >= 500
	case tapway.OriginGateway:
		failed = ex.Status == http.StatusBadGateway || ex.Status == http.StatusGatewayTimeout
	}
	return failed, failed
}

// attempt is told of every request to a destination.
func (a *alarms) attempt(at delivery.Attempt) {
	if at.Class == delivery.Stopped {
		return
	}
	id := at.ID
	if _, err := tapway.ParseID(id); err != nil {
		id = "" // a batch's
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.deliveries[at.Destination]
	if t == nil {
		t = &tally{}
		a.deliveries[at.Destination] = t
	}
	t.note(at.Class != delivery.Accepted, id, at.Reason)
}

// Metrics.
var (
	descAlarm    = prometheus.NewDesc("tapway_alarm_firing", "1 while the alarm fires.", []string{"name", "destination", "severity"}, nil)
	descMessages = prometheus.NewDesc("tapway_alarm_notifications_total", "Messages of alarms, tests included, that were sent or failed.", []string{"notify", "result"}, nil)
)

func (a *alarms) Describe(ch chan<- *prometheus.Desc) {
	ch <- descAlarm
	ch <- descMessages
}

func (a *alarms) Collect(ch chan<- prometheus.Metric) {
	for _, s := range a.watch.List(time.Now()).Alarms {
		ch <- prometheus.MustNewConstMetric(descAlarm, prometheus.GaugeValue, flag(s.State == alarm.Firing), s.Name, s.Destination, string(s.Severity))
	}
	for name, n := range a.watch.Messages() {
		ch <- prometheus.MustNewConstMetric(descMessages, prometheus.CounterValue, float64(n[0]), name, "sent")
		ch <- prometheus.MustNewConstMetric(descMessages, prometheus.CounterValue, float64(n[1]), name, "failed")
	}
}

var errNoSpace = errors.New("the free space cannot be told on this system")

// freeSpace is FreeSpace with an error for people.
func freeSpace(dir string) (int64, error) {
	n, err := FreeSpace(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		err = errNoSpace
	}
	return n, err
}
