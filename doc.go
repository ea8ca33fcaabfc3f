// Package tapway holds the words every other package speaks: the [Exchange] that was
// captured, the [Queue] that carries it, the [Message] a consumer leases, the [Outcome] of
// an attempt to deliver it, and the [Ledger] that proves none was lost.
//
// It imports the standard library and nothing of ours. What a newcomer gets wrong: an
// Exchange is redacted before anyone but the capture sees it, and a [Body] holds the bytes
// as they passed (still compressed, maybe cut short), never the JSON that a record shows.
package tapway
