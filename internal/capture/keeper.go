package capture

import (
	"crypto/sha256"
	"hash"
	"sync"

	"github.com/tapway/tapway"
)

const (
	copySize = 32 << 10

	// maxHint bounds what a declared length makes us reserve before a byte has come.
	maxHint = 64 << 10
)

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// classes are the sizes of pooled buffers. Beyond them a buffer is made to measure.
var classes = [...]int{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10}

var classPools [len(classes)]sync.Pool

// keeper keeps one body as it passes: in a buffer while memory lasts, in a spool file beyond,
// up to the limit. A body that the spool cannot take within the grace is lost: only its size
// and sum are kept. The zero keeper with rec and grace set is ready.
type keeper struct {
	rec   *Recorder
	grace *grace
	hint  int64 // how long the body will be; 0 if that is not known

	ref   *[]byte // the pooled buffer behind buf, if it is one
	buf   []byte
	spool *spool

	size int64     // bytes that passed
	kept int64     // of them here
	cut  bool      // size is past kept for good
	lost bool      // cut for want of memory or disk: nothing is kept
	sum  hash.Hash // of all that passed, once it is cut or spooled
	err  error     // why it is lost
}

// add keeps what it can of p, which has passed.
func (k *keeper) add(p []byte) {
	if len(p) == 0 {
		return
	}
	k.size += int64(len(p))
	if !k.cut {
		part := p[:min(int64(len(p)), k.rec.maxBody-k.kept)]
		k.keep(part)
		if k.sum != nil {
			k.sum.Write(part)
		}
		if p = p[len(part):]; len(p) == 0 {
			return
		}
		k.cut = true
		k.startSum()
	}
	k.sum.Write(p)
}

// startSum begins the sum with what is kept.
func (k *keeper) startSum() {
	if k.sum == nil {
		k.sum = sha256.New()
		k.sum.Write(k.buf)
	}
}

// keep keeps p, or loses the body. Where it starts the sum, p is not in it yet.
func (k *keeper) keep(p []byte) {
	if k.spool == nil {
		need := len(k.buf) + len(p)
		if need <= cap(k.buf) || k.grow(need) {
			k.buf = append(k.buf, p...)
			k.kept += int64(len(p))
			return
		}
		if err := k.toSpool(); err != nil {
			k.lose(err)
			return
		}
	}
	if err := k.spool.write(k.grace, p); err != nil {
		k.lose(err)
		return
	}
	k.kept += int64(len(p))
}

// lose lets go of what was kept. The sum goes on.
func (k *keeper) lose(err error) {
	k.startSum()
	k.cut, k.lost, k.err, k.kept = true, true, err, 0
	k.dropBuffer()
	k.dropSpool()
}

// grow moves to a buffer of at least need bytes, if memory allows.
func (k *keeper) grow(need int) bool {
	wish := max(need, int(min(k.hint, maxHint, k.rec.maxBody)))
	class := 0
	for class < len(classes) && classes[class] < wish {
		class++
	}
	var ref *[]byte
	var buf []byte
	if class < len(classes) {
		if !k.rec.reserve(int64(classes[class])) {
			return false
		}
		if ref, _ = classPools[class].Get().(*[]byte); ref == nil {
			b := make([]byte, 0, classes[class])
			ref = &b
		}
		buf = *ref
	} else {
		size := max(need, int(min(int64(4*cap(k.buf)), k.rec.maxBody)))
		if !k.rec.reserve(int64(size)) {
			return false
		}
		buf = make([]byte, 0, size)
	}
	buf = append(buf[:0], k.buf...)
	k.dropBuffer()
	k.ref, k.buf = ref, buf
	return true
}

// toSpool moves what is kept to a file and starts the sum, which is cheap beside it.
func (k *keeper) toSpool() (err error) {
	k.startSum()
	if k.spool, err = k.rec.newSpool(); err != nil {
		return err
	}
	if err := k.spool.write(k.grace, k.buf); err != nil {
		return err
	}
	k.dropBuffer()
	return nil
}

func (k *keeper) dropSpool() {
	if k.spool != nil {
		k.spool.close()
		k.spool = nil
	}
}

func (k *keeper) dropBuffer() {
	if size := cap(k.buf); size > 0 {
		k.rec.release(int64(size))
		if k.ref != nil {
			for class := range classes {
				if classes[class] == size {
					*k.ref = k.buf[:0]
					classPools[class].Put(k.ref)
				}
			}
		}
	}
	k.ref, k.buf = nil, nil
}

// body fills b with what was kept, loading it within the grace. Its bytes are valid until
// free, and b's to change.
func (k *keeper) body(b *tapway.Body) {
	if k.spool != nil {
		bytes, err := k.spool.read(k.grace)
		if err != nil {
			k.lose(err)
		}
		b.Bytes = bytes
	}
	if k.lost {
		k.withheld(b)
		return
	}
	b.Size, b.Truncated = k.size, b.Truncated || k.cut
	if k.spool == nil {
		b.Bytes = k.buf
	}
	if len(b.Bytes) == 0 {
		b.Bytes = nil
	}
	if k.cut {
		k.sum.Sum(b.Sum[:0])
		b.Summed = true
	}
}

// extra is how much memory b takes until it is stored, beside the keeper's buffer: a frame, and b
// itself when it was loaded or redacted.
func (k *keeper) extra(b *tapway.Body) int64 {
	n := int64(len(b.Bytes))
	if n > 0 && (len(k.buf) == 0 || &b.Bytes[0] != &k.buf[0]) {
		n *= 2
	}
	return n
}

// withheld fills b for an exchange without bodies. Truncated keeps to what it means: there was more
// than the limit, or than was read.
func (k *keeper) withheld(b *tapway.Body) {
	b.Size, b.Truncated, b.Bytes = k.size, b.Truncated || k.size > k.rec.maxBody, nil
	if k.size == 0 {
		return
	}
	b.Withheld, b.Summed = true, true
	if k.sum != nil {
		k.sum.Sum(b.Sum[:0])
	} else {
		b.Sum = sha256.Sum256(k.buf)
	}
}

// free gives everything back.
func (k *keeper) free() {
	k.dropBuffer()
	k.dropSpool()
	*k = keeper{}
}
