// Package lambdaruntime is the loop of a Lambda custom runtime (provided.al2023): it asks the
// Runtime API for the next invocation, calls a [Handler], posts what it returns, and asks
// again. It speaks HTTP/1.1 to the API itself, on one connection per loop and without
// goroutines of its own but for replies over 256 KiB.
//
// What a newcomer gets wrong:
//
//   - The environment freezes when every loop waits in /next, not when the reply was posted.
//     The caller has its reply at the POST; what must not be lost is finished in [Reply.After],
//     which runs between the two. A goroutine left behind may wake hours later, or never.
//   - There is no timeout on /next, on purpose: the wait lasts as long as the freeze.
//   - Time in Reply.After counts toward the function's timeout and its bill.
//   - [Invocation.Event] is not reused unless the handler says so by [Reply.Spent]. A transport may
//     still be reading a request body made of it when the handler has returned, and a reused
//     buffer would send one caller's bytes to another caller's backend.
//   - The official emulator holds the caller until /next. Test with runtimetest.
//
// A panic in a handler is reported to the caller as the invocation's error and then ends
// [Runtime.Run], so that the process exits and Lambda starts a clean one: this is what AWS's
// own Go runtime does. A panic in Reply.After is logged, and the loop goes on.
//
// The API is described at https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and
// streaming at https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html.
package lambdaruntime
