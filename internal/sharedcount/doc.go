// Package sharedcount counts calls for several processes together: it is the access.Counter, and access.Rates,
// behind `access.counters: dynamodb://TABLE`.
//
// A process takes calls from the store in advance, in leases: one conditional addition reserves as many as the
// process will need for some seconds, and calls are then served from memory. So a limit is never exceeded, the
// store is asked seldom, and what is lost with a process that is killed is the rest of its lease: calls that
// nobody may make until the period ends.
//
// What a newcomer gets wrong: an addition is not idempotent. One whose answer did not come counts as made, and
// its lease as lost: that errs on the side of the limit. And a call may only wait for the store for a moment;
// the request itself goes on without it, and what it brings serves later calls.
package sharedcount
