package access

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// KeySource says where an identity provider's keys are. The first that is set counts: File, URL,
// and otherwise what the Issuer's OpenID Connect discovery says.
type KeySource struct{ Issuer, URL, File string }

// URLs are those that the configuration itself names; discovery may name another.
func (s KeySource) URLs() []string {
	switch {
	case s.File != "":
		return nil
	case s.URL != "":
		return []string{s.URL}
	}
	return []string{s.discovery()}
}

func (s KeySource) discovery() string {
	return strings.TrimSuffix(s.Issuer, "/") + "/.well-known/openid-configuration"
}

// KeyTimes say how keys are kept up.
type KeyTimes struct {
	Refresh time.Duration // how often they are fetched anew; 0 is 1 h
	Keep    time.Duration // how long they serve while they cannot be; 0 is 24 h
}

const (
	defaultRefresh = time.Hour
	defaultKeep    = 24 * time.Hour

	// retryKeys is how long nobody tries again after a failure, and unknownKeys how often tokens
	// with keys that are not known make us fetch: anybody can send those.
	retryKeys   = 30 * time.Second
	unknownKeys = 30 * time.Second

	// refreshGrace is how long the Gate's Run has to refresh keys before a call does.
	refreshGrace = 30 * time.Second

	fetchTimeout = 10 * time.Second
	maxDiscovery = 256 << 10 // bytes
)

// Keyring is an identity provider's keys. It is in a State, so that a reload keeps them, and on disk
// where State has a KeyDir, so that a restart does, because the provider may be down just then. It fetches when it is asked: by the Gate's Run ahead of
// time, where that runs; otherwise the one call that needs it waits.
type Keyring struct {
	source KeySource
	set    atomic.Pointer[keySet]
	file   string // on disk; "" for none

	saving sync.Mutex // before mu
	saved  time.Time  // when what is on disk was fetched

	mu      sync.Mutex
	client  *http.Client // nil: nothing can be fetched
	times   KeyTimes
	log     *slog.Logger
	flight  chan struct{} // closed when the fetch under way has ended; nil: there is none
	retry   time.Time     // not before, after a failure
	unknown time.Time     // not before, for a key that is not known
	read    fileStamp
	text    []byte // the set as it came
}

// keySet is what was fetched at a time.
type keySet struct {
	keys    []jwk
	fetched time.Time
	keep    time.Duration
	number  uint64 // another one when the keys have changed
}

// Keyring gives the keys of a source, those fetched before if it is known already. client may be
// nil where nothing is to be fetched.
func (s *State) Keyring(source KeySource, times KeyTimes, client *http.Client, log *slog.Logger) *Keyring {
	if times.Refresh <= 0 {
		times.Refresh = defaultRefresh
	}
	if times.Keep <= 0 {
		times.Keep = max(defaultKeep, times.Refresh)
	}
	if log == nil {
		log = slog.Default()
	}
	s.mu.Lock()
	k := s.rings[source]
	if k == nil {
		if s.rings == nil {
			s.rings = map[KeySource]*Keyring{}
		}
		k = &Keyring{source: source, file: keptFile(s.KeyDir, source)}
		s.rings[source] = k
	}
	s.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.client, k.times, k.log = client, times, log
	if k.set.Load() == nil && k.file != "" {
		k.recallLocked(time.Now())
	}
	return k
}

// canFetch reports whether keys can be had at all.
func (k *Keyring) canFetch() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.client != nil || k.source.File != ""
}

// keys gives those in force, nil if there are none.
func (k *Keyring) keys(ctx context.Context, now time.Time) *keySet {
	set := k.set.Load()
	if set == nil || now.Sub(set.fetched) >= k.refresh()+refreshGrace {
		usable := set != nil && now.Sub(set.fetched) < set.keep
		k.fetch(ctx, now, !usable, func() bool { return set == k.set.Load() && !now.Before(k.retry) })
		set = k.set.Load()
	}
	if set == nil || now.Sub(set.fetched) >= set.keep {
		return nil
	}
	return set
}

func (k *Keyring) refresh() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.times.Refresh
}

// newer gives the keys after looking for some that seen does not have.
func (k *Keyring) newer(ctx context.Context, now time.Time, seen *keySet) *keySet {
	k.fetch(ctx, now, true, func() bool {
		if seen != k.set.Load() || now.Before(k.unknown) || now.Before(k.retry) {
			return false
		}
		k.unknown = now.Add(unknownKeys)
		return true
	})
	return k.set.Load()
}

// tend refreshes what is due.
func (k *Keyring) tend(ctx context.Context, now time.Time) {
	k.fetch(ctx, now, false, func() bool {
		set := k.set.Load()
		if k.source.File != "" && set != nil && stampOf(k.source.File) != k.read {
			return true
		}
		return (set == nil || now.Sub(set.fetched) >= k.times.Refresh) && !now.Before(k.retry)
	})
}

// fetch fetches if it is due, which is asked with the mutex held. If somebody does already, it
// waits for that when wait is set.
func (k *Keyring) fetch(ctx context.Context, now time.Time, wait bool, due func() bool) {
	k.mu.Lock()
	if flight := k.flight; flight != nil {
		k.mu.Unlock()
		if wait {
			select {
			case <-flight:
			case <-ctx.Done():
			}
		}
		return
	}
	if !due() {
		k.mu.Unlock()
		return
	}
	flight, client := make(chan struct{}), k.client
	k.flight = flight
	k.mu.Unlock()
	// It is not this call's alone: others wait for it as well, and a connection that is still being made
	// may outlast the call, whose context must not be kept (see answerer).
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	stamp := stampOf(k.source.File)
	text, err := k.source.load(ctx, client)
	var keys []jwk
	if err == nil {
		if keys, err = parseKeys(text); err != nil {
			err = fmt.Errorf("the key set: %w", err)
		}
	}
	k.mu.Lock()
	k.flight, k.read = nil, stamp
	k.settleLocked(text, keys, now, err)
	k.mu.Unlock()
	close(flight)
	if err == nil && k.file != "" {
		k.keep()
	}
}

func (k *Keyring) settleLocked(text []byte, keys []jwk, now time.Time, err error) {
	old := k.set.Load()
	if err != nil {
		k.retry = now.Add(retryKeys)
		if old == nil {
			k.log.Error("the identity provider's keys cannot be had; calls that need them are refused", "issuer", k.source.Issuer, "err", err)
		} else {
			k.log.Warn("the identity provider's keys cannot be had anew; those from before serve on", "issuer", k.source.Issuer, "until", old.fetched.Add(old.keep).UTC(), "err", err)
		}
		return
	}
	next := &keySet{keys: keys, fetched: now, keep: k.times.Keep}
	switch {
	case old == nil:
		next.number = 1
	case bytes.Equal(text, k.text):
		next.number, next.keys = old.number, old.keys
	default:
		next.number = old.number + 1
	}
	if old == nil || next.number != old.number {
		k.log.Info("identity provider's keys", "issuer", k.source.Issuer, "keys", len(keys))
	}
	k.text = text
	k.set.Store(next)
}

// load gets the set as text.
func (s KeySource) load(ctx context.Context, client *http.Client) ([]byte, error) {
	if s.File != "" {
		info, err := os.Stat(s.File)
		if err != nil {
			return nil, err
		}
		if info.Size() > maxKeySet {
			return nil, fmt.Errorf("%s is longer than %d bytes", s.File, maxKeySet)
		}
		return os.ReadFile(s.File)
	}
	if client == nil {
		return nil, errors.New("nothing is fetched here")
	}
	at := s.URL
	if at == "" {
		text, _, err := fetch(ctx, client, s.discovery(), maxDiscovery)
		if err != nil {
			return nil, err
		}
		var found struct {
			Issuer string `json:"issuer"`
			URI    string `json:"jwks_uri"`
		}
		if err := json.Unmarshal(text, &found); err != nil {
			return nil, fmt.Errorf("%s: %w", s.discovery(), err)
		}
		if found.Issuer != s.Issuer { // OpenID Connect Discovery 1.0 §4.3
			return nil, fmt.Errorf("%s is of the issuer %q, not %q; write access.jwt.issuer exactly so", s.discovery(), found.Issuer, s.Issuer)
		}
		if err := CheckKeyURL(found.URI); err != nil {
			return nil, fmt.Errorf("%s: jwks_uri: %w", s.discovery(), err)
		}
		at = found.URI
	}
	text, _, err := fetch(ctx, client, at, maxKeySet)
	return text, err
}

// CheckKeyURL tells whether keys may be fetched there: over HTTPS, or from this machine.
func CheckKeyURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%q is not a URL that keys could be fetched from", text)
	}
	addr, _ := netip.ParseAddr(u.Hostname())
	if u.Scheme != "https" && !(u.Scheme == "http" && (addr.IsLoopback() || u.Hostname() == "localhost")) {
		return fmt.Errorf("%q is not https://: whoever is in between could put in keys of his own", text)
	}
	return nil
}
