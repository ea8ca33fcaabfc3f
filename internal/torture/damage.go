package torture

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// damage does to a data directory that no process has open what a torn write or a bad disk may.
func damage(data string, l life, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, uint64(l.no)|1<<51))
	switch l.damage {
	case tornWrite:
		return newestSegment(data, func(f *os.File, end int64) error { return tear(f, end, r) })
	case cutTail:
		return newestSegment(data, func(f *os.File, end int64) error { return f.Truncate(max(end-int64(l.amount), 0)) })
	case flipTail:
		return newestSegment(data, func(f *os.File, end int64) error { return flip(f, max(end-1-int64(r.IntN(l.amount)), 0)) })
	case indexLost:
		return spoilIndexes(data, r)
	case tornStore:
		return tornSlot(filepath.Join(data, "store"), r)
	case tornNames:
		return os.WriteFile(filepath.Join(data, "destinations"), []byte(`["calm","wi`), 0o600)
	case tornMeta:
		return tornPage(filepath.Join(data, "state.db"), r)
	case stateBroken:
		return spoilState(filepath.Join(data, "state.db"), r)
	}
	return nil
}

// newestSegment opens the segment that was written last and tells where its data end: what
// follows, up to the size it was made with, is zeros.
func newestSegment(data string, do func(f *os.File, end int64) error) error {
	names, err := filepath.Glob(filepath.Join(data, "log", "*.seg"))
	if err != nil || len(names) == 0 {
		return err
	}
	path := slices.MaxFunc(names, func(a, b string) int { return len(a) - len(b) })
	for _, n := range names {
		if len(n) == len(path) {
			path = max(path, n)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	end := len(text)
	for end > 0 && text[end-1] == 0 {
		end--
	}
	return do(f, int64(end))
}

// tear leaves what a write that was not finished may leave behind the newest entry: noise, or
// part of an entry, some way on.
func tear(f *os.File, end int64, r *rand.Rand) error {
	piece := make([]byte, 100+r.IntN(5000))
	if r.IntN(2) == 0 {
		n, _ := f.ReadAt(piece, r.Int64N(max(end-100, 1)))
		piece = piece[:n]
	} else {
		copy(piece, randomBytes(r, len(piece)))
	}
	_, err := f.WriteAt(piece, (end+511)/512*512)
	return err
}

func flip(f *os.File, at int64) error {
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 0x10
	_, err := f.WriteAt(b[:], at)
	return err
}

// spoilIndexes removes, cuts or changes the search indexes, which can be made anew.
func spoilIndexes(data string, r *rand.Rand) error {
	names, err := filepath.Glob(filepath.Join(data, "log", "*.idx"))
	if err != nil {
		return err
	}
	for _, name := range names {
		st, err := os.Stat(name)
		if err != nil {
			return err
		}
		switch r.IntN(3) {
		case 0:
			err = os.Remove(name)
		case 1:
			err = os.Truncate(name, st.Size()/2)
		case 2:
			err = overwrite(name, st.Size()/2, randomBytes(r, 20))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tornSlot spoils the older of the two copies of the counters: the one that is written next.
func tornSlot(path string, r *rand.Rand) error {
	const slot = 8 << 10
	text, err := os.ReadFile(path)
	if err != nil || len(text) < 2*slot {
		return err
	}
	at := int64(0)
	if binary.LittleEndian.Uint64(text[8:]) > binary.LittleEndian.Uint64(text[slot+8:]) {
		at = slot
	}
	return overwrite(path, at+16, randomBytes(r, 40))
}

// tornPage spoils the older of the state database's two heads, which is the one written next.
func tornPage(path string, r *rand.Rand) error {
	const txid = 16 + 48 // behind the page's head: magic, version, page size, flags, root, free list, high water mark
	size := os.Getpagesize()
	text, err := os.ReadFile(path)
	if err != nil || len(text) < 2*size {
		return err
	}
	at := int64(0)
	if binary.LittleEndian.Uint64(text[txid:]) > binary.LittleEndian.Uint64(text[size+txid:]) {
		at = int64(size)
	}
	return overwrite(path, at+16, randomBytes(r, 60))
}

// spoilState makes the state database unreadable or takes it away.
func spoilState(path string, r *rand.Rand) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	switch r.IntN(4) {
	case 0:
		return os.Remove(path)
	case 1:
		return os.Truncate(path, 0)
	case 2:
		return os.Truncate(path, st.Size()/3)
	}
	return overwrite(path, 0, randomBytes(r, 3*os.Getpagesize()))
}

func overwrite(path string, at int64, with []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(with, at); err != nil {
		return fmt.Errorf("spoil %s: %w", path, err)
	}
	return nil
}
