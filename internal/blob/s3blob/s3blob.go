// Package s3blob is a blob store in an S3 bucket.
//
// What a newcomer gets wrong: the store never empties itself. Whoever deletes a blob does so
// to save money; what is forgotten, or must outlive a dead letter, goes by the bucket's lifecycle rule. And
// S3 answers 403 rather than 404 for what is not there when the role may not list the bucket.
package s3blob

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awsbase"
)

// Client is what the store needs of S3; *s3.Client has it.
type Client interface {
	PutObject(ctx context.Context, in *s3.PutObjectInput, opts ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(ctx context.Context, in *s3.GetObjectInput, opts ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	DeleteObject(ctx context.Context, in *s3.DeleteObjectInput, opts ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
	ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, opts ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
}

// NewClient makes a client that reaches S3 at endpoint; nil is where AWS has it. At any other
// endpoint the bucket is named in the path, as emulators and private stores want it.
func NewClient(cfg aws.Config, endpoint *string) *s3.Client {
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = awsbase.Client(nil)
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		if endpoint != nil {
			o.BaseEndpoint, o.UsePathStyle = endpoint, true
		}
		// Put sums up itself, and not every store has sums to compare.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
	})
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

func (s *Store) tooLarge(key string, limit int64) error {
	return &tooLargeError{fmt.Sprintf("read blob %q from bucket %q: it has more than the %d bytes that are read", key, s.Bucket, limit)}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Put uploads body with its CRC32C, which S3 compares before it keeps the object.
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	if key == "" {
		return errors.New("store blob: the key is empty")
	}
	sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, castagnoli))
	in := &s3.PutObjectInput{
		Bucket: &s.Bucket, Key: aws.String(s.Prefix + key),
		Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
		ChecksumCRC32C:       aws.String(base64.StdEncoding.EncodeToString(sum)),
		ServerSideEncryption: types.ServerSideEncryption(s.SSE),
	}
	if s.KMSKeyID != "" {
		in.SSEKMSKeyId = &s.KMSKeyID
	}
	if _, err := s.Client.PutObject(ctx, in); err != nil {
		return s.failed(ctx, "store", key, err)
	}
	return nil
}

// Get downloads a blob, and fails when it does not have the sum it was stored with.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if key == "" {
		return nil, errors.New("read blob: the key is empty")
	}
	out, err := s.Client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &s.Bucket, Key: aws.String(s.Prefix + key), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return nil, s.failed(ctx, "read", key, err)
	}
	defer out.Body.Close()
	limit := s.MaxBytes
	if limit <= 0 {
		limit = 256 << 20
	}
	size := aws.ToInt64(out.ContentLength)
	if size > limit {
		return nil, s.tooLarge(key, limit)
	}
	var buf bytes.Buffer
	buf.Grow(int(max(size, 0)) + bytes.MinRead)
	n, err := buf.ReadFrom(io.LimitReader(out.Body, limit+1))
	if err != nil {
		return nil, s.failed(ctx, "read", key, err)
	}
	if n > limit {
		return nil, s.tooLarge(key, limit)
	}
	return buf.Bytes(), nil
}

// Delete removes a blob. In a bucket with versions it leaves a delete marker.
func (s *Store) Delete(ctx context.Context, key string) error {
	if key == "" {
		return errors.New("delete blob: the key is empty")
	}
	_, err := s.Client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.Bucket, Key: aws.String(s.Prefix + key)})
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
		in := &s3.ListObjectsV2Input{Bucket: &s.Bucket, Prefix: aws.String(s.Prefix + prefix)}
		for {
			out, err := s.Client.ListObjectsV2(ctx, in)
			if err != nil {
				yield("", s.failed(ctx, "list", prefix, err))
				return
			}
			for _, o := range out.Contents {
				if !yield(strings.TrimPrefix(aws.ToString(o.Key), s.Prefix), nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) || aws.ToString(out.NextContinuationToken) == "" {
				return
			}
			in.ContinuationToken = out.NextContinuationToken
		}
	}
}

// failed says what was being done, and what an operator can do about the usual causes.
func (s *Store) failed(ctx context.Context, what, key string, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	hint := ""
	var coded interface{ ErrorCode() string }
	var status interface{ HTTPStatusCode() int }
	switch {
	case errors.As(err, &coded) && coded.ErrorCode() == "NoSuchBucket":
		hint = "; the bucket does not exist in this region"
	case errors.As(err, &coded) && (coded.ErrorCode() == "NoSuchKey" || coded.ErrorCode() == "NotFound"):
		return fmt.Errorf("%s blob %q of bucket %q: %w", what, s.Prefix+key, s.Bucket, tapway.ErrNotFound)
	case errors.As(err, &status) && status.HTTPStatusCode() == http.StatusForbidden && what == "read":
		hint = "; s3:GetObject is missing, or the object is gone and without s3:ListBucket S3 does not say so"
	case errors.As(err, &status) && status.HTTPStatusCode() == http.StatusForbidden && what == "list":
		hint = "; s3:ListBucket is missing"
	case errors.As(err, &status) && status.HTTPStatusCode() == http.StatusForbidden:
		hint = "; the role lacks the permission for it on this bucket or its key"
	}
	return fmt.Errorf("%s blob %q of bucket %q: %w%s", what, s.Prefix+key, s.Bucket, err, hint)
}
