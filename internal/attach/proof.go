package attach

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
)

// removeIntegrations deletes an HTTP API's integrations that this attachment made.
func (r *Runner) removeIntegrations(ctx context.Context, st *State, w *way) error {
	mine, err := st.marked(w.now)
	if err != nil {
		return err
	}
	for _, description := range slices.Sorted(maps.Keys(mine)) {
		for _, id := range mine[description] {
			_, err := r.Clients.HTTP.DeleteIntegration(ctx, &apigatewayv2.DeleteIntegrationInput{ApiId: &st.Before.ID, IntegrationId: &id})
			if err != nil && !notFound(err) {
				return failed("delete integration "+id, err)
			}
		}
	}
	return nil
}

// prove compares with what was saved: the working copy's routes, and the export. What others
// changed elsewhere is reported, and stays.
func (r *Runner) prove(ctx context.Context, st *State, w *way, report *Report) error {
	r.Progress.say("compare with what was before", 0, 0)
	now, err := r.Clients.look(ctx, st.Before, nil)
	if err != nil {
		return err
	}
	current, err := now.current()
	if err != nil {
		return err
	}
	for i := range st.Plan.Changes {
		ch := &st.Plan.Changes[i]
		if w.kept[ch.Route] {
			continue
		}
		if v, err := st.judge(ch, current[ch.place()]); err != nil {
			return err
		} else if v != asBefore {
			return fmt.Errorf("%s is not as it was, though it was put back: somebody else is changing it now; look, and detach again", ch.Route)
		}
	}
	edits, err := editsElsewhere(st, now)
	if err != nil {
		return err
	}
	if _, there := now.stage(st.Before.Stage); !there {
		report.Others = append(edits, "stage "+st.Before.Stage+" was deleted")
		return nil
	}
	before, err := CanonicalExport(st.Before.Export)
	if err != nil {
		return err
	}
	was, err := object(before)
	if err != nil {
		return err
	}
	tolerant := st.acceptsDrift() && w.later
	err = r.settled(ctx, st, func(doc map[string]any) error {
		after, err := CanonicalExport(compact(doc))
		if err != nil {
			return err
		}
		report.Equal = bytes.Equal(before, after)
		report.Proven = report.Equal
		report.Others = edits
		if report.Equal {
			return nil
		}
		is, err := object(after)
		if err != nil {
			return err
		}
		tapped := st.touches()
		mine := diff(
			only(exported(was, asIs), func(key string) bool { return tapped(key) && !w.kept[key] }),
			only(exported(is, asIs), func(key string) bool { return tapped(key) && !w.kept[key] }), 20)
		if len(mine) > 0 && !tolerant {
			return fmt.Errorf("the export is not as it was: %s", mine[0])
		}
		report.Proven = len(mine) == 0
		report.Others = append(slices.Clone(edits), elsewhere(was, is, tapped)...)
		return nil
	})
	return err
}

func only(ops map[string]any, keep func(string) bool) map[string]any {
	maps.DeleteFunc(ops, func(key string, _ any) bool { return !keep(key) })
	return ops
}

// elsewhere is how two exports differ apart from attached routes.
func elsewhere(was, is map[string]any, tapped func(string) bool) []string {
	var out []string
	not := func(key string) bool { return !tapped(key) }
	for _, d := range diff(only(exported(was, asIs), not), only(exported(is, asIs), not), 20) {
		out = append(out, "deployed: "+d.String())
	}
	was, is = maps.Clone(was), maps.Clone(is)
	delete(was, "paths")
	delete(is, "paths")
	for _, d := range diff(was, is, 20) {
		out = append(out, "deployed: "+d.String())
	}
	return out
}

// editsElsewhere is how the working copy differs apart from attached routes.
func editsElsewhere(st *State, now *API) ([]string, error) {
	form := func(a *API) (map[string]any, error) {
		ops, err := a.operations()
		if err != nil {
			return nil, err
		}
		out := map[string]any{}
		for i := range ops {
			v, err := generic(compact(ops[i].object()))
			if err != nil {
				return nil, err
			}
			out[ops[i].Key] = v
		}
		return out, nil
	}
	was, err := form(st.Before)
	if err != nil {
		return nil, err
	}
	is, err := form(now)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range driftOf(was, is, st.touches()) {
		out = append(out, "working copy: "+d.String())
	}
	return out, nil
}

// tidy removes what is not part of any route: deployments, the permission, the tag.
func (r *Runner) tidy(ctx context.Context, st *State, w *way, report *Report) error {
	c, a := r.Clients, st.Before
	now, err := c.look(ctx, a, nil)
	if err != nil {
		return err
	}
	serving := map[string]bool{}
	for _, name := range now.stageNames() {
		s, _ := now.stage(name)
		serving[s.DeploymentID] = true
		if s.Canary != nil {
			serving[s.Canary.DeploymentID] = true
		}
		was, _ := a.stage(name)
		if name == a.Stage || s.AutoDeploy || s.DeploymentID == "" || s.DeploymentID == was.DeploymentID {
			continue
		}
		text, err := c.export(ctx, a.Kind, a.ID, name)
		if err != nil {
			return err
		}
		doc, err := object(text)
		if err != nil {
			return fmt.Errorf("read the export of stage %s: %w", name, err)
		}
		if st.leadsToUs(doc) {
			report.Left = append(report.Left, fmt.Sprintf("stage %s was deployed while tapway was attached and still sends calls to it: deploy it again, then detach again", name))
		}
	}
	r.Progress.say("tidy up", 0, 0)
	left, err := c.forget(ctx, a, w.mine, func(id string) bool { return serving[id] })
	if err != nil {
		return err
	}
	for _, id := range left {
		report.Left = append(report.Left, "deployment "+id+" is still served by a stage")
	}
	if len(report.Left) > 0 {
		return r.Store.Save(ctx, st)
	}
	if p := st.Plan.Permission; p != nil {
		if err := c.disallow(ctx, p); err != nil {
			return err
		}
	}
	if now.Tags[TagState] != "" {
		if err := c.tag(ctx, a, ""); err != nil {
			return err
		}
	}
	st.Phase = Detached
	return r.Store.Save(ctx, st)
}

// left says what there is of an attachment that could not be taken back.
func (r *Runner) left(ctx context.Context, st *State) []string {
	where := "all of it can be taken off with `tapway detach --api " + st.Before.ID + " --state " + r.Store.String() + "`"
	now, err := r.Clients.look(ctx, st.Before, nil)
	if err != nil {
		return []string{"unknown, the API cannot be read (" + err.Error() + ")", where}
	}
	var out []string
	if now.Tags[TagState] == st.Location {
		out = append(out, "the tag "+TagState)
	}
	if p := st.Plan.Permission; p != nil {
		out = append(out, "perhaps the statement "+p.Statement+" in the policy of "+p.Function.ARN)
	}
	var changed []string
	if current, err := now.current(); err == nil {
		for i := range st.Plan.Changes {
			ch := &st.Plan.Changes[i]
			if v, err := st.judge(ch, current[ch.place()]); err == nil && v != asBefore {
				changed = append(changed, ch.Route)
			}
		}
	}
	if len(changed) > 0 {
		out = append(out, "the working copy of "+strings.Join(changed, ", "))
	}
	if s, ok := now.stage(st.Before.Stage); ok && !s.AutoDeploy {
		if s.DeploymentID == st.deployment() && s.Canary == nil {
			out = append(out, "stage "+s.Name+" serves what it served before")
		} else {
			out = append(out, fmt.Sprintf("stage %s serves deployment %s; before it was %s", s.Name, s.DeploymentID, st.deployment()))
		}
	}
	return append(out, where)
}
