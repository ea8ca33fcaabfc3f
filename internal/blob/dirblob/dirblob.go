// Package dirblob is a blob store in a directory: for one machine, and for tests.
//
// What a newcomer gets wrong: a key is not a path. Its parts are escaped, so that no key
// leaves the directory, "a" and "a/b" can both exist, and a name the file system would not take is
// replaced by its hash.
package dirblob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tapway/tapway"
)

// Store keeps each blob in a file of its own below Dir, which Put makes when it is missing.
// It is safe for concurrent use, also by several processes.
type Store struct {
	Dir string
}

var _ tapway.BlobLister = Store{}

// Put writes body to a temporary file, syncs it, gives it its name and syncs the directory.
func (s Store) Put(ctx context.Context, key string, body []byte) error {
	path, err := s.path(ctx, key)
	if err == nil {
		err = s.write(path, body)
	}
	if err != nil {
		return fmt.Errorf("store blob %q: %w", key, err)
	}
	return nil
}

func (s Store) write(path string, body []byte) (err error) {
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return err
	}
	// No key's file name begins with a dot.
	f, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(body)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// makeDir is os.MkdirAll with every new name synced.
func makeDir(dir string) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Get reads a blob.
func (s Store) Get(ctx context.Context, key string) ([]byte, error) {
	path, err := s.path(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read blob %q: %w", key, err)
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read blob %q: %w", key, tapway.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read blob %q: %w", key, err)
	}
	return b, nil
}

// Delete removes a blob. Directories stay.
func (s Store) Delete(ctx context.Context, key string) error {
	path, err := s.path(ctx, key)
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob %q: %w", key, err)
	}
	return nil
}

// List walks the files. Where a file's name is a hash the key cannot be told: List ends with an
// error that says so, after all others.
func (s Store) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		hashed := 0
		err := filepath.WalkDir(s.Dir, func(path string, e fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist): // deleted meanwhile, or nothing was ever stored
				return nil
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case e.IsDir() || strings.HasPrefix(e.Name(), "."):
				return nil
			}
			relative, err := filepath.Rel(s.Dir, path)
			if err != nil {
				return err
			}
			key, ok := keyOf(relative)
			if !ok {
				hashed++
			} else if strings.HasPrefix(key, prefix) && !yield(key, nil) {
				return errStop
			}
			return nil
		})
		if err == nil && hashed > 0 {
			err = fmt.Errorf("the keys of %d more are too long to be told", hashed)
		}
		if err != nil && !errors.Is(err, errStop) {
			yield("", fmt.Errorf("list blobs %q: %w", prefix, err))
		}
	}
}

var errStop = errors.New("stopped")

// keyOf reads what path made; false: it is a hash.
func keyOf(relative string) (string, bool) {
	parts := strings.Split(filepath.ToSlash(relative), "/")
	for i, name := range parts {
		if i < len(parts)-1 {
			name = strings.TrimSuffix(name, "+")
		}
		part, ok := unescape(name)
		if !ok {
			return "", false
		}
		parts[i] = part
	}
	return strings.Join(parts, "/"), true
}

// maxName is the longest file name made of a part of a key; file systems take 255 bytes.
const maxName = 200

// path is where a key's file is: its parts escaped, directories with a "+" behind them so
// that no file can have their name.
func (s Store) path(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if s.Dir == "" {
		return "", errors.New("the blob store has no directory")
	}
	if key == "" {
		return "", errors.New("the key is empty")
	}
	parts := strings.Split(key, "/")
	names := make([]string, 0, len(parts)+1)
	names = append(names, s.Dir)
	for i, part := range parts {
		name := escape(part)
		if i < len(parts)-1 {
			name += "+"
		}
		names = append(names, name)
	}
	path := filepath.Join(names...)
	if len(path)-len(s.Dir) > 3000 { // paths end at 4096 bytes on Linux
		sum := sha256.Sum256([]byte(key))
		path = filepath.Join(s.Dir, "~"+hex.EncodeToString(sum[:]))
	}
	return path, nil
}

// escape makes a file name of a part of a key, one to one. Upper case is marked, because
// some file systems do not tell it from lower case.
func escape(part string) string {
	var b strings.Builder
	for i := range len(part) {
		c := part[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		case 'A' <= c && c <= 'Z':
			b.WriteByte('^')
			b.WriteByte(c | 0x20)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	if b.Len() == 0 {
		return "%"
	}
	if b.Len() > maxName {
		sum := sha256.Sum256([]byte(part))
		return b.String()[:100] + "~" + hex.EncodeToString(sum[:])
	}
	return b.String()
}

// unescape reads what escape made; false: it is a hash.
func unescape(name string) (string, bool) {
	if name == "%" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '~':
			return "", false
		case c == '^' && i+1 < len(name):
			i++
			b.WriteByte(name[i] &^ 0x20)
		case c == '%' && i+2 < len(name):
			n, err := strconv.ParseUint(name[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			b.WriteByte(byte(n))
			i += 2
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}
