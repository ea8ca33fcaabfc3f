// Package lambdasqs is the forwarder's door on Lambda: an event of an SQS trigger comes in,
// every message is given to the same [delivery.Sender] that delivers on one machine, and the
// messages that are to stay in their queue go out as batchItemFailures.
//
// What a newcomer gets wrong: Lambda deletes every message that is not named in the answer,
// so a message is only left out of it when it is settled: delivered, not wanted, or already
// sent to the dead-letter queue with its reason. A message that is named becomes visible
// again when the queue's visibility timeout is over, which is minutes; so its visibility is
// first set to its backoff. And the queue counts receives, not attempts: a message that was
// returned untried looks as if it had been tried.
//
// Messages of one event are attempted side by side: their order is not kept.
package lambdasqs
