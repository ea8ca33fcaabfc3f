package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/queue/claimcheck"
)

// fit puts the body of a parcel that is too large for the queue into the blob store. Where there is none the queue gets
// what it may take: the margin is worth no record, nor is a limit that could not be read.
func (t *target) fit(ctx context.Context, p *parcel) error {
	_, f, _ := t.ready()
	limit := f.limit
	if t.q.c.Claims == nil {
		if limit = f.most; t.unknown() != nil {
			limit = maxMessage
		}
	}
	if p.size() <= limit {
		return nil
	}
	return t.deposit(ctx, p, limit)
}

// deposit puts the body of a parcel into the blob store; limit is why.
func (t *target) deposit(ctx context.Context, p *parcel, limit int) error {
	claims, l := t.q.c.Claims, p.letter
	if claims == nil {
		return fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrTooLarge, p.size(), limit)
	}
	var ticket claimcheck.Ticket
	var err error
	if claims.Keep && l != nil && l.many {
		l.shared.Do(func() { l.ticket, l.failed = claims.DepositShared(ctx, l.body) })
		ticket, err = l.ticket, l.failed
	} else {
		ticket, err = claims.Deposit(ctx, []byte(p.body))
	}
	if err != nil {
		return depositError{err}
	}
	if p.attributes == nil {
		p.attributes = attributes{}
	}
	p.body = string(ticket.Body)
	p.attributes[ticket.Attribute] = number(ticket.Size)
	return nil
}

// send sends parcels. What the queue refuses for its size alone, because its limit has been lowered or could not be
// read, goes once more by the blob store.
func (t *target) send(ctx context.Context, parcels ...*parcel) []error {
	errs := t.outbox.send(ctx, parcels...)
	var again []*parcel
	var at []int // of parcels, by again
	for i, p := range parcels {
		if !tooLong(errs[i]) || isClaim(p.attributes) {
			continue
		}
		if len(again) == 0 {
			t.reread(ctx)
		}
		_, f, _ := t.ready()
		if errs[i] = t.deposit(ctx, p, f.most); errs[i] == nil {
			again, at = append(again, p), append(at, i)
		}
	}
	if len(again) > 0 {
		for j, err := range t.outbox.send(ctx, again...) {
			errs[at[j]] = err
		}
	}
	return errs
}

// reread reads the queue's facts again. If they cannot be read, what is safe for every queue replaces them.
func (t *target) reread(ctx context.Context) {
	t.mu.Lock()
	t.known, t.retry = time.Time{}, time.Time{}
	t.mu.Unlock()
	_, _, _ = t.lookUp(ctx) // the next one to use the queue tries it again
}

// tooLong reports whether SQS has refused a message for its size.
func tooLong(err error) bool {
	return code(err) == "InvalidParameterValue" && strings.Contains(err.Error(), "shorter than")
}

// ofOne reports whether a message was refused for what it is, which says nothing of others.
func ofOne(err error) bool {
	var deposit depositError
	switch code(err) {
	case "InvalidParameterValue", "InvalidMessageContents":
		return true
	}
	return errors.Is(err, ErrTooLarge) || errors.As(err, &deposit)
}
