package awss3

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// PutInput says what is to be stored. Bucket and Key are required.
type PutInput struct {
	Bucket, Key string
	Body        []byte // must not change before Put returns

	SSE      string // "AES256" or "aws:kms"; "": the bucket's default
	KMSKeyID string // an ID or ARN; "": the account's own key for S3, or the bucket's
}

// expectFrom is the size of a body that is not sent before S3 wants it, as the SDK has it: S3 closes the connection of one
// that it refuses, and why it refuses would be lost.
const expectFrom = 2 << 20

// Put stores an object, in place of one with the same key. S3 compares its sums before it keeps it.
func (c *Client) Put(ctx context.Context, in *PutInput) error {
	h := http.Header{
		"Content-Type":          {"application/octet-stream"},
		"X-Amz-Checksum-Crc32c": {crc32cOf(in.Body)},
	}
	if len(in.Body) >= expectFrom {
		h["Expect"] = []string{"100-continue"}
	}
	if in.SSE != "" {
		h["X-Amz-Server-Side-Encryption"] = []string{in.SSE}
	}
	if in.KMSKeyID != "" {
		h["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"] = []string{in.KMSKeyID}
	}
	_, err := c.do(ctx, &call{
		operation: "PutObject", method: http.MethodPut, bucket: in.Bucket, key: in.Key, header: h, body: in.Body, sum: sha256.Sum256(in.Body),
		limit: maxRefusal,
	})
	return err
}

// GetInput says what is to be read. Bucket, Key and MaxBytes are required.
type GetInput struct {
	Bucket, Key string
	MaxBytes    int64  // a larger object is an error of which TooLarge tells
	IfNoneMatch string // an ETag; of an object that still has it the answer is an *Error with status 304. "": none
}

// Object is one that was read.
type Object struct {
	Body []byte
	ETag string
}

// noBytes is the sum of no body.
var noBytes = sha256.Sum256(nil)

// Get reads an object as a whole and compares it with the sum that it was stored with.
func (c *Client) Get(ctx context.Context, in *GetInput) (*Object, error) {
	h := http.Header{"X-Amz-Checksum-Mode": {"ENABLED"}}
	if in.IfNoneMatch != "" {
		h["If-None-Match"] = []string{in.IfNoneMatch}
	}
	got, err := c.do(ctx, &call{
		operation: "GetObject", method: http.MethodGet, bucket: in.Bucket, key: in.Key, header: h, sum: noBytes, limit: in.MaxBytes, check: checkSums,
	})
	if err != nil {
		return nil, err
	}
	return &Object{got.body, got.header.Get("Etag")}, nil
}

// Delete removes an object; that there is none is no error. In a bucket with versions it leaves a delete marker.
func (c *Client) Delete(ctx context.Context, bucket, key string) error {
	_, err := c.do(ctx, &call{operation: "DeleteObject", method: http.MethodDelete, bucket: bucket, key: key, sum: noBytes, limit: maxRefusal})
	return err
}

// ListInput says what is to be listed. Bucket is required.
type ListInput struct {
	Bucket string
	Prefix string // of the keys; "": all
	After  string // Next of the page before; "": from the beginning
}

// Page is some keys, in the order of their bytes.
type Page struct {
	Keys []string
	Next string // for ListInput.After; "": this was the last page
}

// List lists a thousand keys at most. It needs the permission s3:ListBucket.
func (c *Client) List(ctx context.Context, in *ListInput) (*Page, error) {
	query := "encoding-type=url&list-type=2" // or else a key may have what XML cannot
	if in.After != "" {
		query = "continuation-token=" + escaped(in.After) + "&" + query
	}
	if in.Prefix != "" {
		query += "&prefix=" + escaped(in.Prefix)
	}
	got, err := c.do(ctx, &call{operation: "ListObjectsV2", method: http.MethodGet, bucket: in.Bucket, query: query, sum: noBytes, limit: maxList})
	if err != nil {
		return nil, err
	}
	page, err := readPage(got.body)
	if err != nil {
		return nil, fmt.Errorf("S3 ListObjectsV2: the answer is not understood: %w", err)
	}
	return page, nil
}

// escaped is a text as S3 wants it in a query.
func escaped(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
