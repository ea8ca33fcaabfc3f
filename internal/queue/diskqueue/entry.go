package diskqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// An entry is one frame in a segment, 8-byte aligned:
//
//	magic(4) length(4) seq(8) crc(4) zero(4) frame pad
//
// crc is CRC-32C of the frame, the store's key, and magic, length and seq. The magic is made
// from the key as well: a body that happens (or was made) to look like an entry is never
// taken for one when the reader looks for the next good entry behind damage.
const (
	entryHead = 24
	entryWord = 0x7a617065
	maxFrame  = 1 << 30

	// segmentHead is word(8) version(4) zero(4) first(8) key(8) crc(4) zero(4).
	segmentHead    = 40
	segmentWord    = "tapwaysg"
	segmentVersion = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errNoEntry  = errors.New("no entry here")
	errDamaged  = errors.New("damaged")
	errMissing  = errors.New("the file was taken away")
	errTooLarge = fmt.Errorf("the frame is larger than %d bytes", maxFrame)
)

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// logKey is drawn once per store.
type logKey uint64

func (k logKey) magic() uint32 { return entryWord ^ uint32(k) ^ uint32(k>>32) }

// aligned rounds up to where the next entry may begin.
func aligned(n int) int { return (n + 7) &^ 7 }

// putHead fills in the head of an entry, given the CRC of its frame alone.
func (k logKey) putHead(head []byte, seq uint64, length int, frameCRC uint32) {
	le := binary.LittleEndian
	le.PutUint32(head, k.magic())
	le.PutUint32(head[4:], uint32(length))
	le.PutUint64(head[8:], seq)
	le.PutUint32(head[16:], k.finish(frameCRC, head))
	le.PutUint32(head[20:], 0)
}

// finish takes the key and the head's first 16 bytes into the CRC of a frame. The key goes by the
// table, because a slice of it would be an allocation for every entry.
func (k logKey) finish(crc uint32, head []byte) uint32 {
	crc = ^crc
	for shift := 0; shift < 64; shift += 8 {
		crc = castagnoli[byte(crc)^byte(k>>shift)] ^ crc>>8
	}
	return crc32.Update(^crc, castagnoli, head[:16])
}

// parseHead reads a head. errNoEntry is what preallocated space gives.
func (k logKey) parseHead(head []byte) (seq uint64, length int, err error) {
	le := binary.LittleEndian
	if le.Uint32(head) != k.magic() {
		if le.Uint64(head) == 0 && le.Uint64(head[8:]) == 0 && le.Uint64(head[16:]) == 0 {
			return 0, 0, errNoEntry
		}
		return 0, 0, errDamaged
	}
	n := le.Uint32(head[4:])
	if n == 0 || n > maxFrame || le.Uint32(head[20:]) != 0 {
		return 0, 0, errDamaged
	}
	return le.Uint64(head[8:]), int(n), nil
}

// check verifies a whole entry.
func (k logKey) check(head, frame []byte) bool {
	return binary.LittleEndian.Uint32(head[16:]) == k.finish(crcOf(frame), head)
}

func appendSegmentHead(dst []byte, first uint64, key logKey) []byte {
	le := binary.LittleEndian
	start := len(dst)
	dst = append(dst, segmentWord...)
	dst = le.AppendUint32(dst, segmentVersion)
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint64(dst, first)
	dst = le.AppendUint64(dst, uint64(key))
	dst = le.AppendUint32(dst, crcOf(dst[start:]))
	return le.AppendUint32(dst, 0)
}

func parseSegmentHead(b []byte) (first uint64, key logKey, err error) {
	le := binary.LittleEndian
	if len(b) < segmentHead || string(b[:8]) != segmentWord || le.Uint32(b[32:]) != crcOf(b[:32]) {
		return 0, 0, errDamaged
	}
	if v := le.Uint32(b[8:]); v != segmentVersion {
		return 0, 0, fmt.Errorf("segment format %d is not known to this version", v)
	}
	return le.Uint64(b[16:]), logKey(le.Uint64(b[24:])), nil
}
