package app

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/capture"
	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/egress"
)

// metrics are Prometheus metrics. What the hot path counts is prepared beforehand, so that
// a call costs additions and no look-up by label; the rest is read when it is scraped.
type metrics struct {
	registry *prometheus.Registry
	calls    [6][3]prometheus.Counter // by status class and origin
	duration prometheus.Histogram
	overhead prometheus.Histogram
	commit   prometheus.Histogram
	lost     prometheus.Counter
	attempts *prometheus.CounterVec
	took     *prometheus.HistogramVec
	egress   *prometheus.CounterVec
	refused  *prometheus.CounterVec
	rules    sync.Map // from a rule to its counter in refused
	logins   *prometheus.CounterVec
	traced   bool // durationOf is told of every call, and call need not count its duration
}

var (
	classes = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}
	origins = [...]tapway.Origin{tapway.OriginBackend, tapway.OriginGateway, tapway.OriginCache}
	seconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tapway_call_duration_seconds", Help: "Time of a call from its head read to its response ready.", Buckets: seconds}),
		overhead: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tapway_call_overhead_seconds", Help: "The part of a call's time that was tapway's own.", Buckets: seconds}),
		commit:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tapway_enqueue_duration_seconds", Help: "Time until a record was as durable as configured.", Buckets: seconds}),
		lost:     prometheus.NewCounter(prometheus.CounterOpts{Name: "tapway_enqueue_failures_total", Help: "Calls whose record could not be stored; the ledger has the reasons."}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tapway_delivery_attempts_total", Help: "Requests to destinations by what came of them."}, []string{"destination", "class"}),
		took:     prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tapway_delivery_attempt_duration_seconds", Help: "Time of one request to a destination.", Buckets: seconds}, []string{"destination"}),
		egress:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tapway_egress_total", Help: "Connections that were to be made, by the egress policy's verdict (allowed, denied, would_deny) and the rule that gave it."}, []string{"verdict", "rule"}),
	}
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tapway_refused_total", Help: "Calls and connections that an access rule refused, by the rule."}, []string{"rule"})
	m.logins = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tapway_admin_tokens_refused_total", Help: "Tokens that the admin API has refused: wrong, or throttled because too many were."}, []string{"reason"})
	for _, reason := range []string{"wrong", "throttled"} {
		m.logins.WithLabelValues(reason)
	}
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tapway_calls_total", Help: "Calls by the class of their status and who answered."}, []string{"status", "origin"})
	for i, class := range classes {
		for j, origin := range origins {
			m.calls[i][j] = calls.WithLabelValues(class, string(origin))
		}
	}
	m.registry.MustRegister(calls, m.duration, m.overhead, m.commit, m.lost, m.attempts, m.took, m.egress, m.refused, m.logins,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}) // which has exemplars
}

func (m *metrics) call(ex *tapway.Exchange, err error, took time.Duration) {
	class, origin := ex.Status/100, 0
	if class < 0 || class > 5 {
		class = 0
	}
	for i := range origins {
		if origins[i] == ex.Origin {
			origin = i
		}
	}
	m.calls[class][origin].Inc()
	if !m.traced {
		m.duration.Observe(ex.Duration.Seconds())
	}
	m.overhead.Observe(ex.Overhead.Seconds())
	m.commit.Observe(took.Seconds())
	if err != nil {
		m.lost.Inc()
	}
}

// refusal is told of every call and connection that a rule refused. In a flood the look-up by label
// would cost more than the counting.
func (m *metrics) refusal(rule string) {
	c, ok := m.rules.Load(rule)
	if !ok {
		c, _ = m.rules.LoadOrStore(rule, m.refused.WithLabelValues(rule))
	}
	c.(prometheus.Counter).Inc()
}

// durationOf counts how long a call took; a sampled one becomes an exemplar, by which Grafana finds the
// trace behind a bucket.
func (m *metrics) durationOf(ex *tapway.Exchange, sampled bool) {
	if sampled {
		m.duration.(prometheus.ExemplarObserver).ObserveWithExemplar(ex.Duration.Seconds(), prometheus.Labels{"trace_id": ex.TraceID})
		return
	}
	m.duration.Observe(ex.Duration.Seconds())
}

func (m *metrics) attempt(a delivery.Attempt) {
	m.attempts.WithLabelValues(a.Destination, a.Class.String()).Inc()
	m.took.WithLabelValues(a.Destination).Observe(a.Took.Seconds())
}

// dialled is told of every connection that was to be made.
func (m *metrics) dialled(o egress.Outcome, rule string) {
	m.egress.WithLabelValues(string(o), rule).Inc()
}

// watch adds what is read when it is scraped. recorder is nil where nothing is captured.
func (m *metrics) watch(queue engine, recorder *capture.Recorder, ds *destinations) {
	m.registry.MustRegister(&stateCollector{queue, recorder, ds})
}

// stateCollector turns ledger, store and destinations into metrics.
type stateCollector struct {
	queue        engine
	recorder     *capture.Recorder
	destinations *destinations
}

var (
	descCalls    = prometheus.NewDesc("tapway_ledger_calls_total", "Calls offered to the capture since the store was made.", nil, nil)
	descStored   = prometheus.NewDesc("tapway_ledger_stored_total", "Calls that have a record.", nil, nil)
	descDropped  = prometheus.NewDesc("tapway_ledger_dropped_total", "Calls without a record, by reason.", []string{"reason"}, nil)
	descLine     = prometheus.NewDesc("tapway_ledger_records", "Where a destination's records ended up.", []string{"destination", "state"}, nil)
	descGone     = prometheus.NewDesc("tapway_ledger_destination_dropped_total", "Records a destination did not get, by reason.", []string{"destination", "reason"}, nil)
	descDiff     = prometheus.NewDesc("tapway_ledger_difference", "Captured minus accounted for; anything but 0 is a loss or a defect.", []string{"destination"}, nil)
	descBytes    = prometheus.NewDesc("tapway_store_bytes", "Disk space of the data directory's log.", nil, nil)
	descLimit    = prometheus.NewDesc("tapway_store_limit_bytes", "The configured limit, 0 for none.", nil, nil)
	descOldest   = prometheus.NewDesc("tapway_queue_oldest_age_seconds", "Age of the oldest queued record.", []string{"destination"}, nil)
	descRetrying = prometheus.NewDesc("tapway_queue_retrying", "Queued records that have failed at least once.", []string{"destination"}, nil)
	descOutbox   = prometheus.NewDesc("tapway_outbox_records", "Records on this machine that wait to be sent to the queue.", []string{"destination"}, nil)
	descOutAge   = prometheus.NewDesc("tapway_outbox_oldest_age_seconds", "Age of the oldest of them.", []string{"destination"}, nil)
	descReach    = prometheus.NewDesc("tapway_queue_reachable", "1 while a queue elsewhere answers, as seen every 15 seconds.", nil, nil)
	descInFlight = prometheus.NewDesc("tapway_calls_in_flight", "Calls that have begun and not ended.", nil, nil)
	descMemory   = prometheus.NewDesc("tapway_capture_memory_bytes", "Capture buffers in use.", nil, nil)
	descSpool    = prometheus.NewDesc("tapway_capture_spool_bytes", "Bytes of bodies in temporary files.", nil, nil)
	descBodiless = prometheus.NewDesc("tapway_capture_bodiless_total", "Calls recorded without a body because there was neither memory nor a temporary file to keep it in.", nil, nil)
	descWorking  = prometheus.NewDesc("tapway_destination_working", "1 while the destination is delivered to, 0 while its circuit is open or it is paused.", []string{"destination"}, nil)
)

func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descCalls, descStored, descDropped, descLine, descGone, descDiff, descBytes, descLimit, descOldest, descRetrying, descOutbox, descOutAge, descReach, descInFlight, descMemory, descSpool, descBodiless, descWorking} {
		ch <- d
	}
}

func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	f := c.queue.figures(ctx)
	if f.ledger != nil {
		c.ledger(f.ledger, gauge, counter)
	}
	if s := f.store; s != nil {
		gauge(descBytes, float64(s.Bytes))
		gauge(descLimit, float64(s.Limit))
		for _, d := range s.Destinations {
			gauge(descOldest, age(d.OldestQueued), d.Destination)
			gauge(descRetrying, float64(d.Retrying), d.Destination)
		}
	}
	if s := f.outbox; s != nil {
		gauge(descBytes, float64(s.Bytes))
		gauge(descLimit, float64(s.Limit))
		for _, d := range s.Destinations {
			gauge(descOutbox, float64(d.Queued), d.Destination)
			gauge(descOutAge, age(d.OldestQueued), d.Destination)
		}
	}
	if f.reachable != nil {
		gauge(descReach, flag(*f.reachable))
	}
	if c.recorder != nil {
		held := c.recorder.Stats()
		gauge(descInFlight, float64(held.InFlight))
		gauge(descMemory, float64(held.Memory))
		gauge(descSpool, float64(held.SpoolBytes))
		counter(descBodiless, uint64(c.recorder.Bodiless()))
	}
	for _, d := range c.destinations.live() {
		s := d.State()
		gauge(descWorking, flag(s.State == string(delivery.Closed) || s.State == string(delivery.HalfOpen)), d.Name())
	}
}

func (c *stateCollector) ledger(l *tapway.Ledger, gauge func(*prometheus.Desc, float64, ...string), counter func(*prometheus.Desc, uint64, ...string)) {
	counter(descCalls, l.Calls)
	counter(descStored, l.Stored)
	for reason, n := range l.Dropped {
		counter(descDropped, n, reason)
	}
	for _, line := range l.Destinations {
		for state, n := range map[string]uint64{"captured": line.Captured, "delivered": line.Delivered, "queued": line.Queued, "dead": line.Dead} {
			gauge(descLine, float64(n), line.Destination, state)
		}
		for reason, n := range line.Dropped {
			counter(descGone, n, line.Destination, reason)
		}
		gauge(descDiff, float64(line.Difference()), line.Destination)
	}
}

// age is how long ago something was, 0 if it never was.
func age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return time.Since(t).Seconds()
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// loginRefused counts a token that the admin API did not take.
func (m *metrics) loginRefused(reason string) { m.logins.WithLabelValues(reason).Inc() }
