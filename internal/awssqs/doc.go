// Package awssqs makes SQS's calls without the SDK's client, for the Lambda functions: the calls of
// sqsqueue.Client and ChangeMessageVisibility, over AWS's JSON 1.0 protocol, with the SDK's types for
// what goes in and comes out. A call costs a fraction of the CPU that the SDK's takes, on the
// caller's goroutine, and the linker leaves the SDK's operations out.
//
// What a newcomer gets wrong:
//
//   - A call is tried once. sqsqueue has its own bounds for trying again.
//   - Endpoints are those of AWS_ENDPOINT_URL_SQS or the region's own. FIPS and dual-stack endpoints
//     are not known by name; name them as the endpoint.
//   - The sums that SQS answers with are checked, of bodies and of what attributes were sent: a
//     mismatch is an error although SQS has taken the message, which is then sent again.
//   - Strings must be UTF-8. What is not is SQS's to refuse.
//
// The protocol: https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html. The signature:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
package awssqs
