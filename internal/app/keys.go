package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/config"
)

// keyList is the API keys and usage plans in force, for the console.
func (a *App) keyList(ctx context.Context) (*admin.Keys, error) {
	a.mu.Lock()
	c := a.config
	a.mu.Unlock()
	now := time.Now()
	out := &admin.Keys{Required: c.Access.KeyRequired(), Accuracy: a.gate.counter.Accuracy(), Keys: []admin.Key{}, Plans: []admin.Plan{}}
	for _, r := range c.Access.Routes {
		out.Required = out.Required || r.APIKey == "required"
	}
	plans := map[string]int{}
	for _, p := range c.Access.UsagePlans {
		plans[p.Name] = len(out.Plans)
		out.Plans = append(out.Plans, planOf(&p, now))
	}
	for _, k := range c.Access.APIKeys {
		out.Keys = append(out.Keys, admin.Key{ID: k.Name, Name: k.Name, Plan: k.Plan, Source: "configuration"})
	}
	records, err := access.ReadKeys(KeysFile(a.data))
	if err != nil {
		return nil, err
	}
	formerly := map[string]string{}
	for _, k := range records {
		formerly[k.ID] = k.Formerly
		out.Keys = append(out.Keys, admin.Key{ID: k.ID, Name: k.Name, Plan: k.Plan, Source: "file", Created: &k.Created, Revoked: k.Revoked})
	}
	for i := range out.Keys {
		k := &out.Keys[i]
		at := a.shown.last(k.ID)
		if at.IsZero() && formerly[k.ID] != "" {
			at = a.shown.last(formerly[k.ID])
		}
		if !at.IsZero() {
			k.LastUsed = &at
		}
		n, ok := plans[k.Plan]
		if !ok {
			continue
		}
		plan := &out.Plans[n]
		if k.Revoked == nil {
			plan.Keys++
		}
		if plan.Quota == nil {
			continue
		}
		quota := c.Access.UsagePlans[n].Quota.Access()
		start, _ := quota.Window(now)
		k.Usage = &admin.Usage{Limit: plan.Quota.Limit, Period: plan.Quota.Period, Resets: plan.Quota.Resets, Used: a.gate.counter.Tally(k.ID).Used(start.Unix())}
		plan.Quota.Used += k.Usage.Used
		if err := ctx.Err(); err != nil { // counts that are elsewhere take a moment each
			return nil, err
		}
	}
	return out, nil
}

func planOf(p *config.UsagePlan, now time.Time) admin.Plan {
	out := admin.Plan{Name: p.Name, Rate: p.Rate, Burst: p.Burst}
	if p.Quota != nil {
		quota := p.Quota.Access()
		_, end := quota.Window(now)
		out.Quota = &admin.Usage{Limit: quota.Limit, Period: string(quota.Period), Resets: end}
	}
	for _, r := range p.Routes {
		out.Routes = append(out.Routes, admin.PlanRoute{Match: r.Match, Rate: r.Rate, Burst: r.Burst})
	}
	return out
}

// shownFile is where a data directory has when each API key was last shown.
func shownFile(data string) string { return filepath.Join(data, "access-shown.json") }

// shownEvery is how often that file is written: so much is forgotten when the process is killed.
const shownEvery = 10 * time.Second

// lastShown knows when each API key was last shown, across restarts. It is for people to look at;
// nothing is decided by it.
type lastShown struct {
	file  string
	state *access.State
	log   *slog.Logger

	mu     sync.Mutex
	before map[string]time.Time // by the key's ID: what earlier processes and earlier looks saw
}

// openShown reads the file. One that cannot be read is said in the log and begins anew.
func openShown(file string, state *access.State, log *slog.Logger) *lastShown {
	s := &lastShown{file: file, state: state, log: log, before: map[string]time.Time{}}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &s.before)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.before = map[string]time.Time{}
		log.Warn("when the API keys were last used is not known for the time before this start", "err", err)
	}
	return s
}

func (s *lastShown) last(id string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.state.LastShown(id).UTC()
	if s.before[id].After(at) {
		at = s.before[id]
	}
	if at.Unix() <= 0 {
		return time.Time{}
	}
	return at
}

// run writes the file until ctx ends, and then a last time.
func (s *lastShown) run(ctx context.Context) {
	tick := time.NewTicker(shownEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		if err := s.write(); err != nil {
			s.log.Warn("when the API keys were last used cannot be written", "err", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// write puts what is known of the keys into the file, if any was shown since it was written.
func (s *lastShown) write() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(s.before)
	for _, id := range s.state.Shown() {
		if at := s.state.LastShown(id).UTC(); at.After(next[id]) {
			next[id] = at
		}
	}
	if maps.EqualFunc(next, s.before, time.Time.Equal) {
		return nil
	}
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.file+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", s.file, err)
	}
	if err := os.Rename(s.file+".new", s.file); err != nil {
		return err
	}
	s.before = next
	return nil
}
