package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
)

// Pauses remembers beyond the process which destinations an operator has paused, in a small
// file of their names and reasons. It is safe for concurrent use. A nil Pauses remembers
// nothing: a process that keeps nothing on disk has one.
type Pauses struct {
	path string

	mu  sync.Mutex
	all map[string]string // reason by destination
}

// OpenPauses reads the file at path; where there is none nothing is paused. With an error, because
// the file cannot be read, it gives Pauses without any: the first change replaces the file.
func OpenPauses(path string) (*Pauses, error) {
	p := &Pauses{path: path, all: map[string]string{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	all := map[string]string{}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err == nil && all == nil {
		err = errors.New("it holds nothing")
	}
	if err != nil {
		return p, fmt.Errorf("read which destinations are paused, %s: %w", path, err)
	}
	p.all = all
	return p, nil
}

// Reason tells whether destination is paused, and why.
func (p *Pauses) Reason(destination string) (reason string, paused bool) {
	if p == nil {
		return "", false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	reason, paused = p.all[destination]
	return reason, paused
}

// Retain forgets the pauses of destinations that keep does not want.
func (p *Pauses) Retain(keep func(destination string) bool) error {
	return p.change(func(all map[string]string) {
		maps.DeleteFunc(all, func(destination, _ string) bool { return !keep(destination) })
	})
}

// Add remembers a pause. When it returns nil the pause outlives the process and a power cut.
func (p *Pauses) Add(destination, reason string) error {
	return p.change(func(all map[string]string) { all[destination] = reason })
}

// Remove forgets a pause; where there is none it does nothing.
func (p *Pauses) Remove(destination string) error {
	return p.change(func(all map[string]string) { delete(all, destination) })
}

// change writes the new file before it counts.
func (p *Pauses) change(edit func(map[string]string)) error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	next := maps.Clone(p.all)
	edit(next)
	if maps.Equal(next, p.all) {
		return nil
	}
	if err := p.write(next); err != nil {
		return fmt.Errorf("remember which destinations are paused: %w", err)
	}
	p.all = next
	return nil
}

// write replaces the file whole: a reader finds the old one or the new one.
func (p *Pauses) write(all map[string]string) (err error) {
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(p.path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), p.path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	d, err := os.Open(filepath.Dir(p.path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
