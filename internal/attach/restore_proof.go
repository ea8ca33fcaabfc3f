package attach

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// StageProof says whether a stage serves what the backup says.
type StageProof struct {
	Stage       string       `json:"stage"`
	Equal       bool         `json:"equal"` // the export is the backup's, but for ids
	Differences []Difference `json:"differences,omitempty"`
}

// planOutside says what else a restored API needs, which is not its own.
func (r *restorer) planOutside(b *Backup, id string) {
	if id == b.API.ID {
		return
	}
	for _, arn := range r.was.functions() {
		r.left("function %s allows calls by API %s: allow them by the new one too", arn, b.API.ID)
	}
	for _, raw := range b.Info["mappings"] {
		var m struct {
			DomainName string
			Mapping    struct{ APIMappingKey, Stage string }
		}
		if json.Unmarshal(raw, &m) == nil {
			r.left("domain %s/%s leads to stage %s of API %s: lead it to the new one", m.DomainName, m.Mapping.APIMappingKey, m.Mapping.Stage, b.API.ID)
		}
	}
	for _, raw := range b.Info["usageplans"] {
		var p struct{ ID, Name string }
		if json.Unmarshal(raw, &p) == nil {
			r.left("usage plan %s (%s) names stages of API %s: add the new one's", p.Name, p.ID, b.API.ID)
		}
	}
}

// Prove compares each stage's export with the backup's, but for ids. Call it after Restore,
// with its plan.
func (c *Clients) Prove(ctx context.Context, p *RestorePlan) ([]StageProof, error) {
	proofs := []StageProof{}
	for _, name := range slices.Sorted(maps.Keys(p.r.was.Exports)) {
		pause := p.r.o.Pause
		if pause <= 0 {
			pause = 500 * time.Millisecond
		}
		s, _ := p.r.was.API.stage(name)
		for try := 0; ; try++ {
			d, err := p.r.exportDiff(ctx, name)
			if err != nil && !notFound(err) {
				return nil, err
			}
			if err != nil {
				d = []Difference{{Path: "stage", Before: name}}
			}
			if len(d) == 0 || !s.AutoDeploy || try == 7 {
				proofs = append(proofs, StageProof{name, len(d) == 0, d})
				break
			}
			if err := sleep(ctx, pause<<try); err != nil {
				return nil, err
			}
		}
	}
	return proofs, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// exportDiff is how a stage's export differs from the backup's.
func (r *restorer) exportDiff(ctx context.Context, stage string) ([]Difference, error) {
	text, err := r.c.export(ctx, r.is.API.Kind, r.is.API.ID, stage)
	if err != nil {
		return nil, err
	}
	is, err := CanonicalExport(text)
	if err != nil {
		return nil, err
	}
	was, err := CanonicalExport(r.was.Exports[stage])
	if err != nil {
		return nil, err
	}
	old, err := generic(was)
	if err != nil {
		return nil, err
	}
	now, err := generic(is)
	if err != nil {
		return nil, err
	}
	return diff(r.asInBackup(old), r.asInBackup(now), 20), nil
}

// asInBackup is an export with the ids that the backup has, in the names of members too. A
// deployment of old has them anyhow.
func (r *restorer) asInBackup(v any) any {
	var pairs []string
	for _, old := range slices.Sorted(maps.Keys(r.ids)) {
		if now := r.ids[old]; old != "" && old != now && now != toBeMade {
			pairs = append(pairs, now, old)
		}
	}
	if len(pairs) == 0 {
		return v
	}
	out, err := generic([]byte(strings.NewReplacer(pairs...).Replace(string(compact(v)))))
	if err != nil {
		return v // ids have no character that JSON escapes
	}
	return out
}
