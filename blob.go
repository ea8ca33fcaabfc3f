package tapway

import (
	"context"
	"iter"
)

// BlobStore keeps payloads that are too large for a queue. Every engine runs the contract
// in internal/blob/blobtest.
type BlobStore interface {
	// Put stores body under key, replacing what was there. It returns when the store promises
	// to keep it.
	Put(ctx context.Context, key string, body []byte) error

	// Get reads it back; an error wrapping ErrNotFound when there is none.
	Get(ctx context.Context, key string) ([]byte, error)

	// Delete removes it; that there is none is no error.
	Delete(ctx context.Context, key string) error
}

// BlobLister is a store that can tell what it holds. internal/blob/blobtest has its contract too.
type BlobLister interface {
	BlobStore

	// List walks the keys that begin with prefix, in no order; "" is all. What is stored or
	// deleted meanwhile may or may not be among them.
	List(ctx context.Context, prefix string) iter.Seq2[string, error]
}
