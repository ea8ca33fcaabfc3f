package attach

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// Phase is how far an attachment is.
type Phase string

const (
	Attaching Phase = "attaching" // interrupted, if nobody is at it: finish or undo it
	Attached  Phase = "attached"
	Undoing   Phase = "undoing" // an attach that failed, being taken back
	Detaching Phase = "detaching"
	Detached  Phase = "detached"
)

// stateFormat is the version of State's form.
const stateFormat = 1

// State is all that is needed to take an attachment off: what was there, raw, and what was
// made of it. It holds the secret of a URL in clear, as the API itself does.
type State struct {
	Format   int       `json:"format"`
	ID       string    `json:"id"`   // the mark in the descriptions of what we made
	Tool     string    `json:"tool"` // "tapway 1.2.0"
	Began    time.Time `json:"began"`
	Phase    Phase     `json:"phase"`
	Location string    `json:"location"` // where this is kept, as the API's tag has it
	Before   *API      `json:"before"`
	Plan     *Plan     `json:"plan"`

	Integrations map[string]string `json:"integrations,omitempty"` // ids of an HTTP API's new ones, by the plan's names
	Deployments  []string          `json:"deployments,omitempty"`  // that we made
}

// NewState begins an attachment. location is what Store.Location gives.
func NewState(before *API, plan *Plan, tool, location string, now time.Time) *State {
	id := make([]byte, 6)
	rand.Read(id)
	return &State{Format: stateFormat, ID: hex.EncodeToString(id), Tool: tool, Began: now.UTC().Truncate(time.Second), Phase: Attaching, Location: location, Before: before, Plan: plan}
}

// mark begins the description of what this attachment made.
func (s *State) mark() string { return "tapway " + s.ID }

// deployment is what the stage had deployed before.
func (s *State) deployment() string {
	st, _ := s.Before.stage(s.Before.Stage)
	return st.DeploymentID
}

// ErrNoState says that there is no saved state.
var ErrNoState = errors.New("there is no saved state")

// Store keeps one State.
type Store struct {
	Path  string           // a file; or
	Blobs tapway.BlobStore // a bucket
	Key   string
	URL   string // of the object, "s3://bucket/key"
}

// OpenStore finds the store of a location: a file's path, "file://HOST/PATH" as a tag has
// it, or "s3://BUCKET/KEY". bucket opens a bucket.
func OpenStore(location string, bucket func(name string) (tapway.BlobStore, error)) (*Store, error) {
	if rest, ok := strings.CutPrefix(location, "s3://"); ok {
		name, key, _ := strings.Cut(rest, "/")
		if name == "" || key == "" || strings.HasSuffix(key, "/") {
			return nil, fmt.Errorf("the state's place %q: write s3://BUCKET/KEY", location)
		}
		blobs, err := bucket(name)
		if err != nil {
			return nil, err
		}
		return &Store{Blobs: blobs, Key: key, URL: location}, nil
	}
	if rest, ok := strings.CutPrefix(location, "file://"); ok {
		host, path, _ := strings.Cut(rest, "/")
		if here, err := os.Hostname(); err != nil || host != tagSafe(here) {
			if _, err := os.Stat("/" + path); err != nil {
				return nil, fmt.Errorf("the state is a file on the machine %q: /%s; run this there, or copy the file here and name it with --state", host, path)
			}
		}
		return &Store{Path: "/" + path}, nil
	}
	path, err := filepath.Abs(location)
	if err != nil {
		return nil, fmt.Errorf("the state's place: %w", err)
	}
	return &Store{Path: path}, nil
}

var unsafeInTag = regexp.MustCompile(`[^A-Za-z0-9+\-=._:/@ ]`)

// tagSafe is text as a tag may have it.
func tagSafe(s string) string { return unsafeInTag.ReplaceAllString(s, "_") }

// Location is the store's place as the API's tag has it: anyone who reads it finds the state.
func (s *Store) Location() string {
	at := s.URL
	if at == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		at = "file://" + host + s.Path
	}
	at = tagSafe(at)
	if len(at) > 256 {
		at = at[:256]
	}
	return at
}

// String is the place as people type it.
func (s *Store) String() string {
	if s.URL != "" {
		return s.URL
	}
	return s.Path
}

// Load reads the state. It wraps ErrNoState when there is none.
func (s *Store) Load(ctx context.Context) (*State, error) {
	var text []byte
	var err error
	if s.Blobs != nil {
		text, err = s.Blobs.Get(ctx, s.Key)
	} else {
		text, err = os.ReadFile(s.Path)
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, tapway.ErrNotFound) {
		return nil, fmt.Errorf("%w at %s", ErrNoState, s)
	}
	if err != nil {
		return nil, fmt.Errorf("read the saved state: %w", err)
	}
	var st State
	if err := json.Unmarshal(text, &st); err != nil {
		return nil, fmt.Errorf("read the saved state %s: %w", s, err)
	}
	if st.Format != stateFormat || st.Before == nil || st.Plan == nil || st.ID == "" {
		return nil, fmt.Errorf("%s is no state that this version of tapway can read (format %d)", s, st.Format)
	}
	return &st, nil
}

// Save writes the state so that it is either the old or the new one, whatever happens.
func (s *Store) Save(ctx context.Context, st *State) error {
	text := append(compact(st), '\n')
	if s.Blobs != nil {
		if err := s.Blobs.Put(ctx, s.Key, text); err != nil {
			return fmt.Errorf("save the state: %w", err)
		}
		return nil
	}
	if err := WriteFile(s.Path, text); err != nil {
		return fmt.Errorf("save the state: %w", err)
	}
	return nil
}

// abandoned is after how long an unfinished file belongs to nobody: it takes milliseconds to write one.
const abandoned = time.Hour

// tidy removes what a killed process left of the files that it was writing beside path. Other commands
// have longer names for theirs.
func tidy(path string) {
	dir := filepath.Dir(path)
	list, err := filepath.Glob(filepath.Join(dir, ".tapway-*"))
	if err != nil {
		return // a directory's name that is no pattern
	}
	for _, name := range list {
		number := strings.TrimPrefix(filepath.Base(name), ".tapway-")
		info, err := os.Lstat(name)
		if err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > abandoned && strings.Trim(number, "0123456789") == "" {
			os.Remove(name)
		}
	}
}

// WriteFile replaces a file that only its owner may read, atomically and durably.
func WriteFile(path string, text []byte) error {
	tidy(path)
	f, err := os.CreateTemp(filepath.Dir(path), ".tapway-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
