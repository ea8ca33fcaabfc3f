// Package s3blob is a blob store in an S3 bucket.
//
// What a newcomer gets wrong: the store never empties itself. Whoever deletes a blob does so
// to save money; what is forgotten, or must outlive a dead letter, goes by the bucket's lifecycle rule. And
// S3 answers 403 rather than 404 for what is not there when the role may not list the bucket.
package s3blob

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awss3"
)

// Client is what the store needs of S3; *awss3.Client has it.
type Client interface {
	Put(ctx context.Context, in *awss3.PutInput) error
	Get(ctx context.Context, in *awss3.GetInput) (*awss3.Object, error)
	Delete(ctx context.Context, bucket, key string) error
	List(ctx context.Context, in *awss3.ListInput) (*awss3.Page, error)
}

// Store keeps each blob in an object of its own. Client and Bucket are required.
type Store struct {
	Client Client
	Bucket string
	Prefix string // before every key, as it stands: "spill/"

	// SSE is the encryption to ask for: "AES256" or "aws:kms". "" leaves it to the bucket's
	// default, which encrypts as well.
	SSE      string
	KMSKeyID string // with "aws:kms": an ID or ARN; "": the account's own key for S3

	// MaxBytes is the largest object that Get reads; 0: 256 MiB. A pointer can name any
	// object, and a Lambda function has little memory.
	MaxBytes int64
}

var _ tapway.BlobLister = (*Store)(nil)

// Locate tells where the object of a key is, for pointers that others follow.
func (s *Store) Locate(key string) (bucket, object string) { return s.Bucket, s.Prefix + key }

// tooLargeError says that an object is larger than MaxBytes.
type tooLargeError struct{ text string }

func (e *tooLargeError) Error() string { return e.text }

// Permanent tells that trying again does not help.
func (e *tooLargeError) Permanent() bool { return true }

// Put uploads body with its CRC32C, which S3 compares before it keeps the object.
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	if key == "" {
		return errors.New("store blob: the key is empty")
	}
	in := &awss3.PutInput{Bucket: s.Bucket, Key: s.Prefix + key, Body: body, SSE: s.SSE, KMSKeyID: s.KMSKeyID}
	if err := s.Client.Put(ctx, in); err != nil {
		return s.failed(ctx, "store", key, err)
	}
	return nil
}

// Get downloads a blob, and fails when it does not have the sum it was stored with.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if key == "" {
		return nil, errors.New("read blob: the key is empty")
	}
	limit := s.MaxBytes
	if limit <= 0 {
		limit = 256 << 20
	}
	out, err := s.Client.Get(ctx, &awss3.GetInput{Bucket: s.Bucket, Key: s.Prefix + key, MaxBytes: limit})
	switch {
	case err == nil:
		return out.Body, nil
	case awss3.TooLarge(err):
		return nil, &tooLargeError{fmt.Sprintf("read blob %q from bucket %q: it has more than the %d bytes that are read", key, s.Bucket, limit)}
	}
	return nil, s.failed(ctx, "read", key, err)
}

// Delete removes a blob. In a bucket with versions it leaves a delete marker.
func (s *Store) Delete(ctx context.Context, key string) error {
	if key == "" {
		return errors.New("delete blob: the key is empty")
	}
	err := s.Client.Delete(ctx, s.Bucket, s.Prefix+key)
	if err == nil {
		return nil
	}
	if err = s.failed(ctx, "delete", key, err); errors.Is(err, tapway.ErrNotFound) {
		return nil
	}
	return err
}

// List walks the keys that begin with prefix, a thousand with each call. It needs the permission
// s3:ListBucket.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		in := &awss3.ListInput{Bucket: s.Bucket, Prefix: s.Prefix + prefix}
		for {
			page, err := s.Client.List(ctx, in)
			if err != nil {
				yield("", s.failed(ctx, "list", prefix, err))
				return
			}
			for _, key := range page.Keys {
				if !yield(strings.TrimPrefix(key, s.Prefix), nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			in.After = page.Next
		}
	}
}

// failed says what was being done, and what an operator can do about the usual causes.
func (s *Store) failed(ctx context.Context, what, key string, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	hint := ""
	refused, _ := errors.AsType[*awss3.Error](err)
	switch {
	case refused == nil:
	case refused.Region != "":
		hint = "; the bucket is in " + refused.Region + ", and tapway looks for it in its own region: take a bucket here, or, where it is yours to choose and not a function's, set AWS_REGION to the bucket's"
	case refused.Code == "NoSuchBucket":
		hint = "; the bucket does not exist in this region"
	case refused.Code == "NoSuchKey" || refused.Code == "NotFound":
		return fmt.Errorf("%s blob %q of bucket %q: %w", what, s.Prefix+key, s.Bucket, tapway.ErrNotFound)
	case refused.Status == http.StatusForbidden && what == "read":
		hint = "; s3:GetObject is missing, or the object is gone and without s3:ListBucket S3 does not say so"
	case refused.Status == http.StatusForbidden && what == "list":
		hint = "; s3:ListBucket is missing"
	case refused.Status == http.StatusForbidden:
		hint = "; the role lacks the permission for it on this bucket or its key"
	}
	return fmt.Errorf("%s blob %q of bucket %q: %w%s", what, s.Prefix+key, s.Bucket, err, hint)
}
