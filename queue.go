package tapway

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Queue carries exchanges from the capture to the deliveries. Every engine runs the
// contract in internal/queue/queuetest.
type Queue interface {
	// Enqueue stores ex and returns when it is as durable as the engine was told to make it.
	// It reads ex only until it returns. An error means nothing was stored; the engine has
	// then counted the loss in its ledger (see Drop) and the caller only reports it.
	Enqueue(ctx context.Context, ex *Exchange) error

	// Drop counts a call of which no record is kept, with the reason: "sampled", "too-large".
	Drop(reason string)

	// Subscribe gives the consumer side for one destination, creating its position at the
	// present end of the queue when the name is new. Positions outlive the process.
	Subscribe(destination string) (Subscription, error)

	// Ledger counts where everything ended up.
	Ledger(ctx context.Context) (Ledger, error)

	// Close lets running Enqueue calls finish and releases the store.
	Close() error
}

// ErrQueueFull is wrapped by Enqueue's error when the store's limit or its disk is reached.
var ErrQueueFull = errors.New("queue is full")

// ErrClosed is wrapped by the errors of a closed queue.
var ErrClosed = errors.New("queue is closed")

// Subscription is one destination's view of a queue. It is safe for concurrent use.
type Subscription interface {
	// Receive leases up to max messages that are due, oldest first. It blocks until there is
	// at least one, or ctx ends (then it returns ctx's error). A lease that is not settled in
	// time ends by itself and the message is received again, Attempts unchanged.
	Receive(ctx context.Context, max int) ([]Message, error)

	// Settle ends leases. Each settlement takes effect once; settling a message whose lease
	// has ended is no error and still counts if nobody else settled it.
	Settle(ctx context.Context, settlements []Settlement) error
}

// Message is a leased exchange. Exactly one of Frame and Record is set: engines on one
// machine carry frames, those that cross machines carry records (version 1 JSON).
type Message struct {
	ID           ID
	Seq          uint64    // position in the queue, from 1; 0 where the engine has none
	Attempts     int       // attempts made before this one
	Enqueued     time.Time // when it was captured
	FirstAttempt time.Time // zero before the first attempt
	LastError    string    // of the previous attempt
	Frame        []byte    // read-only; valid until the message is settled
	Record       []byte    // read-only; valid until the message is settled
	Receipt      string    // what the engine needs to settle it; "" where Seq is enough
}

// Verdict is what became of one attempt.
type Verdict uint8

const (
	Released  Verdict = iota // not attempted: back into the queue, Attempts unchanged
	Delivered                // the destination has it
	Retry                    // failed; try again after Outcome.After
	Dead                     // failed for good; kept as a dead letter
	Dropped                  // not wanted there, by rule: counted under Outcome.Reason and not kept
)

func (v Verdict) String() string {
	return [...]string{"released", "delivered", "retry", "dead", "dropped"}[v]
}

// Outcome is a verdict with its facts.
type Outcome struct {
	Verdict Verdict
	After   time.Duration // Released, Retry: not before this long from now
	Reason  string        // Retry, Dead, Dropped: in a few words, without secrets: "503 Service Unavailable"
	Status  int           // the destination's answer; 0 if there was none
}

// Settlement joins a message and its outcome.
type Settlement struct {
	Message Message
	Outcome Outcome
}

// Store is a queue that can be looked into: what the command line and the console read.
// All of it works while the queue is in use.
type Store interface {
	Queue

	// Search walks the stored exchanges, newest first unless s.Oldest.
	Search(ctx context.Context, s Search) iter.Seq2[Meta, error]

	// Load reads one stored exchange; ErrNotFound when it is not (or no longer) there.
	Load(ctx context.Context, id ID) (*Exchange, error)

	// LoadSeq is Load by position, the cheap way for what Search found.
	LoadSeq(ctx context.Context, seq uint64) (*Exchange, error)

	// Follow gives every exchange stored after position seq, as soon as it is durable, until
	// ctx ends. A slow reader reads from the store; it misses only what left the history, and
	// then sees a jump in Seq. To follow from now: Stats().Last.
	Follow(ctx context.Context, seq uint64) iter.Seq2[*Exchange, error]

	// DeadLetters walks the dead letters of one destination (all of them when it is ""),
	// oldest death first.
	DeadLetters(ctx context.Context, destination string) iter.Seq2[DeadLetter, error]

	// Resolve ends dead letters: Retry puts them back into the queue with no attempts made,
	// Delivered and Dropped settle them. It returns how many it changed; those that are no
	// longer dead are passed over.
	Resolve(ctx context.Context, destination string, seqs []uint64, o Outcome) (int, error)

	// Forget removes a destination: what it still had queued or dead counts as dropped
	// "forgotten".
	Forget(ctx context.Context, destination string) error

	// States tells, per destination, what became of one exchange.
	States(ctx context.Context, seq uint64) ([]DeliveryState, error)

	Stats(ctx context.Context) (Stats, error)

	// Check verifies every stored record and calls progress now and then with bytes done and
	// in all.
	Check(ctx context.Context, progress func(done, total int64)) (CheckReport, error)
}

// ErrNotFound says that an exchange or destination is not in the store.
var ErrNotFound = errors.New("not found")

// Search says which exchanges to walk. The zero Search is all of them.
type Search struct {
	Since, Until time.Time // zero: unbounded; Since is inclusive, Until exclusive
	Before       uint64    // only positions below this one, for paging newest first; 0: unbounded
	After        uint64    // only positions above this one, for paging oldest first
	Oldest       bool      // oldest first
	Limit        int       // stop after this many matches; 0: no limit

	// Match decides; nil takes everything. load reads the whole exchange, for conditions on
	// headers; it costs a disk read, so ask it last.
	Match func(m *Meta, load func() (*Exchange, error)) bool

	// Maybe asks whether Match could take a record of which m holds no more than what an index
	// has: Seq, Time, Status, Duration, RequestSize, ResponseSize, Method, Path, From, Route,
	// ClientIP, Error, Origin and Front. It must hold for everything Match would take, and must
	// not keep m. nil: nothing is known; an engine without an index does not ask.
	Maybe func(m *Meta) bool

	// Progress is called now and then by the goroutine that searches, and when the search ends
	// by itself: at its limit, when everything has been looked at, or with an error. nil: nobody
	// wants to know, and an engine that is always quick does not tell.
	Progress func(SearchProgress)

	// Hint lets the engine pass over whole regions without asking Match. It must hold for
	// everything Match would take. The zero Hint promises nothing.
	Hint Hint
}

// SearchProgress is how far a search has come.
type SearchProgress struct {
	Searched uint64 // records that have been looked at or passed over
	Total    uint64 // about as many as there are between After and Before

	// Position is where to go on after a search that was broken off: as Before, or as After if
	// it is oldest first. 0 before the first record.
	Position uint64
}

// Hint narrows a search by the fields an engine can index.
type Hint struct {
	StatusMin, StatusMax int      // 0: unbounded
	Methods              []string // nil: any
	PathPrefix           string
}

// DeadLetter is a message that was given up on.
type DeadLetter struct {
	Destination  string    `json:"destination"`
	Meta         Meta      `json:"-"`
	Reason       string    `json:"reason"` // of the last attempt
	Status       int       `json:"last_status,omitempty"`
	Attempts     int       `json:"attempts"`
	FirstAttempt time.Time `json:"first_attempt"`
	Died         time.Time `json:"died"`
}

// DeliveryState is where one exchange stands with one destination.
type DeliveryState struct {
	Destination string    `json:"destination"`
	State       string    `json:"state"` // queued, leased, retrying, delivered, dead, dropped
	Attempts    int       `json:"attempts,omitempty"`
	Next        time.Time `json:"next,omitzero"`
	Reason      string    `json:"reason,omitempty"`
}

// Stats is the state of a store at one moment.
type Stats struct {
	First, Last  uint64             `json:"-"`       // positions held; Last is the newest durable one
	Records      uint64             `json:"records"` // exchanges held, history included
	Bytes        int64              `json:"bytes"`   // on disk
	Limit        int64              `json:"limit"`   // 0: none
	Oldest       time.Time          `json:"oldest,omitzero"`
	Destinations []DestinationStats `json:"destinations"`
}

// DestinationStats is one destination's part of the state.
type DestinationStats struct {
	Destination  string    `json:"destination"`
	Queued       uint64    `json:"queued"`   // not settled: waiting, leased or retrying
	Leased       uint64    `json:"leased"`   // of Queued
	Retrying     uint64    `json:"retrying"` // of Queued: failed at least once
	Dead         uint64    `json:"dead"`
	OldestQueued time.Time `json:"oldest_queued,omitzero"` // capture time of the oldest queued record
}

// CheckReport is what Check found.
type CheckReport struct {
	Segments int      `json:"segments"`
	Records  uint64   `json:"records"`
	Bytes    int64    `json:"bytes"`
	Damage   []Damage `json:"damage"` // empty: all is well
}

// Damage is one place in a store that cannot be read.
type Damage struct {
	File    string `json:"file"`
	Offset  int64  `json:"offset"`
	Bytes   int64  `json:"bytes"`
	FromSeq uint64 `json:"from_seq,omitempty"` // the positions lost there, if they can be told
	ToSeq   uint64 `json:"to_seq,omitempty"`
	What    string `json:"what"`
}
