package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// backupFormat is what is written. Format 1 had no Parts, Info and Groups.
const backupFormat = 2

// Backup is an API's whole configuration as AWS shows it, raw, and the export of every stage.
type Backup struct {
	Format  int                        `json:"format"`
	Tool    string                     `json:"tool"`
	Taken   time.Time                  `json:"taken"`
	API     *API                       `json:"api"`
	Exports map[string]json.RawMessage `json:"exports"` // by stage

	// Parts are the lists below the API besides resources, routes, integrations and stages, by
	// their names in AWS's paths: "models", "authorizers", "deployments".
	Parts map[string][]json.RawMessage `json:"parts,omitempty"`

	// Info is what refers to the API from outside and is not put back: "usageplans", and
	// "mappings" of custom domains.
	Info map[string][]json.RawMessage `json:"info,omitempty"`

	Groups []SecurityGroup `json:"securityGroups,omitempty"` // of what the API reaches through
	Users  []GroupUser     `json:"securityGroupUsers,omitempty"`

	// Notes say what could not be read, and why.
	Notes []string `json:"notes,omitempty"`
}

// partsOf are the lists that are read of an API of a kind.
func partsOf(kind Kind) []string {
	if kind == REST {
		return []string{"models", "requestvalidators", "authorizers", "gatewayresponses", "deployments"}
	}
	return []string{"authorizers", "deployments"}
}

// home is the path of an API in the management API.
func (a *API) home(more ...string) []string {
	if a.Kind == HTTP {
		return append([]string{"v2", "apis", a.ID}, more...)
	}
	return append([]string{"restapis", a.ID}, more...)
}

// Backup reads everything. What belongs to others and may not be read (security groups,
// functions, usage plans, domains) becomes a note.
func (c *Clients) Backup(ctx context.Context, id, tool string, now time.Time, progress Progress) (*Backup, error) {
	b, err := c.readWhole(ctx, id, progress)
	if err != nil {
		return nil, err
	}
	b.Tool, b.Taken = tool, now.UTC().Truncate(time.Second)
	for i, name := range b.API.stageNames() {
		progress.say("export stages", i, len(b.API.Stages))
		if s, _ := b.API.stage(name); s.DeploymentID == "" {
			continue
		}
		if b.Exports[name], err = c.export(ctx, b.API.Kind, id, name); err != nil {
			return nil, err
		}
	}
	progress.say("read what refers to the API", 0, 0)
	if err := c.readInfo(ctx, b); err != nil {
		return nil, err
	}
	return b, c.readGroups(ctx, b, progress)
}

// readWhole reads the API and its parts, without exports and what is outside of it.
func (c *Clients) readWhole(ctx context.Context, id string, progress Progress) (*Backup, error) {
	tags, err := c.Tags(ctx, id)
	if err != nil {
		return nil, err
	}
	a, err := c.Read(ctx, id, "", progress)
	if err != nil {
		return nil, err
	}
	a.Tags = tags
	b := &Backup{Format: backupFormat, API: a, Exports: map[string]json.RawMessage{}, Parts: map[string][]json.RawMessage{}}
	for _, part := range partsOf(a.Kind) {
		progress.say("read the "+part, 0, 0)
		if b.Parts[part], err = c.list(ctx, a.home(part)...); err != nil {
			return nil, failed("read the "+part, err)
		}
	}
	return b, nil
}

// readInfo reads usage plans and mappings of custom domains that name the API.
func (c *Clients) readInfo(ctx context.Context, b *Backup) error {
	b.Info = map[string][]json.RawMessage{}
	names := func(raw json.RawMessage) bool { return strings.Contains(string(raw), `"`+b.API.ID+`"`) }
	if b.API.Kind == REST {
		plans, err := c.list(ctx, "usageplans")
		if err := b.note("usage plans", err); err != nil {
			return err
		}
		b.Info["usageplans"] = slices.DeleteFunc(plans, func(raw json.RawMessage) bool { return !names(raw) })
	}
	domains, err := c.list(ctx, "v2", "domainnames")
	if err := b.note("custom domains", err); err != nil {
		return err
	}
	for _, raw := range domains {
		var d struct{ DomainName string }
		if err := json.Unmarshal(raw, &d); err != nil {
			return fmt.Errorf("read a domain: %w", err)
		}
		mappings, err := c.list(ctx, "v2", "domainnames", d.DomainName, "apimappings")
		if err := b.note("mappings of "+d.DomainName, err); err != nil {
			return err
		}
		for _, m := range mappings {
			if names(m) {
				b.Info["mappings"] = append(b.Info["mappings"], compact(map[string]any{"domainName": d.DomainName, "mapping": m}))
			}
		}
	}
	return nil
}

// note turns an error that only says that something may not be read, or is not there, into a
// note.
func (b *Backup) note(what string, err error) error {
	if err == nil {
		return nil
	}
	err = failed("read the "+what, err)
	var denied *DeniedError
	if errors.As(err, &denied) || notFound(err) {
		b.Notes = append(b.Notes, err.Error())
		return nil
	}
	return err
}

// SaveBackup writes a backup.
func (s *Store) SaveBackup(ctx context.Context, b *Backup) error {
	text := append([]byte(indented(b)), '\n')
	var err error
	if s.Blobs != nil {
		err = s.Blobs.Put(ctx, s.Key, text)
	} else {
		err = WriteFile(s.Path, text)
	}
	if err != nil {
		return fmt.Errorf("save the backup: %w", err)
	}
	return nil
}

// LoadBackup reads a backup, of this version or an older one.
func (s *Store) LoadBackup(ctx context.Context) (*Backup, error) {
	var text []byte
	var err error
	if s.Blobs != nil {
		text, err = s.Blobs.Get(ctx, s.Key)
	} else {
		text, err = os.ReadFile(s.Path)
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, tapway.ErrNotFound) {
		return nil, fmt.Errorf("there is no backup at %s", s)
	}
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	var b Backup
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("read the backup %s: %w", s, err)
	}
	if b.Format < 1 || b.Format > backupFormat || b.API == nil || b.Exports == nil {
		return nil, fmt.Errorf("%s is no backup that this version of tapway can read (format %d)", s, b.Format)
	}
	return &b, nil
}
