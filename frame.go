package tapway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"
)

// A frame is an exchange in the form in which one machine stores it. Integers are
// little-endian or uvarints, a string is its uvarint length and its bytes:
//
//	version(1)  metaLen(4) meta  headLen(4) head  requestBody  responseBody
//
// meta comes first and is small, so that lists and filters never touch the rest. The frame
// has no checksum of its own: the store that holds it wraps one around.
const frameVersion = 1

// ErrFrame is wrapped by every error of DecodeFrame and DecodeMeta.
var ErrFrame = errors.New("not a readable frame")

var errShortBody = fmt.Errorf("%w: a body is cut short", ErrFrame)

const (
	bodySummed = 1 << iota
	bodyTruncated
	bodyDecoded
	bodyWithheld
)

// AppendFrame adds the frame of ex to dst. Seq and PathParams are not part of it.
func AppendFrame(dst []byte, ex *Exchange) []byte {
	dst = append(dst, frameVersion, 0, 0, 0, 0)
	start := len(dst)
	dst = appendMeta(dst, &ex.Meta)
	binary.LittleEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))

	dst = append(dst, 0, 0, 0, 0)
	start = len(dst)
	dst = appendHeader(dst, ex.RequestHeader)
	dst = appendHeader(dst, ex.ResponseHeader)
	dst = appendHeader(dst, ex.RequestTrailer)
	dst = appendHeader(dst, ex.ResponseTrailer)
	if ex.API != nil {
		dst = append(dst, 1)
		dst = appendString(dst, ex.API.ID)
		dst = appendString(dst, ex.API.Stage)
		dst = appendString(dst, ex.API.RequestID)
	} else {
		dst = append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(ex.Fidelity)))
	for _, s := range ex.Fidelity {
		dst = appendString(dst, s)
	}
	binary.LittleEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))

	dst = appendBody(dst, &ex.Request)
	return appendBody(dst, &ex.Response)
}

// FrameSize is an upper bound of the length of ex's frame, for sizing buffers.
func FrameSize(ex *Exchange) int {
	n := 512 + len(ex.From) + len(ex.Path) + len(ex.Query) + len(ex.Route) + len(ex.Error)
	for _, h := range [...]Header{ex.RequestHeader, ex.ResponseHeader, ex.RequestTrailer, ex.ResponseTrailer} {
		for i := range h {
			n += 12 + len(h[i].Name) + len(h[i].Value)
		}
	}
	for _, s := range ex.Fidelity {
		n += 8 + len(s)
	}
	if ex.API != nil {
		n += 16 + len(ex.API.ID) + len(ex.API.Stage) + len(ex.API.RequestID)
	}
	return n + len(ex.Request.Bytes) + len(ex.Response.Bytes)
}

func appendMeta(dst []byte, m *Meta) []byte {
	dst = append(dst, m.ID[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Time.UnixNano()))
	for _, d := range [...]time.Duration{m.Duration, m.Overhead, m.Connect, m.FirstByte} {
		dst = binary.AppendUvarint(dst, uint64(max(d, 0)))
	}
	dst = binary.AppendUvarint(dst, uint64(max(m.Status, 0)))
	dst = binary.AppendUvarint(dst, uint64(max(m.RequestSize, 0)))
	dst = binary.AppendUvarint(dst, uint64(max(m.ResponseSize, 0)))
	for _, s := range [...]string{string(m.Front), string(m.Origin), m.Proto, m.From, m.Method, m.Path, m.Query, m.Route, m.ClientIP, m.Error, m.TraceID} {
		dst = appendString(dst, s)
	}
	if m.Access > 0 { // the last, so that frames without it can be read
		dst = binary.AppendUvarint(dst, uint64(m.Access))
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendHeader(dst []byte, h Header) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(h)))
	for i := range h {
		dst = appendString(dst, h[i].Name)
		dst = appendString(dst, h[i].Value)
	}
	return dst
}

func appendBody(dst []byte, b *Body) []byte {
	var flags byte
	if b.Summed {
		flags |= bodySummed
	}
	if b.Truncated {
		flags |= bodyTruncated
	}
	if b.Decoded {
		flags |= bodyDecoded
	}
	if b.Withheld {
		flags |= bodyWithheld
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(max(b.Size, 0)))
	if b.Summed {
		dst = append(dst, b.Sum[:]...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Bytes)))
	return append(dst, b.Bytes...)
}

// DecodeFrame reads a frame. The strings are one copy of the frame's head; the bodies'
// Bytes alias frame, so the caller keeps frame unchanged while it uses them.
func DecodeFrame(frame []byte) (*Exchange, error) {
	ex := new(Exchange)
	if err := decodeFrame(frame, ex, copied); err != nil {
		return nil, err
	}
	return ex, nil
}

// ViewFrame is DecodeFrame into ex for those who look at it only for a moment: the strings alias frame
// too, and the room of ex's headers is used again. After an error ex is not to be read.
func ViewFrame(frame []byte, ex *Exchange) error {
	*ex = Exchange{
		RequestHeader: ex.RequestHeader[:0], ResponseHeader: ex.ResponseHeader[:0],
		RequestTrailer: ex.RequestTrailer[:0], ResponseTrailer: ex.ResponseTrailer[:0],
	}
	return decodeFrame(frame, ex, aliased)
}

func copied(b []byte) string { return string(b) }

func aliased(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func decodeFrame(frame []byte, ex *Exchange, text func([]byte) string) error {
	meta, rest, err := splitFrame(frame)
	if err != nil {
		return err
	}
	if err := decodeMeta(meta, &ex.Meta, text); err != nil {
		return err
	}
	head, rest, err := cutBlock(rest)
	if err != nil {
		return err
	}
	r := frameReader{text: text(head)}
	for _, h := range [...]*Header{&ex.RequestHeader, &ex.ResponseHeader, &ex.RequestTrailer, &ex.ResponseTrailer} {
		*h = r.header(*h)
	}
	if r.byte() == 1 {
		ex.API = &API{ID: r.string(), Stage: r.string(), RequestID: r.string()}
	}
	if n := r.count(1); n > 0 {
		ex.Fidelity = make([]string, n)
		for i := range ex.Fidelity {
			ex.Fidelity[i] = r.string()
		}
	}
	if r.bad {
		return fmt.Errorf("%w: its headers end too early", ErrFrame)
	}
	if rest, err = decodeBody(rest, &ex.Request); err != nil {
		return err
	}
	if rest, err = decodeBody(rest, &ex.Response); err != nil {
		return err
	}
	if len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes too many", ErrFrame, len(rest))
	}
	return nil
}

// DecodeMeta reads only the first part of a frame, which may be cut off anywhere behind it.
func DecodeMeta(frame []byte) (Meta, error) {
	var m Meta
	block, _, err := splitFrame(frame)
	if err != nil {
		return m, err
	}
	err = decodeMeta(block, &m, copied)
	return m, err
}

func splitFrame(frame []byte) (meta, rest []byte, err error) {
	if len(frame) < 1 || frame[0] != frameVersion {
		return nil, nil, fmt.Errorf("%w: unknown version", ErrFrame)
	}
	return cutBlock(frame[1:])
}

func cutBlock(b []byte) (block, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("%w: cut short", ErrFrame)
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if n > uint64(len(b)-4) {
		return nil, nil, fmt.Errorf("%w: cut short", ErrFrame)
	}
	return b[4 : 4+n], b[4+n:], nil
}

func decodeMeta(block []byte, m *Meta, text func([]byte) string) error {
	if len(block) < 24 {
		return fmt.Errorf("%w: cut short", ErrFrame)
	}
	copy(m.ID[:], block)
	m.Time = time.Unix(0, int64(binary.LittleEndian.Uint64(block[16:]))).UTC()
	r := frameReader{text: text(block[24:])}
	for _, d := range [...]*time.Duration{&m.Duration, &m.Overhead, &m.Connect, &m.FirstByte} {
		*d = time.Duration(r.uvarint() & (1<<63 - 1))
	}
	m.Status = int(r.uvarint() & 0xffff)
	m.RequestSize = int64(r.uvarint() & (1<<63 - 1))
	m.ResponseSize = int64(r.uvarint() & (1<<63 - 1))
	m.Front = Front(r.string())
	m.Origin = Origin(r.string())
	for _, s := range [...]*string{&m.Proto, &m.From, &m.Method, &m.Path, &m.Query, &m.Route, &m.ClientIP, &m.Error, &m.TraceID} {
		*s = r.string()
	}
	if len(r.text) > 0 {
		m.Access = time.Duration(r.uvarint() & (1<<63 - 1))
	}
	if r.bad {
		return fmt.Errorf("%w: its metadata ends too early", ErrFrame)
	}
	return nil
}

func decodeBody(b []byte, body *Body) (rest []byte, err error) {
	if len(b) < 1 {
		return nil, errShortBody
	}
	flags := b[0]
	body.Summed, body.Truncated = flags&bodySummed != 0, flags&bodyTruncated != 0
	body.Decoded, body.Withheld = flags&bodyDecoded != 0, flags&bodyWithheld != 0
	size, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return nil, errShortBody
	}
	body.Size = int64(size & (1<<63 - 1))
	b = b[1+n:]
	if body.Summed {
		if len(b) < len(body.Sum) {
			return nil, errShortBody
		}
		b = b[copy(body.Sum[:], b):]
	}
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return nil, errShortBody
	}
	if length > 0 {
		body.Bytes = b[n : n+int(length) : n+int(length)]
	}
	return b[n+int(length):], nil
}

// frameReader cuts strings off one text, so that decoding a head costs one allocation.
type frameReader struct {
	text string
	bad  bool
}

func (r *frameReader) uvarint() uint64 {
	// No copy: Uvarint only reads.
	v, n := binary.Uvarint(unsafe.Slice(unsafe.StringData(r.text), len(r.text)))
	if n <= 0 {
		r.bad, r.text = true, ""
		return 0
	}
	r.text = r.text[n:]
	return v
}

func (r *frameReader) byte() byte {
	if len(r.text) == 0 {
		r.bad = true
		return 0
	}
	c := r.text[0]
	r.text = r.text[1:]
	return c
}

func (r *frameReader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.text)) {
		r.bad, r.text = true, ""
		return ""
	}
	s := r.text[:n]
	r.text = r.text[n:]
	return s
}

// count reads how many items follow, each at least size bytes long: a lie about the number
// cannot make the reader allocate more than the frame could hold.
func (r *frameReader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.text)/size) {
		r.bad, r.text = true, ""
		return 0
	}
	return int(n)
}

// header reads into the room of into if there is enough; no lines leave it as it is.
func (r *frameReader) header(into Header) Header {
	n := r.count(2)
	if n > cap(into) {
		into = make(Header, 0, n)
	}
	for range n {
		into = append(into, Field{r.string(), r.string()})
	}
	return into
}
