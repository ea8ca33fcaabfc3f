// Package claimcheck puts what is too large for a queue into a blob store and a pointer to
// it into the queue, in the wire format of the Amazon SQS extended clients for Java and Python, so that
// either side can be theirs.
//
// What a newcomer gets wrong: whether a message is a pointer is told by a message attribute
// and never by its body, which anybody can write; and the blob is deleted after the message, because
// the other way round a crash in between leaves a message that points at nothing.
package claimcheck

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// Check deposits bodies in Store and redeems the pointers to them. Store is required.
type Check struct {
	Store tapway.BlobStore

	// Bucket is what pointers name when Store cannot tell by a method Locate, as s3blob's can.
	// It then has no other use than to be recognised.
	Bucket string

	Prefix string // before the generated keys: "records/"; letters, digits and ./_- only

	// Legacy writes the attribute and the class of the extended client's first version, for
	// consumers that know no others. Reading always knows both.
	Legacy bool

	// Keep leaves the blobs to the bucket's lifecycle rule; then one blob serves all
	// destinations. Otherwise each has its own and Discard deletes it. Set it where several
	// processes receive: a message that the queue holds twice finds its blob gone the second time, and
	// only the process that deleted it knows why. In both cases the rule's lifetime must exceed the
	// retention of the queue and of its dead-letter queue together.
	Keep bool

	NewKey func() string // the part behind Prefix; nil: a UUID
}

// Ticket is what goes into the queue in place of a body.
type Ticket struct {
	Body      []byte
	Attribute string // the reserved attribute to set
	Size      int    // its value: the length of the original body in bytes
	Pointer   Pointer
}

// MissingError says that a pointer's blob is not there (any more). It wraps
// tapway.ErrNotFound. Trying again does not help.
type MissingError struct{ Pointer Pointer }

func (e *MissingError) Error() string {
	return fmt.Sprintf("the claim-checked object %q of bucket %q is gone: it was deleted or its lifetime is shorter than the queue's", e.Pointer.Key, e.Pointer.Bucket)
}

func (e *MissingError) Unwrap() error { return tapway.ErrNotFound }

// ForeignError says that a pointer leads outside the store. Following it would let whoever
// can write to the queue read with tapway's permissions. Trying again does not help.
type ForeignError struct {
	Pointer Pointer
	Bucket  string // where it should have been
	Prefix  string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("the pointer leads to object %q of bucket %q, outside %q", e.Pointer.Key, e.Pointer.Bucket, e.Bucket+"/"+e.Prefix)
}

// Permanent reports whether an error of Redeem will be the same the next time.
func Permanent(err error) bool {
	var missing *MissingError
	var foreign *ForeignError
	var final interface{ Permanent() bool }
	if errors.As(err, &final) && final.Permanent() {
		return true
	}
	return errors.Is(err, ErrPointer) || errors.As(err, &missing) || errors.As(err, &foreign)
}

// Refused reports whether the store has said of an error of Redeem that it lasts until somebody changes something,
// such as a permission.
func Refused(err error) bool {
	var refusal interface{ Refused() bool }
	return errors.As(err, &refusal) && refusal.Refused()
}

// Validate reports what is wrong with c.
func (c *Check) Validate() error {
	switch bucket, _ := c.locate(""); {
	case c.Store == nil:
		return errors.New("claim check: there is no blob store")
	case bucket == "":
		return errors.New("claim check: the bucket's name is not known")
	case strings.HasPrefix(c.Prefix, "/"), strings.HasPrefix(c.Prefix, "."), strings.Contains(c.Prefix, ".."),
		strings.Trim(c.Prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-") != "":
		return fmt.Errorf("claim check: prefix %q: want letters, digits and ./_-, without .. and not beginning with a dot or slash", c.Prefix)
	case len(c.Prefix) > maxKey-36-len(sharedPart):
		return fmt.Errorf("claim check: the prefix has %d bytes, at most %d are possible", len(c.Prefix), maxKey-36-len(sharedPart))
	}
	return nil
}

// locate is the outside name of a key of the store.
func (c *Check) locate(key string) (bucket, object string) {
	if l, ok := c.Store.(interface {
		Locate(key string) (bucket, object string)
	}); ok {
		return l.Locate(key)
	}
	return c.Bucket, key
}

// Deposit stores body and returns what to send instead of it.
func (c *Check) Deposit(ctx context.Context, body []byte) (Ticket, error) {
	return c.deposit(ctx, c.Prefix, body)
}

// DepositShared is Deposit for several messages. Nobody discards such a blob, whatever they are
// told, because the others may still need it: it stays until the bucket's lifecycle rule removes it.
func (c *Check) DepositShared(ctx context.Context, body []byte) (Ticket, error) {
	return c.deposit(ctx, c.Prefix+sharedPart, body)
}

// sharedPart marks the keys of shared blobs.
const sharedPart = "shared/"

func (c *Check) deposit(ctx context.Context, prefix string, body []byte) (Ticket, error) {
	key := ""
	if c.NewKey != nil {
		key = prefix + c.NewKey()
	} else {
		key = prefix + tapway.NewID(time.Now()).String()
	}
	if err := c.Store.Put(ctx, key, body); err != nil {
		return Ticket{}, fmt.Errorf("deposit %d bytes: %w", len(body), err)
	}
	var p Pointer
	p.Bucket, p.Key = c.locate(key)
	return c.Ticket(p, len(body)), nil
}

// Ticket is what to send for a body of size bytes that is stored already.
func (c *Check) Ticket(p Pointer, size int) Ticket {
	attribute := Attribute
	if c.Legacy {
		attribute = LegacyAttribute
	}
	return Ticket{Body: p.Append(nil, c.Legacy), Attribute: attribute, Size: size, Pointer: p}
}

// Redeem reads the body that a message with a reserved attribute stands for. The pointer is
// also returned when its blob cannot be read, as far as it is known.
func (c *Check) Redeem(ctx context.Context, pointer []byte) ([]byte, Pointer, error) {
	p, err := ParsePointer(pointer)
	if err != nil {
		return nil, Pointer{}, err
	}
	key, err := c.key(p)
	if err != nil {
		return nil, p, err
	}
	body, err := c.Store.Get(ctx, key)
	if errors.Is(err, tapway.ErrNotFound) {
		return nil, p, &MissingError{p}
	}
	if err != nil {
		return nil, p, fmt.Errorf("redeem: %w", err)
	}
	return body, p, nil
}

// Discard deletes the blob of a message that has been deleted, unless blobs are kept or it is
// shared. The zero pointer and one that leads elsewhere are left alone.
func (c *Check) Discard(ctx context.Context, p Pointer) error {
	if c.Keep || p.IsZero() {
		return nil
	}
	key, err := c.key(p)
	if err != nil || strings.Contains("/"+key, "/"+sharedPart) {
		return nil
	}
	return c.Store.Delete(ctx, key)
}

// Own reports whether a pointer leads to where Deposit puts blobs.
func (c *Check) Own(p Pointer) bool {
	key, err := c.key(p)
	return err == nil && strings.HasPrefix(key, c.Prefix)
}

// key is the store's key for a pointer into it.
func (c *Check) key(p Pointer) (string, error) {
	bucket, prefix := c.locate("")
	key, ok := strings.CutPrefix(p.Key, prefix)
	if p.Bucket != bucket || !ok || key == "" {
		return "", &ForeignError{Pointer: p, Bucket: bucket, Prefix: prefix}
	}
	return key, nil
}
