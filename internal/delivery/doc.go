// Package delivery brings captured exchanges to HTTP destinations. A [Sender] makes one
// attempt and says what became of it; a [Worker] takes messages from one destination's
// subscription, has them sent and settles them. First try, retry, redrive and replay all go
// through [Sender.Send].
//
// What a newcomer gets wrong: a destination that is down is not the fault of its records.
// Failures of that kind open the [Breaker], and then nothing is received or attempted except
// one probe at a time, so that the queue keeps the records instead of burning their
// attempts; a failed probe never makes its record a dead letter. Delivery is at least once:
// the exchange's id is the same in every attempt and is the destination's idempotency key.
package delivery
