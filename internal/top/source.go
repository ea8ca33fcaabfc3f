// Package top is the full-screen view of `tapway top`: a list of calls as they happen, one call in all
// detail, dead letters, and the state of the deliveries. [Model] is all of it without a terminal: messages and
// keys go in, a screen and things to do come out. [Run] puts it on a terminal.
//
// What a newcomer gets wrong: nothing here waits. Whatever takes time is a [Task] that sends messages,
// and a task that is started again under its key replaces the one before, whose messages are dropped.
package top

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/url"
	"slices"
	"strconv"

	"github.com/tapway/tapway/internal/admin"
)

// Source is the gateway that is looked at.
type Source interface {
	Place(ctx context.Context) (admin.Place, error)
	Queue(ctx context.Context) (admin.QueueState, error)

	// Live gives the calls from now on that match. The first line tells the position only.
	Live(ctx context.Context, filter string) iter.Seq2[admin.Live, error]
	// Search gives up to limit calls that match below a position, newest first.
	Search(ctx context.Context, filter string, before uint64, limit int) ([]admin.Summary, error)

	Detail(ctx context.Context, id string) (admin.Detail, error)
	// Body gives the first bytes, most at most, of "request" or "response", without content codings.
	Body(ctx context.Context, id, side string, most int64) ([]byte, error)

	DeadLetters(ctx context.Context, limit int) ([]admin.DeadLetter, error)
	Redrive(ctx context.Context, destination, id string) (admin.Progress, error)
	// Replay repeats a recorded request against a base URL.
	Replay(ctx context.Context, id, to string) (admin.Progress, error)
}

// Remote is a Source that asks an admin API.
type Remote struct{ *admin.Client }

func (r Remote) Place(ctx context.Context) (admin.Place, error) {
	return admin.JSON[admin.Place](r.Get(ctx, "/api/v1/place", nil))
}

func (r Remote) Queue(ctx context.Context) (admin.QueueState, error) {
	return admin.JSON[admin.QueueState](r.Get(ctx, "/api/v1/queue", nil))
}

func (r Remote) Live(ctx context.Context, filter string) iter.Seq2[admin.Live, error] {
	return func(yield func(admin.Live, error) bool) {
		for v, err := range admin.Stream[admin.Live](r.Get(ctx, "/api/v1/live", url.Values{"filter": {filter}})) {
			if !yield(v, err) {
				return
			}
		}
	}
}

func (r Remote) Search(ctx context.Context, filter string, before uint64, limit int) ([]admin.Summary, error) {
	q := url.Values{"filter": {filter}, "limit": {strconv.Itoa(limit)}, "before": {strconv.FormatUint(before, 10)}}
	return collect(admin.Stream[admin.Summary](r.Get(ctx, "/api/v1/exchanges", q)))
}

func (r Remote) Detail(ctx context.Context, id string) (admin.Detail, error) {
	return admin.JSON[admin.Detail](r.Get(ctx, "/api/v1/exchanges/"+url.PathEscape(id)+"/detail", nil))
}

func (r Remote) Body(ctx context.Context, id, side string, most int64) ([]byte, error) {
	body, err := r.Get(ctx, "/api/v1/exchanges/"+url.PathEscape(id)+"/body/"+side, nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, most))
	if err != nil {
		return nil, fmt.Errorf("read the %s's body: %w", side, err)
	}
	return b, nil
}

func (r Remote) DeadLetters(ctx context.Context, limit int) ([]admin.DeadLetter, error) {
	return collect(admin.Stream[admin.DeadLetter](r.Get(ctx, "/api/v1/deadletters", url.Values{"limit": {strconv.Itoa(limit)}})))
}

func (r Remote) Redrive(ctx context.Context, destination, id string) (admin.Progress, error) {
	return r.last(ctx, "/api/v1/deadletters/redrive", admin.Selection{Destination: destination, IDs: []string{id}})
}

func (r Remote) Replay(ctx context.Context, id, to string) (admin.Progress, error) {
	return r.last(ctx, "/api/v1/replay", admin.Selection{IDs: []string{id}, To: to})
}

// last does something long and gives the last line of its progress.
func (r Remote) last(ctx context.Context, path string, sel admin.Selection) (admin.Progress, error) {
	var p admin.Progress
	for line, err := range admin.Lines(r.Post(ctx, path, sel)) {
		if err != nil {
			return p, err
		}
		p = admin.Progress{}
		if err := json.Unmarshal(line, &p); err != nil {
			return p, fmt.Errorf("read the admin API's answer: %w", err)
		}
	}
	return p, nil
}

func collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var out []T
	for v, err := range seq {
		if err != nil {
			return slices.Clip(out), err
		}
		out = append(out, v)
	}
	return out, nil
}
