// Package diskqueue is the queue of one machine: an append-only, checksummed log of frames
// that is the truth, and an embedded database beside it that says what became of each.
//
// A data directory holds
//
//	LOCK           who has it open
//	store          the key of the log, the next position, calls dropped before the log
//	log/N.seg      frames from position N on; only ever appended to; log/N.idx its search index
//	kept/N-M.G.seg the few frames of N..M still owed to somebody, moved out of an old segment
//	state.db       per destination: position, retries, dead letters, counters
//	destinations   the destinations' names, for the day state.db is lost
//	reserve        room to write down settlements when the disk is full
//
// What a newcomer gets wrong: positions are given out in the order of the log by whoever is
// writing it, never before, so a consumer that has read position n will see n+1 next and can
// skip none. And the database may be behind the truth but never ahead of it: after a crash a
// record may be delivered twice, but its delivery, its position and its counter are written
// in one transaction, so the ledger still adds up.
//
// Nothing needs [Queue.Run] to be correct. Run does in the background what would otherwise
// happen in passing (writing down settlements, syncing in Write mode) or not at all (search
// indexes written ahead of a search, old history deleted, segments emptied of stragglers).
package diskqueue
