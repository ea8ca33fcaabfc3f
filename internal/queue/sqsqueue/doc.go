// Package sqsqueue is the queue on Amazon SQS: one standard queue for each destination, with
// a dead-letter queue behind it, and large records in a blob store by package claimcheck.
//
// What a newcomer gets wrong:
//
//   - A message is the record itself, JSON version 1; what tapway needs to know of it besides
//     (its ID, its time) is in message attributes, so anybody can read the queue, and what others
//     send without attributes is delivered as well.
//   - tapway moves a record to the dead-letter queue itself, with the reason in attributes. The
//     redrive policy's maxReceiveCount is only for consumers that crash: receives are not
//     attempts, so set it to several times retry.max_attempts, 1000 being the most.
//   - SQS keeps no notes on a message. How often a message was received is all that a second
//     process knows: Attempts counts receives there, and LastError is "". The process that made
//     the attempts remembers them, so a released message or a lease that ended is no attempt.
//   - Nothing is in order, everything comes at least once. A message that this process has
//     settled and SQS gives again is deleted again and not delivered.
//   - No delay is longer than twelve hours, counted from when the message was received.
//
// # How exact the ledger is
//
// Captured, delivered and dropped are counted by this process since it began; queued and dead
// are what SQS counts approximately, in the queue and its dead-letter queue, at that moment; and
// what lay there when this process first looked counts as captured. So a line's difference is 0
// when this process is the only one that sends to and receives from the queue and nothing
// has happened for about a minute, until which SQS's numbers may lag. With several processes it is what the
// others sent, less what they delivered or dropped. A redrive changes nothing in it. A dead-letter queue that several
// destinations share is counted for each of them; give each its own.
package sqsqueue
