// Package awssqs makes SQS's calls without the SDK's client: those of queue/sqsqueue, and ChangeMessageVisibility
// for the forwarder function, over AWS's JSON 1.0 protocol. A call costs a fraction of the CPU that the SDK's
// takes, on the caller's goroutine, and the Lambda bootstrap links nothing of the SDK's SQS.
//
// What a newcomer gets wrong:
//
//   - A call is tried once. sqsqueue has its own bounds for trying again.
//   - The sums that SQS answers with are checked, of bodies and of what attributes were sent: a
//     mismatch is an error although SQS has taken the message, which is then sent again.
//   - Strings must be UTF-8. What is not is SQS's to refuse.
//
// The protocol: https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html.
package awssqs
