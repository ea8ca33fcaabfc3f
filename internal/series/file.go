package series

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"time"
)

// The file is a head and then the slots of every ring in their order, each with a checksum of
// its own: one that was torn by a failing machine counts as empty.
const (
	head     = "tapway series 1\n"
	slotSize = 8 + 4 + 4 + 8 + 8 + 4*buckets + 4
)

// syncEvery is how often the file is forced onto the disk. That only matters to a power failure:
// what a killed process has written is safe with the system.
const syncEvery = time.Minute

type file struct {
	*os.File
	synced time.Time
}

var order = binary.LittleEndian

// openFile fills the rings from a file.
func openFile(path string, to *[len(rings)]ring, now time.Time, log *slog.Logger) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, fileSize()+1))
	if err == nil {
		if problem := read(text, to, now); problem != nil {
			log.Warn("the charts begin anew", "file", path, "err", problem)
		}
		if !bytes.HasPrefix(text, []byte(head)) || int64(len(text)) != fileSize() {
			err = begin(f, to)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{f, now}, nil
}

func fileSize() int64 {
	n := int64(len(head))
	for _, r := range rings {
		n += int64(r.slots) * slotSize
	}
	return n
}

// begin makes the file's size and head; what the rings have is written again.
func begin(f *os.File, to *[len(rings)]ring) error {
	err := errors.Join(f.Truncate(0), f.Truncate(fileSize()))
	if err == nil {
		_, err = f.WriteAt([]byte(head), 0)
	}
	for i := range to {
		for j := range to[i].slots {
			to[i].slots[j].dirty = to[i].slots[j].start != 0
		}
	}
	return err
}

// read takes the slots that are whole, stand in their place and are not of the future.
func read(text []byte, to *[len(rings)]ring, now time.Time) error {
	if len(text) == 0 {
		return nil
	}
	rest, ok := bytes.CutPrefix(text, []byte(head))
	if !ok {
		return errors.New("it is not a file of this version")
	}
	damaged := 0
	for i := range to {
		for j := range to[i].slots {
			if len(rest) < slotSize {
				return fmt.Errorf("the file ends after %d bytes; %d are expected", len(text), fileSize())
			}
			if !to[i].take(i, j, rest[:slotSize], now.Unix()) {
				damaged++
			}
			rest = rest[slotSize:]
		}
	}
	if damaged > 0 {
		return fmt.Errorf("%d steps are damaged", damaged)
	}
	return nil
}

// take reads slot j and reports whether it was whole.
func (r *ring) take(ring, j int, b []byte, now int64) bool {
	s, ok := decode(b)
	if !ok || s.start == 0 || s.start > now {
		return ok
	}
	if place, start := r.place(ring, s.start); place == &r.slots[j] && start == s.start {
		*place = s
	}
	return true
}

// write puts the slots that have changed into the file.
func (f *file) write(from *[len(rings)]ring) error {
	at := int64(len(head))
	var room [slotSize]byte
	for i := range from {
		for j := range from[i].slots {
			if s := &from[i].slots[j]; s.dirty {
				encode(&room, s)
				if _, err := f.WriteAt(room[:], at); err != nil {
					return err
				}
				s.dirty = false
			}
			at += slotSize
		}
	}
	if now := time.Now(); now.Sub(f.synced) >= syncEvery {
		f.synced = now
		return f.Sync()
	}
	return nil
}

func encode(room *[slotSize]byte, s *slot) {
	b := room[:0]
	b = order.AppendUint64(b, uint64(s.start))
	b = order.AppendUint32(b, s.client)
	b = order.AppendUint32(b, s.server)
	b = order.AppendUint64(b, s.in)
	b = order.AppendUint64(b, s.out)
	for _, n := range s.hist {
		b = order.AppendUint32(b, n)
	}
	order.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// decode reads one slot; one of zeros only is empty and whole.
func decode(b []byte) (s slot, ok bool) {
	sum := order.Uint32(b[slotSize-4:])
	if crc32.ChecksumIEEE(b[:slotSize-4]) != sum {
		for _, c := range b {
			if c != 0 {
				return slot{}, false
			}
		}
		return slot{}, true
	}
	s.start = int64(order.Uint64(b))
	s.client, s.server = order.Uint32(b[8:]), order.Uint32(b[12:])
	s.in, s.out = order.Uint64(b[16:]), order.Uint64(b[24:])
	for i := range s.hist {
		s.hist[i] = order.Uint32(b[32+4*i:])
	}
	return s, true
}
