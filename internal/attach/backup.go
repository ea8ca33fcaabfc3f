package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/tapway/tapway"
)

// Backup is an API's whole configuration as AWS shows it: the working copy, raw, and the
// export of every stage, which also has authorizers, models, gateway responses and the policy.
type Backup struct {
	Format  int                        `json:"format"`
	Tool    string                     `json:"tool"`
	Taken   time.Time                  `json:"taken"`
	API     *API                       `json:"api"`
	Exports map[string]json.RawMessage `json:"exports"` // by stage
}

// Backup reads everything.
func (c *Clients) Backup(ctx context.Context, id, tool string, now time.Time, progress Progress) (*Backup, error) {
	tags, err := c.Tags(ctx, id)
	if err != nil {
		return nil, err
	}
	a, err := c.Read(ctx, id, "", progress)
	if err != nil {
		return nil, err
	}
	a.Tags = tags
	b := &Backup{Format: stateFormat, Tool: tool, Taken: now.UTC().Truncate(time.Second), API: a, Exports: map[string]json.RawMessage{}}
	for i, name := range a.stageNames() {
		progress.say("export stages", i, len(a.Stages))
		if s, _ := a.stage(name); s.DeploymentID == "" {
			continue
		}
		if b.Exports[name], err = c.export(ctx, a.Kind, id, name); err != nil {
			return nil, err
		}
	}
	return b, nil
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

// LoadBackup reads a backup.
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
	if b.Format != stateFormat || b.API == nil || b.Exports == nil {
		return nil, fmt.Errorf("%s is no backup that this version of tapway can read (format %d)", s, b.Format)
	}
	return &b, nil
}

// RestorePlan is what a restore would do to the working copy. It deploys nothing.
type RestorePlan struct {
	API     string          `json:"api"`
	Routes  []RestoredRoute `json:"routes"`           // to be put back
	Manual  []string        `json:"manual,omitempty"` // what differs and is not put back, and why
	backup  *Backup
	changes []Change
}

// RestoredRoute is a route that differs from the backup.
type RestoredRoute struct {
	Route       string       `json:"route"`
	Differences []Difference `json:"differences"` // before: in the backup
}

// PlanRestore compares an API with its backup.
func (c *Clients) PlanRestore(ctx context.Context, b *Backup, progress Progress) (*RestorePlan, error) {
	p := &RestorePlan{API: b.API.ID, Routes: []RestoredRoute{}, backup: b}
	now, err := c.look(ctx, b.API, progress)
	if err != nil {
		return nil, err
	}
	if at := now.Tags[TagState]; at != "" {
		return nil, fmt.Errorf("API %s is attached (its state is in %s): detach it first", now.ID, at)
	}
	was, err := b.API.operations()
	if err != nil {
		return nil, err
	}
	is, err := now.operations()
	if err != nil {
		return nil, err
	}
	for _, op := range was {
		i := slices.IndexFunc(is, func(o operation) bool { return o.Key == op.Key && o.place() == op.place() })
		if i < 0 {
			p.Manual = append(p.Manual, op.Key+" was deleted, or deleted and made anew: make it again first")
			continue
		}
		if err := p.compare(&op, &is[i]); err != nil {
			return nil, err
		}
	}
	for _, op := range is {
		if !slices.ContainsFunc(was, func(o operation) bool { return o.Key == op.Key }) {
			p.Manual = append(p.Manual, op.Key+" is not in the backup: it stays")
		}
	}
	return p, nil
}

func (op *operation) place() string {
	if op.RouteID != "" {
		return op.RouteID
	}
	return op.ResourceID + " " + op.Method
}

func (p *RestorePlan) compare(was, is *operation) error {
	ch := Change{Route: was.Key, ResourceID: was.ResourceID, Method: was.Method, RouteID: was.RouteID, Before: was.raw}
	if p.backup.API.Kind == HTTP {
		if was.integration.ID == is.integration.ID {
			if d := diff(prune(was.Integration), prune(is.Integration), 5); len(d) > 0 {
				p.Manual = append(p.Manual, fmt.Sprintf("%s: its integration %s was changed (%s): change it back", was.Key, was.integration.ID, d[0]))
			}
			return nil
		}
		ch.Before = compact(map[string]any{"target": "integrations/" + was.integration.ID})
		p.Routes = append(p.Routes, RestoredRoute{was.Key, []Difference{{"target", "integrations/" + was.integration.ID, "integrations/" + is.integration.ID}}})
		p.changes = append(p.changes, ch)
		return nil
	}
	if len(was.raw) == 0 {
		return nil
	}
	before, err := normal(was.raw, was.ResourceID)
	if err != nil {
		return err
	}
	now := map[string]any{}
	if len(is.raw) > 0 {
		if now, err = normal(is.raw, is.ResourceID); err != nil {
			return err
		}
	}
	d := diff(before, now, 20)
	if len(d) > 0 {
		if name := unknownSetting(was.raw); name != "" {
			p.Manual = append(p.Manual, fmt.Sprintf("%s has a setting %q that this version of tapway does not know", was.Key, name))
			return nil
		}
		p.Routes = append(p.Routes, RestoredRoute{was.Key, d})
		p.changes = append(p.changes, ch)
	}
	if d := diff(comparableMethod(was), comparableMethod(is), 5); len(d) > 0 {
		p.Manual = append(p.Manual, fmt.Sprintf("%s: the method was changed (%s): change it back", was.Key, d[0]))
	}
	return nil
}

// comparableMethod is what a method says besides its integration.
func comparableMethod(op *operation) any {
	o := op.object()
	delete(o, "x-amazon-apigateway-integration")
	return prune(o)
}

// Restore puts the routes of the plan back in the working copy.
func (c *Clients) Restore(ctx context.Context, p *RestorePlan, progress Progress) error {
	api := p.backup.API
	for i := range p.changes {
		ch := &p.changes[i]
		progress.say("restore routes", i, len(p.changes))
		st := &State{Before: api, Plan: &Plan{Via: "restore"}}
		if err := c.set(ctx, st, ch, nil, asBefore); err != nil {
			return err
		}
	}
	return nil
}
