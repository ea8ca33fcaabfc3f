package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapway/tapway"
)

// deadSource is the system attribute with the ARN of the queue that SQS itself has taken a dead letter from.
const deadSource = "DeadLetterQueueSourceArn"

// sharers are the other destinations whose dead letters lie in a destination's dead-letter queue as well, sorted by name.
type sharers struct {
	others []*destination
	unsure []*destination // it is not known where theirs are
	why    error          // for the first of unsure
}

// sharing finds out who shares the dead-letter queue with this URL and these facts.
func (d *destination) sharing(ctx context.Context, url string, f facts) (s sharers) {
	for _, name := range d.q.names {
		other := d.q.dests[name]
		if other == d {
			continue
		}
		its, facts, err := other.lookUpDead(ctx)
		switch {
		case err == nil && f.arn != "" && facts.arn != "" && f.arn == facts.arn, err == nil && its == url:
			s.others = append(s.others, other)
		case err == nil, errors.Is(err, tapway.ErrNotFound), gone(err): // it has another one, or none
		default:
			s.unsure = append(s.unsure, other)
			if s.why == nil {
				s.why = err
			}
		}
	}
	if len(s.others)+len(s.unsure) > 0 {
		_, _, _ = d.main.lookUp(ctx) // for is, which does without
	}
	return s
}

func (d *destination) lookUpDead(ctx context.Context) (string, facts, error) {
	dead, err := d.deadLetters(ctx)
	if err != nil {
		return "", facts{}, err
	}
	return dead.lookUp(ctx)
}

// owns reports whether a dead letter is this destination's and not one of those that share its queue. Who it
// belongs to is told by its attribute or, of what SQS has moved, by the queue it comes from; of what says neither
// the first by name takes care. A letter of somebody who is not configured is nobody's: it might be redriven
// to the wrong destination.
func (d *destination) owns(v *Delivery, s *sharers) bool {
	if len(s.others)+len(s.unsure) == 0 {
		return true
	}
	name, source := valueOf(v.Attributes, AttributeDestination), v.System[deadSource]
	switch {
	case name == printable(d.name):
		return true
	case name != "" && len(s.others) == 0:
		return !slices.ContainsFunc(s.unsure, func(other *destination) bool { return name == printable(other.name) })
	case name != "":
		return false
	case source != "":
		return d.main.is(source)
	}
	return len(s.others) == 0 || d.name < s.others[0].name
}

// is reports whether the target is the queue with this ARN, going by the names where its own ARN is not known.
func (t *target) is(arn string) bool {
	if _, f, _ := t.ready(); f.arn != "" {
		return f.arn == arn
	}
	name, _ := splitRef(arn)
	own, _ := splitRef(t.ref)
	return own[strings.LastIndexByte(own, '/')+1:] == name
}

// SharesDeadLetters reports whether the dead letters of other destinations lie in a destination's dead-letter queue as
// well, or may: then what SQS counts there is not its alone.
func (q *Queue) SharesDeadLetters(ctx context.Context, destination string) bool {
	d, err := q.destination(destination)
	if err != nil {
		return false
	}
	url, f, err := d.lookUpDead(ctx)
	if err != nil {
		return false
	}
	s := d.sharing(ctx, url, f)
	return len(s.others)+len(s.unsure) > 0
}

// alone is an error that names the destinations that have their dead letters in the same queue, if there are any or
// may be: SQS itself cannot tell whose they are.
func (d *destination) alone(ctx context.Context) error {
	url, f, err := d.lookUpDead(ctx)
	if err != nil {
		return err
	}
	s := d.sharing(ctx, url, f)
	switch {
	case len(s.others) > 0:
		return fmt.Errorf("its dead-letter queue has those of %s as well", listed(s.others))
	case len(s.unsure) > 0:
		return fmt.Errorf("its dead-letter queue may have those of %s as well: %w", listed(s.unsure), s.why)
	}
	return nil
}

func listed(all []*destination) string {
	names := make([]string, len(all))
	for i, d := range all {
		names[i] = fmt.Sprintf("%q", d.name)
	}
	return strings.Join(names, ", ")
}
