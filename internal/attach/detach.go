package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DetachOptions say what to do about what others did meanwhile.
type DetachOptions struct {
	KeepTheirs   bool // routes that others changed stay as they made them
	Force        bool // put them back to what they were before the attach all the same
	IncludeDrift bool // deploy edits of others that are not deployed, if there must be a deployment
}

// Conflict is a route that somebody else changed while it was attached.
type Conflict struct {
	Route       string       `json:"route"`
	Gone        bool         `json:"gone,omitempty"`
	StillCalls  bool         `json:"still_calls_tapway,omitempty"` // as they left it, it needs tapway
	Differences []Difference `json:"differences,omitempty"`        // from what tapway had made of it
}

// ConflictError says that a detach would overwrite somebody's change. Nothing was changed.
type ConflictError struct{ Conflicts []Conflict }

func (e *ConflictError) Error() string {
	var b strings.Builder
	b.WriteString("somebody else has changed attached routes; --keep-theirs leaves them as they are now, --force puts them back to what they were before:")
	for _, c := range e.Conflicts {
		b.WriteString("\n  " + c.Route)
		if c.Gone {
			b.WriteString(": deleted")
		}
		for _, d := range c.Differences {
			b.WriteString("\n    " + d.String())
		}
	}
	return b.String()
}

// Report is what a detach did, and its proof.
type Report struct {
	Restored   []string `json:"restored"`         // routes put back now
	Kept       []string `json:"kept,omitempty"`   // routes left as others made them
	RolledBack string   `json:"rolled_back_to"`   // the deployment the stage serves again; "" if another was needed
	Redeployed string   `json:"redeployed"`       // the new deployment, where somebody had deployed since
	Others     []string `json:"others,omitempty"` // differences that others made elsewhere, which stay
	Left       []string `json:"left,omitempty"`   // what could not be removed yet, and why
	Proven     bool     `json:"proven"`           // every route put back is in the export as it was before the attach
	Equal      bool     `json:"equal"`            // the whole export is
}

// Detach takes the attachment off. It can be called again after any failure.
func (r *Runner) Detach(ctx context.Context, st *State, o DetachOptions) (*Report, error) {
	if st.Phase == Detached {
		return &Report{Restored: []string{}, Proven: true, Equal: true}, nil
	}
	phase := Detaching
	if st.Phase == Attaching || st.Phase == Undoing {
		phase = Undoing // the attach was never finished, and may have left routes halfway
	}
	return r.back(ctx, st, phase, o)
}

// way is what back found out before it changes anything.
type way struct {
	now      *API
	stage    stage
	mine     []string // our deployments
	current  map[string]json.RawMessage
	verdicts []verdict
	kept     map[string]bool // routes of others
	later    bool            // somebody deployed since: there must be a new deployment
}

func (r *Runner) back(ctx context.Context, st *State, phase Phase, o DetachOptions) (*Report, error) {
	c, a, report := r.Clients, st.Before, &Report{Restored: []string{}}
	w, err := r.explore(ctx, st, o)
	if errors.Is(err, ErrNoAPI) {
		return r.bury(ctx, st)
	}
	if err != nil {
		return nil, err
	}
	report.Kept = slices.Sorted(maps.Keys(w.kept))
	st.Phase = phase
	if err := r.Store.Save(ctx, st); err != nil && phase != Undoing {
		return nil, err // taking back goes on: the API is more important than the record of it
	}
	if err := r.rollBack(ctx, st, w, report); err != nil {
		return nil, err
	}
	if err := r.restoreRoutes(ctx, st, w, report); err != nil {
		return nil, err
	}
	if w.later {
		r.Progress.say("deploy", 0, 0)
		if report.Redeployed, err = c.deploy(ctx, a, "tapway: detached"); err != nil {
			return nil, err
		}
		if err := c.point(ctx, a, report.Redeployed); err != nil {
			return nil, err
		}
	}
	if err := r.removeIntegrations(ctx, st, w); err != nil {
		return nil, err
	}
	if err := r.prove(ctx, st, w, report); err != nil {
		return nil, err
	}
	return report, r.tidy(ctx, st, w, report)
}

// bury ends an attachment whose API is gone.
func (r *Runner) bury(ctx context.Context, st *State) (*Report, error) {
	if p := st.Plan.Permission; p != nil {
		if err := r.Clients.disallow(ctx, p); err != nil {
			return nil, err
		}
	}
	st.Phase = Detached
	return &Report{Restored: []string{}, Others: []string{"the API was deleted"}}, r.Store.Save(ctx, st)
}

// explore looks at everything and finds whatever speaks against a detach.
func (r *Runner) explore(ctx context.Context, st *State, o DetachOptions) (*way, error) {
	c, a := r.Clients, st.Before
	now, err := c.look(ctx, a, r.Progress)
	if err != nil {
		return nil, err
	}
	w := &way{now: now, kept: map[string]bool{}}
	if at := now.Tags[TagState]; at != "" && at != st.Location && !o.Force {
		return nil, fmt.Errorf("the API's tag says that its state is kept in %s, not in %s; detach with that one, or --force this one", at, st.Location)
	}
	if err := st.findIntegrations(now); err != nil {
		return nil, err
	}
	if w.current, err = now.current(); err != nil {
		return nil, err
	}
	if err := w.compare(st, o); err != nil {
		return nil, err
	}
	all, err := c.deployments(ctx, a)
	if err != nil {
		return nil, err
	}
	w.mine = st.made(all)
	var there bool
	if w.stage, there = now.stage(a.Stage); !there || w.stage.AutoDeploy {
		return w, nil
	}
	_, kept := all[st.deployment()]
	if w.stage.DeploymentID == st.deployment() || kept && slices.Contains(w.mine, w.stage.DeploymentID) {
		return w, nil
	}
	return w, r.deployedSince(ctx, st, w, o)
}

// deployedSince looks at a stage that cannot be rolled back, because it serves a deployment of
// somebody else's, or because the recorded one was deleted: does it still lead to tapway, and
// what would a new deployment make live?
func (r *Runner) deployedSince(ctx context.Context, st *State, w *way, o DetachOptions) error {
	c, a := r.Clients, st.Before
	export, err := c.export(ctx, a.Kind, a.ID, a.Stage)
	if err != nil {
		return err
	}
	w.now.Export = export
	doc, err := object(export)
	if err != nil {
		return fmt.Errorf("read the export: %w", err)
	}
	if !st.leadsToUs(doc) {
		return nil
	}
	w.later = true
	if o.IncludeDrift {
		return nil
	}
	if a.Kind == HTTP {
		if w.now.Working, err = c.exportHTTP(ctx, a.ID, ""); err != nil {
			return err
		}
	}
	edits, err := w.now.Drift(st.touches())
	if err != nil {
		return err
	}
	if len(edits) > 0 {
		return fmt.Errorf("somebody has deployed to stage %s since the attach, so the detach needs a new deployment, and it would make live what somebody else has edited and not deployed (%s); have that deployed or undone first, or say --include-drift", a.Stage, edits[0])
	}
	return nil
}

// leadsToUs tells whether any operation of an export calls tapway.
func (s *State) leadsToUs(export map[string]any) bool {
	uris := map[string]bool{}
	for i := range s.Plan.Changes {
		uris[s.wantURI(&s.Plan.Changes[i])] = true
	}
	for _, op := range exported(export, asIs) {
		m, _ := op.(map[string]any)
		in, _ := m["x-amazon-apigateway-integration"].(map[string]any)
		if uri, ok := in["uri"].(string); ok && uris[uri] {
			return true
		}
	}
	return false
}

// findIntegrations completes the ids of integrations whose making was interrupted.
func (s *State) findIntegrations(now *API) error {
	mine, err := s.marked(now)
	if err != nil {
		return err
	}
	for name := range s.Plan.Integrations {
		if ids := mine[s.mark()+": "+name]; len(ids) > 0 && s.Integrations[name] == "" {
			if s.Integrations == nil {
				s.Integrations = map[string]string{}
			}
			s.Integrations[name] = ids[0]
		}
	}
	return nil
}

// compare judges every route and collects what others changed.
func (w *way) compare(st *State, o DetachOptions) error {
	var conflicts []Conflict
	for i := range st.Plan.Changes {
		ch := &st.Plan.Changes[i]
		v, err := st.judge(ch, w.current[ch.place()])
		if err != nil {
			return err
		}
		w.verdicts = append(w.verdicts, v)
		if !st.leaves(v) {
			v = foreign
		}
		if v == foreign || v == missing {
			conflict := st.conflict(ch, w.current[ch.place()], v)
			if o.KeepTheirs && conflict.StillCalls {
				return fmt.Errorf("%s was changed by somebody else but still calls tapway, so it cannot be kept as it is: change it, or put it back with --force", ch.Route)
			}
			conflicts = append(conflicts, conflict)
			if o.KeepTheirs || v == missing {
				w.kept[ch.Route] = true
			}
		}
	}
	if err := w.strangers(st); err != nil {
		return err
	}
	if len(conflicts) > 0 && !o.KeepTheirs && !o.Force {
		return &ConflictError{conflicts}
	}
	return nil
}

// leaves tells whether a route can look like that by what tapway itself has done: a call that
// broke off leaves some of a route's integration responses out, and in any other phase it was
// somebody else who took them away.
func (s *State) leaves(v verdict) bool {
	unfinished := s.Phase == Attaching || s.Phase == Undoing
	switch v {
	case partly:
		return unfinished || s.Phase == Detaching
	case halfway:
		return unfinished
	}
	return true
}

// strangers finds routes of an HTTP API that others led to our integrations: those cannot be
// deleted then.
func (w *way) strangers(st *State) error {
	ids, touched := map[string]bool{}, map[string]bool{}
	for _, id := range st.Integrations {
		ids["integrations/"+id] = true
	}
	for i := range st.Plan.Changes {
		touched[st.Plan.Changes[i].place()] = true
	}
	for _, raw := range w.now.Routes {
		var r httpRoute
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("read a route: %w", err)
		}
		if ids[r.Target] && !touched[r.ID] {
			return fmt.Errorf("somebody else has led %s to tapway's integration; lead it elsewhere or delete it first", r.Key)
		}
	}
	return nil
}

func (s *State) conflict(ch *Change, now json.RawMessage, v verdict) Conflict {
	out := Conflict{Route: ch.Route, Gone: v == missing}
	if v == missing {
		return out
	}
	if s.Before.Kind == HTTP {
		out.Differences = []Difference{{"target", "integrations/" + s.Integrations[ch.Integration], targetOf(now)}}
		return out
	}
	is, err := normal(now, ch.ResourceID)
	if err != nil {
		return out
	}
	was, err := normal(ch.After, ch.ResourceID)
	if err != nil {
		return out
	}
	out.Differences = diff(was, is, 20)
	out.StillCalls = is["uri"] == was["uri"]
	return out
}

// rollBack makes the stage serve again what it served before: one call, and tapway is out of
// the way of every call.
func (r *Runner) rollBack(ctx context.Context, st *State, w *way, report *Report) error {
	c, a := r.Clients, st.Before
	if s := w.stage; s.Canary != nil && slices.Contains(w.mine, s.Canary.DeploymentID) {
		r.Progress.say("end the canary", 0, 0)
		if err := c.noCanary(ctx, a); err != nil {
			return err
		}
	}
	if slices.Contains(w.mine, w.stage.DeploymentID) && !w.later {
		r.Progress.say("roll back", 0, 0)
		if err := c.point(ctx, a, st.deployment()); err != nil {
			return err
		}
	}
	if !w.later && !w.stage.AutoDeploy {
		report.RolledBack = st.deployment()
	}
	return nil
}

func (r *Runner) restoreRoutes(ctx context.Context, st *State, w *way, report *Report) error {
	for i := range st.Plan.Changes {
		ch := &st.Plan.Changes[i]
		if w.verdicts[i] == asBefore || w.kept[ch.Route] {
			continue
		}
		r.Progress.say("restore routes", i, len(st.Plan.Changes))
		is, v, err := r.lookAndJudge(ctx, st, ch)
		if err != nil {
			return err
		}
		if v != w.verdicts[i] && v != asBefore {
			return fmt.Errorf("%s was changed by somebody else just now; detach again", ch.Route)
		}
		if err := r.Clients.set(ctx, st, ch, is, asBefore); err != nil {
			return err
		}
		report.Restored = append(report.Restored, ch.Route)
	}
	r.Progress.say("restore routes", len(st.Plan.Changes), len(st.Plan.Changes))
	return nil
}
