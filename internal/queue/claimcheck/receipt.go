package claimcheck

import "strings"

const (
	bucketMarker = "-..s3BucketName..-"
	keyMarker    = "-..s3Key..-"
)

// JoinReceipt puts a pointer into a receipt handle the way the extended clients do, so that
// whoever deletes the message later knows of the blob. It never goes to SQS.
func JoinReceipt(p Pointer, handle string) string {
	if p.IsZero() {
		return handle
	}
	return bucketMarker + p.Bucket + bucketMarker + keyMarker + p.Key + keyMarker + handle
}

// SplitReceipt takes apart what JoinReceipt made; any other handle is returned as it is. Handles may
// contain dashes, which Python's client does not expect.
func SplitReceipt(receipt string) (Pointer, string) {
	rest, ok := strings.CutPrefix(receipt, bucketMarker)
	if !ok {
		return Pointer{}, receipt
	}
	bucket, rest, ok := strings.Cut(rest, bucketMarker+keyMarker)
	if !ok {
		return Pointer{}, receipt
	}
	key, handle, ok := strings.Cut(rest, keyMarker)
	if !ok || bucket == "" || key == "" {
		return Pointer{}, receipt
	}
	return Pointer{bucket, key}, handle
}
