package diskqueue

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

// The sum of an entry is that of its frame, the store's key and the head, in one.
func TestEntrySum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := logKey(rapid.Uint64().Draw(t, "key"))
		frame := rapid.SliceOf(rapid.Byte()).Draw(t, "frame")
		head := rapid.SliceOfN(rapid.Byte(), entryHead, entryHead).Draw(t, "head")
		whole := binary.LittleEndian.AppendUint64(append([]byte(nil), frame...), uint64(key))
		whole = append(whole, head[:16]...)
		if got, want := key.finish(crcOf(frame), head), crc32.Checksum(whole, castagnoli); got != want {
			t.Fatalf("%08x, not %08x", got, want)
		}
	})
}
