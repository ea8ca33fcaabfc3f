package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// KeyRecord is one API key as the file has it. The key itself is not kept.
type KeyRecord struct {
	ID      string     `json:"id"` // by which it is counted: KeyID, or of a key made by an older tapway something of its own
	Name    string     `json:"name"`
	Plan    string     `json:"plan,omitempty"`
	SHA256  string     `json:"sha256"`
	Created time.Time  `json:"created"`
	Revoked *time.Time `json:"revoked,omitempty"`

	// Formerly is the ID that it had before MigrateKeys: what is counted under it goes over. "": it had no other.
	Formerly string `json:"formerly,omitempty"`
}

type keyFile struct {
	Version int         `json:"version"`
	Keys    []KeyRecord `json:"keys"`
}

// ReadKeys reads a file of keys; one that is not there has none.
func ReadKeys(file string) ([]KeyRecord, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var read keyFile
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if err == nil && read.Version != 1 {
		err = fmt.Errorf("version %d is not known", read.Version)
	}
	for _, k := range read.Keys {
		if _, bad := parseHash(k.SHA256); bad != nil && err == nil {
			err = fmt.Errorf("key %s: %w", k.ID, bad)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the API keys, %s: %w", file, err)
	}
	return read.Keys, nil
}

func parseHash(text string) (h Hash, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(h) {
		return h, errors.New("sha256 is not 64 hex digits")
	}
	return Hash(b), nil
}

// KeyID is what a key is counted by: the same on every machine that has the key, so that they count together. It
// is made of the key's hash, which it does not tell.
func KeyID(h Hash) string {
	sum := sha256.Sum256(append([]byte("tapway API key\x00"), h[:]...))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:10]
}

// CreateKey adds a key to a file and gives its record and value. value "" makes one. The value
// is nowhere but in what is returned.
func CreateKey(file, name, plan, value string, now time.Time) (KeyRecord, string, error) {
	if value == "" {
		value = (rand.Text() + rand.Text())[:40]
	}
	if err := CheckKey(value); err != nil {
		return KeyRecord{}, "", err
	}
	hash := HashKey(value)
	record := KeyRecord{
		ID: KeyID(hash), Name: name, Plan: plan,
		SHA256: hex.EncodeToString(hash[:]), Created: now.UTC().Truncate(time.Second),
	}
	err := changeKeys(file, func(keys []KeyRecord) ([]KeyRecord, error) {
		for _, k := range keys {
			switch {
			case k.SHA256 == record.SHA256:
				return nil, fmt.Errorf("this API key is there already, as %s", k.ID)
			case k.ID == record.ID: // one in 2^50
				return nil, fmt.Errorf("the ID %s is taken; make another key", k.ID)
			case k.Name == name && k.Revoked == nil:
				return nil, fmt.Errorf("there is an API key %q already (%s); revoke it, or choose another name", name, k.ID)
			}
		}
		return append(keys, record), nil
	})
	return record, value, err
}

// RevokeKey ends a key, named by its ID or, while that is in force, its name.
func RevokeKey(file, idOrName string, now time.Time) (KeyRecord, error) {
	var out KeyRecord
	err := changeKeys(file, func(keys []KeyRecord) ([]KeyRecord, error) {
		i := slices.IndexFunc(keys, func(k KeyRecord) bool { return k.Revoked == nil && (k.ID == idOrName || k.Name == idOrName) })
		if i < 0 {
			return nil, fmt.Errorf("there is no API key %q in force", idOrName)
		}
		at := now.UTC().Truncate(time.Second)
		keys[i].Revoked = &at
		out = keys[i]
		return keys, nil
	})
	return out, err
}

// MigrateKeys gives keys that an older tapway has made the IDs that they have on every machine, and tells which. carry is asked for
// each of them before the file is written, and takes along what is counted elsewhere than in a LocalCounter, which does so by itself
// when the file is read; nil: there is nothing. If it fails nothing is changed.
func MigrateKeys(file string, carry func(before, after KeyRecord) error) (before, after []KeyRecord, err error) {
	err = changeKeys(file, func(keys []KeyRecord) ([]KeyRecord, error) {
		for i, k := range keys {
			hash, _ := parseHash(k.SHA256) // ReadKeys has
			if id := KeyID(hash); id != k.ID {
				before = append(before, k)
				keys[i].ID, keys[i].Formerly = id, k.ID
				after = append(after, keys[i])
			}
		}
		if before == nil {
			return nil, errUnchanged
		}
		for i := range before {
			if carry == nil {
				break
			}
			if err := carry(before[i], after[i]); err != nil {
				return nil, fmt.Errorf("take along what %s has used: %w", before[i].Name, err)
			}
		}
		return keys, nil
	})
	if errors.Is(err, errUnchanged) {
		err = nil
	}
	if err != nil {
		return nil, nil, err
	}
	return before, after, nil
}

var errUnchanged = errors.New("nothing is to be changed")

// lockTime is how long a change waits for the changes of other processes.
const lockTime = 10 * time.Second

// changeKeys changes the file as a whole, one process at a time.
func changeKeys(file string, change func([]KeyRecord) ([]KeyRecord, error)) error {
	lock := file + ".lock"
	deadline := time.Now().Add(lockTime)
	var unlock func()
	for {
		var err error
		if unlock, err = tryLock(lock); err != nil {
			return fmt.Errorf("lock the API keys: %w", err)
		}
		if unlock != nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another process changes the API keys; if none does, remove %s", lock)
		}
		time.Sleep(5 * time.Millisecond)
	}
	defer unlock()
	keys, err := ReadKeys(file)
	if err != nil {
		return err
	}
	if keys, err = change(keys); err != nil {
		return err
	}
	text, err := json.MarshalIndent(keyFile{1, keys}, "", "  ")
	if err == nil {
		err = replaceFile(file, text)
	}
	if err != nil {
		return fmt.Errorf("write the API keys: %w", err)
	}
	return nil
}

// KeyFile is a file of keys that is read again when it changes. Make one with OpenKeyFile.
type KeyFile struct {
	file  string
	state *State
	log   *slog.Logger
	keys  atomic.Pointer[KeySet]
	own   atomic.Int64 // see Own
	seen  fileStamp
}

type fileStamp struct {
	size     int64
	modified time.Time
}

// LookEvery is how often a KeyFile looks whether its file has changed: a key is in force, or
// revoked, that much later at most.
const LookEvery = time.Second

// OpenKeyFile reads the keys in file, which need not be there.
func OpenKeyFile(file string, s *State, log *slog.Logger) (*KeyFile, error) {
	f := &KeyFile{file: file, state: s, log: log}
	return f, f.Reload()
}

// Reload reads the file. On an error the keys stay what they were. It is not for concurrent use
// with Run.
func (f *KeyFile) Reload() error {
	stamp := f.stamp() // before reading: what changes meanwhile is seen the next time
	records, err := ReadKeys(f.file)
	f.seen = stamp
	if err != nil {
		return err
	}
	set, own := make(KeySet, len(records)), int64(0)
	for _, k := range records {
		if hash, err := parseHash(k.SHA256); err == nil && k.Revoked == nil {
			set[hash] = NewClient(k.ID, k.Name, k.Plan, f.state)
			if k.ID != KeyID(hash) {
				own++
			}
		}
	}
	f.keys.Store(&set)
	f.own.Store(own)
	if counter, ok := f.state.counter.(Mover); ok {
		for _, k := range records {
			if k.Formerly != "" {
				counter.Move(k.Formerly, k.ID)
			}
		}
	}
	return nil
}

func (f *KeyFile) stamp() fileStamp {
	info, err := os.Stat(f.file)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.Size(), info.ModTime()}
}

func (f *KeyFile) find(h Hash) *Client { return (*f.keys.Load())[h] }

// Len is how many keys are in force.
func (f *KeyFile) Len() int { return len(*f.keys.Load()) }

// Own is how many keys in force have IDs of this machine, as an older tapway has made them: other machines count
// them apart. MigrateKeys mends it.
func (f *KeyFile) Own() int { return int(f.own.Load()) }

// Run looks after the file until ctx ends.
func (f *KeyFile) Run(ctx context.Context) error {
	tick := time.NewTicker(LookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if f.stamp() == f.seen {
				continue
			}
			if err := f.Reload(); err != nil {
				f.log.Error("the API keys that were there stay in force", "err", err)
				continue
			}
			f.log.Info("API keys read again", "keys", f.Len())
		}
	}
}
