package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/record"
	"github.com/tapway/tapway/internal/spill"
)

// recoverFlags say what to recover and from where.
type recoverFlags struct {
	aws                                 awsFlags
	config, bucket, prefix, destination string
	fromLog                             string
	rate                                float64
	dryRun, json                        bool
}

func newRecover() *cobra.Command {
	var f recoverFlags
	cmd := &cobra.Command{
		Use: "recover", Short: "Enqueue records that SQS did not take and that were kept in the bucket or in a log",
		Long: "Enqueues the records that lie in the bucket below spill/DESTINATION/ because SQS did not take\n" +
			"them, and deletes each object once SQS has its record. It can be interrupted and called again.\n" +
			"An object that cannot be enqueued stays where it is, and is named.\n\n" +
			"With --from-log it reads a log in which records stand as a last resort: JSON lines, as they are\n" +
			"or as CloudWatch Logs gives them. A log is not changed: read twice, it is enqueued twice, under\n" +
			"the same ids.",
		Example: "  tapway queue recover --dry-run\n  tapway queue recover --destination siem --rate 50\n  aws logs tail /aws/lambda/proxy --since 2h --format short | tapway queue recover --from-log -",
		Args:    args(0, 0, "no arguments"),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("from-log") && cmd.Flags().Changed("prefix") {
				return usagef("--prefix is of the bucket: leave it out with --from-log")
			}
			return checkNumbers(cmd)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, done, err := f.open(cmd)
			if err != nil {
				return err
			}
			defer done()
			var p admin.Progress
			if cmd.Flags().Changed("from-log") {
				p, err = r.fromLog(cmd, f.fromLog)
			} else {
				p, err = r.fromBucket(cmd.Context(), f.prefix)
			}
			r.bar.end()
			if err != nil {
				return err
			}
			err = summary(cmd, f.json, p, f.dryRun, "recover")
			if !p.Done {
				return fmt.Errorf("%s; call it again to go on", r.stopped)
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	f.aws.register(cmd)
	cmd.Flags().StringVar(&f.bucket, "bucket", "", "S3 bucket (default: $TAPWAY_BUCKET or the configuration's)")
	cmd.Flags().StringVar(&f.prefix, "prefix", spill.Prefix, "only objects whose keys begin with this")
	cmd.Flags().StringVar(&f.fromLog, "from-log", "", "read records from this log instead of the bucket; - is standard input")
	cmd.Flags().StringVar(&f.destination, "destination", "", "only for this destination")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only count")
	cmd.Flags().Float64Var(&f.rate, "rate", 0, "records a second; 0 for no limit")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// open reads the configuration and makes the clients.
func (f *recoverFlags) open(cmd *cobra.Command) (*recovery, func(), error) {
	source := f.aws.source(cmd.Context(), f.config)
	if f.bucket != "" {
		if source.Set == nil {
			source.Set = map[string]string{}
		}
		source.Set["bucket"] = f.bucket
	}
	c, problems, err := config.Peek(source)
	if err != nil {
		return nil, nil, err
	}
	if wrong := append(problems.At("queue"), problems.At("bucket")...); len(wrong) > 0 {
		return nil, nil, wrong
	}
	if c.Queue == "disk" {
		return nil, nil, usagef("no queue on SQS is named: write queue: sqs://NAME into the configuration, or use --queue or TAPWAY_QUEUE; the queue on disk spills nothing")
	}
	if _, ok := cloud.Queues(c)[f.destination]; f.destination != "" && !ok {
		return nil, nil, fmt.Errorf("destination %q: %w in the configuration", f.destination, tapway.ErrNotFound)
	}
	if c.Bucket == "" && !cmd.Flags().Changed("from-log") {
		return nil, nil, usagef("no bucket is named: write bucket: NAME into the configuration, or use --bucket or TAPWAY_BUCKET")
	}
	account, err := cloud.Open(cmd.Context(), f.aws.region, f.aws.profile)
	if err != nil {
		return nil, nil, err
	}
	q, err := account.Queue(c, 0, warnings(cmd.ErrOrStderr()))
	if err != nil {
		return nil, nil, err
	}
	r := &recovery{queue: q, queues: cloud.Queues(c), recoverFlags: f, bar: newProgress(cmd.ErrOrStderr()), complain: func(what string, err error) {
		fmt.Fprintf(cmd.ErrOrStderr(), "tapway: %s: %s\n", printable(what), printable(err.Error()))
	}}
	if c.Bucket != "" {
		if r.blobs, err = account.Blobs(c.Bucket); err != nil {
			return nil, nil, err
		}
	}
	return r, func() { q.Close() }, nil
}

// recovery is one run of the command.
type recovery struct {
	*recoverFlags
	queue interface {
		EnqueueRecord(ctx context.Context, rec []byte, destinations ...string) error
	}
	queues   map[string]string // by destination
	blobs    tapway.BlobLister
	bar      *progress
	complain func(what string, err error)

	mu      sync.Mutex
	p       admin.Progress
	inRow   int    // failures of the queue or the bucket since the last success
	stopped string // why it ended early
}

const (
	recoverWorkers  = 16 // side by side: SQS takes them in batches
	recoverPatience = 10 // failures in a row after which nothing else is tried
)

// fromBucket lists first, then enqueues what it found.
func (r *recovery) fromBucket(ctx context.Context, prefix string) (admin.Progress, error) {
	var keys []string
	for key, err := range r.blobs.List(ctx, prefix) {
		if err != nil {
			return r.p, err
		}
		s, err := parseSpillKey(key)
		if err == nil && r.destination != "" && r.known(s.destination) != r.destination {
			continue
		}
		keys = append(keys, key)
		if err == nil && r.queues[r.known(s.destination)] == "" {
			err = fmt.Errorf("destination %q: %w", s.destination, errOtherConfiguration)
		}
		if r.dryRun && err != nil {
			r.p.Skipped++
			r.complain(key, err)
		}
	}
	r.p.Matched = int64(len(keys))
	r.each(ctx, len(keys), func(ctx context.Context, i int) {
		r.booked(keys[i], r.object(ctx, keys[i]))
	})
	return r.p, nil
}

// each does n things side by side at the rate wished, until ctx ends or too many have failed in
// a row.
func (r *recovery) each(ctx context.Context, n int, do func(ctx context.Context, i int)) {
	if r.p.Done = r.dryRun; r.dryRun {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	turns := make(chan int)
	var workers sync.WaitGroup
	for range min(recoverWorkers, n) {
		workers.Go(func() {
			for i := range turns {
				do(ctx, i)
			}
		})
	}
	var tick <-chan time.Time
	if r.rate > 0 {
		t := time.NewTicker(time.Duration(float64(time.Second) / r.rate))
		defer t.Stop()
		tick = t.C
	}
	started := 0
	for ; started < n && ctx.Err() == nil && !r.hopeless(); started++ {
		if tick != nil {
			select {
			case <-tick:
			case <-ctx.Done():
			}
		}
		select {
		case turns <- started:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(turns)
	workers.Wait()
	switch {
	case r.p.OK+r.p.Failed+r.p.Skipped == r.p.Matched:
		r.p.Done = true
	case ctx.Err() != nil:
		r.stopped = "interrupted"
	default:
		r.stopped = fmt.Sprintf("stopped after %d failures in a row", recoverPatience)
	}
}

func (r *recovery) hopeless() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inRow >= recoverPatience
}

// badRecord is a mistake of one record, which says nothing of the others.
type badRecord struct{ error }

// booked counts what became of one record.
func (r *recovery) booked(what string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
		return // neither done nor failed; a call that is given up because its time is over is both
	case err == nil:
		r.p.OK++
		r.inRow = 0
	default:
		r.p.Failed++
		r.p.Error = err.Error()
		if !errors.As(err, new(badRecord)) {
			r.inRow++
		}
		r.bar.end()
		r.complain(what, err)
	}
	r.bar.show(r.p.OK+r.p.Failed, r.p.Matched, count)
}

// object enqueues one object's record and deletes the object.
func (r *recovery) object(ctx context.Context, key string) error {
	s, err := parseSpillKey(key)
	if err != nil {
		return badRecord{err}
	}
	text, err := r.blobs.Get(ctx, key)
	if errors.Is(err, tapway.ErrNotFound) {
		return nil // somebody else recovers as well, and has
	}
	if err != nil {
		return err
	}
	ex, err := record.Parse(text)
	if err != nil {
		return badRecord{fmt.Errorf("it is no record: %w", err)}
	}
	if ex.ID != s.id {
		return badRecord{fmt.Errorf("it has the record of another exchange, %s", ex.ID)}
	}
	if err := r.enqueue(ctx, text, r.known(s.destination)); err != nil {
		return err
	}
	// SQS has it: an interruption should not leave the object.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := r.blobs.Delete(ctx, key); err != nil {
		return fmt.Errorf("it is in the queue, but its object could not be deleted and would be enqueued again, under the same id: %w", err)
	}
	return nil
}

var errOtherConfiguration = fmt.Errorf("%w in this configuration; use that of the function that captured it", tapway.ErrNotFound)

// known is a destination's name in this configuration. A function that has none calls its only queue "default";
// where there is one queue here, that is it.
func (r *recovery) known(destination string) string {
	if destination == "default" && len(r.queues) == 1 {
		for name := range r.queues {
			return name
		}
	}
	return destination
}

func (r *recovery) enqueue(ctx context.Context, text []byte, destinations ...string) error {
	err := r.queue.EnqueueRecord(ctx, text, destinations...)
	switch {
	case errors.Is(err, tapway.ErrNotFound):
		return badRecord{fmt.Errorf("destination %s: %w", strings.Join(destinations, ", "), errOtherConfiguration)}
	case errors.Is(err, sqsqueue.ErrTooLarge):
		return badRecord{err}
	}
	return err
}

// spilled is what a key tells.
type spilled struct {
	destination string
	id          tapway.ID
}

// parseSpillKey reads ANYTHING/DESTINATION/YYYY/MM/DD/ID.json.
func parseSpillKey(key string) (spilled, error) {
	parts := strings.Split(key, "/")
	if n := len(parts); n >= 5 {
		name, ok := strings.CutSuffix(parts[n-1], ".json")
		_, timeErr := time.Parse("2006/01/02", strings.Join(parts[n-4:n-1], "/"))
		id, idErr := tapway.ParseID(name)
		if ok && timeErr == nil && idErr == nil && parts[n-5] != "" {
			return spilled{parts[n-5], id}, nil
		}
	}
	return spilled{}, errors.New("its key is not DESTINATION/YYYY/MM/DD/ID.json; it stays")
}
