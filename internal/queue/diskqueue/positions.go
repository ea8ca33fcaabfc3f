package diskqueue

import "math/bits"

// pageBits is how many positions one page of a settled set covers: 512 bytes of bits.
const pageBits = 4096

type page struct {
	bits [pageBits / 64]uint64
	n    int
}

// fullPage stands for every page whose positions are all settled.
var fullPage = func() *page {
	p := &page{n: pageBits}
	for i := range p.bits {
		p.bits[i] = ^uint64(0)
	}
	return p
}()

// settled is the set of positions a destination has done with: everything up to floor, and
// some above it. A million settled positions above a stuck one cost about 12 KiB.
type settled struct {
	floor uint64
	above uint64 // how many above floor
	pages map[uint64]*page
	dirty map[uint64]struct{} // pages changed since they were last written down
}

func newSettled(floor uint64) settled {
	return settled{floor: floor, pages: map[uint64]*page{}, dirty: map[uint64]struct{}{}}
}

func (s *settled) has(seq uint64) bool {
	if seq <= s.floor {
		return true
	}
	p := s.pages[seq/pageBits]
	return p != nil && p.bits[seq%pageBits/64]&(1<<(seq%64)) != 0
}

// add reports whether seq is new in the set.
func (s *settled) add(seq uint64) bool {
	if s.has(seq) {
		return false
	}
	if seq == s.floor+1 {
		s.floor++
		s.advance()
		return true
	}
	no := seq / pageBits
	p := s.pages[no]
	if p == nil {
		p = &page{}
		s.pages[no] = p
	}
	p.bits[seq%pageBits/64] |= 1 << (seq % 64)
	p.n++
	if p.n == pageBits {
		s.pages[no] = fullPage
	}
	s.above++
	s.dirty[no] = struct{}{}
	return true
}

// advance moves the floor over what is settled right above it and lets go of passed pages.
func (s *settled) advance() {
	for {
		seq := s.floor + 1
		no := seq / pageBits
		p := s.pages[no]
		if p == nil {
			return
		}
		word := p.bits[seq%pageBits/64] >> (seq % 64)
		run := uint64(bits.TrailingZeros64(^word))
		run = min(run, 64-seq%64)
		if run == 0 {
			return
		}
		s.floor += run
		s.above -= run
		if (s.floor+1)/pageBits != no {
			delete(s.pages, no)
			s.dirty[no] = struct{}{}
		}
	}
}

// next is the lowest position from seq on that is not in the set.
func (s *settled) next(seq uint64) uint64 {
	seq = max(seq, s.floor+1)
	for {
		p := s.pages[seq/pageBits]
		if p == nil {
			return seq
		}
		if p == fullPage {
			seq = (seq/pageBits + 1) * pageBits
			continue
		}
		word := ^(p.bits[seq%pageBits/64] >> (seq % 64))
		run := min(uint64(bits.TrailingZeros64(word)), 64-seq%64)
		if run == 0 {
			return seq
		}
		seq += run
	}
}

// open counts the positions of from..to that are not in the set, stopping at limit.
func (s *settled) open(from, to uint64, limit int) (n int) {
	for seq := s.next(from); seq <= to && n < limit; seq = s.next(seq) {
		if s.pages[seq/pageBits] != nil {
			n++
			seq++
			continue
		}
		end := min((seq/pageBits+1)*pageBits, to+1)
		n += int(end - seq)
		seq = end
	}
	return min(n, limit)
}
