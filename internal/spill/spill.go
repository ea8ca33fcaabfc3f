// Package spill keeps records that a queue did not take: in a bucket, from where
// `tapway queue recover` enqueues them, or else in the log.
//
// What a newcomer gets wrong: a record may be in some destinations' queues and not in others'.
// What is kept is kept per destination, for those that lack it.
package spill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/record"
)

// Prefix begins the keys of spilled records: spill/DESTINATION/YYYY/MM/DD/ID.json, each a
// record as it would have been sent.
const Prefix = "spill/"

// MaxLogged is the longest record in bytes that goes into a log line whole: an event of
// CloudWatch Logs has at most 256 KiB.
const MaxLogged = 192 << 10

// ErrNoBucket says that there is nowhere to put what a queue does not take.
var ErrNoBucket = errors.New("there is no bucket: set TAPWAY_BUCKET")

// Key is where a destination's record lies. A record that is put twice lies there once.
func Key(destination string, m *tapway.Meta) string {
	return Prefix + destination + "/" + m.Time.UTC().Format("2006/01/02/") + m.ID.String() + ".json"
}

// Left is the record, and the destinations whose queues do not have it, after Enqueue failed;
// all are the destinations there are.
func Left(ex *tapway.Exchange, err error, all []string) (text []byte, missing []string) {
	if failed, ok := errors.AsType[*sqsqueue.EnqueueError](err); ok {
		return failed.Record, slices.Sorted(maps.Keys(failed.Failed))
	}
	return record.Append(nil, ex), all
}

// Put keeps the record of ex for some destinations and gives the keys it has written, each of
// which is tried twice. A nil store is ErrNoBucket.
func Put(ctx context.Context, store tapway.BlobStore, ex *tapway.Exchange, text []byte, destinations []string) (keys []string, err error) {
	if store == nil {
		return nil, ErrNoBucket
	}
	for _, destination := range destinations {
		key := Key(destination, &ex.Meta)
		if err = store.Put(ctx, key, text); err != nil && ctx.Err() == nil {
			err = store.Put(ctx, key, text)
		}
		if err != nil {
			return keys, fmt.Errorf("spill %s: %w", key, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Log writes the record into one log line, as a last resort. It is redacted, as everything
// that is stored. One that is too long for a line goes without its bodies: whole is then false,
// and the record counts as lost.
func Log(log *slog.Logger, ex *tapway.Exchange, text []byte, missing []string, queueErr, spillErr error) (whole bool) {
	whole = len(text) <= MaxLogged
	if !whole {
		short := *ex
		short.Request = tapway.Body{Size: ex.Request.Size, Withheld: ex.Request.Size > 0}
		short.Response = tapway.Body{Size: ex.Response.Size, Withheld: ex.Response.Size > 0}
		if text = record.Append(nil, &short); len(text) > MaxLogged { // its headers alone are that long
			text = []byte("null")
		}
	}
	log.Error("neither the queue nor the bucket took a record; this line is all there is of it", "id", ex.ID, "destinations", missing,
		"whole", whole, "queue_error", queueErr.Error(), "bucket_error", spillErr.Error(), "record", json.RawMessage(text))
	return whole
}
