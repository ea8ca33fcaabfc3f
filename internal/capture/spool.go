package capture

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

const (
	spoolPattern = "tapway-spool-*"

	// maxDisk is how many spools work on the disk at a time: each may cost a thread.
	maxDisk = 8

	// minPending is the least that may wait to be written to all spool files together.
	minPending = 8 * copySize
)

var errSpoolClosed = errors.New("the spool is closed")

// spool is a temporary file of a body that is not redacted yet. It is encrypted (AES-256-CTR)
// with a key of its own that never leaves memory: nothing readable touches the disk.
//
// A goroutine of its own does what may block on the disk, from making the file to closing it,
// so that a call waits for a slow disk no longer than its grace.
type spool struct {
	rec    *Recorder
	block  cipher.Block
	stream cipher.Stream
	size   int64 // bytes taken by write

	mu     sync.Mutex
	chunks []*chunk      // encrypted, to be written
	err    error         // the disk's; nothing is written after it
	kick   chan struct{} // there is something to do
	load   *loading      // nil if nobody asks
	ended  bool
	end    chan struct{} // closed by close

	// What follows is the goroutine's.
	file *os.File
	name string // "" once unlinked
	off  int64  // bytes written
}

// chunk is a piece of a spool in memory.
type chunk struct {
	bytes [copySize]byte
	n     int
}

// loading is a request for everything that was written.
type loading struct {
	bytes []byte
	done  chan struct{}
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// newSpool makes a spool and starts its goroutine, which close ends.
func (c *Recorder) newSpool() (*spool, error) {
	var key [32]byte
	rand.Read(key[:]) // never fails
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("make a spool's cipher: %w", err)
	}
	s := &spool{rec: c, block: block, stream: newStream(block), kick: make(chan struct{}, 1), end: make(chan struct{})}
	c.spoolFiles.Add(1)
	go s.run()
	return s, nil
}

// newStream starts at a counter of 0: each key is used for one file only.
func newStream(block cipher.Block) cipher.Stream {
	return cipher.NewCTR(block, make([]byte, block.BlockSize()))
}

// write takes p to be written, waiting within the grace for room. After an error the spool is
// of no more use.
func (s *spool) write(g *grace, p []byte) error {
	for len(p) > 0 {
		n, err := s.fill(p)
		if err != nil {
			return err
		}
		s.size += int64(n)
		if p = p[n:]; len(p) == 0 {
			break
		}
		signal(s.kick) // what is full must not take up the room that this waits for
		if _, err := g.take(s.rec.spooling, copySize); err != nil {
			return fmt.Errorf("wait for a spool file to be written: %w", err)
		}
		c := chunks.Get().(*chunk)
		c.n = 0
		s.mu.Lock()
		s.chunks = append(s.chunks, c)
		s.mu.Unlock()
	}
	signal(s.kick)
	return nil
}

// fill encrypts what fits into the last chunk that waits.
func (s *spool) fill(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	if len(s.chunks) == 0 {
		return 0, nil
	}
	c := s.chunks[len(s.chunks)-1]
	n := min(len(p), len(c.bytes)-c.n)
	s.stream.XORKeyStream(c.bytes[c.n:c.n+n], p[:n])
	c.n += n
	return n, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// read gives everything that was written. When the grace ends first, what has been begun is
// left to the goroutine.
func (s *spool) read(g *grace) ([]byte, error) {
	l := &loading{done: make(chan struct{})}
	s.mu.Lock()
	s.load = l
	s.mu.Unlock()
	signal(s.kick)
	err := g.spend(func(ctx context.Context) error {
		select {
		case <-l.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		return nil, fmt.Errorf("wait for a spool file to be read: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.bytes, s.err
}

// close lets go of the spool and waits for nothing.
func (s *spool) close() {
	s.mu.Lock()
	s.ended = true
	for _, c := range s.chunks {
		s.rec.freeChunk(c)
	}
	s.chunks = nil
	s.mu.Unlock()
	close(s.end)
}

func (c *Recorder) freeChunk(k *chunk) {
	chunks.Put(k)
	c.spooling.release(copySize)
}

// run is the spool's goroutine.
func (s *spool) run() {
	for open := true; open; {
		select {
		case <-s.kick:
		case <-s.end:
			open = false
		}
		if open || s.file != nil { // a file must be closed, whatever that waits for
			select {
			case s.rec.disk <- struct{}{}:
			case <-s.ifNoFile():
				continue
			}
			if open {
				s.work()
			} else {
				s.remove()
			}
			<-s.rec.disk
		}
	}
	s.rec.spoolBytes.Add(-s.off)
	s.rec.spoolFiles.Add(-1)
}

// ifNoFile is the end of a spool that need not wait for the disk to end.
func (s *spool) ifNoFile() <-chan struct{} {
	if s.file == nil {
		return s.end
	}
	return nil
}

// work writes the chunks that wait, or else reads if that was asked for.
func (s *spool) work() {
	s.mu.Lock()
	list, load := s.chunks, s.load
	s.chunks = nil
	useless := s.err != nil || s.ended
	if len(list) == 0 {
		s.load = nil
	} else if load != nil {
		signal(s.kick) // its turn comes
	}
	s.mu.Unlock()

	var err error
	for _, c := range list {
		if !useless && err == nil {
			err = s.writeChunk(c)
		}
		s.rec.freeChunk(c)
	}
	if len(list) == 0 && load != nil && !useless {
		load.bytes, err = s.readAll()
	}
	if err != nil {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	if len(list) == 0 && load != nil {
		close(load.done)
	}
}

func (s *spool) writeChunk(c *chunk) (err error) {
	if s.file == nil {
		if s.file, err = s.rec.spoolFile(); err != nil {
			return err
		}
		if os.Remove(s.file.Name()) != nil {
			s.name = s.file.Name() // where open files cannot be removed, it goes when it is closed
		}
	}
	n, err := s.file.Write(c.bytes[:c.n])
	s.off += int64(n)
	s.rec.spoolBytes.Add(int64(n))
	if err != nil {
		return fmt.Errorf("write a spool file: %w", err)
	}
	return nil
}

// readAll reads in pieces, so that it stops soon after nobody waits for it.
func (s *spool) readAll() ([]byte, error) {
	const piece = 1 << 20
	b := make([]byte, s.off)
	for at := 0; at < len(b); at += piece {
		select {
		case <-s.end:
			return nil, errSpoolClosed
		default:
		}
		if _, err := s.file.ReadAt(b[at:min(at+piece, len(b))], int64(at)); err != nil {
			return nil, fmt.Errorf("read a spool file: %w", err)
		}
	}
	newStream(s.block).XORKeyStream(b, b)
	return b, nil
}

func (s *spool) remove() {
	s.file.Close()
	if s.name != "" {
		os.Remove(s.name)
	}
}

// spoolFile opens a temporary file. The first one makes the directory and removes what a crash
// between creating and unlinking has left there.
func (c *Recorder) spoolFile() (*os.File, error) {
	dir := c.SpoolDir
	if dir == "" {
		dir = os.TempDir()
	}
	c.spoolOnce.Do(func() {
		if c.spoolErr = os.MkdirAll(dir, 0o700); c.spoolErr == nil {
			removeSpools(dir)
		}
	})
	if c.spoolErr != nil {
		return nil, fmt.Errorf("make the spool directory: %w", c.spoolErr)
	}
	f, err := os.CreateTemp(dir, spoolPattern)
	if err != nil {
		return nil, fmt.Errorf("make a spool file: %w", err)
	}
	return f, nil
}

// removeSpools removes what crashed processes have left. A file that another process has
// just made loses its name only, as it is about to anyway.
func removeSpools(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, spoolPattern))
	for _, name := range names {
		os.Remove(name)
	}
}
