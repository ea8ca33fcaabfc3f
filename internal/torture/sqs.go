package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapway/tapway/internal/admin"
)

// SQSOptions say where SQS and S3 are. The queues records-calm and records-wild, each with a
// dead-letter queue, and the bucket records must be there.
type SQSOptions struct {
	Options
	SQS, S3 string // their URLs; tapway reaches them through proxies that spoil calls

	// Clients are how many clients make calls, and Pause is between two calls of one.
	Clients int
	Pause   time.Duration

	// Expire ends the leases of all messages; nil where that cannot be done. A message may have
	// been given out in an answer that nobody read, so that its handle is unknown here.
	Expire func()

	// Left gives the bodies of all messages that a queue holds, given out or not; nil where
	// they cannot be read.
	Left func(queue string) []string
}

// sqsWorld is a gateway with SQS as its queue, and a forwarder on another machine.
type sqsWorld struct {
	world
	SQSOptions
	sqs, s3 *cloudProxy
	env     []string
	waiting struct { // for deliveries
		mu sync.Mutex
		at time.Time
		is bool
	}
}

// RunSQS tortures tapway with its queue on SQS: a gateway that sends and a forwarder that
// delivers are killed in turn, while SQS, S3 and the destinations fail.
func RunSQS(ctx context.Context, o SQSOptions) (Report, error) {
	w := &sqsWorld{SQSOptions: o}
	w.o, w.secrets, w.data = o.Options, newSecrets(o.Seed), filepath.Join(o.Dir, "data")
	w.backend = newBackend(w.secrets, &w.faults)
	w.calm = newSink("calm", "json", 12, o.Seed, w.secrets, &w.faults)
	w.wild = newSink("wild", "ndjson", 4, o.Seed+1, w.secrets, &w.faults)
	w.sinks = []*sink{w.calm, w.wild}
	defer w.close()
	var err error
	if w.sqs, err = newCloudProxy("sqs", o.SQS, o.Seed, &w.faults); err != nil {
		return Report{}, err
	}
	if w.s3, err = newCloudProxy("s3", o.S3, o.Seed+1, &w.faults); err != nil {
		return Report{}, err
	}
	defer func() {
		for _, x := range []*cloudProxy{w.sqs, w.s3} {
			x.CloseClientConnections()
			x.Close()
		}
	}()
	w.env = []string{
		"AWS_ENDPOINT_URL=" + w.sqs.URL, "AWS_ENDPOINT_URL_S3=" + w.s3.URL, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKIDTEST",
		"AWS_SECRET_ACCESS_KEY=SECRETTEST", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "TAPWAY_QUEUE=", "TAPWAY_BUCKET=",
	}
	if err := w.write(); err != nil {
		return Report{}, err
	}
	if err = w.live(ctx); err == nil {
		err = w.settle(ctx)
	}
	return w.report(), err
}

// write writes the one configuration of both processes.
func (w *sqsWorld) write() error {
	return writeFile(filepath.Join(w.o.Dir, "tapway.yaml"), fmt.Sprintf(`listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
data: %s
queue: sqs://records-{destination}
bucket: records
backend: %s
proxy: {timeout: 1s}
log: {level: debug, calls: true}
capture:
  max_body: 400KiB
  memory: 1MiB
  on_failure: refuse
  redact: {headers: [X-Internal-Token], query: [session_key], json: ["$..card.number"], form: [pin]}
destinations:
  - {name: calm, url: %s, timeout: 1s, retry: {max_attempts: 1000, min: 1ms, max: 1s}}
  - {name: wild, url: %s, timeout: 1s, retry: {max_attempts: 4, min: 1ms, max: 1s}, batch: {max_records: 3}, format: ndjson}
`, w.data, w.backend.URL, w.calm.URL, w.wild.URL))
}

func (w *sqsWorld) command(args ...string) *exec.Cmd {
	cmd := w.o.Command(w.o.Dir, args...)
	cmd.Env = append(cmd.Environ(), w.env...)
	return cmd
}

func (w *sqsWorld) live(ctx context.Context) error {
	if err := w.moveClock(0); err != nil {
		return err
	}
	forwarder, err := start(w.command("forward"), forwardingLine)
	if err != nil {
		return err
	}
	defer func() { forwarder.kill() }()
	for end := time.Now().Add(w.o.Time); w.goesOn(end); w.lives++ {
		l := planOf(w.o.Seed, w.lives)
		r := rand.New(rand.NewPCG(w.o.Seed, uint64(w.lives)|1<<52))
		outage := time.Duration(r.Int64N(int64(l.length)))
		away, other := r.IntN(3) == 0, r.IntN(3) == 0
		w.o.Log("life %d: %v, SQS and S3 away from %v: %v, killed: %v, the forwarder too: %v", l.no, l.length, outage.Round(time.Millisecond), away, l.killed, other)
		err := w.oneLife(ctx, l, func(over context.Context) {
			if away && sleep(over, outage) {
				w.away(true)
				sleep(over, l.length/3)
				w.away(false)
			}
		})
		if err != nil {
			return fmt.Errorf("life %d: %w", l.no, err)
		}
		if other {
			forwarder.kill()
			w.readLog(forwarder)
			if forwarder, err = start(w.command("forward"), forwardingLine); err != nil {
				return fmt.Errorf("after life %d: %w", l.no, err)
			}
		}
		if l.no%4 == 0 {
			if err := w.scanFiles(); err != nil {
				return err
			}
		}
	}
	err = forwarder.stop()
	w.readLog(forwarder)
	return err
}

// mostBehind is how many calls may wait for their record's delivery before there are no more. An SQS that is played looks
// through all its messages each time, and would never be done with what a long run leaves.
const mostBehind = 1000

// behind looks once a second.
func (w *sqsWorld) behind() bool {
	w.waiting.mu.Lock()
	defer w.waiting.mu.Unlock()
	if time.Since(w.waiting.at) > time.Second {
		w.waiting.is = len(w.missing(w.calm)) > mostBehind
		w.waiting.at = time.Now()
	}
	return w.waiting.is
}

func (w *sqsWorld) away(is bool) {
	for _, x := range []*cloudProxy{w.sqs, w.s3} {
		x.set(func(x *cloudProxy) { x.away = is })
	}
}

func (w *sqsWorld) oneLife(ctx context.Context, l life, meanwhile func(over context.Context)) error {
	l.conf = conf{refuse: true, alone: true} // nothing may be missing
	w.mu.Lock()
	w.current = l
	w.mu.Unlock()
	if err := w.moveClock(l.clock); err != nil {
		return err
	}
	p, err := start(w.command("serve"), servingLine)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := w.clockMoves(p, l.clock); err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	for no := range w.Clients {
		all.Go(func() {
			c := newClient(&w.world, l, no, p.addr)
			c.pause, c.enough = w.Pause, w.behind
			c.run(working)
		})
	}
	over, cancel := context.WithTimeout(ctx, l.length)
	defer cancel()
	all.Go(func() { meanwhile(over) })
	for _, e := range l.events {
		if e.kind == doClock {
			all.Go(func() { w.do(over, p, e) })
		}
	}
	<-over.Done()
	if p.gone() {
		return fmt.Errorf("tapway ended by itself: %s", p.out)
	}
	if l.killed {
		p.kill()
	} else if err := p.stop(); err != nil {
		w.problem("an end", "%v", err)
	}
	stop()
	all.Wait()
	w.readLog(p)
	return ctx.Err()
}

// sqsSettleWithin is settleWithin for records that may be given out to a process which is gone: it is
// longer than a lease.
const sqsSettleWithin = 3*time.Minute + 30*time.Second

// settle makes everything well, waits until every call has its record, and judges.
func (w *sqsWorld) settle(ctx context.Context) error {
	w.away(false)
	if err := w.moveClock(0); err != nil {
		return err
	}
	for _, x := range []*cloudProxy{w.sqs, w.s3} {
		x.set(func(x *cloudProxy) { x.share = 0 })
	}
	for _, k := range w.sinks {
		k.set(func(k *sink) { k.share, k.down = 0, false })
	}
	p, err := start(w.command("serve"), servingLine)
	if err != nil {
		return err
	}
	defer p.kill()
	before, since, longest := -1, time.Now(), time.Duration(0)
	var ledger admin.LedgerState
	for round := 0; time.Since(since) < sqsSettleWithin; round++ {
		if err := w.sqs.release(&http.Client{}); err != nil {
			return err
		}
		if round%4 == 3 {
			if w.Expire != nil {
				w.Expire()
			}
			if out, err := run(w.command("queue", "recover")); err != nil && !strings.Contains(out, "0 of 0") {
				w.o.Log("records stay in the bucket for now: %v", err)
			}
			if _, err := run(w.command("dlq", "redrive", "--destination", "wild", "--admin", p.admin)); err != nil {
				return err
			}
		}
		if !sleep(ctx, 500*time.Millisecond) {
			return ctx.Err()
		}
		missing := len(w.missing(w.calm)) + len(w.missing(w.wild))
		if ledger, err = get[admin.LedgerState](ctx, p, "/api/v1/ledger"); err != nil {
			return err
		}
		longest = max(longest, time.Since(since))
		if missing == 0 && w.outbox(ledger) == 0 {
			break
		}
		if missing != before {
			before, since = missing, time.Now()
		}
	}
	w.o.Log("settled; for at most %v nothing came", longest.Round(time.Second))
	if err := p.stop(); err != nil {
		return err
	}
	w.readLog(p)
	for _, k := range w.sinks {
		for path, why := range w.missing(k) {
			w.problem("a call that ended has no record at "+k.name, "%s; the ledger: %+v; the logs:\n%s", why, ledger.Destinations, w.story(path))
		}
	}
	if w.Left != nil {
		for _, queue := range []string{"records-calm", "records-wild", "records-wild-dead", "records-calm-dead"} {
			for _, body := range w.Left(queue) {
				if where := w.secrets.in([]byte(body)); where != "" {
					w.problem("a secret in SQS", "%s: %s", queue, where)
				}
			}
		}
	}
	return errors.Join(w.scanFiles(), ctx.Err())
}

// outbox is how many records wait on this machine's disk or in the bucket.
func (w *sqsWorld) outbox(l admin.LedgerState) (n uint64) {
	for _, spilled := range l.Spilled {
		n += spilled
	}
	return n
}

// missing are the calls that ended and have no true record at a destination, and why, by path.
func (w *sqsWorld) missing(k *sink) map[string]string {
	all := map[string]string{}
	w.calls.mu.Lock()
	ended := slices.Clone(w.calls.ended)
	w.calls.mu.Unlock()
	for _, c := range ended {
		if why := w.unrecorded(c, k, nil); why != "" && c.excuse() == "" {
			all[c.path] = fmt.Sprintf("%s %s in life %d: %s", c.method, c.path, c.life, why)
		}
	}
	return all
}
