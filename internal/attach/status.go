package attach

import (
	"context"
	"fmt"
	"slices"
)

// Status is what has become of an attachment.
type Status struct {
	API      string        `json:"api"`
	Name     string        `json:"name"`
	Kind     Kind          `json:"kind"`
	Stage    string        `json:"stage"`
	Via      string        `json:"via"`
	Phase    Phase         `json:"phase"`
	Since    string        `json:"since"`
	State    string        `json:"state"` // where it lies
	Canary   float64       `json:"canary_percent,omitempty"`
	Routes   []RouteStatus `json:"routes"`
	Added    []string      `json:"added,omitempty"`    // routes made since, which are not attached
	Problems []string      `json:"problems,omitempty"` // what is not as the attach left it
	Good     bool          `json:"good"`               // attached, and nothing to say about it
}

// RouteStatus is what has become of one attached route.
type RouteStatus struct {
	Route string `json:"route"`
	// Working is the route in the working copy: "attached", "undone" (as before the attach),
	// "changed" (by somebody else) or "deleted".
	Working string `json:"working"`
	Live    bool   `json:"live"` // its calls lead to tapway in the stage, or its canary
}

var workingText = map[verdict]string{asBefore: "undone", asAfter: "attached", partly: "changed", halfway: "changed", foreign: "changed", missing: "deleted"}

// Status compares an attachment with what there is now. It changes nothing.
func (r *Runner) Status(ctx context.Context, st *State) (*Status, error) {
	a := st.Before
	out := &Status{API: a.ID, Name: a.Name, Kind: a.Kind, Stage: a.Stage, Via: st.Plan.Via, Phase: st.Phase,
		Since: st.Began.Format("2006-01-02 15:04:05 MST"), State: r.Store.String(), Canary: st.Plan.Canary, Routes: []RouteStatus{}}
	now, err := r.Clients.look(ctx, a, r.Progress)
	if err != nil {
		return nil, err
	}
	problem := func(format string, args ...any) { out.Problems = append(out.Problems, fmt.Sprintf(format, args...)) }
	if st.Phase != Attached {
		problem("it is %s: `tapway attach` goes on with an attach that was interrupted, `tapway detach` takes it off", st.Phase)
	}
	if now.Tags[TagState] == "" {
		problem("the API's tag %s is gone: only who knows where the state lies can detach", TagState)
	}
	current, err := now.current()
	if err != nil {
		return nil, err
	}
	live, err := r.live(ctx, st, now, problem)
	if err != nil {
		return nil, err
	}
	for i := range st.Plan.Changes {
		ch := &st.Plan.Changes[i]
		v, err := st.judge(ch, current[ch.place()])
		if err != nil {
			return nil, err
		}
		rs := RouteStatus{ch.Route, workingText[v], live(ch)}
		out.Routes = append(out.Routes, rs)
		switch {
		case v != asAfter && rs.Live:
			problem("%s was %s in the working copy: the next deployment takes it off", rs.Route, rs.Working)
		case v != asAfter:
			problem("%s was %s", rs.Route, rs.Working)
		case !rs.Live:
			problem("%s is attached in the working copy, but stage %s does not serve it", rs.Route, a.Stage)
		}
	}
	if err := out.findAdded(st, now); err != nil {
		return nil, err
	}
	if p := st.Plan.Permission; p != nil {
		there, _, err := r.Clients.permission(ctx, p)
		if err != nil {
			return nil, err
		}
		if !there {
			problem("the API may not call the function any more (statement %s is gone): its calls fail", p.Statement)
		}
	}
	out.Good = len(out.Problems) == 0
	return out, nil
}

// live tells whether a route's calls lead to tapway in the stage that was attached.
func (r *Runner) live(ctx context.Context, st *State, now *API, problem func(string, ...any)) (func(*Change) bool, error) {
	a := st.Before
	s, there := now.stage(a.Stage)
	if !there {
		problem("stage %s is gone", a.Stage)
		return func(*Change) bool { return false }, nil
	}
	if st.Plan.Canary > 0 { // there is no export of a canary, but its deployment is ours or not
		all, err := r.Clients.deployments(ctx, a)
		if err != nil {
			return nil, err
		}
		ours := s.Canary != nil && slices.Contains(st.made(all), s.Canary.DeploymentID)
		return func(*Change) bool { return ours }, nil
	}
	text, err := r.Clients.export(ctx, a.Kind, a.ID, a.Stage)
	if err != nil {
		return nil, err
	}
	doc, err := object(text)
	if err != nil {
		return nil, fmt.Errorf("read the export: %w", err)
	}
	ops := exported(doc, asIs)
	return func(ch *Change) bool {
		op, _ := ops[ch.Route].(map[string]any)
		in, _ := op["x-amazon-apigateway-integration"].(map[string]any)
		return fmt.Sprint(in["uri"]) == st.wantURI(ch)
	}, nil
}

func (s *Status) findAdded(st *State, now *API) error {
	was, err := st.Before.operations()
	if err != nil {
		return err
	}
	is, err := now.operations()
	if err != nil {
		return err
	}
	for _, op := range is {
		if !slices.ContainsFunc(was, func(o operation) bool { return o.Key == op.Key }) {
			s.Added = append(s.Added, op.Key)
		}
	}
	return nil
}
