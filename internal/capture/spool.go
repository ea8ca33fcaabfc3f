package capture

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
)

const spoolPattern = "tapway-spool-*"

// spool is a temporary file of a body that is not redacted yet. It is encrypted (AES-256-CTR)
// with a key of its own that never leaves memory: nothing readable touches the disk.
type spool struct {
	file   *os.File
	name   string // "" once unlinked
	block  cipher.Block
	stream cipher.Stream
	size   int64 // bytes that were written whole
}

func openSpool(dir string) (*spool, error) {
	var key [32]byte
	rand.Read(key[:]) // never fails
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("make a spool's cipher: %w", err)
	}
	f, err := os.CreateTemp(dir, spoolPattern)
	if err != nil {
		return nil, fmt.Errorf("make a spool file: %w", err)
	}
	s := &spool{file: f, block: block, stream: newStream(block)}
	if os.Remove(f.Name()) != nil {
		s.name = f.Name() // where open files cannot be removed, it goes when it is closed
	}
	return s, nil
}

// newStream starts at a counter of 0: each key is used for one file only.
func newStream(block cipher.Block) cipher.Stream {
	return cipher.NewCTR(block, make([]byte, block.BlockSize()))
}

// write adds p, all of it or, with an error, nothing. After an error it is not called again.
func (s *spool) write(p []byte) error {
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	for rest := p; len(rest) > 0; {
		n := min(len(rest), len(buf))
		s.stream.XORKeyStream(buf[:n], rest[:n])
		if _, err := s.file.Write(buf[:n]); err != nil {
			return fmt.Errorf("write a spool file: %w", err)
		}
		rest = rest[n:]
	}
	s.size += int64(len(p))
	return nil
}

// load gives everything that was written.
func (s *spool) load() ([]byte, error) {
	b := make([]byte, s.size)
	if _, err := s.file.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("read a spool file: %w", err)
	}
	newStream(s.block).XORKeyStream(b, b)
	return b, nil
}

func (s *spool) close() {
	s.file.Close()
	if s.name != "" {
		os.Remove(s.name)
	}
}

// removeSpools removes what crashed processes have left. A file that another process has
// just made loses its name only, as it is about to anyway.
func removeSpools(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, spoolPattern))
	for _, name := range names {
		os.Remove(name)
	}
}
