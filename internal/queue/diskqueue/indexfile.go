package diskqueue

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// An index file serves searches and look-ups in one segment without touching its frames:
//
//	word(8) version(4) rows(4) first(8) covered(8) zone... bodyCRC(4) headCRC(4)
//	columns: seq(4, minus first) offset/8(4) time(8) id(4)
//	numbers: status, duration, request size, response size: width(1) { value(width) }...
//	texts: method, path, from, route, client, error, origin, front:
//	  words(4) bytes(4) { length(4) }... bytes, then the words' numbers as a column of numbers
//
// It is made from the segment when that is sealed, or by whoever first needs it. One of another
// version counts as none.
const (
	indexWord    = "tapwayix"
	indexVersion = 2
	indexHead    = 128
	indexRow     = 4 + 4 + 8 + 4 // of the columns of fixed width
)

// errOtherIndex says that an index file is of another version of tapway.
var errOtherIndex = errors.New("the index has another format")

func (x *index) encode() []byte {
	le := binary.LittleEndian
	n := len(x.seqs)
	b := make([]byte, indexHead, indexHead+n*2*indexRow+64*len(x.texts[textPath].words)+1024)
	b = appendColumn(b, 4, x.seqs)
	b = appendColumn(b, 4, x.offs)
	b = appendColumn(b, 8, x.times)
	b = appendColumn(b, 4, x.ids)
	for i := range x.numbers {
		b = appendPacked(b, x.numbers[i])
	}
	for i := range x.texts {
		b = x.texts[i].append(b)
	}
	head := append(b[:0], indexWord...)
	head = le.AppendUint32(head, indexVersion)
	head = le.AppendUint32(head, uint32(n))
	for _, v := range [...]uint64{x.first, uint64(x.covered), uint64(x.minTime), uint64(x.maxTime), uint64(x.minID), uint64(x.maxID)} {
		head = le.AppendUint64(head, v)
	}
	head = le.AppendUint16(head, x.minStatus)
	le.AppendUint16(head, x.maxStatus)
	le.PutUint32(b[indexHead-8:], crcOf(b[indexHead:]))
	le.PutUint32(b[indexHead-4:], crcOf(b[:indexHead-4]))
	return b
}

type integer interface{ uint32 | int64 }

// appendColumn writes values in width bytes each: 1, 2, 4 or 8.
func appendColumn[T integer](b []byte, width int, values []T) []byte {
	le := binary.LittleEndian
	for _, v := range values {
		switch width {
		case 1:
			b = append(b, byte(v))
		case 2:
			b = le.AppendUint16(b, uint16(v))
		case 4:
			b = le.AppendUint32(b, uint32(v))
		default:
			b = le.AppendUint64(b, uint64(v))
		}
	}
	return b
}

// appendPacked writes a column in as few bytes as its largest value needs.
func appendPacked[T integer](b []byte, values []T) []byte {
	var all uint64
	for _, v := range values {
		all |= uint64(v)
	}
	width := 1
	for width < 8 && bits.Len64(all) > 8*width {
		width *= 2
	}
	return appendColumn(append(b, byte(width)), width, values)
}

func (t *texts) append(b []byte) []byte {
	le := binary.LittleEndian
	total := 0
	for _, w := range t.words {
		total += len(w)
	}
	b = le.AppendUint32(b, uint32(len(t.words)))
	b = le.AppendUint32(b, uint32(total))
	for _, w := range t.words {
		b = le.AppendUint32(b, uint32(len(w)))
	}
	for _, w := range t.words {
		b = append(b, w...)
	}
	return appendPacked(b, t.rows)
}

// parseIndexHead reads the head alone: rows and sum are of the body.
func parseIndexHead(b []byte) (x *index, rows int, sum uint32, err error) {
	le := binary.LittleEndian
	if len(b) < indexHead || string(b[:8]) != indexWord || le.Uint32(b[indexHead-4:]) != crcOf(b[:indexHead-4]) {
		return nil, 0, 0, errDamaged
	}
	if le.Uint32(b[8:]) != indexVersion {
		return nil, 0, 0, errOtherIndex
	}
	x = &index{first: le.Uint64(b[16:]), covered: int64(le.Uint64(b[24:]))}
	x.minTime, x.maxTime = int64(le.Uint64(b[32:])), int64(le.Uint64(b[40:]))
	x.minID, x.maxID = int64(le.Uint64(b[48:])), int64(le.Uint64(b[56:]))
	x.minStatus, x.maxStatus = le.Uint16(b[64:]), le.Uint16(b[66:])
	return x, int(le.Uint32(b[12:])), le.Uint32(b[indexHead-8:]), nil
}

func decodeIndex(b []byte) (*index, error) {
	x, n, sum, err := parseIndexHead(b)
	if err != nil {
		return nil, err
	}
	r := indexReader{b: b[indexHead:]}
	if crcOf(r.b) != sum || len(r.b)/indexRow < n {
		return nil, errDamaged
	}
	x.seqs, x.offs = readColumn[uint32](&r, 4, n), readColumn[uint32](&r, 4, n)
	x.times, x.ids = readColumn[int64](&r, 8, n), readColumn[uint32](&r, 4, n)
	for i := range x.numbers {
		x.numbers[i] = readPacked[int64](&r, n)
	}
	for i := range x.texts {
		x.texts[i].read(&r, n)
	}
	if r.bad {
		return nil, errDamaged
	}
	return x, nil
}

// indexReader cuts pieces off the body of an index file. After a piece that is not there, it is
// bad and gives nothing.
type indexReader struct {
	b   []byte
	bad bool
}

func (r *indexReader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	piece := r.b[:n]
	r.b = r.b[n:]
	return piece
}

func readColumn[T integer](r *indexReader, width, n int) []T {
	b := r.take(width * n)
	if r.bad {
		return nil
	}
	le := binary.LittleEndian
	col := make([]T, n)
	switch width {
	case 1:
		for i := range col {
			col[i] = T(b[i])
		}
	case 2:
		for i := range col {
			col[i] = T(le.Uint16(b[2*i:]))
		}
	case 4:
		for i := range col {
			col[i] = T(le.Uint32(b[4*i:]))
		}
	default:
		for i := range col {
			col[i] = T(le.Uint64(b[8*i:]))
		}
	}
	return col
}

func readPacked[T integer](r *indexReader, n int) []T {
	width := r.take(1)
	if r.bad || width[0] != 1 && width[0] != 2 && width[0] != 4 && width[0] != 8 {
		r.bad = true
		return nil
	}
	return readColumn[T](r, int(width[0]), n)
}

func (t *texts) read(r *indexReader, n int) {
	sizes := readColumn[uint32](r, 4, 2)
	if r.bad || int(sizes[0]) > len(r.b)/4 {
		r.bad = true
		return
	}
	lengths := readColumn[uint32](r, 4, int(sizes[0]))
	all := string(r.take(int(sizes[1]))) // one piece of memory for all words
	if r.bad {
		return
	}
	t.words = make([]string, len(lengths))
	for i, length := range lengths {
		if uint64(length) > uint64(len(all)) {
			r.bad = true
			return
		}
		t.words[i], all = all[:length], all[length:]
	}
	t.rows = readPacked[uint32](r, n)
	for _, no := range t.rows {
		if int(no) >= len(t.words) {
			r.bad = true
			return
		}
	}
}
