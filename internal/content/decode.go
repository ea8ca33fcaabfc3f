package content

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

var (
	// ErrTooLarge says that a body decodes to more than the caller allowed.
	ErrTooLarge = errors.New("decodes to more than the limit")
	// ErrUnknownCoding says that a Content-Encoding names a coding that Decode does not know.
	ErrUnknownCoding = errors.New("unknown content coding")
	// ErrTrailing says that bytes follow the end of the compressed data.
	ErrTrailing = errors.New("bytes follow the end of the compressed data")
)

// maxCodings bounds how often a body can be wrapped; one is usual, two are rare.
const maxCodings = 8

// maxWindow is what a zstd sender may ask a receiver to keep (RFC 9659 §3).
const maxWindow = 8 << 20

// Decode undoes a Content-Encoding header value, a comma list in the order in which the codings
// were applied (RFC 9110 §8.4): gzip and x-gzip (several members too), deflate (zlib as the
// RFC has it, and raw as some servers send it), br and zstd, in any letter case. With "" or
// identity, or what senders write there by mistake (utf-8, binary, none), and for an empty body, it gives b itself. Otherwise the result is the caller's own.
//
// No step gives more than max bytes: beyond, Decode returns the first max bytes and ErrTooLarge.
// Input that ends too early gives what could be decoded and an error that wraps
// io.ErrUnexpectedEOF; damaged input what came before the damage and another error; an
// unknown coding nil and ErrUnknownCoding.
func Decode(coding string, b []byte, max int64) ([]byte, error) {
	if coding == "" || len(b) == 0 {
		return b, nil
	}
	var first error
	steps := 0
	for rest := coding; rest != ""; {
		var name string
		if i := strings.LastIndexByte(rest, ','); i >= 0 {
			rest, name = rest[:i], rest[i+1:]
		} else {
			rest, name = "", rest
		}
		name = strings.ToLower(strings.Trim(name, " \t"))
		if noCoding(name) {
			continue
		}
		if steps++; steps > maxCodings {
			return nil, fmt.Errorf("%w: more than %d in a row", ErrUnknownCoding, maxCodings)
		}
		decode, ok := decoders[name]
		if !ok {
			return nil, fmt.Errorf("%w %q", ErrUnknownCoding, name)
		}
		if len(b) == 0 && steps > 1 {
			break // the step before failed without giving anything
		}
		out, err := decode(b, max)
		if err != nil && first == nil {
			first = fmt.Errorf("decode %s: %w", name, err)
		}
		b = out
	}
	return b, first
}

// noCoding reports whether a name in lower case means that nothing was done: charsets and transfer encodings are no
// content codings, but are sent as if they were.
func noCoding(name string) bool {
	switch name {
	case "", "identity", "none", "utf-8", "utf8", "us-ascii", "iso-8859-1", "binary", "7bit", "8bit", "text", "plain":
		return true
	}
	return false
}

var decoders = map[string]func(b []byte, max int64) ([]byte, error){
	"gzip":    gunzip,
	"x-gzip":  gunzip,
	"deflate": inflate,
	"br":      unbrotli,
	"zstd":    unzstd,
}

var (
	gzips   = sync.Pool{New: func() any { return new(gzip.Reader) }}
	flates  = sync.Pool{New: func() any { return flate.NewReader(new(bytes.Reader)) }}
	brotlis = sync.Pool{New: func() any { return brotli.NewReader(new(bytes.Reader)) }}
	zstds   = sync.Pool{New: func() any {
		// One goroutine: the caller's. A decoder that the pool forgets leaves nothing running.
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		return d
	}}
)

func gunzip(b []byte, max int64) ([]byte, error) {
	z := gzips.Get().(*gzip.Reader)
	defer gzips.Put(z)
	src := new(bytes.Reader)
	src.Reset(b)
	defer src.Reset(nil) // the pool must not hold on to the body
	if err := z.Reset(src); err != nil {
		return nil, early(err)
	}
	return readAll(z, len(b), max)
}

// inflate reads zlib data (RFC 1950) where the two header bytes say so, and raw DEFLATE
// otherwise or when that proves wrong.
func inflate(b []byte, max int64) ([]byte, error) {
	if len(b) == 1 && b[0]&0x0f == 8 {
		return nil, io.ErrUnexpectedEOF
	}
	if len(b) < 2 || b[0]&0x0f != 8 || b[0]>>4 > 7 || (uint(b[0])<<8|uint(b[1]))%31 != 0 || b[1]&0x20 != 0 {
		return inflateRaw(b, max, false)
	}
	out, err := inflateRaw(b[2:], max, true)
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrTooLarge) {
		return out, err
	}
	if raw, rawErr := inflateRaw(b, max, false); rawErr == nil {
		return raw, nil
	}
	return out, err
}

// inflateRaw reads DEFLATE data (RFC 1951) and, with sum, the Adler-32 that zlib puts behind.
func inflateRaw(b []byte, max int64, sum bool) ([]byte, error) {
	z := flates.Get().(io.ReadCloser)
	defer flates.Put(z)
	src := new(bytes.Reader)
	src.Reset(b)
	defer src.Reset(nil) // the pool must not hold on to the body
	if err := z.(flate.Resetter).Reset(src, nil); err != nil {
		return nil, err
	}
	out, err := readAll(z, len(b), max)
	if err != nil {
		return out, err
	}
	rest := b[len(b)-src.Len():]
	if sum {
		if len(rest) < 4 {
			return out, io.ErrUnexpectedEOF
		}
		if adler32.Checksum(out) != binary.BigEndian.Uint32(rest) {
			return out, errors.New("checksum does not match")
		}
		rest = rest[4:]
	}
	if len(rest) > 0 {
		return out, ErrTrailing
	}
	return out, nil
}

func unbrotli(b []byte, max int64) ([]byte, error) {
	z := brotlis.Get().(*brotli.Reader)
	defer brotlis.Put(z)
	src := new(bytes.Reader)
	src.Reset(b)
	defer src.Reset(nil) // the pool must not hold on to the body
	if err := z.Reset(src); err != nil {
		return nil, err
	}
	return readAll(z, len(b), max)
}

func unzstd(b []byte, max int64) ([]byte, error) {
	z, ok := zstds.Get().(*zstd.Decoder)
	if !ok {
		return nil, errors.New("no zstd decoder could be made")
	}
	defer zstds.Put(z)
	src := new(bytes.Reader)
	src.Reset(b)
	defer src.Reset(nil) // the pool must not hold on to the body
	if err := z.Reset(src); err != nil {
		return nil, err
	}
	defer z.Reset(nil)
	return readAll(z, len(b), max)
}

// readAll reads r to its end, but no more than max bytes. in is the length of the compressed
// data, from which it guesses how much room the result wants.
func readAll(r io.Reader, in int, max int64) ([]byte, error) {
	if max < 0 {
		max = 0
	}
	// One byte more than allowed shows that there is more.
	out := make([]byte, 0, min(int64(in)*4+512, max+1))
	for {
		if len(out) == cap(out) {
			grown := make([]byte, len(out), min(int64(cap(out))*2, max+1))
			copy(grown, out)
			out = grown
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if int64(len(out)) > max {
			return out[:max], ErrTooLarge
		}
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, early(err)
		}
	}
}

// early turns the ends that decoders report as a plain io.EOF into io.ErrUnexpectedEOF.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
