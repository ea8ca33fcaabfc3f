package awssqs

import (
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/tapway/tapway/internal/jsonstring"
)

// maxPooled bounds the buffers that are kept: a record of the usual limit, escaped.
const maxPooled = 512 << 10

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// body is the JSON object of a call, being written until its readers are made. The closing brace is the call's.
type body struct {
	mu  sync.Mutex // held by a Read: a transport may still read when the call has ended
	ref *[]byte
	b   []byte
}

func newBody() *body {
	ref := buffers.Get().(*[]byte)
	return &body{ref: ref, b: append((*ref)[:0], '{')}
}

// release takes the bytes away from whoever still reads, and keeps the buffer.
func (o *body) release() {
	o.mu.Lock()
	b := o.b
	o.b = nil
	o.mu.Unlock()
	if cap(b) <= maxPooled {
		*o.ref = b[:0]
		buffers.Put(o.ref)
	}
}

func (o *body) reader() io.ReadCloser { return &reader{body: o} }

type reader struct {
	body *body
	off  int
}

var errReleased = errors.New("the call has ended")

func (r *reader) Read(p []byte) (int, error) {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	if r.body.b == nil {
		return 0, errReleased
	}
	n := copy(p, r.body.b[r.off:])
	if r.off += n; r.off == len(r.body.b) {
		return n, io.EOF
	}
	return n, nil
}

func (*reader) Close() error { return nil }

// next puts a comma before everything but the first of an object or array.
func (o *body) next() {
	if last := o.b[len(o.b)-1]; last != '{' && last != '[' {
		o.b = append(o.b, ',')
	}
}

func (o *body) name(name string) {
	o.next()
	o.b = append(append(append(o.b, '"'), name...), '"', ':')
}

// text writes a member if v is not nil.
func (o *body) text(name string, v *string) {
	if v != nil {
		o.name(name)
		o.b = jsonstring.Append(o.b, *v)
	}
}

func (o *body) number(name string, n int32) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, int64(n), 10)
}

// positive writes a number that stands for "as the queue has it" when it is 0.
func (o *body) positive(name string, n int32) {
	if n != 0 {
		o.number(name, n)
	}
}

func (o *body) texts(name string, all []string) {
	if len(all) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '[')
	for _, s := range all {
		o.next()
		o.b = jsonstring.Append(o.b, s)
	}
	o.b = append(o.b, ']')
}

// entries writes the entries of a batch.
func entries[T any](o *body, all []T, write func(*T)) {
	o.name("Entries")
	o.b = append(o.b, '[')
	for i := range all {
		o.next()
		o.b = append(o.b, '{')
		write(&all[i])
		o.b = append(o.b, '}')
	}
	o.b = append(o.b, ']')
}

// attributes writes message attributes, sorted, so that the same call always has the same bytes. SQS has no use yet for their
// lists.
func (o *body) attributes(all map[string]MessageAttributeValue) {
	if len(all) == 0 {
		return
	}
	o.name("MessageAttributes")
	o.b = append(o.b, '{')
	for _, name := range slices.Sorted(maps.Keys(all)) {
		v := all[name]
		o.next()
		o.b = append(jsonstring.Append(o.b, name), ':', '{')
		o.text("DataType", v.DataType)
		o.text("StringValue", v.StringValue)
		if v.BinaryValue != nil {
			o.name("BinaryValue")
			o.b = append(o.b, '"')
			o.b = append(base64.StdEncoding.AppendEncode(o.b, v.BinaryValue), '"')
		}
		o.b = append(o.b, '}')
	}
	o.b = append(o.b, '}')
}
