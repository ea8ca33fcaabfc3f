package awsconsole

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/blob/s3blob"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/record"
	"github.com/tapway/tapway/internal/spill"
)

const (
	claimPrefix = "records/" // of what was too large for SQS

	listFresh = 30 * time.Second     // how long a list of the bucket serves
	listMost  = 50_000               // objects of each kind that are listed; above it, the newest
	listBack  = 100 * 24 * time.Hour // how far the newest are looked for
	atOnce    = 8                    // objects that are read side by side
	tellEvery = 200 * time.Millisecond
	keptBytes = 64 << 20 // of exchanges that were read
)

// object is a record in the bucket. Of one that SQS did not take there is an object for each
// destination.
type object struct {
	keys    []string
	id      tapway.ID // of the exchange; of a large record its own, made a little later
	claim   bool      // a large record: the exchange's ID is in it
	seq     uint64
	waiting []string // destinations whose queues do not have it
}

// archive finds exchanges in the bucket, and by their IDs among the dead letters.
//
// A position is the millisecond in an object's ID and its place among those of that millisecond:
// it is the same in every list, and a number that JavaScript can hold.
type archive struct {
	bucket *s3blob.Store // nil: there is none
	queue  *sqsqueue.Queue

	mu     sync.Mutex
	list   []object // newest first
	listed time.Time
	most   int                  // of each kind that are listed
	kept   map[uint64]*kept     // by position
	byID   map[tapway.ID]uint64 // of kept
	order  []uint64             // of kept, oldest first
	bytes  int
	dead   uint64 // the last position given to a dead letter, counted down from deadFirst
}

// kept is an exchange that was read.
type kept struct {
	ex     *tapway.Exchange
	states []tapway.DeliveryState
	at     time.Time
	letter bool // a dead letter, which may be redriven or purged meanwhile
}

// letterFresh is how long a dead letter counts as there without another look.
const letterFresh = time.Minute

// deadFirst is above every position of the bucket: dead letters are in no list.
const deadFirst = 1 << 53

func newArchive(bucket *s3blob.Store, queue *sqsqueue.Queue) *archive {
	return &archive{bucket: bucket, queue: queue, most: listMost, kept: map[uint64]*kept{}, byID: map[tapway.ID]uint64{}, dead: deadFirst}
}

// objects lists the bucket, newest first.
func (a *archive) objects(ctx context.Context, fresh time.Duration) ([]object, error) {
	if a.bucket == nil {
		return nil, nil
	}
	a.mu.Lock()
	list, age := a.list, time.Since(a.listed)
	a.mu.Unlock()
	if list != nil && age < fresh {
		return list, nil
	}
	list, err := a.read(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.list, a.listed = list, time.Now()
	a.mu.Unlock()
	return list, nil
}

// read lists everything, or the newest where there is too much of it.
func (a *archive) read(ctx context.Context, now time.Time) ([]object, error) {
	claims, err := a.keys(ctx, claimPrefix)
	if errors.Is(err, errMany) {
		// The keys sort by time, and S3 lists in that order only: so by their first digits, backwards.
		claims, err = a.newest(ctx, now, func(at time.Time) []string {
			digits := fmt.Sprintf("%06x", at.UnixMilli()>>24)
			return []string{claimPrefix + digits, claimPrefix + "shared/" + digits}
		}, 1<<24*time.Millisecond)
	}
	if err != nil {
		return nil, err
	}
	spilled, err := a.keys(ctx, spill.Prefix)
	if errors.Is(err, errMany) {
		spilled, err = a.newest(ctx, now, func(at time.Time) (days []string) {
			for _, destination := range a.queue.Destinations() {
				days = append(days, spill.Prefix+destination+at.UTC().Format("/2006/01/02/"))
			}
			return days
		}, 24*time.Hour)
	}
	if err != nil {
		return nil, err
	}
	list, place := []object{}, map[tapway.ID]int{}
	for _, key := range append(claims, spilled...) {
		o, ok := objectOf(key)
		if !ok {
			continue
		}
		if i, seen := place[o.id]; seen && !o.claim {
			list[i].keys, list[i].waiting = append(list[i].keys, o.keys...), append(list[i].waiting, o.waiting...)
			continue
		}
		if !o.claim {
			place[o.id] = len(list)
		}
		list = append(list, o)
	}
	number(list)
	return list, nil
}

// errMany says that a listing was given up.
var errMany = errors.New("too many objects")

// keys are those that begin with a prefix; errMany where there are more than are listed.
func (a *archive) keys(ctx context.Context, prefix string) (keys []string, err error) {
	for key, err := range a.bucket.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		if keys = append(keys, key); len(keys) > a.most {
			return nil, errMany
		}
	}
	return keys, nil
}

// newest are the keys of the latest steps of time that do not have too many.
func (a *archive) newest(ctx context.Context, now time.Time, prefixes func(time.Time) []string, step time.Duration) (keys []string, err error) {
	for at := now; at.After(now.Add(-listBack)) && len(keys) < a.most; at = at.Add(-step) {
		for _, prefix := range prefixes(at) {
			for key, err := range a.bucket.List(ctx, prefix) {
				if err != nil {
					return nil, err
				}
				keys = append(keys, key)
			}
		}
	}
	return keys, nil
}

// number sorts objects, newest first, and gives them their positions.
func number(list []object) {
	slices.SortFunc(list, func(a, b object) int {
		return cmp.Or(slices.Compare(b.id[:], a.id[:]), cmp.Compare(b.keys[0], a.keys[0]))
	})
	for i := len(list) - 1; i >= 0; i-- {
		list[i].seq = uint64(list[i].id.Time().UnixMilli()) << 12
		if i+1 < len(list) && list[i+1].seq>>12 == list[i].seq>>12 {
			list[i].seq = list[i+1].seq + 1
		}
	}
}

// objectOf reads a key: spill/DESTINATION/YYYY/MM/DD/ID.json, records/ID, or records/shared/ID.
func objectOf(key string) (object, bool) {
	if rest, ok := strings.CutPrefix(key, claimPrefix); ok {
		id, err := tapway.ParseID(strings.TrimPrefix(rest, "shared/"))
		return object{keys: []string{key}, id: id, claim: true}, err == nil
	}
	rest, ok := strings.CutPrefix(key, spill.Prefix)
	destination, rest, _ := strings.Cut(rest, "/")
	name, isJSON := strings.CutSuffix(rest[strings.LastIndexByte(rest, '/')+1:], ".json")
	id, err := tapway.ParseID(name)
	return object{keys: []string{key}, id: id, waiting: []string{destination}}, ok && isJSON && err == nil
}

// Search reads the objects one after the other, some ahead.
func (a *archive) Search(ctx context.Context, s tapway.Search) iter.Seq2[tapway.Meta, error] {
	return func(yield func(tapway.Meta, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		fresh := listFresh
		if s.Before > 0 || s.After > 0 {
			fresh = 10 * listFresh // the pages of one list
		}
		all, err := a.objects(ctx, fresh)
		if err != nil {
			yield(tapway.Meta{}, err)
			return
		}
		list := wanted(all, &s)
		n, looked := 0, 0
		tell := func() {
			p := tapway.SearchProgress{Searched: uint64(looked), Total: uint64(len(list))}
			if looked > 0 {
				p.Position = list[looked-1].seq
			}
			if s.Progress != nil {
				s.Progress(p)
			}
		}
		told := time.Now()
		seen := map[tapway.ID]bool{}
		for ex, err := range a.ahead(ctx, list) {
			if looked++; time.Since(told) >= tellEvery {
				tell()
				told = time.Now()
			}
			if errors.Is(err, tapway.ErrNotFound) {
				continue // removed since it was listed
			}
			if err != nil {
				yield(tapway.Meta{}, err)
				return
			}
			m := ex.Meta
			if seen[m.ID] || !s.Since.IsZero() && m.Time.Before(s.Since) || !s.Until.IsZero() && !m.Time.Before(s.Until) {
				continue
			}
			seen[m.ID] = true
			if s.Match != nil && !s.Match(&m, func() (*tapway.Exchange, error) { return ex, nil }) {
				continue
			}
			if !yield(m, nil) {
				return
			}
			if n++; n == s.Limit {
				break
			}
		}
		tell()
	}
}

// slack is how much later than the call's begin a large record may have been stored: no call
// lasts longer than a Lambda function.
const slack = 20 * time.Minute

// wanted are the objects that a search may take, in its order.
func wanted(list []object, s *tapway.Search) []object {
	var out []object
	for _, o := range list {
		at := o.id.Time()
		early := at
		if o.claim {
			early = at.Add(-slack)
		}
		switch {
		case s.Before > 0 && o.seq >= s.Before, o.seq <= s.After && s.After > 0:
		case !s.Since.IsZero() && at.Before(s.Since.Truncate(time.Millisecond)), !s.Until.IsZero() && !early.Before(s.Until):
		default:
			out = append(out, o)
		}
	}
	if s.Oldest {
		slices.Reverse(out)
	}
	return out
}

// ahead loads objects, atOnce side by side, and gives them in their order.
func (a *archive) ahead(ctx context.Context, list []object) iter.Seq2[*tapway.Exchange, error] {
	type loaded struct {
		ex  *tapway.Exchange
		err error
	}
	return func(yield func(*tapway.Exchange, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		var under sync.WaitGroup
		defer under.Wait()
		defer stop()
		flights := make([]chan loaded, len(list))
		next := 0
		for i := range list {
			for ; next < len(list) && next < i+atOnce; next++ {
				o, to := list[next], make(chan loaded, 1)
				flights[next] = to
				under.Go(func() {
					ex, err := a.open(ctx, o)
					to <- loaded{ex, err}
				})
			}
			l := <-flights[i]
			flights[i] = nil
			if !yield(l.ex, l.err) {
				return
			}
		}
	}
}

// open reads one object, or has it still.
func (a *archive) open(ctx context.Context, o object) (*tapway.Exchange, error) {
	if k := a.have(o.seq); k != nil {
		return k.ex, nil
	}
	text, err := a.bucket.Get(ctx, o.keys[0])
	if err != nil {
		return nil, err
	}
	ex, err := record.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("object %s is no record: %w", o.keys[0], err)
	}
	var states []tapway.DeliveryState
	for _, destination := range o.waiting {
		states = append(states, tapway.DeliveryState{Destination: destination, State: "spilled", Reason: "SQS did not take it; `tapway queue recover` sends it"})
	}
	a.keep(o.seq, ex, states)
	return ex, nil
}

func (a *archive) have(seq uint64) *kept {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept[seq]
}

// keep remembers an exchange; the oldest make room.
func (a *archive) keep(seq uint64, ex *tapway.Exchange, states []tapway.DeliveryState) {
	ex.Seq = seq
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept[seq] != nil {
		return
	}
	a.kept[seq], a.byID[ex.ID] = &kept{ex, states, time.Now(), seq >= a.dead}, seq
	a.order = append(a.order, seq)
	a.bytes += sizeOf(ex)
	for a.bytes > keptBytes && len(a.order) > 1 {
		old := a.kept[a.order[0]]
		delete(a.kept, a.order[0])
		if a.byID[old.ex.ID] == a.order[0] {
			delete(a.byID, old.ex.ID)
		}
		a.bytes -= sizeOf(old.ex)
		a.order = a.order[1:]
	}
}

// sizeOf is about what an exchange takes in memory.
func sizeOf(ex *tapway.Exchange) int { return 4<<10 + len(ex.Request.Bytes) + len(ex.Response.Bytes) }

// Load looks among what was read, in the bucket, and then among the dead letters.
func (a *archive) Load(ctx context.Context, id tapway.ID) (*tapway.Exchange, error) {
	a.mu.Lock()
	seq, read := a.byID[id]
	a.mu.Unlock()
	if read {
		if k := a.have(seq); k != nil && !(k.letter && time.Since(k.at) > letterFresh) {
			return k.ex, nil
		}
	}
	list, err := a.objects(ctx, listFresh)
	if err != nil {
		return nil, err
	}
	var near []object
	for _, o := range list {
		if after := o.id.Time().Sub(id.Time()); o.id == id || o.claim && after >= 0 && after <= slack {
			near = append(near, o)
		}
	}
	slices.Reverse(near) // a large record is stored soon after its call
	for ex, err := range a.ahead(ctx, near) {
		if err == nil && ex.ID == id {
			return ex, nil
		}
		if err != nil && !errors.Is(err, tapway.ErrNotFound) {
			return nil, err
		}
	}
	return a.deadLetter(ctx, id)
}

// deadLetter walks the dead letters: SQS has no other way to find one.
func (a *archive) deadLetter(ctx context.Context, id tapway.ID) (*tapway.Exchange, error) {
	var found *tapway.Exchange
	var states []tapway.DeliveryState
	for _, name := range a.queue.Destinations() {
		for d, err := range a.queue.PeekDeadLetters(ctx, name, 0) {
			if err != nil {
				return nil, err
			}
			if d.Meta.ID != id || d.Exchange == nil {
				continue
			}
			found = d.Exchange
			states = append(states, tapway.DeliveryState{Destination: name, State: "dead", Attempts: d.Attempts, Reason: d.Reason})
			break
		}
	}
	if found == nil {
		return nil, fmt.Errorf("exchange %s: %w in the bucket or among the dead letters", id, tapway.ErrNotFound)
	}
	a.mu.Lock()
	a.dead--
	seq := a.dead
	a.mu.Unlock()
	a.keep(seq, found, states)
	return found, nil
}

// LoadSeq loads what a search gave.
func (a *archive) LoadSeq(ctx context.Context, seq uint64) (*tapway.Exchange, error) {
	if k := a.have(seq); k != nil {
		return k.ex, nil
	}
	list, err := a.objects(ctx, 10*listFresh)
	if err != nil {
		return nil, err
	}
	for _, o := range list {
		if o.seq == seq {
			return a.open(ctx, o)
		}
	}
	return nil, fmt.Errorf("position %d: %w", seq, tapway.ErrNotFound)
}

// States tells where an exchange is that was loaded. Of a large record nobody knows.
func (a *archive) States(_ context.Context, seq uint64) ([]tapway.DeliveryState, error) {
	if k := a.have(seq); k != nil {
		return k.states, nil
	}
	return nil, nil
}
