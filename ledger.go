package tapway

// Ledger tells, per destination, where every captured call ended up. The parts are counted
// where they happen, not derived from each other, so a Difference other than 0 means loss
// or a defect.
type Ledger struct {
	// Calls is how many calls were offered to the capture since the store was made, Stored
	// how many of them have a record; the rest is in Dropped by reason.
	Calls        uint64            `json:"calls"`
	Stored       uint64            `json:"stored"`
	Dropped      map[string]uint64 `json:"dropped"`
	Destinations []LedgerLine      `json:"destinations"`
}

// LedgerLine is one destination's account since it was first subscribed.
type LedgerLine struct {
	Destination string            `json:"destination"`
	Captured    uint64            `json:"captured"` // calls since the destination was first subscribed
	Delivered   uint64            `json:"delivered"`
	Queued      uint64            `json:"queued"`
	Dead        uint64            `json:"dead"`
	Dropped     map[string]uint64 `json:"dropped"` // before the queue (Ledger.Dropped) or for this destination: "filtered", "purged", "damaged"
}

// Difference is captured - (delivered + queued + dead + dropped): 0 unless something is amiss.
func (l LedgerLine) Difference() int64 {
	d := int64(l.Captured) - int64(l.Delivered) - int64(l.Queued) - int64(l.Dead)
	for _, n := range l.Dropped {
		d -= int64(n)
	}
	return d
}

// Difference is calls - (stored + dropped).
func (l Ledger) Difference() int64 {
	d := int64(l.Calls) - int64(l.Stored)
	for _, n := range l.Dropped {
		d -= int64(n)
	}
	return d
}
