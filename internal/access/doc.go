// Package access decides whether a call may pass: http middleware between capture and proxy,
// made of one [Decider] per rule, which are asked in one fixed order.
//
//	address → resource policy → limits → authentication → plan → filter → (cache) → backend
//
// The capture stands outside, so that every refusal leaves a record with origin "gateway" and
// the rule's name in its error.
//
// What a newcomer gets wrong: a decider may have let a call pass that a later one refuses, so
// whatever it took from a budget has to go back: see [Holder]. A decider is also asked by
// `tapway access explain`, which must change nothing: see [Request.Dry]. And a path is never
// compared as it stands, but in all the readings a backend may make of it: [Request.Readings].
//
// To add a rule, write a Decider with the [Phase] it belongs to, and hand it to [NewChain].
package access
