package tapway

import "context"

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
