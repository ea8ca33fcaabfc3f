package access

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// keptKeys is an identity provider's key set on disk, so that tokens are verified after a restart while
// the provider is down. It is as old as it says: a restart does not make it younger.
type keptKeys struct {
	Version int             `json:"version"`
	Issuer  string          `json:"issuer"`
	URL     string          `json:"url,omitempty"`
	Fetched time.Time       `json:"fetched"`
	Keys    json.RawMessage `json:"keys"` // the set as it came
}

// keptFile is where the keys of a source are in a directory; "" for those that are a file anyway.
func keptFile(dir string, s KeySource) string {
	if dir == "" || s.File != "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s.Issuer + "\x00" + s.URL))
	return filepath.Join(dir, "identity-keys-"+hex.EncodeToString(sum[:6])+".json")
}

// readKept reads them. What is of another source, or from the future, is an error: its age would not be known.
func readKept(file string, s KeySource, now time.Time) (text []byte, keys []jwk, fetched time.Time, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, fetched, err
	}
	defer f.Close()
	all, err := io.ReadAll(io.LimitReader(f, maxKeySet+64<<10))
	if err != nil {
		return nil, nil, fetched, err
	}
	var kept keptKeys
	if err = json.Unmarshal(all, &kept); err != nil {
		return nil, nil, fetched, err
	}
	switch {
	case kept.Version != 1:
		err = fmt.Errorf("it has version %d, and this tapway reads 1", kept.Version)
	case kept.Issuer != s.Issuer || kept.URL != s.URL:
		err = errors.New("it is of another issuer")
	case kept.Fetched.After(now):
		err = fmt.Errorf("it is from the future (%v)", kept.Fetched)
	default:
		keys, err = parseKeys(kept.Keys)
	}
	return kept.Keys, keys, kept.Fetched, err
}

// recallLocked takes the keys from disk, if there are any that still serve.
func (k *Keyring) recallLocked(now time.Time) {
	text, keys, fetched, err := readKept(k.file, k.source, now)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		k.log.Warn("the identity provider's keys on disk are of no use", "file", k.file, "err", err)
	case now.Sub(fetched) < k.times.Keep:
		k.text = text
		k.set.Store(&keySet{keys: keys, fetched: fetched, keep: k.times.Keep, number: 1})
		k.log.Info("identity provider's keys from disk", "issuer", k.source.Issuer, "keys", len(keys), "fetched", fetched.UTC(), "until", fetched.Add(k.times.Keep).UTC())
	}
}

// keep writes the keys in force to disk. Without them there is a restart's outage to fear, and nothing else.
func (k *Keyring) keep() {
	k.saving.Lock()
	defer k.saving.Unlock()
	k.mu.Lock()
	set, text, log := k.set.Load(), k.text, k.log
	k.mu.Unlock()
	if set == nil || set.fetched.Equal(k.saved) {
		return
	}
	out, err := json.Marshal(keptKeys{1, k.source.Issuer, k.source.URL, set.fetched.UTC(), text})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(k.file), 0o700)
	}
	if err == nil {
		err = replaceFile(k.file, out)
	}
	if err != nil {
		log.Warn("the identity provider's keys could not be written; until they are, a restart needs the provider", "file", k.file, "err", err)
		return
	}
	k.saved = set.fetched
}
