package diskqueue

import (
	"encoding/binary"
	"time"
)

type destMeta struct {
	Floor     uint64            `json:"floor"`
	Start     uint64            `json:"start"`
	Base      uint64            `json:"base,omitempty"`
	Before    map[string]uint64 `json:"before,omitempty"`
	Delivered uint64            `json:"delivered"`
	Dropped   map[string]uint64 `json:"dropped,omitempty"`
	Dead      uint64            `json:"dead"`
	Reasons   []string          `json:"reasons,omitempty"`
	Forgotten bool              `json:"forgotten,omitempty"`
}

// retryRow is a message between two attempts, or one that was redriven (again).
type retryRow struct {
	attempts int
	again    bool
	next     time.Time
	wait     time.Duration // until next when the row was written: no clock makes it longer
	first    time.Time
	lastErr  string
}

// The first byte of a retryRow.
const (
	flagAgain = 1 << iota
	flagWait  // eight bytes of wait stand before lastErr; older versions wrote none
)

type deadRow struct {
	reason      string
	status      int
	attempts    int
	first, died time.Time
}

type death struct {
	seq uint64
	deadRow
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func deadKey(died time.Time, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(died.UnixNano())), seq)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.LittleEndian.AppendUint64(b, 0)
	}
	return binary.LittleEndian.AppendUint64(b, uint64(t.UnixNano()))
}

func parseTime(b []byte) time.Time {
	if n := int64(binary.LittleEndian.Uint64(b)); n != 0 {
		return time.Unix(0, n).UTC()
	}
	return time.Time{}
}

func (r *retryRow) encode() []byte {
	b := make([]byte, 0, 29+len(r.lastErr))
	flags := byte(flagWait)
	if r.again {
		flags |= flagAgain
	}
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.attempts))
	b = appendTime(b, r.next)
	b = appendTime(b, r.first)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.wait))
	return append(b, r.lastErr...)
}

func parseRetry(b []byte) (r retryRow, ok bool) {
	if len(b) < 21 {
		return r, false
	}
	r = retryRow{
		again: b[0]&flagAgain != 0, attempts: int(binary.LittleEndian.Uint32(b[1:])),
		next: parseTime(b[5:]), wait: maxWait, first: parseTime(b[13:]), lastErr: string(b[21:]),
	}
	if b[0]&flagWait != 0 {
		if len(b) < 29 {
			return r, false
		}
		r.wait = min(max(time.Duration(binary.LittleEndian.Uint64(b[21:])), 0), maxWait)
		r.lastErr = string(b[29:])
	}
	return r, true
}

func (r *deadRow) encode() []byte {
	b := make([]byte, 0, 16+len(r.reason))
	b = binary.LittleEndian.AppendUint16(b, uint16(r.status))
	b = binary.LittleEndian.AppendUint32(b, uint32(r.attempts))
	b = appendTime(b, r.first)
	return append(b, r.reason...)
}

func parseDead(key, b []byte) (d death, ok bool) {
	if len(key) != 16 || len(b) < 14 {
		return d, false
	}
	d.seq = binary.BigEndian.Uint64(key[8:])
	d.died = time.Unix(0, int64(binary.BigEndian.Uint64(key))).UTC()
	d.status = int(binary.LittleEndian.Uint16(b))
	d.attempts = int(binary.LittleEndian.Uint32(b[2:]))
	d.first = parseTime(b[6:])
	d.reason = string(b[14:])
	return d, true
}

func (p *page) encode() []byte {
	switch {
	case p == nil:
		return nil
	case p == fullPage:
		return []byte{1}
	}
	b := make([]byte, 0, pageBits/8)
	for _, w := range p.bits {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

func parsePage(b []byte) *page {
	if len(b) == 1 {
		return fullPage
	}
	if len(b) != pageBits/8 {
		return nil
	}
	p := &page{}
	for i := range p.bits {
		p.bits[i] = binary.LittleEndian.Uint64(b[8*i:])
		for w := p.bits[i]; w != 0; w &= w - 1 {
			p.n++
		}
	}
	return p
}
