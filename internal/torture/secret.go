package torture

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
)

// secrets are what must never be found again. All planted values begin with one word that
// occurs nowhere else, so that looking for it finds every one of them.
type secrets struct {
	word string

	mu   sync.Mutex
	gzip map[string]bool // pieces of compressed bodies that hold secrets
}

func newSecrets(seed uint64) *secrets {
	r := rand.New(rand.NewPCG(seed, 1<<40))
	return &secrets{word: fmt.Sprintf("zqpl4nt3d%012x", r.Uint64()>>16), gzip: map[string]bool{}}
}

// value is a secret to plant.
func (s *secrets) value(r *rand.Rand) string { return fmt.Sprintf("%s%08x", s.word, r.Uint32()) }

const (
	maxPieces = 64
	pieceSize = 24
)

// compressed remembers a piece of a compressed body that holds secrets.
func (s *secrets) compressed(body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := len(body) / 2; len(s.gzip) < maxPieces && len(body) > at+pieceSize {
		s.gzip[string(body[at:at+pieceSize])] = true
	}
}

// needles are the forms in which a secret could stand somewhere.
func (s *secrets) needles() (all [][]byte) {
	all = append(all, []byte(s.word), []byte(hex.EncodeToString([]byte(s.word))))
	for shift := range 3 { // in base64 of a longer text, what is sure depends on where it begins
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			coded := enc.EncodeToString(append(bytes.Repeat([]byte("x"), shift), s.word...))
			all = append(all, []byte(coded[4:len(coded)-4]))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for piece := range s.gzip {
		all = append(all, []byte(piece))
	}
	return all
}

// in gives where in a text a secret stands, with what is around it; "" if nowhere.
func (s *secrets) in(text []byte) string {
	for _, needle := range s.needles() {
		if i := bytes.Index(text, needle); i >= 0 {
			return fmt.Sprintf("…%q…", text[max(0, i-100):min(len(text), i+len(needle)+20)])
		}
	}
	return ""
}

// inFiles looks for secrets in every file below dir.
func (s *secrets) inFiles(dir string, found func(path, where string)) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || e.Name() == fillerName {
			return ignoreGone(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return ignoreGone(err)
		}
		if where := s.in(text); where != "" {
			found(path, where)
		}
		return nil
	})
}

func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
