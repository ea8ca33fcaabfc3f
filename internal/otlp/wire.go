package otlp

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// writer writes the fields of messages, in protobuf by their numbers or in JSON by their names, so
// that each message is described once. In JSON, as OTLP has it, ids are hex, 64-bit integers
// are strings and enums are numbers.
type writer struct {
	json bool
	buf  []byte
}

// The wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func (w *writer) key(n, wire int, name string) {
	if !w.json {
		w.buf = binary.AppendUvarint(w.buf, uint64(n)<<3|uint64(wire))
		return
	}
	if w.buf[len(w.buf)-1] != '{' {
		w.buf = append(w.buf, ',')
	}
	w.buf = append(append(append(w.buf, '"'), name...), '"', ':')
}

// text writes a string, also an empty one.
func (w *writer) text(n int, name, v string) {
	v = strings.ToValidUTF8(v, "\uFFFD")
	w.key(n, wireBytes, name)
	if w.json {
		quoted, _ := json.Marshal(v) // a string never fails
		w.buf = append(w.buf, quoted...)
		return
	}
	w.buf = append(binary.AppendUvarint(w.buf, uint64(len(v))), v...)
}

// optText leaves an empty string out.
func (w *writer) optText(n int, name, v string) {
	if v != "" {
		w.text(n, name, v)
	}
}

func (w *writer) id(n int, name string, v []byte) {
	w.key(n, wireBytes, name)
	if w.json {
		w.buf = append(hex.AppendEncode(append(w.buf, '"'), v), '"')
		return
	}
	w.buf = append(binary.AppendUvarint(w.buf, uint64(len(v))), v...)
}

// small writes an enum, a bool or an unsigned integer of 32 bits.
func (w *writer) small(n int, name string, v uint32) {
	w.key(n, wireVarint, name)
	if w.json {
		w.buf = strconv.AppendUint(w.buf, uint64(v), 10)
		return
	}
	w.buf = binary.AppendUvarint(w.buf, uint64(v))
}

func (w *writer) boolean(n int, name string, v bool) {
	w.key(n, wireVarint, name)
	switch {
	case w.json:
		w.buf = strconv.AppendBool(w.buf, v)
	case v:
		w.buf = append(w.buf, 1)
	default:
		w.buf = append(w.buf, 0)
	}
}

func (w *writer) int64(n int, name string, v int64) {
	w.key(n, wireVarint, name)
	if w.json {
		w.buf = append(strconv.AppendInt(append(w.buf, '"'), v, 10), '"')
		return
	}
	w.buf = binary.AppendUvarint(w.buf, uint64(v))
}

func (w *writer) fixed32(n int, name string, v uint32) {
	w.key(n, wireFixed32, name)
	if w.json {
		w.buf = strconv.AppendUint(w.buf, uint64(v), 10)
		return
	}
	w.buf = binary.LittleEndian.AppendUint32(w.buf, v)
}

func (w *writer) fixed64(n int, name string, v uint64) {
	w.key(n, wireFixed64, name)
	w.rawFixed64(v)
}

func (w *writer) rawFixed64(v uint64) {
	if w.json {
		w.buf = append(strconv.AppendUint(append(w.buf, '"'), v, 10), '"')
		return
	}
	w.buf = binary.LittleEndian.AppendUint64(w.buf, v)
}

func (w *writer) double(n int, name string, v float64) {
	w.key(n, wireFixed64, name)
	w.rawDouble(v)
}

func (w *writer) rawDouble(v float64) {
	switch {
	case !w.json:
		w.buf = binary.LittleEndian.AppendUint64(w.buf, math.Float64bits(v))
	case math.IsNaN(v):
		w.buf = append(w.buf, `"NaN"`...)
	case math.IsInf(v, 1):
		w.buf = append(w.buf, `"Infinity"`...)
	case math.IsInf(v, -1):
		w.buf = append(w.buf, `"-Infinity"`...)
	default:
		w.buf = strconv.AppendFloat(w.buf, v, 'g', -1, 64)
	}
}

// message writes one message that fields fills.
func (w *writer) message(n int, name string, fields func()) {
	w.key(n, wireBytes, name)
	w.inside(fields)
}

func (w *writer) inside(fields func()) {
	if w.json {
		w.buf = append(w.buf, '{')
		fields()
		w.buf = append(w.buf, '}')
		return
	}
	start := len(w.buf)
	fields()
	size := len(w.buf) - start
	var head [binary.MaxVarintLen64]byte
	k := binary.PutUvarint(head[:], uint64(size))
	w.buf = append(w.buf, head[:k]...)
	copy(w.buf[start+k:], w.buf[start:start+size])
	copy(w.buf[start:], head[:k])
}

// messages writes count of them; fields fills number i.
func (w *writer) messages(n int, name string, count int, fields func(i int)) {
	if count == 0 {
		return
	}
	if !w.json {
		for i := range count {
			w.message(n, name, func() { fields(i) })
		}
		return
	}
	w.list(n, name, count, func(i int) { w.inside(func() { fields(i) }) })
}

// list writes the values of a packed field.
func (w *writer) list(n int, name string, count int, value func(i int)) {
	w.key(n, wireBytes, name)
	if !w.json {
		w.inside(func() {
			for i := range count {
				value(i)
			}
		})
		return
	}
	w.buf = append(w.buf, '[')
	for i := range count {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		value(i)
	}
	w.buf = append(w.buf, ']')
}

// whole writes the message that a request consists of.
func (w *writer) whole(fields func()) []byte {
	if w.json {
		w.inside(fields)
	} else {
		fields()
	}
	return w.buf
}

// protoField takes the first field off a message: its number, and its value as an integer or
// as bytes. ok is false at the end, and when it cannot be read.
func protoField(b []byte) (n int, value uint64, bytes, rest []byte, ok bool) {
	tag, k := binary.Uvarint(b)
	if k <= 0 || tag>>3 > 1<<29 {
		return 0, 0, nil, nil, false
	}
	n, b = int(tag>>3), b[k:]
	switch tag & 7 {
	case wireVarint:
		if value, k = binary.Uvarint(b); k > 0 {
			return n, value, nil, b[k:], true
		}
	case wireFixed64:
		if len(b) >= 8 {
			return n, binary.LittleEndian.Uint64(b), nil, b[8:], true
		}
	case wireFixed32:
		if len(b) >= 4 {
			return n, uint64(binary.LittleEndian.Uint32(b)), nil, b[4:], true
		}
	case wireBytes:
		if value, k = binary.Uvarint(b); k > 0 && value <= uint64(len(b)-k) {
			b = b[k:]
			return n, 0, b[:value], b[value:], true
		}
	}
	return 0, 0, nil, nil, false
}
