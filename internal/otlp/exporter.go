package otlp

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Exporter sends spans as they come and metrics at intervals. Set its fields, then Run it; none
// changes afterwards.
type Exporter struct {
	Source  Source
	Traces  *Client // nil: spans are not sent, and Add does nothing
	Metrics *Client // nil: metrics are not sent

	// Collect reads the metrics of this moment. It is called by Run.
	Collect func() []Metric

	Interval time.Duration // between two exports of metrics; 0: 60 s
	Delay    time.Duration // how long a span waits for others; 0: 5 s
	Queue    int           // spans that wait at most; 0: 2048
	Batch    int           // spans in one request; 0: 512
	Patience time.Duration // how long a request is repeated before its data is given up; 0: 60 s
	Farewell time.Duration // how long the last requests may take when Run is to end; 0: 5 s

	Log *slog.Logger // nil: slog.Default

	mu      sync.Mutex
	queue   []Span
	spare   []Span
	wake    chan struct{}
	setup   sync.Once
	dropped atomic.Uint64
	failed  atomic.Uint64
	sent    atomic.Uint64
	exports [2]stream
}

// Stats is what became of spans, since the start.
type Stats struct {
	Sent    uint64 // taken by the collector
	Dropped uint64 // without room in the queue
	Failed  uint64 // not taken by the collector
	Waiting int    // at this moment
}

// Stats is safe to call at any time.
func (e *Exporter) Stats() Stats {
	e.mu.Lock()
	waiting := len(e.queue)
	e.mu.Unlock()
	return Stats{Sent: e.sent.Load(), Dropped: e.dropped.Load(), Failed: e.failed.Load(), Waiting: waiting}
}

func (e *Exporter) defaults() {
	e.wake = make(chan struct{}, 1)
	if e.Interval <= 0 {
		e.Interval = time.Minute
	}
	if e.Delay <= 0 {
		e.Delay = 5 * time.Second
	}
	if e.Queue <= 0 {
		e.Queue = 2048
	}
	if e.Batch <= 0 {
		e.Batch = 512
	}
	if e.Patience <= 0 {
		e.Patience = time.Minute
	}
	if e.Farewell <= 0 {
		e.Farewell = 5 * time.Second
	}
	if e.Log == nil {
		e.Log = slog.Default()
	}
}

// Add queues spans. It never waits: those without room are dropped and counted.
func (e *Exporter) Add(spans ...Span) {
	if e.Traces == nil {
		return
	}
	e.setup.Do(e.defaults)
	e.mu.Lock()
	room := max(e.Queue-len(e.queue), 0)
	taken := min(room, len(spans))
	e.queue = append(e.queue, spans[:taken]...)
	full := len(e.queue) >= min(e.Batch, e.Queue)
	e.mu.Unlock()
	if taken < len(spans) {
		e.dropped.Add(uint64(len(spans) - taken))
	}
	if full {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
}

// Run sends until ctx ends, then once more what there is, within Farewell. It gives nil.
func (e *Exporter) Run(ctx context.Context) error {
	e.setup.Do(e.defaults)
	last, cancel := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx by Farewell
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(e.Farewell, cancel) })
	defer stop()
	start := time.Now()
	var both sync.WaitGroup
	if e.Traces != nil {
		both.Go(func() { e.sendSpans(ctx, last) })
	}
	if e.Metrics != nil && e.Collect != nil {
		both.Go(func() { e.sendMetrics(ctx, last, start) })
	}
	both.Wait()
	return nil
}

func (e *Exporter) sendSpans(ctx, last context.Context) {
	tick := time.NewTicker(e.Delay)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-e.wake:
		}
		for e.sendBatch(ctx, last) {
		}
	}
	for last.Err() == nil && e.sendBatch(ctx, last) {
	}
}

// sendBatch sends one request with spans; false if there were none.
func (e *Exporter) sendBatch(ctx, last context.Context) bool {
	e.mu.Lock()
	n := min(len(e.queue), e.Batch)
	batch := append(e.spare[:0], e.queue[:n]...)
	rest := copy(e.queue, e.queue[n:])
	clear(e.queue[rest:])
	e.queue = e.queue[:rest]
	e.mu.Unlock()
	if n == 0 {
		return false
	}
	a := e.deliver(ctx, last, &e.exports[0], e.Traces, AppendTraces(nil, e.Traces.JSON, &e.Source, batch))
	clear(batch)
	e.spare = batch[:0]
	switch lost := min(uint64(a.rejected), uint64(n)); {
	case a.verdict != sent:
		e.failed.Add(uint64(n))
	default:
		e.failed.Add(lost)
		e.sent.Add(uint64(n) - lost)
	}
	return true
}

func (e *Exporter) sendMetrics(ctx, last context.Context, start time.Time) {
	tick := time.NewTicker(e.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		now := time.Now()
		if metrics := e.Collect(); len(metrics) > 0 {
			e.deliver(ctx, last, &e.exports[1], e.Metrics, AppendMetrics(nil, e.Metrics.JSON, &e.Source, metrics, start, now))
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// deliver repeats a request until the collector has taken it, or refused it, or Patience is
// over. Once ctx has ended it is not repeated; last ends it at once.
func (e *Exporter) deliver(ctx, last context.Context, s *stream, c *Client, body []byte) answer {
	end := time.Now().Add(e.Patience)
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		a := c.post(last, body)
		wait := a.after
		if wait == 0 {
			wait = pause/2 + rand.N(pause) // #nosec G404 -- jitter
		}
		if a.verdict != again || ctx.Err() != nil || time.Now().Add(wait).After(end) {
			s.tell(e.Log, c == e.Metrics, a)
			return a
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// stream remembers what the log has heard, so that a collector that is down costs a line a
// minute and not one for each request.
type stream struct {
	down bool
	next time.Time // not before this
	more int       // requests since the last line
}

func (s *stream) tell(log *slog.Logger, metrics bool, a answer) {
	signal := "traces"
	if metrics {
		signal = "metrics"
	}
	if a.verdict == sent && a.reason == "" && a.rejected == 0 {
		if s.down {
			log.Info("telemetry is sent again", "signal", signal)
		}
		*s = stream{}
		return
	}
	s.down = a.verdict != sent
	now := time.Now()
	if now.Before(s.next) {
		s.more++
		return
	}
	what := "telemetry was not sent"
	if a.verdict == sent {
		what = "the collector did not take all telemetry"
	}
	log.Warn(what, "signal", signal, "reason", a.reason, "rejected", a.rejected, "more", s.more)
	s.next, s.more = now.Add(time.Minute), 0
}
