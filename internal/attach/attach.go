package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Runner carries out what a State says.
type Runner struct {
	Clients  *Clients
	Store    *Store
	Progress Progress

	// Pause is how long to wait for AWS to carry out what it does later by itself (automatic
	// deployments of HTTP APIs); it doubles, eight times at most. 0: 500 ms.
	Pause time.Duration
	// UndoTime is how long taking back a failed attach may go on; 0: 15 minutes.
	UndoTime time.Duration
}

// StuckError is an attach that failed and could not be taken back.
type StuckError struct {
	Err  error    // why it failed
	Undo error    // why it could not be taken back
	Left []string // what is left of it
}

func (e *StuckError) Error() string {
	return fmt.Sprintf("attach failed: %v; and it could not be taken back: %v; what is left: %s", e.Err, e.Undo, strings.Join(e.Left, "; "))
}

func (e *StuckError) Unwrap() []error { return []error{e.Err, e.Undo} }

// UndoneError is an attach that failed and was taken back: the API is as it was, but for what
// others did meanwhile.
type UndoneError struct{ Err error }

func (e *UndoneError) Error() string {
	return fmt.Sprintf("attach failed and was taken back, the API is as it was: %v", e.Err)
}

func (e *UndoneError) Unwrap() error { return e.Err }

// Attach carries out the state's plan, or goes on with it where it was interrupted. When it
// fails, or ctx ends, it takes everything back. It returns an *UndoneError then, or a
// *StuckError when even that failed; Detach can go on from there.
func (r *Runner) Attach(ctx context.Context, st *State) error {
	if st.Phase != Attaching {
		return fmt.Errorf("the saved state says %s; detach first", st.Phase)
	}
	if stops := st.Plan.Stops(); len(stops) > 0 {
		return errors.New(stops[0].Text)
	}
	if err := r.Store.Save(ctx, st); err != nil {
		return err
	}
	err := r.forward(ctx, st)
	if err == nil {
		st.Phase = Attached
		if err = r.Store.Save(ctx, st); err == nil {
			return nil
		}
		st.Phase = Attaching
	}
	limit := r.UndoTime
	if limit <= 0 {
		limit = 15 * time.Minute
	}
	// The way back must be gone even when the user has said stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	r.Progress.say("take everything back", 0, 0)
	// A route that somebody else changed in the meantime is theirs.
	if _, undoErr := r.back(ctx, st, Undoing, DetachOptions{KeepTheirs: true}); undoErr != nil {
		return &StuckError{err, undoErr, r.left(ctx, st)}
	}
	return &UndoneError{err}
}

// forward does what is not done yet.
func (r *Runner) forward(ctx context.Context, st *State) error {
	c, a := r.Clients, st.Before
	now, err := c.look(ctx, a, r.Progress)
	if err != nil {
		return err
	}
	switch at := now.Tags[TagState]; at {
	case st.Location:
	case "":
		if err := c.tag(ctx, a, st.Location); err != nil {
			return err
		}
	default:
		return fmt.Errorf("somebody else has attached the API meanwhile; its state is in %s", at)
	}
	if p := st.Plan.Permission; p != nil {
		r.Progress.say("let the API call the function", 0, 0)
		if err := c.allow(ctx, p); err != nil {
			return err
		}
	}
	if err := r.makeIntegrations(ctx, st, now); err != nil {
		return err
	}
	if err := r.changeRoutes(ctx, st); err != nil {
		return err
	}
	if err := r.goLive(ctx, st, now); err != nil {
		return err
	}
	return r.verify(ctx, st)
}

// makeIntegrations makes an HTTP API's new integrations, or finds those made already.
func (r *Runner) makeIntegrations(ctx context.Context, st *State, now *API) error {
	if len(st.Plan.Integrations) == 0 {
		return nil
	}
	if st.Integrations == nil {
		st.Integrations = map[string]string{}
	}
	mine, err := st.marked(now)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(st.Plan.Integrations))
	for i, name := range names {
		description := st.mark() + ": " + name
		if ids := mine[description]; len(ids) > 0 {
			st.Integrations[name] = ids[0]
			continue
		}
		r.Progress.say("make integrations", i, len(names))
		id, err := r.Clients.createIntegration(ctx, st.Before.ID, description, st.Plan.Integrations[name])
		if err != nil {
			again, lookErr := r.Clients.look(ctx, st.Before, nil)
			if lookErr == nil {
				mine, lookErr = st.marked(again)
			}
			if lookErr != nil || len(mine[description]) == 0 {
				return failed("make an integration", err)
			}
			id = mine[description][0]
		}
		st.Integrations[name] = id
	}
	return r.Store.Save(ctx, st)
}

// marked gives the integrations that this attachment made, by their description. There are two
// of one where the answer of the call that made it was lost and the call was repeated.
func (s *State) marked(now *API) (map[string][]string, error) {
	out := map[string][]string{}
	for _, raw := range now.Integrations {
		in, err := decodeIntegration(raw)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(in.Description, s.mark()+":") {
			out[in.Description] = append(out[in.Description], in.ID)
		}
	}
	return out, nil
}

// changeRoutes looks at each route just before it changes it: AWS has no way to say "only if
// it is still so", and an edit of somebody else's must not be lost.
func (r *Runner) changeRoutes(ctx context.Context, st *State) error {
	for i := range st.Plan.Changes {
		ch := &st.Plan.Changes[i]
		r.Progress.say("change routes", i, len(st.Plan.Changes))
		is, v, err := r.lookAndJudge(ctx, st, ch)
		if err != nil {
			return err
		}
		switch v {
		case asAfter:
		case asBefore, partly, halfway: // we broke off in the middle of a route, or of taking it back
			if err := r.Clients.set(ctx, st, ch, is, asAfter); err != nil {
				return err
			}
		case missing:
			return fmt.Errorf("%s was deleted by somebody else meanwhile", ch.Route)
		default:
			return fmt.Errorf("%s was changed by somebody else meanwhile; plan again", ch.Route)
		}
	}
	r.Progress.say("change routes", len(st.Plan.Changes), len(st.Plan.Changes))
	return nil
}

func (r *Runner) lookAndJudge(ctx context.Context, st *State, ch *Change) (is json.RawMessage, v verdict, err error) {
	is, err = r.Clients.lookAt(ctx, st.Before, ch)
	if notFound(err) {
		return nil, missing, nil
	}
	if err != nil {
		return nil, missing, failed("read "+ch.Route, err)
	}
	v, err = st.judge(ch, is)
	return is, v, err
}

// goLive deploys the working copy, unless the stage does so by itself. The deployment is made
// first, without a stage, and then the stage pointed to it: what was made twice by a lost
// answer is live nowhere.
func (r *Runner) goLive(ctx context.Context, st *State, now *API) error {
	c, a := r.Clients, st.Before
	s, ok := now.stage(a.Stage)
	if !ok {
		return fmt.Errorf("stage %s was deleted by somebody else meanwhile", a.Stage)
	}
	if s.AutoDeploy {
		return nil
	}
	all, err := c.deployments(ctx, a)
	if err != nil {
		return err
	}
	mine := st.made(all)
	if slices.Contains(mine, s.DeploymentID) || s.Canary != nil && slices.Contains(mine, s.Canary.DeploymentID) {
		return nil
	}
	if s.DeploymentID != st.deployment() {
		return fmt.Errorf("somebody else has deployed to stage %s meanwhile; plan again", a.Stage)
	}
	if err := r.noNewEdits(ctx, st); err != nil {
		return err
	}
	r.Progress.say("deploy", 0, 0)
	id, err := c.deploy(ctx, a, st.mark()+": attach")
	if err != nil {
		return err
	}
	st.Deployments = append(st.Deployments, id)
	if err := r.Store.Save(ctx, st); err != nil {
		return err
	}
	if s, ok, err = c.readStage(ctx, a); err != nil {
		return err
	} else if !ok || s.DeploymentID != st.deployment() {
		return fmt.Errorf("somebody else has deployed to stage %s meanwhile; plan again", a.Stage)
	}
	if st.Plan.Canary > 0 {
		return c.canary(ctx, a, id, st.Plan.Canary)
	}
	return c.point(ctx, a, id)
}

// noNewEdits looks for edits that others made while routes were changed: they must not go live
// with ours unless that was asked for.
func (r *Runner) noNewEdits(ctx context.Context, st *State) error {
	if st.acceptsDrift() {
		return nil
	}
	now, err := r.Clients.look(ctx, st.Before, r.Progress)
	if err != nil {
		return err
	}
	if now.Kind == HTTP {
		if now.Working, err = r.Clients.exportHTTP(ctx, now.ID, ""); err != nil {
			return err
		}
	}
	now.Export = st.Before.Export
	edits, err := now.Drift(st.touches())
	if err != nil {
		return err
	}
	if len(edits) > 0 {
		return fmt.Errorf("somebody else has edited the API meanwhile (%s); plan again", edits[0].Path)
	}
	return nil
}

func (s *State) acceptsDrift() bool {
	return slices.ContainsFunc(s.Plan.Warnings, func(w Warning) bool { return w.Code == "undeployed-edits" })
}

// touches tells which routes the plan changes.
func (s *State) touches() func(key string) bool {
	set := map[string]bool{}
	for _, ch := range s.Plan.Changes {
		set[ch.Route] = true
	}
	return func(key string) bool { return set[key] }
}

// verify makes sure that what is deployed now is the plan, and nothing else.
func (r *Runner) verify(ctx context.Context, st *State) error {
	if st.Plan.Canary > 0 {
		return nil // an export is of the stage's own deployment, not of its canary's
	}
	r.Progress.say("verify", 0, 0)
	before, err := object(st.Before.Export)
	if err != nil {
		return fmt.Errorf("read the saved export: %w", err)
	}
	return r.settled(ctx, st, func(after map[string]any) error {
		was, is := exported(before, asIs), exported(after, asIs)
		for _, ch := range st.Plan.Changes {
			op, _ := is[ch.Route].(map[string]any)
			in, _ := op["x-amazon-apigateway-integration"].(map[string]any)
			if want := st.wantURI(&ch); fmt.Sprint(in["uri"]) != want {
				return fmt.Errorf("%s is not attached in stage %s after all: it calls %s", ch.Route, st.Before.Stage, shown("", in["uri"]))
			}
		}
		if found := driftOf(was, is, st.touches()); len(found) > 0 && !st.acceptsDrift() {
			return fmt.Errorf("something else has gone live together with tapway (%s)", found[0])
		}
		return nil
	})
}

// wantURI is the URI that a route's integration has when it is attached.
func (s *State) wantURI(ch *Change) string {
	spec := ch.After
	key := "uri"
	if s.Before.Kind == HTTP {
		spec, key = s.Plan.Integrations[ch.Integration], "integrationUri"
	}
	doc, err := object(spec)
	if err != nil {
		return ""
	}
	return fmt.Sprint(doc[key])
}

// settled checks a stage's export, again and again where the stage deploys by itself.
func (r *Runner) settled(ctx context.Context, st *State, check func(export map[string]any) error) error {
	pause := r.Pause
	if pause <= 0 {
		pause = 500 * time.Millisecond
	}
	s, _ := st.Before.stage(st.Before.Stage)
	for try := 0; ; try++ {
		text, err := r.Clients.export(ctx, st.Before.Kind, st.Before.ID, st.Before.Stage)
		if err != nil {
			return err
		}
		doc, err := object(text)
		if err != nil {
			return fmt.Errorf("read the export: %w", err)
		}
		if err = check(doc); err == nil || !s.AutoDeploy || try == 8 {
			return err
		}
		timer := time.NewTimer(pause << try)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		case <-timer.C:
		}
	}
}

// Promote makes an attachment that began as a canary take all of the stage's calls.
func (r *Runner) Promote(ctx context.Context, st *State) error {
	if st.Phase != Attached || st.Plan.Canary == 0 {
		return fmt.Errorf("the API is not attached by a canary (%s)", st.Phase)
	}
	c, a := r.Clients, st.Before
	s, ok, err := c.readStage(ctx, a)
	if err != nil {
		return err
	}
	all, err := c.deployments(ctx, a)
	if err != nil {
		return err
	}
	mine := st.made(all)
	switch {
	case !ok:
		return fmt.Errorf("stage %s is gone", a.Stage)
	case slices.Contains(mine, s.DeploymentID): // done, but for the canary
	case s.Canary == nil || !slices.Contains(mine, s.Canary.DeploymentID):
		return fmt.Errorf("stage %s has no canary of tapway's any more; detach, then attach again", a.Stage)
	case s.DeploymentID != st.deployment():
		return fmt.Errorf("somebody else has deployed to stage %s since; detach, then attach again", a.Stage)
	default:
		if err := c.point(ctx, a, s.Canary.DeploymentID); err != nil {
			return err
		}
	}
	if s.Canary != nil {
		if err := c.noCanary(ctx, a); err != nil {
			return err
		}
	}
	st.Plan.Canary = 0
	return r.Store.Save(ctx, st)
}
