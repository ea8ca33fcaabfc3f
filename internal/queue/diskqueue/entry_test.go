package diskqueue

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// An entry's checksum is CRC-32C of its frame, the key and the head, as the format says.
func TestEntryChecksum(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, key := range []logKey{0, 1, 1 << 63, ^logKey(0), logKey(random.Uint64()), logKey(random.Uint64())} {
		frame := []byte("a frame")[:random.IntN(8)]
		head := make([]byte, entryHead)
		key.putHead(head, random.Uint64(), len(frame), crcOf(frame))
		all := binary.LittleEndian.AppendUint64(append([]byte(nil), frame...), uint64(key))
		want := crc32.Checksum(append(all, head[:16]...), castagnoli)
		if got := binary.LittleEndian.Uint32(head[16:]); got != want {
			t.Errorf("key %#x: %#x, want %#x", key, got, want)
		}
		if !key.check(head, frame) || (key^1).check(head, frame) {
			t.Errorf("key %#x does not tell its entry from another's", key)
		}
	}
}
