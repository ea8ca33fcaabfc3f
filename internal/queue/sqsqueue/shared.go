package sqsqueue

import (
	"context"
	"fmt"
	"strings"
)

// deadSource is the system attribute with the ARN of the queue that SQS itself has taken a dead letter from.
const deadSource = "DeadLetterQueueSourceArn"

// sharing are the other destinations whose dead letters lie in the queue with this URL as well, sorted by name. One
// whose queues cannot be looked up counts as having its own.
func (d *destination) sharing(ctx context.Context, url string) (others []*destination) {
	for _, name := range d.q.names {
		other := d.q.dests[name]
		if other == d {
			continue
		}
		dead, err := other.deadLetters(ctx)
		if err != nil {
			continue
		}
		if its, _, err := dead.lookUp(ctx); err == nil && its == url {
			others = append(others, other)
		}
	}
	return others
}

// owns reports whether a dead letter is this destination's and not one of the others that share its queue. Who it
// belongs to is told by its attribute or, of what SQS has moved, by the queue it comes from; of what says neither
// the first by name takes care. A letter of somebody who is not configured is nobody's: it might be redriven
// to the wrong destination.
func (d *destination) owns(v *Delivery, others []*destination) bool {
	if len(others) == 0 {
		return true
	}
	if name := valueOf(v.Attributes, AttributeDestination); name != "" {
		return name == printable(d.name)
	}
	source := v.System[deadSource]
	if source != "" {
		_, f, _ := d.main.ready()
		return f.arn == source
	}
	return d.name < others[0].name
}

// alone is an error that names the destinations that have their dead letters in the same queue, if there are any: SQS
// itself cannot tell whose they are.
func (d *destination) alone(ctx context.Context) error {
	dead, err := d.deadLetters(ctx)
	if err != nil {
		return err
	}
	url, _, err := dead.lookUp(ctx)
	if err != nil {
		return err
	}
	others := d.sharing(ctx, url)
	if len(others) == 0 {
		return nil
	}
	names := make([]string, len(others))
	for i, other := range others {
		names[i] = fmt.Sprintf("%q", other.name)
	}
	return fmt.Errorf("its dead-letter queue has those of %s as well", strings.Join(names, ", "))
}
