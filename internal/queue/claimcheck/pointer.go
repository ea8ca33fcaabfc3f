package claimcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// The names of the wire format. A message is a claim check when it has one of the attributes,
// whatever its body looks like; their value is the length of the original body in bytes,
// of type Number.
const (
	Attribute       = "ExtendedPayloadSize"
	LegacyAttribute = "SQSLargePayloadSize"

	Class       = "software.amazon.payloadoffloading.PayloadS3Pointer"
	LegacyClass = "com.amazon.sqs.javamessaging.MessageS3Pointer"
)

// IsReserved reports whether a message attribute of that name says that the body is a pointer.
func IsReserved(attribute string) bool {
	return attribute == Attribute || attribute == LegacyAttribute
}

// Pointer says where the real body is.
type Pointer struct {
	Bucket string
	Key    string
}

// IsZero reports whether there is no pointer.
func (p Pointer) IsZero() bool { return p == Pointer{} }

// Append adds the body of a message that points to p: compact JSON, as the Java client writes it.
// legacy is for consumers that only know the class of its first version.
func (p Pointer) Append(dst []byte, legacy bool) []byte {
	class := Class
	if legacy {
		class = LegacyClass
	}
	dst = append(append(append(dst, `["`...), class...), `",{"s3BucketName":`...)
	dst = appendString(dst, p.Bucket)
	dst = appendString(append(dst, `,"s3Key":`...), p.Key)
	return append(dst, "}]"...)
}

func appendString(dst []byte, s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(s) // a string always encodes
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// ErrPointer is wrapped by the errors about a body that should be a pointer and is none. Trying again
// does not help.
var ErrPointer = errors.New("not a pointer of the SQS extended client")

// maxKey is the longest key that S3 has.
const maxKey = 1024

// ParsePointer reads the body of a message that has one of the reserved attributes, in any of
// the dialects: either class, compact or spaced, with keys it does not know.
func ParsePointer(body []byte) (Pointer, error) {
	var parts []json.RawMessage
	if err := json.Unmarshal(body, &parts); err != nil {
		return Pointer{}, fmt.Errorf("%w: the body is no JSON array", ErrPointer)
	}
	if len(parts) != 2 {
		return Pointer{}, fmt.Errorf("%w: an array of %d, want 2", ErrPointer, len(parts))
	}
	class, err := text(parts[0])
	if err != nil {
		return Pointer{}, fmt.Errorf("%w: the class %w", ErrPointer, err)
	}
	if class != Class && class != LegacyClass {
		return Pointer{}, fmt.Errorf("%w: unknown class %.100q", ErrPointer, class)
	}
	// A map takes names as they are; a struct would also take them in other letter case.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(parts[1], &fields); err != nil || fields == nil {
		return Pointer{}, fmt.Errorf("%w: the second element is no object", ErrPointer)
	}
	var p Pointer
	if p.Bucket, err = text(fields["s3BucketName"]); err != nil {
		return Pointer{}, fmt.Errorf("%w: s3BucketName %w", ErrPointer, err)
	}
	if p.Key, err = text(fields["s3Key"]); err != nil {
		return Pointer{}, fmt.Errorf("%w: s3Key %w", ErrPointer, err)
	}
	if len(p.Key) > maxKey {
		return Pointer{}, fmt.Errorf("%w: s3Key has %d bytes, at most %d are possible", ErrPointer, len(p.Key), maxKey)
	}
	return p, nil
}

// text reads a JSON string that is not empty.
func text(raw json.RawMessage) (string, error) {
	if raw == nil {
		return "", errors.New("is missing")
	}
	var s *string
	if !utf8.Valid(raw) || json.Unmarshal(raw, &s) != nil || s == nil {
		return "", errors.New("is no string")
	}
	if *s == "" {
		return "", errors.New("is empty")
	}
	return *s, nil
}
